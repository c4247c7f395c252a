# SPDX-License-Identifier: Apache-2.0
"""Appraisal policies: the schema and the verifier know the same members and bounds; `cloche policy check`, `diff` and `try`."""
import importlib.util
import json
import os
import re
import shutil

import jsonschema
import pytest
from conftest import CLOCHE, ROOT, finish

POLICY_FOLDER = os.path.join(ROOT, 'verifier', 'policy')
VECTORS = os.path.join(ROOT, 'tests', 'vectors', 'public')
with open(os.path.join(POLICY_FOLDER, 'schema.json'), encoding='utf-8') as schema_file:
    SCHEMA = json.load(schema_file)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
with open(os.path.join(VECTORS, 'manifest.json'), encoding='utf-8') as manifest_file:
    MANIFEST = {entry['id']: entry for entry in json.load(manifest_file)['vectors']}
# What an identity needs beside the member that is looked at.
IDENTITY = {'sgx': {'mrenclave': '01' * 32}, 'tdx': {'mrtd': '01' * 48}, 'snp': {'measurement': '01' * 48}}


def resolve(node):
    """The node with what it refers to."""
    while '$ref' in node:
        target = SCHEMA
        for step in node['$ref'][2:].split('/'):
            target = target[step]
        node = {**target, **{key: value for key, value in node.items() if key != '$ref'}}
    return node


def sample(node):
    """A value that the node allows, and that asks for something."""
    node = resolve(node)
    if 'const' in node:
        return node['const']
    if 'enum' in node:
        return node['enum'][0]
    if 'oneOf' in node and 'properties' not in node:
        return sample(node['oneOf'][-1])
    if node.get('type') == 'boolean':
        return True
    if node.get('type') == 'integer':
        return max(1, node.get('minimum', 0))
    if node.get('type') == 'array':
        return [sample(node['items'])]
    if node.get('type') == 'object':
        names = set(node.get('required', [])) or set(list(node['properties'])[:1])
        for choice in ('anyOf', 'oneOf'):
            names |= set(node[choice][0]['required']) if choice in node else set()
        return {name: sample(node['properties'][name]) for name in names}
    pattern = node.get('pattern', '')
    digits = re.search(r'\{(\d+)\}\$?', pattern)
    if 'T[' in pattern:
        return '2024-01-01T00:00:00Z'
    if 'Milan' in pattern:
        return 'Milan'
    return '01' * (int(digits.group(1)) // 2) if digits else 'name'


def leaves(node, path=()):
    """(path, node) of everything that has no members of its own."""
    node = resolve(node)
    if node.get('type') == 'array' and 'properties' in resolve(node['items']):
        yield from leaves(node['items'], path + (0,))
    elif 'properties' in node:
        for name, part in node['properties'].items():
            yield from leaves(part, path + (name,))
    else:
        yield path, node


def policy_with(path, value):
    """The smallest policy that has this value there."""
    policy = {'version': 1}
    if path[0] == 'identities':
        kind = path[2] if path[2] in IDENTITY else 'snp' if path[2] == 'app_digest' else 'sgx'
        policy['identities'] = [{'name': 'one', kind: dict(IDENTITY[kind])}]
    at = policy
    for step in path[:-1]:
        at = at[step] if isinstance(step, int) else at.setdefault(step, {})
    at[path[-1]] = value
    # The halves of a mask stand together.
    if path[-1] in ('value', 'mask'):
        at['mask'] = at.setdefault('mask', value)
        at['value'] = at.get('value', value)
    return policy


LEAVES = list(leaves(SCHEMA))


@pytest.fixture
def write(tmp_path):
    def to_file(policy, name='policy.json'):
        path = tmp_path / name
        path.write_text(policy if isinstance(policy, str) else json.dumps(policy))
        return str(path)
    return to_file


def cloche(*arguments):
    return finish([CLOCHE, 'policy', *arguments])


def is_policy(path):
    done = cloche('check', path)
    assert done.status in (0, 3), done.err
    return done.status == 0


# ---- the schema and the parser ----

def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert len(LEAVES) > 60


def test_examples_fit(write):
    with open(os.path.join(ROOT, 'docs', 'policy.md'), encoding='utf-8') as file:
        examples = re.findall(r'```json\n(.*?)```', file.read(), re.S)
    seeds = os.path.join(ROOT, 'tests', 'fuzz', 'corpus', 'policy')
    for name in os.listdir(seeds):
        with open(os.path.join(seeds, name), encoding='utf-8') as file:
            examples.append(file.read())
    assert len(examples) >= 3
    for example in examples:
        VALIDATOR.validate(json.loads(example))
        assert is_policy(write(example))


def wrong_values(node):
    yield from ([[]], {'a': 1}, -1, 1 << 70)
    for bound, step in (('maximum', 1), ('minimum', -1)):
        if bound in node:
            yield node[bound] + step
    if node.get('type') == 'string' and node.get('pattern', '').startswith('^[0-9a-fA-F]'):
        yield from (sample(node) + '00', sample(node)[2:], 'x' + sample(node)[1:])


def right_values(node):
    yield sample(node)
    yield from (node[bound] for bound in ('maximum', 'minimum') if bound in node)


def test_policies_of_the_vectors_fit(tmp_path):
    spec = importlib.util.spec_from_file_location('vectors_run', os.path.join(VECTORS, '..', 'run.py'))
    vectors_run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(vectors_run)
    runner, seen = vectors_run.Runner(VECTORS, CLOCHE, None), set()
    for entry in MANIFEST.values():
        with open(runner.write_policy(entry, str(tmp_path)), encoding='ascii') as file:
            seen.add(file.read())
    assert len(seen) > 1
    for text in seen:
        VALIDATOR.validate(json.loads(text))


@pytest.mark.parametrize('path, node', LEAVES, ids=['.'.join(str(step) for step in path) for path, _ in LEAVES])
def test_member_is_known_to_both(write, path, node):
    policies = [(policy_with(path, value), True) for value in right_values(node)]
    policies += [(policy_with(path, value), False) for value in wrong_values(node)]
    for policy, good in policies:
        assert VALIDATOR.is_valid(policy) == good, policy
    files = [write(policy, f'{number}.json') for number, (policy, _) in enumerate(policies)]
    answers = json.loads(cloche('check', '--json', *files).out)
    assert [(policy, answer['valid']) for (policy, _), answer in zip(policies, answers)] == policies


def test_members_of_the_parser_are_in_the_schema():
    names = set()
    for file_name in sorted(os.listdir(POLICY_FOLDER)):
        if re.fullmatch(r'policy_\w+\.c', file_name):
            with open(os.path.join(POLICY_FOLDER, file_name), encoding='utf-8') as file:
                names |= set(re.findall(r'\{ "(\w+)",\s+\w*read\w*,', file.read()))
    assert names == {step for path in all_names(SCHEMA) for step in path}


def all_names(node):
    node = resolve(node)
    for choice in node.get('oneOf', []) if 'properties' not in node else []:
        yield from all_names(choice)
    if node.get('type') == 'array':
        yield from all_names(node['items'])
    for name, part in node.get('properties', {}).items():
        yield (name,)
        yield from all_names(part)


@pytest.mark.parametrize('extra', [{'debgu': True}, {'intel': {'tcb_stauts': []}}, {'amd': {'tcb_min': {'Rome': {}}}}, {'freshness': {'once': 1}}])
def test_misspelt_members_are_refused_by_both(write, extra):
    policy = {'version': 1, **extra}
    assert not VALIDATOR.is_valid(policy)
    done = cloche('check', write(policy))
    assert done.status == 3 and b'line 1, column' in done.err and b'no member of this name' in done.err


def test_check_as_json(write):
    done = cloche('check', '--json', write('{"version": 2}'))
    assert done.status == 3
    assert json.loads(done.out)[0]['valid'] is False and 'version 1' in json.loads(done.out)[0]['error']
    assert json.loads(cloche('check', '--json', write({'version': 1})).out)[0]['valid'] is True


def test_usage():
    assert cloche().status == 2
    assert cloche('check').status == 2
    assert cloche('diff', 'one').status == 2
    assert cloche('try', 'one').status == 2
    assert cloche('try', '--nonsense', 'a', 'b').status == 2
    assert cloche('check', '/nonexistent').status == 1
    assert b'usage' in cloche('--help').out


# ---- diff ----

@pytest.mark.parametrize('path, node', [(path, node) for path, node in LEAVES if path[-1] not in ('version', 'name')],
                         ids=['.'.join(str(step) for step in path) for path, _ in LEAVES if path[-1] not in ('version', 'name')])
def test_diff_sees_each_member(write, path, node):
    """From "asks for nothing" to the member and back: what one direction accepts, the other one refuses."""
    value = sample(node)
    if node.get('type') == 'boolean' and path[0] != 'debug':
        value = path[-1] in ('nonce', 'single_socket') or len(path) > 2  # the value that is not the default
    if path[-1] == 'grace_days':
        value = {'status': 'OutOfDate', 'grace_days': 5}
    was = {'version': 1}
    if path[0] == 'identities':
        kind = path[2] if path[2] in IDENTITY else 'snp'
        was['identities'] = [{'name': 'one', kind: dict(IDENTITY[kind])}]
        value = value if isinstance(value, int) else value.replace('01', '02')
    is_ = policy_with(path, value)
    if path[-1] == 'vmpl_max':
        assert value < 3
    there = json.loads(cloche('diff', '--json', write(was, 'was'), write(is_, 'is')).out)
    back = json.loads(cloche('diff', '--json', write(is_, 'was'), write(was, 'is')).out)
    assert there and back
    turned = {'accepts': 'refuses', 'refuses': 'accepts', 'other': 'other'}
    # A change is named by the member that made it; masks by the field that they are of.
    written = '.'.join(step for step in path if not isinstance(step, int) and step not in ('value', 'mask'))
    assert path[0] == 'identities' or all(c['member'].split(' ')[0].startswith(written.split('.tcb_status')[0]) for c in there)
    assert sorted((c['member'], turned[c['effect']]) for c in there) == sorted((c['member'], c['effect']) for c in back)
    assert cloche('diff', write(is_, 'was'), write(is_, 'is')).out == b'both policies accept the same\n'


def test_diff_in_words(write):
    was = {'version': 1, 'intel': {'tcb_status': ['UpToDate', {'status': 'OutOfDate', 'grace_days': 60}], 'tcb_evaluation_min': 16}}
    is_ = {'version': 1, 'tee': ['sgx'], 'debug': True, 'intel': {'tcb_status': ['UpToDate', {'status': 'OutOfDate', 'grace_days': 30}]}}
    done = cloche('diff', write(was, 'was'), write(is_, 'is'))
    assert done.status == 0
    assert [line.split(maxsplit=1) if line.startswith(' ') else line for line in done.out.decode().splitlines()] == [
        'becomes accepted', ['debug', 'debug mode'], ['intel.tcb_evaluation_min', 'any; before: at least 16'],
        'becomes refused', ['tee', 'tdx'], ['tee', 'snp'], ['intel.tcb_status', 'OutOfDate for 30 days; before: for 60 days']]


# ---- try ----

COLLATERAL = {'tcb_info': 'tcb_info.json', 'tcb_info_issuer_chain': 'tcb_info_issuer_chain.pem', 'qe_identity': 'qe_identity.json',
              'qe_identity_issuer_chain': 'qe_identity_issuer_chain.pem', 'pck_crl': 'pck_crl.der',
              'pck_crl_issuer_chain': 'pck_crl_issuer_chain.pem', 'root_ca_crl': 'root_ca_crl.der'}


@pytest.fixture
def folder(tmp_path):
    """Three pieces of evidence with their collateral: UpToDate, OutOfDate, damaged. Collateral is beside one, below the others."""
    for name, collateral in (('GOOD', ''), ('OLD', 'collateral'), ('BAD', 'collateral')):
        entry = MANIFEST[TRY[name]]
        to = tmp_path / 'evidence' / name.lower()
        (to / collateral).mkdir(parents=True)
        shutil.copy(os.path.join(VECTORS, entry['files']['quote']), to / 'quote.bin')
        for role, file_name in COLLATERAL.items():
            shutil.copy(os.path.join(VECTORS, entry['files'][role]), to / collateral / file_name)
    (tmp_path / 'evidence' / 'notes.txt').write_text('no evidence')
    return str(tmp_path / 'evidence')


TRY = {'GOOD': 'tdx-phala-v4', 'OLD': 'tdx-automata-v4-outofdate', 'BAD': 'neg-tdx4-reportdata-bit'}


def tried(*arguments):
    done = cloche('try', '--json', *arguments)
    return done.status, {os.path.basename(os.path.dirname(entry['evidence'])): entry for entry in json.loads(done.out)}


def test_try_judges_each(write, folder):
    at = MANIFEST[TRY['OLD']]['verify_at']
    strict, lax = write({'version': 1}, 'strict'), write({'version': 1, 'intel': {'tcb_status': ['UpToDate', 'OutOfDate']}}, 'lax')
    status, entries = tried('--at', at, strict, folder)
    assert status == 3 and set(entries) == {'good', 'old', 'bad'}
    assert entries['old']['check'] == 'POLICY_TCB_STATUS' and entries['old']['tcb_status'] == 'OutOfDate'
    assert entries['bad']['check'] == 'QUOTE_SIGNATURE' and not entries['bad']['accepted']
    status, entries = tried('--at', at, '--against', strict, lax, folder + '/old')
    assert status == 0 and entries['old']['change'] == 'now accepted' and entries['old']['accepted_before'] is False
    status, entries = tried('--at', at, '--against', lax, strict, folder + '/old/quote.bin')
    assert status == 3 and entries['old']['change'] == 'now refused'
    done = cloche('try', '--at', at, '--against', strict, lax, folder)
    assert done.status == 3 and b'3 pieces of evidence' in done.out and b'accepts 1 more and refuses 0 more' in done.out


def test_try_without_evidence(write, folder, tmp_path):
    policy = write({'version': 1})
    assert cloche('try', policy, folder + '/notes.txt').status == 3
    (tmp_path / 'empty').mkdir()
    assert cloche('try', policy, str(tmp_path / 'empty')).status == 1
    assert cloche('try', policy, '/nonexistent').status == 1
    assert cloche('try', write('{', 'wrong'), folder).status == 3
    (tmp_path / 'empty' / 'none.bin').write_bytes(b'')
    assert cloche('try', policy, str(tmp_path / 'empty')).status == 1
