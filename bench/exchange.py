#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one server of the control plane carries: attestation exchanges (nonce, then evidence to certificate, lease and secrets, a new key each), renewals, lists, re-appraisal, listeners.

usage: bench/exchange.py [--count N] [--threads N] [--rate PER_SECOND] [--fleet N] [--keep FOLDER] [--listeners N] [--write FILE] [--enclave]
       bench/exchange.py --soak SECONDS

Server and load share the machine; the store is SQLite. Exchanges are measured as fast as they go, then at --rate (100), where a latency is from the moment a request is due to its answer;
quotes are made between the two, outside of the measured time. --fleet N: N instances attest, each with a key and evidence of its own, then lists are asked for and all evidence is judged again, with
--rate exchanges a second going on. --keep: the fleet's store stays in FOLDER and is used again, if its leases still run. --listeners N: idle listeners to events, over HTTP and over TLS. --soak: bench/server_soak.py.
--enclave: the exchanges' server runs in an enclave, its store on a host folder (examples/cloched); CLOCHE_EMU_TRANSITION_NS=N makes it pay for each crossing.
"""
import argparse
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'tests', 'e2e'), os.path.join(HERE, '..', 'tools')]

from cloched import Cloched  # noqa: E402
from exchange_agent import Approver, Build, Platform, b64  # noqa: E402
import server_fleet  # noqa: E402
import server_listeners  # noqa: E402
from server_load import Table, cpu_s, machine, make_agents, memory_kib, percentile, renew_bodies, run, take_ids, written_bytes  # noqa: E402

RATE_GOAL, P99_GOAL_MS = 150, 200


def enclosed(folder, platform):
    """A new server in an enclave."""
    from cloched_enclave import Enclaved, Images
    for name in ('images', 'data'):
        os.mkdir(os.path.join(folder, name), 0o700)
    images = Images(os.path.join(folder, 'images'), platform.root, plain_http=True, rate_per_minute=10000000)
    server = Enclaved(images.image()[0], os.path.join(folder, 'data'), os.path.join(folder, 'log'), plain_http=True)
    server.init(server.org, server.user)
    server.start()
    return server


class Site:
    """A server with an app, a build that is allowed and a secret; kept in a folder or not."""

    def __init__(self, folder, in_enclave=False, **options):
        self.is_new = not os.path.exists(os.path.join(folder, 'pki'))
        self.platform = Platform(os.path.join(folder, 'pki'), self.is_new)
        self.server = enclosed(folder, self.platform) if in_enclave else Cloched(
            folder=folder, init=self.is_new, emulator_root=self.platform.root, rate_per_minute=10000000, **options)
        self.owner = owner = self.server.owner
        if self.is_new:
            assert owner.post('/v1/apps', {'name': 'load', 'lease_s': 86400}).status == 201
            self.build = Build(owner, 'load', '1.0', approver=Approver(owner))
            self.app = owner.get('/v1/apps/load').body['id']
            assert owner.post('/v1/secrets', {'name': 'password', 'deliver': {'env': 'PASSWORD'}, 'value': b64(b'secret'),
                                              'conditions': {'emulated': True}, 'bindings': [{'app': self.app}]}).status == 201
            with open(os.path.join(folder, 'site.json'), 'w', encoding='utf-8') as f:
                json.dump({'app': self.app, 'build': self.build.id, 'app_digest': self.build.app_digest}, f)
        else:
            with open(os.path.join(folder, 'site.json'), encoding='utf-8') as f:
                known = json.load(f)
            self.build = Build.__new__(Build)
            self.build.id, self.build.app_digest, self.build.mrenclave, self.app = known['build'], known['app_digest'], 0x11, known['app']

    def close(self):
        self.server.close()
        self.platform.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def measure(site, table, count, threads, rate):
    """Starts, then renewals of the same; both as fast as they go, and at the rate."""
    server = site.server
    for at in (None, rate):
        agents = make_agents(site, count)
        for purpose, what in (('start', 'full exchanges'), ('renew', 'renewals')):
            _, _, nonces = run(server, threads, ['{}'] * count, '/v1/exchange/nonce')
            bodies = renew_bodies(agents, nonces, purpose)
            before, disk = cpu_s(server), written_bytes(server)
            seconds, latencies, answers = run(server, threads, bodies, '/v1/exchange/evidence', at)
            each_ms = (cpu_s(server) - before) / count * 1000
            each_kib = (written_bytes(server) - disk) / count / 1024
            take_ids(agents, answers)
            p50, p99 = percentile(latencies, .5), percentile(latencies, .99)
            if at is None:
                table.row(f'{what}, as fast as they go', f'{count / seconds:.0f}/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms, {each_ms:.2f} ms of the server\'s CPU and {each_kib:.0f} KiB written each',
                          f'{RATE_GOAL}/s', count / seconds >= RATE_GOAL)
            else:
                table.row(f'{what} at {at:.0f}/s', f'p50 {p50:.1f} ms, p99 {p99:.1f} ms, {each_ms:.2f} ms of the server\'s CPU each', f'p99 {P99_GOAL_MS} ms', p99 < P99_GOAL_MS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=1000)
    parser.add_argument('--threads', type=int, default=16)
    parser.add_argument('--rate', type=float, default=100)
    parser.add_argument('--fleet', type=int, default=0)
    parser.add_argument('--keep')
    parser.add_argument('--listeners', type=int, default=0)
    parser.add_argument('--write', help='also write the table to this file')
    parser.add_argument('--soak', type=float)
    parser.add_argument('--enclave', action='store_true')
    options = parser.parse_args()
    if options.soak is not None:
        import server_soak
        sys.exit(server_soak.main(options.soak))
    table = Table(options.write, f'Measured on {machine()}; server, load and SQLite on the same machine; load average at the start {os.getloadavg()[0]:.1f}.')
    with tempfile.TemporaryDirectory(prefix='cloche-bench-') as folder:
        with Site(folder, options.enclave) as site:
            if options.count:
                measure(site, table, options.count, options.threads, options.rate)
                table.note(f'server memory at most {memory_kib(site.server, "VmHWM") / 1024:.0f} MiB')
    if options.listeners:
        server_listeners.measure(table, options.listeners)
    if options.fleet:
        with tempfile.TemporaryDirectory(prefix='cloche-bench-') as folder:
            folder = options.keep or folder
            os.makedirs(folder, mode=0o700, exist_ok=True)
            with Site(folder) as site:
                server_fleet.measure(site, table, options.fleet, options.threads, options.rate)
    table.close()


if __name__ == '__main__':
    main()
