#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who includes what: the trust boundary is the folder tree, and this holds it."""
import re

import tree

SHARED = {'abi', 'lib'}
# Folder -> the folders whose headers it may include. Tests may include anything.
ALLOWED = {
    'abi': SHARED,
    'lib': SHARED,
    'tee': SHARED | {'tee'},
    'host': SHARED | {'host'},
    'verifier': SHARED | {'verifier'},
    'attest': SHARED | {'attest', 'verifier'},
    'collateral': SHARED | {'collateral', 'verifier'},
    'builder': SHARED | {'builder'},
    'server': SHARED | {'server', 'attest', 'verifier', 'builder', 'collateral'},
    'client': SHARED | {'client', 'attest', 'verifier'},
    'cli': SHARED | {'cli', 'attest', 'builder', 'collateral', 'verifier', 'host', 'client'},
}
# What measured code may take from the compiler and from outside: types and instructions, no library.
TEE_SYSTEM = re.compile(r'^(std(int|def|bool|arg|atomic|align|noreturn)|limits|\w*intrin|cpuid|'
                        r'intel-ipsec-mb|elf|linux/\w[\w/]*|asm/\w[\w/-]*|asm-generic/\w[\w/-]*)\.h$')
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
EMULATION = re.compile(r'^[ \t]*#[ \t]*if.*\bEMU(LATED|LATOR)?\b', re.M)


def check(name):
    folder = name.split('/')[0]
    agent = name.startswith('tee/agent/')  # measured too, but a program of its own with a C library
    if folder not in ALLOWED:
        return []
    problems = []
    source = tree.text(name)
    for kind, path in INCLUDE.findall(source):
        target = path.split('/')[0]
        if kind == '"':
            if '/' not in path:
                problems.append(f'{name}: "{path}" is not named from the root of the tree')
            elif folder == 'tee' and not agent and path.startswith('lib/hosted/'):
                problems.append(f'{name}: the freestanding enclave may not include "{path}"')
            elif agent and target == 'attest':
                continue  # it sends evidence in the form that the other side's code parses
            elif target not in ALLOWED[folder] or agent and target == 'tee' and not path.startswith('tee/agent/'):
                problems.append(f'{name}: {folder}/ may not include "{path}"')
        elif folder == 'tee' and not agent and not TEE_SYSTEM.match(path):
            problems.append(f'{name}: measured code may not include <{path}>')
    if folder == 'tee' and EMULATION.search(source):
        problems.append(f'{name}: measured code depends on the emulator')
    return problems


def main():
    names = tree.files('.c', '.h', '.S', '.def')
    tree.finish('layers', [problem for name in names for problem in check(name)], len(names))


if __name__ == '__main__':
    main()
