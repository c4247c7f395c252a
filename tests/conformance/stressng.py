#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs stress-ng's stressors one by one, natively and in the enclave, and says how each ends.

Usage: stressng.py [--build DIR] [--all] [--native | --enclave] [--seconds N] [--class CLASS]... [--json FILE] [--write FILE]
                   [STRESSOR]...

Each stressor runs alone with --verify. stress-ng forks for each of its workers; as a process that is forked is not served,
first_fork.c is preloaded: the worker runs in the process that was started, natively too, and its own status is what
counts. Forks of its own are real: served natively, refused in the enclave; one that ends badly there and forks is tried
natively with its forks refused, and when it ends as badly it is the refusal that counts. It ends in one of these ways:
  pass      the worker ended well and found nothing wrong
  refused   the stressor says itself that the system lacks what it needs, or it wanted to fork processes of its own
  failed    it found something wrong, or gave up for another reason
  crashed   a signal ended it
  stuck     it was not done long after its time, and was killed
Without --all, --class and names: the quick part that belongs to `make test`, a second each. Prints TAP: a refusal is a skip, and so
is what ends no better natively. Exit status 1 when anything failed, crashed or was stuck in the enclave and not natively.
--write FILE puts the table between its marks.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
import testimage  # noqa: E402

IMAGE = 'stress'
# What later versions call signal is interrupt in Debian 12's.
CLASSES = ['cpu', 'cpu-cache', 'memory', 'pipe', 'scheduler', 'io', 'filesystem', 'interrupt', 'vm']
PART = ['cpu', 'memcpy', 'qsort', 'sendfile', 'pthread', 'aio', 'dentry', 'rename', 'timerfd', 'itimer', 'malloc', 'mmap', 'mremap',
        'brk', 'vm']
AT_A_TIME = 2
SECONDS, PART_SECONDS = 3, 1
GRACE_S = 40
# Native runs share the machine with others: address space, not memory, is what a stressor may take there.
NATIVE_LIMIT = ['/usr/bin/prlimit', '--as=6442450944']
# A process 1 above the stressor's, as the enclave has one: a process 1 takes no signal.
UNDER_INIT = ['/bin/sh', '-c', '"$@"; exit $?', 'sh']
LINE = re.compile(r'^stress-ng: (\w+): +\[\d+\] (.*)$', re.M)
LACKS = re.compile(r'skipped|skipping|not (?:supported|implemented|available|enabled|allowed)|no such|cannot be|can\'t|needs|ENOSYS|'
                   r'errno=38|No stress workers invoked|not built in|need to be running with|insufficient', re.I)
# stress-ng's own exit status, for those that say more than "something went wrong".
NO_RESOURCE, NOT_IMPLEMENTED = 3, 4
# first_fork.c says so, and where. This stressor's fork is the one of all that may run out of memory.
FORKS = re.compile(r'^first_fork: forks at ([0-9a-f]+)$', re.M)
ALSO_IN = 'brk'
# The library OS ends the process that needs memory when there is none, and says so.
MEMORY_USED_UP = 'memory is used up'
FORK_WORDS = re.compile(r'fork|errno=38', re.I)
GOOD = ('pass', 'refused')
KINDS = ('pass', 'refused', 'failed', 'crashed', 'stuck')
PRELOAD = '/usr/lib/first_fork.so'
MARKS = ('<!-- stress-ng: begin -->', '<!-- stress-ng: end -->')


class Ending:
    """How one stressor ended: kind (see above) and, in its own words, why."""

    def __init__(self, kind, why, seconds, output=''):
        self.kind, self.why, self.seconds, self.output = kind, why, seconds, output


def judge(status, output, forks_served):
    """(kind, why). status None: it was killed after its time."""
    forks = not forks_served and FORKS.search(output)
    said = LINE.findall(output)
    bad = [words for level, words in said if level in ('error', 'fail')]
    lacks = [words for _, words in said if LACKS.search(words)]
    failures = [words for level, words in said if level == 'fail' and not FORK_WORDS.search(words)]
    if status is None:
        return 'stuck', 'not done long after its time'
    if status == 128 + signal.SIGKILL and MEMORY_USED_UP in output:
        return 'refused', "it takes all memory, and was ended when the enclave's was used up"
    if status < 0 or 128 < status < 128 + signal.NSIG:
        return 'crashed', f'ended by signal {-status if status < 0 else status - 128}'
    if failures:
        return 'failed', failures[0]
    if forks and (status in (0, NO_RESOURCE, NOT_IMPLEMENTED) or all(FORK_WORDS.search(words) for words in bad)):
        return 'refused', 'forks processes of its own'
    if status in (NO_RESOURCE, NOT_IMPLEMENTED) or 'No stress workers invoked' in output or (status != 0 and lacks):
        return 'refused', (lacks or bad or ['no words'])[0]
    if status == 0:
        return 'pass', ''
    return 'failed', (bad or output.strip().splitlines()[-1:] or [f'exit status {status}'])[0]


def build_preload(build):
    path = os.path.join(build, 'first_fork.so')
    subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', path, os.path.join(HERE, 'first_fork.c')], check=True)
    return path


def run_bounded(command, timeout_s):
    """(exit status or None after the time, output, seconds). The command and all that it starts are a session, which ends with it."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        output.seek(0)
        return status, output.read().decode(errors='replace'), time.monotonic() - start


class Stress:
    def __init__(self, build, where, seconds):
        self.folder = testimage.debian_folder(IMAGE)
        self.cloche = os.path.join(build, 'bin', 'cloche')
        self.seconds = seconds
        preload = build_preload(build)
        self.more = tempfile.TemporaryDirectory()
        os.makedirs(self.more.name + os.path.dirname(PRELOAD))
        shutil.copy(preload, self.more.name + PRELOAD)
        self.image = testimage.sealed(IMAGE, build, {PRELOAD: preload}) if 'enclave' in where else None
        self.variables = [f'LD_PRELOAD={PRELOAD}']
        self.variables.append(f'FIRST_FORK_ALSO={self.find_also()}')

    def command(self, where, argv, variables=()):
        argv = ['/usr/bin/env', *self.variables, *variables, *argv]
        if where == 'enclave':
            return [self.cloche, 'run', self.image, *argv]
        return testimage.native_command(self.folder, [*UNDER_INIT, *NATIVE_LIMIT, *argv], None, self.more.name)

    def classes(self, wanted):
        """{stressor: [classes]} in order."""
        found = {}
        for name in wanted:
            done = subprocess.run(testimage.native_command(self.folder, ['/usr/bin/stress-ng', '--class', name + '?']),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
            for stressor in done.stdout.partition('stressors:')[2].split():
                found.setdefault(stressor, []).append(name)
        return found

    def stress(self, where, name, seconds, variables=()):
        argv = ['/usr/bin/stress-ng', f'--{name}', '1', '--timeout', str(seconds), '--verify', '--temp-path', '/tmp']
        return run_bounded(self.command(where, argv, variables), seconds + GRACE_S)

    def find_also(self):
        """Where stress-ng forks for stressors that may run out of memory, on a machine that may be very busy."""
        for seconds in (1, 5, 20):
            found = FORKS.search(self.stress('native', ALSO_IN, seconds)[1])
            if found:
                return found.group(1)
        raise SystemExit(f'{ALSO_IN} does not fork natively: another stress-ng?')

    def run(self, where, name):
        status, output, seconds = self.stress(where, name, self.seconds)
        ending = Ending(*judge(status, output, where == 'native'), seconds, output)
        if where == 'enclave' and ending.kind not in GOOD and FORKS.search(output):
            self.compare_without_forks(name, ending)
        return ending

    def compare_without_forks(self, name, ending):
        status, output, _ = self.stress('native', name, self.seconds, ['FIRST_FORK_REFUSE=1'])
        kind, _ = judge(status, output, True)
        if kind == ending.kind:
            ending.kind, ending.why = 'refused', f'forks processes of its own; natively it is {kind} as well when its forks are refused'

    def run_both(self, where, name):
        """{native: ending, enclave: ending}, as far as wanted."""
        return {place: self.run(place, name) for place in where}


def is_well(ending):
    """No worse in the enclave than natively; a refusal is a clean end."""
    here, native = ending.get('enclave') or ending['native'], ending.get('native')
    return here.kind in GOOD or (native is not None and native is not here and native.kind == here.kind)


def report(number, name, ending):
    here = ending.get('enclave') or ending['native']
    for where, each in ending.items():
        if each.kind not in GOOD:
            print(f'# {where}: {each.kind}: {each.why}')
    skip = f' # SKIP {here.kind}: {here.why}' if here.kind != 'pass' and is_well(ending) else ''
    print(f'{"ok" if is_well(ending) else "not ok"} {number} - {name}{skip}', flush=True)


def table(endings, classes):
    """Markdown: a line a class, then why what does not pass in the enclave does not."""
    lines = ['| class | pass | refused, or no better natively |', '|---|---|---|']
    here = {name: ending.get('enclave') or ending['native'] for name, ending in endings.items()}
    for group in dict.fromkeys(each for row in classes.values() for each in row):
        mine = [name for name in sorted(here) if group in classes[name]]
        passed = ' '.join(name for name in mine if here[name].kind == 'pass')
        rest = ' '.join(name for name in mine if here[name].kind != 'pass')
        lines.append(f'| {group} | {passed or "-"} | {rest or "-"} |')
    reasons = {}
    for name in sorted(here):
        if here[name].kind != 'pass':
            native = endings[name].get('native')
            reasons.setdefault(reason(here[name], native), []).append(name)
    lines += ['', '| does not pass in the enclave | natively |', '|---|---|']
    for (why, native), names in sorted(reasons.items(), key=lambda row: -len(row[1])):
        lines.append(f'| {" ".join(f"`{name}`" for name in names)}: {why} | {native} |')
    return '\n'.join(lines)


def reason(here, native):
    """What the table says of an ending in the enclave, without what differs from run to run."""
    words = re.sub(r'\[?\d{3,}\]?', 'N', here.why).replace('|', '/')
    return f'{here.kind}, {words}', native.kind if native else '-'


def write_table(path, text):
    with open(path, encoding='utf-8') as file:
        old = file.read()
    before, _, rest = old.partition(MARKS[0])
    _, found, after = rest.partition(MARKS[1])
    if not found:
        raise SystemExit(f'{path}: has no marks {MARKS[0]} and {MARKS[1]}')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}')


def write_json(path, endings, classes):
    rows = {name: {'classes': classes[name], **{where: {'kind': each.kind, 'why': each.why, 'seconds': round(each.seconds, 1), 'output': each.output}
                                               for where, each in ending.items()}} for name, ending in endings.items()}
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(rows, file, indent=1)


def run_all(stress, where, names):
    """{stressor: {where: ending}}, in the order of names."""
    endings = {}
    print(f'1..{len(names)}', flush=True)
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for number, (name, ending) in enumerate(zip(names, pool.map(lambda each: stress.run_both(where, each), names)), 1):
            endings[name] = ending
            report(number, name, ending)
    return endings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--native', action='store_true', help='only natively')
    parser.add_argument('--enclave', action='store_true', help='only in the enclave')
    parser.add_argument('--seconds', type=int)
    parser.add_argument('--class', dest='classes', action='append', choices=CLASSES)
    parser.add_argument('--json')
    parser.add_argument('--write')
    parser.add_argument('stressor', nargs='*')
    args = parser.parse_args()
    where = ['native'] if args.native else ['enclave'] if args.enclave else ['native', 'enclave']
    whole = args.all or args.classes
    stress = Stress(args.build, where, args.seconds or (SECONDS if whole or args.stressor else PART_SECONDS))
    classes = stress.classes(args.classes or CLASSES)
    endings = run_all(stress, where, args.stressor or (list(classes) if whole else PART))
    for place in where:
        counts = {kind: sum(ending[place].kind == kind for ending in endings.values()) for kind in KINDS}
        print(f'# {place}: ' + ', '.join(f'{count} {kind}' for kind, count in counts.items()))
    if args.json:
        write_json(args.json, endings, classes)
    if args.write:
        write_table(args.write, table(endings, classes))
    return 0 if all(is_well(ending) for ending in endings.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
