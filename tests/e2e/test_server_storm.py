# SPDX-License-Identifier: Apache-2.0
"""Clients that want the server's connections, not its answers: ten thousand of them, resets at every moment, broken and unfinished handshakes, requests one behind
the other. Whoever asks properly is served meanwhile, and nothing is left of it afterwards."""
import contextlib
import os
import re
import resource
import socket
import ssl
import struct
import threading
import time

import pytest

import cloched

CROWD = 10000
WAIT_S = 60


@contextlib.contextmanager
def many_files(count):
    """This process may have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f'no more than {hard} files may be open here')
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sockets_of(server):
    """How many it has open. Not its other files: the store opens more when many ask at once, and keeps them."""
    folder, count = f'/proc/{server.child.pid}/fd', 0
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(os.path.join(folder, name)).startswith('socket:')
    return count


def comes_back(server, sockets):
    """Whether the server has no more sockets open than before, in the end."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if sockets_of(server) <= sockets:
            return True
        time.sleep(0.1)
    return False


def is_well(server):
    return server.client().get('/healthz').status == 200


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()


def answers_of(sock, count):
    """Status and body of so many answers of one connection, each with a Content-Length."""
    data, answers = b'', []
    while len(answers) < count:
        head, found, rest = data.partition(b'\r\n\r\n')
        size = int(re.search(rb'content-length: (\d+)', head.lower()).group(1)) if found else 0
        if found and len(rest) >= size:
            answers.append((int(head.split()[1]), rest[:size]))
            data = rest[size:]
            continue
        part = sock.recv(65536)
        assert part, (answers[-3:], data[:200])
        data += part
    assert data == b''
    return answers


def test_ten_thousand_connections():
    """As many as the server takes, and more: those beyond are closed; who was there before is served; when they have gone everybody is."""
    with many_files(CROWD + 1000), cloched.Cloched(connections_max=4000) as server:
        sockets = sockets_of(server)
        first = server.connection(WAIT_S)
        first.request('GET', '/healthz')
        assert first.getresponse().read() is not None
        crowd = []
        try:
            for _ in range(CROWD):
                sock = socket.socket()
                sock.setblocking(False)
                crowd.append(sock)
                with contextlib.suppress(BlockingIOError, OSError):
                    sock.connect(tuple([server.address.rsplit(':', 1)[0], int(server.address.rsplit(':', 1)[1])]))
            first.request('GET', '/healthz')
            assert first.getresponse().read() is not None
            assert sockets_of(server) < sockets + 4200
        finally:
            for sock in crowd:
                sock.close()
            first.close()
        assert comes_back(server, sockets) and is_well(server)


BEGINS = [b'', b'G', b'GET /healthz HTTP/1.1\r\nHost: x\r\n', b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n', b'GET /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n\r\n' * 20,
          b'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"org": "', b'\0' * 5000,
          b'POST /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"na',
          b'GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer TOKEN\r\n\r\n']


def test_resets_at_every_moment():
    with cloched.Cloched() as server:
        token = server.owner.token.encode()
        assert is_well(server)
        sockets = sockets_of(server)
        for number in range(1500):
            sock = server.socket()
            begin = BEGINS[number % len(BEGINS)].replace(b'TOKEN', token)
            with contextlib.suppress(OSError):
                sock.sendall(begin)
                if number % 2:
                    sock.setblocking(False)
                    sock.recv(1)
            reset(sock)
            if number % 300 == 0:
                assert is_well(server)
        assert comes_back(server, sockets) and is_well(server)
        assert server.owner.list('/v1/apps') == []


def test_requests_one_behind_the_other():
    """Each is answered, in order; a body's end is where it says, so that nothing in it becomes a request."""
    with cloched.Cloched() as server:
        smuggled = b'GET /v1/me HTTP/1.1\r\nHost: x\r\nX: '
        request = b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
        login = b'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' % (len(smuggled), smuggled)
        with server.socket() as sock:
            sender = threading.Thread(target=sock.sendall, args=((request + login) * 60 + request,))
            sender.start()
            answers = answers_of(sock, 121)
            sender.join()
        assert [status for status, _ in answers] == [200, 400] * 60 + [200]
        assert all(b'malformed-json' in body for status, body in answers if status == 400)


def test_broken_handshakes():
    with cloched.Cloched(plain_http=False, request_timeout_s=3) as server:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing, server_hostname='localhost').do_handshake()
        hello = outgoing.read()
        assert is_well(server)
        sockets = sockets_of(server)
        held = []
        for number in range(400):
            sock = server.socket()
            begin = [hello, hello[:60], hello[:5], b'GET / HTTP/1.1\r\n\r\n', b'\x16\x03\x01\xff\xff' + b'\0' * 600, hello[:-40] + b'\xff' * 40, hello + hello, b'\x80\x2e\x01\x03\x01'][number % 8]
            with contextlib.suppress(OSError):
                sock.sendall(begin)
            if number % 3:
                reset(sock)
            else:
                held.append(sock)
            if number % 100 == 0:
                assert is_well(server)
        try:
            assert is_well(server)
            until = time.monotonic() + WAIT_S  # those who never finish are cut off
            for sock in held:
                sock.settimeout(max(until - time.monotonic(), 0.1))
                with contextlib.suppress(ConnectionError):
                    while sock.recv(65536):
                        pass
        finally:
            for sock in held:
                sock.close()
        assert comes_back(server, sockets) and is_well(server)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2  # has renegotiation
        with server.socket() as sock, pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(sock)
        assert is_well(server)


def test_no_browser_may_ask_for_others():
    """Nothing allows another origin, no cookie is set or taken, no request of a form is one, and no answer leads elsewhere."""
    with cloched.Cloched() as server:
        token = server.owner.token
        origin = {'Origin': 'https://evil.example', 'Host': 'evil.example'}
        asks = [server.client().raw('OPTIONS', '/v1/apps', headers={**origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization'}),
                server.client().raw('GET', '/v1/me', headers={**origin, 'Cookie': f'token={token}; session={token}'}),
                server.client().raw('POST', '/v1/logout', 'token=' + token, {**origin, 'Content-Type': 'application/x-www-form-urlencoded'}),
                server.client().raw('POST', '/v1/login', '{"org": "acme"}', {**origin, 'Content-Type': 'text/plain'}),
                server.client(token).raw('GET', '/v1/apps', headers=origin), server.client().raw('GET', '//evil.example/', headers=origin),
                server.client().raw('GET', 'https://evil.example/healthz', headers=origin)]
        for answer in asks:
            names = {name.lower() for name in answer.headers}
            assert not names & {'set-cookie', 'location'} and not any(name.startswith('access-control') for name in names), answer.headers.items()
            assert 'evil' not in str(answer.headers.items())
        assert [answer.status for answer in asks[:4]] == [405, 401, 401, 415]
