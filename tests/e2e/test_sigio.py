# SPDX-License-Identifier: Apache-2.0
"""O_ASYNC on what the host holds: sockets that the host connects to, and standard input."""
import select
import socket
import subprocess

import pytest

TIMEOUT_S = 30

SCRIPT = '''
import fcntl, os, signal, socket, sys
number = signal.SIGRTMIN + 1
signal.pthread_sigmask(signal.SIG_BLOCK, [number])
def watch(fd):
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, 10, number)  # F_SETSIG
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
def stop(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_ASYNC)
    while signal.sigtimedwait([number], 0): pass
def say(*words): print(*words, flush=True)
def wait():
    info = signal.sigtimedwait([number], 30)
    return info and (info.si_code, info.si_band)
listener = socket.socket()
listener.bind(("0.0.0.0", 0))
listener.listen()
watch(listener.fileno())
say("port", listener.getsockname()[1])
say("connected", wait())
one, _ = listener.accept()
stop(listener.fileno())
watch(one.fileno())
for _ in range(3):
    say("ready")
    say("readable", wait(), one.recv(100))
stop(one.fileno())
watch(0)
say("ready")
say("typed", wait(), os.read(0, 100))
'''


class Talk:
    """A program whose output is read line by line."""

    def __init__(self, command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.rest = b''

    def line(self):
        while b'\n' not in self.rest:
            if not select.select([self.child.stdout], [], [], TIMEOUT_S)[0]:
                pytest.fail(f'no line after {self.rest!r}')
            chunk = self.child.stdout.read1(4096)
            if not chunk:
                pytest.fail(f'ended: {self.child.stderr.read()[-1500:]!r}')
            self.rest += chunk
        line, self.rest = self.rest.split(b'\n', 1)
        return line.decode()

    def close(self):
        self.child.kill()
        self.child.communicate()


def conversation(command):
    """All that the program says, but its port."""
    talk, said = Talk(command), []
    try:
        word, port = talk.line().split()
        assert word == 'port'
        with socket.create_connection(('127.0.0.1', int(port)), TIMEOUT_S) as peer:
            said.append(talk.line())
            for text in (b'one', b'two', b'three'):
                said.append(talk.line())
                peer.sendall(text)
                said.append(talk.line())
            said.append(talk.line())
            talk.child.stdin.write(b'typed')
            talk.child.stdin.flush()
            said.append(talk.line())
        assert talk.child.wait(TIMEOUT_S) == 0
    finally:
        talk.close()
    return said


def test_host_tells(debian):
    argv = ['/usr/bin/python3', '-c', SCRIPT]
    native = conversation(debian.native_command(argv))
    assert native[2] == "readable (1, 65) b'one'"
    assert conversation([*debian.enclave_command(argv, ('-i',))]) == native
