# SPDX-License-Identifier: Apache-2.0
"""Quotes from end to end: configfs-tsm in an enclave, the emulated quoting enclave, the emulated PKI, the production verifier."""
import base64
import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import struct

import pytest
from conftest import BUILD, CLOCHE, Server, finish

ENTRY = '/sys/kernel/config/tsm/report/a'
CONFIG = '''
entrypoint: [/files]
args: {from_host: true}
isv_prod_id: 9
isv_svn: 4
limits: {memory: 96M, threads: 16}
'''
NONCE = bytes(range(64))
BODY = 48  # of the report in a quote


def cloche(*words, status=0, env=None):
    got = finish([CLOCHE, *[str(w) for w in words]], env=env)
    assert got.status == status, (got.out + got.err).decode()
    return got


class World:
    """A PKI, its quoting service, and an enclave that can be asked for quotes."""

    def __init__(self, folder):
        self.folder, self.pki, self.socket = folder, os.path.join(folder, 'pki'), os.path.join(folder, 'socket')
        self.policy, self.collateral = os.path.join(self.pki, 'policy.json'), os.path.join(self.pki, 'collateral')
        root, config = os.path.join(folder, 'root'), os.path.join(folder, 'cloche.yaml')
        self.image = os.path.join(folder, 'image')
        os.makedirs(root)
        shutil.copy(os.path.join(BUILD, 'tests', 'e2e', 'files'), root)
        with open(config, 'w') as file:
            file.write(CONFIG)
        built = cloche('build', '--json', '-f', config, root, '-o', self.image,
                       env={**os.environ, 'HOME': folder, 'XDG_CONFIG_HOME': folder})
        self.identity = json.loads(built.out)
        self.start()

    def start(self):
        self.server = Server([CLOCHE, 'emu', 'quoting', '--pki', self.pki, '--socket', self.socket], b'protects nothing')

    def ask(self, *requests):
        got = cloche('run', '--quote-socket', self.socket, self.image, *[w for r in requests for w in r.split(' ')])
        lines = got.out.decode().splitlines()
        assert len(lines) == len(requests), lines
        return lines

    def quote(self, nonce=NONCE):
        """Quote and collateral, as a program in the enclave reads them."""
        lines = self.ask(f'mkdir {ENTRY}', f'write {ENTRY}/inblob {nonce.hex()}', f'read {ENTRY}/outblob', f'read {ENTRY}/auxblob')
        assert not any(line.startswith('error') for line in lines), lines
        return bytes.fromhex(lines[2]), bytes.fromhex(lines[3])

    def verify(self, quote, *options, policy=None, nonce=NONCE):
        """(exit status, result as EAR)."""
        path = os.path.join(self.folder, 'quote')
        with open(path, 'wb') as file:
            file.write(quote)
        got = finish([CLOCHE, 'verify', '--json', '--collateral', self.collateral, '--policy', policy or self.policy,
                      '--report-data', nonce.hex(), *options, path])
        return got.status, got.out.decode() + got.err.decode()

    def policy_with(self, **members):
        with open(self.policy) as file:
            policy = json.load(file)
        path = os.path.join(self.folder, 'policy.json')
        with open(path, 'w') as file:
            json.dump({**policy, **members}, file)
        return path

    def emu(self, *words):
        cloche('emu', 'pki', *words, self.pki)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = World(str(tmp_path_factory.mktemp('quoting')))
    yield world
    assert world.server.stop() == 0, world.server.err
    assert not os.path.exists(world.socket)


def identity(world, **changed):
    return [{'name': 'this one', 'sgx': {'mrenclave': world.identity['mrenclave'], 'mrsigner': world.identity['mrsigner'],
                                         'isv_prod_id': 9, 'isv_svn_min': 4, **changed}}]


def test_a_quote_is_affirmed(world):
    quote, _ = world.quote()
    report = quote[BODY:BODY + 384]
    assert report[64:96].hex() == world.identity['mrenclave']
    assert report[320:384] == NONCE
    status, text = world.verify(quote, policy=world.policy_with(identities=identity(world), freshness={'nonce': True}))
    assert status == 0, text


def test_another_identity_or_nonce_is_refused(world):
    quote, _ = world.quote()
    for changed in {'mrenclave': '11' * 32}, {'isv_svn_min': 5}, {'isv_prod_id': 8}:
        status, text = world.verify(quote, policy=world.policy_with(identities=identity(world, **changed)))
        assert status == 3 and 'POLICY_IDENTITY' in text, text
    status, text = world.verify(quote, nonce=bytes(64))
    assert status == 3 and 'POLICY_REPORT_DATA' in text


def test_the_root_is_unknown_without_a_policy(world):
    quote, _ = world.quote()
    path = os.path.join(world.folder, 'makers.json')
    with open(path, 'w') as file:
        json.dump({'version': 1}, file)
    status, text = world.verify(quote, policy=path)
    assert status == 3 and 'UNTRUSTED_ROOT' in text


def test_a_changed_quote_is_refused(world):
    quote, _ = world.quote()
    key = 436 + 64
    qe_report = key + 64
    places = [2, 20, BODY, BODY + 64, BODY + 320, 436, 436 + 63, key, qe_report + 64, qe_report + 320, qe_report + 384, qe_report + 448 + 5]
    for place in places:
        changed = quote[:place] + bytes([quote[place] ^ 1]) + quote[place + 1:]
        status, text = world.verify(changed)
        assert status == 3, f'{place}: {text}'
    for size in 0, 47, 432, 1000, len(quote) - 1:
        status, text = world.verify(quote[:size])
        assert status != 0, f'{size}: {text}'


def test_collateral_comes_with_the_quote(world):
    """All that judging needs; the other editions, which the folder holds too, are for forecasts."""
    _, blob = world.quote()
    records = json.loads(blob)
    held = {name.rsplit('.', 1)[0] for name in os.listdir(world.collateral)}
    assert {'tcb_info_early', 'tcb_evaluations'} < held
    assert set(records) == held - {'tcb_info_early', 'tcb_evaluations'}
    for label, (kind, value, indicator) in records.items():
        name, = [n for n in os.listdir(world.collateral) if n.rsplit('.', 1)[0] == label]
        with open(os.path.join(world.collateral, name), 'rb') as file:
            assert base64.urlsafe_b64decode(value + '=' * (-len(value) % 4)) == file.read()
        assert '/' in kind and indicator == 2


def test_each_quote_is_of_its_own_report(world):
    for nonce in bytes(64), b'\xff' * 64:
        quote, _ = world.quote(nonce)
        status, text = world.verify(quote, nonce=nonce)
        assert status == 0, text


def test_many_enclaves_have_quotes_at_once(world):
    nonces = [bytes([n]) * 64 for n in range(6)]
    with concurrent.futures.ThreadPoolExecutor(len(nonces)) as pool:
        quotes = list(pool.map(lambda nonce: world.quote(nonce)[0], nonces))
    for nonce, quote in zip(nonces, quotes):
        status, text = world.verify(quote, nonce=nonce)
        assert status == 0, text


def test_the_platform_gets_old_and_updated_and_revoked(world):
    world.emu('tcb', '--status', 'OutOfDate', '--advisory', 'INTEL-SA-00615')
    status, text = world.verify(world.quote()[0])
    assert status == 3 and 'POLICY_TCB_STATUS' in text and 'INTEL-SA-00615' in text
    world.emu('issue-pck', '--latest')  # while the service runs
    status, text = world.verify(world.quote()[0])
    assert status == 0, text
    world.emu('revoke', 'pck')
    quote, _ = world.quote()
    status, text = world.verify(quote)
    assert status == 3 and 'CERT_REVOKED' in text
    world.emu('issue-pck')
    status, text = world.verify(quote)
    assert status == 3, text
    status, text = world.verify(world.quote()[0])
    assert status == 0, text
    world.emu('expire', 'all')
    status, text = world.verify(world.quote()[0])
    assert status == 3 and 'COLLATERAL_EXPIRED' in text
    world.emu('renew', 'all')
    status, text = world.verify(world.quote()[0])
    assert status == 0, text


# ---- the service itself, by its protocol ----

def varint(number):
    out = b''
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def exchange(world, message, size=None):
    """What the service answers; b'' when it closes."""
    out = b''
    with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(ConnectionError):  # closed early: reset, or a broken pipe
        s.settimeout(30)
        s.connect(world.socket)
        s.sendall(struct.pack('<I', len(message) if size is None else size) + message)
        s.shutdown(socket.SHUT_WR)
        while chunk := s.recv(65536):
            out += chunk
    return out[4:]


def test_only_reports_for_the_quoting_enclave_are_quoted(world):
    for report in bytes(432), os.urandom(432), bytes(431), b'':
        assert exchange(world, field(17, field(1, report) + field(4, 16384))) == field(17, field(1, 3))


def test_a_report_that_was_changed_is_refused(world):
    """A workload's report for the quoting enclave, as its device gives it, and one bit less."""
    program = os.path.join(world.folder, 'evidence-root')
    os.makedirs(program, exist_ok=True)
    shutil.copy(os.path.join(BUILD, 'tests', 'e2e', 'evidence'), program)
    config, image = os.path.join(world.folder, 'evidence.yaml'), os.path.join(world.folder, 'evidence')
    with open(config, 'w') as file:
        file.write('entrypoint: [/evidence]\nargs: {from_host: true}\nlimits: {memory: 64M, threads: 16}\n')
    cloche('build', '-q', '-f', config, program, '-o', image, env={**os.environ, 'HOME': world.folder, 'XDG_CONFIG_HOME': world.folder})
    answer = exchange(world, field(15, field(3, 1) + field(4, 32)))
    at = answer.index(field(2, bytes(512))[:3]) + 3
    target = answer[at:at + 512]
    report = bytes.fromhex(cloche('run', image, 'report', target.hex(), NONCE.hex()).out.decode())
    assert len(report) == 432
    good = exchange(world, field(17, field(1, report) + field(4, 16384)))
    assert report[:384] in good
    for place in 0, 64, 320, 383, 384, 416, 431:
        changed = report[:place] + bytes([report[place] ^ 1]) + report[place + 1:]
        assert exchange(world, field(17, field(1, changed) + field(4, 16384))) == field(17, field(1, 3)), place
    assert exchange(world, field(17, field(1, report) + field(4, 100))) == field(17, field(1, 3))
    assert exchange(world, field(17, field(1, report) + field(2, bytes(256)) + field(4, 16384))) == field(17, field(1, 3))


def test_the_service_outlives_bad_clients(world):
    assert exchange(world, b'', size=0) == b''
    assert exchange(world, b'x' * 10, size=0xffffffff) == b''
    assert exchange(world, b'x' * 10, size=20) == b''
    assert exchange(world, os.urandom(2000)) == b''
    assert exchange(world, field(3, b'abc')) == field(20, field(1, 1))  # a request that it does not know
    status, text = world.verify(world.quote()[0])
    assert status == 0, text


def test_one_service_per_socket(world):
    got = finish([CLOCHE, 'emu', 'quoting', '--pki', os.path.join(world.folder, 'pki2'), '--socket', world.socket])
    assert got.status == 1 and b'serves' in got.err, got.err


def test_without_the_service_there_is_no_quote(world):
    nowhere = os.path.join(world.folder, 'nowhere')
    got = finish([CLOCHE, 'run', '--quote-socket', nowhere, world.image, f'mkdir {ENTRY}'])
    assert got.status == 1 and nowhere.encode() in got.err
    assert world.server.stop() == 0
    world.start()  # another attestation key, the same platform
    status, text = world.verify(world.quote()[0])
    assert status == 0, text


def test_doctor_says_whether_there_is_a_service(world):
    there = cloche('doctor', env={**os.environ, 'CLOCHE_QUOTE_SOCKET': world.socket}).out.decode()
    assert f'ok       quoting          the quoting service answers at {world.socket}' in there
    gone = cloche('doctor', env={**os.environ, 'CLOCHE_QUOTE_SOCKET': world.socket + '-'}).out.decode()
    assert 'note     quoting          no quoting service' in gone
