# SPDX-License-Identifier: Apache-2.0
"""`cloche collateral` against servers on this machine that serve the vectors' collateral, and fail in many ways."""
import base64
import json
import os
import shutil
import ssl
import subprocess
import threading
import warnings
from collections import namedtuple

import pytest
from conftest import CLOCHE, ROOT

from collateral_server import Answer, Service, intel_answer, not_found, serve_intel, status

VECTORS = os.path.join(ROOT, 'tests/vectors/public')
QUOTE = os.path.join(VECTORS, 'tdx/tdx-phala-v4/quote.bin')
FOLDER = os.path.join(VECTORS, 'collateral/phala-tdx-b0c06f000000')
FMSPC, AT = 'b0c06f000000', '2025-07-04T10:16:31Z'
TCB = f'/tdx/certification/v4/tcb?fmspc={FMSPC.upper()}&update=standard'
TCB_NAME = f'tdx-tcb-{FMSPC}'
OK, FAILED, USAGE, REFUSED = 0, 1, 2, 3

Done = namedtuple('Done', 'status out err')


class Client:
    """`cloche collateral` with a cache of its own, no waits worth the name, and the time of the vectors."""

    def __init__(self, folder, service):
        self.folder, self.service, self.at = folder, service, AT
        self.cache = os.path.join(folder, 'cache')

    def options(self):
        at = ['--at', self.at] if self.at else []
        return ['--cache', self.cache, *at, '--retry-wait', '1', '--rate-limit-wait', '2', '--pcs', self.service.url,
                '--kds', self.service.url, '--root-crl', self.service.url + '/IntelSGXRootCA.der', '--allow-http']

    def __call__(self, *words, options=None, env=None):
        command = [CLOCHE, 'collateral', *words, *(self.options() if options is None else options)]
        done = subprocess.run(command, capture_output=True, timeout=50, env={**os.environ, 'no_proxy': '*', **(env or {})})
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def get(self, name=TCB_NAME, *words, status=OK):
        """Fetches one item; its row."""
        done = self('fetch', name, '--json', *words)
        assert done.status == status, done
        return json.loads(done.out)['items'][0]

    def body(self, name=TCB_NAME):
        done = self('show', name, '--body')
        assert done.status == OK, done
        return done.out


@pytest.fixture
def service():
    service = Service()
    serve_intel(service, FOLDER, FMSPC, 'tdx', 'platform')
    yield service
    service.stop()


@pytest.fixture
def client(tmp_path, service):
    return Client(str(tmp_path), service)


def verify(evidence, folder, at, *words):
    done = subprocess.run([CLOCHE, 'verify', '--json', '--collateral', folder, '--at', at, *words, evidence], capture_output=True,
                          timeout=50)
    return done.returncode, next(iter(json.loads(done.stdout)['submods'].values()))


def file_of(folder, name):
    with open(os.path.join(folder, name), 'rb') as f:
        return f.read()


# ---- fetching ----

def test_what_evidence_needs_makes_it_verify_offline(client, service, tmp_path):
    folder = str(tmp_path / 'folder')
    done = client('fetch', '--for', QUOTE, '-o', folder)
    assert done.status == OK, done
    assert [line.split()[:2] for line in done.out.splitlines()[:4]] == [
        ['new', 'pck-crl-platform'], ['new', 'intel-root-crl'], ['new', TCB_NAME], ['new', 'tdx-qe-identity']]
    assert sorted(service.paths()) == sorted([
        TCB, '/tdx/certification/v4/qe/identity?update=standard',
        '/sgx/certification/v4/pckcrl?ca=platform&encoding=der', '/IntelSGXRootCA.der'])
    for name in ('tcb_info.json', 'tcb_info_issuer_chain.pem', 'qe_identity.json', 'pck_crl.der', 'root_ca_crl.der'):
        assert file_of(folder, name).rstrip(b'\0') == file_of(FOLDER, name).rstrip(b'\0')
    code, result = verify(QUOTE, folder, AT)
    assert (code, result['ear.status']) == (OK, 'affirming')
    # Again: what is held is not due, and needs no server.
    service.stop()
    again = client('fetch', '--for', QUOTE, '-o', folder)
    assert again.status == OK and again.out.count('held') == 4, again


def test_a_set_for_sgx_and_a_folder_used_again(client, service, tmp_path):
    quote, other = os.path.join(VECTORS, 'sgx/sgx-phala/quote.bin'), os.path.join(VECTORS, 'collateral/phala-sgx-00a067110000')
    serve_intel(service, other, '00a067110000', 'sgx', 'platform')
    serve_intel(service, other, '00a067110000', 'sgx', 'processor')
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'vek.der').write_bytes(b'of another fetch')
    (folder / 'notes.txt').write_bytes(b'mine')
    client.at = '2025-07-04T10:28:44Z'
    done = client('fetch', '--for', quote, '-o', str(folder))
    assert done.status == OK, done
    assert not (folder / 'vek.der').exists() and (folder / 'notes.txt').read_bytes() == b'mine'
    _, result = verify(quote, str(folder), client.at)
    failed = {check['check'] for check in result['cloche.checks'] if check['result'] == 'failed'}
    assert failed == {'POLICY_TCB_STATUS'}, failed  # the platform's own fault: ConfigurationAndSWHardeningNeeded


def test_early_updates_are_items_of_their_own(client, service):
    service.serve(TCB.replace('standard', 'early'), intel_answer(FOLDER, 'tcb_info.json'))
    assert client.get(TCB_NAME + '-early')['outcome'] == 'new'
    assert client('show', TCB_NAME).status == FAILED
    done = client('fetch', '--for', QUOTE, '--update', 'early')
    assert '/tdx/certification/v4/qe/identity?update=early' in service.paths(), done


def test_a_pccs_serves_lists_in_hexadecimal(client, service):
    options = ['--cache', client.cache, '--at', AT, '--pccs', service.url + '/', '--allow-http']
    done = client('fetch', '--for', QUOTE, options=options)
    assert done.status == OK, done
    assert '/sgx/certification/v4/rootcacrl' in service.paths()


def test_what_has_not_changed_is_not_sent_again(client, service):
    assert client.get()['outcome'] == 'new'
    client.at = '2025-07-04T12:00:00Z'  # past max-age
    row = client.get()
    assert row['outcome'] == 'unchanged' and row['confirmed'] == client.at and row['due'] == '2025-07-04T13:00:00Z'
    assert service.seen[-1][1]['If-None-Match'] == '"tcb"'
    assert client.get()['outcome'] == 'held' and len(service.seen) == 2


def test_a_date_serves_where_there_is_no_tag(client, service):
    date = 'Thu, 19 Jun 2025 10:16:03 GMT'
    service.serve(TCB, intel_answer(FOLDER, 'tcb_info.json', Last_Modified=date))
    client.get()
    service.plan(TCB, status(304))
    done = client('refresh', TCB_NAME, '--json')
    assert json.loads(done.out)['items'][0]['outcome'] == 'unchanged'
    assert service.seen[-1][1]['If-Modified-Since'] == date and 'If-None-Match' not in service.seen[-1][1]


# ---- servers that fail ----

def test_failing_servers_are_asked_again(client, service):
    service.plan(TCB, status(503), status(500, b'x' * 1000), status(429), status(429, Retry_After='0'))
    assert client.get()['outcome'] == 'new'
    assert len(service.seen) == 5


def test_attempts_end(client, service):
    service.plan(TCB, *[status(502) for _ in range(9)])
    row = client.get(TCB_NAME, '--attempts', '3', status=FAILED)
    assert 'status 502 (3 attempts)' in row['problem'] and service.url + TCB in row['problem']
    assert len(service.seen) == 3


@pytest.mark.parametrize('code, text', [(404, 'does not have it'), (403, 'refuses access'), (400, 'status 400'), (304, 'status 304')])
def test_some_answers_are_final(client, service, code, text):
    service.plan(TCB, status(code), status(code))
    assert text in client.get(status=FAILED)['problem']
    assert len(service.seen) == 1


@pytest.mark.parametrize('value', ['3600', 'Fri, 04 Jul 2025 12:00:00 GMT'])
def test_a_wait_past_the_deadline_is_not_waited(client, service, value):
    service.plan(TCB, status(429, Retry_After=value))
    row = client.get(status=FAILED)
    assert 'too many requests' in row['problem'] and '--deadline' in row['problem']
    assert len(service.seen) == 1


def test_a_slow_server_meets_the_deadline(client, service):
    slow = intel_answer(FOLDER, 'tcb_info.json')
    slow.delay = threading.Event()
    service.plan(TCB, slow)
    row = client.get(TCB_NAME, '--deadline', '1', status=FAILED)
    slow.delay.set()
    assert '--deadline' in row['problem'], row


def test_a_cut_answer_is_asked_for_again(client, service):
    cut = intel_answer(FOLDER, 'tcb_info.json')
    cut.body = cut.body[:-100]
    service.plan(TCB, cut)
    assert client.get()['outcome'] == 'new'
    assert len(service.seen) == 2


def test_no_server_at_all(client, service):
    service.stop()
    row = client.get(TCB_NAME, '--attempts', '2', status=FAILED)
    assert service.url in row['problem'] and '2 attempts' in row['problem']


# ---- answers that lie ----

def short(answer):
    answer.body = answer.body[:-20]
    answer.length = len(answer.body)
    return answer


def edited(answer):
    assert b'"UpToDate"' in answer.body
    answer.body = answer.body.replace(b'"OutOfDate"', b'"UpToDate" ')
    answer.length = len(answer.body)
    return answer


def chained(answer, name):
    answer.headers['TCB-Info-Issuer-Chain'] = intel_answer(FOLDER, name).headers['SGX-PCK-CRL-Issuer-Chain']
    return answer


def chain_of(answer, value):
    answer.headers['TCB-Info-Issuer-Chain'] = value
    return answer


def large(answer):
    answer.body += b' ' * (1 << 20)
    answer.length = len(answer.body)
    return answer


def page(answer):
    return Answer(b'<html>log in</html>', 'text/html; charset=utf-8')


LIES = {
    'short': (short, 'not TCB info'),
    'edited': (edited, 'signature'),
    'chain of the PCK CA': (lambda a: chained(a, 'pck_crl.der'), 'TCB signing certificate'),
    'no chain': (lambda a: chain_of(a, ''), 'without its issuer chain'),
    'chain of text': (lambda a: chain_of(a, 'none%20at%20all'), 'cannot be read'),
    'chain not encoded': (lambda a: chain_of(a, '%GG'), 'percent-encoded'),
    'another platform': (lambda a: intel_answer(os.path.join(VECTORS, 'collateral/phala-tdx-90c06f000000'), 'tcb_info.json'),
                         'another platform, FMSPC 90c06f000000'),
    'for SGX': (lambda a: intel_answer(os.path.join(VECTORS, 'collateral/phala-sgx-00a067110000'), 'tcb_info.json'), 'for SGX'),
    'another document': (lambda a: intel_answer(FOLDER, 'qe_identity.json'), 'not TCB info'),
    'empty': (lambda a: Answer(b''), 'empty'),
    'page': (page, 'web page'),
    'large': (large, 'longer than 1048576 bytes'),
    'headers': (lambda a: chain_of(a, 'x' * 60000), 'issuer chain'),
}


@pytest.mark.parametrize('lie', LIES)
def test_what_does_not_verify_is_refused_and_what_is_held_stays(client, service, lie):
    make, text = LIES[lie]
    served = REFUSED if lie != 'large' else FAILED
    service.plan(TCB, make(intel_answer(FOLDER, 'tcb_info.json')))
    assert text in client.get(status=served)['problem']
    assert len(service.seen) == 1, 'asked again for what does not verify'
    assert json.loads(client('list', '--json').out) == []
    # With a good one in the cache, it is that which stays.
    client.get()
    before = client.body()
    service.plan(TCB, make(intel_answer(FOLDER, 'tcb_info.json')))
    done = client('refresh', '--json')
    assert done.status == served
    row = json.loads(done.out)['items'][0]
    assert row['outcome'] == 'kept' and text in row['problem']
    assert client.body() == before == file_of(FOLDER, 'tcb_info.json').decode()
    # For a fetch it is good enough, with a warning.
    service.plan(TCB, make(intel_answer(FOLDER, 'tcb_info.json')))
    client.at = '2025-07-04T15:00:00Z'
    done = client('fetch', TCB_NAME)
    assert done.status == OK and text in done.err and 'still valid' in done.err


def test_lists_of_the_wrong_ca(client, service):
    crl = '/sgx/certification/v4/pckcrl?ca=processor&encoding=der'
    service.serve(crl, intel_answer(FOLDER, 'pck_crl.der'))
    assert 'other PCK CA' in client.get('pck-crl-processor', status=REFUSED)['problem']
    lie = intel_answer(FOLDER, 'pck_crl.der')
    service.serve('/IntelSGXRootCA.der', lie)
    assert 'not signed by the root' in client.get('intel-root-crl', status=REFUSED)['problem']
    assert client.get('pck-crl-platform')['outcome'] == 'held'  # it was fetched for its chain


def test_identities_of_the_wrong_enclave(client, service):
    service.serve('/sgx/certification/v4/qe/identity?update=standard', intel_answer(FOLDER, 'qe_identity.json'))
    assert '"TD_QE", not of "QE"' in client.get('sgx-qe-identity', status=REFUSED)['problem']


def test_dates(client, service):
    client.at = '2025-01-01T00:00:00Z'
    assert 'is the clock right' in client.get(status=REFUSED)['problem']
    client.at = '2027-01-01T00:00:00Z'
    assert 'it expired at' in client.get(status=REFUSED)['problem']


def test_an_expired_entry_is_asked_for_without_conditions(client, service):
    client.get()
    client.at = '2027-01-01T00:00:00Z'
    assert 'it expired at' in client.get(status=REFUSED)['problem']
    assert 'If-None-Match' not in service.seen[-1][1]
    service.plan(TCB, status(304))
    assert 'status 304' in client.get(status=FAILED)['problem']
    offline = client('fetch', TCB_NAME, '--offline')
    assert offline.status == REFUSED and 'it expired at' in offline.err


class Maker:
    """An emulated Intel, whose collateral the service serves."""

    def __init__(self, folder, service):
        self.folder, self.service, self.policy = folder, service, os.path.join(folder, 'policy.json')
        self('init', '--fmspc', '00606a000000')

    def __call__(self, action, *words):
        subprocess.run([CLOCHE, 'emu', 'pki', action, *words, self.folder], check=True, capture_output=True, timeout=50)
        serve_intel(self.service, os.path.join(self.folder, 'collateral'), '00606a000000', 'sgx', 'platform')
        for answer in self.service.answers.values():
            answer.headers.pop('ETag', None)

    def options(self):
        return ['--policy', self.policy]


@pytest.fixture
def maker(tmp_path, service, client):
    client.at = None
    return Maker(str(tmp_path / 'maker'), service)


def test_another_root_is_trusted_only_by_policy(client, maker):
    name = 'sgx-tcb-00606a000000'
    row = client.get(name, status=REFUSED)
    assert 'root that is not trusted' in row['problem'] and '--policy' in row['problem']
    assert client.get(name, *maker.options())['outcome'] == 'new'
    # Nor from the cache.
    assert client('fetch', name, '--offline').status == REFUSED
    assert client('fetch', name, '--offline', *maker.options()).status == OK


def test_older_collateral_is_a_replay(client, service, maker):
    """Both are signed and valid; only one is the newest that was seen."""
    name, path = 'sgx-tcb-00606a000000', '/sgx/certification/v4/tcb?fmspc=00606A000000&update=standard'
    old = intel_answer(os.path.join(maker.folder, 'collateral'), 'tcb_info.json')
    client.get(name, *maker.options())
    maker('tcb', '--status', 'OutOfDate')
    done = client('refresh', name, '--json', *maker.options())
    assert json.loads(done.out)['items'][0]['outcome'] == 'new', done
    new = client('show', name, '--body', *maker.options()).out
    assert new != old.body.decode()
    service.serve(path, old)
    done = client('refresh', name, *maker.options())
    assert done.status == REFUSED and 'older than what is held' in done.err
    bundle = os.path.join(client.folder, 'bundle')
    away = Client(os.path.join(client.folder, 'away'), service)
    away.at = None
    assert away.get(name, *maker.options())['outcome'] == 'new'
    assert away('export', '-o', bundle, *maker.options()).status == OK
    assert json.loads(client('import', bundle, '--json', *maker.options()).out) == {'new': 0, 'held': 1, 'expired': 0}
    assert client('show', name, '--body', *maker.options()).out == new


def test_a_slow_answer_does_not_replace_a_newer_one(client, service, maker):
    """Two processes: one waits for an old answer, while the other gets the new one."""
    name, path = 'sgx-tcb-00606a000000', '/sgx/certification/v4/tcb?fmspc=00606A000000&update=standard'
    old = intel_answer(os.path.join(maker.folder, 'collateral'), 'tcb_info.json')
    old.delay, old.arrived = threading.Event(), threading.Event()
    service.plan(path, old)
    slow = subprocess.Popen([CLOCHE, 'collateral', 'fetch', name, *client.options(), *maker.options()], stderr=subprocess.PIPE,
                            env={**os.environ, 'no_proxy': '*'})
    assert old.arrived.wait(30)
    maker('tcb', '--status', 'OutOfDate')
    client.get(name, *maker.options())
    new = client('show', name, '--body', *maker.options()).out
    old.delay.set()
    err = slow.communicate(timeout=50)[1].decode()
    assert slow.returncode == REFUSED and 'another process' in err
    assert client('show', name, '--body', *maker.options()).out == new != old.body.decode()


def test_expired_collateral_is_refused_until_it_is_renewed(client, maker):
    maker('expire', 'all')
    done = client('fetch', 'sgx-tcb-00606a000000', 'sgx-qe-identity', 'pck-crl-platform', 'intel-root-crl', *maker.options())
    assert done.status == REFUSED and done.err.count('it expired at') == 4
    maker('renew', 'all')
    done = client('fetch', 'sgx-tcb-00606a000000', 'sgx-qe-identity', 'pck-crl-platform', 'intel-root-crl', *maker.options())
    assert done.status == OK and done.out.count('new') == 4


def test_verify_fetches_for_itself(client, service, tmp_path):
    def run(*words):
        command = [CLOCHE, 'verify', *words, '--json', *client.options(), QUOTE]
        done = subprocess.run(command, capture_output=True, timeout=50, env={**os.environ, 'no_proxy': '*'})
        return done.returncode, done.stderr.decode()

    assert run()[0] == REFUSED  # no collateral
    code, err = run('--cached')
    assert code == FAILED and 'cloche collateral fetch' in err
    assert run('--fetch') == (OK, '') and len(service.seen) == 4
    assert run('--cached') == (OK, '') and len(service.seen) == 4
    # A folder goes before the cache; what it does not have is fetched.
    folder = tmp_path / 'partial'
    folder.mkdir()
    for name in ('tcb_info.json', 'tcb_info_issuer_chain.pem'):
        shutil.copy(os.path.join(FOLDER, name), folder)
    client('prune', '--all')
    assert run('--fetch', '--collateral', str(folder))[0] == OK
    assert not any('tcb?' in path for path in service.paths()[4:])
    assert run('--fetch', '--cached')[0] == USAGE


# ---- who is asked ----

def test_redirects(client, service):
    other = Service()
    try:
        other.serve(TCB, service.answers[next(key for key in service.answers if 'tcb' in key[0])])
        service.plan(TCB, status(302, Location=other.url + TCB))
        assert 'another host' in client.get(status=FAILED)['problem'] and not other.seen
        service.plan(TCB, status(302, Location='/moved'), status(500))
        service.serve('/moved', intel_answer(FOLDER, 'tcb_info.json'))
        assert client.get()['source'] == service.url + '/moved'
        service.plan(TCB, status(307, Location=other.url + TCB))
        done = client('refresh', TCB_NAME, '--json', '--allow-redirects')
        assert json.loads(done.out)['items'][0]['source'] == other.url + TCB, done
        service.plan(TCB, *[status(301, Location=TCB) for _ in range(9)])
        assert 'more than 3 times' in client('refresh', TCB_NAME).err
        service.plan(TCB, status(302, Location='file:///etc/passwd'))
        assert 'another host' in client('refresh', TCB_NAME, '--allow-redirects').err
    finally:
        other.stop()


def test_urls_without_tls_and_with_passwords(client):
    for url, text in (('http://localhost:1', 'not https'), ('https://me:secret@localhost', 'password'), ('https://a?b=c', 'leave out'),
                      ('ftp://localhost', 'not https'), ('::', 'no URL')):
        done = client('fetch', TCB_NAME, options=['--cache', client.cache, '--pcs', url])
        assert done.status == FAILED and text in done.err and 'secret' not in done.err, done


@pytest.fixture(scope='module')
def certificates(tmp_path_factory):
    """A CA, and a server's certificate by it, with its key in one file."""
    folder = tmp_path_factory.mktemp('ca')

    def openssl(*words):
        subprocess.run(['openssl', *words], cwd=folder, check=True, capture_output=True, timeout=60)

    key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', *key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test CA', '-days', '30')
    openssl('req', *key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost')
    (folder / 'names').write_text('subjectAltName=DNS:localhost')
    openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names', '-out',
            'server.pem', '-days', '30')
    both = (folder / 'server.pem').read_text() + (folder / 'server.key').read_text()
    (folder / 'both.pem').write_text(both)
    return folder


def test_tls_with_a_ca_of_ones_own(client, certificates):
    secure = Service(str(certificates / 'both.pem'))
    try:
        secure.serve(TCB, intel_answer(FOLDER, 'tcb_info.json'))
        options = ['--cache', client.cache, '--at', AT, '--pcs', secure.url]
        done = client('fetch', TCB_NAME, options=options)
        assert done.status == FAILED and 'TLS' in done.err and '--ca FILE' in done.err
        assert not secure.seen
        done = client('fetch', TCB_NAME, options=options + ['--ca', str(certificates / 'ca.pem')])
        assert done.status == OK, done
    finally:
        secure.stop()


def test_old_tls_is_refused(client, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers('ALL:@SECLEVEL=0')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    old = Service(str(certificates / 'both.pem'), context)
    try:
        old.serve(TCB, intel_answer(FOLDER, 'tcb_info.json'))
        done = client('fetch', TCB_NAME, options=['--cache', client.cache, '--at', AT, '--pcs', old.url, '--ca',
                                                  str(certificates / 'ca.pem')])
        assert done.status == FAILED and 'TLS' in done.err and not old.seen, done
    finally:
        old.stop()


@pytest.mark.parametrize('by', ['option', 'environment'])
def test_proxies(client, service, by):
    """To a proxy, plain HTTP is asked for with the whole URL."""
    proxy = Service()
    try:
        proxy.serve('http://pcs.example' + TCB, intel_answer(FOLDER, 'tcb_info.json'))
        options = ['--cache', client.cache, '--at', AT, '--pcs', 'http://pcs.example', '--allow-http']
        if by == 'option':
            done = client('fetch', TCB_NAME, options=options + ['--proxy', proxy.url], env={'no_proxy': ''})
        else:
            done = client('fetch', TCB_NAME, options=options, env={'no_proxy': '', 'http_proxy': proxy.url})
        assert done.status == OK, done
        assert proxy.paths() == ['http://pcs.example' + TCB]
    finally:
        proxy.stop()


# ---- AMD ----

SNP = [('milan', 'snp-milan-v3-microsoft', '2026-03-07T01:04:33Z'), ('genoa', 'snp-genoa-v3-microsoft', '2026-03-07T02:05:07Z'),
       ('turin', 'snp-turin-v5-microsoft', '2026-03-07T01:04:33Z')]


def amd_chain(product, kind='ask'):
    roots = os.path.join(VECTORS, 'roots')
    return file_of(roots, f'amd_{product}_{kind}.pem') + b'\n' + file_of(roots, f'amd_{product}_ark.pem')


def vcek_path(report, product):
    """As AMD 57230 writes it, from the report's bytes."""
    tcb, chip = report[0x180:0x188], report[0x1a0:0x1e0]
    if product == 'turin':
        query = f'fmcSPL={tcb[0]:02d}&blSPL={tcb[1]:02d}&teeSPL={tcb[2]:02d}&snpSPL={tcb[3]:02d}&ucodeSPL={tcb[7]:02d}'
        chip = chip[:8]
    else:
        query = f'blSPL={tcb[0]:02d}&teeSPL={tcb[1]:02d}&snpSPL={tcb[6]:02d}&ucodeSPL={tcb[7]:02d}'
    return f'/vcek/v1/{product.capitalize()}/{chip.hex()}?{query}'


@pytest.mark.parametrize('product, vector, at', SNP)
def test_the_key_server_has_each_products_certificates(client, service, product, vector, at):
    """The revocation list of AMD is not among the vectors: it is missing here, and that is told."""
    client.at, folder = at, os.path.join(VECTORS, 'snp', vector)
    report = file_of(folder, 'report.bin')
    service.serve(f'/vcek/v1/{product.capitalize()}/cert_chain', Answer(amd_chain(product), 'application/x-pem-file'))
    service.serve(vcek_path(report, product), Answer(file_of(folder, 'vcek.der'), 'application/pkix-cert'))
    done = client('fetch', '--for', os.path.join(folder, 'report.bin'), '--json')
    rows = json.loads(done.out)['items']
    assert [row['outcome'] for row in rows] == ['new', 'failed', 'new'], done
    assert f'/vcek/v1/{product.capitalize()}/crl: status 404' in rows[1]['problem'] and done.status == FAILED
    assert vcek_path(report, product) in service.paths()
    # Another chip's, or for another TCB: refused.
    name = rows[2]['name']
    other = name[:-1] + ('0' if name[-1] != '0' else '1')
    tcb = bytearray(report)
    tcb[0x187] = int(other[-2:], 16)
    service.serve(vcek_path(bytes(tcb), product), Answer(file_of(folder, 'vcek.der')))
    assert 'another TCB version' in client.get(other, status=REFUSED)['problem']


def test_a_chip_that_the_key_server_does_not_know(client, service):
    folder = os.path.join(VECTORS, 'snp/snp-milan-v3-microsoft')
    client.at = SNP[0][2]
    service.serve('/vcek/v1/Milan/cert_chain', Answer(amd_chain('milan')))
    done = client('fetch', '--for', os.path.join(folder, 'report.bin'))
    assert 'does not know this chip' in done.err and done.status == FAILED


def test_the_chain_of_another_product_or_kind(client, service):
    client.at = SNP[0][2]
    for body in (amd_chain('genoa'), amd_chain('milan', 'asvk'), file_of(VECTORS, 'roots/amd_milan_ark.pem')):
        service.serve('/vcek/v1/Milan/cert_chain', Answer(body))
        assert 'not SEV-Milan and ARK-Milan' in client.get('amd-milan-vcek-chain', status=REFUSED)['problem']
    service.serve('/vlek/v1/Milan/cert_chain', Answer(amd_chain('milan', 'asvk')))
    assert client.get('amd-milan-vlek-chain')['outcome'] == 'new'


def test_a_rate_limit_without_a_wait_is_waited_out(client, service):
    service.serve('/vcek/v1/Milan/cert_chain', Answer(amd_chain('milan')))
    service.plan('/vcek/v1/Milan/cert_chain', status(429), status(429))
    client.at = SNP[0][2]
    done = client('fetch', 'amd-milan-vcek-chain', options=client.options() + ['--rate-limit-wait', '40000', '--deadline', '30'])
    assert done.status == FAILED and 'limits their rate' in done.err and len(service.seen) == 1
    assert client.get('amd-milan-vcek-chain')['outcome'] == 'new'


# ---- the cache ----

def test_list_show_and_prune(client, service):
    client('fetch', '--for', QUOTE)
    listed = client('list')
    lines = listed.out.splitlines()
    assert lines[0].split() == ['NAME', 'STATE', 'EXPIRES', 'CONFIRMED', 'BYTES'] and len(lines) == 5
    assert next(line for line in lines if TCB_NAME in line).split()[1] == 'fresh'
    shown = client('show', TCB_NAME)
    assert f'source     {service.url}{TCB}' in shown.out and 'etag       "tcb"' in shown.out
    rows = json.loads(client('list', '--json').out)
    assert {row['state'] for row in rows} == {'fresh'} and {row['name'] for row in rows} == {
        TCB_NAME, 'tdx-qe-identity', 'pck-crl-platform', 'intel-root-crl'}
    client.at = '2027-01-01T00:00:00Z'
    with open(os.path.join(client.cache, 'tdx-qe-identity.json'), 'r+b') as f:
        f.write(b'x')
    states = {row['name']: row['state'] for row in json.loads(client('list', '--json').out)}
    assert states['tdx-qe-identity'] == 'damaged' and states[TCB_NAME] == 'expired'
    assert client('prune').status == OK
    left = {row['name']: row['state'] for row in json.loads(client('list', '--json').out)}
    assert not {'expired', 'damaged'} & set(left.values())
    assert client('prune', '--all').status == OK and json.loads(client('list', '--json').out) == []


def test_a_changed_cache_is_not_believed(client, service):
    """Each byte of an entry's body counts; so does the name that it stands under."""
    client.get()
    path = os.path.join(client.cache, TCB_NAME + '.json')
    entry = json.load(open(path, encoding='ascii'))
    body = base64.b64decode(entry['body']).replace(b'"OutOfDate"', b'"UpToDate" ')
    with open(path, 'w', encoding='ascii') as f:
        json.dump({**entry, 'body': base64.b64encode(body).decode()}, f)
    offline = client('fetch', TCB_NAME, '--offline')
    assert offline.status == REFUSED and 'signature' in offline.err
    assert client.get()['outcome'] == 'new'  # fetched anew, and whole again
    assert 'If-None-Match' not in service.seen[-1][1]
    shutil.copy(path, os.path.join(client.cache, 'sgx-tcb-00906ed50000.json'))
    offline = client('fetch', 'sgx-tcb-00906ed50000', '--offline')
    assert offline.status == REFUSED and 'another item' in offline.err


def test_many_at_once(client, service):
    """Six processes fill one cache; each entry is whole at any time."""
    children = [subprocess.Popen([CLOCHE, 'collateral', 'fetch', '--for', QUOTE, '--json', *client.options()], stdout=subprocess.PIPE,
                                 env={**os.environ, 'no_proxy': '*'}) for _ in range(6)]
    for child in children:
        out, _ = child.communicate(timeout=50)
        assert child.returncode == OK and len(json.loads(out)['items']) == 4
    assert sorted(os.listdir(client.cache)) == sorted(
        ['lock', 'intel-root-crl.json', 'pck-crl-platform.json', TCB_NAME + '.json', 'tdx-qe-identity.json'])


def test_a_cache_that_may_only_be_read(client, service):
    client.get()
    os.chmod(client.cache, 0o555)
    assert client.get()['outcome'] == 'held'
    os.chmod(client.cache, 0o755)


# ---- bundles ----

def test_a_bundle_carries_it_all(client, service, tmp_path):
    client('fetch', '--for', QUOTE)
    bundle, folder = str(tmp_path / 'bundle.json'), str(tmp_path / 'folder')
    done = client('export', '-o', bundle)
    assert done.status == OK and '4 items' in done.out
    service.stop()
    away = Client(str(tmp_path / 'away'), service)
    assert away('import', bundle).out == '4 imported, 0 held already, 0 expired\n'
    assert away('import', bundle).out == '0 imported, 4 held already, 0 expired\n'
    assert away('fetch', '--for', QUOTE, '--offline', '-o', folder).status == OK
    assert verify(QUOTE, folder, AT)[0] == OK
    away.at = '2027-01-01T00:00:00Z'
    late = json.loads(away('import', bundle, '--json').out)
    assert late['new'] == 0 and late['expired'] >= 3


def lose(bundle):
    del bundle['entries'][1]['chain']


def swap(bundle):
    bundle['entries'][0]['body'], bundle['entries'][1]['body'] = bundle['entries'][1]['body'], bundle['entries'][0]['body']


def rename(bundle):
    bundle['entries'][3]['name'] = '../../etc/passwd'


def repeat(bundle):
    bundle['entries'] *= 600


def version(bundle):
    bundle['version'] = 2


def more(bundle):
    bundle['entries'][0]['extra'] = 1


@pytest.mark.parametrize('change', [lose, swap, rename, repeat, version, more])
def test_a_hostile_bundle_changes_nothing(client, service, tmp_path, change):
    client('fetch', '--for', QUOTE)
    path = str(tmp_path / 'bundle.json')
    client('export', '-o', path)
    bundle = json.load(open(path, encoding='ascii'))
    change(bundle)
    with open(path, 'w', encoding='ascii') as f:
        json.dump(bundle, f)
    away = Client(str(tmp_path / 'away'), service)
    done = away('import', path)
    assert done.status != OK and 'nothing was imported' in done.err
    assert json.loads(away('list', '--json').out) == []


def test_usage(client):
    for words in (['fetch', '--for'], ['fetch', 'no-such-item'], ['list', 'more'], ['show', '--update', 'soon', TCB_NAME],
                  ['fetch', '--attempts', '0', TCB_NAME], ['fetch', '--nothing'], ['import', 'a', 'b'], ['burn']):
        assert client(*words).status == USAGE, words
    assert client('fetch').status == FAILED and client('show').status == FAILED
    not_evidence = client('fetch', '--for', os.path.join(FOLDER, 'tcb_info.json'))
    assert not_evidence.status == FAILED and 'no quote or report' in not_evidence.err
    no_pck = client('fetch', '--for', os.path.join(VECTORS, 'sgx/sgx-fortanix-ppid-encrypted/quote.bin'))
    assert no_pck.status == FAILED and 'certification data type 3' in no_pck.err
