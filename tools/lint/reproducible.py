#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds what is measured in two folders of different names and depths; the bytes must be equal.

Usage: reproducible.py TARGET...     (paths in a build folder: the enclave, the agent)
"""
import hashlib
import os
import subprocess
import sys
import tempfile

import tree


def build(folder, targets):
    """{target: its digest}."""
    quiet = {'stdin': subprocess.DEVNULL, 'capture_output': True, 'text': True}
    for command in (['meson', 'setup', folder, tree.ROOT], ['ninja', '-j', '2', '-C', folder, *targets]):
        done = subprocess.run(command, **quiet)
        if done.returncode != 0:
            print(done.stdout[-4000:], done.stderr[-2000:])
            sys.exit(1)
    digests = {}
    for target in targets:
        with open(os.path.join(folder, target), 'rb') as built:
            digests[target] = hashlib.sha256(built.read()).hexdigest()
    return digests


def main():
    targets = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix='cloche-') as folder:
        deep = os.path.join(folder, 'a', 'much', 'deeper', 'folder')
        os.makedirs(deep)
        first, second = build(os.path.join(folder, 'one'), targets), build(deep, targets)
    problems = [f'{target}: {first[target]} and {second[target]} from two build folders'
                for target in targets if first[target] != second[target]]
    tree.finish('reproducible', problems, ' '.join(first.values()))


if __name__ == '__main__':
    main()
