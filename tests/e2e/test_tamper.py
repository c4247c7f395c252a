# SPDX-License-Identifier: Apache-2.0
"""One byte of a sealed image changes: refused at start, or an error for who reads it; never wrong data."""
import hashlib
import os
import random
import shutil
import subprocess
import tarfile
import time

import pytest

from conftest import CLOCHE, World, finish

SECRET = b'the owner wrote this line and no other\n' * 400
BIG_SIZE = 4 << 20
STARTS = ['descriptor.json', 'enclave', 'enclave.sig']


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp('tamper') / 'letter'
    path.write_bytes(SECRET)
    big = tmp_path_factory.mktemp('tamper') / 'big'
    big.write_bytes(random.Random(1).randbytes(BIG_SIZE))
    return World('busybox', {'/opt/letter': str(path), '/opt/big': str(big)})


def changed(image, out, at):
    """A copy of the image with one byte changed."""
    shutil.copy(image, out)
    with open(out, 'r+b') as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x20]))
    return str(out)


def members(image):
    """{name in the image's layer: (offset in the image file, size)}: all the tars in it are uncompressed."""
    found = {}
    with tarfile.open(image) as outer:
        for blob in outer:
            if not blob.isfile() or blob.size < 1024:
                continue
            try:
                with tarfile.open(fileobj=outer.extractfile(blob), mode='r:') as layer:
                    for file in layer:
                        if file.isfile():
                            found[os.path.basename(file.name)] = (blob.offset_data + file.offset_data, file.size)
            except tarfile.TarError:
                continue
    return found


def run(image, argv):
    return finish([CLOCHE, 'run', image, *argv])


def test_unchanged_runs(world):
    got = run(world.image, ['/bin/cat', '/opt/letter'])
    assert (got.status, got.out) == (0, SECRET), got.err


def test_changed_file_block_is_an_error_not_data(world, tmp_path):
    with open(world.image, 'rb') as file:
        at = file.read().find(b'the owner wrote')
    assert at > 0
    got = run(changed(world.image, tmp_path / 'i.tar', at + 4), ['/bin/cat', '/opt/letter'])
    assert got.status != 0
    assert b'owner' not in got.out.replace(SECRET[:len(got.out)], b'')
    assert got.err


@pytest.mark.parametrize('name', STARTS)
@pytest.mark.parametrize('where', [0.0, 0.3, 0.999])
def test_changed_measured_file_is_refused(world, tmp_path, name, where):
    files = members(world.image)
    assert name in files, sorted(files)
    at, size = files[name]
    got = run(changed(world.image, tmp_path / 'i.tar', at + int(size * where)), ['/bin/cat', '/opt/letter'])
    assert SECRET not in got.out or name == 'enclave'
    if name != 'enclave' or got.status == 0:
        # A byte of the enclave file that is not loaded (debugging data) may change nothing.
        assert got.status != 0 or name == 'enclave'


@pytest.mark.parametrize('seed', range(12))
def test_changed_tree_or_root_gives_right_data_or_none(world, tmp_path, seed):
    files = members(world.image)
    name = ['rootfs.verity', 'rootfs.erofs'][seed % 2]
    at, size = files[name]
    offset = random.Random(seed).randrange(size)
    got = run(changed(world.image, tmp_path / 'i.tar', at + offset), ['/bin/cat', '/opt/letter'])
    assert got.out == SECRET[:len(got.out)]
    if got.status == 0:
        assert got.out == SECRET


def test_truncated_image_is_refused(world, tmp_path):
    out = tmp_path / 'i.tar'
    shutil.copy(world.image, out)
    os.truncate(out, os.path.getsize(out) // 2)
    got = run(str(out), ['/bin/true'])
    assert got.status != 0 and got.err


def test_image_cut_short_while_it_runs(world, tmp_path):
    """Pages of the host's mapping that are gone: an error in the program and one line for the operator."""
    out = tmp_path / 'i.tar'
    shutil.copy(world.image, out)
    with open(out, 'rb') as file:
        at = file.read().find(b'the owner wrote')
    command = [CLOCHE, 'run', str(out), '/bin/sh', '-c', 'echo ready; read x; exec cat /opt/letter']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == b'ready\n'
        os.truncate(out, at // 4096 * 4096)
        got, said = child.communicate(b'go\n', timeout=30)
    assert child.returncode != 0 and b'owner' not in got
    assert b'cut short' in said


@pytest.mark.parametrize('pause', [0, 0.002])
def test_image_changes_back_and_forth_while_it_is_read(world, tmp_path, pause):
    """The host changes bytes between looks: what is verified is what is used, so a digest is right or there is none."""
    out = tmp_path / 'i.tar'
    shutil.copy(world.image, out)
    content = random.Random(1).randbytes(BIG_SIZE)
    data = out.read_bytes()
    start = data.find(content[:64])
    assert start > 0 and data[start:start + BIG_SIZE] == content
    places = random.Random(2)
    command = [CLOCHE, 'run', str(out), '/bin/sh', '-c', 'echo ready; read x; exec sha256sum /opt/big']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child, \
            open(out, 'r+b', buffering=0) as image:
        assert child.stdout.readline() == b'ready\n'
        child.stdin.write(b'go\n')
        child.stdin.flush()
        while child.poll() is None:
            at = places.randrange(BIG_SIZE)
            os.pwrite(image.fileno(), bytes([content[at] ^ 0xff]), start + at)
            time.sleep(pause)
            os.pwrite(image.fileno(), content[at:at + 1], start + at)
        got, said = child.stdout.read(), child.stderr.read()
    if child.returncode == 0:
        assert got.split()[0].decode() == hashlib.sha256(content).hexdigest()
    else:
        assert got == b'' and said


def test_inspect_refuses_a_changed_image(world, tmp_path):
    with open(world.image, 'rb') as file:
        at = file.read().find(b'the owner wrote')
    got = finish([CLOCHE, 'inspect', changed(world.image, tmp_path / 'i.tar', at)])
    assert got.status != 0
