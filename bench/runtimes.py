# SPDX-License-Identifier: Apache-2.0
"""How long language runtimes take from `cloche run` to their end: part `runtimes` of run.py."""
import statistics
import subprocess
import time

import testimage

PROGRAMS = {
    'python3 -c pass': ['/usr/bin/python3', '-c', 'pass'],
    'java -version': ['/usr/bin/java', '-version'],
    'java, a compiler': ['/usr/bin/java', '-cp', '/usr/share/java/eclipse-jdt-core.jar', 'org.eclipse.jdt.internal.compiler.batch.Main', '-version'],
    'node -e 1': ['/usr/bin/node', '-e', '1'],
    'ruby -e 1': ['/usr/bin/ruby', '-e', '1'],
    'perl -e 1': ['/usr/bin/perl', '-e', '1'],
    'php -r 1': ['/usr/bin/php', '-r', '1;'],
}
# The most: this many times the native time, and these milliseconds besides.
GOAL_TIMES, GOAL_MS = 1.5, 120
# What the native runs spend on their namespaces is not the program's.
EMPTY = ['/bin/true']


def milliseconds(command, environment):
    start = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
                          timeout=60, check=False)
    return (time.monotonic() - start) * 1000 if done.returncode == 0 else None


def measure(runner, rounds):
    image, folder = testimage.sealed('runtimes', runner.build), testimage.debian_folder('runtimes')

    def median_ms(make):
        values = [milliseconds(make, runner.environment) for _ in range(rounds * 3)]
        return None if None in values else statistics.median(values)

    frame = median_ms(testimage.native_command(folder, EMPTY))
    print(f'\n| start and end | native, ms | enclave, ms | goal: {GOAL_TIMES} x native + {GOAL_MS} ms |\n|---|---:|---:|---|')
    for name, argv in PROGRAMS.items():
        native = median_ms(testimage.native_command(folder, argv))
        enclave = median_ms([runner.cloche, 'run', image, *argv])
        if native is None or enclave is None or frame is None:
            print(f'| {name} | {native or "failed"} | {enclave or "failed"} | - |', flush=True)
            continue
        native -= frame
        goal = GOAL_TIMES * native + GOAL_MS
        print(f'| {name} | {native:.0f} | {enclave:.0f} | {goal:.0f} {"met" if enclave <= goal else "missed"} |', flush=True)
