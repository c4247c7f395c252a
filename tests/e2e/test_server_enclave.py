# SPDX-License-Identifier: Apache-2.0
"""The control plane inside an enclave (examples/cloched): its root key is sealed to its signer and CPU, its store lies on an untrusted host folder."""
import os
import shutil
import tempfile

import pytest

from cloched import BUILD, PASSWORD, Cloched
from cloched_enclave import Enclaved, Images
from conftest import finish
from exchange_agent import Agent, Approver, Build, Platform, b64, spki_sha256
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
