# SPDX-License-Identifier: Apache-2.0
"""`cloche build` and `cloche inspect`: every kind of source, what hostile ones may do, the same bytes twice, and that
a changed image is refused. The formats are judged by their own tools: fsck.erofs, veritysetup, skopeo, the kernel."""
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import time

import pytest

from conftest import BUILD, CLOCHE

ENCLAVE = os.path.join(BUILD, 'bin', 'cloche-enclave')
if not os.path.exists(ENCLAVE):
    ENCLAVE = os.path.join(BUILD, 'tests', 'adversary', 'test-enclave')
MTIME = 1700000000
PROGRAM = b'\x7fELF not really'

PIN = '5f' * 32


@pytest.fixture(scope='module')
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp('key') / 'sign.pem'
    subprocess.run(['openssl', 'genrsa', '-3', '-out', path, '3072'], check=True, capture_output=True)
    return path


@pytest.fixture
def build(key, tmp_path):
    """build(source, *options) -> (exit status, standard error, path of the image)."""
    count = iter(range(1000))

    def run(source, *options, output=None, umask=0o022, env=None):
        image = output or tmp_path / f'image{next(count)}.tar'
        done = subprocess.run(['sh', '-c', f'umask {umask:03o}; exec "$@"', 'sh', CLOCHE, 'build', '--enclave', ENCLAVE,
                               '--sign', key, '-o', image, *options, source],
                              capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})
        return done.returncode, done.stderr, image

    return run


@pytest.fixture
def sealed(build):
    """Like build, and it must work; gives what `inspect --json` says."""
    def run(source, *options, **more):
        status, err, image = build(source, *options, **more)
        assert status == 0, err
        return inspect(image)

    return run


def inspect(image):
    done = subprocess.run([CLOCHE, 'inspect', '--json', image], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), 'path': str(image)}


def unpacked(image, folder):
    """The files of the sealed image, out of its one layer."""
    with tarfile.open(image) as outer:
        index = json.load(outer.extractfile('index.json'))
        blob = lambda digest: outer.extractfile('blobs/sha256/' + digest[7:])
        manifest = json.load(blob(index['manifests'][0]['digest']))
        with tarfile.open(fileobj=io.BytesIO(blob(manifest['layers'][0]['digest']).read())) as layer:
            layer.extractall(folder)
    return folder / 'cloche'


def contents(image, folder):
    """{path: (type and mode, content or target)} as fsck.erofs extracts it."""
    files = unpacked(image, folder)
    out = folder / 'out'
    subprocess.run(['fsck.erofs', f'--extract={out}', files / 'rootfs.erofs'], check=True, capture_output=True)
    found = {}
    for base, folders, names in os.walk(out):
        for name in folders + names:
            path = os.path.join(base, name)
            kind = os.lstat(path).st_mode
            data = os.readlink(path) if stat.S_ISLNK(kind) else open(path, 'rb').read() if stat.S_ISREG(kind) else None
            found[os.path.relpath(path, out)] = data
    return found


def tar_bytes(*entries, compress=bytes):
    """entries: (name, content: bytes for a file, None for a folder, or a TarInfo's attributes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT, encoding='utf-8', errors='surrogateescape') as tar:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.mtime, info.mode, data = MTIME, 0o755, b''
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, bytes):
                data = content
                info.size = len(data)
            else:
                for attribute, value in content.items():
                    setattr(info, attribute, value)
            tar.addfile(info, io.BytesIO(data))
    return compress(out.getvalue())


def link(target, kind=tarfile.SYMTYPE):
    return {'type': kind, 'linkname': target}


def layout(folder, layers, config=None, platform=None):
    """An OCI image layout; layers are bytes."""
    blobs = folder / 'blobs' / 'sha256'
    blobs.mkdir(parents=True)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {'digest': 'sha256:' + digest, 'size': len(data)}

    def plain(data):
        return gzip.decompress(data) if data[:2] == b'\x1f\x8b' else data

    configs = {'architecture': 'amd64', 'os': 'linux', 'config': config or {},
               'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(plain(l)).hexdigest() for l in layers]}}
    media = 'application/vnd.oci.image.'
    manifest = {'schemaVersion': 2, 'mediaType': media + 'manifest.v1+json',
                'config': {'mediaType': media + 'config.v1+json', **put(json.dumps(configs).encode())},
                'layers': [{'mediaType': media + 'layer.v1.tar', **put(l)} for l in layers]}
    entry = {'mediaType': media + 'manifest.v1+json', **put(json.dumps(manifest).encode()), **(platform or {})}
    (folder / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [entry]}))
    (folder / 'oci-layout').write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


BASE = [('bin', None), ('bin/run', PROGRAM), ('etc', None),
        ('etc/passwd', b'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n'),
        ('etc/group', b'root:x:0:\napp:x:1001:\naudio:x:29:app\n')]


# ---- Sources ----

def test_same_root_from_every_kind_of_source(sealed, tmp_path):
    folder = tmp_path / 'tree'
    for name, content in BASE:
        path = folder / name
        path.mkdir(parents=True, exist_ok=True) if content is None else path.write_bytes(content)
        path.chmod(0o755)
    for path in [folder, *folder.rglob('*')]:
        os.utime(path, (MTIME, MTIME), follow_symlinks=False)
    owner = {'uid': os.getuid(), 'gid': os.getgid()}
    entries = []
    for name, content in [('.', None), *BASE]:
        kind = {'type': tarfile.DIRTYPE} if content is None else {'size': len(content)}
        entries.append((name, kind, content))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode='w') as tar:
        for name, kind, content in entries:
            info = tarfile.TarInfo('./' + name)
            for attribute, value in {**kind, **owner, 'mtime': MTIME, 'mode': 0o755}.items():
                setattr(info, attribute, value)
            tar.addfile(info, io.BytesIO(content or b''))
    path = tmp_path / 'tree.tar'
    path.write_bytes(plain.getvalue())
    for program in ('gzip', 'bzip2', 'xz', 'zstd', 'lz4'):
        if shutil.which(program):
            subprocess.run([program, '-k', '-q', path], check=True)
    roots = {str(p): sealed(p)['verity_root'] for p in tmp_path.glob('tree*')}
    roots['layout'] = sealed(layout(tmp_path / 'layout', [plain.getvalue()]))['verity_root']
    assert len(roots) >= 4 and len(set(roots.values())) == 1, roots


def test_layers_with_whiteouts(build, tmp_path):
    lower = tar_bytes(*BASE, ('a', None), ('a/gone', b'1'), ('a/kept', b'2'), ('o', None), ('o/old', b'3'), ('o/sub', None),
                      ('o/sub/deep', b'4'), ('lib', link('usr/lib')), ('usr', None), ('usr/lib', None), ('usr/lib/x', b'5'),
                      ('w', None), ('w/all', b'6'), ('f', b'file'))
    middle = tar_bytes(('a/.wh.gone', b''), ('o/new', b'7'), ('o/.wh..wh..opq', b''), ('lib/y', b'8'), ('.wh.w', b''),
                       ('f', None), ('f/inside', b'9'), ('.wh..wh.plnk', b''), ('a/hard', link('a/kept', tarfile.LNKTYPE)),
                       compress=gzip.compress)
    upper = tar_bytes(('w', None), ('w/again', b'10'), ('.wh.missing', b''), ('missing/.wh.more', b''))
    status, err, image = build(layout(tmp_path / 'layout', [lower, middle, upper], {'Cmd': ['/bin/run']}))
    assert status == 0, err
    found = contents(image, tmp_path)
    assert found['a/kept'] == b'2' and found['a/hard'] == b'2' and 'a/gone' not in found
    assert found['o/new'] == b'7' and 'o/old' not in found and 'o/sub' not in found
    assert found['lib'] == 'usr/lib' and found['usr/lib/x'] == b'5' and found['usr/lib/y'] == b'8'
    assert found['w/again'] == b'10' and 'w/all' not in found
    assert found['f/inside'] == b'9'
    assert not [name for name in found if '.wh.' in name]


def test_names_of_any_bytes_and_kinds(build, tmp_path):
    source = tmp_path / 'odd.tar'
    odd = 'nfd-e\u0301 \udcff\n'
    source.write_bytes(tar_bytes(*BASE, (odd, b'x'), ('n' * 255, b'y'), ('d/' * 200 + 'deep', b'z'),
                                 ('null', {'type': tarfile.CHRTYPE, 'devmajor': 1, 'devminor': 3}),
                                 ('pipe', {'type': tarfile.FIFOTYPE}), ('set', {'mode': 0o6755}),
                                 ('attr', {'pax_headers': {'SCHILY.xattr.user.one': 'value', 'SCHILY.xattr.user.two': 'v' * 3000}})))
    status, err, image = build(source)
    assert status == 0, err
    files = unpacked(image, tmp_path)
    root = inspect(image)['verity_root']
    subprocess.run(['fsck.erofs', files / 'rootfs.erofs'], check=True, capture_output=True)
    subprocess.run(['veritysetup', 'verify', files / 'rootfs.erofs', files / 'rootfs.verity', root], check=True)
    if os.geteuid() != 0:
        pytest.skip('a kernel mount needs root')
    mount = tmp_path / 'mount'
    mount.mkdir()
    done = subprocess.run(['mount', '-t', 'erofs', '-o', 'loop,ro', files / 'rootfs.erofs', mount], capture_output=True)
    if done.returncode != 0:
        pytest.skip('this kernel does not mount EROFS through a loop device')
    try:
        assert (mount / odd).read_bytes() == b'x' and (mount / ('n' * 255)).read_bytes() == b'y'
        assert (mount / ('d/' * 200) / 'deep').read_bytes() == b'z'
        null, pipe = os.lstat(mount / 'null'), os.lstat(mount / 'pipe')
        assert stat.S_ISCHR(null.st_mode) and null.st_rdev == os.makedev(1, 3) and stat.S_ISFIFO(pipe.st_mode)
        assert os.lstat(mount / 'set').st_mode & 0o7777 == 0o6755 and int(pipe.st_mtime) == MTIME
        assert os.getxattr(mount / 'attr', 'user.one') == b'value'
        assert os.getxattr(mount / 'attr', 'user.two') == b'v' * 3000
    finally:
        subprocess.run(['umount', mount], check=True)


def test_sizes_at_the_edges(build, tmp_path):
    """Data behind the inode, whole blocks, and each side of what decides it; folders of every size around a block."""
    files = {f'f/{size}': bytes([size % 251]) * size for size in (0, 1, 2047, 2048, 2049, 4031, 4032, 4095, 4096, 4097, 8192, 1048577)}
    links = {f'l/{size}': 'x' * size for size in (1, 2047, 2048, 2049, 4094, 4095)}
    folders = {f'd{count}/{"n" * 100}{i}': b'' for count in (17, 18, 19, 35, 36, 37, 38, 73, 74) for i in range(count)}
    wide = [(f'x/{size}', {'pax_headers': {'SCHILY.xattr.user.a': 'v' * size}, 'size': 0}) for size in (1, 1900, 4000, 4084, 60000)]
    source = tmp_path / 'edges.tar'
    source.write_bytes(tar_bytes(*BASE, *files.items(), *((name, link(target)) for name, target in links.items()), *folders.items(), *wide))
    status, err, image = build(source)
    assert status == 0, err
    found = contents(image, tmp_path)
    for name, data in {**files, **links, **folders}.items():
        assert found[name] == data, name
    assert all(found[name] == b'' for name, _ in wide)


def test_progress_is_for_terminals(key, tmp_path):
    source = tmp_path / 'rootfs'
    source.mkdir()
    for i in range(60):
        (source / str(i)).write_bytes(bytes(1 << 20))
    ours, theirs = os.openpty()
    command = [CLOCHE, 'build', '--enclave', ENCLAVE, '--sign', key, '-o', tmp_path / 'a.tar', source]
    assert subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, timeout=60).returncode == 0
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert b'reading folder' in shown and shown.endswith(b'\r\x1b[K')
    assert subprocess.run(command, capture_output=True, timeout=60).stderr == b''


def test_large_folder_and_hard_links(build, tmp_path):
    source = tmp_path / 'large.tar'
    names = [f'large/file-with-a-name-{i}' for i in range(3000)]
    source.write_bytes(tar_bytes(*BASE, *((name, name.encode()) for name in names),
                                 *((name + '.link', link(name, tarfile.LNKTYPE)) for name in names[:10])))
    status, err, image = build(source)
    assert status == 0, err
    found = contents(image, tmp_path)
    assert all(found[name] == name.encode() for name in names)
    assert found[names[3] + '.link'] == names[3].encode()


def test_image_config(sealed, tmp_path):
    config = {'Entrypoint': ['/bin/run', '-a'], 'Cmd': ['b c'], 'Env': ['A=1', 'PATH=/bin', 'B=x=y', 'A=2'], 'WorkingDir': '/srv/new/',
              'User': 'app', 'StopSignal': 'INT'}
    got = sealed(layout(tmp_path / 'layout', [tar_bytes(*BASE)], config))
    assert got['args'] == ['/bin/run', '-a', 'b c'] and got['workdir'] == '/srv/new'
    assert got['user'] == {'uid': 1000, 'gid': 1001, 'groups': [29]}
    assert got['env'] == {'A': '2', 'PATH': '/bin', 'B': 'x=y', 'HOME': '/home/app'}
    may = got['host_may_set']
    assert not may['args'] and not may['env'] and not may['files'] and not may['folders'] and not got['debug']


@pytest.mark.parametrize('user, want', [('', (0, 0)), ('app', (1000, 1001)), ('1000', (1000, 1001)), ('app:audio', (1000, 29)),
                                        ('77:88', (77, 88)), ('77', (77, 0)), ('nobody', None), ('app:none', None)])
def test_users(build, tmp_path, user, want):
    status, err, image = build(layout(tmp_path / 'layout', [tar_bytes(*BASE)], {'User': user, 'Cmd': ['/bin/run']}))
    if want is None:
        assert status == 1 and 'user' in err
    else:
        assert status == 0, err
        got = inspect(image)['user']
        assert (got['uid'], got['gid']) == want


def test_multi_arch_index_takes_amd64(sealed, build, tmp_path):
    amd = layout(tmp_path / 'index', [tar_bytes(*BASE)], {'Cmd': ['/bin/run']})
    index = json.loads((amd / 'index.json').read_text())
    arm = {**index['manifests'][0], 'platform': {'os': 'linux', 'architecture': 'arm64'}, 'digest': 'sha256:' + '0' * 64}
    index['manifests'] = [arm, {**index['manifests'][0], 'platform': {'os': 'linux', 'architecture': 'amd64'}},
                          {**arm, 'platform': {'os': 'unknown', 'architecture': 'unknown'}}]
    inner = json.dumps(index).encode()
    digest = hashlib.sha256(inner).hexdigest()
    (amd / 'blobs' / 'sha256' / digest).write_bytes(inner)
    outer = {'schemaVersion': 2, 'manifests': [{'mediaType': 'application/vnd.oci.image.index.v1+json', 'digest': 'sha256:' + digest,
                                                'size': len(inner)}]}
    (amd / 'index.json').write_text(json.dumps(outer))
    assert sealed(amd)['args'] == ['/bin/run']
    (amd / 'index.json').write_text(json.dumps({'manifests': [arm]}))
    status, err, _ = build(amd)
    assert status == 1 and 'linux/amd64' in err


@pytest.mark.parametrize('transport', ['docker-archive:{}/saved.tar:hotel:1', 'oci-archive:{}/saved.tar', 'oci:{}/copy:1'])
def test_what_skopeo_makes_and_reads(sealed, tmp_path, transport):
    if not shutil.which('skopeo'):
        pytest.skip('skopeo is not installed')
    source = layout(tmp_path / 'layout', [tar_bytes(*BASE), tar_bytes(('bin/.wh.gone', b''), ('more', b'1'))], {'Cmd': ['/bin/run']})
    target = transport.format(tmp_path)
    subprocess.run(['skopeo', '--insecure-policy', 'copy', '-q', f'oci:{source}', target], check=True)
    want = sealed(source)['verity_root']
    path = target.split(':')[1]
    assert sealed(path)['verity_root'] == want
    assert sealed(target)['verity_root'] == want


def test_skopeo_reads_the_sealed_image(build, tmp_path):
    if not shutil.which('skopeo'):
        pytest.skip('skopeo is not installed')
    source = tmp_path / 'rootfs.tar'
    source.write_bytes(tar_bytes(*BASE))
    _, _, image = build(source)
    for transport in ('oci-archive', 'docker-archive'):
        done = subprocess.run(['skopeo', 'inspect', '--config', f'{transport}:{image}'], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        config = json.loads(done.stdout)['config']
        assert config['Entrypoint'] == ['/cloche/loader']
        assert config['Labels']['org.cloche.app-digest'] == inspect(image)['app_digest']


# ---- Hostile sources ----

def test_paths_stay_inside(build, tmp_path):
    source = tmp_path / 'hostile.tar'
    source.write_bytes(tar_bytes(*BASE, ('../../up', b'1'), ('/abs', b'2'), ('out', link('/../../..')), ('out/through', b'3'),
                                 ('here', link('etc')), ('here/../side', b'4'), ('a/../../b', b'5')))
    status, err, image = build(source)
    assert status == 0, err
    found = contents(image, tmp_path)
    assert found['up'] == b'1' and found['abs'] == b'2' and found['through'] == b'3' and found['side'] == b'4' and found['b'] == b'5'
    assert not (tmp_path.parent / 'up').exists() and not os.path.exists('/abs')


@pytest.mark.parametrize('what, entries, words', [
    ('a loop of links', [('x', link('y')), ('y', link('x')), ('x/file', b'')], 'x/file'),
    ('a file as a folder', [('bin/run/inside', b'')], 'bin/run/inside'),
    ('a hard link to nothing', [('h', link('missing', tarfile.LNKTYPE))], 'missing'),
    ('a hard link to a folder', [('h', link('etc', tarfile.LNKTYPE))], 'folder'),
    ('a name that is too long', [('n' * 256, b'')], 'too long'),
    ('a tree that is too deep', [('d/' * 1100 + 'x', b'')], 'too long'),
    ('an empty whiteout', [('etc/.wh.', b'')], 'whiteout'),
    ('a whiteout of the folder above', [('etc/.wh...', b'')], 'whiteout'),
    ('a file over the root', [('.', b'')], 'folder'),
])
def test_refused_entries(build, tmp_path, what, entries, words):
    status, err, image = build(layout(tmp_path / 'layout', [tar_bytes(*BASE, *entries)], {'Cmd': ['/bin/run']}))
    assert status == 1 and words in err, (what, err)
    assert not image.exists()


def test_truncated_and_foreign_archives(build, tmp_path):
    whole = tar_bytes(*BASE, ('big', b'x' * 10000))
    for name, data in {'cut': whole[:-9000], 'text': b'hello\n' * 1000, 'gz': gzip.compress(whole)[:-50],
                       'ones': b'\xff' * 4096}.items():
        path = tmp_path / (name + '.tar')
        path.write_bytes(data)
        status, err, image = build(path)
        assert status == 1 and str(path) in err, name
        assert not image.exists()


def test_changed_layer_and_manifest_are_refused(build, tmp_path):
    folder = layout(tmp_path / 'layout', [tar_bytes(*BASE)], {'Cmd': ['/bin/run']})
    for blob in sorted((folder / 'blobs' / 'sha256').iterdir()):
        data = bytearray(blob.read_bytes())
        blob.write_bytes(bytes(data[:-1]) + bytes([data[-1] ^ 1]))
        status, err, image = build(folder)
        assert status == 3 and 'digest' in err and not image.exists(), err
        blob.write_bytes(data)
    assert build(folder)[0] == 0


@pytest.mark.parametrize('text, words', [
    ('', 'index'), ('{', 'line 1'), ('[]', 'index'), ('{"manifests": 5}', 'index'), ('{"manifests": []}', 'amd64'),
    ('{"manifests": [{"digest": "md5:12"}]}', 'SHA-256'), ('{"manifests": [{"digest": "sha256:' + 'a' * 63 + '/"}]}', 'SHA-256'),
    ('{"a":1,"a":2}', 'twice'), ('{"x":' + '[' * 100, 'deep'), ('{"manifests": [{"digest": "sha256:' + 'a' * 64 + '"}]}', 'aaaa')])
def test_absurd_index(build, tmp_path, text, words):
    folder = layout(tmp_path / 'layout', [tar_bytes(*BASE)])
    (folder / 'index.json').write_text(text)
    status, err, _ = build(folder)
    assert status == 1 and words in err, err


def test_bomb_is_bounded(build, tmp_path):
    """A sparse file of a few kilobytes that claims 2^50 bytes."""
    header = bytearray(tarfile.TarInfo('bomb').tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b'S'
    header[124:136] = b'%011o\0' % 512
    header[386:398], header[398:410] = b'%011o\0' % 0, b'%011o\0' % 512
    header[483:495] = b'\x80' + (1 << 50).to_bytes(11, 'big')
    header[148:156] = b'%06o\0 ' % sum(header[:148] + b' ' * 8 + header[156:])
    path = tmp_path / 'bomb.tar'
    path.write_bytes(bytes(header) + b'x' * 512 + b'\0' * 1024)
    start = time.monotonic()
    status, err, image = build(path)
    assert status == 1 and not image.exists() and 'GiB' in err, err
    assert time.monotonic() - start < 10


# ---- cloche.yaml ----

def rootfs(tmp_path):
    source = tmp_path / 'rootfs.tar'
    source.write_bytes(tar_bytes(*BASE))
    return source


def test_build_file(sealed, tmp_path):
    path = tmp_path / 'cloche.yaml'
    path.write_text('''\
name: hotel
entrypoint: [/bin/run, -x]
args: {default: [a, 2], from_host: true}
env:
  set: {LANG: C.UTF-8, N: 5, EMPTY: ''}
  from_host: [TZ]
workdir: /srv
user: app
hostname: hotel-1
stop_signal: SIGINT
mounts:
  - {type: tmpfs, path: /cache, size: 64M}
  - {type: host, path: /data, read_only: true}
limits: {memory: 512M, threads: 33, address_space: 64G}
host_files: true
debug: true
''')
    got = sealed(rootfs(tmp_path), '-f', path)
    assert got['name'] == 'hotel' and got['args'] == ['/bin/run', '-x', 'a', '2'] and got['hostname'] == 'hotel-1'
    assert got['env']['LANG'] == 'C.UTF-8' and got['env']['N'] == '5' and got['env']['EMPTY'] == ''
    may = got['host_may_set']
    assert may['args'] and may['args_fixed'] == 2 and may['env'] == ['TZ'] and may['files']
    assert may['folders'] == [{'path': '/data', 'read_only': True, 'size': 0}]
    assert got['tmpfs'] == [{'path': '/cache', 'read_only': False, 'size': 64 << 20}]
    assert got['limits'] == {'memory_size': 512 << 20, 'threads_max': 33, 'elrange_size': 64 << 30}
    assert got['user']['uid'] == 1000 and got['debug']


@pytest.mark.parametrize('text, line, words', [
    ('nam: x', 1, 'nam'), ('name: x\nname: y', 2, 'name'), ('limits:\n  memory: lots', 2, 'limits.memory'),
    ('limits:\n  memory: 1M', 2, 'limits.memory'), ('limits:\n  memory: 99999999999999999999', 2, 'limits.memory'),
    ('limits:\n  threads: 0', 2, 'limits.threads'), ('limits:\n  threads: 5000', 2, 'limits.threads'),
    ('limits:\n  address_space: 100G', 2, 'limits.address_space'), ('limits: 5', 1, 'limits'),
    ('entrypoint: /bin/run', 1, 'entrypoint'), ('args: {from_host: maybe}', 1, 'args.from_host'),
    ('env:\n  set:\n    A: 1\n  from_host: [A]', 4, 'env.from_host'), ('env:\n  from_host: ["A=B"]', 2, 'env.from_host'),
    ('env:\n  set: {A: [1]}', 2, 'env.set.A'), ('mounts:\n  - {type: tmpfs}', 2, 'mounts.path'),
    ('mounts:\n  - {type: disk, path: /x}', 2, 'mounts.type'), ('mounts:\n  - {type: host, path: x}', 2, 'mounts.path'),
    ('mounts:\n  - {type: host, path: /x, size: 5M}', 2, 'mounts.size'), ('debug: yes please', 1, 'debug'),
    ('name: [', 1, ''), ('name: "a\\0b"', 1, 'name'), ('- a', 1, 'mapping'), ('a: &a [*a]', 1, 'a'), ('\tx: 1', 1, '')])
def test_build_file_errors_name_line_and_key(build, tmp_path, text, line, words):
    path = tmp_path / 'cloche.yaml'
    path.write_text(text + '\n')
    status, err, image = build(rootfs(tmp_path), '-f', path)
    assert status == 1 and not image.exists()
    assert words in err and (f'{path}:{line}:' in err or f'{path}:{line + 1}:' in err), err


@pytest.mark.parametrize('text, words', [
    ('entrypoint: [/bin/none]', '/bin/none'), ('entrypoint: [none]', 'none'), ('entrypoint: [/etc]', '/etc'),
    ('args: {from_host: false}', 'nothing to run'), ('hostname: a b', 'hostname'), ('stop_signal: SIGNOT', 'SIGNOT'),
    ('user: ghost', 'ghost'), ('mounts: [{type: tmpfs, path: /a}, {type: tmpfs, path: /a/}]', 'mounts'),
    ('mounts: [{type: tmpfs, path: /bin/run}]', '/bin/run'),
    ('server: {urls: ["https://a"]}', 'server.ca_key_sha256'), ('server: {urls: ["https://a"], ca_key_sha256: 00}', 'server.ca_key_sha256'),
    (f'server: {{ca_key_sha256: "{PIN}"}}', 'server.urls'), (f'server: {{urls: ["http://a"], ca_key_sha256: "{PIN}"}}', 'server.urls'),
    (f'server: {{urls: ["https://a"], ca_key_sha256: "{PIN}", reload_signal: SIGNOT}}', 'server.reload_signal'),
    (f'server: {{urls: ["https://a"], ca_key_sha256: "{PIN}", start_limit_s: 0}}', 'server.start_limit_s'),
    (f'server: {{urls: ["https://a"], ca_key_sha256: "{PIN}"}}\nmounts: [{{type: host, path: /run}}]', '/run/cloche')])
def test_build_file_against_the_image(build, tmp_path, text, words):
    path = tmp_path / 'cloche.yaml'
    path.write_text(text + '\n')
    status, err, _ = build(rootfs(tmp_path), '-f', path)
    assert status == 1 and words in err, err


def test_server(sealed, build, tmp_path):
    """From the file or from options, which go before it; without either, the image is as it always was."""
    path = tmp_path / 'cloche.yaml'
    path.write_text(f'server: {{urls: ["https://a:1", "https://[::1]"], ca_key_sha256: "sha256:{PIN}", reload_signal: HUP}}\n')
    told = sealed(rootfs(tmp_path), '-f', path)
    assert told['server'] == {'urls': ['https://a:1', 'https://[::1]'], 'ca_key_sha256': PIN, 'reload_signal': 'SIGHUP', 'start_limit_s': 120}
    assert told['host_may_set']['env'] == ['CLOCHE_INSTANCE']
    asked = sealed(rootfs(tmp_path), '-f', path, '--server', 'https://b', '--server-ca', '00' * 32)
    assert asked['server']['urls'] == ['https://b'] and asked['server']['ca_key_sha256'] == '00' * 32
    alone, plain = sealed(rootfs(tmp_path), '--server', 'https://b', '--server-ca', PIN), sealed(rootfs(tmp_path))
    assert alone['server']['urls'] == ['https://b'] and plain['server'] is None and plain['host_may_set']['env'] == []
    assert alone['rootfs_size'] > plain['rootfs_size']  # the other agent
    assert build(rootfs(tmp_path), '--server', 'https://b')[0] == 1
    assert build(rootfs(tmp_path), *['--server', 'https://b'] * 9, '--server-ca', PIN)[0] == 2


def test_host_decides_the_program_only_where_there_is_none(sealed, tmp_path):
    may = sealed(rootfs(tmp_path))['host_may_set']
    assert may['args'] and may['args_fixed'] == 0
    path = tmp_path / 'cloche.yaml'
    path.write_text('entrypoint: [run]\n')
    assert not sealed(rootfs(tmp_path), '-f', path)['host_may_set']['args']


# ---- Same bytes ----

def test_reproducible(build, tmp_path):
    def tree(name, order):
        folder = tmp_path / name / 'tree'
        folder.mkdir(parents=True)
        for i in order:
            (folder / f'file{i}').write_bytes(b'%d' % i * 5000)
            (folder / f'file{i}').chmod(0o755)
            os.utime(folder / f'file{i}', (MTIME, MTIME + i))
        os.utime(folder, (MTIME, MTIME))
        folder.chmod(0o755)
        return folder

    _, _, first = build(tree('a', range(50)))
    time.sleep(1.1)
    status, err, second = build(tree('b', reversed(range(50))), umask=0o077,
                                env={'TZ': 'Asia/Tokyo', 'LC_ALL': 'C.UTF-8', 'HOME': '/nonexistent'})
    assert status == 0, err
    assert first.read_bytes() == second.read_bytes()
    _, _, again = build(tmp_path / 'b' / 'tree', output=tmp_path / 'one')
    status, err, _ = build(tmp_path / 'b' / 'tree', output=tmp_path / 'one', umask=0o077)
    assert status == 0, err
    assert inspect(tmp_path / 'one')['mrenclave'] == inspect(first)['mrenclave']
    assert all(stat.S_IMODE(p.stat().st_mode) in (0o644, 0o755) for p in (tmp_path / 'one').rglob('*'))


def test_key_is_made_on_first_use(tmp_path):
    env = {**os.environ, 'XDG_CONFIG_HOME': str(tmp_path / 'config')}
    command = [CLOCHE, 'build', '--enclave', ENCLAVE, rootfs(tmp_path), '-o']
    first = subprocess.run([*command, tmp_path / 'a.tar'], capture_output=True, text=True, env=env)
    path = tmp_path / 'config' / 'cloche' / 'sign.pem'
    assert first.returncode == 0 and str(path) in first.stderr, first.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = subprocess.run([*command, tmp_path / 'b.tar'], capture_output=True, text=True, env=env)
    assert 'signing key' not in second.stderr
    assert (tmp_path / 'a.tar').read_bytes() == (tmp_path / 'b.tar').read_bytes()


@pytest.mark.parametrize('arguments', [['2048'], ['3072']])
def test_other_keys_are_refused(tmp_path, arguments):
    bad = tmp_path / 'bad.pem'
    subprocess.run(['openssl', 'genrsa', '-out', bad, *arguments], check=True, capture_output=True)
    done = subprocess.run([CLOCHE, 'build', '--enclave', ENCLAVE, '--sign', bad, rootfs(tmp_path), '-o', tmp_path / 'x.tar'],
                          capture_output=True, text=True)
    assert done.returncode == 1 and 'exponent 3' in done.stderr and not (tmp_path / 'x.tar').exists()


def test_foreign_folder_is_not_replaced(build, tmp_path):
    mine = tmp_path / 'mine'
    mine.mkdir()
    (mine / 'diary').write_text('dear')
    status, err, _ = build(rootfs(tmp_path), output=mine)
    assert status == 1 and 'is there already' in err and (mine / 'diary').read_text() == 'dear'


def test_a_build_that_dies_leaves_nothing(key, tmp_path):
    source = tmp_path / 'large'
    source.mkdir()
    for i in range(200):
        (source / str(i)).write_bytes(os.urandom(1 << 20))
    out = tmp_path / 'out'
    out.mkdir()
    process = subprocess.Popen([CLOCHE, 'build', '-q', '--enclave', ENCLAVE, '--sign', key, '-o', out / 'x.tar', source])
    time.sleep(0.4)
    process.kill()
    if process.wait() != -9:
        pytest.skip('the build ended before it could be killed')
    assert list(out.iterdir()) == []


@pytest.mark.parametrize('arguments', [[], ['a', 'b', '-o', 'c'], ['a'], ['--nonsense', 'a', '-o', 'b'], ['a', '-o', '']])
def test_usage(arguments, tmp_path):
    done = subprocess.run([CLOCHE, 'build', *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and '--help' in done.stderr


# ---- Changed images ----

def test_each_changed_part_is_refused(build, tmp_path):
    """One bit in each part of the image, and in samples all over it."""
    _, _, image = build(rootfs(tmp_path), output=tmp_path / 'image')
    assert inspect(image)
    index = json.loads((image / 'index.json').read_text())
    manifest = image / 'blobs' / 'sha256' / index['manifests'][0]['digest'][7:]
    layer = image / 'blobs' / 'sha256' / json.loads(manifest.read_text())['layers'][0]['digest'][7:]
    for part in (image / 'index.json', manifest, layer):
        data = part.read_bytes()
        for off in sorted({0, len(data) // 2, len(data) - 1, *range(0, len(data), max(1, len(data) // 16))}):
            with part.open('r+b') as file:
                file.seek(off)
                file.write(bytes([data[off] ^ 4]))
            done = subprocess.run([CLOCHE, 'inspect', image], capture_output=True, text=True)
            # An annotation of the index, or a space in it, is not part of what was sealed.
            if part.name != 'index.json':
                assert done.returncode == 3 and 'refused' in done.stderr, (part, off, done.stderr)
            assert done.returncode in (0, 3)
            with part.open('r+b') as file:
                file.seek(off)
                file.write(data[off:off + 1])
    assert inspect(image)


def test_each_changed_file_is_refused_without_blobs(build, tmp_path):
    """Unpacked, as in a container: no digest of a registry helps; the identity does."""
    _, _, image = build(rootfs(tmp_path))
    files = unpacked(image, tmp_path)
    assert inspect(files)['mrenclave'] == inspect(image)['mrenclave']
    for name in ('enclave', 'enclave.sig', 'descriptor.json', 'rootfs.erofs', 'rootfs.verity'):
        data = (files / name).read_bytes()
        # In the enclave only what is loaded counts: the section table at its end does not.
        last = len(data) // 4 if name == 'enclave' else len(data) - 1
        for off in sorted({0, 16, last // 3, last // 2, last}):
            (files / name).write_bytes(data[:off] + bytes([data[off] ^ 1]) + data[off + 1:])
            done = subprocess.run([CLOCHE, 'inspect', files], capture_output=True, text=True)
            if name == 'enclave' and done.returncode == 0:
                continue    # padding between segments
            assert done.returncode == 3 and 'refused' in done.stderr, (name, off, done.stderr)
        for cut in (data[:-1], data + b'\0', b''):
            (files / name).write_bytes(cut)
            done = subprocess.run([CLOCHE, 'inspect', files], capture_output=True, text=True)
            assert done.returncode == 3 or (name == 'enclave' and cut), (name, len(cut), done.stderr)
        (files / name).write_bytes(data)
    (files / 'enclave').unlink()
    assert subprocess.run([CLOCHE, 'inspect', files], capture_output=True).returncode == 3


def test_signature_of_another_image_is_refused(build, tmp_path):
    _, _, one = build(rootfs(tmp_path))
    other_source = tmp_path / 'other.tar'
    other_source.write_bytes(tar_bytes(*BASE, ('more', b'')))
    _, _, other = build(other_source)
    (tmp_path / '1').mkdir()
    (tmp_path / '2').mkdir()
    mine, theirs = unpacked(one, tmp_path / '1'), unpacked(other, tmp_path / '2')
    shutil.copy(theirs / 'enclave.sig', mine / 'enclave.sig')
    done = subprocess.run([CLOCHE, 'inspect', mine], capture_output=True, text=True)
    assert done.returncode == 3 and 'another enclave' in done.stderr


def test_no_image(tmp_path):
    (tmp_path / 'empty').mkdir()
    for path, status in ((tmp_path / 'none', 1), (tmp_path / 'empty', 3), (__file__, 3)):
        done = subprocess.run([CLOCHE, 'inspect', path], capture_output=True, text=True)
        assert done.returncode == status and str(path) in done.stderr


# ---- Speed ----

def test_150_mib_within_15_s(build, tmp_path):
    source = tmp_path / 'large'
    source.mkdir()
    block = os.urandom(1 << 20)
    for i in range(1500):
        (source / f'{i}').write_bytes(block[i:] + block[:i] if i < 150 else block[:4096 - i])
    start = time.monotonic()
    status, err, _ = build(source)
    assert status == 0, err
    assert time.monotonic() - start < 15
