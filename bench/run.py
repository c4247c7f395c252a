#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures programs natively, in the enclave and under gVisor, in turn on the same machine, and prints the ratios.

Usage: run.py [--build DIR] [--rounds N] [--transition NS[,NS...]] [--write FILE] [--only PART[,PART...]] [--no-gvisor]

Each figure is the median of the rounds. A ratio is the enclave's time over the native time (1.00 is native speed, less is
faster). PART: micro, spawn, start, read, memory, python, runtimes, servers (requests a second, so more is faster), verifier, evidence. --load WORD: some of micro and servers.
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
import evidence  # noqa: E402
import gvisor  # noqa: E402
import runtimes  # noqa: E402
import server_loads  # noqa: E402
import testimage  # noqa: E402
import verifier_speed  # noqa: E402

IMAGE = 'demo'
DATA_MIB = 48
MICRO = ['cpu_1k', 'memcpy_8m', 'malloc16', 'getpid', 'getpid_raw', 'clock_gettime', 'sched_yield', 'read4k', 'pread4k',
         'pwrite4k', 'write_devnull', 'open_close', 'stat', 'stat_enoent', 'fstat', 'creat_unlink', 'readdir100',
         'mmap64k', 'mprotect_x2', 'pagefault', 'vfork_exec', 'signal_self', 'sigprocmask', 'nanosleep_1us', 'pipe_1thr',
         'pipe_pingpong', 'unix_pingpong', 'pipe_tput', 'futex_wake0', 'futex_pingpong', 'mutex_2thr',
         'pthread_create', 'vfork_exec', 'vfork_exec_static', 'tcp_pingpong', 'tcp_tput', 'tcp_connect', 'epoll_ready', 'epoll_pingpong', 'poll10']
# The most that a ratio may be. Throughput counts upside down: at least 1.5 times the native one is 1 / 1.5.
GOALS = {'vfork_exec': 1.2, 
    **dict.fromkeys(['getpid', 'sigprocmask', 'fstat', 'futex_wake0', 'write_devnull'], 0.25),
    **dict.fromkeys(['stat', 'stat_enoent', 'open_close'], 0.4),
    **dict.fromkeys(['read4k', 'pread4k', 'pwrite4k', 'readdir100', 'creat_unlink'], 0.7),
    **dict.fromkeys(['mmap64k', 'mprotect_x2', 'pagefault'], 1.0),
    **dict.fromkeys(['cpu_1k', 'malloc16', 'memcpy_8m'], 1.03),
    **dict.fromkeys(['pipe_pingpong', 'futex_pingpong', 'unix_pingpong', 'vfork_exec', 'vfork_exec_static'], 1.2),
    **dict.fromkeys(['epoll_ready', 'poll10', 'epoll_pingpong'], 0.8),
    'clock_gettime': 1.1, 'signal_self': 0.2, 'pthread_create': 2, 'pipe_1thr': 0.5, 'pipe_tput': 0.667,
    'tcp_pingpong': 0.6, 'tcp_tput': 0.833, 'tcp_connect': 0.6,
}
START_GOAL_MS = 120
SPAWN_GOAL = 1.2
# What lobench calls it, and with which options, when the name alone does not say.
MICRO_ARGS = {'vfork_exec': ['-e', '/opt/bench/true', 'vfork_exec'], 'vfork_exec_static': ['-e', '/opt/bench/true_static_pie', 'vfork_exec']}
READ_GOAL = 0.75
PYTHON_GOALS = {'py_total': 1.03, 'sql_total': 1.0}
MEMORY_GOAL_MIB = 24
HELD_MIB = 64
TIMEOUT_S = 120


class Runner:
    """Runs one program in each world."""

    def __init__(self, build, transition_ns, load, worlds):
        self.build, self.load, self.worlds = build, load, worlds
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
        for name in ('lobench_dynamic', 'lobench_static', 'readfile', 'spawnbench', 'true', 'true_static_pie'):
            self.files[f'/opt/bench/{name}'] = os.path.join(self.build, 'bench', name)
        for name in ('pyloop.py', 'sqlbench.py'):
            self.files[f'/opt/bench/{name}'] = os.path.join(HERE, 'programs', name)
        self.image = testimage.sealed(IMAGE, self.build, self.files)
        self.folder = testimage.debian_folder(IMAGE)
        for target, path in self.files.items():
            subprocess.run(['install', '-D', path, self.folder + target], check=True)

    def command(self, world, argv):
        self.prepare()
        if world == 'native':
            return testimage.native_command(self.folder, argv)
        return gvisor.command(self.folder, argv) if world == 'gvisor' else [self.cloche, 'run', self.image, *argv]

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


def in_turn(worlds, rounds, measure):
    """{world: median of its rounds}, one world after the other; None where it failed."""
    values = {world: [] for world in worlds}
    for _ in range(rounds):
        for world, found in values.items():
            found.append(measure(world))
    return {world: median(found) for world, found in values.items()}


def verdict(ratio, goal):
    if goal is None:
        return ''
    return f'{goal:g} {"met" if ratio <= goal else f"missed by {ratio / goal:.2f}x"}'


def ratios(values, unit=''):
    """The columns `enclave/native` and `gVisor/native`, as times: less is faster."""
    def one(world):
        if values.get(world) is None or values['native'] is None:
            return None
        ratio = values[world] / values['native']
        return 1 / ratio if unit == 'MB/s' else ratio
    return one('enclave'), one('gvisor')


def text_of(number, digits=2):
    return '-' if number is None else f'{number:.{digits}f}'


def micro(runner, rounds):
    print('\n| program | build | native | enclave | ratio | gVisor, ratio | goal |\n|---|---|---:|---:|---:|---:|---|')
    for name in [name for name in MICRO if runner.load in name]:
        for build in ('dynamic', 'static'):
            unit = ''

            def measure(world, name=name, build=build):
                nonlocal unit
                words = MICRO_ARGS.get(name, [name])
                value, found = figure(runner.output(world, [f'/opt/bench/lobench_{build}', '-t', '0.03', '-b', '5', *words]), words[-1])
                unit = found or unit
                return value
            values = in_turn(runner.worlds, rounds, measure)
            enclave, other = ratios(values, unit)
            print(f'| {name} | {build} | {text_of(values["native"], 1)} {unit} | {text_of(values["enclave"], 1)} {unit} | {text_of(enclave)} | '
                  f'{text_of(other)} | {"failed" if enclave is None else verdict(enclave, GOALS.get(name))} |', flush=True)


def spawn(runner, rounds):
    """Starting a program from a program: posix_spawn, exec, exit and wait."""
    print('\n| program that is started | native | enclave | ratio | gVisor | goal |\n|---|---:|---:|---:|---:|---|')
    for name, what in (('true', 'dynamic'), ('true_static_pie', 'static-PIE')):
        argv = ['/opt/bench/spawnbench', '200', f'/opt/bench/{name}']
        values = in_turn(runner.worlds, rounds, lambda world, argv=argv: figure(runner.output(world, argv), 'spawn')[0])
        enclave, other = ratios(values)
        print(f'| `true`, {what} | {text_of(values["native"], 1)} us | {text_of(values["enclave"], 1)} us | {text_of(enclave)} | '
              f'{text_of(other)} | {"failed" if enclave is None else verdict(enclave, SPAWN_GOAL)} |', flush=True)


def start(runner, rounds):
    """Wall time of a whole `run`; the native one is a chroot in namespaces of its own."""
    print('\n| start and end | native, ms | enclave, ms | gVisor, ms | goal, ms |\n|---|---:|---:|---:|---|')
    for name, argv in (('a dynamic program', ['/opt/bench/true']), ('python3 -c pass', ['/usr/bin/python3', '-c', 'pass'])):
        values = in_turn(runner.worlds, rounds * 3, lambda world, argv=argv: runner.seconds(world, argv))
        native, enclave, other = (None if values.get(world) is None else values[world] * 1000 for world in ('native', 'enclave', 'gvisor'))
        goal = START_GOAL_MS if argv[0] == '/opt/bench/true' or native is None else 1.5 * native + START_GOAL_MS
        word = 'failed' if enclave is None else f'{goal:.0f} {"met" if enclave <= goal else "missed"}'
        print(f'| {name} | {text_of(native, 0)} | {text_of(enclave, 0)} | {text_of(other, 0)} | {word} |', flush=True)


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
    print('\n| program | native, s | enclave, s | ratio | gVisor, ratio | goal |\n|---|---:|---:|---:|---:|---|')
    programs = [(['/usr/bin/python3', '/opt/bench/pyloop.py'], ['py_fib', 'py_churn', 'py_strs', 'py_sieve', 'py_total']),
                (['/usr/bin/python3', '/opt/bench/sqlbench.py', '/tmp/bench.db', '50000'],
                 ['sql_insert', 'sql_index', 'sql_select', 'sql_scan', 'sql_total'])]
    for argv, names in programs:
        outputs = {world: [] for world in runner.worlds}
        for _ in range(rounds):
            for world, texts in outputs.items():
                texts.append(runner.output(world, argv))
        for name in names:
            values = {world: median([figure(text, name)[0] for text in texts]) for world, texts in outputs.items()}
            enclave, other = ratios(values)
            goal = PYTHON_GOALS.get(name)
            print(f'| {name} | {text_of(values["native"], 3)} | {text_of(values["enclave"], 3)} | {text_of(enclave)} | {text_of(other)} | '
                  f'{"failed" if enclave is None else verdict(enclave, goal)} |', flush=True)


def servers(runner, rounds):
    server_loads.measure_all(runner.build, rounds, runner.environment, runner.load, runner.worlds)


PARTS = {'micro': micro, 'spawn': spawn, 'start': start, 'read': first_read, 'memory': memory, 'python': python, 'runtimes': runtimes.measure, 'servers': servers,
         'verifier': verifier_speed.measure, 'evidence': evidence.measure}


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


def worlds_of(args):
    """The worlds that can be measured here; says what cannot."""
    if args.no_gvisor or args.only == 'verifier':
        return ['native', 'enclave']
    reason = gvisor.why_missing(testimage.debian_folder(IMAGE))
    if reason:
        print(f'Without gVisor: {reason}.')
        return ['native', 'enclave']
    print(f'gVisor: runsc {gvisor.version()}, platform systrap, host network.')
    return ['native', 'enclave', 'gvisor']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--transition', default='0', help='ns that each enclave transition costs on the emulator; several: a table each')
    parser.add_argument('--write', help='also write the results to this file')
    parser.add_argument('--only', default=','.join(PARTS))
    parser.add_argument('--load', default='', help='micro and servers: only what has this word in its name')
    parser.add_argument('--no-gvisor', action='store_true')
    args = parser.parse_args()
    costs = [int(word) for word in args.transition.split(',')]
    if args.write:
        sys.stdout = Tee(args.write)
    print(f'# Results\n\nMeasured on {machine()}; median of {args.rounds} rounds, the worlds in turn; load at the start {os.getloadavg()[0]:.1f}.')
    worlds = worlds_of(args) if args.only != 'evidence' else ['enclave']
    for number, cost in enumerate(costs):
        print(f'\n## Transition cost {cost} ns')
        # What a transition costs changes nothing for gVisor: once is enough.
        runner = Runner(args.build, cost, args.load, worlds if number == 0 else worlds[:2])
        for part in args.only.split(','):
            PARTS[part](runner, args.rounds)
    return 0


if __name__ == '__main__':
    sys.exit(main())
