# SPDX-License-Identifier: Apache-2.0
"""What the checks of this folder share: the tree's C files and how they report."""
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))


def files(*suffixes):
    """Tracked and new files (not ignored) with one of the suffixes, relative to the root, sorted."""
    try:
        listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT, check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        names = listed.stdout.decode(errors='surrogateescape').split('\0')
    except (OSError, subprocess.CalledProcessError):    # no git, or no git tree: everything but build folders
        names = [os.path.relpath(os.path.join(folder, name), ROOT)
                 for folder, _, entries in os.walk(ROOT) for name in entries
                 if not os.path.relpath(folder, ROOT).startswith(('build', '.git'))]
    return sorted(name for name in names
                  if name.endswith(suffixes) and os.path.isfile(os.path.join(ROOT, name)))


def text(name):
    with open(os.path.join(ROOT, name), encoding='utf-8', errors='replace') as source:
        return source.read()


def finish(what, problems, checked):
    """Prints the problems; exits 1 when there is one."""
    for problem in problems:
        print(problem)
    print(f'{what}: {checked} checked, {len(problems)} problems')
    sys.exit(1 if problems else 0)
