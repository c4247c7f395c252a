#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs modules of CPython's own test suite natively and in the enclave, from one image, and compares case by case.

Usage: run.py [--build DIR] [--all] [--json FILE] [MODULE | MODULE.CLASS[.CASE]]...

Without --all and names it runs the part of the modules that cpython.txt names. Output is TAP, a line a module, then
totals; exit status 1 when a case that no exception covers does not pass in the enclave, when a run crashes or hangs, or,
with --all, when fewer than 98.5% of the cases that pass natively pass. What is wrong with a module is in the comments in front of its line. A
module that differs runs once more, alone: what differs only when others run beside it is named, and not counted.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
import testimage  # noqa: E402
from judge import Plan, Run, Verdict, modules_of  # noqa: E402

LIST = os.path.join(HERE, 'cpython.txt')
RUNNER = os.path.join(HERE, 'cases.py')
RUNNER_IN_IMAGE = '/opt/cloche/cases.py'
NATIVE_TIMEOUT_S = 180
ENCLAVE_TIMEOUT_S = 300
SIDE_BY_SIDE = 2
SHOWN_MAX = 12
SHARE = 0.985


def execute(command, timeout):
    start = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        out, words = done.stdout, done.stderr.decode(errors='replace').strip()[-1500:]
        if done.returncode != 0:
            words += f'\nexit status {done.returncode}'
    except subprocess.TimeoutExpired as late:
        out, words = late.stdout or b'', f'not done after {timeout} s'
    return Run(out.decode(errors='replace'), time.monotonic() - start, words)


class Suite:
    def __init__(self, build):
        self.build = build
        self.folder = testimage.debian_folder('python')
        self.plan = Plan(LIST)
        self.modules = modules_of(self.folder)
        for name in [*self.plan.out, *self.plan.part]:
            if name not in self.modules:
                raise SystemExit(f'{LIST}: the package has no module {name}')
        at = os.path.join(self.folder, RUNNER_IN_IMAGE.lstrip('/'))
        subprocess.run(['install', '-D', RUNNER, at], check=True)
        self.inside = [name for name in self.modules if name not in self.plan.out]
        self.image = None

    def argv(self, name, left=()):
        """A module, or a module and one of its classes or cases."""
        module = max((known for known in self.modules if name == known or name.startswith(known + '.')), key=len, default=name)
        rest = name[len(module) + 1:]
        options = [word for pattern in left if pattern.startswith(f'test.{module}.') for word in ('--leave', pattern)]
        return ['/usr/bin/python3', RUNNER_IN_IMAGE, *options, module, *([rest] if rest else [])]

    def native(self, name):
        return execute(testimage.native_command(self.folder, self.argv(name, self.plan.dropped)), NATIVE_TIMEOUT_S)

    def enclave(self, name):
        cloche = os.path.join(self.build, 'bin', 'cloche')
        return execute([cloche, 'run', self.image, *self.argv(name, self.plan.left + self.plan.dropped)], ENCLAVE_TIMEOUT_S)

    def compare(self, name):
        return Verdict(name, self.native(name), self.enclave(name), self.plan)

    def verdicts(self, names):
        """Verdicts in order; those that differ are made anew at the end, with nothing beside them."""
        self.image = testimage.sealed('python', self.build, {RUNNER_IN_IMAGE: RUNNER})
        again = []
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for verdict in pool.map(self.compare, names):
                if verdict.problems:
                    again.append(verdict)
                else:
                    yield verdict, []
        for first in again:
            second = self.compare(first.module)
            yield second, [] if second.problems else first.problems


def report(number, verdict, once):
    """One module's lines."""
    for case, words in verdict.problems[:SHOWN_MAX]:
        print('# ' + f'{case}: {words}'.replace('\n', '\n# '))
    if len(verdict.problems) > SHOWN_MAX:
        print(f'# and {len(verdict.problems) - SHOWN_MAX} more')
    for case, words in once[:SHOWN_MAX]:
        print('# in the first of two runs only: ' + f'{case}: {words}'.replace('\n', '\n# '))
    more = f', {len(verdict.excepted)} excepted' if verdict.excepted else ''
    print(f'{"not ok" if verdict.problems else "ok"} {number} - {verdict.module} ({verdict.passed} of {verdict.wanted} cases{more}, '
          f'{verdict.native.seconds:.1f} s natively, {verdict.enclave.seconds:.1f} s here)', flush=True)


def totals(suite, done, seconds, whole):
    """Prints them; returns (whether all is well, the same for JSON)."""
    wanted, passed = (sum(getattr(verdict, word) for verdict in done) for word in ('wanted', 'passed'))
    excepted = sum(len(verdict.excepted) for verdict in done)
    failed = [verdict.module for verdict in done if verdict.problems]
    stuck = [verdict.module for verdict in done if not verdict.enclave.ended]
    used = {pattern for verdict in done for pattern in verdict.excepted.values()}
    for verdict in done:
        for case, pattern in verdict.passing.items():
            if pattern not in suite.plan.sometimes and '*' not in pattern and not pattern.startswith('@'):
                print(f'# listed as an exception, but passes: {case}')
    if whole:
        for pattern in suite.plan.exceptions:
            if pattern not in used and pattern not in suite.plan.sometimes:
                print(f'# no case fails under this exception: {pattern}')
    share = passed / wanted if wanted else 0
    print(f'# {len(done)} modules, {len(done) - len(failed)} as natively or as listed; {passed} of {wanted} cases that pass natively pass here '
          f'({100 * share:.2f}%); {excepted} excepted; {len(stuck)} runs without an end; {seconds:.0f} s')
    print(f'# the package has {len(suite.modules)} modules: {len(suite.inside)} in, {len(suite.plan.out)} out; '
          f'of those that ran, {sum(verdict.wanted > 0 for verdict in done)} have cases that pass natively')
    return not failed and (share >= SHARE or not whole), {
        'modules': {verdict.module: verdict.as_json() for verdict in done}, 'out': suite.plan.out,
        'totals': {'modules': len(done), 'modules_failed': failed, 'modules_without_end': stuck, 'native_ok': wanted, 'enclave_ok': passed,
                   'share': round(share, 5), 'excepted': excepted, 'seconds': round(seconds)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--json', help='also write the results to this file')
    parser.add_argument('name', nargs='*')
    args = parser.parse_args()
    # Whoever starts this in the background has SIGINT ignored; the programs under test expect it as it usually is.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    suite = Suite(args.build)
    names = args.name or (suite.inside if args.all else suite.plan.part)
    start, done = time.monotonic(), []
    print(f'1..{len(names)}')
    for verdict, once in suite.verdicts(names):
        done.append(verdict)
        report(len(done), verdict, once)
    well, results = totals(suite, done, time.monotonic() - start, args.all)
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            json.dump(results, file, indent=1)
    return 0 if well else 1


if __name__ == '__main__':
    sys.exit(main())
