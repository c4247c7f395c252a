# SPDX-License-Identifier: Apache-2.0
"""The control plane inside an enclave (examples/cloched): its root key is sealed to its signer and CPU, its store lies on an untrusted host folder."""
import datetime
import ipaddress
import json
import os
import shutil
import socket
import ssl
import tempfile
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloched import BUILD, PASSWORD, Cloched
from cloched_enclave import Enclaved, Images
from conftest import CLOCHE, Server, finish
from fake_aesm import FakeAesm
from exchange_agent import Agent, Approver, Build, Platform, b64, spki_sha256
import test_server_agent
from test_agent_exchange import REVOKED, Workload
from test_server_exchange import roots

SECRET = b'the key under the doormat of room 12'


class World:
    """The images, the platform whose instances the server judges, and the enclave's CPU: a key file."""

    def __init__(self, folder):
        self.folder = folder
        self.platform = Platform(os.path.join(folder, 'instances-pki'))
        os.makedirs(os.path.join(folder, 'images'))
        self.images = Images(os.path.join(folder, 'images'), self.platform.root)
        self.image, self.built = self.images.image()
        self.cpu = {'CLOCHE_EMU_FUSE': os.path.join(folder, 'fuse.key')}
        self.count = 0
        self.sockets = tempfile.mkdtemp(prefix='cloched-')  # their paths must be short

    def data(self):
        """A new host folder."""
        self.count += 1
        path = os.path.join(self.folder, f'data-{self.count}')
        os.mkdir(path, 0o700)
        return path

    def server(self, data, image=None, cpu=None, options=()):
        return Enclaved(image or self.image, data, f'{data}.log', cpu or self.cpu, options)


@pytest.fixture(scope='module')
def world():
    folder = tempfile.mkdtemp(prefix='cloched-enclave-', dir=BUILD)
    world = World(folder)
    yield world
    world.platform.close()
    shutil.rmtree(folder)
    shutil.rmtree(world.sockets)


def host_bytes(*paths):
    """All that the host has in these files and folders, with their names."""
    for path in paths:
        for at, _, names in os.walk(path):
            for name in names:
                with open(os.path.join(at, name), 'rb') as f:
                    yield os.path.join(at, name), f.read()
        if os.path.isfile(path):
            with open(path, 'rb') as f:
                yield path, f.read()


def new_agent(server, platform):
    """An agent of an allowed build with a secret."""
    owner = server.owner
    app = owner.post('/v1/apps', {'name': 'hotel'}).body['id']
    answer = owner.post('/v1/secrets', {'name': 'doormat', 'deliver': {'env': 'DOORMAT'}, 'value': b64(SECRET), 'conditions': {'emulated': True},
                                        'bindings': [{'app': app}]})
    assert answer.status == 201, answer
    build = Build(owner, 'hotel', '1.0', 0x11, Approver(owner))
    return Agent(server.client(), platform, build, spki_sha256(roots(server)[0]))


def test_the_control_plane_in_an_enclave(world):
    """init, serve, a build, a secret, an exchange; stopped, killed and started again, all of it is there, and nothing of it is in the host's hands."""
    data = world.data()
    server = world.server(data)
    server.init('acme', 'alice')
    server.start()
    try:
        agent = new_agent(server, world.platform)
        answer = agent.attest()
        assert answer['opened'] == {'doormat': SECRET}
        owner, pin = server.owner, agent.pin

        # The folder is one enclave's at a time: a second server and a command say so, and break nothing.
        second = server.command('backup', '/data/backup')
        assert second.returncode == 1 and b'has it open' in second.stderr, second.stderr
        assert server.stop() == 0, server.log()

        server.start()
        assert spki_sha256(roots(server)[0]) == pin
        assert owner.get('/v1/instances/' + agent.id).body['state'] == 'running'
        assert agent.attest('renew')['instance'] == agent.id
        owner.post('/v1/apps', {'name': 'acknowledged'})
        server.kill()  # the enclave is gone at once; what was acknowledged is not

        server.start()
        assert owner.get('/v1/apps/acknowledged').status == 200
        assert agent.attest('renew')['instance'] == agent.id
        token = owner.token
    finally:
        server.stop()
    made = server.command('backup', '/data/backup')
    assert made.returncode == 0, made.stderr
    found = list(host_bytes(data, server.log_path))
    assert {'cloche.db', 'cloche.db-lock', 'backup'} <= {os.path.basename(path) for path, _ in found}
    for path, content in found:
        for secret in (SECRET, b64(SECRET).encode(), PASSWORD.encode(), token.encode(), b'PRIVATE KEY'):
            assert secret not in content, (path, secret)


def test_the_root_key_is_of_this_signer_and_this_cpu(world):
    """Another signer, another product, another CPU: no root key, so no start. A newer version of the same signer goes on, and can lock older ones out."""
    data = world.data()
    server = world.server(data)
    server.init('acme', 'alice')
    with open(os.path.join(data, 'cloche.db'), 'rb') as f:
        before = f.read()
    other_signer, _ = world.images.image('other')
    other_cpu = {'CLOCHE_EMU_FUSE': os.path.join(world.folder, 'other-fuse.key')}
    for other in (world.server(data, other_signer), world.server(data, cpu=other_cpu)):
        refused = finish(other.words())
        assert refused.status == 1 and b'"cannot start"' in refused.err, refused
        assert b'another signer or product, or on another CPU' in refused.err, refused.err
        refused = finish(other.words('ca'))
        assert refused.status == 1 and b'another signer' in refused.err, refused.err
    with open(os.path.join(data, 'cloche.db'), 'rb') as f:
        assert f.read() == before
    newer = world.server(data, world.images.image(isv_svn=2)[0])
    shown = newer.command('ca')
    assert shown.returncode == 0 and b'BEGIN CERTIFICATE' in shown.stdout, shown.stderr
    assert server.command('ca').stdout == shown.stdout
    done = newer.command('rekey', '--to', 'sealed')
    assert done.returncode == 0, done.stderr
    assert newer.command('ca').stdout == shown.stdout
    refused = server.command('ca')
    assert refused.returncode == 1 and b'newer version' in refused.stderr, refused.stderr


@pytest.mark.parametrize('words', [['rekey', '--to', 'passphrase:/data/mine'], ['rekey', '--to', 'pkcs11:token=mine;object=key'], ['rekey --to sealed'],
                                   ['rekey', '--to'], ['backups']])
def test_the_host_says_only_what_the_configuration_allows(world, words):
    """The configuration is measured, the command line is not."""
    data = world.data()
    with open(os.path.join(data, 'mine'), 'w', encoding='utf-8') as f:
        f.write('a passphrase of the host\n')
    server = world.server(data)
    refused = finish(server.words(*words))
    assert refused.status == 1 and b'/etc/cloche/cloched.yaml does not allow it' in refused.err, refused
    assert os.listdir(data) == ['mine']


def test_the_host_names_no_other_configuration(world):
    data = world.data()
    with open(os.path.join(data, 'mine.yaml'), 'w', encoding='utf-8') as f:
        f.write('store: sqlite:/data/cloche.db\nroot_key_passphrase_file: /data/mine\nlisten: 127.0.0.1:0\n')
    refused = finish(world.server(data).words('--config', '/data/mine.yaml'))
    assert refused.status == 1 and b'does not allow it' in refused.err, refused
    assert os.listdir(data) == ['mine.yaml']


def test_a_server_outside_of_an_enclave_has_no_sealed_key(tmp_path):
    with pytest.raises(AssertionError, match='does not run in an enclave'):
        Cloched(str(tmp_path), root_key_passphrase_file=None, root_key_sealed=True)


# ---- the server's own evidence ----

class Attested:
    """A server in an enclave with a quoting service, and owners' policies for it."""

    def __init__(self, world):
        self.world, self.folder = world, os.path.join(world.folder, 'attested')
        os.mkdir(self.folder)
        self.pki, self.socket = os.path.join(self.folder, 'pki'), os.path.join(world.sockets, 'quoting')
        self.quote()
        self.server = world.server(world.data(), options=('--quote-socket', self.socket))
        self.server.init('acme', 'alice')
        self.server.start()
        self.count = 0

    def quote(self):
        self.quoting = Server([CLOCHE, 'emu', 'quoting', '--pki', self.pki, '--socket', self.socket], b'protects nothing', env={**os.environ, **self.world.cpu})

    def end(self):
        self.server.close()
        self.quoting.stop()

    def policy(self, **changed):
        """Of someone who wants this very build, or any of this signer's from a version on."""
        with open(os.path.join(self.pki, 'policy.json'), encoding='utf-8') as f:
            policy = json.load(f)
        policy['identities'] = [{'name': 'the control plane', 'sgx': {'mrsigner': self.world.built['mrsigner'], 'isv_prod_id': 4097, 'isv_svn_min': 1,
                                                                      **changed}}]
        self.count += 1
        path = os.path.join(self.folder, f'policy-{self.count}.json')
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(policy, f)
        return path

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def cloche(self, *words):
        """The command, with contexts of its own."""
        return finish([CLOCHE, *words], env={**os.environ, 'XDG_CONFIG_HOME': self.folder,
                                                   'CLOCHE_CONFIG': os.path.join(self.folder, 'contexts.json')})

    def login(self, *options, server=None):
        password = self.file('password', PASSWORD + '\n')
        server = server or self.server
        return self.cloche('login', 'https://' + server.address, '--user', 'alice', '--password-file', password, *options)

    def logins(self, server=None):
        """How often the server has seen a password of alice, right or wrong."""
        owner = (server or self.server).owner
        return sum(json.loads(entry['text'])['action'].startswith('session.') for entry in owner.list('/v1/audit'))


@pytest.fixture(scope='module')
def attested(world):
    attested = Attested(world)
    yield attested
    attested.end()


def test_the_server_proves_where_it_runs(attested):
    """Without --ca: the CA is the attested server's. The context remembers the policy."""
    policy = attested.policy(mrenclave=attested.world.built['mrenclave'])
    got = attested.login('--policy', policy)
    assert got.status == 0, got
    assert b"the server's evidence: affirming sgx: the control plane, chain up to emulated root, protects nothing" in got.out, got.out
    with open(os.path.join(attested.folder, 'contexts.json'), encoding='utf-8') as f:
        contexts = json.load(f)
    context = contexts['contexts'][contexts['current']]
    assert 'BEGIN CERTIFICATE' in context['ca'] and json.loads(context['policy'])['identities'][0]['name'] == 'the control plane'
    assert attested.cloche('app', 'list').status == 0
    # An auditor with nothing but the certificate.
    path = attested.file('server.pem', certificate_of(attested.server).public_bytes(serialization.Encoding.PEM).decode())
    got = attested.cloche('attest', 'cert', '--issued', '--policy', policy, path)
    assert got.status == 0 and b'the control plane' in got.out, got
    got = attested.cloche('attest', 'cert', '--policy', policy, path)
    assert got.status == 3 and b'not self-signed' in got.err, got
    # With its CA as well: both must hold.
    ca = attested.file('ca.pem', context['ca'])
    assert attested.login('--policy', attested.policy(), '--ca', ca).status == 0


@pytest.mark.parametrize('changed, reason', [({'mrenclave': '11' * 32}, b'POLICY_IDENTITY'), ({'mrsigner': '22' * 32}, b'POLICY_IDENTITY'),
                                             ({'isv_svn_min': 2}, b'POLICY_IDENTITY'), (None, b'UNTRUSTED_ROOT')])
def test_another_program_gets_no_password(attested, tmp_path, changed, reason):
    """Refused with the reason, status 3; the server saw no login."""
    if changed is None:
        policy = str(tmp_path / 'makers.json')
        with open(policy, 'w', encoding='utf-8') as f:
            f.write('{"version": 1}')
    else:
        policy = attested.policy(**changed)
    before = attested.logins()
    got = attested.login('--policy', policy)
    assert got.status == 3 and b'refused: ' in got.err and b"the server's evidence: " in got.err and reason in got.err, got
    assert attested.logins() == before
    assert attested.login('--policy', attested.policy()).status == 0
    assert attested.logins() == before + 1  # the count does count


class Between:
    """Somebody who ends TLS on the way, with a key of their own and whatever certificate they can make. Keeps what came after the handshake."""

    def __init__(self, folder, extensions):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'cloched')])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7) \
            .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(hours=1)) \
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]), False)
        for extension in extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        path = os.path.join(folder, 'between.pem')
        with open(path, 'wb') as f:
            f.write(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
            f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(path)
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.socket.settimeout(60)
        self.address = '127.0.0.1:%d' % self.socket.getsockname()[1]
        self.got = []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        connection, _ = self.socket.accept()
        connection.settimeout(60)
        try:
            with self.context.wrap_socket(connection, server_side=True) as tls:
                self.got.append(tls.recv(4096))
        except OSError as e:
            self.got.append(e)

    def close(self):
        self.thread.join(60)
        self.socket.close()


def certificate_of(server):
    host, port = server.address.rsplit(':', 1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=60) as sock, context.wrap_socket(sock) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(True))


def wait(question, server):
    until = time.monotonic() + 60
    while not question():
        assert time.monotonic() < until, server.log()[-3000:]
        time.sleep(0.05)


def evidence_of(certificate):
    return [e for e in certificate.extensions if e.oid.dotted_string in ('2.23.133.5.4.9', '2.23.133.5.4.2')]


def test_evidence_of_somebody_else_is_refused(attested):
    """The very evidence of the server, in front of another key."""
    evidence = evidence_of(certificate_of(attested.server))
    assert len(evidence) == 2
    between = Between(attested.folder, evidence)
    try:
        got = attested.login('--policy', attested.policy(), server=between)
    finally:
        between.close()
    assert got.status == 3 and b"the server's evidence: " in got.err and b'key' in got.err, got
    assert len(between.got) == 1 and isinstance(between.got[0], OSError), between.got


def test_a_server_without_evidence(attested):
    """Outside of an enclave: refused when there is a policy, else as ever; and a context keeps asking."""
    with Cloched(plain_http=False) as plain:
        assert not evidence_of(certificate_of(plain))
        ca = attested.file('plain-ca.pem', plain.command('ca').stdout.decode())
        before = attested.logins(plain)
        got = attested.login('--policy', attested.policy(), '--ca', ca, server=plain)
        assert got.status == 3 and b'carries no evidence' in got.err, got
        got = attested.login('--policy', attested.policy(), server=plain)
        assert got.status == 3 and b'carries no evidence' in got.err, got
        assert attested.logins(plain) == before
        assert attested.login('--ca', ca, server=plain).status == 0
        # The context of the attested server does not speak with this one, whatever DNS or the host's operator say.
        assert attested.login('--policy', attested.policy()).status == 0
        path = os.path.join(attested.folder, 'contexts.json')
        with open(path, encoding='utf-8') as f:
            contexts = json.load(f)
        context = contexts['contexts'][contexts['current']]
        context['url'] = 'https://' + plain.address
        context['ca'] = plain.command('ca').stdout.decode()
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(contexts, f)
        got = attested.cloche('app', 'list')
        assert got.status == 3 and b'carries no evidence' in got.err, got


def test_a_policy_needs_tls(attested):
    got = attested.cloche('login', 'unix:/run/none', '--user', 'alice', '--password-file', attested.file('password', PASSWORD), '--policy', attested.policy())
    assert got.status == 2 and b'https://' in got.err, got


def test_evidence_is_renewed_with_the_certificate(attested):
    """SIGHUP makes a new one: another key, other evidence, as good as the first. It lives an hour, and agents' pin stays."""
    server = attested.server
    first, pin = certificate_of(server), spki_sha256(roots(server)[0])
    assert first.not_valid_after - first.not_valid_before <= datetime.timedelta(seconds=3600 + 60)
    server.reload()
    wait(lambda: certificate_of(server) != first, server)
    second = certificate_of(server)
    assert second.public_key().public_numbers() != first.public_key().public_numbers()
    assert evidence_of(second)[0].value.value != evidence_of(first)[0].value.value
    assert spki_sha256(roots(server)[0]) == pin
    assert attested.login('--policy', attested.policy()).status == 0


def test_an_old_folder_shows_in_the_audit_log(attested):
    """The host puts yesterday's copy of the store back: the server cannot know, whoever keeps checkpoints does."""
    server, folder = attested.server, attested.server.folder
    assert attested.login('--policy', attested.policy()).status == 0
    assert server.stop() == 0
    shutil.copytree(folder, folder + '-old')
    server.start()
    assert attested.login('--policy', attested.policy()).status == 0
    server.owner.post('/v1/apps', {'name': 'of-today'})
    got = attested.cloche('audit', 'verify')
    assert got.status == 0, got
    assert server.stop() == 0
    for name in os.listdir(folder):
        if name.startswith('cloche.db'):
            os.unlink(os.path.join(folder, name))
    shutil.copy(os.path.join(folder + '-old', 'cloche.db'), folder)
    server.start()
    assert server.login().get('/v1/apps/of-today').status == 404
    assert attested.login('--policy', attested.policy()).status == 0
    got = attested.cloche('audit', 'verify')
    assert got.status == 3, got


def test_without_evidence_the_server_says_so(world, attested):
    """A quoting service that has no quote to give: the server serves, without evidence; nobody with a policy talks to it."""
    with FakeAesm(os.path.join(world.sockets, 'busy'), lie='busy') as aesm:
        server = world.server(world.data(), options=('--quote-socket', aesm.path))
        server.init('acme', 'alice')
        server.start()
        try:
            assert not evidence_of(certificate_of(server))
            assert 'the TLS certificate carries no evidence' in server.log()
            got = attested.login('--policy', attested.policy(), server=server)
            assert got.status == 3 and b'carries no evidence' in got.err, got
        finally:
            server.stop()


def test_evidence_while_the_quoting_service_is_away(attested):
    """The certificate that there is goes on as long as it is valid; when the service is back there is a new one."""
    server = attested.server
    first = certificate_of(server)
    attested.quoting.stop()
    begin = len(server.log())
    server.reload()
    wait(lambda: '"not reloaded"' in server.log()[begin:], server)
    assert certificate_of(server) == first
    assert attested.login('--policy', attested.policy()).status == 0
    attested.quote()
    server.reload()
    wait(lambda: certificate_of(server) != first, server)
    assert attested.login('--policy', attested.policy()).status == 0


# ---- both ends in enclaves ----

class Both(test_server_agent.World):
    """Agent and control plane, each in an enclave of one machine."""

    def start(self, emulator_root):
        images, data = os.path.join(self.folder, 'images'), os.path.join(self.folder, 'data')
        os.mkdir(images)
        os.mkdir(data, 0o700)
        image, _ = Images(images, emulator_root).image()
        self.server = Enclaved(image, data, os.path.join(self.folder, 'log'), options=('--quote-socket', self.socket))
        self.server.init('acme', 'alice')
        self.server.start()
        self.owner = self.server.owner
        self.approver = Approver(self.owner)
        self.pin = spki_sha256(roots(self.server)[0])


def test_a_workload_in_an_enclave_gets_its_secret_from_a_server_in_an_enclave():
    """The agent pins the CA as ever; a new value and a revocation reach it."""
    folder = tempfile.mkdtemp(prefix='cloched-both-')
    both = Both(folder)
    workload = None
    try:
        assert evidence_of(certificate_of(both.server))
        app = both.app(grace_s=10)
        image, _ = both.build(app, '1.0')
        secret = both.secret(app, 'doormat', SECRET, {'file': '/run/secrets/doormat'})
        workload = Workload(both, image)
        assert workload.bytes('cat /run/secrets/doormat') == SECRET
        workload.ask('trap 10')
        assert both.owner.post(f'/v1/secrets/{secret}/versions', {'value': b64(b'another doormat')}).status in (200, 201)
        assert workload.line() == 'signal 10'
        assert workload.bytes('cat /run/secrets/doormat') == b'another doormat'
        workload.ask('trap 15')
        answer = both.owner.post('/v1/revocations', {'kind': 'instance', 'object': both.instance(app)['id'], 'reason': 'stolen'})
        assert answer.status == 201, answer
        assert workload.line() == 'signal 15' and workload.ask('cat /run/secrets/doormat') == 'error 2'
        workload.child.stdin.write(b'exit 0\n')
        workload.child.stdin.flush()
        assert workload.end() == REVOKED
    finally:
        if workload:
            workload.end(kill=True)
        both.close()
        shutil.rmtree(folder)
