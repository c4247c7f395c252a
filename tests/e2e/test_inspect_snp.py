# SPDX-License-Identifier: Apache-2.0
"""`cloche inspect --snp`: the launch digest of Debian's OVMF, against a second way to it: the tables are read and the firmware's pages are
hashed here, and the rest by the steps that the vectors hold to published digests (tests/vectors/probe.c)."""
import hashlib
import json
import os
import struct
import uuid

import pytest
from conftest import BUILD, CLOCHE, finish

FIRMWARE = '/usr/share/ovmf/OVMF.fd'
PROBE = os.path.join(BUILD, 'tests', 'vectors', 'vector-probe')
PAGE = 4096
pytestmark = pytest.mark.skipif(not os.path.exists(FIRMWARE), reason='no ovmf package')


def measure_firmware(image):
    """PAGE_INFO of each page, chained: AMD 56860, SNP_LAUNCH_UPDATE."""
    digest = bytes(48)
    for off in range(0, len(image), PAGE):
        contents = hashlib.sha384(image[off:off + PAGE]).digest()
        digest = hashlib.sha384(digest + contents + struct.pack('<HBBBBBBQ', 0x70, 1, 0, 0, 0, 0, 0, (1 << 32) - len(image) + off)).digest()
    return digest


def read_tables(image):
    """reset EIP and sections of the SEV metadata."""
    end = len(image) - 32
    start, at, entries = end - struct.unpack_from('<H', image, end - 18)[0], end - 18, {}
    while at > start:
        size = struct.unpack_from('<H', image, at - 18)[0]
        entries[str(uuid.UUID(bytes_le=image[at - 16:at]))] = image[at - size:at - 18]
        at -= size
    metadata = len(image) - struct.unpack('<I', entries['dc886566-984a-4798-a75e-5585a7bf67cc'])[0]
    count = struct.unpack_from('<I', image, metadata + 12)[0]
    sections = [struct.unpack_from('<III', image, metadata + 16 + 12 * i) for i in range(count)]
    return struct.unpack('<I', entries['00f771de-1a7e-4fcb-890e-68c77e2fb44e'])[0], sections


def expected(vcpus, vmm, signature):
    with open(FIRMWARE, 'rb') as file:
        image = file.read()
    eip, sections = read_tables(image)
    if vmm == 'ec2':
        sections.sort(key=lambda section: section[2] == 3)
    lines = [f'seed {measure_firmware(image).hex()}']
    lines += [f'range {({2: 5, 3: 6}).get(kind, 3)} {gpa:#x} {size:#x}' for gpa, size, kind in sections]
    lines += [f'vmsa {vmm} {0xfffffff0 if vcpu == 0 else eip:#x} {signature:#x} 0x1' for vcpu in range(vcpus)]
    done = finish([PROBE, 'launch'], stdin=''.join(f'{line}\n' for line in lines).encode())
    assert done.status == 0, done.err
    return json.loads(done.out)['digest']


@pytest.mark.parametrize('vcpus, vmm, model, signature', [(1, 'qemu', 'EPYC-Milan', 0x00a00f11), (4, 'qemu', 'EPYC-Genoa', 0x00a10f10),
                                                          (2, 'ec2', '0xa00f11', 0x00a00f11)])
def test_measurement_of_ovmf(vcpus, vmm, model, signature):
    options = ['--vcpus', str(vcpus), '--vmm', vmm, '--vcpu', model]
    done = finish([CLOCHE, 'inspect', '--json', '--snp', FIRMWARE, *options])
    assert done.status == 0, done.err
    digest = json.loads(done.out)['measurement']
    assert digest == expected(vcpus, vmm, signature)
    assert digest.encode() in finish([CLOCHE, 'inspect', '--snp', FIRMWARE, *options]).out


def test_each_input_is_measured():
    def digest(*options):
        done = finish([CLOCHE, 'inspect', '--json', '--snp', FIRMWARE, *options])
        assert done.status == 0, done.err
        return json.loads(done.out)['measurement']
    digests = [digest(), digest('--vcpus', '2'), digest('--vcpu', 'EPYC'), digest('--features', '0x21'), digest('--vmm', 'ec2')]
    assert len(set(digests)) == len(digests)


def test_what_cannot_be_measured(tmp_path):
    def status(*options):
        return finish([CLOCHE, 'inspect', *options]).status
    kernel = tmp_path / 'kernel'
    kernel.write_bytes(b'kernel')
    done = finish([CLOCHE, 'inspect', '--snp', FIRMWARE, '--kernel', str(kernel)])
    assert done.status == 1 and b'takes no hashes' in done.err  # Debian's firmware does not check a kernel
    damaged = tmp_path / 'damaged.fd'
    with open(FIRMWARE, 'rb') as file:
        image = file.read()
    damaged.write_bytes(image[:-40] + bytes(8) + image[-32:])
    done = finish([CLOCHE, 'inspect', '--snp', str(damaged)])
    assert done.status == 1 and b'no table of OVMF' in done.err
    assert status('--snp', '/nonexistent') == 1
    assert status('--snp', FIRMWARE, '--vcpus', '0') == 2
    assert status('--snp', FIRMWARE, '--vmm', 'other') == 2
    assert status('--snp', FIRMWARE, 'image') == 2
    assert status('--snp', FIRMWARE, '--append', 'quiet') == 2
