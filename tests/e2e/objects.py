# SPDX-License-Identifier: Apache-2.0
"""What tests of the control plane's objects share: descriptors, approver keys, a node."""
import base64
import hashlib
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PASSWORD = 'a long enough password'


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def descriptor(name='hotel', **changes):
    """A descriptor's text and its digest."""
    members = {'args': ['/bin/true'], 'args_fixed': 1, 'args_from_host': False, 'debug': False, 'elrange_size': 1 << 36, 'env': [],
               'gid': 0, 'groups': [], 'host_files': False, 'hostname': 'cloche', 'memory_size': 64 << 20, 'mounts': [], 'name': name,
               'rootfs_size': 8192, 'server': None, 'stop_signal': 'SIGTERM', 'threads_max': 16, 'uid': 0, 'verity_root': '11' * 32,
               'verity_salt': '', 'version': 1, 'workdir': '/', **changes}
    text = json.dumps(members, sort_keys=True, separators=(',', ':'))
    return text, hashlib.sha384(text.encode()).hexdigest()


def build_body(version, number=1, **changes):
    """What `cloche build push` sends."""
    text, digest = descriptor(name=f'hotel-{number}')
    return {'version': version, 'descriptor': text, 'app_digest': digest, 'mrenclave': f'{number:02x}' * 32, 'mrsigner': '51' * 32,
            'isv_prod_id': 1, 'isv_svn': number, 'image': f'registry.example/hotel:{version}', **changes}


class Approver:
    """A user with an approver key; client: theirs."""

    def __init__(self, client):
        self.client = client
        self.private = Ed25519PrivateKey.generate()
        self.public = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        me = client.get('/v1/me').body
        self.user, self.org = me['id'], me['org']['id']
        self.key = None

    def enrol(self, name='laptop', proof=None):
        proof = proof or self.private.sign(f'cloche-key-1\n{self.org}\n{self.user}\n'.encode() + self.public)
        answer = self.client.post('/v1/keys', {'name': name, 'public_key': base64url(self.public), 'proof': base64url(proof)})
        if answer.status == 201:
            self.key = answer.body['id']
        return answer

    def sign(self, path, statement=None):
        """path: of the build or the change; signs what it states."""
        if statement is None:
            shown = self.client.get(path if '/changes/' in path else path + '/approvals')
            assert shown.status == 200, shown
            statement = shown.body['statement']
        return self.client.post(path + '/approvals', {'key': self.key, 'signature': base64url(self.private.sign(statement.encode()))})


def user_client(server, name, roles):
    answer = server.owner.post('/v1/users', {'name': name, 'password': PASSWORD, 'roles': roles})
    assert answer.status == 201, answer
    return server.login(name, PASSWORD)


def allowed_build(server, app, version='1.0', number=1):
    """A build that one approver (the owner, made at the first use) has allowed."""
    if getattr(server, 'approver', None) is None:
        server.approver = Approver(server.owner)
        assert server.approver.enrol().body['state'] == 'active'
    answer = server.owner.post(f'/v1/apps/{app}/builds', build_body(version, number))
    assert answer.status == 201, answer
    assert server.approver.sign('/v1/builds/' + answer.body['id']).body['state'] == 'allowed'
    return answer.body['id']


class Node:
    def __init__(self, server, name, **beat):
        token = server.owner.post('/v1/nodes/tokens', {'name': name})
        assert token.status == 201, token
        joined = server.client().post('/v1/nodes/join', {'token': token.body['token']})
        assert joined.status == 201, joined
        self.id, self.name = joined.body['node']['id'], name
        self.client = server.client(joined.body['token'])
        self.beat(**{'tee': 'sgx', 'emulated': True, 'capacity': {'instances': 10, 'memory_size': 1 << 33, 'cpus': 2}, **beat})

    def beat(self, **members):
        answer = self.client.post('/v1/node/heartbeat', members)
        assert answer.status == 200, answer
        return answer.body

    def work(self, **query):
        answer = self.client.get('/v1/node/work', query=query)
        assert answer.status == 200, answer
        return answer.body

    def report(self, instance, process, **more):
        answer = self.client.post('/v1/node/reports', {'instances': [{'id': instance, 'process': process, **more}]})
        assert answer.status == 200, answer
        return answer.body
