#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make fuzz`: builds each target with clang, libFuzzer, ASan and UBSan, and runs it for a while from its seeds.

Usage: run.py [--seconds N] [NAME...]. A crash leaves its input in build-fuzz/found/NAME/ and fails the run.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, '..', '..'))
BUILD = os.path.join(ROOT, 'build-fuzz')


def build(names):
    if not os.path.exists(os.path.join(BUILD, 'build.ninja')):
        subprocess.run(['meson', 'setup', '-Dfuzz=true', BUILD, ROOT], check=True, env={**os.environ, 'CC': 'clang'},
                       stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', BUILD, *(f'tests/fuzz/fuzz_{name}' for name in names)], check=True,
                   stdout=subprocess.DEVNULL)


def fuzz(name, seconds):
    """Whether it stayed clean."""
    found, grown = os.path.join(BUILD, 'found', name), os.path.join(BUILD, 'corpus', name)
    os.makedirs(found, exist_ok=True)
    os.makedirs(grown, exist_ok=True)
    seeds = os.path.join(HERE, 'corpus', name)
    command = [os.path.join(BUILD, 'tests', 'fuzz', f'fuzz_{name}'), f'-max_total_time={seconds}', '-timeout=60',
               '-rss_limit_mb=2048', '-print_final_stats=1', f'-artifact_prefix={found}/', grown, seeds]
    with tempfile.TemporaryDirectory(prefix='cloche-fuzz-') as folder:  # for targets that keep a store
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace',
                              env={**os.environ, 'TMPDIR': folder})
    runs = re.search(r'number_of_executed_units: (\d+)', done.stderr)
    print(f'{name}: {runs.group(1) if runs else "?"} runs in {seconds} s, '
          f'{"clean" if done.returncode == 0 else "FAILED"}', flush=True)
    if done.returncode != 0:
        print(done.stderr[-3000:])
        print(f'inputs: {found}')
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=int, default=60)
    parser.add_argument('name', nargs='*')
    args = parser.parse_args()
    names = args.name or sorted(os.path.basename(path)[len('fuzz_'):-len('.c')]
                                for path in glob.glob(os.path.join(HERE, 'fuzz_*.c')) if not path.endswith('fuzz_main.c'))
    build(names)
    failed = [name for name in names if not fuzz(name, args.seconds)]
    print(f'{len(names) - len(failed)} passed, {len(failed)} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
