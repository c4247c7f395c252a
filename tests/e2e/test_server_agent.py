# SPDX-License-Identifier: Apache-2.0
"""Agent and control plane together: a workload in an enclave, with quotes of the emulated quoting service, gets certificate and secrets of cloched, new ones
while it runs, and is stopped. Times from command to effect are printed."""
import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time

import pytest
from cryptography import x509

from cloched import Cloched
from conftest import BUILD, CLOCHE, Server, finish
from exchange_agent import Approver, b64, spki_sha256
from test_agent_exchange import LEASE, REFUSED, REVOKED, TLS, Workload

CONFIG = '''
name: NAME
entrypoint: [/secret_reader]
user: "1000:1001"
limits: {memory: 256M, threads: 16}
server: {reload_signal: SIGUSR1}
'''


class World:
    """cloched over TLS of its own CA, an approver, a quoting service."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        self.socket, self.root = os.path.join(folder, 'socket'), os.path.join(folder, 'root')
        os.makedirs(self.root)
        shutil.copy(os.path.join(BUILD, 'tests', 'e2e', 'secret_reader'), self.root)
        os.makedirs(os.path.join(self.root, 'etc'))
        with open(os.path.join(self.root, 'etc', 'hosts'), 'w') as file:
            file.write('127.0.0.1 localhost\n')
        pki = os.path.join(folder, 'pki')
        self.quoting = Server([CLOCHE, 'emu', 'quoting', '--pki', pki, '--socket', self.socket], b'protects nothing')
        self.server = None
        try:
            self.start(os.path.join(pki, 'certs', 'root.pem'))
        except BaseException:
            self.close()
            raise

    def start(self, emulator_root):
        self.server = Cloched(emulator_root=emulator_root, plain_http=False, names=['127.0.0.1'])
        self.owner = self.server.owner
        self.approver = Approver(self.owner)
        pem = self.server.client().get('/v1/ca/roots').text
        self.pin = spki_sha256(x509.load_pem_x509_certificate(pem.encode()))

    def close(self):
        if self.server:
            self.server.close()
        self.quoting.stop()

    def command(self, image, *options):
        return [CLOCHE, 'run', '--quote-socket', self.socket, *options, image]

    def build(self, app, version, approve=True, url=None, program='secret_reader'):
        """A sealed image, proposed as a build: (image, id of the build)."""
        config, image = os.path.join(self.folder, f'{app}-{version}.yaml'), os.path.join(self.folder, f'{app}-{version}.image')
        with open(config, 'w') as file:
            file.write(CONFIG.replace('NAME', f'{app}-{version}').replace('/secret_reader', '/' + program))
        built = finish([CLOCHE, 'build', '--json', '--server', url or self.server.url, '--server-ca', self.pin, '-f', config, self.root, '-o', image],
                       env={**os.environ, 'HOME': self.folder, 'XDG_CONFIG_HOME': self.folder})
        assert built.status == 0, built.err.decode()
        identity = json.loads(built.out)
        answer = self.owner.post(f'/v1/apps/{app}/builds', {
            'version': version, 'descriptor': descriptor_of(image), 'app_digest': identity['app_digest'], 'mrenclave': identity['mrenclave'],
            'mrsigner': identity['mrsigner'], 'isv_prod_id': 0, 'isv_svn': 0})
        assert answer.status == 201, answer
        if approve:
            self.approver.approve(answer.body['id'])
        return image, answer.body['id']

    def app(self, **settings):
        self.count += 1
        name = f'site{self.count}'
        answer = self.owner.post('/v1/apps', {'name': name, **settings})
        assert answer.status == 201, answer
        return name

    def secret(self, app, name, value, deliver):
        app_id = self.owner.get('/v1/apps/' + app).body['id']
        answer = self.owner.post('/v1/secrets', {'name': name, 'deliver': deliver, 'value': b64(value), 'conditions': {'emulated': True}, 'bindings': [{'app': app_id}]})
        assert answer.status == 201, answer
        return answer.body['id']

    def instance(self, app):
        """The one that was seen last."""
        return max(self.owner.list('/v1/instances', app=app), key=lambda instance: instance['id'])

    def wait(self, question, seconds=30):
        until = time.monotonic() + seconds
        while not question():
            assert time.monotonic() < until, self.server.log()[-3000:]
            time.sleep(0.02)


def descriptor_of(image):
    """The descriptor's text, from the image's one layer."""
    index = json.load(open(os.path.join(image, 'index.json')))

    def blob(digest):
        return os.path.join(image, 'blobs', *digest.split(':'))
    manifest = json.load(open(blob(index['manifests'][0]['digest'])))
    with tarfile.open(blob(manifest['layers'][0]['digest'])) as layer:
        return layer.extractfile('cloche/descriptor.json').read().decode()


class Tap:
    """Takes plain HTTP, passes it on to cloched, and keeps all bytes of both directions."""

    def __init__(self, address):
        host, port = address.rsplit(':', 1)
        self.upstream, self.seen = (host, int(port)), b''
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = self.context.wrap_socket(socket.create_connection(self.upstream))
            except OSError:
                return
            threading.Thread(target=self.pump, args=(near, far), daemon=True).start()

    def pump(self, near, far):
        """A request, then its answer: connections carry one each."""
        near.settimeout(0.05)
        far.settimeout(0.05)
        try:
            while True:
                for source, target in (near, far), (far, near):
                    try:
                        data = source.recv(65536)
                    except TimeoutError:
                        continue
                    self.seen += data
                    if not data:
                        return
                    target.sendall(data)
        except OSError:
            pass
        finally:
            near.close()
            far.close()

    def close(self):
        self.listener.close()


class Proxy:
    """nginx, with a certificate of the CA for localhost, before a tap."""

    def __init__(self, folder, address, cert, key):
        self.tap = Tap(address)
        for name, data in ('cert.pem', cert), ('key.pem', key):
            with open(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), 'wb') as file:
                file.write(data)
        with socket.create_server(('127.0.0.1', 0)) as probe:
            self.port = probe.getsockname()[1]
        config = os.path.join(folder, 'nginx.conf')
        with open(config, 'w') as file:
            file.write(f'''daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
client_max_body_size 16m;
server {{ listen 127.0.0.1:{self.port} ssl; ssl_protocols TLSv1.3; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
location / {{ proxy_pass http://127.0.0.1:{self.tap.port}; proxy_read_timeout 90s; proxy_set_header Host $host; }} }} }}
''')
        self.child = subprocess.Popen(['/usr/sbin/nginx', '-c', config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        self.child.terminate()
        self.child.wait(30)
        self.tap.close()


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = World(str(tmp_path_factory.mktemp('agent')))
    yield world
    world.close()


@pytest.fixture
def runs():
    """Ends what a test left."""
    started = []
    yield started
    for w in started:
        w.end(kill=True)


def start(world, image, runs):
    runs.append(Workload(world, image))
    return runs[-1]


def test_certificate_secrets_and_rotation(world, runs):
    app = world.app(dns_names=['hotel.example.org'], grace_s=5)
    image, _ = world.build(app, '1.0')
    world.secret(app, f'{app}-env', b'in the environment', {'env': 'DB_PASSWORD'})
    rotated = world.secret(app, f'{app}-file', b'first', {'file': '/run/secrets/db/password', 'mode': '0440', 'uid': 1000, 'gid': 7})
    world.secret(app, f'{app}-socket', b'asked for', {'socket': True})
    w = start(world, image, runs)
    assert w.bytes('env DB_PASSWORD') == b'in the environment'
    assert w.bytes('cat /run/secrets/db/password') == b'first' and w.ask('stat /run/secrets/db/password') == '100440 1000 7'
    assert w.http(f'/v1/secrets/{app}-socket')[2] == b'asked for'
    cert = x509.load_pem_x509_certificate(w.bytes(f'cat {TLS}/cert.pem'))
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ['hotel.example.org']
    identity = json.loads(w.http('/v1/identity')[2])
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [identity['spiffe_id']]
    shown = world.owner.get('/v1/instances/' + identity['instance']).body
    assert shown['state'] == 'running' and shown['emulated']
    # A new value reaches the running workload.
    w.ask('trap 10')
    begin = time.monotonic()
    answer = world.owner.post(f'/v1/secrets/{rotated}/versions', {'value': b64(b'second')})
    assert answer.status in (200, 201), answer
    assert w.line() == 'signal 10'
    print(f'rotation to workload: {(time.monotonic() - begin) * 1000:.0f} ms')
    assert w.bytes('cat /run/secrets/db/password') == b'second'
    w.child.stdin.write(b'exit 23\n')
    w.child.stdin.flush()
    assert w.end() == 23
    world.wait(lambda: world.owner.get('/v1/instances/' + identity['instance']).body['state'] == 'stopped')
    assert world.owner.get('/v1/instances/' + identity['instance']).body['exit_status'] == 23


def test_revocation_stops_it(world, runs):
    app = world.app(grace_s=10)
    image, build = world.build(app, '1.0')
    world.secret(app, f'{app}-s', b'gone', {'file': '/run/secrets/s'})
    w = start(world, image, runs)
    w.ask('trap 15')
    instance = world.instance(app)
    begin = time.monotonic()
    answer = world.owner.post('/v1/revocations', {'kind': 'instance', 'object': instance['id'], 'reason': 'stolen'})
    assert answer.status == 201, answer
    assert w.line() == 'signal 15'
    print(f'revocation to wiped keys and stop signal: {(time.monotonic() - begin) * 1000:.0f} ms')
    assert w.ask('cat /run/secrets/s') == 'error 2' and w.ask(f'cat {TLS}/key.pem') == 'error 2'
    w.child.stdin.write(b'exit 0\n')
    w.child.stdin.flush()
    assert w.end() == REVOKED
    assert b'revoked by the server' in w.said
    # The same build under another instance: it goes on.
    w = start(world, image, runs)
    assert world.owner.post('/v1/revocations', {'kind': 'build', 'object': build, 'reason': 'a hole'}).status == 201
    assert w.end() == REVOKED
    got = finish(world.command(image))
    assert got.status == REFUSED and b'refused by the server' in got.err, got.err


def test_stop_order(world, runs):
    app = world.app()
    image, _ = world.build(app, '1.0')
    w = start(world, image, runs)
    w.ask('trap 15')
    assert world.owner.post(f'/v1/instances/{world.instance(app)["id"]}/stop', {'reason': 'enough'}).status == 200
    assert w.line() == 'signal 15'
    w.child.stdin.write(b'exit 4\n')
    w.child.stdin.flush()
    assert w.end() == 4 and b'stopped by the server: enough' in w.said


def test_changed_image_is_refused_with_the_reason(world):
    app = world.app()
    world.build(app, '1.0')
    image, _ = world.build(app, '1.1', approve=False)
    got = finish(world.command(image))
    said = got.err.decode()
    assert got.status == REFUSED and 'build-not-allowed' in said and 'fix:' in said, said
    # One that was never proposed.
    with open(os.path.join(world.root, 'changed'), 'w') as file:
        file.write('x')
    try:
        unknown = os.path.join(world.folder, 'unknown')
        built = finish([CLOCHE, 'build', '-q', '--server', world.server.url, '--server-ca', world.pin, world.root, '-f',
                        os.path.join(world.folder, f'{app}-1.0.yaml'), '-o', unknown], env={**os.environ, 'HOME': world.folder, 'XDG_CONFIG_HOME': world.folder})
        assert built.status == 0, built.err
    finally:
        os.unlink(os.path.join(world.root, 'changed'))
    got = finish(world.command(unknown))
    assert got.status == REFUSED and b'APP_DIGEST' in got.err, got.err


def test_cut_off_instance_stops_at_the_end_of_its_lease(world, runs):
    """The server dies for good. The shortest lease of an app is too long for a test, so the build ends earlier, and with it the lease."""
    app = world.app(grace_s=1)
    image, build = world.build(app, '1.0')
    until = time.time() + 12
    answer = world.owner.post(f'/v1/builds/{build}/deprecate', {'until': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(until))})
    assert answer.status == 200, answer
    w = start(world, image, runs)
    world.server.kill()
    try:
        assert w.end() == LEASE
        print(f'the workload ended {time.time() - int(until):.1f} s after the end of its lease')
        assert time.time() >= int(until) - 1
        assert b'the lease has ended' in w.said
    finally:
        world.server.options['listen'] = world.server.address
        world.server.write_config()
        world.server.start()


def test_server_that_comes_back(world, runs):
    """kill -9 and a new start: the instance renews, and hears orders again."""
    app = world.app()
    image, _ = world.build(app, '1.0')
    w = start(world, image, runs)
    w.ask('trap 10')
    w.ask('trap 15')
    world.server.options['listen'] = world.server.address
    world.server.write_config()
    world.server.kill()
    world.wait(lambda: b"orders cannot be heard" in w.said)
    world.server.start()
    assert world.server.owner.post(f'/v1/instances/{world.instance(app)["id"]}/stop', {'reason': 'back'}).status == 200
    assert w.line() == 'signal 15'
    w.child.stdin.close()
    assert w.end() == 0


def test_an_app_that_runs_once_at_a_time(world, runs):
    """The second is refused while the first holds its lease; one that comes after it has a higher fencing token, which the workload sees."""
    image, _ = world.build(world.app(single=True), '1.0')
    first = start(world, image, runs)
    identity = json.loads(first.http('/v1/identity')[2])
    fence = identity['fence']
    assert fence > 0 and json.loads(first.bytes('cat /run/cloche/identity.json'))['fence'] == fence
    got = finish(world.command(image))
    assert got.status == REFUSED and b'instance-fenced' in got.err, got.err
    assert b'ready' not in got.out and first.ask('stat /run/cloche/tls/key.pem').startswith('100400')
    first.child.stdin.close()
    assert first.end() == 0
    world.wait(lambda: world.owner.get('/v1/instances/' + identity['instance']).body['state'] == 'stopped')
    second = start(world, image, runs)
    assert json.loads(second.http('/v1/identity')[2])['fence'] > fence


def test_a_second_instance_fences_the_first(world, runs):
    """Where the app says so: the first is stopped, its keys wiped, and the second has the higher token."""
    image, _ = world.build(world.app(single=True, on_second='fence', grace_s=5), '1.0')
    first = start(world, image, runs)
    fence = json.loads(first.http('/v1/identity')[2])['fence']
    first.ask('trap 15')
    second = start(world, image, runs)
    assert json.loads(second.http('/v1/identity')[2])['fence'] > fence
    assert first.line() == 'signal 15'
    assert first.ask(f'cat {TLS}/key.pem') == 'error 2' and first.http('/v1/key')[0] == 410
    first.child.stdin.write(b'exit 0\n')
    first.child.stdin.flush()
    assert first.end() == REVOKED and b'fenced by a newer instance' in first.said
    assert second.ask(f'stat {TLS}/key.pem').startswith('100400')


def test_the_server_takes_no_variable_that_agents_refuse(world):
    deliver = {'env': 'LARGE'}
    for size, status in (96 * 1024 + 1, 400), (96 * 1024, 201):
        answer = world.owner.post('/v1/secrets', {'name': f'large-{size}', 'deliver': deliver, 'value': b64(b'x' * size)})
        assert answer.status == status, answer


@pytest.mark.skipif(not os.path.exists('/usr/sbin/nginx'), reason='nginx is not installed')
def test_who_terminates_tls_sees_no_secret(world, runs, tmp_path):
    """nginx between agent and server, with a certificate that the agent accepts, and all bytes that it sees behind TLS are kept: no secret is in them."""
    marker = b'the secret that no proxy sees'
    front = world.app(dns_names=['localhost'])
    image, _ = world.build(front, '1.0')
    w = start(world, image, runs)  # its certificate is nginx's: an instance that turns on the others
    proxy = Proxy(str(tmp_path), world.server.address, w.bytes(f'cat {TLS}/cert.pem') + w.bytes(f'cat {TLS}/roots.pem'), w.bytes(f'cat {TLS}/key.pem'))
    try:
        app = world.app()
        image, _ = world.build(app, '1.0', url=f'https://localhost:{proxy.port}')
        world.secret(app, f'{app}-s', marker, {'file': '/run/secrets/s'})
        w = start(world, image, runs)
        assert w.bytes('cat /run/secrets/s') == marker
        w.child.stdin.close()
        assert w.end() == 0
        seen = proxy.tap.seen
        assert b'/v1/exchange/evidence' in seen and b'"answer"' in seen
        for form in marker, base64.b64encode(marker), b64(marker).encode():
            assert form not in seen
    finally:
        proxy.stop()
