# SPDX-License-Identifier: Apache-2.0
"""Load for a server of the control plane, and what is read of it: requests from many threads at a rate, agents, percentiles, CPU time, memory, the table of results."""
import base64
import http.client
import json
import os
import platform as python_platform
import sys
import threading
import time

from exchange_agent import Agent


def machine():
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        model = next(line.split(':')[1].strip() for line in file if line.startswith('model name'))
    return f'{model}, {os.cpu_count()} CPUs, Linux {python_platform.release()}'


def cpu_s(server):
    with open(f'/proc/{server.child.pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def written_bytes(server):
    """What it had written to disk."""
    with open(f'/proc/{server.child.pid}/io', encoding='ascii') as f:
        return int(next(line.split()[1] for line in f if line.startswith('write_bytes:')))


def memory_kib(server, name='VmRSS'):
    with open(f'/proc/{server.child.pid}/status', encoding='ascii') as f:
        return int(next(line.split()[1] for line in f if line.startswith(name + ':')))


def percentile(latencies, share):
    """Milliseconds; latencies: seconds, sorted."""
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000


class Table:
    """Rows as they come, on the terminal and maybe in a file."""

    def __init__(self, path, head):
        self.file = open(path, 'w', encoding='utf-8') if path else None
        self.put(f'# The control plane\n\n{head}\n\n| what | measured | goal | |\n|---|---|---|---|')

    def put(self, text):
        print(text, flush=True)
        if self.file:
            self.file.write(text + '\n')
            self.file.flush()

    def row(self, what, measured, goal='', is_met=None):
        self.put(f'| {what} | {measured} | {goal} | {"" if is_met is None else "met" if is_met else "missed"} |')

    def note(self, text):
        print(text, file=sys.stderr, flush=True)

    def close(self):
        if self.file:
            self.file.close()


class Connection:
    def __init__(self, server):
        self.http = http.client.HTTPConnection(*server.address.rsplit(':', 1), timeout=60)

    def post(self, path, data):
        self.http.request('POST', path, body=data, headers={'Content-Type': 'application/json'})
        answer = self.http.getresponse()
        return answer.status, answer.read()


def run(server, threads, jobs, path, rate=None):
    """Sends all bodies; seconds in all, each one's latency (sorted), the answers."""
    latencies, failures, lock = [], [], threading.Lock()
    results = [None] * len(jobs)
    position = iter(range(len(jobs)))
    begin = time.perf_counter()

    def work():
        connection = Connection(server)
        while True:
            with lock:
                i = next(position, None)
            if i is None:
                return
            due = begin + i / rate if rate else time.perf_counter()
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            status, text = connection.post(path, jobs[i])
            taken = time.perf_counter() - due
            with lock:
                latencies.append(taken)
                results[i] = text
                if status != 200:
                    failures.append((status, text[:300]))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        sys.exit(f'{len(failures)} failed: {failures[0]}')
    return time.perf_counter() - begin, sorted(latencies), results


def make_agents(site, count):
    return [Agent(None, site.platform, site.build, None) for _ in range(count)]


def renew_bodies(agents, nonces, purpose):
    return [json.dumps(agent.body(purpose, nonce=json.loads(nonce)['nonce'])) for agent, nonce in zip(agents, nonces)]


def take_id(agent, answer):
    payload = json.loads(answer)['answer'].split('.')[1]
    agent.id = json.loads(base64.urlsafe_b64decode(payload + '=='))['instance']


def take_ids(agents, answers):
    for agent, answer in zip(agents, answers):
        take_id(agent, answer)


class Background:
    """Exchanges at a rate until it is stopped: new instances and renewals in turn, prepared ahead. A latency is from the moment a request is due, or is prepared when that is later, to its answer."""

    AHEAD = 64

    def __init__(self, site, rate, threads):
        self.site, self.rate = site, rate
        self.latencies, self.failures = [], []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.position, self.begin = 0, None
        self.answered, self.made = [], 0
        self.ready, self.has_ready = [], threading.Condition(self.lock)
        self.workers = [threading.Thread(target=self.prepare)] + [threading.Thread(target=self.send) for _ in range(threads)]

    def prepare(self):
        connection = Connection(self.site.server)
        started = []  # those that can renew
        while not self.stopping.is_set():
            with self.lock:
                is_enough = len(self.ready) >= self.AHEAD
                started += [agent for agent in self.answered if agent.id]
                self.answered.clear()
            if is_enough:
                time.sleep(0.005)
                continue
            renews = len(started) > 0 and self.made % 2 == 1
            agent = started.pop(0) if renews else make_agents(self.site, 1)[0]
            _, nonce = connection.post('/v1/exchange/nonce', '{}')
            body = renew_bodies([agent], [nonce], 'renew' if renews else 'start')[0]
            self.made += 1
            with self.has_ready:
                self.ready.append((agent, body, time.perf_counter()))
                self.has_ready.notify()

    def send(self):
        connection = Connection(self.site.server)
        while True:
            with self.has_ready:
                while not self.ready and not self.stopping.is_set():
                    self.has_ready.wait(0.5)
                if self.stopping.is_set():
                    return
                agent, body, prepared = self.ready.pop(0)
                if self.begin is None:
                    self.begin = time.perf_counter()
                due = max(self.begin + self.position / self.rate, prepared)
                self.position += 1
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            status, text = connection.post('/v1/exchange/evidence', body)
            taken = time.perf_counter() - due
            with self.lock:
                self.latencies.append(taken)
                if status == 200:
                    take_id(agent, text)
                    self.answered.append(agent)
                else:
                    self.failures.append((status, text[:200]))

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for worker in self.workers:
            worker.join()

    def take(self):
        """The latencies so far, sorted; from now on they are counted anew."""
        with self.lock:
            taken, self.latencies = sorted(self.latencies), []
        return taken
