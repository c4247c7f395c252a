# SPDX-License-Identifier: Apache-2.0
"""The agent in the enclave against a server in a thread (fake_exchange.py): what a workload gets, what renews it, what stops it. Evidence is the
emulated quoting service's."""
import base64
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading

import pytest
from conftest import BUILD, CLOCHE, Server, finish
from fake_exchange import FakeExchange, Pki, b64u, encrypt, pem, shifted, spki
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography import x509

RUN, TLS = '/run/cloche', '/run/cloche/tls'
REFUSED, UNREACHABLE, UNTRUSTED, NO_EVIDENCE, DELIVERY, REVOKED, LEASE = 31, 32, 33, 34, 35, 36, 124
SERVICES = ['/run/cloche/emu-quoting.socket', '/var/run/aesmd/aesm.socket']
CONFIG = '''
entrypoint: [/secret_reader]
user: "1000:1001"
limits: {memory: 256M, threads: 16}
server:
  urls: URLS
  ca_key_sha256: "PIN"
  start_limit_s: LIMIT
  reload_signal: SIGUSR1
'''


def secret(name, value, deliver, version='1'):
    return {'name': name, 'version': version, 'deliver': deliver, 'value': base64.b64encode(value).decode()}


class World:
    """The quoting service, and images for servers."""
    config = CONFIG

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        self.pki_folder, self.socket = os.path.join(folder, 'pki'), os.path.join(folder, 'socket')
        self.root = os.path.join(folder, 'root')
        os.makedirs(self.root)
        shutil.copy(os.path.join(BUILD, 'tests', 'e2e', 'secret_reader'), self.root)
        with open(os.path.join(self.root, 'passwd'), 'w') as file:
            file.write('')
        # What the workload's OpenSSL is told is nothing to the agent's.
        os.makedirs(os.path.join(self.root, 'usr', 'lib', 'ssl'))
        with open(os.path.join(self.root, 'usr', 'lib', 'ssl', 'openssl.cnf'), 'w') as file:
            file.write('openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMaxProtocol = TLSv1.2\n')
        self.quoting = Server([CLOCHE, 'emu', 'quoting', '--pki', self.pki_folder, '--socket', self.socket], b'protects nothing')

    def build(self, *urls, pin, limit=60):
        self.count += 1
        config, image = os.path.join(self.folder, f'{self.count}.yaml'), os.path.join(self.folder, f'image{self.count}')
        with open(config, 'w') as file:
            file.write(self.config.replace('URLS', json.dumps(urls)).replace('PIN', pin).replace('LIMIT', str(limit)))
        built = finish([CLOCHE, 'build', '--json', '-f', config, self.root, '-o', image], env={**os.environ, 'HOME': self.folder, 'XDG_CONFIG_HOME': self.folder})
        assert built.status == 0, built.err.decode()
        return image, json.loads(built.out)

    def command(self, image, *options):
        return [CLOCHE, 'run', '--quote-socket', self.socket, *options, image]

    def fails(self, image, status, *texts, timeout=60):
        got = finish(self.command(image), timeout=timeout)
        said = got.err.decode()
        assert got.status == status, said
        assert b'ready' not in got.out
        for text in texts:
            assert text in said, said
        return said


class Workload:
    """One run of the image, asked line by line."""

    def __init__(self, world, image, *options):
        self.child = subprocess.Popen(world.command(image, *options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.said, self.lines = b'', queue.Queue()
        self.readers = [threading.Thread(target=target, daemon=True) for target in (self.read_said, self.read_lines)]
        for reader in self.readers:
            reader.start()
        line = self.line()
        assert line == 'ready', (line, self.end(kill=True), self.said)

    def read_said(self):
        while True:
            chunk = self.child.stderr.read1(4096)
            if not chunk:
                return
            self.said += chunk

    def read_lines(self):
        for line in self.child.stdout:
            self.lines.put(line.decode().rstrip('\n'))
        self.lines.put('')  # its end

    def line(self, seconds=60):
        """The next one, '' at the end; a workload that says nothing for so long fails the test, with what its agent said."""
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f'nothing within {seconds} s: {self.said.decode(errors="replace")}') from None

    def ask(self, command):
        self.child.stdin.write(command.encode() + b'\n')
        self.child.stdin.flush()
        return self.line()

    def bytes(self, command):
        return bytes.fromhex(self.ask(command))

    def http(self, path):
        """(status, headers, body)"""
        head, body = self.bytes('ask ' + path).split(b'\r\n\r\n', 1)
        return int(head.split()[1]), head.decode(), body

    def end(self, kill=False, timeout=40):
        """The exit status."""
        if kill and self.child.poll() is None:
            self.child.kill()
        try:
            return self.child.wait(timeout)
        finally:
            self.child.kill()
            self.child.wait()
            for reader in self.readers:
                reader.join(10)
            for pipe in self.child.stdin, self.child.stdout, self.child.stderr:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = World(str(tmp_path_factory.mktemp('exchange')))
    yield world
    world.quoting.stop()


@pytest.fixture(scope='module')
def pki():
    return Pki()


class Site:
    """A server and an image that names it; the image is made once, the server is set back for each test."""

    def __init__(self, world, pki):
        self.world, self.server, self.workloads = world, FakeExchange(pki), []
        self.image, self.identity = world.build(self.server.url, pin=pki.pin)

    def reset(self):
        port = self.server.port
        self.server.stop()
        fresh = FakeExchange.__new__(FakeExchange)
        fresh.start = lambda port=port: FakeExchange.start(fresh, port)
        FakeExchange.__init__(fresh, self.server.pki)
        self.server = fresh

    def start(self, *options):
        self.workloads.append(Workload(self.world, self.image, *options))
        return self.workloads[-1]


@pytest.fixture(scope='module')
def made(world, pki):
    site = Site(world, pki)
    yield site
    site.server.stop()


@pytest.fixture
def site(made):
    made.reset()
    yield made
    for w in made.workloads:
        w.end(kill=True)
    made.workloads.clear()


SECRETS = [secret('database', b'hunter2', {'env': 'DB_PASSWORD'}), secret('key', b'\0binary\xff', {'file': 'api/key', 'mode': '0440', 'uid': 1000, 'gid': 7}),
           secret('plain', b'in the folder', {'file': 'plain'}), secret('elsewhere', b'x' * 100000, {'file': '/etc/app/secret', 'mode': '0400', 'uid': 0, 'gid': 0}),
           secret('asked', b'over the socket', {'socket': True}, version='42')]


def test_certificate_and_secrets_arrive(site):
    site.server.set_secrets(SECRETS, 'v1')
    site.server.fence = 7
    w = site.start('--env', 'CLOCHE_INSTANCE=ins_of_the_node')
    assert w.bytes('env DB_PASSWORD') == b'hunter2'
    assert w.bytes('cat /run/secrets/api/key') == b'\0binary\xff'
    assert w.ask('stat /run/secrets/api/key') == '100440 1000 7'
    assert w.ask('stat /run/secrets/plain') == '100400 1000 1001'
    assert w.ask('cat /etc/app/secret') == 'error 13' and w.ask('stat /etc/app/secret') == '100400 0 0'
    status, head, body = w.http('/v1/secrets/asked')
    assert (status, body) == (200, b'over the socket') and 'Cloche-Version: 42' in head
    assert w.http('/v1/secrets/database')[0] == 404 and w.http('/v1/secrets/none')[0] == 404 and w.http('/../x')[0] == 404
    cert = x509.load_pem_x509_certificate(w.bytes(f'cat {TLS}/cert.pem'))
    key = serialization.load_pem_private_key(w.bytes(f'cat {TLS}/key.pem'), None)
    assert spki(key.public_key()) == spki(cert.public_key()) == spki(site.server.keys['ins_of_the_node'])
    assert w.ask(f'stat {TLS}/key.pem') == '100400 1000 1001'
    assert w.bytes(f'cat {TLS}/roots.pem').decode() == w.http('/v1/roots')[2].decode()
    assert w.http('/v1/certificate')[2] == w.bytes(f'cat {TLS}/cert.pem') and w.http('/v1/key')[2] == w.bytes(f'cat {TLS}/key.pem')
    identity = json.loads(w.bytes(f'cat {RUN}/identity.json'))
    assert (identity['instance'], identity['fence']) == ('ins_of_the_node', 7) and identity['spiffe_id'].endswith('/org/acme/app/hotel')
    assert json.loads(w.http('/v1/identity')[2])['generation'] == 1
    assert w.bytes(f'cat {RUN}/result.jwt').count(b'.') == 2
    w.ask('trap 15')
    w.child.send_signal(signal.SIGTERM)
    assert w.line() == 'signal 15'
    w.child.stdin.write(b'exit 23\n')
    w.child.stdin.flush()
    assert w.end() == 23
    assert site.server.ends == [{'instance': 'ins_of_the_node', 'exit_status': 23, 'reason': 'exited'}]
    assert [body['app_digest'] for path, body in site.server.log if path.endswith('evidence')] == [site.identity['app_digest']]


def test_the_socket_is_the_workloads(site):
    """Of the image's user; who else may ask is in tests/unit/agent."""
    w = site.start()
    assert w.ask(f'stat {RUN}/agent.sock').endswith('140600 1000 1001')
    assert w.ask('ask /v1/nothing').startswith('485454502f312e312034')
    w.child.stdin.close()
    assert w.end() == 0


def test_renewal_and_rotation(site):
    site.server.set_secrets([secret('a', b'one', {'file': 'a'}), secret('b', b'gone', {'file': 'b'}), secret('s', b'one', {'socket': True})], 'v1')
    w = site.start()
    before = w.bytes(f'cat {TLS}/cert.pem')
    w.ask('trap 10')
    site.server.set_secrets([secret('a', b'two', {'file': 'a'}, '2'), secret('s', b'two', {'socket': True}, '2')], 'v2')
    site.server.order('renew')
    assert w.line() == 'signal 10'
    assert w.bytes('cat /run/secrets/a') == b'two' and w.ask('stat /run/secrets/b') == 'error 2'
    assert w.http('/v1/secrets/s')[2] == b'two'
    assert json.loads(w.http('/v1/wait?after=1')[2]) == {'generation': 2}
    assert w.bytes(f'cat {TLS}/cert.pem') != before
    # What is held is not sent again.
    site.server.order('renew')
    assert w.line() == 'signal 10'
    assert w.bytes('cat /run/secrets/a') == b'two'
    assert [body['have']['secrets'] for path, body in site.server.log if path.endswith('evidence')] == ['', 'v1', 'v2']
    assert site.server.purposes() == ['start', 'renew', 'renew']
    assert len(site.server.keys) == 1
    w.child.stdin.close()
    assert w.end() == 0


def test_renewal_by_time(site):
    site.server.lease_s, site.server.renew_s = 600, 1
    w = site.start()
    w.ask('trap 10')
    assert w.line() == 'signal 10'
    w.child.stdin.close()
    w.end()
    assert site.server.purposes()[:2] == ['start', 'renew']


def test_stop_order(site):
    w = site.start()
    w.ask('trap 15')
    site.server.order('stop', 'enough')
    assert w.line() == 'signal 15'
    w.child.stdin.write(b'exit 5\n')
    w.child.stdin.flush()
    assert w.end() == 5
    assert b'stopped by the server: enough' in w.said
    assert site.server.ends[0]['reason'] == 'stopped'


def test_revocation(site):
    """Files and socket are empty before the stop signal; who ignores it is killed after the grace."""
    site.server.set_secrets(SECRETS, 'v1')
    site.server.grace_s = 4
    w = site.start()
    w.ask('trap 15')
    site.server.order('revoke', 'stolen')
    assert w.line() == 'signal 15'
    assert w.ask('cat /run/secrets/plain') == 'error 2' and w.ask(f'cat {TLS}/key.pem') == 'error 2'
    assert w.http('/v1/secrets/asked')[0] == 410 and w.http('/v1/key')[0] == 410
    assert w.end() == REVOKED
    assert b'revoked by the server: stolen' in w.said
    assert site.server.ends == [{'instance': 'ins_1', 'exit_status': REVOKED, 'reason': 'revoked'}]


def test_revocation_of_who_is_stopping(site):
    """A long grace is no way around a revocation."""
    site.server.set_secrets(SECRETS, 'v1')
    site.server.grace_s = 60
    w = site.start()
    w.ask('trap 15')
    site.server.order('stop', 'enough')
    assert w.line() == 'signal 15'
    assert w.bytes('cat /run/secrets/plain') == w.bytes('cat /run/secrets/plain') != b''
    site.server.order('revoke', 'stolen')
    site.server.wait(lambda: b'revoked by the server: stolen' in w.said)
    assert w.ask('cat /run/secrets/plain') == 'error 2' and w.http('/v1/key')[0] == 410
    w.child.stdin.close()
    assert w.end() == REVOKED
    assert site.server.ends[0]['reason'] == 'revoked'


def test_final_refusal_ends_a_running_workload(site):
    w = site.start()
    site.server.refusal = {'code': 'revoked', 'step': 'build', 'detail': 'the build was revoked', 'fix': 'roll out the new one'}
    site.server.order('renew')
    assert w.end() == REVOKED
    assert b'the build was revoked' in w.said and b'roll out the new one' in w.said


def test_refusal_that_is_not_final_waits_for_the_lease(site):
    site.server.lease_s, site.server.renew_s, site.server.grace_s, site.server.final = 8, 1, 0, False
    w = site.start()
    site.server.refusal = {'code': 'attestation-refused', 'step': 'tcb', 'detail': 'out of date'}
    assert w.end() == LEASE
    assert b'the lease is not renewed' in w.said and b'the lease has ended' in w.said
    assert len(site.server.purposes()) >= 2


def test_cut_off_instance_stops_at_the_lease_end(site):
    site.server.set_secrets(SECRETS, 'v1')
    site.server.lease_s, site.server.renew_s, site.server.grace_s = 8, 2, 1
    w = site.start()
    w.ask('ignore 15')
    site.server.stop()
    assert w.bytes('env DB_PASSWORD') == b'hunter2'  # works on
    assert w.end() == LEASE
    assert b'the lease has ended' in w.said


def test_server_that_comes_back(site):
    site.server.renew_s = 1
    w = site.start()
    w.ask('trap 10')
    site.server.stop()
    site.server.wait(lambda: b'not renewed' in w.said)
    site.server.start()
    site.server.wait(lambda: b'the server answers again' in w.said)
    assert w.line() == 'signal 10'
    w.child.stdin.close()
    assert w.end() == 0


def test_another_server_of_the_list(site, pki):
    """The answer names a second server; when the first is gone, that one renews."""
    second = FakeExchange(pki)
    try:
        site.server.servers, site.server.renew_s = [second.url], 1
        second.keys = site.server.keys
        w = site.start()
        w.ask('trap 10')
        site.server.stop()
        second.wait(lambda: 'renew' in second.purposes())
        w.child.stdin.close()
        assert w.end() == 0
        assert second.ends, (second.log, w.said)
    finally:
        second.stop()


def test_second_server_of_the_descriptor(site, world, pki):
    """The first URL is dead from the start."""
    image, _ = world.build('https://127.0.0.1:1', site.server.url, pin=pki.pin)
    w = Workload(world, image)
    try:
        w.child.stdin.close()
        assert w.end() == 0
        assert site.server.purposes() == ['start']
    finally:
        w.end(kill=True)


def test_a_file_that_is_rotated_is_whole(site):
    """Who has the old one open reads the old one to its end; the name leads to the new one, and never to a part of it."""
    old, new = b'old ' * 20000, b'new ' * 30000
    site.server.set_secrets([secret('a', old, {'file': 'a'})], 'v1')
    w = site.start()
    w.ask('trap 10')
    assert w.ask('hold /run/secrets/a') == 'ok'
    site.server.set_secrets([secret('a', new, {'file': 'a'}, '2')], 'v2')
    site.server.order('renew')
    assert w.line() == 'signal 10'
    assert w.bytes('held x') == old and w.bytes('cat /run/secrets/a') == new


LIES_AT_RENEWAL = {
    'another instance': ('payload', lambda p: {**p, 'instance': 'ins_of_another'}),
    'another nonce': ('payload', lambda p: {**p, 'nonce': b64u(bytes(32))}),
    'an hour ago': ('payload', lambda p: shifted(p, -3600)),
    'milliseconds of another second': ('payload', lambda p: {**p, 'time_ms': p['time'] * 1000 + 5000}),
    'cut': ('response', lambda r: (r[0], r[1], r[2][:len(r[2]) // 2]) if b'"answer"' in r[2] else r),
    'other secrets': ('jwe', lambda jwe: encrypt(ec.generate_private_key(ec.SECP256R1()).public_key(), b'{}')),
}


@pytest.mark.parametrize('name', LIES_AT_RENEWAL)
def test_lies_at_a_renewal_change_nothing(site, name):
    """The workload runs on with what it has, until somebody answers who is the server."""
    site.server.set_secrets([secret('a', b'first', {'file': 'a'})], 'v1')
    w = site.start()
    w.ask('trap 10')
    cert = w.bytes(f'cat {TLS}/cert.pem')
    stage, lie = LIES_AT_RENEWAL[name]
    site.server.set_secrets([secret('a', b'second', {'file': 'a'}, '2')], 'v2')
    # Orders are answered honestly: only what a renewal brings is changed.
    site.server.hooks[stage] = lambda value: lie(value) if site.server.purposes()[-1] == 'renew' else value
    site.server.order('renew')
    site.server.wait(lambda: b'the lease is not renewed' in w.said)
    assert w.bytes('cat /run/secrets/a') == b'first' and w.bytes(f'cat {TLS}/cert.pem') == cert
    site.server.hooks.clear()
    assert w.line() == 'signal 10'
    assert w.bytes('cat /run/secrets/a') == b'second'
    w.child.stdin.close()
    assert w.end() == 0


def test_an_answer_to_another_instance(site):
    """Who stands between swaps the answers of two agents of the same image: neither takes the other's."""
    bodies, both = [], threading.Barrier(2, timeout=30)

    def swap(response):
        if b'"answer"' not in response[2]:
            return response
        with lock:
            mine = len(bodies)
            bodies.append(response[2])
        both.wait()
        return response[0], response[1], bodies[1 - mine]

    lock = threading.Lock()
    site.server.hooks['response'] = swap
    runs = [subprocess.Popen(site.world.command(site.image), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for child in runs:
        out, err = child.communicate(timeout=60)
        assert child.returncode == UNTRUSTED and b'ready' not in out and b'another nonce' in err, err


TOO_LARGE = {
    'a file': [secret('s', b'x' * ((1 << 20) + 1), {'file': 's'})],
    'a variable': [secret('s', b'x' * (96 * 1024 + 1), {'env': 'S'})],
    'too many': [secret(f's{i}', b'x', {'file': f's{i}'}) for i in range(257)],
}


@pytest.mark.parametrize('name', TOO_LARGE)
def test_secrets_that_are_too_large(site, name):
    site.server.set_secrets(TOO_LARGE[name], 'v1')
    said = site.world.fails(site.image, UNTRUSTED)
    assert 'too large' in said or 'more than 256 secrets' in said, said


def test_secrets_at_the_limit(site):
    site.server.set_secrets([secret('f', b'x' * (1 << 20), {'file': 'f'}), secret('e', b'y' * (96 * 1024), {'env': 'E'})]
                            + [secret(f's{i}', b'x', {'file': f's{i}'}) for i in range(254)], 'v1')
    w = site.start()
    assert w.ask('size /run/secrets/f') == str(1 << 20) and w.ask('stat /run/secrets/s253') == '100400 1000 1001'
    assert w.bytes('env E') == b'y' * (96 * 1024)


# ---- starts that fail ----

def test_changed_image_is_refused_with_the_reason(site):
    site.server.mrenclaves = ['ab' * 32]
    said = site.world.fails(site.image, REFUSED, 'build-not-allowed', 'step: identity', 'expected: ' + 'ab' * 32, 'actual: ' + site.identity['mrenclave'],
                            'fix: propose and approve this build')
    assert said.startswith('cloche: refused by the server: ') and said.count('\n') == 1


def test_refusal_with_control_characters(site):
    site.server.refusal = {'code': 'x', 'detail': 'a\n\x1b[2Jcloche: all is well', 'step': {'nested': ['y']}}
    said = site.world.fails(site.image, REFUSED, 'all is well')
    assert said.count('\n') == 1 and '\x1b' not in said


def test_no_server(world, pki):
    image, _ = world.build('https://127.0.0.1:1', pin=pki.pin, limit=1)
    world.fails(image, UNREACHABLE, 'no server answers yet', 'no server answered')


def test_start_waits_for_the_server(site):
    port = site.server.port
    site.server.stop()
    started = threading.Timer(0.7, lambda: site.server.start(port))
    started.start()
    w = site.start()
    started.join()
    assert b'no server answers yet' in w.said
    w.child.stdin.close()
    assert w.end() == 0


def test_waiting_start_can_be_ended(world, pki):
    image, _ = world.build('https://127.0.0.1:1', pin=pki.pin, limit=3000)
    child = subprocess.Popen(world.command(image), stderr=subprocess.PIPE)
    assert b'no server answers yet' in child.stderr.readline()
    child.send_signal(signal.SIGTERM)
    try:
        assert child.wait(30) == 128 + signal.SIGTERM
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


@pytest.mark.skipif(any(map(os.path.exists, SERVICES)), reason='this machine has a quoting service')
def test_no_quoting_service(site):
    got = finish([CLOCHE, 'run', site.image])
    assert got.status == NO_EVIDENCE and b'no evidence' in got.err, got.err


def test_another_ca(site, world):
    image, _ = world.build(site.server.url, pin='12' * 32)
    world.fails(image, UNTRUSTED, 'does not end at the CA key that the image pins')


def test_secret_for_a_host_folder_or_a_link(site):
    for path, reason in ('/proc/x', 'cannot be written'), ('/passwd/x', 'cannot be written'):
        site.server.set_secrets([secret('s', b'1', {'file': path})], 'v1')
        site.world.fails(site.image, DELIVERY, 'secret s', reason)


def other_jwe(site):
    return lambda jwe: encrypt(ec.generate_private_key(ec.SECP256R1()).public_key(), b'{}')


HOSTILE = {
    'signature': ('jws', lambda s: lambda jws: jws[:-6] + ('A' if jws[-6] != 'A' else 'B') + jws[-5:]),
    'payload changed': ('jws', lambda s: lambda jws: jws.split('.')[0] + '.' + b64u(b'{"time":1}') + '.' + jws.split('.')[2]),
    'type': ('header', lambda s: lambda h: {**h, 'typ': 'ear+jwt'}),
    'algorithm none': ('header', lambda s: lambda h: {**h, 'alg': 'none'}),
    'algorithm HS256': ('header', lambda s: lambda h: {**h, 'alg': 'HS256'}),
    'critical': ('header', lambda s: lambda h: {**h, 'crit': ['x'], 'x': 1}),
    'no chain': ('header', lambda s: lambda h: {k: v for k, v in h.items() if k != 'x5c'}),
    'chain cut': ('header', lambda s: lambda h: {**h, 'x5c': h['x5c'][:2]}),
    'nonce': ('payload', lambda s: lambda p: {**p, 'nonce': b64u(bytes(32))}),
    'certificate of another': ('payload', lambda s: lambda p: {**p, 'certificates': [pem_of(s), *p['certificates'][1:]]}),
    'time': ('payload', lambda s: lambda p: {**p, 'time': 5}),
    'lease for ever': ('payload', lambda s: lambda p: {**p, 'lease': {'until': 1 << 60, 'renew_after': p['time'] + 1}}),
    'lease of text': ('payload', lambda s: lambda p: {**p, 'lease': {'until': 'x', 'renew_after': 1}}),
    'negative grace': ('payload', lambda s: lambda p: {**p, 'grace_s': -1}),
    'servers': ('payload', lambda s: lambda p: {**p, 'servers': ['http://plain']}),
    'secrets to another': ('jwe', other_jwe),
    'secrets cut': ('jwe', lambda s: lambda jwe: jwe[:-8]),
    'secrets of another exchange': ('plain', lambda s: lambda p: {**p, 'nonce': 'x'}),
    'secret path': ('plain', lambda s: lambda p: {**p, 'secrets': [secret('s', b'', {'file': '../etc/x'})]}),
}


def pem_of(site):
    return pem(site.server.pki.leaf('x', ec.generate_private_key(ec.SECP256R1()).public_key(), [x509.DNSName('x')]))


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_answers(site, name):
    stage, make = HOSTILE[name]
    site.server.hooks[stage] = make(site)
    site.world.fails(site.image, UNTRUSTED, 'not the server that this image trusts')


def test_an_instances_certificate_signs_no_answer(site):
    """Same CA, but the name of an app."""
    site.server.exchange_cert = site.server.pki.leaf('x', site.server.key.public_key(), [x509.UniformResourceIdentifier('spiffe://test.example/org/acme/app/x')])
    site.world.fails(site.image, UNTRUSTED, 'not that of an exchange')


def test_old_answers_renew_nothing(site):
    """Who stands between gives nonce and answer again: the lease is not made longer."""
    kept = {}

    def keep(name):
        return lambda value: kept.setdefault(name, value)

    site.server.lease_s, site.server.renew_s, site.server.grace_s = 8, 1, 0
    site.server.hooks['nonce'] = keep('nonce')
    w = site.start()
    assert w.end() == LEASE
    assert b'used before' in w.said
