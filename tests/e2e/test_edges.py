# SPDX-License-Identifier: Apache-2.0
"""Connections to the host that an edge-triggered epoll watches: what an event loop reads is what it reads natively."""
import os
import socket
import struct
import threading

import pytest

from conftest import BUILD, World, finish

PROGRAM = os.path.join(BUILD, 'tests', 'e2e', 'edges')
RESET = struct.pack('ii', 1, 0)


@pytest.fixture(scope='module')
def world():
    return World('busybox', {'/opt/edges': PROGRAM})


class Peer:
    """The other side of the connections: does for each case what its letter says, at the program's word."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.listener.settimeout(60)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def accept(self):
        connection, _ = self.listener.accept()
        connection.settimeout(60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def word(self):
        return self.control.recv(1)

    def run(self):
        try:
            with self.accept() as self.control:
                while case := self.word():
                    with self.accept() as one, self.accept() as other:
                        getattr(self, 'case_' + case.decode())(one, other)
        except OSError:
            return  # the program tells what went wrong

    def case_e(self, one, other):
        self.word()
        one.sendall(b'abc')
        one.shutdown(socket.SHUT_WR)
        self.control.sendall(b'.')
        one.recv(1)

    def case_r(self, one, other):
        self.word()
        one.sendall(b'abc')
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.close()
        self.control.sendall(b'.')

    def case_u(self, one, other):
        self.word()
        one.sendall(b'ab')
        one.send(b'c', socket.MSG_OOB)
        one.sendall(b'de')
        self.control.sendall(b'.')
        one.recv(1)

    def case_t(self, one, other):
        while data := one.recv(64):
            one.sendall(data)

    def case_o(self, one, other):
        self.word()
        one.sendall(b'1')
        self.control.sendall(b'.')
        self.word()
        one.sendall(b'2')
        other.sendall(b'x')
        one.recv(1)

    case_g = case_o

    def stop(self):
        self.thread.join(90)
        self.listener.close()
        assert not self.thread.is_alive()


def lines(run):
    peer = Peer()
    done = run(['/opt/edges', str(peer.port)])
    peer.stop()
    assert done.status == 0, done.err[-2000:]
    return done.out.decode().splitlines()


def test_event_loops_miss_nothing(world):
    want = lines(lambda argv: finish([PROGRAM, *argv[1:]]))
    assert want[:4] == ['end: abc end', 'reset: abc ECONNRESET', 'urgent: abde nothing', 'talk: 6276'], want
    assert want[4:] == ['order: 12', 'again: 12'] + ['thread: 12'] * 20, want
    assert lines(world.enclave) == want
