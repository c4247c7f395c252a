# SPDX-License-Identifier: Apache-2.0
"""`cloche` as a client of the control plane, against a fake one: requests, retries, problems, pages, events, keys, approvals, the node's program."""
import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import time

import pytest
from conftest import BUILD, CLOCHE, finish
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fake_control import FakeControl, problem

ME = {'kind': 'user', 'id': 'usr_1', 'org': {'id': 'org_1', 'name': 'acme'}, 'roles': ['owner'], 'user': {'id': 'usr_1', 'name': 'ada'}}


class Here:
    def __init__(self, control, folder):
        self.control, self.folder = control, folder
        self.env = {**os.environ, 'HOME': folder, 'XDG_CONFIG_HOME': os.path.join(folder, 'config'),
                    'XDG_DATA_HOME': os.path.join(folder, 'data')}
        self.env.pop('CLOCHE_CONFIG', None)

    def run(self, *words, status=0, stdin=b''):
        got = finish([CLOCHE, *words], stdin=stdin, env=self.env)
        assert got.status == status, (got.status, got.out, got.err)
        return got

    def json(self, *words, **more):
        return json.loads(self.run(*words, '--json', **more).out)

    def login(self):
        self.control.on('POST', '/v1/login', (200, {'token': 'T0ken'}))
        self.control.on('GET', '/v1/me', (200, ME))
        return self.run('login', self.control.url, '--user', 'ada', '--password-file', '-', stdin=b'sesame\n')


@pytest.fixture
def here(tmp_path):
    control = FakeControl()
    yield Here(control, str(tmp_path))
    control.close()


def test_login_keeps_a_token_for_this_user_alone(here):
    assert b'logged in as ada of acme' in here.login().out
    asked = here.control.requests('POST', '/v1/login')[0]
    assert asked['body'] == {'name': 'ada', 'password': 'sesame'}
    path = os.path.join(here.env['XDG_CONFIG_HOME'], 'cloche', 'contexts.json')
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert here.control.requests('GET', '/v1/me')[0]['headers']['Authorization'] == 'Bearer T0ken'
    os.chmod(path, 0o644)
    assert b'others may read it' in here.run('app', 'list', status=1).err
    os.chmod(path, 0o600)
    here.control.on('POST', '/v1/logout', (204, None))
    here.run('logout')
    assert b'T0ken' not in open(path, 'rb').read()
    assert b'not logged in' in here.run('app', 'list', status=1).err


def test_a_token_never_crosses_a_network_in_the_clear(here):
    got = here.run('login', 'http://example.org:8080', '--user', 'ada', '--password-file', '-', status=2, stdin=b'x\n')
    assert b'https://HOST:PORT' in got.err
    assert not here.control.seen


def test_writes_are_repeated_with_one_key_until_they_are_answered(here):
    here.login()
    answers = [None, problem(503, 'busy', 'Busy', detail='again'), (201, {'id': 'app_1', 'name': 'hotel'})]
    here.control.on('POST', '/v1/apps', lambda request: answers.pop(0))
    assert here.json('app', 'create', 'hotel', '--lease', '10m', '--dns-name', 'a.example', '--single', 'yes')['id'] == 'app_1'
    asked = here.control.requests('POST', '/v1/apps')
    assert len(asked) == 3 and len({r['headers']['Idempotency-Key'] for r in asked}) == 1
    assert asked[0]['body'] == {'name': 'hotel', 'lease_s': 600, 'dns_names': ['a.example'], 'single': True}


def test_a_problem_says_what_to_do_and_cannot_write_on_the_terminal(here):
    here.login()
    here.control.on('GET', '/v1/apps/hotel', problem(
        409, 'x', 'Conflict', detail='bad\x1b[2Jthing\nnext', step='tcb', expected='UpToDate', actual=['OutOfDate'], fix='update it'))
    err = here.run('app', 'show', 'hotel', status=1).err
    assert b'Conflict: bad [2Jthing next; at: tcb; expected: UpToDate; found: ["OutOfDate"]; fix: update it [x]' in err
    assert b'\x1b' not in err
    here.control.on('GET', '/v1/apps/hotel', problem(403, 'forbidden', 'Forbidden'))
    assert b'refused' in here.run('app', 'show', 'hotel', status=3).err
    here.control.on('GET', '/v1/apps/hotel', problem(401, 'not-logged-in', 'Who are you'))
    assert f'`cloche login --user ada {here.control.url}` logs in again'.encode() in here.run('app', 'show', 'hotel', status=1).err
    assert json.loads(here.run('app', 'show', 'hotel', '--json', status=1).out)['status'] == 401
    here.control.on('GET', '/v1/apps/hotel', (200, ['no', 'object']))
    assert b'no JSON of this API' in here.run('app', 'show', 'hotel', status=3).err


def test_names_are_escaped_in_paths(here):
    here.login()
    here.run('app', 'show', 'a/../b?c', status=1)
    assert here.control.seen[-1]['path'] == '/v1/apps/a%2F..%2Fb%3Fc'


def test_lists_have_all_pages(here):
    here.login()
    pages = {'': ([{'name': 'a', 'id': 'app_1'}], 'app_1'), 'app_1': ([{'name': 'b', 'id': 'app_2'}], None)}

    def answer(request):
        after = dict(p.split('=') for p in request['query'].split('&')).get('after', '')
        return 200, {'items': pages[after][0], 'next': pages[after][1]}
    here.control.on('GET', '/v1/apps', answer)
    assert [a['name'] for a in here.json('app', 'list')] == ['a', 'b']
    table = here.run('app', 'list').out.decode().splitlines()
    assert table[0].split()[:2] == ['NAME', 'ID'] and table[2].startswith('b ')
    here.control.on('GET', '/v1/apps', (200, {'items': [], 'next': None}))
    assert here.run('app', 'list').out == b'no apps\n'


def test_a_report_has_all_pages_of_what_goes_on(here):
    here.login()
    first = {'app': 'app_1', 'time': '2026-01-01T00:00:00.000Z', 'builds': [], 'instances': [], 'history': [], 'releases': [{'id': '1', 'number': 1}],
             'next': {'builds': None, 'instances': None, 'history': None, 'releases': '1'}}
    here.control.on('GET', '/v1/audit/report', (200, first))
    pages = {'': ([{'id': '1', 'number': 1}], '1'), '1': ([{'id': '7', 'number': 7}], None)}

    def answer(request):
        query = dict(p.split('=') for p in request['query'].split('&'))
        assert query['app'] == 'hotel'
        return 200, {'items': pages[query.get('after', '')][0], 'next': pages[query.get('after', '')][1]}
    here.control.on('GET', '/v1/audit/report/releases', answer)
    report = here.json('audit', 'report', 'hotel')
    assert [release['number'] for release in report['releases']] == [1, 7] and 'next' not in report
    table = here.run('audit', 'report', 'hotel').out.decode()
    assert table.index('Builds') < table.index('no builds') < table.index('Which secrets were released')


def test_usage_is_status_2_and_says_where_help_is(here):
    for words in (['app'], ['app', 'create'], ['app', 'create', 'a', '--lease', '3 weeks'], ['app', 'list', '--no'], ['nothing'],
                  ['app', 'create', 'a', 'b'], ['key', 'need', 'many'], ['rollout', 'start', 'hotel']):
        assert b'help' in here.run(*words, status=2).err
    assert here.control.seen == []
    for words in (['app', '--help'], ['app', 'create', '--help'], ['help', 'approve'], ['build', '--help'], ['policy', '--help']):
        assert b'usage: cloche ' in here.run(*words).out


def test_events_go_on_after_a_lost_connection(here):
    here.login()
    parts = [b': hello\n\nid: 7\nevent: instance.started\ndata: {"object": "ins_1",\ndata:  "time": "t"}\n\nid: 8\nevent: x',
             b'id: 9\nevent: instance.stopped\ndata: {"object": "ins_1", "time": "u"}\n\n']
    here.control.on('GET', '/v1/events', lambda request: (200, parts.pop(0)))
    out = here.run('events', '--kind', 'instance.', '--count', '2').out.decode().splitlines()
    assert ['instance.started' in out[0], 'instance.stopped' in out[1], len(out)] == [True, True, 2]
    asked = here.control.requests('GET', '/v1/events')
    assert asked[1]['headers'].get('Last-Event-ID') == '7'
    here.control.on('GET', '/v1/events', (200, b'data: [' + b'1,' * 40000 + b'1]\n\n'))
    assert b'longer than' in here.run('events', status=3).err


# ---- keys and approvals ----

def unpad(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def test_a_key_is_enrolled_with_a_proof(here):
    here.login()
    public = here.json('key', 'create', 'laptop')['public_key']
    path = os.path.join(here.env['XDG_CONFIG_HOME'], 'cloche', 'keys', 'laptop.pem')
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert b'there already' in here.run('key', 'create', 'laptop', status=1).err
    here.run('key', 'create', '../evil', status=2)
    here.control.on('POST', '/v1/keys', (201, {'id': 'key_1', 'change': None}))
    here.run('key', 'enrol', 'laptop')
    body = here.control.requests('POST', '/v1/keys')[0]['body']
    assert body['public_key'] == public
    Ed25519PublicKey.from_public_bytes(unpad(public)).verify(unpad(body['proof']), b'cloche-key-1\norg_1\nusr_1\n' + unpad(public))


def test_a_passphrase_guards_a_key(here):
    here.login()
    here.run('key', 'create', 'safe', '--passphrase-file', '-', stdin=b'open up\n')
    here.control.on('POST', '/v1/keys', (201, {'id': 'key_1', 'change': None}))
    assert b'wrong passphrase' in here.run('key', 'enrol', 'safe', '--passphrase-file', '-', status=1, stdin=b'no\n').err
    here.run('key', 'enrol', 'safe', '--passphrase-file', '-', stdin=b'open up\n')


class Approval:
    """A build at the fake server, and its statement as it should be."""

    def __init__(self, here):
        self.here = here
        descriptor = '{"args":["/bin/hotel"],"name":"hotel"}'
        digest = hashlib.sha384(descriptor.encode()).hexdigest()
        self.build = {'id': 'bld_2', 'app': 'app_1', 'version': '1.1', 'app_digest': digest, 'mrenclave': '11' * 32, 'mrsigner': '22' * 32,
                      'isv_prod_id': 1, 'isv_svn': 2, 'snp_measurement': None, 'tdx_mrtd': None, 'debug': False, 'descriptor': descriptor,
                      'state': 'proposed', 'created': '2030-01-01T00:00:00Z', 'changed': '2030-01-01T00:00:00Z', 'proposed_by': 'usr_1'}
        self.statement = {'type': 'cloche-approval-1', 'action': 'allow', 'org': 'org_1', 'org_name': 'acme', 'app': 'app_1', 'app_name': 'hotel',
                          'build': 'bld_2', **{m: self.build[m] for m in ('version', 'debug', 'app_digest', 'mrenclave', 'mrsigner',
                                                                          'isv_prod_id', 'isv_svn')}}
        present = {**self.build, 'id': 'bld_1', 'version': '1.0', 'state': 'allowed', 'descriptor': '{"args":["/bin/inn"],"debug":true}'}
        here.login()
        public = here.json('key', 'create', 'laptop')['public_key']
        self.key = Ed25519PublicKey.from_public_bytes(unpad(public))
        c = here.control
        c.on('GET', '/v1/keys', (200, {'items': [{'id': 'key_1', 'public_key': public, 'state': 'active'}], 'next': None}))
        c.on('GET', '/v1/apps/app_1', (200, {'id': 'app_1', 'name': 'hotel'}))
        c.on('GET', '/v1/apps/app_1/builds', (200, {'items': [present, self.build], 'next': None}))
        c.on('GET', '/v1/apps/hotel/builds', (200, {'items': [present, self.build], 'next': None}))
        c.on('GET', '/v1/builds/bld_1', (200, present))
        c.on('GET', '/v1/builds/bld_2', lambda request: (200, self.build))
        c.on('GET', '/v1/builds/bld_2/approvals', lambda request: (200, {'statement': self.text(), 'needed': 2, 'given': 0, 'approvals': []}))
        c.on('POST', '/v1/builds/bld_2/approvals', (200, {'statement': '', 'needed': 2, 'given': 1, 'state': 'proposed', 'approvals': []}))

    def text(self):
        return json.dumps(self.statement, sort_keys=True, separators=(',', ':'))

    def given(self):
        return self.here.control.requests('POST', '/v1/builds/bld_2/approvals')


def test_an_approval_signs_what_was_shown(here):
    a = Approval(here)
    assert b'not approved' in here.run('approve', 'hotel/1.1', status=1).err and not a.given()
    got = here.run('approve', 'hotel/1.1', '--yes')
    assert b'approved: 1 of 2' in got.out
    shown = got.err.decode()
    for text in 'build 1.1 of the app hotel', a.build['app_digest'], '11' * 32, 'present build 1.0', '~ "args": ["/bin/inn"] -> ["/bin/hotel"]', '- "debug": true':
        assert text in shown
    body = a.given()[0]['body']
    assert body['key'] == 'key_1'
    a.key.verify(unpad(body['signature']), a.text().encode())
    with pytest.raises(InvalidSignature):
        a.key.verify(unpad(body['signature']), b'{}')


@pytest.mark.parametrize('change', [
    {'app_digest': '00' * 48}, {'mrenclave': '33' * 32}, {'mrenclave': None}, {'build': 'bld_1'}, {'app': 'app_2'}, {'org': 'org_2'},
    {'action': 'revoke'}, {'type': 'other'}, {'more': 1}, {'debug': True}, {'isv_svn': 1}])
def test_nothing_else_is_signed(here, change):
    a = Approval(here)
    a.statement = {k: v for k, v in {**a.statement, **change}.items() if v is not None}
    assert b'nothing was signed' in here.run('build', 'allow', 'bld_2', '--yes', status=3).err
    assert not a.given()


def test_a_descriptor_that_is_not_the_digests_is_not_approved(here):
    a = Approval(here)
    a.build['descriptor'] = '{"args":["/bin/evil"]}'
    assert b'not that of app digest' in here.run('approve', 'bld_2', '--yes', status=3).err
    assert not a.given()


def test_a_secrets_value_comes_from_a_file_and_is_never_shown(here):
    here.login()
    here.control.on('POST', '/v1/secrets', (201, {'id': 'sec_1', 'name': 'db', 'version': 1}))
    path = os.path.join(here.folder, 'value')
    with open(path, 'w') as file:
        file.write('pa55\n')
    words = ['secret', 'set', 'db', '--env', 'DB_PASSWORD', '--app', 'hotel', '--app', 'inn/1.0', '--emulated', 'yes']
    got = here.run(*words, '--file', path)
    here.run(*words, stdin=b'pa55\n')
    here.run(*words, '--exact', stdin=b'pa55\n')
    one, two, three = [r['body'] for r in here.control.requests('POST', '/v1/secrets')]
    assert one == two == {'name': 'db', 'deliver': {'env': 'DB_PASSWORD'}, 'conditions': {'emulated': True},
                          'bindings': [{'app': 'hotel'}, {'app': 'inn', 'build': '1.0'}], 'value': 'cGE1NQ'}
    assert three['value'] == 'cGE1NQo'
    assert b'pa55' not in got.out + got.err and b'cGE1' not in got.out + got.err
    here.run(*words, '--path', '/x', status=2, stdin=b'x')
    here.run('secret', 'import', 'db', status=2)


# ---- the node's program ----

class Node:
    def __init__(self, here, *options):
        self.here, self.folder = here, os.path.join(here.folder, 'node')
        self.work, self.tag, self.options = [], 0, options
        c = here.control
        c.on('POST', '/v1/nodes/join', (201, {'node': {'id': 'nod_1', 'name': 'n'}, 'token': 'N0de'}))
        c.on('POST', '/v1/node/heartbeat', (200, {'id': 'nod_1'}))
        c.on('POST', '/v1/node/reports', lambda request: (200, {'taken': len(request['body']['instances']), 'unknown': []}))
        c.on('GET', '/v1/node/work', self.answer)

    def answer(self, request):
        after = dict(p.split('=') for p in request['query'].split('&')).get('after')
        until = time.monotonic() + 2
        while after == str(self.tag) and time.monotonic() < until:
            time.sleep(0.02)
        return 200, {'tag': str(self.tag), 'state': 'ready', 'instances': self.work}

    def place(self, *work):
        self.work, self.tag = list(work), self.tag + 1

    def start(self):
        self.err = open(os.path.join(self.here.folder, 'node.err'), 'ab')
        self.child = subprocess.Popen([CLOCHE, 'node', 'run', '--folder', self.folder, *self.options], env=self.here.env,
                                      stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err)

    def stop(self, signal_number=signal.SIGTERM):
        self.child.send_signal(signal_number)
        status = self.child.wait(60)
        self.err.close()
        return status

    def reports(self, instance):
        return [i for r in self.here.control.seen if r['path'] == '/v1/node/reports' for i in r['body']['instances'] if i['id'] == instance]

    def wait_for(self, instance, process):
        self.here.control.wait_for(lambda: any(r['process'] == process for r in self.reports(instance)))
        return [r for r in self.reports(instance) if r['process'] == process][-1]


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Sealed images of a static program that ends with 7, and of one that sleeps; (path, app digest) each."""
    folder, made = tmp_path_factory.mktemp('images'), {}
    root = folder / 'root'
    root.mkdir()
    source = folder / 'p.c'
    source.write_text('#include <stdlib.h>\n#include <unistd.h>\nint main(int c, char **v)\n{\n    write(1, "hello\\n", 6);\n'
                      '    if (c > 1)\n        pause();\n    return getenv("CLOCHE_INSTANCE") ? 7 : 8;\n}\n')
    subprocess.run(['cc', '-static', '-O1', '-w', '-o', str(root / 'p'), str(source)], check=True)
    for name, entry in ('ends', '[/p]'), ('stays', '[/p, stay]'):
        config = folder / (name + '.yaml')
        config.write_text(f'entrypoint: {entry}\nenv: {{from_host: [CLOCHE_INSTANCE]}}\nlimits: {{memory: 64M, threads: 8}}\n')
        got = finish([CLOCHE, 'build', '--json', '-f', str(config), str(root), '-o', str(folder / (name + '.tar'))],
                     env={**os.environ, 'XDG_CONFIG_HOME': str(folder)})
        assert got.status == 0, got.err
        made[name] = str(folder / (name + '.tar')), json.loads(got.out)['app_digest']
    return made


def item(instance, image, wanted='run', **more):
    return {'id': instance, 'wanted': wanted, 'state': 'requested', 'app': 'app_1', 'app_name': 'a', 'build': 'bld_1', 'version': '1',
            'app_digest': image[1], 'image': image[0], 'grace_s': 5, **more}


@pytest.fixture
def node(here):
    node = Node(here)
    here.run('node', 'join', here.control.url, '--folder', node.folder, stdin=b'J0in\n')
    node.start()
    yield node
    if node.child.poll() is None:
        node.child.kill()
        node.child.wait()


def test_a_node_joins_once(here):
    node = Node(here)
    words = ['node', 'join', here.control.url, '--folder', node.folder, '--name', 'n']
    here.run(*words, stdin=b'J0in\n')
    body = here.control.requests('POST', '/v1/nodes/join')[0]['body']
    public = serialization.load_der_public_key(base64.urlsafe_b64decode(body.pop('public_key') + '=='))
    assert body == {'token': 'J0in', 'name': 'n'} and public.curve.name == 'secp256r1'
    key = os.path.join(node.folder, 'key.pem')
    own = serialization.load_pem_private_key(open(key, 'rb').read(), None).public_key()
    assert own.public_numbers() == public.public_numbers() and os.stat(key).st_mode & 0o777 == 0o600
    assert os.stat(os.path.join(node.folder, 'node.json')).st_mode & 0o777 == 0o600
    assert b'joined already' in here.run(*words, status=1, stdin=b'J0in\n').err
    assert b'has not joined' in here.run('node', 'run', '--folder', node.folder + '2', status=1).err


def test_a_node_runs_and_reports(node, images):
    wrong = (images['ends'][0], '00' * 48)
    node.place(item('ins_a', images['ends']), item('ins_b', wrong), item('ins_c', (None, '00' * 48)), item('ins_d', ('/no/such', '00' * 48)),
               item('ins_e', images['ends'], state='running'))
    assert node.wait_for('ins_a', 'exited')['exit_status'] == 7
    assert 'is not the build' in node.wait_for('ins_b', 'exited')['reason']
    assert 'where its image is' in node.wait_for('ins_c', 'failed')['reason']
    assert 'no such' in node.wait_for('ins_d', 'exited')['reason'].lower()
    assert 'does not run it' in node.wait_for('ins_e', 'exited')['reason']
    beat = node.here.control.requests('POST', '/v1/node/heartbeat')[0]
    assert beat['body']['tee'] == 'sgx' and beat['body']['capacity']['instances'] == 16 and beat['headers']['Authorization'] == 'Bearer N0de'
    node.place()
    assert b'hello' in open(os.path.join(node.folder, 'instances', 'ins_a.log'), 'rb').read()
    assert node.stop() == 0


def test_a_node_stops_what_it_is_told_to(node, images):
    node.place(item('ins_a', images['stays']), item('ins_b', images['stays']))
    node.wait_for('ins_a', 'running')
    node.wait_for('ins_b', 'running')
    node.place(item('ins_a', images['stays'], wanted='stop', grace_s=1), item('ins_b', images['stays']))
    assert node.wait_for('ins_a', 'exited')['exit_status'] in (137, 143)
    assert node.stop() == 0
    assert node.wait_for('ins_b', 'exited')['exit_status'] in (137, 143)


def test_a_node_that_was_killed_finds_its_instances_again(node, images):
    node.place(item('ins_a', images['stays']), item('ins_b', images['ends']))
    node.wait_for('ins_a', 'running')
    node.wait_for('ins_b', 'exited')
    node.stop(signal.SIGKILL)
    before = len(node.here.control.seen)
    node.start()
    node.here.control.wait_for(lambda: any(i['id'] == 'ins_a' for r in node.here.control.seen[before:] if r['path'] == '/v1/node/reports'
                                           for i in r['body']['instances']))
    assert node.reports('ins_a')[-1]['process'] == 'running'
    assert node.reports('ins_b')[-1] == {'id': 'ins_b', 'process': 'exited', 'exit_status': 7}
    node.place(item('ins_a', images['stays'], wanted='stop', state='running', grace_s=1))
    assert node.wait_for('ins_a', 'exited')['exit_status'] in (137, 143)
    assert node.stop() == 0


def test_a_revoked_node_stops_everything(node, images):
    node.place(item('ins_a', images['stays']))
    node.wait_for('ins_a', 'running')
    node.here.control.on('GET', '/v1/node/work', problem(401, 'not-logged-in', 'Revoked'))
    node.place()
    assert node.child.wait(60) == 3
    err = open(os.path.join(node.here.folder, 'node.err')).read()
    assert 'refuses this node' in err and 'ins_a exited' in err


# ---- what is made from the table of commands ----

def verbs_of(here):
    """Every verb that speaks with a server, as its help writes it: (words, needed arguments and options)."""
    found = {}
    for command in ('app', 'key', 'approve', 'instance', 'top', 'events', 'rollout', 'secret', 'policy', 'node', 'audit', 'ca', 'user', 'token', 'logout', 'build'):
        text = here.run(command, '--help').out.decode()
        assert max(len(line) for line in text.split('\n\n')[0].splitlines()) <= 110, command
        for line in re.sub(r'\n {8,}', ' ', text.replace('usage: ', '       ')).splitlines():
            words = line.split()
            if words[:2] != ['cloche', command] or not line.startswith('       cloche'):
                continue
            verb = [word for word in words[1:3] if re.fullmatch('[a-z-]+', word) and not word.startswith('--')]
            line = ' '.join(words[1 + len(verb):])
            found[tuple(verb)] = re.sub(r'\[[^]]*\](\.\.\.)?', '', line).split()
    return found


def test_every_verb_says_how_it_is_used_and_what_is_missing(here):
    verbs = verbs_of(here)
    assert len(verbs) > 60 and ('rollout', 'start') in verbs and verbs['rollout', 'start'] == ['--new', 'BUILD', '--old', 'BUILD', '--end', 'TIME', 'APP']
    for verb, needed in verbs.items():
        if verb[0] in ('build', 'policy') and len(verb) == 1 or verb[:2] in (('policy', 'check'), ('policy', 'diff'), ('policy', 'try')):
            continue  # these work on files
        assert here.run(*verb, '--help').out.startswith(b'usage: cloche '), verb
        assert b'--no-such' in here.run(*verb, '--no-such', status=2).err, verb
        if needed:
            assert f'`cloche {verb[0]} --help`'.encode() in here.run(*verb, status=2).err, verb
    assert b'--old BUILD is needed' in here.run('rollout', 'start', 'hotel', '--new', '2', '--end', '+1d', status=2).err
    assert b'--role ROLE is needed' in here.run('user', 'create', 'ada', status=2).err
    assert here.control.seen == []


def test_whoever_is_not_logged_in_hears_how(here):
    for words in (['app', 'list'], ['instance', 'list'], ['audit', 'verify'], ['top', '--once'], ['logout'], ['token', 'list']):
        got = here.run(*words, status=1)
        assert b'`cloche login URL`' in got.err and not got.out, words


def test_the_program_says_its_version_and_its_commands(here):
    assert re.fullmatch(rb'cloche \d+\.\d+\.\d+\n', here.run('--version').out) and here.run('version').out == here.run('--version').out
    assert here.run('-h').out == here.run('--help').out == here.run('help').out
    assert b'no command "aap"' in here.run('aap', status=2).err
    assert b'--no is not expected' in here.run('doctor', '--no', status=2).err


def test_tables_stay_straight_and_lists_of_objects_are_read_by_people(here):
    here.login()
    here.control.on('GET', '/v1/users', (200, {'items': [{'id': 'usr_1', 'name': 'Zoë Ünïcöde', 'roles': ['owner', 'reader']}, {'id': 'usr_2', 'name': 'x' * 300, 'roles': []},
                                                         {'id': 'usr_3', 'name': 'é' * 200, 'roles': ['reader']}], 'next': None}))
    lines = here.run('user', 'list').out.decode().splitlines()  # strict: nothing is cut within a character
    column = lines[0].index('ID ')
    assert [line[column:column + 5] for line in lines[1:]] == ['usr_1', 'usr_2', 'usr_3'] and 'owner, reader' in lines[1] and ' -  ' in lines[2]
    here.control.on('GET', '/v1/roster', (200, {'version': 1, 'needed': 2, 'keys': [{'id': 'key_1', 'state': 'active'}, {'id': 'key_2', 'state': 'retired'}]}))
    text = here.run('key', 'roster').out.decode()
    assert '{' not in text and [line.split()[-1] for line in text.splitlines() if 'state' in line] == ['active', 'retired']
    here.control.on('GET', '/v1/ca', (200, {'trust_domain': 'acme.example', 'authorities': [{'id': 'cas_1', 'kind': 'root', 'state': 'current', 'own': False, 'pin': 'ab' * 32,
                                                                                            'certificate': 'PEM', 'expires': None}]}))
    assert here.run('ca', 'show').out.decode().splitlines()[-1].split() == ['cas_1', 'root', 'current', 'no', '-', 'ab' * 32]
    here.control.on('GET', '/v1/secrets', (200, {'items': [{'id': 'sec_1', 'name': 'db', 'version': 1, 'deliver': {'env': 'DB'}, 'bindings': []}], 'next': None}))
    assert 'env DB' in here.run('secret', 'list').out.decode()


def test_manual_page_and_completion_know_all_commands(here):
    names = [line.split()[0] for line in here.run('help').out.decode().splitlines() if line.startswith('  ')]
    man = here.run('help', '--man').out.decode()
    assert all(f'.SS {name}\n' in man for name in names)
    script = os.path.join(here.folder, 'c.bash')
    with open(script, 'wb') as file:
        file.write(here.run('help', '--completion').out)
    ask = f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cloche; echo "${{COMPREPLY[@]}}"'

    def complete(*words):
        return subprocess.run(['bash', '-c', ask, 'bash', 'cloche', *words], capture_output=True, text=True, check=True).stdout.split()
    assert complete('') == ['help', *names]
    assert complete('app', 'cr') == ['create']
    assert complete('app', 'create', '--le') == ['--lease']
    assert '--explain' in complete('verify', '--e')


# Texts of a hostile server, or of whoever named an object: colours, cursor, title, a line of their own, characters from right to left.
EVIL = 'x\x1b[2J\x1b]0;own\x07\x9b31m\r\nroot ok\x7f\u202egnp.\u2066\u200b\u2028y'
SHOWN = [('app', 'list'), ('app', 'show', 'x'), ('build', 'list', 'x'), ('build', 'show', 'x'), ('instance', 'list'), ('instance', 'show', 'x'), ('instance', 'history', 'x'),
         ('node', 'list'), ('node', 'show', 'x'), ('node', 'token'), ('user', 'list'), ('user', 'show', 'x'), ('token', 'list'), ('token', 'create', 'x'), ('secret', 'list'),
         ('secret', 'show', 'x'), ('secret', 'versions', 'x'), ('rollout', 'list'), ('rollout', 'status', 'x'), ('policy', 'list'), ('policy', 'show', 'x'),
         ('audit', 'list'), ('audit', 'report', 'x'), ('key', 'list'), ('approve', 'list'), ('org', 'show'), ('ca', 'show'), ('events',), ('top', '--once'), ('login',)]


class Anything(dict):
    """Has every member, each with a hostile text; as JSON a list's page of such objects, too."""

    def __init__(self):
        names = ('id name state version app build node user kind object reason detail created changed seen expires used revoked platform tee tcb_status tcb software location '
                 'email roles bindings delivery deliver conditions source size by actor action decision entry time text token statement needed given public_key signature '
                 'title fix code step expected actual image app_digest mrenclave mrsigner proposed_by policy refusal wanted exit_status org trust_domain old_build end '
                 'deprecated_from deprecated_until new_count old_count dns_names lease_s certificate_s value fingerprint pin certificate authorities').split()
        plain = {name: EVIL for name in names}
        super().__init__(plain, items=[plain, {**plain, 'roles': [EVIL], 'dns_names': [EVIL], 'entry': plain, 'policy': plain}], next=None, roles=[EVIL], org=plain, user=plain,
                         instances=[plain], approvals=[plain], builds=[plain], releases=[plain], authorities=[plain])


def is_quiet(data):
    """Whether a terminal shows it and does nothing else, each line being one that the command began."""
    text = data.decode(errors='replace')
    return not [c for c in text if (c < ' ' and c != '\n') or '\x7f' <= c < '\xa0' or c in '\u2028\u2029' or '\u200b' <= c <= '\u200f' or '\u202a' <= c <= '\u202e'
                or '\u2060' <= c <= '\u206f'] and not [line for line in text.splitlines() if line.startswith('root ok')]


@pytest.mark.parametrize('words', SHOWN, ids=[' '.join(words) for words in SHOWN])
@pytest.mark.parametrize('is_refused', [False, True], ids=['shown', 'refused'])
def test_hostile_texts_do_nothing_to_a_terminal(here, words, is_refused):
    here.login()
    evil = (409, Anything()) if is_refused else (200, Anything())
    stream = b'id: 1\nevent: ' + EVIL.split('\r')[0].encode() + b'\ndata: ' + json.dumps({'object': EVIL, 'data': {'reason': EVIL}}).encode() + b'\n\n'

    class All(dict):
        def get(self, key, default=None):
            return (200, stream) if key[1] == '/v1/events' and not is_refused else evil

    here.control.answers = All()
    if words == ('login',):
        words = ('login', here.control.url, '--user', 'ada', '--password-file', '-')
    if words == ('events',):
        words = ('events', '--count', '1')
    got = finish([CLOCHE, *words], stdin=b'sesame\n', env=here.env)
    assert is_quiet(got.out) and is_quiet(got.err), (got.out, got.err)
    assert got.status >= 0
