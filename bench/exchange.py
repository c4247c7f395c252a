#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Attestation exchanges a second, on one server with SQLite: nonces, then evidence to certificate and secrets, each with a key of its own.

usage: bench/exchange.py [--count N] [--threads N] [--rate PER_SECOND] [--fleet N]

Quotes are made between the two, outside of the measured time; load and server share the machine. With --rate the evidence is sent at that rate, and the
percentiles are of the time from a request's due moment to its answer. --fleet: N instances are stored (copies of one), lists are asked for, and all
evidence is judged again.
"""
import argparse
import base64
import datetime
import http.client
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'tests', 'e2e'))

from cloched import Cloched  # noqa: E402
from exchange_agent import Agent, Approver, Build, Platform, b64  # noqa: E402


class Connection:
    def __init__(self, server):
        self.http = http.client.HTTPConnection(*server.address.rsplit(':', 1), timeout=60)

    def post(self, path, data):
        self.http.request('POST', path, body=data, headers={'Content-Type': 'application/json'})
        answer = self.http.getresponse()
        return answer.status, answer.read()


def run(server, threads, jobs, path, rate=None):
    """Sends all bodies; seconds in all, and each one's latency."""
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


def cpu_s(server):
    with open(f'/proc/{server.child.pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def show(what, count, seconds, latencies, cpu):
    at = lambda share: latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000  # noqa: E731
    print(f'{what}: {count / seconds:.0f}/s; p50 {at(.5):.1f} ms, p99 {at(.99):.1f} ms; '
          f'{cpu / count * 1000:.2f} ms of the server\'s CPU each')


def fleet(server, owner, agent, app, count):
    """Copies of the agent's row with ids and keys of their own, written while the server is down."""
    server.stop()
    with sqlite3.connect(server.options['store'].split(':', 1)[1]) as db:
        names = [row[1] for row in db.execute('PRAGMA table_info(instances)')]
        others = ', '.join(name for name in names if name not in ('id', 'public_key', 'state'))
        db.executemany(f'INSERT INTO instances (id, public_key, state, {others}) SELECT ?, ?, ?, {others} FROM instances WHERE id = ?',
                       ((f'ins_0{i:025d}', b'%d' % i, 'unreachable' if i % 1000 == 0 else 'running', agent.id) for i in range(count)))
    db.close()
    server.start()
    for what, query in (('page', {'limit': 50}), ('page in the middle', {'limit': 50, 'after': f'ins_0{count // 2:025d}'}),
                        ('by a rare state', {'limit': 50, 'state': 'unreachable'}), ('by app', {'limit': 50, 'app': app}),
                        ('by app and rare state', {'limit': 50, 'app': app, 'state': 'unreachable'}),
                        ('by app and no such state', {'limit': 50, 'app': app, 'state': 'stopped'}),
                        ('by build', {'limit': 50, 'build': agent.build.id})):
        times = []
        for _ in range(10):
            begin = time.perf_counter()
            assert owner.raw('GET', '/v1/instances?' + urllib.parse.urlencode(query)).status == 200
            times.append(time.perf_counter() - begin)
        print(f'{count} instances, {what}: {sorted(times)[5] * 1000:.1f} ms')
    before = cpu_s(server)
    owner.post('/v1/fleet/reappraise')
    while True:
        time.sleep(0.5)
        progress = owner.get('/v1/fleet').body['reappraisal']
        if not progress['running']:
            break
    parse = lambda text: datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))  # noqa: E731
    seconds = (parse(progress['finished']) - parse(progress['started'])).total_seconds()
    print(f'{progress["judged"]} judged again in {seconds:.1f} s ({progress["judged"] / seconds:.0f}/s), '
          f'{cpu_s(server) - before:.1f} s of CPU; {progress["fallen"]} fell')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=600)
    parser.add_argument('--threads', type=int, default=16)
    parser.add_argument('--rate', type=float)
    parser.add_argument('--fleet', type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(os.path.join(folder, 'pki'))
        with Cloched(emulator_root=platform.root) as server:
            owner = server.owner
            owner.post('/v1/apps', {'name': 'load'})
            build = Build(owner, 'load', '1.0', approver=Approver(owner))
            app = owner.get('/v1/apps/load').body['id']
            owner.post('/v1/secrets', {'name': 'password', 'deliver': {'env': 'PASSWORD'}, 'value': b64(b'secret'),
                                       'conditions': {'emulated': True}, 'bindings': [{'app': app}]})
            agents = [Agent(server.client(), platform, build, None) for _ in range(options.count)]
            for purpose in ('start', 'renew'):
                before = cpu_s(server)
                seconds, latencies, nonces = run(server, options.threads, ['{}'] * options.count, '/v1/exchange/nonce')
                show('nonces', options.count, seconds, latencies, cpu_s(server) - before)
                bodies = [json.dumps(agent.body(purpose, nonce=json.loads(nonce)['nonce'])) for agent, nonce in zip(agents, nonces)]
                before = cpu_s(server)
                seconds, latencies, answers = run(server, options.threads, bodies, '/v1/exchange/evidence', options.rate)
                show(f'evidence to certificate and secrets, {purpose}', options.count, seconds, latencies, cpu_s(server) - before)
                for agent, answer in zip(agents, answers):
                    payload = json.loads(answer)['answer'].split('.')[1]
                    agent.id = json.loads(base64.urlsafe_b64decode(payload + '=='))['instance']
            if options.fleet:
                fleet(server, owner, agents[0], app, options.fleet)
            with open(f'/proc/{server.child.pid}/status', encoding='ascii') as f:
                print('server memory:', next(line.split(':')[1].strip() for line in f if line.startswith('VmRSS')))
        platform.close()


if __name__ == '__main__':
    main()
