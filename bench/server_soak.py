# SPDX-License-Identifier: Apache-2.0
"""A day's work of a server in minutes, under AddressSanitizer, UBSan and LeakSanitizer: exchanges, renewals, ends, lists, listeners that come and go, logins, reloads, changes of policy, secrets and tokens,
re-appraisals, and requests that fail. Nothing may leak: its memory stands still after the warm-up, and LeakSanitizer finds nothing at the end.

`bench/exchange.py --soak SECONDS` builds cloched for it in build-asan/ (once), prints the figures and exits with 1 when something is wrong.
"""
import http.client
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import cloched
from exchange_agent import Agent, Approver, Build, Platform, b64
from server_load import Connection, memory_kib, take_id

ASAN = os.path.join(cloched.ROOT, 'build-asan')
SANITIZERS = {'ASAN_OPTIONS': 'detect_leaks=1:quarantine_size_mb=16:malloc_context_size=12:abort_on_error=0:exitcode=23',
              'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1:exitcode=24', 'LSAN_OPTIONS': 'report_objects=1'}
EXCHANGERS = 4
AGENTS_MAX = 60         # of one thread, each renews until it is ended
LISTENERS = 20          # open at once
DEFAULT_LEASE_S = 3600  # an instance renews at half of it
GROWTH_MAX_MIB = 16
SAMPLE_S = 2


def build():
    """cloched with the sanitizers. returns: its path."""
    if not os.path.exists(os.path.join(ASAN, 'build.ninja')):
        subprocess.run(['meson', 'setup', '-Db_sanitize=address,undefined', '-Db_lundef=false', ASAN, cloched.ROOT], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', ASAN, 'server/cloched'], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(ASAN, 'server', 'cloched')


class Soak:
    def __init__(self, server, platform):
        self.server, self.platform = server, platform
        self.owner_token = server.owner.token
        self.counts, self.wrong, self.lock = {}, [], threading.Lock()
        self.platform_lock, self.stopping = threading.Lock(), threading.Event()

    def count(self, what, status, expected, answer=''):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1
            if status not in expected:
                self.wrong.append((what, f'{status} {answer}'))

    def client(self):
        """As the owner; a connection of its own for each request, and the contract is held elsewhere."""
        return self.server.client(self.owner_token)

    def call(self, what, method, path, body=None, expected=(200, 201, 202, 204), client=None, **more):
        data = None if body is None else body if isinstance(body, (bytes, str)) else json.dumps(body)
        headers = {'Content-Type': 'application/json', **more} if body is not None else more
        answer = (client or self.client()).raw(method, path, data, headers)
        self.count(what, answer.status, expected, f'{method} {path} {answer.text[:200]}')
        return answer

    # ---- each is a thread's turn, again and again ----

    def exchanges(self, build):
        agents, connection = [], Connection(self.server)

        def turn():
            is_new = len(agents) < AGENTS_MAX and random.random() < 0.3 or not agents
            agent = Agent(None, self.platform, build, None) if is_new else agents.pop(random.randrange(len(agents)))
            _, nonce = connection.post('/v1/exchange/nonce', '{}')
            with self.platform_lock:
                body = agent.body('start' if is_new else 'renew', nonce=json.loads(nonce)['nonce'])
            status, text = connection.post('/v1/exchange/evidence', json.dumps(body))
            self.count('starts' if is_new else 'renewals', status, (200, 403, 503), text[:200])
            if status == 200:
                take_id(agent, text)
            if agent.id and random.random() < 0.1:
                connection.http.request('POST', '/v1/exchange/end', json.dumps({'instance': agent.id, 'exit_status': 0, 'reason': 'exited'}),
                                        {'Content-Type': 'application/json', 'Authorization': 'Cloche-Instance ' + agent.token('cloche-end', exit_status=0, reason='exited')[0]})
                answer = connection.http.getresponse()
                answer.read()
                self.count('ends', answer.status, (200, 204))
            elif agent.id:
                agents.append(agent)
        return turn

    def lists(self):
        paths = itertools.cycle(['/v1/instances?limit=200', '/v1/instances?state=stopped', '/v1/apps', '/v1/fleet', '/v1/fleet/forecast', '/v1/audit?limit=100',
                                 '/v1/secrets', '/v1/nodes', '/v1/policies', '/v1/me', '/metrics', '/healthz', '/v1/events?limit=50', '/v1/ca/roots'])

        def turn():
            answer = self.call('lists', 'GET', next(paths))
            if answer.body and isinstance(answer.body, dict) and answer.body.get('items') and 'lease_until' in answer.body['items'][0]:
                self.call('shown', 'GET', '/v1/instances/' + random.choice(answer.body['items'])['id'])
            time.sleep(0.02)
        return turn

    def listeners(self):
        request = f'GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {self.owner_token}\r\n\r\n'.encode()
        socks = []

        def turn():
            sock = self.server.socket()
            sock.sendall(request)
            socks.append(sock)
            if random.random() < 0.5:
                sock.recv(65536)
            self.count('listeners', 200, (200,))
            while len(socks) > LISTENERS:
                socks.pop(random.randrange(len(socks))).close()
            time.sleep(0.05)
        return turn

    def changes(self):
        steps = itertools.cycle(['strict', 'lenient', 'secret', 'token', 'login', 'badlogin', 'reload', 'reappraise', 'app', 'try'])
        number = itertools.count()

        def turn():
            step = next(steps)
            if step in ('strict', 'lenient'):
                self.call('changes', 'PATCH', '/v1/apps/other', {'policy': step})
            elif step == 'secret':
                self.call('changes', 'POST', '/v1/secrets/password/versions', {'value': b64(os.urandom(32).hex().encode())})
            elif step == 'token':
                made = self.call('changes', 'POST', '/v1/tokens', {'name': f't{next(number)}'})
                if made.status == 201:
                    self.call('changes', 'DELETE', '/v1/tokens/' + made.body['id'])
            elif step == 'login':
                logged = self.call('logins', 'POST', '/v1/login', {'org': 'acme', 'name': 'alice', 'password': cloched.PASSWORD}, client=self.server.client())
                if logged.status == 200:
                    self.call('logins', 'POST', '/v1/logout', {}, client=self.server.client(logged.body['token']))
            elif step == 'badlogin':
                self.call('failures', 'POST', '/v1/login', {'org': 'acme', 'name': 'nobody', 'password': 'x' * 20}, (401, 429), self.server.client())
            elif step == 'reload':
                self.server.child.send_signal(signal.SIGHUP)
                self.count('reloads', 200, (200,))
            elif step == 'reappraise':
                self.call('re-appraisals', 'POST', '/v1/fleet/reappraise')
            elif step == 'app':
                self.call('changes', 'POST', '/v1/apps', {'name': f'app-{next(number)}'})
            else:
                self.call('changes', 'GET', '/v1/policies/strict')
            time.sleep(0.1)
        return turn

    def failures(self):
        deep = '[' * 5000
        bad = itertools.cycle([
            ('POST', '/v1/exchange/evidence', deep, (400, 413, 422)), ('POST', '/v1/exchange/evidence', '{"nonce": 1}', (400, 422)),
            ('POST', '/v1/apps', '{"name": "load"}', (409,)), ('POST', '/v1/apps', b'\xff\xfe{', (400, 422)), ('GET', '/v1/nothing', None, (404,)),
            ('DELETE', '/v1/me', None, (404, 405)), ('GET', '/v1/instances?limit=zero', None, (400,)), ('GET', '/v1/instances/ins_00000000000000000000000000', None, (404,)),
            ('POST', '/v1/policies', '{"name": "x", "policy": {"version": 9}}', (400, 409, 422))])

        def turn():
            method, path, body, expected = next(bad)
            self.call('failures', method, path, body, expected)
            stranger = self.server.client('clt_' + 'A' * 40)
            self.call('failures', 'GET', '/v1/me', None, (401,), stranger)
            sock = self.server.socket()  # goes away in the middle
            sock.sendall(b'POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"name"')
            sock.close()
            self.count('failures', 400, (400,))
            time.sleep(0.05)
        return turn

    # ---- the whole ----

    def repeat(self, turn):
        while not self.stopping.is_set():
            try:
                turn()
            except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
                if not self.stopping.is_set():
                    with self.lock:
                        self.wrong.append(('exception', repr(e)))
                    return

    def run(self, seconds, turns):
        """Samples of memory in MiB."""
        threads = [threading.Thread(target=self.repeat, args=(turn,)) for turn in turns]
        for thread in threads:
            thread.start()
        samples, until = [], time.monotonic() + seconds
        while time.monotonic() < until and self.server.child.poll() is None and not self.wrong:
            time.sleep(min(SAMPLE_S, seconds / 30))
            if self.server.child.poll() is None:
                samples.append(memory_kib(self.server) / 1024)
        self.stopping.set()
        for thread in threads:
            thread.join()
        return samples


def policy(platform, mrenclave):
    with open(os.path.join(platform.folder, 'policy.json'), encoding='utf-8') as f:
        return {**json.load(f), 'identities': [{'name': 'one', 'sgx': {'mrenclave': f'{mrenclave:02x}' * 32}}]}


def set_up(server, platform):
    owner, builds = server.owner, []
    approver = Approver(owner)
    for app, mrenclave in (('load', 0x11), ('other', 0x22)):
        assert owner.post('/v1/apps', {'name': app}).status == 201
        builds.append(Build(owner, app, '1.0', mrenclave, approver))
    bindings = [{'app': owner.get('/v1/apps/' + app).body['id']} for app in ('load', 'other')]
    assert owner.post('/v1/secrets', {'name': 'password', 'deliver': {'env': 'PASSWORD'}, 'value': b64(b'secret'), 'conditions': {'emulated': True},
                                      'bindings': bindings}).status == 201
    for name, mrenclave in (('strict', 0x33), ('lenient', 0x22)):
        assert owner.post('/v1/policies', {'name': name, 'policy': policy(platform, mrenclave)}).status == 201
        assert owner.patch('/v1/policies/' + name, {'version': 1}).status == 200
    return builds


def judge(soak, samples, status, log):
    """What is wrong, as lines."""
    third = len(samples) // 3
    problems = [f'{what}: unexpected {status}' for what, status in soak.wrong[:10]]
    if status != 0:
        problems.append(f'cloched ended with {status}')
    for word in ('AddressSanitizer', 'LeakSanitizer', 'runtime error'):
        if word in log:
            at = log.index(word)
            problems.append(log[max(0, at - 200):at + 3000])
            break
    if third > 0:
        growth = statistics.median(samples[-third:]) - statistics.median(samples[third:2 * third])
        print(f'memory: {samples[0]:.0f} MiB at the start, {statistics.median(samples[third:2 * third]):.0f} MiB in the second third, '
              f'{statistics.median(samples[-third:]):.0f} MiB in the last: {growth:+.1f} MiB')
        if growth > GROWTH_MAX_MIB:
            problems.append(f'memory grew by {growth:.1f} MiB after the warm-up')
    return problems


def main(seconds):
    cloched.CLOCHED = build()
    os.environ.update(SANITIZERS)
    with tempfile.TemporaryDirectory(prefix='cloche-soak-') as folder:
        platform = Platform(os.path.join(folder, 'pki'))
        with cloched.Cloched(emulator_root=platform.root, rate_per_minute=10000000, request_timeout_s=10) as server:
            builds = set_up(server, platform)
            soak = Soak(server, platform)
            begin = time.monotonic()
            samples = soak.run(seconds, [*(soak.exchanges(builds[i % 2]) for i in range(EXCHANGERS)), soak.lists(), soak.listeners(),
                                         soak.changes(), soak.failures()])
            taken = time.monotonic() - begin
            status, log = server.stop(), server.log()
            if not any(word in log for word in ('AddressSanitizer', 'LeakSanitizer', 'runtime error')):
                log = ''
        platform.close()
    exchanges = soak.counts.get('starts', 0) + soak.counts.get('renewals', 0)
    print(f'{taken:.0f} s: ' + ', '.join(f'{count} {what}' for what, count in sorted(soak.counts.items())))
    print(f'the exchanges of 24 hours of {exchanges * DEFAULT_LEASE_S / 2 / 86400:.0f} instances with leases of an hour')
    problems = judge(soak, samples, status, log)
    for problem in problems:
        print(problem, file=sys.stderr)
    print('something is wrong' if problems else 'nothing leaked')
    return 1 if problems else 0
