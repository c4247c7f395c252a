# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: images, and running one program natively and in the enclave."""
import os
import subprocess
import sys
import time
from collections import namedtuple

import pytest

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'tools'))
import testimage  # noqa: E402

BUILD = os.path.realpath(os.environ.get('CLOCHE_BUILD', os.path.join(ROOT, 'build')))
CLOCHE = os.path.join(BUILD, 'bin', 'cloche')
TIMEOUT_S = 60

Result = namedtuple('Result', 'status out err')


def finish(command, stdin=b'', timeout=TIMEOUT_S, env=None):
    """Runs to the end; on a time-out the process is killed and the test fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, env=env)
    return Result(done.returncode, done.stdout, done.stderr)


class World:
    """One root file system, as a folder for native runs and sealed for the enclave. files: {path in the image: path
    here}, for the enclave; more: a folder whose files are laid over the root's, in both."""

    def __init__(self, name, files=None, more=None):
        self.folder = testimage.image_folder(name)
        self.more = more
        self.image = testimage.sealed(name, BUILD, {**(files or {}), **(testimage.files_of(more) if more else {})})

    def native_command(self, argv):
        return testimage.native_command(self.folder, argv, more=self.more)

    def enclave_command(self, argv, options=()):
        return [CLOCHE, 'run', *options, self.image, *argv]

    def native(self, argv, **options):
        return finish(self.native_command(argv), **options)

    def enclave(self, argv, options=(), **more):
        return finish(self.enclave_command(argv, options), **more)

    def same(self, argv, stdin=b'', timeout=TIMEOUT_S):
        """The program ends in both worlds with the same status and output; gives the enclave's result."""
        want, got = self.native(argv, stdin=stdin, timeout=timeout), self.enclave(argv, stdin=stdin, timeout=timeout)
        shown = got.err.decode(errors='replace')[-2000:]
        assert got.out == want.out, shown
        assert got.status == want.status, shown
        # The runtime may say something of its own; what the program says must be there.
        for line in want.err.splitlines():
            assert line in got.err, shown
        return got


class Server:
    """A program that runs until the test ends; ended by its process id."""

    def __init__(self, command, ready, env=None, timeout=30):
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env=env, start_new_session=True)
        os.set_blocking(self.child.stdout.fileno(), False)
        self.out = b''
        until = time.monotonic() + timeout
        while ready not in self.out:
            if self.child.poll() is not None or time.monotonic() > until:
                self.stop()
                pytest.fail(f'the server did not start: {self.out[-500:]!r} {self.err[-1500:]!r}')
            self.out += self.child.stdout.read() or b''
            time.sleep(0.02)

    def stop(self):
        """SIGTERM, then after a while SIGKILL; the exit status."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            out, self.err = self.child.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            out, self.err = self.child.communicate()
        self.out += out or b''
        return self.child.returncode


@pytest.fixture(scope='session')
def busybox():
    return World('busybox')


@pytest.fixture(scope='session')
def debian():
    """Debian with Python, and the linked variants of a test program."""
    return World('python')
