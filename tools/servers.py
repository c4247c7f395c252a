# SPDX-License-Identifier: Apache-2.0
"""The servers that tests and benchmarks run, natively and in the enclave, from one image of Debian packages."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import testimage  # noqa: E402

IMAGE = 'servers'
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 15
GO_PROGRAMS = ['gohello', 'gohttp', 'gocheck', 'gohello_pie', 'gocheck_pie']
MUSL_PROGRAMS = ['syscall_test_musl', 'syscall_test_musl_static']

NGINX = '''
daemon off;
master_process off;
pid /tmp/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    keepalive_requests 1000000;
    gzip on;
    gzip_types text/plain;
    gzip_min_length 100;
    default_type application/octet-stream;
    types { text/html html; text/plain txt; }
    client_body_temp_path /tmp/body;
    server {
        listen 127.0.0.1:%d reuseport;
        root /srv/www;
    }
}
'''
# The configuration is an argument, so that each run has a port of its own.
NGINX_START = 'printf %s "$1" >/tmp/nginx.conf && exec nginx -c /tmp/nginx.conf'


def command(name, port):
    """The command line of a server inside the image."""
    return {
        'redis': ['redis-server', '--save', '', '--port', str(port), '--bind', '127.0.0.1'],
        'nginx': ['sh', '-c', NGINX_START, 'sh', NGINX % port],
        'memcached': ['memcached', '-u', 'root', '-l', '127.0.0.1', '-p', str(port), '-U', '0', '-t', '2'],
        'gohttp': ['/opt/gohttp', f'127.0.0.1:{port}'],
    }[name]


def web_files():
    """{path in the image: path here} of what nginx serves; always the same bytes."""
    folder = os.path.join(testimage.IMAGES, 'www')
    os.makedirs(folder, exist_ok=True)
    contents = {
        '1k.bin': bytes(i * i % 251 for i in range(1024)),
        '100k.bin': bytes(i * i % 65521 % 251 for i in range(100 * 1024)),
        'text.txt': b''.join(b'Line %d of the text that is compressed on its way.\n' % i for i in range(400)),
        'index.html': b'<!doctype html><title>Servers</title><p>Here.</p>\n',
    }
    for name, data in contents.items():
        path = os.path.join(folder, name)
        if not os.path.exists(path) or os.path.getsize(path) != len(data):
            with open(path + '.partial', 'wb') as file:
                file.write(data)
            os.replace(path + '.partial', path)
    return {f'/srv/www/{name}': os.path.join(folder, name) for name in contents}


def program_files(build):
    """Programs of this tree that are in the image, where the machine could build them."""
    places = {f'/opt/{name}': os.path.join(build, 'bench', name) for name in GO_PROGRAMS}
    places.update({f'/opt/{name}': os.path.join(build, 'tests', 'syscall', name) for name in MUSL_PROGRAMS})
    return {target: path for target, path in places.items() if os.path.exists(path)}


class Worlds:
    """The servers' image, as a folder for native runs and sealed for the enclave."""

    def __init__(self, build):
        self.cloche = os.path.join(build, 'bin', 'cloche')
        self.files = {**web_files(), **program_files(build)}
        self.image = testimage.sealed(IMAGE, build, self.files)
        self.folder = testimage.debian_folder(IMAGE)
        for target, path in self.files.items():
            subprocess.run(['install', '-C', '-D', path, self.folder + target], check=True)

    def command(self, world, argv, options=()):
        if world == 'native':
            return testimage.native_command(self.folder, argv)
        return [self.cloche, 'run', *options, self.image, *argv]


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def first_child(pid):
    """The process below `unshare`: signals to unshare itself would not reach the program."""
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return int(file.read().split()[0])


def cpu_seconds(pid):
    """CPU time of a process and of its descendants that run."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
            children = file.read().split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK') + sum(cpu_seconds(int(child)) for child in children)


class Running:
    """A server that listens at self.port."""

    def __init__(self, worlds, world, name, environment=None):
        self.world, self.name, self.port = world, name, free_port()
        self.status = None
        self.child = subprocess.Popen(worlds.command(world, command(name, self.port)), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                                      env={**os.environ, **(environment or {})})
        until = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if self.child.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f'{name} did not start ({world}): {self.error[-1500:]!r}')
            time.sleep(0.02)

    def connect(self):
        return socket.create_connection(('127.0.0.1', self.port), timeout=20)

    def answers(self):
        try:
            self.connect().close()
            return True
        except OSError:
            return False

    def pid(self):
        return first_child(self.child.pid) if self.world == 'native' else self.child.pid

    def stop(self, number=signal.SIGTERM):
        """Sends the signal and gives the exit status."""
        if self.status is None:
            with contextlib.suppress(OSError, IndexError):
                os.kill(self.pid(), number)
            try:
                _, self.error = self.child.communicate(timeout=STOP_TIMEOUT_S)
                self.status = self.child.returncode
            except subprocess.TimeoutExpired:
                self.kill()
        return self.status

    def kill(self):
        self.child.kill()
        _, self.error = self.child.communicate()
        self.status = 'killed'


@contextlib.contextmanager
def running(worlds, world, name, environment=None):
    server = Running(worlds, world, name, environment)
    try:
        yield server
    finally:
        server.stop()
