# SPDX-License-Identifier: Apache-2.0
"""Reports and sealing keys of an enclave through /dev/cloche: who can verify which report, who has which key."""
import os
import shutil

import pytest
from conftest import BUILD, CLOCHE, finish

EBADMSG, EFAULT, EINVAL, EIO, ENOTTY = 74, 14, 22, 5, 25
MRENCLAVE, MRSIGNER = 1, 2
ISV_SVN, CPU_SVN = 1, 2
BODY = {'mrenclave': (64, 96), 'mrsigner': (128, 160), 'isv_prod_id': (256, 258), 'isv_svn': (258, 260),
        'report_data': (320, 384)}

CONFIG = '''
entrypoint: [/evidence]
args: {{from_host: true}}
hostname: {name}
isv_prod_id: {product}
isv_svn: {svn}
limits: {{memory: 64M, threads: 16}}
'''


class Enclave:
    def __init__(self, folder, name, product=7, svn=1, key=None):
        root = os.path.join(folder, name + '-root')
        os.makedirs(root)
        shutil.copy(os.path.join(BUILD, 'tests', 'e2e', 'evidence'), root)
        config, self.image = os.path.join(folder, name + '.yaml'), os.path.join(folder, name)
        with open(config, 'w') as file:
            file.write(CONFIG.format(name=name, product=product, svn=svn))
        sign = ['--sign', key] if key else []
        built = finish([CLOCHE, 'build', '-f', config, *sign, root, '-o', self.image], env={**os.environ, 'HOME': folder,
                                                                                            'XDG_CONFIG_HOME': folder})
        assert built.status == 0, built.err.decode()

    def ask(self, *requests, env=None):
        """The answers: bytes, or a number: the error."""
        got = finish([CLOCHE, 'run', self.image, *[str(word) for request in requests for word in request]], env={**os.environ, **(env or {})})
        assert got.status == 0, got.err.decode()
        lines = got.out.decode().splitlines()
        assert len(lines) == len(requests)
        return [int(line.split()[1]) if line.startswith('error') else line if ' ' in line else bytes.fromhex(line)
                for line in lines]


def field(report, name):
    return report[slice(*BODY[name])]


def key(policy, flags=0, svn=0, cpu_svn='', key_id='', label='test'):
    return ('key', policy, flags, svn, cpu_svn or '-', key_id or '-', label)


def value(answer):
    assert isinstance(answer, str), f'no key: error {answer}'
    return answer.split()[2]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp('evidence'))


@pytest.fixture(scope='module')
def first(folder):
    return Enclave(folder, 'first')


@pytest.fixture(scope='module')
def upgraded(folder):
    return Enclave(folder, 'upgraded', svn=2)


@pytest.fixture(scope='module')
def other_product(folder):
    return Enclave(folder, 'product', product=8)


@pytest.fixture(scope='module')
def other_signer(folder):
    path = os.path.join(folder, 'other.pem')
    made = finish(['openssl', 'genrsa', '-3', '-out', path, '3072'])
    assert made.status == 0, made.err.decode()
    return Enclave(folder, 'signer', key=path)


def test_a_report_says_who_made_it(first):
    data = bytes(range(64)).hex()
    target, = first.ask(['targetinfo'])
    report, = first.ask(('report', target.hex(), data))
    inspect = finish([CLOCHE, 'inspect', first.image]).out.decode()
    assert field(report, 'mrenclave').hex() in inspect and field(report, 'mrsigner').hex() in inspect
    assert 'product      7, security version 1' in inspect
    assert field(report, 'mrenclave') == target[:32]
    assert field(report, 'isv_prod_id') == b'\7\0' and field(report, 'isv_svn') == b'\1\0'
    assert field(report, 'report_data').hex() == data


def test_a_report_is_verified_by_its_target_only(first, upgraded):
    mine, theirs = first.ask(['targetinfo'])[0].hex(), upgraded.ask(['targetinfo'])[0].hex()
    to_me, to_them, to_nobody = first.ask(('report', mine, 'aa'), ('report', theirs, 'aa'), ('report', '-', 'aa'))
    assert first.ask(('verify', to_me.hex()), ('verify', to_them.hex()), ('verify', to_nobody.hex())) == [b'\1', EBADMSG, EBADMSG]
    assert upgraded.ask(('verify', to_them.hex()), ('verify', to_me.hex())) == [b'\1', EBADMSG]


def test_each_changed_byte_of_a_report_is_found(first):
    target, = first.ask(['targetinfo'])
    report, = first.ask(('report', target.hex(), 'aa'))
    places = [*range(0, len(report), 13), 384, 415, 416, 431]
    changed = [report[:at] + bytes([report[at] ^ 0x40]) + report[at + 1:] for at in places]
    assert first.ask(*[('verify', c.hex()) for c in changed]) == [EBADMSG] * len(places)


def test_a_target_with_reserved_bytes_is_refused(first):
    target, = first.ask(['targetinfo'])
    wrong = target[:-1] + b'\1'
    assert first.ask(('report', wrong.hex(), 'aa')) == [EINVAL]


def test_the_same_enclave_has_the_same_keys(first):
    asked = [key(MRENCLAVE), key(MRSIGNER), key(MRENCLAVE, label='other'), key(MRENCLAVE, key_id='01'),
             key(MRSIGNER, ISV_SVN, 0)]
    once, again = first.ask(*asked), first.ask(*asked)
    assert once == again
    assert len({value(answer) for answer in once}) == len(asked)
    assert once[0].startswith('1 ' + '01' * 16 + ' ')


def test_a_key_by_mrenclave_is_nobody_elses(first, upgraded, other_product, other_signer):
    keys = {value(e.ask(key(MRENCLAVE, ISV_SVN, 1))[0]) for e in (first, upgraded, other_product, other_signer)}
    assert len(keys) == 4


def test_a_key_by_mrsigner_survives_an_upgrade(first, upgraded):
    old, = first.ask(key(MRSIGNER))
    current, older, newer = upgraded.ask(key(MRSIGNER), key(MRSIGNER, ISV_SVN, 1), key(MRSIGNER, ISV_SVN, 3))
    assert value(older) == value(old) and value(current) != value(old)
    assert (old.split()[0], current.split()[0], older.split()[0]) == ('1', '2', '1')
    assert newer == EINVAL
    # Not the reverse: who goes back to the old version does not get what the new one sealed.
    assert first.ask(key(MRSIGNER, ISV_SVN, 2)) == [EINVAL]


def test_a_key_by_mrsigner_is_its_products_and_signers(first, other_product, other_signer):
    keys = {value(e.ask(key(MRSIGNER, ISV_SVN, 1))[0]) for e in (first, other_product, other_signer)}
    assert len(keys) == 3


def test_a_key_of_an_older_cpu_version(first):
    own, older, newer = first.ask(key(MRSIGNER), key(MRSIGNER, CPU_SVN, 0, '00' + '01' * 15),
                                  key(MRSIGNER, CPU_SVN, 0, '02' + '01' * 15))
    assert value(own) != value(older)
    assert newer == EINVAL


@pytest.mark.parametrize('request_', [
    key(0), key(3), key(4), key(MRENCLAVE, 4), key(MRENCLAVE, 0x80000000), key(MRENCLAVE, label=''),
    key(MRENCLAVE, label='x' * 65)])
def test_malformed_requests_for_keys(first, request_):
    assert first.ask(request_) == [EINVAL]


def test_labels_at_the_limit(first):
    assert value(first.ask(key(MRENCLAVE, label='x' * 64))[0])


def test_strange_ioctls(first):
    get_target, get_key = 0x8200ce01, 0xc0a0ce04
    assert first.ask(('raw', '0xce04', '-'), ('raw', '0x5401', '00'), ('raw', get_target, '-'), ('raw', get_key, '-'),
                     ('raw', get_key, '01' + '00' * 9 + '01' + '00' * 149)) == [ENOTTY, ENOTTY, EFAULT, EFAULT, b'\1']
    # Something behind the label, something reserved.
    assert first.ask(('raw', get_key, '01' + '00' * 9 + '01' + '00' * 149 + ''),
                     ('raw', get_key, '01' + '00' * 9 + '01' + '00' + '01' + '00' * 147),
                     ('raw', get_key, '01' + '00' * 9 + '01' + '00' * 53 + '6161' + '00' * 94)) == [b'\1', EINVAL, EINVAL]


def test_debug_enclaves_have_other_keys(folder, first):
    debug = Enclave.__new__(Enclave)
    debug.image = os.path.join(folder, 'debug')
    config = os.path.join(folder, 'debug.yaml')
    with open(config, 'w') as file:
        file.write(CONFIG.format(name='first', product=7, svn=1) + 'debug: true\n')
    built = finish([CLOCHE, 'build', '-f', config, os.path.join(folder, 'first-root'), '-o', debug.image],
                   env={**os.environ, 'HOME': folder, 'XDG_CONFIG_HOME': folder})
    assert built.status == 0, built.err.decode()
    assert value(debug.ask(key(MRSIGNER))[0]) != value(first.ask(key(MRSIGNER))[0])


def test_another_machine_has_other_keys(first, tmp_path):
    """Another file in place of the CPU's fuses is another CPU; none at all, or one too short, is an error, not a weak key."""
    other = {'CLOCHE_EMU_FUSE': str(tmp_path / 'fuse')}
    assert value(first.ask(key(MRENCLAVE), env=other)[0]) != value(first.ask(key(MRENCLAVE))[0])
    target, = first.ask(['targetinfo'])
    report, = first.ask(('report', target.hex(), 'aa'))
    assert first.ask(('verify', report.hex()), env=other) == [EBADMSG]
    short = tmp_path / 'short'
    short.write_bytes(bytes(31))
    for path in '/proc/none/fuse', str(short):
        assert first.ask(['targetinfo'], key(MRENCLAVE), ('verify', report.hex()), env={'CLOCHE_EMU_FUSE': path}) == [EIO, EIO, EBADMSG]
