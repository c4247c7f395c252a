#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the system-call test program makes every call of the table, with right and with wrong arguments.

Runs it natively under strace, which counts calls and errors. Output is TAP, one line a table row that lacks something.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
TABLE = os.path.join(HERE, '..', '..', 'tee', 'libos', 'syscall', 'table')
ROW = re.compile(r'^SYSCALL\((\d+), (\w+), (\w+),', re.M)
CASE_TIMEOUT_S = 30
# Waits for a child that stops, which a tracer would let go on only by hand.
NOT_TRACED = {'group_orphaned_hangs_up'}
# They do not come back, so that strace does not count them.
NO_RETURN = {'exit', 'exit_group', 'rt_sigreturn'}
# Not served, and harmless on Linux: what a fork does cannot be compared.
NOT_SERVED = {'fork'}
# There is no wrong use of them.
CANNOT_FAIL = {
    'getpid', 'gettid', 'getppid', 'getuid', 'geteuid', 'getgid', 'getegid', 'getpgrp', 'umask', 'sched_yield', 'sync', 'brk', 'alarm',
    'setfsuid', 'setfsgid', 'eventfd', 'inotify_init', 'set_tid_address', 'munlockall', 'personality', 'pause', 'vfork',
}


def table():
    rows = []
    for path in sorted(glob.glob(os.path.join(TABLE, '*.def'))):
        with open(path, encoding='utf-8') as text:
            rows += [name for _, name, _ in ROW.findall(text.read())]
    return rows


def count_case(program, case):
    """[(call, times, errors)] of a native run of one case, in namespaces of its own: a case that a tracer makes fail leaves children and files."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(program)) as folder:
        out = os.path.join(folder, 'counts')
        try:
            subprocess.run(['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', 'mount -t tmpfs tmpfs /tmp && exec "$@"', 'sh',
                            'strace', '-f', '-qq', '-c', '-U', 'name,calls,errors', '-o', out, program, case], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=CASE_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return []
        with open(out, encoding='ascii', errors='replace') as lines:
            rows = [line.split() for line in lines]
    return [(row[0], int(row[1]), int(row[2]) if len(row) > 2 else 0) for row in rows if len(row) > 1 and row[1].isdigit()]


def count(program):
    """{call: (times, errors)} of all cases."""
    cases = set(subprocess.run([program, '--list'], capture_output=True, text=True, check=True).stdout.split()) - NOT_TRACED
    totals = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for rows in pool.map(lambda case: count_case(program, case), sorted(cases)):
            for name, times, errors in rows:
                before = totals.get(name, (0, 0))
                totals[name] = (before[0] + times, before[1] + errors)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('program')
    args = parser.parse_args()
    if not shutil.which('strace'):
        print('1..0 # SKIP strace is not installed')
        return 0
    rows, counts = table(), count(os.path.abspath(args.program))
    called = [name for name in rows if name in counts or name in NO_RETURN | NOT_SERVED]
    wrong = [name for name in rows if counts.get(name, (0, 0))[1] or name in CANNOT_FAIL | NO_RETURN | NOT_SERVED]
    print('1..2')
    for number, (what, good) in enumerate((('is called', called), ('is called with an error', wrong)), 1):
        missing = [name for name in rows if name not in good]
        print(f'# {len(good)} of {len(rows)} rows; missing: {" ".join(missing) or "none"}')
        print(f'{"ok" if not missing and rows else "not ok"} {number} - every row of the table {what}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
