# SPDX-License-Identifier: Apache-2.0
"""`docker load` takes a sealed image and `docker run` starts it, with a Docker engine that the test starts by hand: vfs
storage, no bridge, no iptables, everything in a folder of its own. Skipped where the engine cannot start."""
import os
import shutil
import subprocess
import time

import pytest

from conftest import CLOCHE, World
from test_terminal import Terminal, wait_until_raw


class Engine:
    def __init__(self, folder):
        self.host = f'unix://{folder}/docker.sock'
        self.log = open(folder / 'log', 'wb')
        self.daemon = subprocess.Popen(
            ['dockerd', '--host', self.host, '--data-root', folder / 'data', '--exec-root', folder / 'exec',
             '--pidfile', folder / 'pid', '--storage-driver', 'vfs', '--bridge', 'none', '--iptables=false',
             '--ip6tables=false', '--ip-forward=false', '--ip-masq=false', '--userland-proxy=false'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def docker(self, *words, timeout=180):
        return subprocess.run(['docker', '--host', self.host, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)

    def wait_until_up(self, seconds=40):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.daemon.poll() is None:
            if self.docker('version').returncode == 0:
                return True
            time.sleep(0.3)
        return False

    def stop(self):
        self.daemon.terminate()
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        self.log.close()


@pytest.fixture(scope='module')
def engine(tmp_path_factory):
    if os.geteuid() != 0 or not shutil.which('dockerd'):
        pytest.skip('a Docker engine needs root and docker.io')
    folder = tmp_path_factory.mktemp('docker')
    engine = Engine(folder)
    if not engine.wait_until_up():
        engine.stop()
        pytest.skip('the Docker engine does not start on this machine: ' + (folder / 'log').read_text(errors='replace')[-200:])
    yield engine
    engine.stop()


@pytest.fixture(scope='module')
def loaded(engine):
    """The sealed image's name in the engine."""
    done = engine.docker('load', '--input', World('busybox').image)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().split()[-1]


def run(engine, image, *argv):
    return engine.docker('run', '--rm', '--network', 'none', image, *argv)


def test_docker_run(engine, loaded):
    got = run(engine, loaded, '/bin/echo', 'from', 'the', 'enclave')
    assert (got.returncode, got.stdout) == (0, b'from the enclave\n'), got.stderr


def test_docker_run_gives_the_status(engine, loaded):
    assert run(engine, loaded, '/bin/sh', '-c', 'exit 9').returncode == 9


def test_docker_stop_ends_it(engine, loaded):
    started = engine.docker('run', '--detach', '--network', 'none', loaded, '/bin/sleep', '60')
    assert started.returncode == 0, started.stderr
    name = started.stdout.decode().strip()
    begin = time.monotonic()
    assert engine.docker('stop', '--time', '20', name).returncode == 0
    assert time.monotonic() - begin < 15
    engine.docker('rm', '--force', name)


def on_terminal(engine, image, *argv):
    return Terminal(['docker', '--host', engine.host, 'run', '--rm', '--network', 'none', '-it', image, *argv])


def test_docker_terminal(engine, loaded):
    """`docker run -it`: the engine's terminal is the far end of the program's own."""
    one = on_terminal(engine, loaded, '/bin/tty')
    try:
        assert one.end() == (0, b'/dev/pts/0\r\n')
    finally:
        one.close()
    one = on_terminal(engine, loaded, '/bin/cat')
    try:
        wait_until_raw(one)
        one.send(b'hullo\x7f\x7fo\r')
        one.until(b'\nhulo\r\n')
        one.send(b'\x03')
        assert one.end()[0] == 130
    finally:
        one.close()


def test_build_from_the_engine(engine, tmp_path):
    """An ordinary image of the engine, by its name: skopeo fetches it."""
    if not shutil.which('skopeo'):
        pytest.skip('skopeo is not installed')
    tar = tmp_path / 'rootfs.tar'
    subprocess.run(['tar', '-c', '-f', tar, '-C', World('busybox').folder, '.'], check=True)
    made = engine.docker('import', '--change', 'ENTRYPOINT ["/bin/echo", "from the engine"]', str(tar), 'plain:1')
    assert made.returncode == 0, made.stderr
    image = tmp_path / 'plain.tar'
    built = subprocess.run([CLOCHE, 'build', '-o', image, 'docker-daemon:plain:1'], capture_output=True, timeout=120,
                           env={**os.environ, 'DOCKER_HOST': engine.host, 'XDG_CONFIG_HOME': str(tmp_path)})
    assert built.returncode == 0, built.stderr
    done = subprocess.run([CLOCHE, 'run', image], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b'from the engine\n'), done.stderr
    again = subprocess.run([CLOCHE, 'build', '-o', tmp_path / 'x.tar', image], capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and 'sealed image already' in again.stderr
