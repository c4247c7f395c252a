# SPDX-License-Identifier: Apache-2.0
"""What cpython.txt says, what a run printed, and how the two runs of a module compare. No processes are started here."""
import fnmatch
import os
import re

CASE = re.compile(r'^case (ok|skip|fail|error|expected) (.*)$')
USES = re.compile(r'^uses (fork|processes) (.*)$')
# Patterns of all cases that fork natively, or start processes in any way.
ANY_FORK, ANY_PROCESS = '@fork', '@processes'


class Plan:
    """cpython.txt: `out MODULE: reason`, `part MODULE`, `except PATTERN: reason`, `sometimes PATTERN: reason`,
    `leave PATTERN: reason`, `drop PATTERN: reason`.

    All modules of the package are in but those that are out. A case that matches an exception may end in any way; one
    that passes is reported, unless it is named with `sometimes`. A case that is left is not run in the enclave, one that is
    dropped is not run natively either."""

    def __init__(self, path):
        self.out, self.part, self.exceptions, self.sometimes, self.left, self.dropped = {}, [], {}, set(), [], []
        with open(path, encoding='utf-8') as lines:
            for number, line in enumerate(lines, 1):
                line = line.strip()
                if line and not line.startswith('#'):
                    self.add(line, f'{path}:{number}')

    def add(self, line, place):
        word, _, rest = line.partition(' ')
        name, colon, reason = (part.strip() for part in rest.partition(': '))
        if word == 'part' and not colon:
            self.part.append(name)
        elif word == 'out' and reason:
            self.out[name] = reason
        elif word == 'drop' and reason:
            self.dropped.append(name)
        elif word in ('except', 'sometimes', 'leave') and reason:
            self.exceptions[name] = reason
            if word == 'sometimes':
                self.sometimes.add(name)
            if word == 'leave':
                self.left.append(name)
        else:
            raise SystemExit(f'{place}: not `part MODULE`, `out MODULE: reason` or `except PATTERN: reason`')

    def pattern_of(self, case, native):
        """The exception that a case matches, or None."""
        if case in self.exceptions:
            return case
        if case in native.forks and ANY_FORK in self.exceptions:
            return ANY_FORK
        if case in native.processes and ANY_PROCESS in self.exceptions:
            return ANY_PROCESS
        return next((pattern for pattern in self.exceptions if '*' in pattern and fnmatch.fnmatchcase(case, pattern)), None)


def modules_of(folder):
    """All modules with tests of a root file system, as names below `test.`."""
    top, found = os.path.join(folder, 'usr/lib/python3.11/test'), []
    for at, folders, files in os.walk(top):
        folders.sort()
        package = os.path.relpath(at, top).replace('/', '.')
        names = [name[:-len('.py')] for name in files if name.startswith('test_') and name.endswith('.py')]
        if package != '.':
            names = [f'{package}.{name}' for name in names]
            if not names and '__init__.py' in files and os.path.basename(at).startswith('test_') and not any_tests(at):
                names = [package]
        found += names
    return sorted(found)


def any_tests(folder):
    return any(name.startswith('test_') and name.endswith('.py') for _, _, files in os.walk(folder) for name in files)


class Run:
    """The lines of one run of a module."""

    def __init__(self, output, seconds, words):
        self.cases, self.forks, self.processes = {}, set(), set()
        self.ended, self.seconds, self.words = False, seconds, words
        for line in output.splitlines():
            case, uses = CASE.match(line), USES.match(line)
            if case:
                name, _, reason = case.group(2).partition(' ')
                while name in self.cases:
                    name += "'"    # the same name again: compared by order
                self.cases[name] = (case.group(1), reason)
            elif uses:
                (self.forks if uses.group(1) == 'fork' else self.processes).add(uses.group(2))
            self.ended = self.ended or line.startswith('end ')

    def count(self, result='ok'):
        return sum(found == result for found, _ in self.cases.values())


class Verdict:
    """native, enclave: Run. problems: [(case, words)] that no exception covers; excepted: {case: pattern} that fail under
    an exception; passing: {case: pattern} that pass although listed."""

    def __init__(self, module, native, enclave, plan):
        self.module, self.native, self.enclave = module, native, enclave
        self.problems, self.excepted, self.passing = [], {}, {}
        if not native.ended:
            self.problems.append((module, f'the native run did not finish: {native.words}'))
            return
        if not enclave.ended:
            self.problems.append((module, f'the run in the enclave did not finish: {enclave.words}'))
        for case in {**native.cases, **enclave.cases}:
            self.judge(case, plan)

    def judge(self, case, plan):
        want, _ = self.native.cases.get(case, ('missing', ''))
        got, reason = self.enclave.cases.get(case, ('missing', ''))
        bare = case.rstrip("'")
        pattern = plan.pattern_of(bare, self.native)
        if want in ('ok', 'expected') and got == want:
            if pattern:
                self.passing[case] = pattern
        elif want in ('ok', 'expected') or (got in ('fail', 'error') and want not in ('fail', 'error')):
            if pattern:
                self.excepted[case] = pattern
            else:
                self.problems.append((case, f'{got} in the enclave, {want} natively: {reason}'))

    @property
    def wanted(self):
        return self.native.count()

    @property
    def passed(self):
        """Of the cases that pass natively, how many pass in the enclave."""
        return sum(result == 'ok' and self.enclave.cases.get(case, ('', ''))[0] == 'ok'
                   for case, (result, _) in self.native.cases.items())

    def as_json(self):
        return {'native_ok': self.wanted, 'enclave_ok': self.passed, 'native_s': round(self.native.seconds, 1),
                'enclave_s': round(self.enclave.seconds, 1), 'forking_cases': len(self.native.forks),
                'differences': dict(self.problems), 'exceptions': self.excepted, 'passing_exceptions': self.passing}
