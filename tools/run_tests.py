#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the Meson tests and ends with one line `N passed, N failed, N skipped`.

A test that reports its cases (TAP) counts one a case. What was skipped is named, with its reason.
Exit status: 0 when nothing failed and something ran.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

TAP_LINE = re.compile(r'^(ok|not ok)\b *(\d+)? *-? *([^#]*)(?:# *(SKIP|skip|TODO)\b *(.*))?')
SETUP_TIMEOUT_MULTIPLIER = '1'


def run_meson(build, suites, names):
    command = ['meson', 'test', '-C', build, '--no-rebuild', '--print-errorlogs',
               '--timeout-multiplier', SETUP_TIMEOUT_MULTIPLIER]
    for suite in suites:
        command += ['--suite', suite]
    log = os.path.join(build, 'meson-logs', 'testlog.json')
    if os.path.exists(log):
        os.unlink(log)
    subprocess.run(command + names, stdin=subprocess.DEVNULL)
    if not os.path.exists(log):
        return []
    with open(log, encoding='utf-8', errors='replace') as lines:
        return [json.loads(line) for line in lines if line.strip()]


def list_tests(build, suites, names):
    """The tests that are to run, by their full names."""
    command = ['meson', 'test', '-C', build, '--no-rebuild', '--list']
    for suite in suites:
        command += ['--suite', suite]
    listed = subprocess.run(command + names, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return [line for line in listed.stdout.splitlines() if ' / ' in line]


def files_without_test(build):
    """Files of tests that no test of the build runs: somebody forgot to name them in a meson.build."""
    with open(os.path.join(build, 'meson-info', 'intro-tests.json'), encoding='utf-8') as listing:
        named = {os.path.basename(word) for test in json.load(listing) for word in test['cmd']}
    top = os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'tests')
    return sorted(file for _, _, files in os.walk(top) for file in files if re.fullmatch(r'test_\w+\.py', file) and file not in named)


def count_cases(entry):
    """The cases of one test as lists of names: passed, failed, skipped."""
    name = entry['name']
    passed, failed, skipped = [], [], []
    for line in (entry.get('stdout') or '').splitlines():
        found = TAP_LINE.match(line)
        if not found:
            continue
        case = f'{name}: {(found.group(3) or "").strip() or found.group(2)}'
        if (found.group(4) or '').upper() == 'SKIP':
            skipped.append(f'{case} ({found.group(5).strip()})')
        elif found.group(1) == 'ok':
            passed.append(case)
        else:
            failed.append(case)
    result = entry['result']
    if result in ('FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT', 'UNEXPECTEDPASS') and not failed:
        failed.append(f'{name} ({result.lower()})')
    elif result == 'SKIP' and not skipped:
        reason = (entry.get('stdout') or entry.get('stderr') or '').strip().splitlines()
        skipped.append(f'{name} ({reason[-1] if reason else "no reason given"})')
    elif not passed and not failed and not skipped:
        passed.append(name)
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', default='build')
    parser.add_argument('--suite', action='append', default=[])
    parser.add_argument('name', nargs='*')
    args = parser.parse_args()

    start = time.monotonic()
    passed, failed, skipped = [], [], []
    expected = list_tests(args.build, args.suite, args.name)
    entries = run_meson(args.build, args.suite, args.name)
    ran = {entry['name'] for entry in entries}
    # Meson can end in the middle; what has no result has not passed.
    failed += [] if expected else ['Meson lists no test']
    failed += [f'{name} (no result)' for name in expected if name not in ran]
    failed += [f'{name} (two tests have this name)' for name in set(expected) if expected.count(name) > 1]
    failed += [f'{file} (no test runs it)' for file in files_without_test(args.build)]
    for entry in entries:
        for total, part in zip((passed, failed, skipped), count_cases(entry)):
            total += part
    print(f'\nTests took {time.monotonic() - start:.0f} s.')
    for name in skipped:
        print(f'skipped: {name}')
    for name in failed:
        print(f'failed: {name}')
    print(f'{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped', flush=True)
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
