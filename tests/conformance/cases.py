# SPDX-License-Identifier: Apache-2.0
"""Runs one module of CPython's suite and prints one line a case: `case RESULT NAME [reason]`.

Runs inside the image, natively and in the enclave, with the image's own python3. RESULT is ok, skip, fail,
error or expected. Ends with `end COUNT`; a run without that line did not finish. With --processes it also
prints `process EVENT` the first time that the module starts a process.
"""
import os
import sys
import tempfile
import unittest

PROCESS_EVENTS = {'os.fork', 'os.forkpty', 'os.posix_spawn', 'os.system', 'os.exec', 'subprocess.Popen'}


class Lines(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.count = 0

    def line(self, result, test, reason=''):
        self.count += 1
        reason = ' '.join(str(reason).split())[-300:]
        print(f'case {result} {test.id()} {reason}'.rstrip(), file=self.out, flush=True)

    def addSuccess(self, test):
        self.line('ok', test)

    def addSkip(self, test, reason):
        self.line('skip', test, reason)

    def addFailure(self, test, err):
        self.line('fail', test, err[1])

    def addError(self, test, err):
        self.line('error', test, repr(err[1]))

    def addExpectedFailure(self, test, err):
        self.line('expected', test)

    def addUnexpectedSuccess(self, test):
        self.line('fail', test, 'unexpected success')

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.line('fail', subtest, repr(err[1]))


def report_processes(out):
    seen = set()

    def hook(event, args):
        if event in PROCESS_EVENTS and event not in seen:
            seen.add(event)
            print(f'process {event}', file=out, flush=True)
    sys.addaudithook(hook)


def main():
    arguments = sys.argv[1:]
    # The module under test may replace or close stdout; the lines go to a descriptor of their own.
    out = os.fdopen(os.dup(1), 'w', encoding='ascii', errors='backslashreplace')
    os.dup2(2, 1)
    if arguments[0] == '--processes':
        report_processes(out)
        arguments = arguments[1:]
    from test import support
    support.use_resources = []
    support.verbose = False
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        suite = unittest.defaultTestLoader.loadTestsFromName('test.' + arguments[0])
        result = Lines(out)
        suite.run(result)
        os.chdir('/')
    print(f'end {result.count}', file=out, flush=True)
    # Threads that a failed case left behind must not hold up the exit.
    os._exit(0)


if __name__ == '__main__':
    main()
