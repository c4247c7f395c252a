#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The control plane's part of `make demo`: a server and a node on this machine, the hotel site built, allowed and run, its certificate checked with
curl, the password of its database injected, a changed image refused with the reason, a revocation with its time. Its exit status says whether every step held."""
import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, '..', '..'))
BUILD = os.path.realpath(os.environ.get('BUILD', os.path.join(ROOT, 'build')))
CLOCHE = os.path.join(BUILD, 'bin', 'cloche')
WORK = os.path.join(BUILD, 'demo', 'control')
PASSWORD = 'correct horse battery staple'
WAIT_S = 120


def step(text):
    print(f'\n\033[1m== {text}\033[0m' if sys.stdout.isatty() else f'\n== {text}', flush=True)


class Failed(Exception):
    pass


class Demo:
    def __init__(self, work=WORK):
        self.work = work
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(os.path.join(work, 'home'))
        self.folder = os.path.join(work, 'cloche')
        self.env = {**os.environ, 'HOME': os.path.join(work, 'home'), 'CLOCHE_FOLDER': self.folder, 'BUILD': BUILD}
        for name in 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'CLOCHE_CONFIG':
            self.env.pop(name, None)
        self.port, self.server_port = self.free_port(), self.free_port()

    @staticmethod
    def free_port():
        """One below those that the kernel gives to connections, so that none takes it meanwhile."""
        for port in random.SystemRandom().sample(range(20000, 32000), 100):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(('127.0.0.1', port))
                return port
        raise Failed('no free port')

    def run(self, *words, status=0, stdin='', shown=True):
        """A command as one would type it; gives (standard output, standard error)."""
        command = [CLOCHE if words[0] == 'cloche' else words[0], *words[1:]]
        print('$ ' + ' '.join(f"'{w}'" if ' ' in w else w for w in words).replace(self.work + '/', ''), flush=True)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=self.env, timeout=300)
        if shown:
            print((done.stdout + done.stderr).rstrip().replace(self.work + '/', ''), flush=True)
        if done.returncode != status:
            print(f'exit status {done.returncode}, expected {status}\n{done.stderr}')
            raise Failed(' '.join(words))
        return done.stdout, done.stderr

    def json(self, *words):
        done = subprocess.run([CLOCHE, *words, '--json'], capture_output=True, text=True, env=self.env, timeout=300)
        if done.returncode:
            raise Failed(' '.join(words) + ': ' + done.stderr)
        return json.loads(done.stdout)

    def wait_state(self, instance, *states):
        until = time.monotonic() + WAIT_S
        while True:
            now = self.json('instance', 'show', instance)
            if now['state'] in states:
                return now
            if time.monotonic() > until:
                raise Failed(f'{instance} is {now["state"]}, not {states}: {now}')
            time.sleep(0.1)

    # ---- the flow ----

    def start(self):
        step('A control plane and a node on this machine')
        self.run('cloche', 'up', '--listen', f'127.0.0.1:{self.server_port}')
        self.run('cloche', 'status')

    def prepare(self):
        step('An app, a key that approves its builds, and the password of its database')
        self.run('cloche', 'key', 'create', 'me')
        self.run('cloche', 'key', 'enrol', 'me')
        self.run('cloche', 'app', 'create', 'hotel', '--dns-name', 'hotel.localhost', '--lease', '5m')
        self.run('cloche', 'secret', 'set', 'desk-password', '--path', '/run/secrets/desk-password', '--app', 'hotel', '--emulated', 'yes',
                 stdin=PASSWORD)

    def build(self):
        step('The hotel site: sealed, proposed, shown, approved')
        rootfs = self.run(os.path.join(ROOT, 'examples', 'hotel', 'build.sh'), 'rootfs', shown=False)[0].split()[-1]
        with open(os.path.join(ROOT, 'examples', 'hotel', 'server.yaml')) as file:
            config = re.sub(r'(?m)^( +)set:$', rf'\1set:\n\1  HOTEL_PORT: "{self.port}"', file.read().replace(', HOTEL_PORT]', ']'), count=1)
        self.config = os.path.join(self.work, 'hotel.yaml')
        with open(self.config, 'w') as file:
            file.write(config)
        self.run('cloche', 'build', '-f', self.config, rootfs, '-o', os.path.join(self.work, 'hotel.tar'), '--push', 'hotel', '--version', '1.0')
        self.run('cloche', 'approve', 'hotel/1.0', '--image', os.path.join(self.work, 'hotel.tar'), '--yes')

    def serve(self):
        step('It runs: the certificate is its own, checked with curl')
        self.instance = json.loads(self.run('cloche', 'instance', 'start', 'hotel', '--json')[0])['id']
        self.wait_state(self.instance, 'running')
        self.wait_port()
        self.run('cloche', 'instance', 'list')
        self.curl = ['curl', '-sS', '--cacert', os.path.join(self.folder, 'ca.pem'), '--resolve', f'hotel.localhost:{self.port}:127.0.0.1']
        self.url = f'https://hotel.localhost:{self.port}'
        rooms = json.loads(self.run(*self.curl, f'{self.url}/api/rooms?from=2030-05-01&to=2030-05-03')[0])
        if not rooms:
            raise Failed('the hotel has no rooms')
        names = self.run('sh', '-c', f'openssl s_client -connect 127.0.0.1:{self.port} -servername hotel.localhost </dev/null 2>/dev/null'
                         ' | openssl x509 -noout -issuer -enddate -ext subjectAltName')[0]
        if 'spiffe://' not in names:
            raise Failed('no SPIFFE ID in the certificate')

    def wait_port(self):
        until = time.monotonic() + WAIT_S
        while True:
            try:
                with socket.create_connection(('127.0.0.1', self.port), timeout=5):
                    return
            except OSError:
                if time.monotonic() > until:
                    raise Failed('the hotel does not answer') from None
                time.sleep(0.1)

    def inject(self):
        step('The password of its database was injected: who has it reads all reservations, a guess does not')
        booked = json.dumps({'room': 2, 'guest': 'Ada', 'from': '2030-05-01', 'to': '2030-05-03'})
        self.run(*self.curl, f'{self.url}/api/reservations', '-d', booked)
        if 'Ada' not in self.run(*self.curl, '-H', f'Authorization: Bearer {PASSWORD}', f'{self.url}/api/reservations')[0]:
            raise Failed('the password that was injected is another')
        if '401' not in self.run(*self.curl, '-H', 'Authorization: Bearer guess', f'{self.url}/api/reservations')[0]:
            raise Failed('a guess opened the database')
        self.run('cloche', 'audit', 'list', '--action', 'secret.release')

    def change(self):
        step('A changed image is another image: it is refused, with the reason')
        changed = os.path.join(self.work, 'changed.tar')
        rootfs = os.path.join(self.work, 'changed-rootfs.tar')
        shutil.copy(os.path.join(BUILD, 'hotel', 'rootfs', 'rootfs.tar'), rootfs)
        files = os.path.join(self.work, 'files', 'opt', 'hotel')
        os.makedirs(files)
        with open(os.path.join(ROOT, 'examples', 'hotel', 'hotel.py')) as source, open(os.path.join(files, 'hotel.py'), 'w') as file:
            file.write(source.read().replace("if not password or", "if not"))
        subprocess.run(['tar', '-r', '-f', rootfs, '--owner=0', '--group=0', '--numeric-owner', '-C', os.path.join(self.work, 'files'), './opt'],
                       check=True)
        context = self.json('status')['setup']
        with open(os.path.join(self.folder, 'ca.pem')) as file:
            pin = self.pin(file.read())
        self.run('cloche', 'build', '-q', '-f', self.config, '--server', f'https://{context["listen"]}', '--server-ca', pin, rootfs, '-o', changed)
        emulated = ['--quote-socket', os.path.join(self.folder, 'quoting.sock'), '--collateral', os.path.join(self.folder, 'pki', 'collateral')]
        said = self.run('cloche', 'run', *(emulated if context['emulated'] else []), changed, status=31)[1]
        if 'build' not in said:
            raise Failed('the refusal does not say why')

    @staticmethod
    def pin(pem):
        der = subprocess.run('openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum', shell=True, input=pem.encode(),
                             capture_output=True, check=True).stdout
        return der.split()[0].decode()

    def revoke(self):
        step('Revoked: the running instance is told at once')
        start = time.monotonic()
        self.run('cloche', 'instance', 'revoke', self.instance, '--reason', 'the demo is over')
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port), timeout=5).close()
            except OSError:
                break
            if time.monotonic() - start > WAIT_S:
                raise Failed('the instance still serves')
            time.sleep(0.01)
        print(f'  it serves no more {time.monotonic() - start:.2f} s after the command was typed')
        self.wait_state(self.instance, 'revoked', 'stopped')
        self.run('cloche', 'instance', 'history', self.instance)

    def audit(self):
        step('The record, for an auditor')
        self.run('cloche', 'audit', 'verify')
        self.run('cloche', 'audit', 'report', 'hotel')

    def end(self):
        step('Down')
        self.run('cloche', 'down')


def main():
    demo = Demo()
    try:
        demo.start()
        demo.prepare()
        demo.build()
        demo.serve()
        demo.inject()
        demo.change()
        demo.revoke()
        demo.audit()
    except Failed as failed:
        print(f'\nfailed: {failed}', flush=True)
        for name in 'cloched.log', 'node.log':
            path = os.path.join(demo.folder, name)
            if os.path.exists(path):
                with open(path) as file:
                    print(f'-- {name}\n' + re.sub(r'(?m)^', '   ', file.read()[-3000:]))
        return 1
    finally:
        subprocess.run([CLOCHE, 'down'], env=demo.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print('\nEvery step held.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
