#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Functions that this tree does not use, and why; leftovers; missing SPDX lines."""
import re

import tree

REASONS = {
    'strcpy': 'no bound: memcpy with a checked size',
    'strcat': 'no bound: snprintf',
    'sprintf': 'no bound: snprintf',
    'vsprintf': 'no bound: vsnprintf',
    'gets': 'no bound: fgets',
    'atoi': 'no error: strtol with checks',
    'strtok': 'hidden state: strtok_r or strsep',
    'rand': 'not random: getrandom',
    'system': 'a shell: posix_spawn',
    'popen': 'a shell: posix_spawn',
    'mktemp': 'a race: mkstemp',
}
TEE_REASONS = {name: 'the TEE allocates through its own allocator' for name in
               ('malloc', 'calloc', 'realloc', 'free', 'alloca')}
CALL = re.compile(r'(?<![\w.>])(' + '|'.join([*REASONS, *TEE_REASONS]) + r')\s*\(')
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
LEFTOVER = re.compile(r'\b(TODO|FIXME|XXX)\b')
# Programs under measurement, not part of the product.
PROGRAMS = ('bench/programs/',)
# Tests want the same numbers in each run.
TESTS_MAY = {'rand'}


def without_comments(source):
    """The source with comments and strings blanked; line numbers stay."""
    return COMMENT_OR_STRING.sub(lambda found: re.sub(r'[^\n]', ' ', found.group()), source)


def check(name):
    source = tree.text(name)
    problems = []
    if 'SPDX-License-Identifier: Apache-2.0' not in '\n'.join(source.split('\n', 3)[:3]):
        problems.append(f'{name}: no SPDX tag in the first lines')
    # The agent with a server is a program with a C library; its memory is wiped by tee/agent/server/wipe.c.
    in_tee = name.startswith('tee/') and not name.startswith('tee/agent/server/')
    for number, line in enumerate(without_comments(source).split('\n'), 1):
        for call in CALL.findall(line):
            reason = REASONS.get(call) or (TEE_REASONS[call] if in_tee else None)
            if call in TESTS_MAY and name.startswith('tests/'):
                continue
            if reason and not name.startswith(PROGRAMS):
                problems.append(f'{name}:{number}: {call}: {reason}')
    for number, line in enumerate(source.split('\n'), 1):
        if LEFTOVER.search(line):
            problems.append(f'{name}:{number}: {LEFTOVER.search(line).group()} left in the tree')
    return problems


def main():
    names = tree.files('.c', '.h', '.S', '.def')
    tree.finish('banned', [problem for name in names for problem in check(name)], len(names))


if __name__ == '__main__':
    main()
