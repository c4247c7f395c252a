# SPDX-License-Identifier: Apache-2.0
"""`cloche verify`: exit statuses, and that docs/verification.md names every check, claim and member of the result that there is."""
import json
import os
import re

import pytest
from conftest import CLOCHE, ROOT, finish

VECTORS = os.path.join(ROOT, 'tests', 'vectors', 'public')
with open(os.path.join(VECTORS, 'manifest.json'), encoding='utf-8') as manifest_file:
    MANIFEST = {entry['id']: entry for entry in json.load(manifest_file)['vectors']}
with open(os.path.join(ROOT, 'docs', 'verification.md'), encoding='utf-8') as page_file:
    PAGE = page_file.read()
KINDS = ['sgx-phala', 'tdx-phala-v4', 'tdx-oe-v5-outofdate', 'snp-milan-v2-google', 'snp-turin-v5-microsoft', 'snp-milan-v3-vlek-trustee']


def verify(name, *options):
    files = MANIFEST[name]['files']
    if 'tcb_info' in files:
        options += ('--collateral', os.path.join(VECTORS, os.path.dirname(files['tcb_info'])))
    return finish([CLOCHE, 'verify', *options, os.path.join(VECTORS, files.get('quote') or files['report'])])


def names(node):
    for name, part in node.items():
        yield name
        if isinstance(part, dict):
            yield from names(part)


@pytest.mark.parametrize('name', KINDS)
def test_members_are_documented(name):
    result = json.loads(verify(name, '--json').out)
    submodule = next(iter(result['submods'].values()))
    found = {*result, *submodule, *submodule['ear.trustworthiness-vector'], *names(submodule['cloche.claims'])} - {'submods'}
    for check in submodule['cloche.checks']:
        found |= set(check)
    documented = set(re.findall(r'`([\w.-]+)`', PAGE)) | {'rtmr1', 'rtmr2'}
    assert found <= documented


def test_checks_are_documented():
    with open(os.path.join(ROOT, 'verifier', 'checks.def'), encoding='utf-8') as file:
        checks = re.findall(r'CHECK\(\w+, "(\w+)", "([^"]*)",\s*"((?:[^"\\]|\\.)*)"\)', file.read())
    checks = [(name, what, fix.replace('\\"', '"')) for name, what, fix in checks]
    assert len(checks) > 40
    assert re.findall(r'^\| `([A-Z_]+)` \| (.*) \| (.*) \|$', PAGE, re.M) == checks


def test_example_is_what_is_printed():
    example = re.search(r'\$ cloche verify [^\n]*\n(.*?)```', PAGE, re.S).group(1)
    assert verify('tdx-automata-v4-outofdate', '--at', '2025-02-28T03:44:50Z').out.decode() == example


def test_exit_statuses(tmp_path):
    at = MANIFEST['tdx-phala-v4']['verify_at']
    assert verify('tdx-phala-v4', '--at', at).status == 0
    assert verify('tdx-phala-v4', '--at', 'none').status == 1
    assert verify('tdx-automata-v4-outofdate', '--at', '2025-02-28T03:44:50Z').status == 3
    assert verify('tdx-phala-v4', '--at', 'yesterday').status == 1
    assert verify('tdx-phala-v4', '--nonsense').status == 2
    assert finish([CLOCHE, 'verify']).status == 2
    assert finish([CLOCHE, 'verify', '/nonexistent']).status == 1
    junk = tmp_path / 'junk'
    junk.write_bytes(b'junk')
    done = finish([CLOCHE, 'verify', str(junk)])
    assert done.status == 3 and b'MALFORMED' in done.out


def test_report_data_must_be_what_is_expected():
    at = MANIFEST['tdx-phala-v4']['verify_at']
    actual = MANIFEST['tdx-phala-v4']['fields']['report']['report_data']
    assert verify('tdx-phala-v4', '--at', at, '--report-data', actual).status == 0
    done = verify('tdx-phala-v4', '--at', at, '--report-data', '00' * 64)
    assert done.status == 3 and b'POLICY_REPORT_DATA' in done.out
