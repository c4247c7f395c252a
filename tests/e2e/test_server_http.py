# SPDX-License-Identifier: Apache-2.0
"""cloched's HTTP: limits, malformed and hostile requests, idempotency, events, TLS, start and end."""
import itertools
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest

import cloched

JSON = {'Content-Type': 'application/json'}


@pytest.fixture(scope='module')
def server():
    with cloched.Cloched() as server:
        yield server


@pytest.fixture(scope='module')
def impatient():
    """Waits 2 s for what its clients have begun to send."""
    with cloched.Cloched(request_timeout_s=2) as server:
        yield server


def is_whole(data):
    head, end, body = data.partition(b'\r\n\r\n')
    length = re.search(rb'content-length: (\d+)', head.lower())
    return bool(end and length) and len(body) >= int(length.group(1))


def exchange(server, data, timeout=60):
    """Sends bytes; gives the first answer, or what came until the server closed."""
    with server.socket(timeout) as sock:
        got = b''
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while not is_whole(got):
                part = sock.recv(65536)
                if not part:
                    break
                got += part
        except TimeoutError:
            raise
        except OSError:
            pass  # the server has closed it
        return got


def status_of(data):
    found = re.match(rb'HTTP/1\.1 (\d{3}) ', data)
    return int(found.group(1)) if found else None


def is_well(server):
    for _ in range(5):
        try:
            return server.client().get('/readyz').status == 200
        except OSError:
            pass  # this test itself was too slow for an impatient server
    return False


# ---- malformed ----

@pytest.mark.parametrize('target', ['/v1//me', '/v1/%2e%2e/me', '/v1/me/..', '/v1/users/%zz', '/v1/users/%00', '/v1/users/a%0d%0aX:%20y',
                                    '/v1/users/%ff%fe', '/v1/users/%c0%ae', '/v1/users/%ed%a0%80', '/v1/users/' + 'a' * 300,
                                    '/v1/users?limit=1&limit=2', '/v1/users?' + '&'.join(f'p{i}=1' for i in range(40)),
                                    '/' + '/'.join('a' * 20)])
def test_targets_that_are_refused(server, target):
    answer = server.owner.raw('GET', target)
    assert answer.status in (400, 404), answer
    assert answer.kind == 'application/problem+json' and answer.code in ('bad-uri', 'no-such-endpoint')
    assert 'X: y' not in str(answer.headers)


@pytest.mark.parametrize('query', ['limit=0', 'limit=501', 'limit=-1', 'limit=1e3', 'limit=99999999999999999999', 'limit=', 'after=' + 'x' * 200])
def test_pages_that_are_refused(server, query):
    answer = server.owner.raw('GET', '/v1/users?' + query)
    assert answer.status == 400 and answer.code == 'invalid-query', answer


@pytest.mark.parametrize('data', [b'{', b'[]', b'"x"', b'null', b'{"name":"a","name":"b"}', b'{"name":"\xff"}', b'{"name":"\xed\xa0\x80"}',
                                  b'{"name":"a\\u0000b"}', b'{"name":"\\ud800"}', b'{"name":1e999}', b'{"name":123456789012345678901234567890}',
                                  b'{"a":' + b'[' * 200 + b']' * 200 + b'}', b'[' * 100000, b'{"a":[' + b'1,' * 40000 + b'1]}', b'\x00', b'{}x',
                                  b'{"name":"x"', b'\xef\xbb\xbf{}'], ids=lambda data: data[:24].hex())
def test_bodies_that_are_no_json_object(server, data):
    answer = server.owner.raw('POST', '/v1/apps', data, JSON)
    assert answer.status == 400 and answer.code == 'malformed-json', answer


@pytest.mark.parametrize('body, pointer', [({}, '/name'), ({'name': 1}, '/name'), ({'name': None}, '/name'), ({'name': ''}, '/name'),
                                           ({'name': 'x' * 2000}, '/name'), ({'name': 'ok', 'lifetime_s': 2 ** 62}, '/lifetime_s'),
                                           ({'name': 'ok', 'lifetime_s': 1.5}, '/lifetime_s'), ({'name': 'ok', 'roles': 'owner'}, '/roles'),
                                           ({'name': 'ok', 'roles': []}, '/roles')])
def test_members_that_are_wrong_are_named(server, body, pointer):
    answer = server.owner.post('/v1/tokens', body)
    assert answer.status == 400 and answer.body['member'] == pointer, answer


def test_unknown_members_are_refused(server):
    answer = server.owner.post('/v1/tokens', {'name': 'x', 'is_admin': True})
    assert answer.status == 400 and answer.body['actual'] == 'is_admin'


def test_other_media_types_are_refused(server):
    for kind in ('text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonx'):
        answer = server.owner.raw('POST', '/v1/apps', '{"name":"x"}', {'Content-Type': kind})
        assert answer.status == 415 and answer.code == 'unsupported-media-type'


def test_methods(server):
    answer = server.owner.raw('DELETE', '/v1/me')
    assert answer.status == 405 and answer.headers['Allow'] == 'GET'
    assert server.owner.raw('BREW', '/v1/me').status == 405
    head = server.owner.raw('HEAD', '/v1/me')
    assert head.status == 200 and not head.text
    assert server.owner.raw('GET', '/v1/me', '{}', JSON).status == 400


def test_large_bodies_are_refused_before_they_come(server):
    begun = exchange(server, b'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n')
    assert status_of(begun) == 413
    chunks = b'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
    chunks += b'1000\r\n' + b'a' * 4096 + b'\r\n' + b'1000\r\n' + b'b' * 4096 + b'\r\n0\r\n\r\n'
    assert status_of(exchange(server, chunks)) == 413


@pytest.mark.parametrize('head', [b'GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n',
                                  b'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
                                  b'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
                                  b'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ' + b'a' * 60000 + b'\r\n\r\n',
                                  b'GET /healthz HTTP/1.1\r\nHost: x\r\n' + b'X: a\r\n' * 200 + b'\r\n',
                                  b'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Y: a\x01b\r\n\r\n',
                                  b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
                                  b'GET ' + b'/a' * 9000 + b' HTTP/1.1\r\nHost: x\r\n\r\n', b'GET / HTTP/9.9\r\n\r\n', b'\r\n\r\n\r\n\r\n'],
                         ids=lambda head: head[:24].hex())
def test_heads_that_are_refused(impatient, head):
    assert (status_of(exchange(impatient, head)) or 400) >= 400
    assert is_well(impatient)


def test_answers_have_their_headers(server):
    answer = server.owner.get('/v1/me')
    assert answer.headers['Cache-Control'] == 'no-store' and answer.headers['X-Content-Type-Options'] == 'nosniff'
    assert re.fullmatch(r'req_[0-9a-z]{26}', answer.headers['X-Request-Id'])


INJECTIONS = ["'; DROP TABLE users; --", "' OR '1'='1", '" OR 1=1 --', '%', '_', '\\', "$1", '); DELETE FROM apps; --', '‮', '\U0001f600']


@pytest.mark.parametrize('text', INJECTIONS)
def test_sql_in_texts_is_text(server, text):
    before = len(server.owner.list('/v1/users'))
    made = server.owner.post('/v1/tokens', {'name': text})
    assert made.status == 201 and made.body['name'] == text
    assert server.owner.get('/v1/tokens/' + made.body['id']).body['name'] == text
    for path in ('/v1/users/', '/v1/tokens/', '/v1/apps/'):
        answer = server.owner.raw('GET', path + cloched.urllib.parse.quote(text, safe=''))
        assert answer.status == 404, answer
    assert server.owner.raw('GET', '/v1/users?after=' + cloched.urllib.parse.quote(text, safe='')).status == 200
    assert server.client().raw('POST', '/v1/login', json.dumps({'org': text, 'name': text, 'password': text}), JSON).status == 401
    assert len(server.owner.list('/v1/users')) == before


# ---- slow ----

def test_slow_clients_are_cut_off_and_others_are_served():
    with cloched.Cloched(request_timeout_s=3) as server:
        begins = (b'', b'GET /hea', b'GET /healthz HTTP/1.1\r\nX: ',
                  b'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{')
        socks = [server.socket() for _ in begins]
        try:
            for sock, begin in zip(socks, begins):
                sock.sendall(begin)
            until = time.monotonic() + 60
            open_socks = list(socks)
            # A byte every now and then keeps none of them.
            while open_socks and time.monotonic() < until:
                assert is_well(server)
                for sock in list(open_socks):
                    try:
                        sock.settimeout(0.2)
                        if sock is not socks[0]:
                            sock.sendall(b'a')
                        if sock.recv(4096) == b'':
                            open_socks.remove(sock)
                    except TimeoutError:
                        pass
                    except OSError:
                        open_socks.remove(sock)
            assert not open_socks
        finally:
            for sock in socks:
                sock.close()
        assert int(re.search(r'cloche_http_timeouts_total (\d+)', server.owner.get('/metrics').text).group(1)) >= 4


def test_a_client_that_never_reads_is_cut_off():
    with cloched.Cloched(request_timeout_s=3) as server:
        owner = server.owner
        for i in range(40):
            assert owner.post('/v1/tokens', {'name': 'n' * 60}).status == 201
        request = f'GET /v1/tokens?limit=500 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n\r\n'.encode()
        with server.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    sock.send(request)
                except BlockingIOError:
                    time.sleep(0.05)
                except OSError:
                    break
            else:
                pytest.fail('the connection was not cut')
        assert is_well(server)


# ---- idempotency ----

def test_an_idempotency_key_gives_the_first_answer_again(server):
    owner = server.owner
    first = owner.post('/v1/tokens', {'name': 'once'}, key='key-1')
    again = owner.post('/v1/tokens', {'name': 'once'}, key='key-1')
    assert first.status == again.status == 201 and first.text == again.text
    assert first.headers['Location'] == again.headers['Location']
    assert [t['name'] for t in owner.list('/v1/tokens')].count('once') == 1
    other = owner.post('/v1/tokens', {'name': 'twice'}, key='key-1')
    assert other.status == 422 and other.code == 'idempotency-key-reused'
    # A refused request does not use the key up.
    assert owner.post('/v1/tokens', {'name': ''}, key='key-2').status == 400
    assert owner.post('/v1/tokens', {'name': 'later'}, key='key-2').status == 201
    # The token's text is kept sealed.
    with open(server.options['store'][7:], 'rb') as f:
        assert first.body['token'].encode() not in f.read()


def test_an_idempotency_key_belongs_to_its_user(server):
    owner = server.owner
    assert owner.post('/v1/users', {'name': 'keyed', 'roles': ['reader'], 'password': 'keyed keyed'}, key='key-3').status == 201
    keyed = server.login('keyed', 'keyed keyed')
    mine = keyed.post('/v1/tokens', {'name': 'mine'}, key='key-4')
    other = owner.post('/v1/tokens', {'name': 'mine'}, key='key-4')
    assert mine.status == other.status == 201 and mine.body['id'] != other.body['id']


def test_one_of_many_at_once_is_run(server):
    answers = []

    def ask():
        client = server.client(server.owner.token)
        while True:
            answer = client.raw('POST', '/v1/tokens', '{"name":"racing"}', {**JSON, 'Idempotency-Key': 'race'})
            if answer.code != 'idempotency-key-in-use':
                answers.append(answer)
                return
            time.sleep(0.02)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.text for answer in answers}) == 1 and len(answers) == 8
    assert [t['name'] for t in server.owner.list('/v1/tokens')].count('racing') == 1


# ---- events ----

def test_events_come_in_order_and_can_be_taken_up_again(server):
    owner = server.owner
    stream = owner.events(kind='token')
    ids = [owner.post('/v1/tokens', {'name': f'event {i}'}).body['id'] for i in range(5)]
    got = [data for _, data in itertools.islice(stream, 5)]
    stream.close()
    assert [event['object'] for event in got] == ids
    numbers = [event['number'] for event in got]
    assert numbers == sorted(numbers)
    again = owner.events(after=numbers[1], kind='token.created')
    assert [next(iter(again))[1]['object'] for _ in range(3)] == ids[2:]
    again.close()
    assert [e['object'] for e in owner.list('/v1/events', kind='token.created', limit=2)][-5:] == ids


def test_a_stream_ends_with_the_right_to_it(server):
    owner = server.owner
    owner.post('/v1/users', {'name': 'listener', 'roles': ['reader'], 'password': 'listener listener'})
    listener = server.login('listener', 'listener listener')
    stream = listener.events(kind='nothing')
    assert stream.status == 200
    assert listener.post('/v1/logout').status == 204
    assert list(stream) == []
    stream.close()


def test_events_of_another_organisation_are_not_told(server):
    server.init('evil', 'eve')
    eve = server.login('eve', org='evil')
    stream = eve.events()
    assert server.owner.post('/v1/tokens', {'name': 'private'}).status == 201
    mine = eve.post('/v1/tokens', {'name': 'public'}).body['id']
    kind, event = next(iter(stream))
    stream.close()
    assert kind == 'token.created' and event['object'] == mine
    assert all(e['data'].get('address') or e['kind'] == 'org.created' or e['object'] == mine for e in eve.list('/v1/events'))


def test_another_servers_events_are_told(server):
    with cloched.Cloched(folder=server.folder, init=False) as second:
        stream = second.client(server.owner.token).events(kind='token.created')
        made = server.owner.post('/v1/tokens', {'name': 'across'}).body['id']
        assert next(iter(stream))[1]['object'] == made
        stream.close()


# ---- rates ----

def test_rates_are_limited_by_token():
    with cloched.Cloched(rate_per_minute=20) as server:
        owner = server.owner
        answers = [owner.get('/v1/me') for _ in range(30)]
        refused = [answer for answer in answers if answer.status == 429]
        assert refused and refused[0].code == 'rate-limited' and int(refused[0].headers['Retry-After']) >= 1
        assert server.login().get('/v1/me').status == 200  # another session


# ---- start and end ----

def certificate(folder, name):
    paths = [os.path.join(folder, name + end) for end in ('.crt', '.key')]
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
                    '/CN=' + name, '-addext', 'subjectAltName=IP:127.0.0.1', '-out', paths[0], '-keyout', paths[1]],
                   check=True, capture_output=True, timeout=60)
    return paths


def served_certificate(server):
    with server.socket() as sock, cloched.ssl._create_unverified_context().wrap_socket(sock) as tls:
        assert tls.version() == 'TLSv1.3'
        return tls.getpeercert(True)


def test_tls_and_its_certificate_exchanged_while_it_serves(tmp_path):
    first, key = certificate(str(tmp_path), 'first')
    with cloched.Cloched(plain_http=False, tls_certificate=first, tls_key=key) as server:
        stream = server.owner.events()
        before = served_certificate(server)
        second, second_key = certificate(str(tmp_path), 'second')
        os.replace(second_key, key)
        os.replace(second, first)
        server.reload()
        until = time.monotonic() + 60
        while served_certificate(server) == before and time.monotonic() < until:
            time.sleep(0.05)
        assert served_certificate(server) != before
        assert server.owner.get('/v1/me').status == 200
        server.owner.post('/v1/tokens', {'name': 'after'})
        assert next(iter(stream))[0]  # the old connection lives on
        stream.close()
        # A certificate that is none leaves the old one.
        with open(first, 'w', encoding='utf-8') as f:
            f.write('no certificate')
        server.reload()
        while 'not reloaded' not in server.log() and time.monotonic() < until:
            time.sleep(0.05)
        assert 'not reloaded' in server.log()
        with server.socket() as sock:
            old = cloched.ssl.SSLContext(cloched.ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, cloched.ssl.CERT_NONE
            old.maximum_version = cloched.ssl.TLSVersion.TLSv1_2
            with pytest.raises(OSError):
                old.wrap_socket(sock)


def test_tls_with_a_certificate_of_its_own_authority():
    with cloched.Cloched(plain_http=False, names=['control.example', '127.0.0.1']) as server:
        assert server.owner.get('/v1/me').status == 200
        shown = subprocess.run(['openssl', 'x509', '-inform', 'DER', '-noout', '-ext', 'subjectAltName'], input=served_certificate(server),
                               capture_output=True, check=True, timeout=60).stdout
        assert b'control.example' in shown and b'127.0.0.1' in shown


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / 's')
    with cloched.Cloched(listen='unix:' + path) as server:
        assert server.owner.get('/v1/me').status == 200
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert server.stop() == 0
        assert not os.path.exists(path)


def test_it_ends_in_order_with_listeners_and_lasts():
    with cloched.Cloched() as server:
        streams = [server.owner.events() for _ in range(20)]
        assert all(stream.status == 200 for stream in streams)
        assert server.stop() == 0
        for stream in streams:
            assert all(kind == 'session.started' for kind, _ in stream)
            stream.close()
        assert json.loads(server.log().splitlines()[-1])['message'] == 'ended'
        server.start()
        assert server.owner.get('/v1/me').status == 200


def test_a_crash_loses_nothing_that_was_answered():
    with cloched.Cloched() as server:
        owner = server.owner
        for _ in range(3):
            made = [owner.post('/v1/tokens', {'name': 'x'}).body['id'] for _ in range(5)]
            server.kill()
            server.start()
            assert set(made) <= {token['id'] for token in owner.list('/v1/tokens')}


def test_no_core_and_no_debugger(server):
    with open(f'/proc/{server.child.pid}/limits', encoding='utf-8') as f:
        assert re.search(r'Max core file size +0 +0', f.read())
    assert os.stat(f'/proc/{server.child.pid}/environ').st_uid == 0  # not dumpable: root's


def test_secrets_are_in_no_log(server):
    server.client().raw('POST', '/v1/login', '{"name": "alice", "password": "SECRET-IN-BODY" x}', JSON)
    server.client().raw('POST', '/v1/login', json.dumps({'org': 'acme', 'name': 'SECRET-NAME', 'password': 'SECRET-IN-BODY'}), JSON)
    log = server.log()
    for secret in (cloched.PASSWORD, cloched.PASSPHRASE, server.owner.token, 'SECRET-IN-BODY'):
        assert secret not in log


@pytest.mark.parametrize('line, problem', [('plain_http: true\nlisten: 0.0.0.0:1', 'loopback'), ('frobnicate: 1', 'no such member'),
                                           ('thread_count: 1000', 'number from'), ('tls_key: /x', 'go together'),
                                           ('names: x', 'a list'), ('thread_count: 1\nthread_count: 2', 'twice')])
def test_configurations_that_are_refused(tmp_path, line, problem):
    path = tmp_path / 'c.yaml'
    path.write_text('store: sqlite:/nowhere/x\nroot_key_passphrase_file: /nowhere/y\n' + line + '\n')
    done = subprocess.run([cloched.CLOCHED, 'check-config', '--config', str(path)], capture_output=True, timeout=60)
    assert done.returncode == 1 and problem in done.stderr.decode(), done.stderr
