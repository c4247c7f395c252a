#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a set of attestation vectors (its manifest.json) through the verifier.

Prints one line an entry, and last the count of agreements; --tap: the same as TAP. Exit status 0 when every entry agrees.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

# Names that `cloche verify --collateral` reads, by the manifest's roles.
COLLATERAL = {
    'tcb_info': 'tcb_info.json', 'tcb_info_issuer_chain': 'tcb_info_issuer_chain.pem',
    'qe_identity': 'qe_identity.json', 'qe_identity_issuer_chain': 'qe_identity_issuer_chain.pem',
    'pck_crl': 'pck_crl.der', 'pck_crl_issuer_chain': 'pck_crl_issuer_chain.pem',
    'root_ca_crl': 'root_ca_crl.der', 'vcek': 'vek.der', 'vlek': 'vek.der',
}
STATUSES = ['UpToDate', 'SWHardeningNeeded', 'ConfigurationNeeded', 'ConfigurationAndSWHardeningNeeded', 'OutOfDate',
            'OutOfDateConfigurationNeeded', 'TDRelaunchAdvised', 'TDRelaunchAdvisedConfigurationNeeded']


class Disagreement(Exception):
    pass


def agree(what, expected, actual):
    if expected != actual:
        raise Disagreement(f'{what}: expected {expected}, got {actual}')


class Runner:
    def __init__(self, folder, cloche, probe):
        self.folder, self.cloche, self.probe = folder, cloche, probe

    def path(self, entry, role):
        return os.path.join(self.folder, entry['files'][role])

    def read(self, entry, role):
        with open(self.path(entry, role), 'rb') as f:
            return f.read()

    # ---- evidence ----

    def write_collateral(self, entry, to):
        """The entry's files under the names that the command knows. Returns whether there are any."""
        files, count = entry['files'], 0
        for role, name in COLLATERAL.items():
            if role in files:
                os.symlink(os.path.abspath(self.path(entry, role)), os.path.join(to, name))
                count += 1
        for target, roles in (('vek_chain.pem', ('issuer', 'root')), ('pck_chain.pem', ('pck_certificate', 'pck_issuer_chain'))):
            parts = [self.read(entry, role) for role in roles if role in files]
            if parts:
                count += 1
                with open(os.path.join(to, target), 'wb') as f:
                    f.write(b'\n'.join(parts))
        return count > 0

    def write_policy(self, entry, to):
        policy = {'version': 1, 'name': 'vectors', 'debug': True, 'intel': {'tcb_status': STATUSES}}
        # A negative entry is judged under the makers' roots: what it brings along is not trusted.
        if 'trusted_root' in entry['files'] and not entry['kind'].startswith('negative'):
            policy['roots'] = [{'name': 'trusted root', 'certificate': self.read(entry, 'trusted_root').decode()}]
        path = os.path.join(to, 'policy.json')
        with open(path, 'w', encoding='ascii') as f:
            json.dump(policy, f)
        return path

    def verify(self, entry, at):
        role = 'quote' if 'quote' in entry['files'] else 'report'
        with tempfile.TemporaryDirectory() as tmp:
            collateral = os.path.join(tmp, 'collateral')
            os.mkdir(collateral)
            command = [self.cloche, 'verify', '--json', '--policy', self.write_policy(entry, tmp), '--at', at]
            if self.write_collateral(entry, collateral):
                command += ['--collateral', collateral]
            done = subprocess.run(command + [self.path(entry, role)], capture_output=True, text=True, check=False)
        if not done.stdout:
            raise Disagreement(f'no result: {done.stderr.strip()}')
        return next(iter(json.loads(done.stdout)['submods'].values()))

    def evidence(self, entry):
        expected = entry['expected']
        result = self.verify(entry, entry.get('verify_at') or 'none')
        failed = {check['check'] for check in result['cloche.checks'] if check['result'] == 'failed'}
        outcome = expected['outcome']
        if outcome == 'parse-and-quote-signature-only':
            failed -= {'PCK_CHAIN', 'COLLATERAL_MISSING'}
        if 'tcb_info' not in entry['files'] and 'quote' in entry['files']:
            failed -= {'COLLATERAL_MISSING'}  # the set has none to give
        listed = set(expected.get('failing_checks', []))
        if failed != listed:
            raise Disagreement(f'failing checks: expected {sorted(listed)}, got {sorted(failed)}')
        if outcome == 'valid' and entry.get('verify_at') and not expected.get('scope'):
            if result['ear.status'] not in ('affirming', 'warning'):
                raise Disagreement(f'verdict: {result["ear.status"]}')
        if outcome == 'invalid':
            agree('verdict', 'contraindicated', result['ear.status'])
        if outcome == 'valid-except-time':
            self.no_time_fits(entry, result)
        self.compare_tcb(expected, result)
        self.compare_claims(entry, result)

    def no_time_fits(self, entry, result):
        """Refused for its dates at every boundary of its own items."""
        times = set()
        for item in (entry.get('collateral') or {}).values():
            if isinstance(item, dict):
                times |= {value for key, value in item.items() if key in ('issueDate', 'nextUpdate', 'this_update', 'next_update')}
        if not times:
            raise Disagreement('no dates in the manifest')
        dates = {'COLLATERAL_EXPIRED', 'COLLATERAL_NOT_YET_VALID', 'CERT_EXPIRED'}
        for at in sorted(times):
            failed = {c['check'] for c in self.verify(entry, at)['cloche.checks'] if c['result'] == 'failed'}
            if not failed or failed - dates:
                raise Disagreement(f'at {at}: failed {sorted(failed)}')

    @staticmethod
    def compare_tcb(expected, result):
        tcb = result['cloche.claims'].get('tcb', {})
        for theirs, ours in (('tcb_status', 'status'), ('qe_tcb_status', 'qe_status'), ('sgx_tcb_level_status', 'sgx_status'),
                             ('selected_tcb_level_status', 'platform_status'), ('tdx_module_tcb_status', 'tdx_module_status'),
                             ('tcb_date', 'date'), ('tcb_evaluation_data_number', 'evaluation_data_number')):
            if theirs in expected:
                agree(theirs, expected[theirs], tcb.get(ours))
        if 'advisory_ids' in expected:
            agree('advisory_ids', sorted(expected['advisory_ids']), sorted(tcb.get('advisories', [])))

    def compare_claims(self, entry, result):
        claims = result['cloche.claims']
        if 'debug' in entry:
            agree('debug', entry['debug'], result['cloche.debug'])
        fields = entry.get('fields', {})
        if not fields:
            return
        if 'quote' in entry['files']:
            self.compare_quote(fields, claims)
            self.compare_pck(entry.get('pck_certificate') or {}, claims)
        else:
            self.compare_report(fields, claims)

    @staticmethod
    def compare_quote(fields, claims):
        quote, report = claims['quote'], claims['report']
        names = {'quote_version': 'version', 'qe_svn_header': 'qe_svn', 'pce_svn_header': 'pce_svn',
                 'signature_data_len': 'signature_data_size', 'trailing_bytes_after_signature_data': 'trailing_size',
                 'qe_auth_data_len': 'qe_auth_data_size', 'certification_data_len': 'certification_data_size'}
        report_names = {'cpusvn': 'cpu_svn', 'miscselect': 'misc_select', 'isvprodid': 'isv_prod_id', 'isvsvn': 'isv_svn',
                        'seamattributes': 'seam_attributes', 'tdattributes': 'td_attributes'}
        for name, value in fields.items():
            if name == 'tee_type':
                agree(name, int(value, 16), quote['tee_type'])
            elif name in ('report', 'qe_report'):
                actual = report if name == 'report' else claims['qe_report']
                for member, expected in value.items():
                    agree(f'{name}.{member}', expected, actual.get(report_names.get(member, member)))
            else:
                agree(name, value, quote.get(names.get(name, name)))

    @staticmethod
    def compare_pck(fields, claims):
        pck = claims.get('pck', {})
        names = {'pceid': 'pce_id', 'tcb_comp_svn': 'component_svn', 'pcesvn': 'pce_svn', 'cpusvn': 'cpu_svn',
                 'platform_instance_id': 'platform_instance_id'}
        for name in ('fmspc', 'pceid', 'ppid', 'tcb_comp_svn', 'pcesvn', 'cpusvn', 'sgx_type', 'platform_instance_id'):
            if name in fields:
                agree(f'pck.{name}', fields[name], pck.get(names.get(name, name)))
        configuration = fields.get('configuration')
        if configuration:
            for number, name in (('1', 'dynamic_platform'), ('2', 'cached_keys'), ('3', 'smt_enabled')):
                if number in configuration:
                    agree(f'pck.configuration.{number}', configuration[number], pck.get(name))

    @staticmethod
    def compare_report(fields, claims):
        words = {'policy', 'platform_info', 'launch_mit_vector', 'current_mit_vector'}
        names = {'sig_algo': 'signature_algorithm'}
        for name, value in fields.items():
            actual = claims.get(names.get(name, name))
            if name in words:
                actual, value = int(actual, 16), int(value, 16) if isinstance(value, str) else value
            if isinstance(value, int) and isinstance(actual, bool):
                actual = int(actual)
            agree(name, value, actual)

    # ---- the rest: parts of the library, through the probe ----

    def ask(self, *arguments, lines=()):
        done = subprocess.run([self.probe, *arguments], input=''.join(f'{line}\n' for line in lines), capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise Disagreement(f'probe {arguments[0]}: {done.stderr.strip() or done.returncode}')
        return json.loads(done.stdout)

    def certificate(self, entry, entries):
        issuers, at = [], entry
        while at['expected'].get('issued_by', at['id']) != at['id']:
            at = entries[at['expected']['issued_by']]
            issuers.append(self.path(at, 'pem'))
        made_by = 'intel' if 'intel' in entry['id'] else 'amd'
        for role in entry['files']:
            got = self.ask('chain', made_by, self.path(entry, role), *issuers)
            agree('chain', [1 + len(issuers), True], [got['count'], got['signed']])
            for name in ('sha256', 'not_before', 'not_after', 'subject'):
                if name == 'subject' and name in entry['fields']:
                    agree(name, sorted(entry['fields'][name].split(',')), sorted(got[name].split(',')))
                elif name in entry['fields']:
                    agree(name, entry['fields'][name], got[name])
            if 'same_public_key_as' in entry['fields']:
                other = entries[entry['fields']['same_public_key_as']]
                agree('public key', self.ask('chain', made_by, self.path(other, 'pem'))['root_key_sha256'], got['root_key_sha256'])

    do_root_certificate = do_intermediate_certificate = certificate

    def do_crl_lookup(self, entry, _entries):
        expected = entry['expected']
        revoked = [item['serial'] for item in expected['revoked']]
        got = self.ask('crl', self.path(entry, 'crl'), self.path(entry, 'issuer_chain'), *revoked, *expected['not_revoked'])
        agree('revoked', [True] * len(revoked) + [False] * len(expected['not_revoked']), got['revoked'])
        agree('issuer and signature', [True, True], [got['by'], got['signed']])
        for name in ('this_update', 'next_update', 'entries'):
            agree(name, entry['fields'][name], got[name])
        agree('issuer', sorted(entry['fields']['issuer'].split(',')), sorted(got['issuer'].split(',')))

    def do_tcb_match_table(self, entry, _entries):
        cases = json.loads(self.read(entry, 'cases'))
        lines = [f"{bytes(case['sgx_comp_svn']).hex()} {case['pcesvn']} {case.get('tee_tcb_svn', '')}" for case in cases]
        got, counts = self.ask('tcb', self.path(entry, 'tcb_info'), lines=lines), {}
        agree('cases', [entry['expected']['cases']] * 2, [len(cases), len(got)])
        for case, answer in zip(cases, got):
            index = case['expected_level_index']
            agree(case['name'], [-1 if index is None else index, case['expected_level_status']], [answer['level'], answer['status']])
            if 'expected_sgx_level_index' in case:
                index = case['expected_sgx_level_index']
                agree(f"{case['name']}, SGX level", -1 if index is None else index, answer['sgx_level'])
                module = case['expected_module_status']
                if module in ('n/a', None):
                    module = 'none'
                if answer['level'] >= 0:
                    agree(f"{case['name']}, module", module, answer['module'])
                    agree(f"{case['name']}, converged", case['expected_status'], answer['converged'])
            status = case['expected_level_status']
            counts[status] = counts.get(status, 0) + 1
        agree('statuses', entry['expected']['statuses'], counts)

    def do_sgx_sigstruct(self, entry, _entries):
        got = self.ask('sigstruct', self.path(entry, 'sigstruct'))
        listed = set(entry['expected'].get('failing_checks', []))
        names = {1: 'MALFORMED', 2: 'EXPONENT', 4: 'SIGSTRUCT_SIGNATURE', 8: 'Q1_Q2'}
        agree('faults', sorted(listed), sorted(name for bit, name in names.items() if got['faults'] & bit))
        fields = dict(entry.get('fields', {}))
        for name, bits in (('header_ok', 1), ('sig_ok', 4), ('q1_ok', 8), ('q2_ok', 8)):
            if name in fields:
                agree(name, fields.pop(name), not got['faults'] & bits)
        for name, value in fields.items():
            agree(name, int(value, 16) if name in ('vendor', 'date') else value, got[name])
        for name in ('mrsigner', 'enclavehash'):
            if name in entry['expected']:
                agree(name, entry['expected'][name], got[name])

    do_negative_sigstruct = do_sgx_sigstruct

    def do_sgx_rsa_q1q2(self, entry, _entries):
        """The quotients by their definition; those of whole SIGSTRUCTs are checked by the library."""
        n, s, q1, q2 = (int.from_bytes(self.read(entry, role), entry['fields']['byte_order']) for role in ('key_n', 'sig', 'q1', 'q2'))
        got = self.ask('quotients', *(f'{value:x}' for value in (s, n)))
        agree('q1', q1, int(got['q1'], 16))
        agree('q2', q2, int(got['q2'], 16))

    def do_snp_id_block(self, entry, _entries):
        given, expected = entry['inputs'], entry['expected']
        agree('id_block', expected['id_block'], self.read(entry, 'id_block').hex())
        got = self.ask('id-block', self.path(entry, 'id_block'), self.path(entry, 'id_auth'), given['launch_digest'], expected['id_key_digest'],
                       expected['author_key_digest'], str(given['guest_svn']), given['policy'])
        agree('ID block', '', got['wrong'])

    def do_snp_launch_digest(self, entry, _entries):
        given = entry['inputs']
        types = {1: 3, 2: 5, 3: 6, 4: 3}  # of a section's pages
        sections = list(given['metadata_sections'])
        if given['vmm'] == 'ec2':  # puts the CPUID page in last
            sections.sort(key=lambda section: section['type'] == 3)
        lines = [f"seed {given['firmware_digest_seed']}"]
        for section in sections:
            if section['type'] == 16 and given.get('kernel_sha256'):
                lines.append(f"hashes {given['sev_hashes_table_gpa']} {given['kernel_sha256']} {given['initrd_sha256']} {given['cmdline_sha256']}")
            else:
                lines.append(f"range {types.get(section['type'], 3)} {section['gpa']} {section['size']}")
        for vcpu in range(given['vcpus']):
            eip = '0xfffffff0' if vcpu == 0 else given['sev_es_reset_eip']
            lines.append(f"vmsa {given['vmm']} {eip} {given['vcpu_signature'] or '0'} {given['guest_features']}")
        agree('launch digest', entry['expected']['launch_digest'], self.ask('launch', lines=lines)['digest'])

    def run(self, entry, entries):
        if 'quote' in entry['files'] or 'report' in entry['files']:
            self.evidence(entry)
            return
        kind = entry['kind']
        handler = getattr(self, 'do_' + kind.replace('-', '_'), None)
        if not handler:
            raise Disagreement(f'kind {kind} is not known to this runner')
        handler(entry, entries)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', default='build')
    parser.add_argument('--tap', action='store_true')
    parser.add_argument('--only', help='entries whose id contains this')
    parser.add_argument('folder')
    args = parser.parse_args()
    with open(os.path.join(args.folder, 'manifest.json'), encoding='utf-8') as f:
        vectors = json.load(f)['vectors']
    runner = Runner(args.folder, os.path.join(args.build, 'bin', 'cloche'), os.path.join(args.build, 'tests', 'vectors', 'vector-probe'))
    entries, good = {entry['id']: entry for entry in vectors}, 0
    chosen = [entry for entry in vectors if not args.only or args.only in entry['id']]
    for number, entry in enumerate(chosen, 1):
        problem = ''
        try:
            runner.run(entry, entries)
            good += 1
        except (Disagreement, OSError, ValueError, KeyError) as found:
            problem = f': {found}'
        if args.tap:
            print(f'# {problem}\nnot ok {number} - {entry["id"]}' if problem else f'ok {number} - {entry["id"]}', flush=True)
        else:
            print(f'{"DISAGREE" if problem else "agree":9} {entry["id"]}{problem}', flush=True)
    print(f'1..{len(chosen)}' if args.tap else f'{good} of {len(chosen)} entries agree')
    return 0 if good == len(chosen) and chosen else 1


if __name__ == '__main__':
    sys.exit(main())
