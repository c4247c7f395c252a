#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone, with the flags of its side, and has `#pragma once` and an SPDX line."""
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import tree

FLAGS = ['-std=gnu11', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter',
         '-Wno-sign-compare', '-Wno-missing-field-initializers', '-x', 'c', '-']
TEE_FLAGS = ['-ffreestanding', '-DTEE_BUILD', '-mgeneral-regs-only']


def server_flags():
    """Where Debian keeps the headers of the server's libraries apart."""
    done = subprocess.run(['pkg-config', '--cflags', 'libpq', 'p11-kit-1'], text=True, capture_output=True, check=True)
    return done.stdout.split()


SERVER_FLAGS = server_flags()


def compile_alone(name):
    flags = TEE_FLAGS if name.startswith('tee/') and not name.startswith('tee/agent/') else []
    if name.startswith(('server/', 'tests/unit/server/')):
        flags = SERVER_FLAGS
    # Included twice, so that a missing guard shows as a redefinition.
    done = subprocess.run([os.environ.get('CC', 'cc'), '-I', tree.ROOT, *flags, *FLAGS],
                          input=f'#include "{name}"\n#include "{name}"\n', text=True,
                          capture_output=True, cwd=tree.ROOT)
    if done.returncode != 0:
        return [f'{name}: does not compile alone\n{done.stderr[:800]}']
    return []


def check(name):
    source = tree.text(name)
    problems = []
    if '#pragma once' not in source:
        problems.append(f'{name}: no #pragma once')
    if 'SPDX-License-Identifier: Apache-2.0' not in source.split('\n', 1)[0]:
        problems.append(f'{name}: the first line is not the SPDX tag')
    return problems + compile_alone(name)


def main():
    names = [name for name in tree.files('.h') if not name.startswith(('bench/', 'examples/'))]
    with ThreadPoolExecutor(2) as pool:
        problems = [problem for found in pool.map(check, names) for problem in found]
    tree.finish('headers', problems, len(names))


if __name__ == '__main__':
    main()
