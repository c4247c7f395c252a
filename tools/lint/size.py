#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lists long functions and files. A list for the reader, not a failure: a decoder or table may be long."""
import re

import tree

FUNCTION_LINES = 60
FILE_LINES = 500
FUNCTION_END = re.compile(r'^}\s*$')
FUNCTION_NAME = re.compile(r'(\w+)\s*\(')


def functions(source):
    """(name, first line, count of lines) of each function, by the braces in column 0."""
    start, name, last = None, '', ''
    for number, line in enumerate(source.split('\n'), 1):
        if line == '{':
            start, found = number, FUNCTION_NAME.search(last)
            name = found.group(1) if found else '?'
        elif start and FUNCTION_END.match(line):
            yield name, start, number - start - 1
            start = None
        elif not start and FUNCTION_NAME.search(line) and not line.startswith((' ', '\t', '#')):
            last = line


def main():
    names = tree.files('.c', '.h')
    rows = []
    for name in names:
        source = tree.text(name)
        lines = source.count('\n')
        if lines > FILE_LINES:
            rows.append((lines, f'{name}: {lines} lines'))
        rows += [(count, f'{name}:{first}: {function} has {count} lines')
                 for function, first, count in functions(source) if count > FUNCTION_LINES]
    for _, row in sorted(rows, reverse=True):
        print(row)
    print(f'size: {len(names)} files, {len(rows)} long functions or files')


if __name__ == '__main__':
    main()
