#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/syscalls.md from the rows of the library OS's table. `--check` only says whether it is current."""
import glob
import os
import re
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..'))
TABLES = os.path.join(ROOT, 'tee', 'libos', 'syscall', 'table', '*.def')
OUT = os.path.join(ROOT, 'docs', 'syscalls.md')
ROW = re.compile(r'^\s*SYSCALL\(\s*(\d+)\s*,\s*(\w+)\s*,\s*(\w+)\s*,\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\)', re.M)
LEVELS = {'FULL': 'full', 'PARTIAL': 'in part'}
HEAD = '''# System calls

Generated from `tee/libos/syscall/table/*.def` by `tools/gen_syscalls.py`; do not edit. A call without a row answers ENOSYS
and is reported once a site, with what to do; `cloche run --explain` prints the table of those that a program met.

{full} calls are served in full, {partial} in part.

| number | call | level | topic | note |
|---:|---|---|---|---|
'''


def rows():
    found = {}
    for name in sorted(glob.glob(TABLES)):
        topic = os.path.basename(name)[:-len('.def')]
        with open(name, encoding='utf-8') as table:
            for number, call, level, note in ROW.findall(table.read()):
                if level not in LEVELS:
                    sys.exit(f'{name}: {call}: unknown level {level}')
                if int(number) in found:
                    sys.exit(f'{name}: number {number} has two rows')
                text = ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', note)).replace('|', '\\|')
                found[int(number)] = (call, LEVELS[level], topic, text)
    return found


def render():
    table = rows()
    full = sum(row[1] == 'full' for row in table.values())
    lines = [f'| {number} | `{row[0]}` | {row[1]} | {row[2]} | {row[3]} |' for number, row in sorted(table.items())]
    return HEAD.format(full=full, partial=len(table) - full) + '\n'.join(lines) + '\n'


def main():
    text = render()
    if '--check' in sys.argv[1:]:
        with open(OUT, encoding='utf-8') as current:
            if current.read() != text:
                sys.exit('docs/syscalls.md is not current: run tools/gen_syscalls.py')
        print('syscalls: docs/syscalls.md is current')
        return
    with open(OUT, 'w', encoding='utf-8') as out:
        out.write(text)


if __name__ == '__main__':
    main()
