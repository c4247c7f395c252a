# SPDX-License-Identifier: Apache-2.0
"""Runs one module of CPython's suite, or some of its cases, and prints one line a case: `case RESULT NAME [reason]`.

Usage: cases.py [--leave PATTERN]... MODULE [CASE...]

Runs inside the image, natively and in the enclave, with the image's own python3. RESULT is ok, skip, fail,
error or expected. `uses fork NAME` says that the case before it forked, `uses processes NAME` that it started processes
in any way. --leave: cases that are not run. Ends with `end COUNT`; a run without that line did not finish.
"""
import fnmatch
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


def without(suite, left):
    """The same suite without the cases that match a pattern of `left`."""
    if not isinstance(suite, unittest.TestSuite):
        return unittest.TestSuite() if any(fnmatch.fnmatchcase(name_of(suite), pattern) for pattern in left) else suite
    return type(suite)(without(test, left) for test in suite)


def run(module, cases, left, result):
    """As the suite's own driver does it: by the module's test_main, which prepares it, or by its cases. A module that says at
    import that it cannot run here is one skipped case."""
    from test import support
    from test.support import script_helper
    # What a Python that is started from here would find out.
    setattr(script_helper, '__cached_interp_requires_environment', False)
    support.use_resources = []
    support.verbose = False
    run_suite = support._run_suite
    try:
        if not cases and hasattr(importlib.import_module('test.' + module), 'test_main'):
            support._run_suite = lambda suite: without(suite, left).run(result)
            sys.modules['test.' + module].test_main()
            return
    except unittest.SkipTest as skip:
        result.addSkip(unittest.FunctionTestCase(run), skip)
        return
    except Exception:
        pass    # the loader makes a failing case of it
    finally:
        support._run_suite = run_suite
    names = [f'test.{module}.{case}' for case in cases] or ['test.' + module]
    without(unittest.defaultTestLoader.loadTestsFromNames(names), left).run(result)


def main():
    left, arguments = [], sys.argv[1:]
    while arguments[0] == '--leave':
        left.append(arguments[1])
        del arguments[:2]
    module, *cases = arguments
    # The module under test may replace or close stdout; the lines go to a descriptor of their own.
    out = os.fdopen(os.dup(1), 'w', encoding='ascii', errors='backslashreplace')
    os.dup2(2, 1)
    result = Lines(out)
    sys.addaudithook(lambda event, args: result.events.add(event) if event in PROCESS_EVENTS else None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run(module, cases, left, result)
        os.chdir('/')
        if os.getpid() != result.pid:
            os._exit(0)
    print(f'end {result.count}', file=out, flush=True)
    # Threads that a failed case left behind must not hold up the exit.
    os._exit(0)


if __name__ == '__main__':
    main()
