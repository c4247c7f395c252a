#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs pytest files and reports in TAP, a line a test, for the build's own count. Usage: run.py BUILD FILE..."""
import os
import sys

import pytest


class Tap:
    def __init__(self):
        self.count = 0

    def line(self, word, report, note=''):
        self.count += 1
        name = report.nodeid.split('tests/e2e/')[-1].replace('#', '').replace('\n', ' ')
        print(f'{word} {self.count} - {name}{note}', flush=True)

    def pytest_addoption(self, parser):
        # What the terminal's own plugin would add, and assertions ask for.
        parser.addoption('--verbose', type=int, default=0, dest='verbose')

    def pytest_runtest_logreport(self, report):
        if report.when == 'call' and report.passed:
            self.line('ok', report)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.line('ok', report, ' # SKIP ' + reason.replace('Skipped: ', '').replace('\n', ' '))
        elif report.failed:
            for line in str(report.longrepr).splitlines()[-40:]:
                print('# ' + line[:400])
            self.line('not ok', report)

    def pytest_collectreport(self, report):
        if report.failed:
            for line in str(report.longrepr).splitlines():
                print('# ' + line)
            self.line('not ok', report)


def main():
    os.environ['CLOCHE_BUILD'] = os.path.realpath(sys.argv[1])
    tap = Tap()
    status = pytest.main(['-p', 'no:terminal', '-p', 'no:cacheprovider', '-p', 'no:randomly', *sys.argv[2:]], plugins=[tap])
    print(f'1..{tap.count}')
    return 0 if status in (0, 5) else 1


if __name__ == '__main__':
    sys.exit(main())
