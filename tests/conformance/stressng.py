#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs stress-ng's stressors one by one, in the enclave or natively, and says how each ends.

Usage: stressng.py [--build DIR] [--native] [--seconds N] [--class CLASS]... [--json FILE] [--write FILE] [STRESSOR]...

Each stressor of the classes runs alone for 3 s with --verify. It ends in one of these ways:
  pass      stress-ng says so
  refused   the stressor says itself that the system lacks what it needs, or stress-ng skips it
  failed    it found something wrong, or gave up for another reason
  stuck     it was not done long after its time, or it crashed
--write replaces the table between the two marks in a Markdown file. Exit status 1 when a stressor failed or was stuck.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
import testimage  # noqa: E402

IMAGE = 'stress'
# What later versions call signal is interrupt in Debian 12's.
CLASSES = ['cpu', 'memory', 'pipe', 'scheduler', 'io', 'filesystem', 'interrupt', 'vm']
GRACE_S = 40
# Native runs share the machine with others: address space, not memory, is what a stressor may take there.
NATIVE_LIMIT = ['/usr/bin/prlimit', '--as=6442450944']
LINE = re.compile(r'^stress-ng: (\w+): +\[\d+\] (.*)$', re.M)
LACKS = re.compile(r'skipped|skipping|not (?:supported|implemented|available|enabled)|unsupported|Function not implemented|'
                   r'errno=38|No stress workers invoked|not built in|need to be running with|insufficient', re.I)
# stress-ng's own exit status, for those that say more than "something went wrong".
NO_RESOURCE, NOT_IMPLEMENTED = 3, 4
# It goes on without its workers, and calls that a successful run.
NO_FORK = 'Cannot fork'
MARKS = ('<!-- stress-ng: begin -->', '<!-- stress-ng: end -->')


class Ending:
    """How one stressor ended: kind (see above) and, in its own words, why."""

    def __init__(self, name, kind, why, seconds):
        self.name, self.kind, self.why, self.seconds = name, kind, why, seconds


def judge(name, status, output, seconds):
    """status None: it was killed after its time."""
    said = LINE.findall(output)
    bad = [words for level, words in said if level in ('error', 'fail')]
    lacks = [words for _, words in said if LACKS.search(words)]
    if status is None:
        return Ending(name, 'stuck', f'not done after {seconds:.0f} s', seconds)
    if status < 0 or status > 128:
        return Ending(name, 'stuck', f'ended by signal {-status if status < 0 else status - 128}', seconds)
    if any(level == 'fail' for level, _ in said) or NO_FORK in output:
        return Ending(name, 'failed', (bad or [NO_FORK])[0], seconds)
    if status in (NO_RESOURCE, NOT_IMPLEMENTED) or 'No stress workers invoked' in output or (lacks and not 'successful run' in output):
        return Ending(name, 'refused', (lacks or bad or ['no words'])[0], seconds)
    if status == 0 and 'successful run' in output:
        return Ending(name, 'pass', '', seconds)
    return Ending(name, 'failed', (bad or [output.strip().splitlines()[-1] if output.strip() else f'exit status {status}'])[0], seconds)


class Stress:
    def __init__(self, build, native, seconds):
        self.folder = testimage.debian_folder(IMAGE)
        self.cloche = os.path.join(build, 'bin', 'cloche')
        self.seconds = seconds
        self.image = None if native else testimage.sealed(IMAGE, build)

    def command(self, argv):
        if self.image:
            return [self.cloche, 'run', self.image, *argv]
        return testimage.native_command(self.folder, [*NATIVE_LIMIT, *argv])

    def classes(self, wanted):
        """{stressor: [classes]} in order."""
        found = {}
        for name in wanted:
            done = subprocess.run(testimage.native_command(self.folder, ['/usr/bin/stress-ng', '--class', name + '?']),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
            for stressor in done.stdout.partition('stressors:')[2].split():
                found.setdefault(stressor, []).append(name)
        return found

    def run(self, name):
        argv = ['/usr/bin/stress-ng', f'--{name}', '1', '--timeout', str(self.seconds), '--verify', '--temp-path', '/tmp']
        start = time.monotonic()
        try:
            done = subprocess.run(self.command(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=self.seconds + GRACE_S)
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            status, output = None, late.stdout or b''
        return judge(name, status, output.decode(errors='replace'), time.monotonic() - start)


def table(endings, classes):
    """Markdown, a line a class and the reasons of what does not pass."""
    lines = ['| class | pass | refused |', '|---|---|---|']
    for name in dict.fromkeys(each for row in classes.values() for each in row):
        kinds = {kind: ' '.join(sorted(e.name for e in endings if e.kind == kind and name in classes[e.name])) for kind in ('pass', 'refused')}
        lines.append(f'| {name} | {kinds["pass"] or "-"} | {kinds["refused"] or "-"} |')
    for kind in ('refused', 'failed', 'stuck'):
        for ending in endings:
            if ending.kind == kind:
                lines.append(f'- `{ending.name}`, {kind}: {ending.why}')
    return '\n'.join(lines)


def write_table(path, text):
    with open(path, encoding='utf-8') as file:
        old = file.read()
    before, _, rest = old.partition(MARKS[0])
    _, found, after = rest.partition(MARKS[1])
    if not found:
        raise SystemExit(f'{path}: has no marks {MARKS[0]} and {MARKS[1]}')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--native', action='store_true')
    parser.add_argument('--seconds', type=int, default=3)
    parser.add_argument('--class', dest='classes', action='append', choices=CLASSES)
    parser.add_argument('--json')
    parser.add_argument('--write')
    parser.add_argument('stressor', nargs='*')
    args = parser.parse_args()
    stress = Stress(args.build, args.native, args.seconds)
    classes = stress.classes(args.classes or CLASSES)
    names = args.stressor or list(classes)
    for name in names:
        classes.setdefault(name, [])
    endings = []
    print(f'1..{len(names)}')
    for number, name in enumerate(names, 1):
        ending = stress.run(name)
        endings.append(ending)
        word = 'ok' if ending.kind in ('pass', 'refused') else 'not ok'
        note = f' # SKIP {ending.why}' if ending.kind == 'refused' else ''
        if ending.kind in ('failed', 'stuck'):
            print(f'# {ending.kind}: {ending.why}')
        print(f'{word} {number} - {name}{note}', flush=True)
    counts = {kind: sum(ending.kind == kind for ending in endings) for kind in ('pass', 'refused', 'failed', 'stuck')}
    print('# ' + ', '.join(f'{count} {kind}' for kind, count in counts.items()))
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            json.dump({ending.name: {'kind': ending.kind, 'why': ending.why, 'classes': classes[ending.name], 'seconds': round(ending.seconds, 1)}
                       for ending in endings}, file, indent=1)
    if args.write:
        write_table(args.write, table(endings, classes))
    return 1 if counts['failed'] or counts['stuck'] else 0


if __name__ == '__main__':
    sys.exit(main())
