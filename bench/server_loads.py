# SPDX-License-Identifier: Apache-2.0
"""Requests a second of servers, natively, in the enclave and under gVisor in turn, with the client on the host."""
import contextlib
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'tools'))
import gvisor  # noqa: E402
import servers  # noqa: E402

SECONDS = 3
CONNECTIONS = 50
REDIS_REQUESTS = {1: 150_000, 16: 800_000}


def redis(command, pipeline):
    def measure(build, port):
        out = output(['redis-benchmark', '-p', port, '-t', command, '-c', CONNECTIONS, '-P', pipeline, '-n', REDIS_REQUESTS[pipeline], '--csv'])
        return float(re.search(rf'^"{command.upper()}","([\d.]+)"', out, re.M).group(1)), REDIS_REQUESTS[pipeline]
    return measure


def web(path):
    def measure(build, port):
        out = output(['wrk', '-t1', f'-c{CONNECTIONS}', f'-d{SECONDS}', f'http://127.0.0.1:{port}/{path}'])
        if 'Socket errors' in out or 'Non-2xx' in out:
            raise RuntimeError(out)
        return float(re.search(r'Requests/sec:\s+([\d.]+)', out).group(1)), int(re.search(r'(\d+) requests in', out).group(1))
    return measure


def memory_cache(build, port):
    rate = float(output([os.path.join(build, 'bench', 'memload'), port, CONNECTIONS, SECONDS]).split()[1])
    return rate, rate * SECONDS


# (what, server, how it is measured, the least ratio wanted)
LOADS = [
    ('Redis set, -P 1', 'redis', redis('set', 1), 0.9),
    ('Redis get, -P 1', 'redis', redis('get', 1), 0.9),
    ('Redis set, -P 16', 'redis', redis('set', 16), 0.95),
    ('Redis get, -P 16', 'redis', redis('get', 16), 0.95),
    ('nginx, 1 KiB', 'nginx', web('1k.bin'), 0.85),
    ('nginx, 100 KiB', 'nginx', web('100k.bin'), 0.85),
    ('gohttp, 1 KiB', 'gohttp', web(''), 0.85),
    ('memcached', 'memcached', memory_cache, 0.85),
]


def output(words):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f'{words[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}')
    return done.stdout


class Worlds(servers.Worlds):
    """With one more world."""

    def command(self, world, argv, options=()):
        return gvisor.command(self.folder, argv) if world == 'gvisor' else super().command(world, argv, options)


def each_world(worlds, names, build, server, measure, rounds, environment):
    """{world: (requests a second, CPU time of the server for a request in us)}; all servers run, and are asked in turn. A world
    in which it does not start is left out."""
    found, costs = {}, {}
    with contextlib.ExitStack() as stack:
        each = {}
        for world in names:
            try:
                each[world] = stack.enter_context(servers.running(worlds, world, server, environment))
                found[world], costs[world] = [], []
            except RuntimeError:
                if world != 'gvisor':
                    raise
        for _ in range(rounds):
            for world, values in found.items():
                before = servers.cpu_seconds(each[world].child.pid)
                rate, count = measure(build, each[world].port)
                values.append(rate)
                costs[world].append((servers.cpu_seconds(each[world].child.pid) - before) / count * 1e6)
    return {world: (statistics.median(values), statistics.median(costs[world])) for world, values in found.items()}


def measure_all(build, rounds, environment, only='', names=('native', 'enclave')):
    """Prints the table. only: loads whose name has this in it."""
    worlds = Worlds(build)
    print('\n| server, client on the host | native, requests/s | enclave, requests/s | ratio | gVisor, ratio | goal | server CPU, us a request: native | '
          'enclave |\n|---|---:|---:|---:|---:|---|---:|---:|')
    for name, server, measure, goal in LOADS:
        if only not in name:
            continue
        try:
            values = each_world(worlds, names, build, server, measure, rounds, environment)
        except (RuntimeError, subprocess.TimeoutExpired) as problem:
            print(f'| {name} | - | failed | - | - | {problem} | | |', flush=True)
            continue
        (native, native_cost), (enclave, enclave_cost) = values['native'], values['enclave']
        ratio = enclave / native
        verdict = 'met' if ratio >= goal else f'missed by {goal / ratio:.2f}x'
        other = f'{values["gvisor"][0] / native:.2f}' if 'gvisor' in values else '-'
        print(f'| {name} | {native:.0f} | {enclave:.0f} | {ratio:.2f} | {other} | {goal} {verdict} | {native_cost:.1f} | {enclave_cost:.1f} |',
              flush=True)
