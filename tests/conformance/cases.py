# SPDX-License-Identifier: Apache-2.0
"""Runs one module of CPython's suite, or some of its cases, and prints one line a case: `case RESULT NAME [reason]`.

Usage: cases.py MODULE [CASE...]

Runs inside the image, natively and in the enclave, with the image's own python3. RESULT is ok, skip, fail,
error or expected. `uses fork NAME` says that the case before it forked, `uses processes NAME` that it started processes
in any way. Ends with `end COUNT`; a run without that line did not finish.
"""
import importlib
import os
import sys
import tempfile
import time
import unittest

FORK_EVENTS = {'os.fork', 'os.forkpty'}
PROCESS_EVENTS = FORK_EVENTS | {'os.posix_spawn', 'os.system', 'os.exec', 'subprocess.Popen'}
SLOW_CASE_S = 5


def name_of(test):
    """Its id; a test may have put something else in the place of its method."""
    return test.id() if callable(test.id) else unittest.TestCase.id(test)


class Lines(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.count = 0
        self.pid = os.getpid()
        self.events = set()
        self.start = 0

    def line(self, result, test, reason=''):
        if os.getpid() != self.pid:
            return    # a forked child that came back to the suite
        self.count += 1
        reason = ' '.join(str(reason).split())[-300:]
        print(f'case {result} {name_of(test)} {reason}'.rstrip(), file=self.out, flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.events.clear()
        self.start = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        took = time.monotonic() - self.start
        if os.getpid() != self.pid:
            return
        if self.events:
            print(f'uses {"fork" if self.events & FORK_EVENTS else "processes"} {name_of(test)}', file=self.out, flush=True)
        if took > SLOW_CASE_S:
            print(f'took {took:.1f} {name_of(test)}', file=self.out, flush=True)

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


def run(module, cases, result):
    """As the suite's own driver does it: by the module's test_main, which prepares it, or by its cases. A module that says at
    import that it cannot run here is one skipped case."""
    from test import support
    support.use_resources = []
    support.verbose = False
    support._run_suite = lambda suite: suite.run(result)
    try:
        if not cases and hasattr(importlib.import_module('test.' + module), 'test_main'):
            sys.modules['test.' + module].test_main()
            return
    except unittest.SkipTest as skip:
        result.addSkip(unittest.FunctionTestCase(run, description=module), skip)
        return
    except Exception:
        pass    # the loader makes a failing case of it
    names = [f'test.{module}.{case}' for case in cases] or ['test.' + module]
    unittest.defaultTestLoader.loadTestsFromNames(names).run(result)


def main():
    module, cases = sys.argv[1], sys.argv[2:]
    # The module under test may replace or close stdout; the lines go to a descriptor of their own.
    out = os.fdopen(os.dup(1), 'w', encoding='ascii', errors='backslashreplace')
    os.dup2(2, 1)
    result = Lines(out)
    sys.addaudithook(lambda event, args: result.events.add(event) if event in PROCESS_EVENTS else None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run(module, cases, result)
        os.chdir('/')
        if os.getpid() != result.pid:
            os._exit(0)
    print(f'end {result.count}', file=out, flush=True)
    # Threads that a failed case left behind must not hold up the exit.
    os._exit(0)


if __name__ == '__main__':
    main()
