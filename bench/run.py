#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures programs natively and in the enclave, in turn on the same machine, and prints the ratios.

Usage: run.py [--build DIR] [--rounds N] [--transition NS] [--write FILE] [--only PART[,PART...]]

Each figure is the median of the rounds. A ratio is the enclave's time over the native time (1.00 is native speed, less is
faster). PART: micro, start, read, memory, python, servers (requests a second, so more is faster; --load WORD: some of them).
"""
import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'tools'))
import server_loads  # noqa: E402
import testimage  # noqa: E402

IMAGE = 'demo'
DATA_MIB = 48
MICRO = ['cpu_1k', 'memcpy_8m', 'malloc16', 'getpid', 'getpid_raw', 'clock_gettime', 'sched_yield', 'read4k', 'pread4k',
         'pwrite4k', 'write_devnull', 'open_close', 'stat', 'stat_enoent', 'fstat', 'creat_unlink', 'readdir100',
         'mmap64k', 'mprotect_x2', 'pagefault', 'signal_self', 'sigprocmask', 'nanosleep_1us', 'pipe_1thr',
         'pipe_pingpong', 'unix_pingpong', 'pipe_tput', 'futex_wake0', 'futex_pingpong', 'mutex_2thr',
         'pthread_create', 'tcp_pingpong', 'tcp_tput', 'tcp_connect', 'epoll_ready', 'epoll_pingpong', 'poll10']
# The most that a ratio may be.
GOALS = {'getpid': 0.25, 'sigprocmask': 0.25, 'fstat': 0.25, 'futex_wake0': 0.25, 'clock_gettime': 1.1, 'read4k': 0.7,
         'pread4k': 0.7, 'stat': 0.4, 'open_close': 0.4, 'cpu_1k': 1.03, 'malloc16': 1.03, 'memcpy_8m': 1.03}
START_GOAL_MS = 120
READ_GOAL = 0.75
MEMORY_GOAL_MIB = 24
HELD_MIB = 64
TIMEOUT_S = 120


class Runner:
    """Runs one program in both worlds."""

    def __init__(self, build, transition_ns, load):
        self.build, self.load = build, load
        self.cloche = os.path.join(build, 'bin', 'cloche')
        self.environment = {**os.environ, 'CLOCHE_EMU_TRANSITION_NS': str(transition_ns)}
        self.image = None

    def prepare(self):
        """The image of the programs, and its folder for native runs."""
        if self.image:
            return
        data = os.path.join(testimage.IMAGES, f'bench-{DATA_MIB}.bin')
        os.makedirs(testimage.IMAGES, exist_ok=True)
        if not os.path.exists(data):
            with open(data, 'wb') as file:
                file.write(os.urandom(DATA_MIB << 20))
        self.files = {'/opt/bench/data.bin': data}
        for name in ('lobench_dynamic', 'lobench_static', 'readfile', 'true'):
            self.files[f'/opt/bench/{name}'] = os.path.join(self.build, 'bench', name)
        for name in ('pyloop.py', 'sqlbench.py'):
            self.files[f'/opt/bench/{name}'] = os.path.join(HERE, 'programs', name)
        self.image = testimage.sealed(IMAGE, self.build, self.files)
        self.folder = testimage.debian_folder(IMAGE)
        for target, path in self.files.items():
            subprocess.run(['install', '-D', path, self.folder + target], check=True)

    def command(self, world, argv):
        self.prepare()
        return testimage.native_command(self.folder, argv) if world == 'native' else \
            [self.cloche, 'run', self.image, *argv]

    def output(self, world, argv):
        """stdout, or None when the program failed."""
        try:
            done = subprocess.run(self.command(world, argv), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=TIMEOUT_S, env=self.environment)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout if done.returncode == 0 else None

    def seconds(self, world, argv):
        start = time.monotonic()
        return time.monotonic() - start if self.output(world, argv) is not None else None


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def figure(output, name):
    """(value, unit) of the line `name value min unit`."""
    found = re.search(rf'^{name}\s+([\d.]+)(?:\s+[\d.]+\s+(\S+))?', output or '', re.M)
    return (float(found.group(1)), found.group(2) or '') if found else (None, '')


def in_turn(rounds, measure):
    """{world: values of its rounds}, native and enclave one after the other."""
    values = {'native': [], 'enclave': []}
    for _ in range(rounds):
        for world, found in values.items():
            found.append(measure(world))
    return {world: median(found) for world, found in values.items()}


def verdict(ratio, goal):
    if goal is None:
        return ''
    return f'{goal:g} {"met" if ratio <= goal else f"missed by {ratio / goal:.2f}x"}'


def micro(runner, rounds):
    print('\n| program | build | native | enclave | ratio | goal |\n|---|---|---:|---:|---:|---|')
    for name in MICRO:
        for build in ('dynamic', 'static'):
            unit = ''

            def measure(world, name=name, build=build):
                nonlocal unit
                value, found = figure(runner.output(world, [f'/opt/bench/lobench_{build}', '-t', '0.03', '-b', '5', name]), name)
                unit = found or unit
                return value
            values = in_turn(rounds, measure)
            if values['native'] is None or values['enclave'] is None:
                print(f'| {name} | {build} | {values["native"] or "-"} | {values["enclave"] or "failed"} | - | |', flush=True)
                continue
            ratio = values['enclave'] / values['native']
            ratio = 1 / ratio if unit == 'MB/s' else ratio
            print(f'| {name} | {build} | {values["native"]:.1f} {unit} | {values["enclave"]:.1f} {unit} | {ratio:.2f} | '
                  f'{verdict(ratio, GOALS.get(name))} |', flush=True)


def start(runner, rounds):
    values = in_turn(rounds * 3, lambda world: runner.seconds(world, ['/opt/bench/true']))
    if values['enclave'] is None:
        print('\nStart: failed')
        return
    ms = values['enclave'] * 1000
    print(f'\nStart and end of a dynamic program, wall time: {ms:.0f} ms; goal {START_GOAL_MS} ms '
          f'{"met" if ms <= START_GOAL_MS else "missed"}')


def hash_speed():
    """MB/s of SHA-256 over 4096 bytes, wall time, as the reads are."""
    speed = subprocess.run(['openssl', 'speed', '-mr', '-elapsed', '-seconds', '1', '-evp', 'sha256', '-bytes', '4096'],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return float(re.search(r'^\+F:\d+:\S+:([\d.]+)', speed.stdout, re.M).group(1)) / 1e6


def first_read(runner, rounds):
    rates, hashed = [], []
    for _ in range(rounds):
        rates.append(figure(runner.output('enclave', ['/opt/bench/readfile', '/opt/bench/data.bin']), 'readfile')[0])
        hashed.append(hash_speed())
    rate, hashed = median(rates), median(hashed)
    if rate is None:
        print('\nFirst read of verified data: failed')
        return
    print(f'\nFirst read of verified data: {rate:.0f} MB/s; openssl sha256 on 4096 bytes: {hashed:.0f} MB/s; ratio {rate / hashed:.2f}, '
          f'goal at least {READ_GOAL} {"met" if rate / hashed >= READ_GOAL else "missed"}')


def children(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
            found = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return found + [deeper for child in found for deeper in children(child)]


def own_memory_kib(pid):
    """Memory that no file backs and nobody shares, of a process and its descendants."""
    total = 0
    for each in [pid, *children(pid)]:
        try:
            with open(f'/proc/{each}/smaps_rollup', encoding='ascii') as file:
                text = file.read()
        except OSError:
            continue
        for name in ('Pss_Anon', 'Pss_Shmem'):
            total += sum(int(size) for size in re.findall(rf'^{name}:\s+(\d+)', text, re.M))
    return total


def memory(runner, rounds):
    program = ['/usr/bin/python3', '-c', f'import sys; b = bytearray({HELD_MIB} << 20); print("held", flush=True); sys.stdin.read()']
    found = {'native': [], 'enclave': []}
    for _ in range(rounds):
        for world, sizes in found.items():
            child = subprocess.Popen(runner.command(world, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=runner.environment)
            if child.stdout.readline().strip() == b'held':
                sizes.append(own_memory_kib(child.pid) / 1024)
            child.communicate()
    native, enclave = median(found['native']), median(found['enclave'])
    if native is None or enclave is None:
        print('\nMemory: failed')
        return
    print(f'\nMemory of python3 that holds {HELD_MIB} MiB: native {native:.1f} MiB, enclave {enclave:.1f} MiB: {enclave - native:.1f} MiB added, '
          f'goal {MEMORY_GOAL_MIB} {"met" if enclave - native <= MEMORY_GOAL_MIB else "missed"}')


def python(runner, rounds):
    print('\n| program | native, s | enclave, s | ratio |\n|---|---:|---:|---:|')
    programs = [(['/usr/bin/python3', '/opt/bench/pyloop.py'], ['py_fib', 'py_churn', 'py_strs', 'py_sieve', 'py_total']),
                (['/usr/bin/python3', '/opt/bench/sqlbench.py', '/tmp/bench.db', '50000'],
                 ['sql_insert', 'sql_index', 'sql_select', 'sql_scan', 'sql_total'])]
    for argv, names in programs:
        outputs = {'native': [], 'enclave': []}
        for _ in range(rounds):
            for world, texts in outputs.items():
                texts.append(runner.output(world, argv))
        for name in names:
            native, enclave = (median([figure(text, name)[0] for text in outputs[world]]) for world in ('native', 'enclave'))
            if native is None or enclave is None:
                print(f'| {name} | {native or "-"} | {enclave or "failed"} | - |', flush=True)
            else:
                print(f'| {name} | {native:.3f} | {enclave:.3f} | {enclave / native:.2f} |', flush=True)


def servers(runner, rounds):
    server_loads.measure_all(runner.build, rounds, runner.environment, runner.load)


PARTS = {'micro': micro, 'start': start, 'read': first_read, 'memory': memory, 'python': python, 'servers': servers}


def machine():
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        model = re.search(r'^model name\s*:\s*(.*)$', file.read(), re.M).group(1)
    return f'{model}, {os.cpu_count()} CPUs, Linux {platform.release()}'


class Tee:
    """Prints, and keeps what was printed."""

    def __init__(self, path):
        self.file = open(path, 'w', encoding='utf-8')

    def write(self, text):
        sys.__stdout__.write(text)
        self.file.write(text)

    def flush(self):
        sys.__stdout__.flush()
        self.file.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--transition', type=int, default=0, help='ns that each enclave transition costs on the emulator')
    parser.add_argument('--write', help='also write the results to this file')
    parser.add_argument('--load', default='', help='servers: only what has this word in its name')
    parser.add_argument('--only', default=','.join(PARTS))
    args = parser.parse_args()
    runner = Runner(args.build, args.transition, args.load)
    if args.write:
        sys.stdout = Tee(args.write)
    print(f'Measured on {machine()}; transition cost {args.transition} ns; median of {args.rounds} rounds in turn.')
    for part in args.only.split(','):
        PARTS[part](runner, args.rounds)
    return 0


if __name__ == '__main__':
    sys.exit(main())
