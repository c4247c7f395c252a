#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Root file systems for tests, demo and benchmarks, and running programs in them natively.

Usage: testimage.py NAME [--out FOLDER]     makes the image and prints where its folder is

NAME: busybox (a static busybox), python (Debian with python3, numpy, CPython's test suite and the tools that the
tests use), demo (Debian with python3, numpy and a public data set), servers (Debian with redis, nginx, memcached
and musl), runtimes (Debian with Java, Node, Perl, Ruby, PHP, Lua and tools),
daemons (Debian with mosquitto, haproxy, node-exporter and ImageMagick), cloched (Debian with the libraries of the control plane).

An image is made once, in build/images/, from Debian packages by mmdebstrap with this machine's own package
sources; the same packages give the same bytes.
"""
import argparse
import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..'))
IMAGES = os.path.join(ROOT, 'build', 'images')
SUITE = 'bookworm'
EPOCH = '1700000000'
ENVIRONMENT = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': '/root',
               'LANG': 'C.UTF-8'}

# What a small image leaves out; licences stay.
EXCLUDED = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*',
            '/usr/share/lintian/*']
PACKAGES = {
    'python': ['python3', 'python3-numpy', 'libpython3.11-testsuite', 'sqlite3', 'openssl', 'ca-certificates'],
    'demo': ['python3', 'python3-numpy'],
    'stress': ['stress-ng'],
    'tools': ['make', 'procps', 'psmisc', 'parallel'],
    'servers': ['redis-server', 'nginx-light', 'memcached', 'musl'],
    'runtimes': ['openjdk-17-jre-headless', 'ecj', 'nodejs', 'perl', 'ruby', 'php-cli', 'php-sqlite3', 'lua5.4', 'ripgrep',
                 'git', 'sqlite3', 'jq', 'curl', 'openssl', 'xz-utils', 'python3', 'procps', 'ca-certificates'],
    'cloched': ['libmicrohttpd12', 'libgnutls30', 'libssl3', 'libjansson4', 'libcjose0', 'libsqlite3-0', 'libpq5', 'libcurl4', 'libargon2-1',
                'libp11-kit0', 'libyaml-0-2', 'ca-certificates'],
    'daemons': ['mosquitto', 'mosquitto-clients', 'haproxy', 'prometheus-node-exporter', 'imagemagick'],
}
DATA_PACKAGE = 'python3-vega-datasets'
DATA_FOLDER = './usr/lib/python3/dist-packages/vega_datasets/_data'
DATA_HOOK = (f'cd "$1/var/cache/apt/archives" && '
             f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq download {DATA_PACKAGE} && '
             f'dpkg-deb --fsys-tarfile {DATA_PACKAGE}_*.deb | '
             f'tar -x --no-same-owner -C "$1" {DATA_FOLDER} ./usr/share/doc/{DATA_PACKAGE}/copyright && '
             f'rm {DATA_PACKAGE}_*.deb')
# What a container engine puts into each container.
HOSTS_HOOK = r'printf "127.0.0.1 localhost\n::1 localhost ip6-localhost\n" > "$1/etc/hosts"'
# Java's package names its manual pages as alternatives: their folder must be there.
ESSENTIAL_HOOKS = {'runtimes': ['mkdir -p "$1/usr/share/man/man1"']}
HOOKS = {'python': [HOSTS_HOOK], 'demo': [HOSTS_HOOK, DATA_HOOK], 'servers': [HOSTS_HOOK], 'runtimes': [HOSTS_HOOK], 'daemons': [HOSTS_HOOK],
         'cloched': [HOSTS_HOOK]}

# Test images run what the host asks for, in the environment of the native runs.
CONFIG = """entrypoint: []
args:
  default: [/bin/sh]
  from_host: true
env:
  set: {PATH: "%(PATH)s", HOME: "%(HOME)s", LANG: "%(LANG)s"}
""" % ENVIRONMENT
TAR_OPTIONS = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', f'--mtime=@{EPOCH}']
TAR_CREATE = ['tar', '-c', *TAR_OPTIONS]
TAR_APPEND = ['tar', '-r', *TAR_OPTIONS]

# What container engines leave a root user, and what one has in an enclave.
CAPABILITIES = '-all,' + ','.join('+' + name for name in (
    'chown', 'dac_override', 'fowner', 'fsetid', 'kill', 'setgid', 'setuid', 'setpcap', 'net_bind_service', 'net_raw', 'sys_chroot',
    'mknod', 'audit_write', 'setfcap'))


def package_sources():
    """Files with this machine's package sources, if they name the suite; else none (the default mirror)."""
    candidates = ['/etc/apt/sources.list', *sorted(glob.glob('/etc/apt/sources.list.d/*.list')),
                  *sorted(glob.glob('/etc/apt/sources.list.d/*.sources'))]
    found = []
    for name in candidates:
        if os.path.isfile(name):
            with open(name, encoding='utf-8', errors='replace') as source:
                lines = [line for line in source if not line.lstrip().startswith('#')]
            if any(SUITE in line for line in lines):
                found.append(name)
    return found


def bootstrap_command(name, tar):
    options = [f'--include={",".join(PACKAGES[name])}', '--variant=essential', '--quiet',
               '--aptopt=Acquire::Languages "none"']
    options += [f'--dpkgopt=path-exclude={path}' for path in EXCLUDED]
    options += ['--dpkgopt=path-include=/usr/share/doc/*/copyright']
    options += [f'--essential-hook={hook}' for hook in ESSENTIAL_HOOKS.get(name, [])]
    options += [f'--customize-hook={hook}' for hook in HOOKS.get(name, [])]
    return ['mmdebstrap', *options, SUITE, tar, *package_sources()]


@contextlib.contextmanager
def one_at_a_time(what):
    """Tests run side by side; what they share is made by one of them."""
    os.makedirs(IMAGES, exist_ok=True)
    with open(os.path.join(IMAGES, f'.lock-{what}'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def recipe_digest(name):
    recipe = repr((PACKAGES[name], HOOKS.get(name), EXCLUDED, SUITE, EPOCH))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def debian_tar(name):
    """The image as a tar file, made when it is not there yet."""
    tar = os.path.join(IMAGES, f'{name}-{recipe_digest(name)}.tar')
    with one_at_a_time(name):
        if not os.path.exists(tar):
            partial = tar + '.partial.tar'
            environment = {**os.environ, 'SOURCE_DATE_EPOCH': EPOCH, 'LC_ALL': 'C.UTF-8'}
            subprocess.run(bootstrap_command(name, partial), check=True, stdin=subprocess.DEVNULL, env=environment)
            os.replace(partial, tar)
    return tar


def debian_folder(name):
    """The image as a folder (for native runs)."""
    tar = debian_tar(name)
    folder = tar[:-len('.tar')]
    with one_at_a_time(name):
        if not os.path.isdir(folder):
            partial = tempfile.mkdtemp(dir=IMAGES)
            # Device nodes need root and are not needed: /dev is the kernel's or the library OS's own.
            subprocess.run(['tar', '-x', '-f', tar, '-C', partial, '--exclude=./dev/*'], check=True)
            os.chmod(partial, 0o755)
            os.replace(partial, folder)
    return folder


def busybox_folder(out=None):
    """A root with the static busybox and a link for each of its applets."""
    folder = out or os.path.join(IMAGES, 'busybox')
    with one_at_a_time('busybox'):
        if not os.path.exists(os.path.join(folder, 'bin', 'busybox')):
            make_busybox(folder)
    return folder


def make_busybox(folder):
    for name in ('bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp'):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    os.chmod(os.path.join(folder, 'tmp'), 0o1777)
    busybox = os.path.join(folder, 'bin', 'busybox')
    shutil.copy('/bin/busybox', busybox)
    applets = subprocess.run(['/bin/busybox', '--list'], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if applet != 'busybox':
            os.symlink('busybox', os.path.join(folder, 'bin', applet))
    for name, text in (('passwd', 'root:x:0:0:root:/root:/bin/sh\n'), ('group', 'root:x:0:\n')):
        with open(os.path.join(folder, 'etc', name), 'w', encoding='ascii') as file:
            file.write(text)


def native_command(folder, argv, environment=None, more=None):
    """The command that runs argv in the root folder on plain Linux, leaving nothing behind: in namespaces of its
    own, over an overlay in memory, as the enclave does it. It ends with all its processes. more: a folder whose
    files are laid over the root's."""
    lower = f'{more}:{folder}' if more else folder
    variables = [f'{name}={value}' for name, value in {**ENVIRONMENT, **(environment or {})}.items()]
    script = ('set -e; o=/mnt; mount -t tmpfs tmpfs "$o"; mkdir "$o/u" "$o/w" "$o/m"; '
              'mount -t overlay -o "lowerdir=$0,upperdir=$o/u,workdir=$o/w" overlay "$o/m"; '
              'mount -t proc proc "$o/m/proc"; mount --rbind /dev "$o/m/dev"; mount --rbind /sys "$o/m/sys"; '
              'mount -t tmpfs tmpfs "$o/m/tmp"; cd "$o/m"; exec setpriv --bounding-set=' + CAPABILITIES + ' env -i "$@"')
    as_root = [] if os.geteuid() == 0 else ['--map-root-user']
    return ['unshare', *as_root, '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, lower,
            *variables, '/usr/sbin/chroot', '.', *argv]


def sealed(name, build, files=None, config=CONFIG):
    """The sealed image of a root file system, with more files in it: {path in the image: path here}. Made again when
    the programs, the files or the configuration (the text of a cloche.yaml) have changed. Returns its path."""
    files = files or {}
    parts = hashlib.sha256(repr((name, recipe_digest(name) if name in PACKAGES else '', config)).encode())
    for path in [*sorted(glob.glob(os.path.join(build, 'bin', '*'))), *(path for _, path in sorted(files.items()))]:
        with open(path, 'rb') as file:
            parts.update(file.read())
    # Older versions of the same image go; another set of files is another image.
    kind = hashlib.sha256(repr(sorted(files)).encode()).hexdigest()[:6] if len(files) < 20 else 'many'
    out = os.path.join(IMAGES, f'sealed-{name}-{kind}-{parts.hexdigest()[:12]}.tar')
    with one_at_a_time(f'sealed-{name}-{kind}'):
        if not os.path.exists(out):
            for old in glob.glob(os.path.join(IMAGES, f'sealed-{name}-{kind}-*')):
                os.unlink(old)
            with tempfile.TemporaryDirectory(dir=IMAGES) as work:
                seal(name, os.path.join(build, 'bin', 'cloche'), files, config, work, out)
    return out


def seal(name, cloche, files, config, work, out):
    tar, more, yaml = (os.path.join(work, part) for part in ('rootfs.tar', 'files', 'cloche.yaml'))
    if name == 'busybox':
        subprocess.run([*TAR_CREATE, '-f', tar, '-C', busybox_folder(), '.'], check=True)
    else:
        shutil.copy(debian_tar(name), tar)
    for target, path in sorted(files.items()):
        at = os.path.join(more, target.lstrip('/'))
        os.makedirs(os.path.dirname(at), exist_ok=True)
        shutil.copy(path, at)
    if files:
        subprocess.run([*TAR_APPEND, '-f', tar, '-C', more, '.'], check=True)
    with open(yaml, 'w', encoding='utf-8') as file:
        file.write(config)
    made = os.path.join(work, 'image.tar')
    done = subprocess.run([cloche, 'build', '-f', yaml, tar, '-o', made], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f'cloche build failed ({done.returncode}):\n{done.stdout}{done.stderr}')
    os.replace(made, out)


def files_of(folder):
    """The files below a folder as sealed() wants them."""
    return {'/' + os.path.relpath(os.path.join(at, name), folder): os.path.join(at, name)
            for at, _, names in os.walk(folder) for name in names}


def image_folder(name, out=None):
    return busybox_folder(out) if name == 'busybox' else debian_folder(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=['busybox', *PACKAGES])
    parser.add_argument('--out', help='busybox only: the folder to make')
    args = parser.parse_args()
    print(image_folder(args.name, args.out))


if __name__ == '__main__':
    sys.exit(main())
