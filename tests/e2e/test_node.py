# SPDX-License-Identifier: Apache-2.0
"""The node's program against a fake control plane: images from registries, what they may take, what a changed one gets; processes that are killed."""
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time

import pytest
from conftest import CLOCHE as CLOCHE_BIN
from conftest import finish
from test_server_cli import Node, here, images, item, node  # noqa: F401
from test_up import free_port


@pytest.fixture(autouse=True)
def no_process_left(here):  # noqa: F811
    """Whatever a test does: no keeper and no loader of its folder runs on."""
    yield
    left = [pid for pid in of_folder(here.folder)]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left


def of_folder(folder):
    for pid in os.listdir('/proc'):
        if pid.isdigit() and int(pid) != os.getpid():
            with contextlib.suppress(OSError), open(f'/proc/{pid}/cmdline', 'rb') as f:
                words = f.read()
                if folder.encode() in words and b'cloche' in words.split(b'\0')[0]:
                    yield int(pid)


def wait_until(condition, what):
    until = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


# ---- registries ----

class Registry:
    def __init__(self, folder):
        self.store, self.place = os.path.join(folder, 'store'), f'127.0.0.1:{free_port()}'
        config = os.path.join(folder, 'config.yml')
        with open(config, 'w', encoding='ascii') as f:
            json.dump({'version': 0.1, 'storage': {'filesystem': {'rootdirectory': self.store}}, 'http': {'addr': self.place},
                       'log': {'level': 'error', 'accesslog': {'disabled': True}}}, f)
        self.env = {**os.environ, 'HOME': folder}
        self.trust(folder)
        self.child = subprocess.Popen(['docker-registry', 'serve', config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def trust(self, home):
        """Whose home this is takes the registry without TLS."""
        os.makedirs(os.path.join(home, '.config', 'containers'), exist_ok=True)
        with open(os.path.join(home, '.config', 'containers', 'registries.conf'), 'w', encoding='ascii') as f:
            f.write(f'[[registry]]\nlocation = "{self.place}"\ninsecure = true\n')

    def push(self, path, name):
        until = time.monotonic() + 60
        while True:
            done = subprocess.run(['skopeo', 'copy', '-q', f'oci-archive:{path}', f'docker://{self.place}/{name}'], env=self.env,
                                  capture_output=True, timeout=60)
            if done.returncode == 0:
                break
            assert time.monotonic() < until, done.stderr  # it may just start
            time.sleep(0.1)
        shown = subprocess.run(['skopeo', 'inspect', f'docker://{self.place}/{name}'], env=self.env, capture_output=True, check=True, timeout=60)
        return f'docker://{self.place}/{name.split(":")[0]}@{json.loads(shown.stdout)["Digest"]}'

    def layer(self, place):
        """The file of the image's layer in the registry's store."""
        raw = subprocess.run(['skopeo', 'inspect', '--raw', place], env=self.env, capture_output=True, check=True, timeout=60).stdout
        digest = json.loads(raw)['layers'][0]['digest'].split(':')[1]
        return os.path.join(self.store, 'docker/registry/v2/blobs/sha256', digest[:2], digest, 'data')

    def close(self):
        self.child.kill()
        self.child.wait()


@pytest.fixture(scope='module')
def registry(tmp_path_factory):
    if not shutil.which('docker-registry') or not shutil.which('skopeo'):
        pytest.skip('docker-registry or skopeo is not installed')
    r = Registry(str(tmp_path_factory.mktemp('registry')))
    yield r
    r.close()


def kept(node):  # noqa: F811
    return sorted(os.listdir(os.path.join(node.folder, 'images')))


def test_an_image_comes_from_a_registry(node, images, registry):  # noqa: F811
    """By its digest; the registry keeps it compressed. The second time it is there."""
    registry.trust(node.here.folder)
    place = registry.push(images['ends'][0], 'ends:1')
    node.place(item('ins_a', (place, images['ends'][1])))
    assert node.wait_for('ins_a', 'exited') == {'id': 'ins_a', 'process': 'exited', 'exit_status': 7}
    assert kept(node) == [images['ends'][1]]
    os.rename(registry.layer(place), registry.layer(place) + '.away')
    node.place(item('ins_b', (place, images['ends'][1])))
    assert node.wait_for('ins_b', 'exited')['exit_status'] == 7
    os.rename(registry.layer(place) + '.away', registry.layer(place))
    blobs = os.path.join(node.folder, 'images', kept(node)[0], 'blobs', 'sha256')
    path = max((os.path.join(blobs, name) for name in os.listdir(blobs)), key=os.path.getsize)
    with open(path, 'r+b') as f:  # the node's disk loses half of it
        f.truncate(os.path.getsize(path) // 2)
    node.place(item('ins_c', (place, images['ends'][1])))
    assert node.wait_for('ins_c', 'exited')['exit_status'] == 7 and kept(node) == [images['ends'][1]]
    assert node.stop() == 0


@pytest.mark.parametrize('damage', ['changed', 'cut', 'missing'])
def test_a_damaged_pull_is_refused_and_removed(node, images, registry, damage):  # noqa: F811
    registry.trust(node.here.folder)
    place = registry.push(images['stays'][0], f'{damage}:1')
    layer = registry.layer(place)
    with open(layer, 'rb') as f:
        whole = f.read()
    try:
        if damage == 'missing':
            os.unlink(layer)
        else:
            with open(layer, 'wb') as f:
                f.write(whole[:len(whole) // 2] + (b'' if damage == 'cut' else bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:]))
        node.place(item('ins_a', (place, images['stays'][1])))
        ended = node.wait_for('ins_a', 'exited')
    finally:
        with open(layer, 'wb') as f:
            f.write(whole)
    assert ended['exit_status'] == 1 and 'could not get' in ended['reason'], ended
    assert kept(node) == []
    node.place(item('ins_b', (place.split('@')[0] + '@sha256:' + '0' * 64, images['stays'][1])))  # nothing has this digest
    assert 'could not get' in node.wait_for('ins_b', 'exited')['reason']
    assert node.stop() == 0


def archive(sealed, path, change):
    """A docker-archive of the sealed image with one byte of the file `change` another one, all outer digests right."""
    with tarfile.open(sealed) as outer:
        read = lambda digest: outer.extractfile('blobs/' + digest.replace(':', '/')).read()  # noqa: E731
        manifest = json.loads(read(json.load(outer.extractfile('index.json'))['manifests'][0]['digest']))
        config, layer = json.loads(read(manifest['config']['digest'])), bytearray(read(manifest['layers'][0]['digest']))
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        member = inner.getmember(change)
        layer[member.offset_data + member.size // 2] ^= 1
    config['rootfs']['diff_ids'] = ['sha256:' + hashlib.sha256(layer).hexdigest()]
    with tarfile.open(path, 'w') as made:
        for name, data in (('c.json', json.dumps(config).encode()), ('l.tar', bytes(layer)),
                           ('manifest.json', json.dumps([{'Config': 'c.json', 'RepoTags': None, 'Layers': ['l.tar']}]).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return 'docker-archive:' + str(path)


@pytest.mark.parametrize('change', ['cloche/rootfs.erofs', 'cloche/rootfs.verity', 'cloche/enclave', 'cloche/enclave.sig', 'cloche/descriptor.json'])
def test_a_changed_image_is_not_kept(node, images, tmp_path, change):  # noqa: F811
    if not shutil.which('skopeo'):
        pytest.skip('skopeo is not installed')
    node.place(item('ins_a', (archive(images['ends'][0], tmp_path / 'changed.tar', change), images['ends'][1])))
    ended = node.wait_for('ins_a', 'exited')
    assert ended['exit_status'] == 3 and 'refused' in ended['reason'] and kept(node) == []
    node.place(item('ins_b', ('oci-archive:' + images['stays'][0], images['ends'][1])))
    assert 'not the build' in node.wait_for('ins_b', 'exited')['reason'] and kept(node) == []
    assert node.stop() == 0


def test_images_not_used_for_longest_make_room(here, images, tmp_path):  # noqa: F811
    if not shutil.which('skopeo'):
        pytest.skip('skopeo is not installed')
    mib = -(-os.path.getsize(images['ends'][0]) // (1 << 20))
    node = Node(here, '--images-size', str(mib + mib // 2))  # noqa: F811
    here.run('node', 'join', here.control.url, '--folder', node.folder, stdin=b'J0in\n')
    folder = os.path.join(node.folder, 'images')
    os.makedirs(os.path.join(folder, 'pull.4194305'))  # no process has this id: a pull that was killed
    with open(os.path.join(folder, 'pull.4194305', 'half'), 'wb') as f:
        f.write(b'x' * 4096)
    node.start()
    try:
        node.place(item('ins_a', ('oci-archive:' + images['stays'][0], images['stays'][1])))
        node.wait_for('ins_a', 'running')
        wait_until(lambda: kept(node) == [images['stays'][1]], 'the first image')
        work = item('ins_a', images['stays'], state='running')
        node.place(work, item('ins_b', ('oci-archive:' + images['ends'][0], images['ends'][1])))
        assert node.wait_for('ins_b', 'exited')['exit_status'] == 7
        wait_until(lambda: kept(node) == [images['stays'][1]], 'the one that runs stays, though it was used before')
        node.place({**work, 'wanted': 'stop', 'grace_s': 0})
        node.wait_for('ins_a', 'exited')
        node.place(item('ins_c', ('oci-archive:' + images['ends'][0], images['ends'][1])))
        assert node.wait_for('ins_c', 'exited')['exit_status'] == 7
        wait_until(lambda: kept(node) == [images['ends'][1]], 'the last one stays')
        assert node.stop() == 0
    finally:
        if node.child.poll() is None:
            node.child.kill()
            node.child.wait()


def test_an_image_larger_than_all_may_be(here, images):  # noqa: F811
    if not shutil.which('skopeo'):
        pytest.skip('skopeo is not installed')
    node = Node(here, '--images-size', '1')  # noqa: F811
    here.run('node', 'join', here.control.url, '--folder', node.folder, stdin=b'J0in\n')
    node.start()
    try:
        node.place(item('ins_a', ('oci-archive:' + images['stays'][0], images['stays'][1])))
        assert 'larger than all images' in node.wait_for('ins_a', 'exited')['reason'] and kept(node) == []
        assert node.stop() == 0
    finally:
        if node.child.poll() is None:
            node.child.kill()
            node.child.wait()


def test_a_full_disk(here, images):  # noqa: F811
    """The images' folder is a file system of 4 MiB, which this node alone sees."""
    if not shutil.which('skopeo') or subprocess.run(['unshare', '-m', 'true'], capture_output=True).returncode:
        pytest.skip('skopeo is not installed, or mounting is not allowed')
    node = Node(here)  # noqa: F811
    here.run('node', 'join', here.control.url, '--folder', node.folder, stdin=b'J0in\n')
    folder = os.path.join(node.folder, 'images')
    os.makedirs(folder)
    words = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=4m none "$0" && exec "$@"', folder]
    with open(os.path.join(here.folder, 'node.err'), 'ab') as err:
        node.err = err
        node.child = subprocess.Popen([*words, CLOCHE_BIN, 'node', 'run', '--folder', node.folder],
                                      env=here.env, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
    try:
        node.place(item('ins_a', ('oci-archive:' + images['stays'][0], images['stays'][1])))
        ended = node.wait_for('ins_a', 'exited')
        assert 'is full' in ended['reason'] and folder in ended['reason'], ended
        assert node.stop() == 0
    finally:
        if node.child.poll() is None:
            node.child.kill()
            node.child.wait()


# ---- evidence ----

def said(node):  # noqa: F811
    with open(os.path.join(node.here.folder, 'node.err'), encoding='utf-8', errors='replace') as f:
        return f.read()


@pytest.mark.parametrize('nonce, words', [
    ({'nonce': 'AAAA'}, 'no proper nonce'), ({'nonce': 'A' * 43 + '='}, 'no proper nonce'), ({'nonce': 7}, 'no proper nonce'),
    ({'nonce': 'A' * 100000}, 'no proper nonce'), ({'nonce': 'A' * 43}, 'evidence of the platform: ')])
def test_evidence_that_cannot_be_had_stops_nothing(node, images, nonce, words):  # noqa: F811
    """A server that answers nonsense, and (with the right nonce) a machine without a quoting service: it is said, and instances go on."""
    node.here.control.on('POST', '/v1/exchange/nonce', (200, {'expires': '2030-01-01T00:00:00Z', **nonce}))
    answer = node.answer

    def wanting(request):
        status, body = answer(request)
        return status, {**body, 'attest': True}
    node.here.control.on('GET', '/v1/node/work', wanting)
    node.place(item('ins_a', images['ends']))
    assert node.wait_for('ins_a', 'exited')['exit_status'] == 7
    wait_until(lambda: words in said(node), words)
    if words == 'no proper nonce':
        assert not node.here.control.requests('POST', '/v1/exchange/evidence')
    assert node.stop() == 0


def test_the_measured_enclave(here, tmp_path):  # noqa: F811
    """The same for every node, sealed once; changed on the disk, it is sealed anew."""
    folder = str(tmp_path / 'n')
    first = here.json('node', 'measurement', '--folder', folder)['mrenclave']
    sealed = os.path.join(folder, 'attest', next(name for name in os.listdir(os.path.join(folder, 'attest')) if name.endswith('.tar')))
    made = os.stat(sealed).st_mtime_ns
    assert here.json('node', 'measurement', '--folder', folder)['mrenclave'] == first and os.stat(sealed).st_mtime_ns == made
    os.unlink(sealed)
    assert here.json('node', 'measurement', '--folder', folder)['mrenclave'] == first and os.path.exists(sealed)
    inspected = finish([CLOCHE_BIN, 'inspect', '--json', sealed], env=here.env)
    assert json.loads(inspected.out)['mrenclave'] == first
    for given in (b'', b'x' * 63):  # not a whole report data: no evidence
        got = finish([CLOCHE_BIN, 'run', sealed], stdin=given, env=here.env)
        assert got.status == 2 and got.out == b'' and b'64 bytes' in got.err


# ---- processes that are killed ----

def keeper(node, instance):  # noqa: F811
    with open(os.path.join(node.folder, 'instances', instance + '.json'), encoding='ascii') as f:
        return json.load(f)['pid']


def group(pgid):
    """Processes of a group that live."""
    found = []
    for pid in os.listdir('/proc'):
        if pid.isdigit():
            with contextlib.suppress(OSError, IndexError), open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as f:
                fields = f.read().rsplit(')', 1)[1].split()
                if fields[0] not in 'ZX' and int(fields[2]) == pgid:
                    found.append(int(pid))
    return found


def test_an_instance_ends_with_its_keeper(node, images):  # noqa: F811
    """Nobody would watch it any more."""
    node.place(item('ins_a', images['stays']))
    node.wait_for('ins_a', 'running')
    pid = keeper(node, 'ins_a')
    wait_until(lambda: len(group(pid)) == 2, 'keeper and loader')
    os.kill(pid, signal.SIGKILL)
    assert 'killed' in node.wait_for('ins_a', 'exited')['reason']
    wait_until(lambda: not group(pid), 'the loader is gone')
    assert node.stop() == 0


def test_what_ended_while_the_node_was_away(node, images):  # noqa: F811
    """The node's program is killed, an instance ends, the program starts again: how it ended is told, and what runs on is its own again."""
    node.place(item('ins_a', images['stays']), item('ins_b', images['stays']))
    for instance in 'ins_a', 'ins_b':
        node.wait_for(instance, 'running')
    ended, stays = keeper(node, 'ins_a'), keeper(node, 'ins_b')
    wait_until(lambda: len(group(ended)) == 2 and len(group(stays)) == 2, 'both run')
    node.stop(signal.SIGKILL)
    loader = next(pid for pid in group(ended) if pid != ended)
    os.kill(loader, signal.SIGKILL)
    wait_until(lambda: not group(ended), 'it has ended')
    assert len(group(stays)) == 2
    node.start()
    assert node.wait_for('ins_a', 'exited')['exit_status'] == 137
    node.place(item('ins_b', images['stays'], wanted='stop', state='running', grace_s=0))
    assert node.wait_for('ins_b', 'exited')['exit_status'] in (137, 143) and not group(stays)
    assert node.stop() == 0


def test_sigterm_stops_what_runs_and_keep_leaves_it(here, images):  # noqa: F811
    node = Node(here)  # noqa: F811
    here.run('node', 'join', here.control.url, '--folder', node.folder, stdin=b'J0in\n')
    node.options = ['--keep']
    node.start()
    try:
        node.place(item('ins_a', images['stays']))
        node.wait_for('ins_a', 'running')
        pid = keeper(node, 'ins_a')
        wait_until(lambda: len(group(pid)) == 2, 'it runs')
        assert node.stop() == 0 and len(group(pid)) == 2
        node.options = []
        node.start()
        wait_until(lambda: len(node.reports('ins_a')) > 1, 'it is its own again')
        assert node.stop() == 0 and not group(pid)
        assert node.reports('ins_a')[-1]['process'] == 'exited'
    finally:
        if node.child.poll() is None:
            node.child.kill()
            node.child.wait()


def test_one_program_a_folder(node):  # noqa: F811
    wait_until(lambda: b'ready' in open(os.path.join(node.here.folder, 'node.err'), 'rb').read(), 'it is ready')
    again = finish([CLOCHE_BIN, 'node', 'run', '--folder', node.folder], env=node.here.env)
    assert again.status == 1 and b'another' in again.err
    assert node.stop() == 0
