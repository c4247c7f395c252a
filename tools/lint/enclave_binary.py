#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the enclave's ELF file: no writable code, nothing undefined or dynamic, and no instruction
that an enclave may not run (SDM vol. 3D, "Illegal instructions") outside a named function.

Usage: enclave_binary.py ENCLAVE
"""
import os
import re
import subprocess
import sys

import tree

ALLOW = os.path.join(os.path.dirname(__file__), 'enclave_allow.txt')
ILLEGAL = re.compile(
    r'^(syscall|sysenter|sysexit|sysret\w*|int|int1|into|iret\w*|cpuid|rdtscp?|rdpmc|getsec|in|ins\w*|out|outs\w*|'
    r'hlt|cli|sti|sgdt|sidt|sldt|str|smsw|lgdt|lidt|lldt|ltr|lmsw|vmcall|vmfunc|vmmcall|rdmsr|wrmsr|'
    r'invd|wbinvd|monitor|mwait|xsetbv|clgi|stgi|swapgs|enclu|encls|enclv|lret\w*|ljmp\w*|lcall\w*)$')
SYMBOL = re.compile(r'^[0-9a-f]+ <([^>]+)>:$')
INSTRUCTION = re.compile(r'^\s*[0-9a-f]+:\t(?:(?:rep|repz|repnz|lock|data16|cs|notrack)\s+)*([a-z0-9]+)')


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def allowed_pairs():
    with open(ALLOW, encoding='utf-8') as lines:
        rows = [line.split('#')[0].split() for line in lines]
    return {(row[0], mnemonic) for row in rows if row for mnemonic in row[1:]}


def check_segments(enclave):
    problems = []
    for line in output('readelf', '-lW', enclave).splitlines():
        words = line.split()
        if not words:
            continue
        flags = ''.join(re.findall(r'(?<=\s)[RWE]{1,3}(?=\s)', line.replace('R E', 'RE')))
        if words[0] in ('LOAD', 'GNU_STACK') and 'W' in flags and 'E' in flags:
            problems.append(f'{words[0]} segment is writable and executable: {line.strip()}')
        if words[0] in ('INTERP', 'DYNAMIC'):
            problems.append(f'has a {words[0]} segment; the enclave is static')
    return problems


def check_symbols(enclave):
    return [f'undefined symbol {line.split()[-1]}'
            for line in output('nm', '-u', enclave).splitlines() if line.strip()]


def check_instructions(enclave):
    allowed, used, problems, symbol = allowed_pairs(), set(), [], '?'
    count = 0
    for line in output('objdump', '-d', '--no-show-raw-insn', enclave).splitlines():
        found = SYMBOL.match(line)
        if found:
            symbol = found.group(1)
            continue
        found = INSTRUCTION.match(line)
        if not found:
            continue
        count += 1
        if ILLEGAL.match(found.group(1)):
            pair = (symbol, found.group(1))
            if pair in allowed:
                used.add(pair)
            else:
                problems.append(f'{symbol}: {line.strip()}')
    problems += [f'{name} {mnemonic}: in enclave_allow.txt, but not in the enclave'
                 for name, mnemonic in sorted(allowed - used)]
    return problems, count


def main():
    if len(sys.argv) != 2 or not os.path.exists(sys.argv[1]):
        print(f'enclave binary: {" ".join(sys.argv[1:])}: no such file')
        sys.exit(1)
    problems, count = check_instructions(sys.argv[1])
    problems += check_segments(sys.argv[1]) + check_symbols(sys.argv[1])
    tree.finish('enclave binary', problems, f'{count} instructions')


if __name__ == '__main__':
    main()
