# SPDX-License-Identifier: Apache-2.0
"""configfs-tsm in the enclave: names, permissions and errors as Linux documents them; what comes of a quoting service that works,
lies or is not there."""
import os
import shutil

import pytest
from conftest import BUILD, CLOCHE, finish
from fake_aesm import COLLATERAL, INIT, KEY_COUNT, KEYS, MRENCLAVE, QUOTE, QUOTE_SIZE, SIZE, FakeAesm

EPERM, ENOENT, EIO, ENXIO, EACCES, EBUSY, EEXIST, EINVAL, EFBIG, ENOSPC, ERANGE = 1, 2, 5, 6, 13, 16, 17, 22, 27, 28, 34
ROOT = '/sys/kernel/config'
REPORT = ROOT + '/tsm/report'
A = REPORT + '/a'
NONCE = bytes(range(64)).hex()
ENTRY_COUNT_MAX = 64

SERVICES = ['/run/cloche/emu-quoting.socket', '/var/run/aesmd/aesm.socket']

CONFIG = '''
entrypoint: [{entry}]
args: {{from_host: true}}
limits: {{memory: 96M, threads: 16}}
'''


class Enclave:
    def __init__(self, folder, program='files'):
        root = os.path.join(folder, 'root')
        os.makedirs(root)
        shutil.copy(os.path.join(BUILD, 'tests', 'e2e', program), root)
        config, self.image = os.path.join(folder, 'cloche.yaml'), os.path.join(folder, 'image')
        with open(config, 'w') as file:
            file.write(CONFIG.format(entry='/' + program))
        built = finish([CLOCHE, 'build', '-f', config, root, '-o', self.image],
                       env={**os.environ, 'HOME': folder, 'XDG_CONFIG_HOME': folder})
        assert built.status == 0, built.err.decode()

    def ask(self, *requests, env=None, options=()):
        """The answers, in words; a number: the error."""
        words = [str(word) for request in requests for word in request.split(' ')]
        got = finish([CLOCHE, 'run', *options, self.image, *words], env={**os.environ, **(env or {})})
        assert got.status == 0, got.err.decode()
        lines = got.out.decode().splitlines()
        assert len(lines) == len(requests), lines
        return [int(line.split()[1]) if line.startswith('error') else line.strip() for line in lines]


@pytest.fixture(scope='module')
def enclave(tmp_path_factory):
    return Enclave(str(tmp_path_factory.mktemp('tsm')))


def text(value):
    return value.encode().hex()


def test_the_folders(enclave):
    assert enclave.ask(f'list {ROOT}', f'list {ROOT}/tsm', f'list {REPORT}', f'mode {ROOT}', f'mode {REPORT}') == [
        'tsm', 'report', '', '40755 0 0', '40755 0 0']
    assert b'configfs /sys/kernel/config configfs' in bytes.fromhex(enclave.ask('read /proc/mounts')[0])


@pytest.mark.parametrize('request_, error', [
    (f'mkdir {ROOT}/other', EPERM), (f'mkdir {ROOT}/tsm/other', EPERM), (f'create {ROOT}/tsm/file', EACCES),
    (f'create {REPORT}/file', EACCES), (f'rmdir {REPORT}', EPERM), (f'rmdir {ROOT}/tsm', EPERM),
    (f'rmdir {REPORT}/none', ENOENT), (f'read {REPORT}/none/outblob', ENOENT)])
def test_what_cannot_be_made_or_removed(enclave, request_, error):
    assert enclave.ask(request_) == [error]


def test_an_entry(enclave):
    assert enclave.ask(
        f'mkdir {A}', f'list {A}', f'list {REPORT}', f'mkdir {A}', f'read {A}/provider', f'read {A}/generation',
        f'read {A}/privlevel_floor', f'rmdir {A}', f'list {REPORT}', f'mode {A}', f'mkdir {A}', f'rmdir {A}') == [
        '0', 'auxblob generation inblob outblob privlevel privlevel_floor provider', 'a', EEXIST, text('cloche_sgx\n'),
        text('0\n'), text('0\n'), '0', '', ENOENT, '0', '0']


def test_what_an_entry_refuses(enclave):
    assert enclave.ask(f'mkdir {A}', f'mkdir {A}/b', f'create {A}/b', f'unlink {A}/outblob', f'rename {A} {REPORT}/b',
                       f'read {A}/inblob', f'read {A}/privlevel', f'write {A}/outblob 00', f'write {A}/generation 00',
                       f'open 1 {A}/inblob rw') == ['0', EPERM, EACCES, EPERM, ENOENT, EACCES, EACCES, EACCES, EACCES, EACCES]


def test_modes_and_who_may(enclave):
    assert enclave.ask(f'mkdir {A}', f'mode {A}', f'mode {A}/inblob', f'mode {A}/outblob', f'mode {A}/privlevel', f'mode {A}/provider') == [
        '0', '40755 0 0', '100200 0 0', '100444 0 0', '100200 0 4096', '100444 0 4096']
    assert enclave.ask(f'mkdir {A}', 'uid 1000', f'mkdir {REPORT}/b', f'write {A}/inblob {NONCE}', f'write {A}/privlevel {text("0")}',
                       f'rmdir {A}', f'read {A}/provider') == ['0', '0', EACCES, EACCES, EACCES, EACCES, text('cloche_sgx\n')]


def test_each_write_is_a_generation(enclave):
    assert enclave.ask(f'mkdir {A}', f'write {A}/inblob {NONCE}', f'read {A}/generation', f'write {A}/privlevel {text("0")}',
                       f'read {A}/generation', f'write {A}/inblob 00', f'read {A}/generation') == [
        '0', '64', text('1\n'), '1', text('2\n'), '1', text('3\n')]


def test_inblob_counts_when_it_is_closed(enclave):
    assert enclave.ask(f'mkdir {A}', f'open 1 {A}/inblob w', 'put 1 0011', 'put 1 22', f'read {A}/generation', 'close 1',
                       f'read {A}/generation', f'open 1 {A}/inblob w', 'close 1', f'read {A}/generation') == [
        '0', '0', '2', '1', text('0\n'), '0', text('1\n'), '0', '0', text('1\n')]


def test_inblob_has_a_limit(enclave):
    assert enclave.ask(f'mkdir {A}', f'write {A}/inblob {NONCE}ff', f'open 1 {A}/inblob w', f'put 1 {NONCE}', 'put 1 00', 'seek 1 63',
                       'put 1 0011', 'put 1 00', 'seek 1 65', 'put 1 00') == [
        '0', EFBIG, '0', '64', EFBIG, '63', EFBIG, '1', '65', EFBIG]


@pytest.mark.parametrize('value, error', [('1', EINVAL), ('3', EINVAL), ('4', EINVAL), ('-1', EINVAL), ('x', EINVAL), ('0x', EINVAL),
                                          ('4294967295', EINVAL), ('4294967296', ERANGE), ('0 ', EINVAL), ('0\n\n', EINVAL),
                                          ('+', EINVAL), ('0' * 65, EINVAL), ('99999999999999999999999999', ERANGE)])
def test_privilege_levels_that_an_enclave_has_not(enclave, value, error):
    assert enclave.ask(f'mkdir {A}', f'write {A}/privlevel {text(value)}', f'read {A}/generation') == ['0', error, text('0\n')]


@pytest.mark.parametrize('value', ['0', '0\n', '+0', '0x0', '00\n'])
def test_the_one_privilege_level(enclave, value):
    assert enclave.ask(f'mkdir {A}', f'write {A}/privlevel {text(value)}', f'read {A}/generation') == ['0', str(len(value)), text('1\n')]


def test_no_evidence_before_the_nonce(enclave):
    assert enclave.ask(f'mkdir {A}', f'read {A}/outblob', f'read {A}/auxblob', f'write {A}/inblob {NONCE[:-2]}', f'read {A}/outblob',
                       f'read {A}/auxblob') == ['0', EINVAL, EINVAL, '63', EINVAL, EINVAL]


@pytest.mark.skipif(any(os.path.exists(path) for path in SERVICES), reason='this machine has a quoting service')
def test_no_service_is_an_error_each_time(enclave):
    assert enclave.ask(f'mkdir {A}', f'write {A}/inblob {NONCE}', f'read {A}/outblob', f'read {A}/auxblob', f'read {A}/outblob') == [
        '0', '64', ENXIO, ENXIO, ENXIO]


def test_an_open_file_of_an_entry_that_is_gone(enclave):
    assert enclave.ask(f'mkdir {A}', f'open 1 {A}/provider r', f'open 2 {A}/generation r', f'open 3 {A}/inblob w', f'open 4 {A}/privlevel w',
                       'get 1 100', f'rmdir {A}', 'get 2 100', 'put 4 30', f'put 3 {NONCE}', 'close 3', 'seek 1 0', 'get 1 6',
                       f'mkdir {A}', f'read {A}/generation', 'get 2 100') == [
        '0', '0', '0', '0', '0', text('cloche_sgx\n'), '0', ENOENT, ENOENT, '64', '0', '0', text('cloche'), '0', text('0\n'), ENOENT]


def test_what_was_read_once_stays(enclave):
    assert enclave.ask(f'mkdir {A}', f'open 1 {A}/generation r', 'get 1 1', f'write {A}/inblob {NONCE}', 'get 1 9', 'seek 1 0', 'get 1 9',
                       f'read {A}/generation') == ['0', '0', text('0'), '64', text('\n'), '0', text('0\n'), text('1\n')]


def test_entries_are_bounded_and_listed_in_order(enclave):
    made = [f'mkdir {REPORT}/n{i}' for i in range(ENTRY_COUNT_MAX)]
    names = [f'n{i}' for i in range(ENTRY_COUNT_MAX)]
    got = enclave.ask(*made, f'mkdir {A}', f'list {REPORT}', f'rmdir {REPORT}/n5', f'mkdir {A}', f'mkdir {REPORT}/b', f'list {REPORT}')
    assert got[:ENTRY_COUNT_MAX] == ['0'] * ENTRY_COUNT_MAX
    names_after = [name for name in names if name != 'n5'] + ['a']
    assert got[ENTRY_COUNT_MAX:] == [ENOSPC, ' '.join(names), '0', '0', ENOSPC, ' '.join(names_after)]


def test_names_at_the_limit(enclave):
    assert enclave.ask(f'mkdir {REPORT}/{"x" * 255}', f'list {REPORT}', f'mkdir {REPORT}/{"x" * 256}') == ['0', 'x' * 255, 36]


# ---- with a quoting service ----

@pytest.fixture
def service(tmp_path):
    def start(**options):
        return FakeAesm(str(tmp_path / 'aesm'), **options)
    return start


def served(enclave, aesm, *requests, options=()):
    return enclave.ask(*requests, options=('--quote-socket', aesm.path, *options))


def report_data(quote):
    return quote[48 + 320:48 + 384]


def test_evidence(enclave, service):
    other = 'ff' * 64
    with service() as aesm:
        got = served(enclave, aesm, f'mkdir {A}', f'write {A}/inblob {NONCE}', f'read {A}/outblob', f'read {A}/outblob', f'read {A}/generation',
                     f'write {A}/inblob {other}', f'read {A}/outblob', f'read {A}/auxblob')
    first, again, second = (bytes.fromhex(got[i]) for i in (2, 3, 6))
    assert len(first) == QUOTE_SIZE and first == again and first != second
    assert report_data(first).hex() == NONCE and report_data(second).hex() == other
    assert got[7] == ''
    # Two quotes, each asked for in the protocol's order; the reports are this enclave's, complete, over what was written.
    asked = [KEY_COUNT, KEYS, INIT, SIZE, QUOTE]
    assert aesm.asked == asked + asked + [COLLATERAL]
    inspect = finish([CLOCHE, 'inspect', enclave.image]).out.decode()
    for report, quote in zip(aesm.reports, (first, second)):
        assert len(report) == 432 and report[:384] == quote[48:432]
        assert report[64:96].hex() in inspect
        assert report[416:] != bytes(16)
    assert MRENCLAVE not in aesm.reports[0]


def test_two_entries_have_their_own_evidence(enclave, service):
    b = REPORT + '/b'
    with service() as aesm:
        got = served(enclave, aesm, f'mkdir {A}', f'mkdir {b}', f'write {A}/inblob {NONCE}', f'write {b}/inblob {"ee" * 64}', f'read {A}/outblob',
                     f'read {b}/outblob', f'read {A}/outblob')
    assert report_data(bytes.fromhex(got[4])).hex() == NONCE and report_data(bytes.fromhex(got[5])).hex() == 'ee' * 64
    assert got[4] == got[6]


def test_a_reader_in_pieces_sees_one_quote(enclave, service):
    with service() as aesm:
        got = served(enclave, aesm, f'mkdir {A}', f'write {A}/inblob {NONCE}', f'open 1 {A}/outblob r', 'get 1 500', f'write {A}/inblob {"ee" * 64}',
                     f'read {A}/outblob', 'get 1 9999', 'get 1 1', 'seek 1 1999', 'get 1 10')
    whole = bytes.fromhex(got[3] + got[6])
    assert len(whole) == QUOTE_SIZE and report_data(whole).hex() == NONCE
    assert (got[7], got[9]) == ('', '5a')


@pytest.mark.parametrize('lie, error', [('reserved target', EIO), ('too large', EIO), ('closes', EIO), ('other enclave', EIO), ('version', EIO),
                                        ('short', EIO), ('busy', EBUSY)])
def test_a_service_that_lies(enclave, service, lie, error):
    with service(lie=lie) as aesm:
        assert served(enclave, aesm, f'mkdir {A}', f'write {A}/inblob {NONCE}', f'read {A}/outblob', f'read {A}/auxblob', f'rmdir {A}') == [
            '0', '64', error, error, '0']


def test_an_old_quote_is_not_taken_for_a_new_one(enclave, service):
    with service(lie='old report') as aesm:
        got = served(enclave, aesm, f'mkdir {A}', f'write {A}/inblob {NONCE}', f'read {A}/outblob', f'write {A}/inblob {"ee" * 64}',
                     f'read {A}/outblob', f'read {A}/outblob')
    assert report_data(bytes.fromhex(got[2])).hex() == NONCE
    assert got[4:] == [EIO, EIO]


def test_collateral_of_the_service(enclave, service):
    blob = os.urandom(200001)
    with service(collateral=blob) as aesm:
        got = served(enclave, aesm, f'mkdir {A}', f'write {A}/inblob {NONCE}', f'read {A}/auxblob', f'read {A}/outblob', f'read {A}/auxblob')
    assert bytes.fromhex(got[2]) == blob == bytes.fromhex(got[4])
    assert aesm.asked.count(COLLATERAL) == 1 and aesm.asked.count(QUOTE) == 1


def test_collateral_of_the_host(enclave, service, tmp_path):
    path = tmp_path / 'collateral'
    path.write_bytes(b'{"what": "the host has"}')
    with service() as aesm:
        got = served(enclave, aesm, f'mkdir {A}', f'write {A}/inblob {NONCE}', f'read {A}/auxblob', options=('--collateral', str(path)))
    assert bytes.fromhex(got[2]) == path.read_bytes()
    assert COLLATERAL not in aesm.asked


def test_a_service_that_was_named_and_is_not_there_is_said_at_once(enclave, tmp_path):
    got = finish([CLOCHE, 'run', '--quote-socket', str(tmp_path / 'none'), enclave.image, 'list', ROOT])
    assert got.status == 1 and got.out == b''
    assert b'no quoting service answers at' in got.err


# ---- as the agent reads it ----

@pytest.fixture(scope='module')
def agent(tmp_path_factory):
    return Enclave(str(tmp_path_factory.mktemp('agent')), program='agent_evidence')


def agent_reads(agent, aesm):
    got = finish([CLOCHE, 'run', '--quote-socket', aesm.path, agent.image, 'x'])
    assert got.status == 0, got.err.decode()
    return got.out.decode().splitlines()


def test_the_agents_code_reads_evidence(agent, service):
    with service(collateral=b'collateral') as aesm:
        provider, outblob, auxblob = agent_reads(agent, aesm)
    assert provider == 'cloche_sgx' and bytes.fromhex(auxblob) == b'collateral'
    assert report_data(bytes.fromhex(outblob)) == b'x' * 64 == aesm.reports[0][320:384]
    assert len(aesm.reports) == 1


def test_the_agents_code_gives_up_on_a_lying_service(agent, service):
    with service(lie='other enclave') as aesm:
        assert agent_reads(agent, aesm) == [f'error {EIO}']


def test_threads_that_share_entries(tmp_path_factory, service):
    racers = Enclave(str(tmp_path_factory.mktemp('race')), program='tsm_race')
    with service() as aesm:
        got = finish([CLOCHE, 'run', '--quote-socket', aesm.path, racers.image])
    assert (got.status, got.out) == (0, b'done with quotes\n'), got.err.decode()
    assert not got.err, got.err.decode()
