# SPDX-License-Identifier: Apache-2.0
"""`cloche attest`: curl over the proxy to a site behind attested TLS, who is refused and how that looks, and a plain certificate's evidence.

The first half runs the server's front outside of an enclave, over a stand-in for configfs-tsm that quotes an enclave that does not exist.
"""
import json
import os
import select
import signal
import socket
import subprocess
import time

import pytest

from conftest import BUILD, CLOCHE, ROOT, Server, finish

ATTEST = os.path.join(BUILD, 'bin', 'cloche-attest')
FAKE_TSM = os.path.join(BUILD, 'tests', 'unit', 'attest', 'fake_tsm')
WAIT_S = 30


class Process:
    """A program whose standard error is read by the line; ended by its process id."""

    def __init__(self, command, **options):
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      start_new_session=True, **options)
        self.text = b''

    def wait_for(self, words):
        """The rest of the line that starts with these words."""
        until = time.monotonic() + WAIT_S
        while True:
            for line in self.text.decode(errors='replace').splitlines(keepends=True):
                if words in line and line.endswith('\n'):
                    return line.split(words, 1)[1].strip()
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.child.stderr], [], [], left)[0]:
                raise AssertionError(f'{words!r} was not said: {self.text[-1000:]!r}')
            data = os.read(self.child.stderr.fileno(), 65536)
            if not data:
                raise AssertionError(f'it ended: {self.text[-1000:]!r}')
            self.text += data

    def end(self, number=signal.SIGTERM):
        """Its status."""
        if self.child.poll() is None:
            os.kill(self.child.pid, number)
        try:
            rest = self.child.communicate(timeout=WAIT_S)[1]
        except subprocess.TimeoutExpired:
            self.child.kill()
            rest = self.child.communicate()[1]
        self.text += rest or b''
        return self.child.returncode


@pytest.fixture(scope='module')
def pki(tmp_path_factory):
    """A folder of `cloche emu pki` whose quoting enclave is the stand-in's."""
    folder = str(tmp_path_factory.mktemp('pki') / 'pki')
    for words in (['init'], ['qe', '--mrsigner', '5a' * 32, '--isv-prod-id', '1', '--isv-svn', '2']):
        done = finish([CLOCHE, 'emu', 'pki', *words, folder])
        assert done.status == 0, done.err
    return folder


def write_policy(pki, path, mrenclave=None, **more):
    with open(os.path.join(pki, 'policy.json')) as f:
        policy = json.load(f)
    if mrenclave:
        policy['identities'] = [{'name': 'the site', 'sgx': {'mrenclave': mrenclave}}]
    policy.update(more)
    with open(path, 'w') as f:
        json.dump(policy, f)
    return str(path)


@pytest.fixture(scope='module')
def policy(pki, tmp_path_factory):
    return write_policy(pki, tmp_path_factory.mktemp('policy') / 'policy.json', '11' * 32)


@pytest.fixture(scope='module')
def other_policy(pki, tmp_path_factory):
    return write_policy(pki, tmp_path_factory.mktemp('policy') / 'other.json', '12' * 32)


@pytest.fixture(scope='module')
def fake_tsm(pki, tmp_path_factory):
    """A report of configfs-tsm about an enclave whose MRENCLAVE is 1111..."""
    folder = str(tmp_path_factory.mktemp('tsm'))
    child = subprocess.Popen([FAKE_TSM, pki, folder, '11'], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b'ready\n'
    yield folder
    child.kill()
    child.wait()


SITE = r'''
import http.server, sys, signal
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(b'x' * 3000000 if self.path == '/large' else b'path ' + self.path.encode())
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers['Content-Length']))[::-1])
    def log_message(self, *args):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
'''


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture(scope='module')
def server(fake_tsm):
    """`cloche-attest serve` with a site as its workload; (process, address)."""
    port = free_port()
    serve = Process([ATTEST, 'serve', '--listen', '127.0.0.1:0', '--to', f'127.0.0.1:{port}', '--tsm', fake_tsm, '--connections', '20',
                     '--', '/usr/bin/python3', '-c', SITE, str(port)])
    yield serve, serve.wait_for('listening: ')
    assert serve.end() == 7, serve.text    # the workload's status


@pytest.fixture(scope='module')
def proxy(server, policy):
    process = Process([CLOCHE, 'attest', 'proxy', '--json', '--listen', '127.0.0.1:0', '--to', server[1], '--policy', policy])
    verdict = json.loads('{' + process.wait_for('{'))
    assert verdict['accepted'] and verdict['identity'] == 'the site' and verdict['mrenclave'] == '11' * 32, verdict
    yield 'http://' + json.loads('{"detail' + process.wait_for('{"detail'))['detail']
    assert process.end() == 0, process.text


def curl(*words):
    return finish(['curl', '-sS', '--max-time', '30', *words])


def test_curl_through_the_proxy(proxy):
    for _ in range(3):
        got = curl('-w', ' %{http_code}', proxy + '/a?b=c')
        assert got.out == b'path /a?b=c 200', got.err


def test_large_answers_and_bodies(proxy, tmp_path):
    got = curl(proxy + '/large')
    assert got.out == b'x' * 3000000, got.err
    body = os.urandom(700000)
    (tmp_path / 'body').write_bytes(body)
    assert curl('--data-binary', f'@{tmp_path}/body', proxy + '/echo').out == body[::-1]


def test_many_at_once(proxy):
    """More than the server takes at once: the rest waits its turn."""
    children = [subprocess.Popen(['curl', '-sS', '--max-time', '60', f'{proxy}/{number}'], stdout=subprocess.PIPE) for number in range(40)]
    for number, child in enumerate(children):
        assert child.communicate(timeout=90)[0] == b'path /%d' % number


def test_connect(server, policy):
    request = b'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    got = finish([CLOCHE, 'attest', 'connect', server[1], '--policy', policy], stdin=request)
    assert got.status == 0 and got.out.endswith(b'\r\n\r\npath /x'), got
    assert b'accepted: affirming sgx: the site' in got.err


def test_another_enclave_is_refused(server, other_policy):
    """Nothing of the input goes out: the server was refused before."""
    got = finish([CLOCHE, 'attest', 'connect', server[1], '--policy', other_policy], stdin=b'secret')
    assert got.status == 3 and got.out == b'' and b'POLICY_IDENTITY' in got.err, got
    got = finish([CLOCHE, 'attest', 'proxy', '--listen', '127.0.0.1:0', '--to', server[1], '--policy', other_policy])
    assert got.status == 3 and b'refused' in got.err and b'listening' not in got.err, got


def test_unknown_root_is_refused(server, tmp_path):
    (tmp_path / 'policy.json').write_text('{"version": 1}')
    got = finish([CLOCHE, 'attest', 'connect', server[1], '--policy', str(tmp_path / 'policy.json')])
    assert got.status == 3 and b'UNTRUSTED_ROOT' in got.err, got


def test_revoked_since_then(server, pki, policy, tmp_path):
    """The server staples what it had; a relying party with newer collateral sees more."""
    copy = str(tmp_path / 'pki')
    subprocess.run(['cp', '-r', pki, copy], check=True)
    good = finish([CLOCHE, 'attest', 'connect', server[1], '--policy', policy, '--collateral', copy + '/collateral'])
    assert good.status == 0, good.err
    assert finish([CLOCHE, 'emu', 'pki', 'revoke', 'pck', copy]).status == 0
    got = finish([CLOCHE, 'attest', 'connect', server[1], '--policy', policy, '--collateral', copy + '/collateral'])
    assert got.status == 3 and b'CERT_REVOKED' in got.err, got


def test_server_is_replaced_under_a_proxy(pki, policy, fake_tsm, tmp_path):
    """Accepted at the start, another one later: the client reads why, and the proxy goes on refusing."""
    port, front = free_port(), free_port()
    good = Process([ATTEST, 'serve', '--listen', f'127.0.0.1:{front}', '--to', f'127.0.0.1:{port}', '--tsm', fake_tsm])
    good.wait_for('listening: ')
    process = Process([CLOCHE, 'attest', 'proxy', '--listen', '127.0.0.1:0', '--to', f'127.0.0.1:{front}', '--policy', policy])
    base = 'http://' + process.wait_for('listening: ')
    assert good.end() == 0
    gone = curl('-w', '%{http_code}', base)
    assert gone.out.endswith(b'502') and b'cannot connect' in gone.out
    folder = tmp_path / 'tsm'
    folder.mkdir()
    quoter = subprocess.Popen([FAKE_TSM, pki, str(folder), '77'], stdout=subprocess.PIPE)
    assert quoter.stdout.readline() == b'ready\n'
    bad = Process([ATTEST, 'serve', '--listen', f'127.0.0.1:{front}', '--to', f'127.0.0.1:{port}', '--tsm', str(folder)])
    bad.wait_for('listening: ')
    got = curl('-w', '%{http_code}', base)
    assert got.out.endswith(b'502') and b'POLICY_IDENTITY' in got.out, got
    assert bad.end() == 0 and process.end() == 0
    assert b'refused' in process.text
    quoter.kill()
    quoter.wait()


def test_plain_tls_is_no_attested_tls(policy, tmp_path):
    """An ordinary server, though a certificate authority may have signed it, is refused."""
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost',
                    '-keyout', tmp_path / 'key.pem', '-out', tmp_path / 'cert.pem'], check=True, capture_output=True)
    port = free_port()
    child = subprocess.Popen(['openssl', 's_server', '-accept', f'127.0.0.1:{port}', '-key', tmp_path / 'key.pem', '-cert', tmp_path / 'cert.pem'],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.PIPE)
    while b'ACCEPT' not in child.stdout.readline():
        assert child.poll() is None
    got = finish([CLOCHE, 'attest', 'connect', f'127.0.0.1:{port}', '--policy', policy])
    child.kill()
    child.wait()
    assert got.status != 0 and b'carries no evidence' in got.err, got
    shown = finish([CLOCHE, 'attest', 'cert', '--policy', policy, str(tmp_path / 'cert.pem')])
    assert shown.status == 1 and b'carries no evidence' in shown.err, shown


def test_both_ends(fake_tsm, policy, other_policy):
    """A server with a policy wants evidence of its clients."""
    port = free_port()
    serve = Process([ATTEST, 'serve', '--listen', '127.0.0.1:0', '--to', f'127.0.0.1:{port}', '--tsm', fake_tsm, '--policy', policy,
                     '--', '/usr/bin/python3', '-c', SITE, str(port)])
    address = serve.wait_for('listening: ')
    command = [CLOCHE, 'attest', 'connect', address, '--policy', policy]
    request = b'GET /both HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    got = finish([*command, '--tsm', fake_tsm], stdin=request)
    assert got.status == 0 and got.out.endswith(b'path /both'), got
    got = finish(command, stdin=request)
    assert got.status == 1 and got.out == b'', got
    assert serve.end() == 7
    assert b'client 127.0.0.1:' in serve.text and b'accepted: affirming sgx: the site' in serve.text


def test_workload_on_a_unix_socket(fake_tsm, policy, tmp_path):
    site = r'''
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline()[::-1])
socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
'''
    path = str(tmp_path / 'site')
    serve = Process([ATTEST, 'serve', '--listen', '127.0.0.1:0', '--to', 'unix:' + path, '--tsm', fake_tsm, '--', '/usr/bin/python3', '-c', site, path])
    address = serve.wait_for('listening: ')
    got = finish([CLOCHE, 'attest', 'connect', address, '--policy', policy], stdin=b'abc\n')
    assert got.status == 0 and got.out == b'\ncba', got
    assert serve.end() == 128 + signal.SIGTERM
    got = finish([ATTEST, 'serve', '--listen', '127.0.0.1:0', '--to', 'unix:relative', '--tsm', fake_tsm])
    assert got.status == 1 and b'no path' in got.err, got


def test_certificate_is_shown(server, policy, tmp_path):
    shown = subprocess.run(['openssl', 's_client', '-connect', server[1]], input=b'', capture_output=True)
    pem = shown.stdout[shown.stdout.index(b'-----BEGIN'):shown.stdout.index(b'-----END CERTIFICATE-----') + 26]
    (tmp_path / 'cert.pem').write_bytes(pem)
    got = finish([CLOCHE, 'attest', 'cert', '--policy', policy, '--evidence', str(tmp_path / 'quote'), str(tmp_path / 'cert.pem')])
    assert got.status == 0 and b'the site' in got.out, got
    assert (tmp_path / 'quote').read_bytes()[:4] == b'\x03\0\x02\0'
    got = finish([CLOCHE, 'attest', 'cert', '--json', str(tmp_path / 'cert.pem')])
    assert got.status == 3 and json.loads(got.out), got
    # What is in the extension is the interoperable form: tag 60000 over a quote and the claims.
    parsed = subprocess.run(['openssl', 'asn1parse', '-in', tmp_path / 'cert.pem'], capture_output=True, text=True).stdout
    assert '2.23.133.5.4.9' in parsed and 'D9EA608259' in parsed


@pytest.mark.parametrize('words', [['proxy', '--listen', ':1', '--to', 'a:1'], ['connect', 'a:1'], ['serve', '--listen', ':1'], ['cert'], ['dance'], [],
                                   ['connect', 'a:1', '--policy'], ['serve', '--listen', ':1', '--to', 'a:1', '--lifetime', '5'],
                                   ['cert', '--listen', ':1', 'x'], ['serve', '--listen', ':1', '--to', 'a:1', 'x']])
def test_usage(words):
    got = finish([CLOCHE, 'attest', *words])
    assert got.status == 2 and got.err.startswith(b'cloche attest: '), got


def test_no_evidence_here():
    """Outside of any TEE a server says so, and does not start its workload."""
    got = finish([ATTEST, 'serve', '--listen', '127.0.0.1:0', '--to', '127.0.0.1:1', '--tsm', '/no/such/folder', '--', '/bin/echo', 'started'])
    assert got.status == 1 and b'this is no enclave' in got.err and got.out == b'', got


# ---- the same in the enclave: examples/hotel, the emulated quoting enclave, the emulated PKI ----

class Hotel:
    """The hotel behind attested TLS in the enclave, its platform, and what its publisher tells the guests."""

    def __init__(self, folder):
        self.pki, self.folder = str(folder / 'pki'), folder
        done = finish([os.path.join(ROOT, 'examples', 'hotel', 'build.sh'), 'attested'], timeout=300, env={**os.environ, 'BUILD': BUILD})
        assert done.status == 0, done.err
        self.image = done.out.decode().split()[-1]
        self.mrenclave = json.loads(finish([CLOCHE, 'inspect', '--json', self.image]).out)['mrenclave']
        sock = str(folder / 'socket')
        self.quoting = Server([CLOCHE, 'emu', 'quoting', '--pki', self.pki, '--socket', sock], b'protects nothing')
        self.policy = write_policy(self.pki, folder / 'policy.json', self.mrenclave)
        self.run = Process([CLOCHE, 'run', '--quote-socket', sock, '--collateral', self.pki + '/collateral',
                            '--env', 'CLOCHE_ATTEST_LISTEN=127.0.0.1:0', '--env', 'HOTEL_NAME=Grand', self.image])
        self.address = self.run.wait_for('listening: ')

    def end(self):
        status = self.run.end()
        assert self.quoting.stop() == 0, self.quoting.err
        assert status == 0, self.run.text


@pytest.fixture(scope='module')
def hotel(tmp_path_factory):
    hotel = Hotel(tmp_path_factory.mktemp('hotel'))
    yield hotel
    hotel.end()


def test_guests_of_the_hotel(hotel):
    """curl on the host books a room in the enclave, and each connection has seen whom it talks to."""
    process = Process([CLOCHE, 'attest', 'proxy', '--json', '--listen', '127.0.0.1:0', '--to', hotel.address, '--policy', hotel.policy])
    base = 'http://' + json.loads('{"detail' + process.wait_for('{"detail'))['detail']
    assert b'<h1>Grand</h1>' in curl(base).out
    made = curl('-H', 'Content-Type: application/json', base + '/api/reservations',
                '-d', '{"room": 3, "guest": "Grace", "from": "2031-03-01", "to": "2031-03-04"}')
    found = curl(base + '/api/reservations/' + json.loads(made.out)['id'])
    assert json.loads(found.out)['guest'] == 'Grace' and found.out == made.out
    assert process.end() == 0
    verdicts = [line for line in map(json.loads, process.text.decode().splitlines()) if line['event'] == 'verdict']
    assert len(verdicts) == 4 and all(line['accepted'] and line['mrenclave'] == hotel.mrenclave for line in verdicts), verdicts
    assert 'protects nothing' in verdicts[0]['root']


def test_another_image_is_refused(hotel, tmp_path):
    """One bit of the identity is another image."""
    other = f'{int(hotel.mrenclave, 16) ^ 1:064x}'
    path = write_policy(hotel.pki, tmp_path / 'policy.json', other)
    got = finish([CLOCHE, 'attest', 'proxy', '--listen', '127.0.0.1:0', '--to', hotel.address, '--policy', path])
    assert got.status == 3 and b'POLICY_IDENTITY' in got.err, got


def test_emulated_platform_is_not_trusted_unasked(hotel, tmp_path):
    (tmp_path / 'policy.json').write_text('{"version": 1}')
    got = finish([CLOCHE, 'attest', 'connect', hotel.address, '--policy', str(tmp_path / 'policy.json')], stdin=b'secret')
    assert got.status == 3 and b'UNTRUSTED_ROOT' in got.err, got


def test_platform_out_of_date_is_refused(hotel, tmp_path):
    copy = str(tmp_path / 'pki')
    subprocess.run(['cp', '-r', hotel.pki, copy], check=True)
    assert finish([CLOCHE, 'emu', 'pki', 'tcb', '--status', 'OutOfDate', copy]).status == 0
    got = finish([CLOCHE, 'attest', 'connect', hotel.address, '--policy', hotel.policy, '--collateral', copy + '/collateral'])
    assert got.status == 3 and b'POLICY_TCB_STATUS' in got.err, got


def test_without_a_quoting_service(hotel):
    """No evidence, no listening: the enclave ends and says why."""
    got = finish([CLOCHE, 'run', '--quote-socket', '/no/such/socket', '--env', 'CLOCHE_ATTEST_LISTEN=127.0.0.1:0', hotel.image])
    assert got.status == 1 and got.out == b'' and b'listening' not in got.err, got
