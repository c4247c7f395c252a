#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs modules of CPython's own test suite natively and in the enclave, from one image, and compares case by case.

Usage: run.py [--build DIR] [--all | MODULE...]

Without --all and names it runs the modules that cpython.txt marks with *. Output is TAP, a line a module; exit status 1
when a module differs. What is wrong with a module is in the comments in front of its line.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
import testimage  # noqa: E402

LIST = os.path.join(HERE, 'cpython.txt')
RUNNER = os.path.join(HERE, 'cases.py')
RUNNER_IN_IMAGE = '/opt/cloche/cases.py'
CASE = re.compile(r'^case (ok|skip|fail|error|expected) (.*?)$')
NATIVE_TIMEOUT_S = 120
ENCLAVE_TIMEOUT_S = 240
SHOWN_MAX = 12


def read_list():
    """(all modules, representative modules, {case: reason for which it may differ})."""
    modules, representative, exceptions = [], [], {}
    with open(LIST, encoding='utf-8') as lines:
        for line in lines:
            line = line.split('#')[0].strip()
            if line.startswith('except '):
                case, reason = line[len('except '):].split(':', 1)
                exceptions[case.strip()] = reason.strip()
            elif line:
                name = line.rstrip(' *')
                modules.append(name)
                if line.endswith('*'):
                    representative.append(name)
    return modules, representative, exceptions


def parse(output):
    """({case: (result, reason)}, whether it came to its end)."""
    cases, ended = {}, False
    for line in output.splitlines():
        found = CASE.match(line)
        if found:
            name, _, reason = found.group(2).partition(' ')
            while name in cases:
                name += "'"    # the same name again: compared by order
            cases[name] = (found.group(1), reason)
        ended = ended or line.startswith('end ')
    return cases, ended


def run(command, timeout):
    """(cases, ended, seconds, last words of stderr or a reason)."""
    start = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        out, words = done.stdout, done.stderr.decode(errors='replace').strip()[-1500:]
        if done.returncode != 0:
            words += f'\nexit status {done.returncode}'
    except subprocess.TimeoutExpired as late:
        out, words = late.stdout or b'', f'not done after {timeout} s'
    cases, ended = parse(out.decode(errors='replace'))
    return cases, ended, time.monotonic() - start, words


def in_image(module):
    return ['/usr/bin/python3', RUNNER_IN_IMAGE, module]


def native(module):
    folder = testimage.debian_folder('python')
    at = os.path.join(folder, RUNNER_IN_IMAGE.lstrip('/'))
    os.makedirs(os.path.dirname(at), exist_ok=True)
    with open(RUNNER, encoding='utf-8') as source:
        text = source.read()
    with open(at, 'w', encoding='utf-8') as target:
        target.write(text)
    return run(testimage.native_command(folder, in_image(module)), NATIVE_TIMEOUT_S)


def differences(module, want, got, exceptions):
    """The lines that say what differs."""
    lines = []
    for case, (result, _) in want.items():
        if case.split("'")[0] in exceptions:
            continue
        found, reason = got.get(case, ('missing', ''))
        if found != result:
            lines.append(f'{case}: {found} in the enclave, {result} natively: {reason}')
    lines += [f'{case}: {result} in the enclave only: {reason}' for case, (result, reason) in got.items()
              if case not in want and result in ('fail', 'error') and case.split("'")[0] not in exceptions]
    return lines


def compare(module, cloche, image, exceptions):
    """(one line about the module, the lines that say what is wrong)."""
    want, ended, native_s, words = native(module)
    if not ended:
        return f'{module}', [f'the native run did not finish: {words}']
    got, ended, enclave_s, words = run([cloche, 'run', image, *in_image(module)], ENCLAVE_TIMEOUT_S)
    problems = differences(module, want, got, exceptions)
    if not ended:
        problems.insert(0, f'the run in the enclave did not finish: {words}')
    passed = sum(result == 'ok' for result, _ in got.values())
    return f'{module} ({passed} of {len(want)} cases ok, {native_s:.1f} s natively, {enclave_s:.1f} s here)', problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--native-only', action='store_true', help='print how each module does natively')
    parser.add_argument('module', nargs='*')
    args = parser.parse_args()
    # Whoever starts this in the background has SIGINT ignored; the programs under test expect it as it usually is.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    modules, representative, exceptions = read_list()
    modules = args.module or (modules if args.all else representative)
    if args.native_only:
        for module in modules:
            cases, ended, seconds, _ = native(module)
            counts = {kind: sum(result == kind for result, _ in cases.values()) for kind in ('ok', 'fail', 'error', 'skip')}
            print(module, 'ended' if ended else 'not-ended', f'{seconds:.1f}', counts, flush=True)
        return 0
    image = testimage.sealed('python', args.build, {RUNNER_IN_IMAGE: RUNNER})
    cloche = os.path.join(args.build, 'bin', 'cloche')
    failed = 0
    print(f'1..{len(modules)}')
    for number, module in enumerate(modules, 1):
        title, problems = compare(module, cloche, image, exceptions)
        failed += bool(problems)
        for line in problems[:SHOWN_MAX]:
            print('# ' + line.replace('\n', '\n# '))
        if len(problems) > SHOWN_MAX:
            print(f'# and {len(problems) - SHOWN_MAX} more')
        print(f'{"not ok" if problems else "ok"} {number} - {title}', flush=True)
    print(f'# {len(modules) - failed} of {len(modules)} modules as natively')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
