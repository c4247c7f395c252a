# SPDX-License-Identifier: Apache-2.0
"""The certificate authority from outside: what relying parties make of its certificates and lists with openssl, through a rotation; an organisation's own intermediate, and which ones are refused."""
import datetime
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloched import Cloched
from exchange_agent import Agent, Approver, Platform, spki_sha256
from test_server_exchange import new_app, roots

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


@pytest.fixture(scope='module')
def platform(tmp_path_factory):
    p = Platform(tmp_path_factory.mktemp('platform') / 'pki')
    yield p
    p.close()


@pytest.fixture
def server(platform):
    with Cloched(emulator_root=platform.root, trust_domain='example.org', urls=['https://cloche.example.org']) as s:
        s.approver = Approver(s.owner)
        yield s


def new_agent(server, platform, **settings):
    _, build = new_app(server.owner, server.approver, **settings)
    return Agent(server.client(), platform, build, spki_sha256(roots(server)[0]))


def openssl(*words, data=b'', status=0):
    done = subprocess.run(['openssl', *words], input=data, capture_output=True, timeout=60)
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return (done.stdout + done.stderr).decode()


def verifies(folder, answer, trusted, *options, status=0):
    """What openssl says of the leaf, with what came with it between."""
    for name, certs in (('leaf', answer['certificates'][:1]), ('between', answer['certificates'][1:]), ('trusted', trusted)):
        (folder / name).write_text(''.join(certs))
    return openssl('verify', *options, '-CAfile', str(folder / 'trusted'), '-untrusted', str(folder / 'between'), str(folder / 'leaf'), status=status)


def pems(certs):
    return [c.public_bytes(PEM).decode() for c in certs]


def intermediate_of(server, own):
    return next(a for a in server.owner.get('/v1/ca').body['authorities'] if a['kind'] == 'intermediate' and a['own'] == own and a['state'] == 'current')


def test_old_and_new_certificates_verify_through_a_rotation(server, platform, tmp_path):
    agent = new_agent(server, platform, dns_names=['hotel.example.org'])
    old_root = pems(roots(server))
    old = agent.attest()
    assert 'OK' in verifies(tmp_path, old, old_root, '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'hotel.example.org')
    assert server.owner.post('/v1/ca/rotation', {'step': 'prepare'}).status == 200
    both = pems(roots(server))
    assert len(both) == 2
    assert server.owner.post('/v1/ca/rotation', {'step': 'switch'}).status == 200
    new = agent.attest('renew')  # whose image pins the old root
    new_root = [pem for pem in pems(roots(server)) if pem not in old_root]
    for trusted in (old_root, both, new_root):
        assert 'OK' in verifies(tmp_path, new, trusted, '-x509_strict', '-purpose', 'sslclient')
    assert 'OK' in verifies(tmp_path, old, both) and 'OK' in verifies(tmp_path, old, old_root)
    verifies(tmp_path, old, new_root, status=2)
    assert server.owner.post('/v1/ca/rotation', {'step': 'retire'}).status == 200
    assert pems(roots(server)) == new_root


def test_the_list_of_revoked_certificates(server, platform, tmp_path):
    agent, other = new_agent(server, platform), new_agent(server, platform)
    answer, others = agent.attest(), other.attest()
    authority = intermediate_of(server, False)
    trusted = pems(roots(server))
    url = '/v1/ca/crl/' + authority['id']

    def list_now():
        connection = server.connection(60)
        connection.request('GET', url)
        response = connection.getresponse()
        assert response.status == 200 and response.headers['Content-Type'] == 'application/pkix-crl'
        der = response.read()
        connection.close()
        (tmp_path / 'crl').write_text(openssl('crl', '-inform', 'DER', data=der))
        return openssl('crl', '-inform', 'DER', '-noout', '-text', data=der)

    text = list_now()
    assert 'No Revoked Certificates' in text and 'X509v3 CRL Number' in text and 'X509v3 Authority Key Identifier' in text
    check = ['-crl_check', '-CRLfile', str(tmp_path / 'crl')]
    assert 'OK' in verifies(tmp_path, answer, trusted, *check)
    assert server.owner.post('/v1/revocations', {'kind': 'instance', 'object': agent.id, 'reason': 'a leak'}).status == 201
    serial = x509.load_pem_x509_certificate(answer['certificates'][0].encode()).serial_number
    text = list_now()
    assert text.count('Serial Number:') == 1 and f'{serial:X}' in text
    crl = x509.load_pem_x509_crl((tmp_path / 'crl').read_bytes())
    assert crl.next_update - crl.last_update == datetime.timedelta(hours=1)
    assert 'certificate revoked' in verifies(tmp_path, answer, trusted, *check, status=2)
    assert 'OK' in verifies(tmp_path, others, trusted, *check)
    points = x509.load_pem_x509_certificate(answer['certificates'][0].encode()).extensions.get_extension_for_class(x509.CRLDistributionPoints)
    assert points.value[0].full_name[0].value == 'https://cloche.example.org' + url
    assert server.client().get('/v1/ca/crl/aut_' + '0' * 26).status == 404


@pytest.mark.parametrize('wish, life', [(600, 600), (86400, 86400), (None, None)])
def test_lifetimes_are_from_ten_minutes_to_a_day(server, platform, wish, life):
    agent = new_agent(server, platform, **({'certificate_s': wish} if wish else {}))
    leaf = x509.load_pem_x509_certificate(agent.attest()['certificates'][0].encode())
    now = datetime.datetime.utcnow()
    left = (leaf.not_valid_after - now).total_seconds()
    assert left <= (life or 86400) and (life is None or left > life - 300)
    for refused in 599, 86401, 0, -1:
        assert server.owner.post('/v1/apps', {'name': f'app{refused}', 'certificate_s': refused}).status == 400


class OwnCa:
    """A company's root, and what it signs."""

    def __init__(self, **root):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self.sign(self.key.public_key(), 'Root of Example', name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'Root of Example')]), **root)

    def sign(self, public, subject, ca=True, usage=True, days=(-1, 300), path=None, more=(), name=None, signer=None):
        now = datetime.datetime.utcnow()
        subject = name or subject
        builder = (x509.CertificateBuilder().subject_name(subject if isinstance(subject, x509.Name) else
                                                          x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
                   .issuer_name(name or self.root.subject).public_key(public).serial_number(x509.random_serial_number())
                   .not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
                   .add_extension(x509.BasicConstraints(ca, path if ca else None), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
                   .add_extension(x509.KeyUsage(False, False, False, False, False, usage, True, False, False), True))
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer or self.key, hashes.SHA256())


def put(server, request, *chain):
    return server.owner.request('PUT', '/v1/ca/intermediates/' + request, {'chain': ''.join(pems(chain))})


def test_an_intermediate_of_the_organisation(server, platform, tmp_path):
    agent = new_agent(server, platform, dns_names=['hotel.example.org'])
    agent.attest()
    own = OwnCa()
    answer = server.owner.post('/v1/ca/intermediates')
    assert answer.status == 201, answer
    assert 'verify OK' in openssl('req', '-noout', '-verify', data=answer.body['request'].encode())
    csr = x509.load_pem_x509_csr(answer.body['request'].encode())
    good = own.sign(csr.public_key(), csr.subject, path=0)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    constrained = OwnCa(path=0)
    no_uris = x509.NameConstraints(None, [x509.UniformResourceIdentifier('example.org')])
    code_signing = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING])
    refused = {
        'not for the key of the request': [own.sign(stranger, csr.subject, path=0), own.root],
        'not that of a CA': [own.sign(csr.public_key(), csr.subject, ca=False), own.root],
        'keyCertSign': [own.sign(csr.public_key(), csr.subject, usage=False, path=0), own.root],
        'ends within 30 days': [own.sign(csr.public_key(), csr.subject, days=(-100, -1)), own.root],
        'within 30 days': [own.sign(csr.public_key(), csr.subject, days=(-1, 20)), own.root],
        'not yet valid': [own.sign(csr.public_key(), csr.subject, days=(1, 300)), own.root],
        'chain does not verify': [good, OwnCa().root],
        'signature': [own.sign(csr.public_key(), csr.subject, path=0, signer=ec.generate_private_key(ec.SECP256R1())), own.root],
        'path length constraint exceeded': [constrained.sign(csr.public_key(), csr.subject), constrained.root],
        'intermediate first, root last': [good],
        'excluded subtree violation': [own.sign(csr.public_key(), csr.subject, path=0, more=[(no_uris, True)]), own.root],
        'does not verify: ': [own.sign(csr.public_key(), csr.subject, path=0, more=[(code_signing, False)]), own.root],
    }
    for why, chain in refused.items():
        got = put(server, answer.body['id'], *chain)
        assert got.status == 400 and why in got.body['detail'], (why, got)
    for text in 'no PEM', '', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n':
        assert server.owner.request('PUT', '/v1/ca/intermediates/' + answer.body['id'], {'chain': text}).status == 400
    assert not any(a['own'] and a['kind'] == 'intermediate' for a in server.owner.get('/v1/ca').body['authorities'])
    agent.attest('renew')  # by the server's own, meanwhile
    # Another organisation's is not there.
    server.init('other', 'bob')
    bob = server.login('bob', org='other')
    assert bob.request('PUT', '/v1/ca/intermediates/' + answer.body['id'], {'chain': ''.join(pems([good, own.root]))}).status == 404
    assert put(server, answer.body['id'], good, own.root).status == 200
    got = agent.attest('renew')
    company = [own.root.public_bytes(PEM).decode()]
    assert got['roots'][0] == company[0]
    assert 'OK' in verifies(tmp_path, got, company, '-purpose', 'sslserver', '-verify_hostname', 'hotel.example.org')
    verifies(tmp_path, got, pems(roots(server)), status=2)
    leaf = x509.load_pem_x509_certificate(got['certificates'][0].encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [got['spiffe_id']]
    # Its list is signed by it.
    assert server.owner.post('/v1/revocations', {'kind': 'instance', 'object': agent.id, 'reason': 'a leak'}).status == 201
    connection = server.connection(60)
    connection.request('GET', '/v1/ca/crl/' + intermediate_of(server, True)['id'])
    (tmp_path / 'crl').write_text(openssl('crl', '-inform', 'DER', data=connection.getresponse().read()))
    connection.close()
    assert 'certificate revoked' in verifies(tmp_path, got, company, '-crl_check', '-CRLfile', str(tmp_path / 'crl'), status=2)
    # Back to the server's.
    assert server.owner.delete('/v1/ca/intermediate').status in (200, 204)
    assert server.owner.delete('/v1/ca/intermediate').status == 404
    late = new_agent(server, platform)
    assert 'OK' in verifies(tmp_path, late.attest(), pems(roots(server)))
    actions = [e['entry']['action'] for e in server.owner.list('/v1/audit')]
    assert actions.count('ca.accept') == 1 and actions.count('ca.drop') == 1
