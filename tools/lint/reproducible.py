#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the enclave in two folders of different names and depths; the bytes must be equal.

Usage: reproducible.py TARGET     (the enclave's path in a build folder)
"""
import hashlib
import os
import subprocess
import sys
import tempfile

import tree


def build(folder, target):
    quiet = {'stdin': subprocess.DEVNULL, 'capture_output': True, 'text': True}
    for command in (['meson', 'setup', folder, tree.ROOT], ['ninja', '-j', '2', '-C', folder, target]):
        done = subprocess.run(command, **quiet)
        if done.returncode != 0:
            print(done.stdout[-4000:], done.stderr[-2000:])
            sys.exit(1)
    with open(os.path.join(folder, target), 'rb') as enclave:
        return hashlib.sha256(enclave.read()).hexdigest()


def main():
    target = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix='cloche-') as folder:
        deep = os.path.join(folder, 'a', 'much', 'deeper', 'folder')
        os.makedirs(deep)
        digests = [build(os.path.join(folder, 'one'), target), build(deep, target)]
    problems = []
    if digests[0] != digests[1]:
        problems.append(f'{target}: {digests[0]} and {digests[1]} from two build folders')
    tree.finish('reproducible', problems, f'{digests[0]}')


if __name__ == '__main__':
    main()
