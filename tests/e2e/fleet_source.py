# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Intel's PCS that publishes what a folder of `cloche emu pki` says, over TLS, for servers that fetch their collateral."""
import hashlib
import json
import os
import subprocess
import urllib.parse

from collateral_server import CHAINS, Answer, Service

ROOT_CRL = '/IntelSGXRootCA.der'
EVALUATIONS = '/sgx/certification/v4/tcbevaluationdatanumbers'
ITEMS = 7  # that a server which has asked for everything holds of one platform


class Source:
    """folder: for the TLS certificate; platform: exchange_agent.Platform."""

    def __init__(self, folder, platform):
        self.platform = platform
        self.ca = os.path.join(folder, 'source.pem')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost',
                        '-addext', 'subjectAltName=DNS:localhost', '-keyout', 'source.key', '-out', 'source.crt', '-days', '2'], cwd=folder,
                       check=True, capture_output=True)
        with open(self.ca, 'w', encoding='ascii') as both:
            for name in 'source.key', 'source.crt':
                with open(os.path.join(folder, name), encoding='ascii') as part:
                    both.write(part.read())
        self.service = Service(certificate=self.ca)
        self.publish()

    @property
    def options(self):
        """Of cloched's configuration."""
        return {'collateral_pcs_url': self.service.url, 'collateral_root_crl_url': self.service.url + ROOT_CRL, 'collateral_ca_file': self.ca,
                'emulator_root': self.platform.root}

    @property
    def state(self):
        with open(os.path.join(self.platform.folder, 'state.json'), encoding='utf-8') as f:
            return json.load(f)

    def answer(self, name):
        folder = os.path.join(self.platform.folder, 'collateral')
        with open(os.path.join(folder, name), 'rb') as f:
            body = f.read()
        headers = {'ETag': '"' + hashlib.sha256(body).hexdigest()[:16] + '"', 'Cache_Control': 'max-age=3600'}
        signer = 'tcb_info.json' if name.startswith('tcb_') else name
        header = 'TCB-Evaluation-Data-Numbers-Issuer-Chain' if name == 'tcb_evaluations.json' else CHAINS.get(signer)
        if header:
            with open(os.path.join(folder, signer.rsplit('.', 1)[0] + '_issuer_chain.pem'), encoding='ascii') as f:
                headers[header] = urllib.parse.quote(f.read())
        return Answer(body, 'application/json' if name.endswith('.json') else 'application/pkix-crl', **headers)

    def tcb_path(self, update='standard', fmspc=None):
        return f'/sgx/certification/v4/tcb?fmspc={(fmspc or self.state["platform"]["fmspc"]).upper()}&update={update}'

    def publish(self):
        """What the folder says now."""
        crl = f'/sgx/certification/v4/pckcrl?ca={self.state["platform"]["ca"]}&encoding=der'
        self.service.serve(self.tcb_path(), self.answer('tcb_info.json'))
        self.service.serve(self.tcb_path('early'), self.answer('tcb_info_early.json'))
        self.service.serve(EVALUATIONS, self.answer('tcb_evaluations.json'))
        for update in 'standard', 'early':
            self.service.serve('/sgx/certification/v4/qe/identity?update=' + update, self.answer('qe_identity.json'))
        self.service.serve(crl, self.answer('pck_crl.der'))
        self.service.serve(ROOT_CRL, self.answer('root_ca_crl.der'))

    def asked(self, part=''):
        return [path for path in self.service.paths() if part in path]

    def stop(self):
        self.service.stop()
