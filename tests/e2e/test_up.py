# SPDX-License-Identifier: Apache-2.0
"""`cloche up`, `status` and `down` with the real server and node, and the subcommands against them: what a first user types."""
import base64
import contextlib
import hmac
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import time

import pytest
from conftest import CLOCHE, finish


def free_port():
    """One below those that the kernel gives to connections, so that none takes it before the server does."""
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(('127.0.0.1', port))
            return port
    raise OSError('no free port')


class Here:
    def __init__(self, folder):
        self.home, self.folder = os.path.join(folder, 'home'), os.path.join(folder, 'cloche')
        os.makedirs(self.home)
        self.env = {**os.environ, 'HOME': self.home, 'CLOCHE_FOLDER': self.folder}
        for name in 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'CLOCHE_CONFIG', 'CLOCHE_QUOTE_SOCKET', 'CLOCHE_COLLATERAL':
            self.env.pop(name, None)
        self.listen = f'127.0.0.1:{free_port()}'

    def run(self, *words, status=0, stdin=b''):
        got = finish([CLOCHE, *words], stdin=stdin, env=self.env, timeout=120)
        assert got.status == status, (words, got.status, got.out, got.err)
        return got

    def json(self, *words, **more):
        return json.loads(self.run(*words, '--json', **more).out)

    def programs(self):
        return {name: int(open(os.path.join(self.folder, name + '.pid')).read().split()[0]) for name in ('quoting', 'cloched', 'node')
                if os.path.exists(os.path.join(self.folder, name + '.pid'))}


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    here = Here(str(tmp_path_factory.mktemp('up')))
    try:
        here.run('up', '--listen', here.listen)
        yield here
    finally:
        programs = here.programs()
        finish([CLOCHE, 'down'], env=here.env, timeout=120)
        assert not any(os.path.exists(f'/proc/{pid}') and 'cloche' in open(f'/proc/{pid}/cmdline').read() for pid in programs.values())


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp('source')
    (folder / 'root').mkdir()
    (folder / 'p.c').write_text('#include <unistd.h>\nint main(void)\n{\n    write(1, "hello\\n", 6);\n    return 7;\n}\n')
    subprocess.run(['cc', '-static', '-O1', '-w', '-o', str(folder / 'root' / 'p'), str(folder / 'p.c')], check=True)
    (folder / 'cloche.yaml').write_text('entrypoint: [/p]\nlimits: {memory: 64M, threads: 8}\n')
    return folder


def totp(key, step):
    """RFC 6238, so many steps of 30 s from now."""
    mac = hmac.new(key, struct.pack('>Q', int(time.time()) // 30 + step), 'sha1').digest()
    return f'{(int.from_bytes(mac[mac[19] & 15:][:4], "big") & 0x7fffffff) % 1000000:06d}'


def test_all_runs_and_only_its_owner_may_read_it(here):
    status = here.json('status')
    assert all(status['programs'].values()) and status['nodes'][0]['state'] == 'ready'
    assert os.stat(here.folder).st_mode & 0o777 == 0o700
    for name in 'passphrase', 'owner-password', 'cloched.yaml', 'cloche.db', 'node/node.json':
        assert os.stat(os.path.join(here.folder, name)).st_mode & 0o77 == 0, name
    assert not status['evidence']['accepted']
    text = here.run('status').out
    assert b'evidence none: this server runs outside of any TEE' in text
    assert (b'EMULATED' in text) == status['setup']['emulated'] and b'ready' in text


def test_up_again_changes_nothing(here):
    before = here.programs(), open(os.path.join(here.folder, 'ca.pem')).read()
    here.run('up')
    assert (here.programs(), open(os.path.join(here.folder, 'ca.pem')).read()) == before


def test_no_secret_of_the_setup_is_in_a_log_or_the_store(here):
    secrets = [open(os.path.join(here.folder, name)).read().strip().encode() for name in ('passphrase', 'owner-password')]
    secrets.append(json.load(open(os.path.join(here.folder, 'node', 'node.json')))['token'].encode())
    contexts = json.load(open(os.path.join(here.home, '.config', 'cloche', 'contexts.json')))
    secrets.append(contexts['contexts']['local']['token'].encode())
    for name in os.listdir(here.folder):
        path = os.path.join(here.folder, name)
        if name.endswith(('.log', '.out')) or name.startswith('cloche.db'):
            data = open(path, 'rb').read()
            assert not any(secret in data for secret in secrets), name


def test_from_a_folder_to_an_approved_build(here, source):
    public = here.json('key', 'create', 'me')['public_key']
    here.run('key', 'enrol', 'me')
    assert [k['public_key'] for k in here.json('key', 'list')] == [public]
    app = here.json('app', 'create', 'inn', '--lease', '10m')
    assert here.json('app', 'set', 'inn', '--single', 'yes')['single'] and here.json('app', 'list')[0]['id'] == app['id']
    image = str(source / 'image.tar')
    build = here.json('build', '-f', str(source / 'cloche.yaml'), str(source / 'root'), '-o', image, '--push', 'inn', '--version', '1.0')
    descriptor = json.loads(here.json('build', 'show', 'inn/1.0')['descriptor'])
    assert descriptor['server']['urls'] == [f'https://{here.listen}']
    assert build['state'] == 'proposed' and here.json('build', 'list', 'inn')[0]['id'] == build['id']
    other = str(source / 'other.tar')
    here.run('build', '-q', '-f', str(source / 'cloche.yaml'), str(source / 'root'), '-o', other)
    assert b'is not that image' in here.run('approve', 'inn/1.0', '--image', other, '--yes', status=3).err
    got = here.run('approve', 'inn/1.0', '--image', image, '--yes')
    assert b'approved: 1 of 1, now allowed' in got.out and build['app_digest'].encode() in got.err
    assert here.json('build', 'show', build['id'])['state'] == 'allowed'
    assert b'no build 2.0' in here.run('build', 'show', 'inn/2.0', status=1).err


@pytest.fixture(scope='module')
def stay(here, source):
    """An app whose instances stay until they are stopped, with two allowed builds."""
    (source / 's.c').write_text('#include <unistd.h>\nint main(void)\n{\n    for (;;)\n        pause();\n}\n')
    (source / 'stay').mkdir()
    subprocess.run(['cc', '-static', '-O1', '-w', '-o', str(source / 'stay' / 's'), str(source / 's.c')], check=True)
    here.run('app', 'create', 'stay', '--lease', '60s', '--grace', '2s', '--context', 'local')
    for version in '1', '2':
        config = source / f'stay{version}.yaml'
        config.write_text(f'entrypoint: [/s]\nargs: []\nenv: {{set: {{VERSION: "{version}"}}}}\nlimits: {{memory: 128M, threads: 16}}\n')
        here.run('build', '-q', '-f', str(config), str(source / 'stay'), '-o', str(source / f'stay{version}.tar'), '--push', 'stay',
                 '--version', version, '--context', 'local')
        here.run('approve', f'stay/{version}', '--yes', '--context', 'local')
    return 'stay'


def wait_state(here, instance, *states):
    until = time.monotonic() + 100
    while True:
        now = here.json('instance', 'show', instance)
        if now['state'] in states:
            return now
        assert time.monotonic() < until, (now, open(os.path.join(here.folder, 'node', 'instances', instance + '.log')).read()[-1000:])
        time.sleep(0.1)


def test_an_instance_runs_and_stops(here, stay):
    one = here.json('instance', 'start', stay, '--build', '1')['id']
    now = wait_state(here, one, 'running')
    assert now['lease_until'] and now['tcb_status'] and now['certificate']
    listed = here.json('instance', 'list', '--app', stay, '--state', 'running')
    assert [(i['id'], i['app_name'], i['node_name']) for i in listed] == [(one, stay, 'here')]
    assert one.encode() in here.run('top', '--once').out
    assert 'running' in [h['state'] for h in here.json('instance', 'history', one)]
    here.run('instance', 'forecast')
    here.run('instance', 'stop', one, '--reason', 'enough')
    wait_state(here, one, 'stopped')
    assert one.encode() not in here.run('top', '--once').out
    assert one.encode() in here.run('top', '--once', '--all').out


def test_a_node_that_was_killed_keeps_its_instances(here, stay):
    one = here.json('instance', 'start', stay, '--build', '1')['id']
    wait_state(here, one, 'running')
    os.kill(here.programs()['node'], signal.SIGKILL)
    here.run('up')
    assert here.json('instance', 'show', one)['state'] == 'running'
    here.run('instance', 'stop', one)
    wait_state(here, one, 'stopped')


def test_a_node_shows_what_its_platform_is(here):
    shown = here.json('node', 'show', 'here')
    emulated = here.json('status')['setup']['emulated']
    assert shown['attested'] and shown['tee'] == 'sgx' and shown['emulated'] == emulated and shown['platform_id'] and shown['tcb']
    assert shown['attested_at'] < shown['evidence_until'] and shown['refusal'] is None
    text = here.run('node', 'show', 'here').out.decode()
    assert 'capacity (claim)' in text and 'software (claim)' in text
    assert 'UpToDate' in here.run('node', 'list').out.decode()
    here.run('node', 'attest', 'here')
    until = time.monotonic() + 100
    while here.json('node', 'show', 'here')['attested_at'] == shown['attested_at']:
        assert time.monotonic() < until, open(os.path.join(here.folder, 'node.log')).read()[-1000:]
        time.sleep(0.1)
    again = here.json('node', 'show', 'here')
    assert again['platform_id'] == shown['platform_id'] and again['state'] == 'ready'
    measured = here.run('node', 'measurement').out.decode().strip()
    assert re.fullmatch('[0-9a-f]{64}', measured) and here.run('node', 'measurement', '--folder', here.home + '/other').out.decode().strip() == measured


def test_a_drained_node_passes_on_what_ran(here, stay):
    """A second node on this machine takes over; then the first comes back."""
    folder = os.path.join(here.folder, 'second')
    token = here.run('node', 'token', '--name', 'second').out
    here.run('node', 'join', f'https://{here.listen}', '--ca', os.path.join(here.folder, 'ca.pem'), '--folder', folder, stdin=token)
    words = [CLOCHE, 'node', 'run', '--folder', folder]
    if here.json('status')['setup']['emulated']:
        words += ['--quote-socket', os.path.join(here.folder, 'quoting.sock'), '--collateral', os.path.join(here.folder, 'pki', 'collateral')]
    with open(os.path.join(here.folder, 'second.log'), 'wb') as log:
        second = subprocess.Popen(words, env=here.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        one = here.json('instance', 'start', stay, '--build', '1', '--node', 'here')['id']
        wait_state(here, one, 'running')
        until = time.monotonic() + 100
        while here.json('node', 'show', 'second')['state'] != 'ready':
            assert time.monotonic() < until, open(log.name).read()[-1000:]
            time.sleep(0.1)
        assert here.json('node', 'show', 'second')['same_platform'] == 1
        drained = here.run('node', 'drain', 'here', '--move')
        assert b'1 left' in drained.err and b'0 left' in drained.err and f'{one} goes on as ins_'.encode() in drained.out
        assert here.json('node', 'show', 'here')['state'] == 'drained' and here.json('instance', 'show', one)['state'] == 'stopped'
        other = re.search('goes on as (ins_[a-z0-9]+)', drained.out.decode()).group(1)
        until = time.monotonic() + 100
        while here.json('instance', 'show', other)['state'] != 'running':
            assert time.monotonic() < until
            time.sleep(0.1)
        assert here.json('instance', 'show', other)['node'] == here.json('node', 'show', 'second')['id']
        assert b'drained' in here.run('instance', 'start', stay, '--build', '1', '--node', 'here', status=1).err
        assert here.json('node', 'undrain', 'here')['state'] == 'ready'
        here.run('instance', 'stop', other)
        wait_state(here, other, 'stopped')
        here.run('node', 'revoke', 'second', '--reason', 'the test is over')
        assert second.wait(100) == 3 and 'revoked' in open(log.name).read()
    finally:
        if second.poll() is None:
            second.kill()
            second.wait()


def test_a_rollout_ends_with_the_old_build_gone(here, stay):
    old = here.json('instance', 'start', stay, '--build', '1')['id']
    wait_state(here, old, 'running')
    rollout = here.json('rollout', 'start', stay, '--old', '1', '--new', '2', '--end', '+1h')['id']
    new = here.json('instance', 'start', stay, '--build', '2')['id']
    wait_state(here, new, 'running')
    assert here.json('rollout', 'status', rollout)['old_count'] == 1
    assert old.encode() in here.run('rollout', 'status', rollout).out
    here.run('rollout', 'finish', rollout)
    wait_state(here, old, 'stopped', 'revoked')
    assert here.json('instance', 'show', new)['state'] == 'running'
    here.run('app', 'revoke', stay)
    wait_state(here, new, 'revoked', 'stopped')
    here.run('instance', 'start', stay, status=1)


def test_secrets_go_in_and_never_come_out(here):
    here.run('app', 'create', 'vault-test')
    words = ['secret', 'set', 'db', '--env', 'DB', '--app', 'vault-test', '--emulated', 'yes']
    assert here.json(*words, stdin=b'tops3cret\n')['version'] == 1
    assert here.json('secret', 'rotate', 'db', stdin=b'tops3cret2\n')['version'] == 2
    assert b'tops3cret' not in here.run('secret', 'show', 'db').out + here.run('secret', 'list').out + here.run('secret', 'versions', 'db').out
    here.run('app', 'create', 'second')
    assert len(here.json('secret', 'bind', 'db', 'second')['bindings']) == 2
    assert len(here.json('secret', 'unbind', 'db', 'vault-test')['bindings']) == 1
    here.run('secret', 'destroy', 'db', '1')
    here.run('secret', 'destroy', 'db')
    assert here.json('secret', 'list') == []


def test_policies_are_kept_tried_and_put_in_force(here):
    policy = os.path.join(here.folder, 'pki', 'policy.json')
    here.run('policy', 'push', 'mine', policy)
    here.run('policy', 'dry-run', 'mine')
    assert here.json('policy', 'activate', 'mine')['version'] == 1
    assert [v['version'] for v in here.json('policy', 'versions', 'mine')] == [1]
    bad = os.path.join(here.folder, 'bad.json')
    with open(bad, 'w') as file:
        file.write('{"version": 1,\n "nonsense": 1}')
    assert b'line 2, column' in here.run('policy', 'push', 'mine', bad, status=1).err


def test_the_audit_log_holds_and_a_rewritten_one_does_not(here, tmp_path):
    here.run('audit', 'verify')
    here.run('app', 'create', 'one-more')
    assert here.json('audit', 'verify')['consistent_with'] > 0
    export, checkpoint = str(tmp_path / 'log.jsonl'), str(tmp_path / 'checkpoint.json')
    with open(checkpoint, 'wb') as file:
        file.write(here.run('audit', 'checkpoint', '--json').out)
    here.run('audit', 'export', '--output', export)
    words = ['audit', 'verify', '--export', export, '--checkpoint', checkpoint]
    here.run(*words)
    lines = open(export).read().splitlines()

    def refused(*changed, text):
        with open(export, 'w') as file:
            file.write('\n'.join(changed) + '\n')
        assert text in here.run(*words, status=3).err
    refused(*lines[:1], lines[1].replace('session.create', 'session.delete'), *lines[2:], text=b'log was rewritten')
    refused(*lines[:2], *lines[3:], text=b'is missing')
    refused(*lines[:3], text=b'the checkpoint says')
    refused(lines[1], lines[0], *lines[2:], text=b'is missing')
    seen = os.path.join(here.home, '.config', 'cloche', 'audit-local.json')
    os.unlink(seen)
    refused(*lines[:1], lines[1].replace('session.create', 'session.delete'), *lines[2:], text=b'one was changed')
    with open(export, 'w') as file:
        file.write('\n'.join(lines) + '\n')
    here.run(*words)
    head = json.load(open(checkpoint))
    with open(checkpoint, 'w') as file:
        json.dump({**head, 'size': head['size'] - 1}, file)
    assert b"signature is not the server's" in here.run(*words, status=3).err


def test_users_and_tokens(here):
    here.run('user', 'create', 'eve', '--role', 'reader', '--password-file', '-', stdin=b'a password of eve\n')
    token = here.run('token', 'create', 'ci', '--role', 'operator', '--lifetime', '1h').out
    ca = os.path.join(here.folder, 'ca.pem')
    url = f'https://{here.listen}'
    here.run('login', url, '--ca', ca, '--user', 'eve', '--organisation', 'local', '--password-file', '-', '--name', 'eve',
             stdin=b'a password of eve\n')
    assert here.run('app', 'create', 'x', '--context', 'eve', status=3).err.startswith(b'cloche: refused')
    here.run('login', url, '--ca', ca, '--token-file', '-', '--name', 'ci', stdin=token)
    here.run('node', 'list', '--context', 'ci')
    here.run('logout', '--context', 'eve')
    assert b'no context' in here.run('app', 'list', '--context', 'eve', status=1).err
    here.run('login', url, '--user', 'eve', '--password-file', '-', status=1, stdin=b'x\n')  # the system's CAs do not know this server


def test_a_password_is_changed_and_a_second_factor_needed(here, tmp_path):
    here.run('user', 'create', 'bob', '--role', 'reader', '--password-file', '-', '--context', 'local', stdin=b'the first of bob\n')
    words = ['login', f'https://{here.listen}', '--ca', os.path.join(here.folder, 'ca.pem'), '--user', 'bob', '--organisation', 'local',
             '--name', 'bob', '--password-file', '-']
    here.run(*words, stdin=b'the first of bob\n')
    old, new = tmp_path / 'old', tmp_path / 'new'
    old.write_text('the first of bob\n')
    new.write_text('the second of bob\n')
    here.run('user', 'password', '--password-file', str(old), '--new-file', str(new), '--context', 'bob')
    here.run(*words, stdin=b'the first of bob\n', status=1)
    here.run(*words, stdin=b'the second of bob\n')
    uri = here.json('user', 'totp', 'enrol', '--password-file', str(new), '--context', 'bob')['uri']
    secret = re.search('secret=([A-Z2-7]+)', uri).group(1)
    key = base64.b32decode(secret + '=' * (-len(secret) % 8))
    here.run('user', 'totp', 'confirm', totp(key, 0), '--context', 'bob')
    assert b'one-time code' in here.run(*words, stdin=b'the second of bob\n', status=1).err
    here.run(*words, '--totp', totp(key, 1), stdin=b'the second of bob\n')


def test_events_are_told_as_they_happen(here):
    child = subprocess.Popen([CLOCHE, 'events', '--kind', 'app.', '--count', '1', '--json', '--context', 'local'], env=here.env,
                             stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        made, until = [], time.monotonic() + 100
        while child.poll() is None and time.monotonic() < until:  # the listener may begin late
            made.append(here.json('app', 'create', f'told-{len(made)}', '--context', 'local')['id'])
            time.sleep(0.05)
        event = json.loads(child.communicate(timeout=60)[0])
    finally:
        child.kill()
        child.wait()
    assert event['object'] in made


def test_roots_are_those_of_the_server(here):
    assert here.run('ca', 'roots', '--context', 'local').out == open(os.path.join(here.folder, 'ca.pem'), 'rb').read()
    here.run('ca', 'show', '--context', 'local')
    here.run('ca', 'rotate', 'twice', status=2)


def test_down_and_up_again_keep_everything(here):
    apps = here.json('app', 'list', '--context', 'local')
    assert here.run('down').out.count(b'stopped') >= 2
    assert b'does not run' in here.run('status', status=1).out
    here.run('up')
    assert here.json('app', 'list', '--context', 'local') == apps
