#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""clang-format with the tree's .clang-format. `--fix [FOLDER...]` rewrites the files (in these folders)."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import tree

# Tables are laid out by hand; assembly in C is checked by eye.
EXEMPT_SUFFIXES = ('_asm.c', '.def')
EXEMPT_FOLDERS = ('bench/programs/', 'tools/lint/testdata/')


def check(name):
    done = subprocess.run(['clang-format', '--dry-run', '-Werror', '--ferror-limit=1', name],
                          cwd=tree.ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return []
    first = done.stderr.split('\n', 1)[0]
    return [f'{first.split(" error:")[0] or name}: not formatted (tools/lint/format.py --fix)']


def main():
    names = [name for name in tree.files('.c', '.h')
             if not name.endswith(EXEMPT_SUFFIXES) and not name.startswith(EXEMPT_FOLDERS)]
    if '--fix' in sys.argv[1:]:
        folders = tuple(folder for folder in sys.argv[1:] if folder != '--fix')
        names = [name for name in names if name.startswith(folders or '')]
        subprocess.run(['clang-format', '-i', *names], cwd=tree.ROOT, check=True)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [problem for found in pool.map(check, names) for problem in found]
    tree.finish('format', problems, len(names))


if __name__ == '__main__':
    main()
