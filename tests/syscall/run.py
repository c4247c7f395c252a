#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the system-call test program in the enclave: run.py [--build DIR] [--kind KIND] [CASE...]

One run serves all cases; when a case ends or hangs the program, the run goes on behind it. Output is TAP. The same
program passes on plain Linux (its other tests), so whatever fails here is the library OS's.
"""
import argparse
import os
import re
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
import testimage  # noqa: E402

KINDS = ['dynamic', 'static', 'static_pie']
CASE_TIMEOUT_S = 30
SLOW_WHEN_STRICT = {'mm_count_of_mappings_is_bounded': 'tens of thousands of mappings, which strict mode changes at each exit'}
RESULT = re.compile(r'^(ok|not ok) \d+ - (\w+)(.*)$')
STARTED = re.compile(r'^# ([a-z]\w+)$')


def by_design():
    """{case: why it differs}."""
    with open(os.path.join(HERE, 'differences.txt'), encoding='utf-8') as lines:
        rows = [line.strip().split(': ', 1) for line in lines if line.strip() and not line.startswith('#')]
    return dict(rows)


def lines_of(child, timeout):
    """Lines of the child's stdout; ends when it ends, or when it says nothing for the time-out (then kills it)."""
    rest = b''
    while True:
        ready, _, _ = select.select([child.stdout], [], [], timeout)
        chunk = os.read(child.stdout.fileno(), 65536) if ready else b''
        if not chunk:
            if not ready:
                child.kill()
            return
        *lines, rest = (rest + chunk).split(b'\n')
        for line in lines:
            yield line.decode(errors='replace')


def run_once(command, results, notes):
    """Runs until the program ends; fills results {case: (word, note)}. Returns the case that it died in, if it did."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    current, said, complete = None, [], False
    began = time.monotonic()
    for line in lines_of(child, CASE_TIMEOUT_S):
        found = RESULT.match(line)
        if found:
            results[found.group(2)] = (found.group(1), found.group(3))
            notes[found.group(2)] = said
            current, said = None, []
        elif STARTED.match(line) and current is None:
            current = STARTED.match(line).group(1)
        elif line.startswith('1..'):
            complete = True
        else:
            said.append(line)
    words = child.stderr.read().decode(errors='replace').strip()[-1500:]
    status = child.wait()
    if complete:
        return None
    why = 'nothing for 30 s, killed' if status == -9 and time.monotonic() - began > CASE_TIMEOUT_S else f'exit status {status}'
    if current is None:
        raise RuntimeError(f'the program ended between cases: {why}\n{words}')
    results[current] = ('not ok', '')
    notes[current] = said + [f'the program ended here: {why}', *words.splitlines()]
    return current


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--kind', choices=KINDS, default='dynamic')
    parser.add_argument('case', nargs='*')
    args = parser.parse_args()
    files = {f'/opt/syscall_test_{kind}': os.path.join(args.build, 'tests', 'syscall', f'syscall_test_{kind}') for kind in KINDS}
    image = testimage.sealed('python', args.build, files)
    command = [os.path.join(args.build, 'bin', 'cloche'), 'run', image, f'/opt/syscall_test_{args.kind}']
    listed = subprocess.run([files[f'/opt/syscall_test_{args.kind}'], '--list'], check=True, capture_output=True, text=True)
    cases = args.case or listed.stdout.split()
    slow = SLOW_WHEN_STRICT if os.environ.get('CLOCHE_EMU_STRICT') == '1' else {}
    results, notes = {}, {}
    if args.case:
        for case in args.case:
            run_once([*command, case], results, notes)
    else:
        left = [case for case in cases if case not in slow]
        while left:
            died = run_once([*command, *left], results, notes)
            left = left[left.index(died) + 1:] if died is not None else []
        results.update({case: ('ok', ' # SKIP ' + why) for case, why in slow.items()})
    differ = by_design()
    for number, case in enumerate(cases, 1):
        word, note = results.get(case, ('not ok', ''))
        if case in differ:
            word, note = ('ok', ' # SKIP by design: ' + differ[case]) if word != 'ok' else ('not ok', ' does as on Linux: remove it from differences.txt')
            results[case] = (word, note)
        for line in notes.get(case, ['it did not run']):
            if word != 'ok':
                print('# ' + line)
        print(f'{word} {number} - {case}{note}')
    print(f'1..{len(cases)}')
    failed = sum(results.get(case, ('not ok',))[0] != 'ok' for case in cases)
    print(f'# {len(cases) - failed} of {len(cases)} cases as on Linux')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
