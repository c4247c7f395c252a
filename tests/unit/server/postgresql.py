#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs programs with a PostgreSQL server of their own: postgresql.py PROGRAM... , each with CLOCHE_TEST_POSTGRESQL naming the socket's folder."""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile


class Postgresql:
    """A server in a temporary folder, on a private socket, fsync on; not as root. For `with`."""

    def __init__(self):
        found = sorted(glob.glob('/usr/lib/postgresql/*/bin/initdb'))
        if not found:
            raise FileNotFoundError('postgresql')
        self.bin = os.path.dirname(found[-1])
        self.folder = tempfile.mkdtemp(prefix='cloche-pg-')
        self.env = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C', 'HOME': self.folder}
        self.user = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam('postgres')
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.user = {'user': account.pw_uid, 'group': account.pw_gid, 'extra_groups': []}
        os.chmod(self.folder, 0o755)
        self.server = None

    def call(self, name, *args):
        return subprocess.run([f'{self.bin}/{name}', *args], env=self.env, cwd=self.folder, check=True,
                              stdout=subprocess.DEVNULL, timeout=120, **self.user)

    def __enter__(self):
        try:
            data = f'{self.folder}/data'
            self.call('initdb', '-D', data, '-A', 'trust', '-U', 'root', '--no-sync', '-E', 'UTF8')
            self.start()
            return self
        except BaseException:
            self.__exit__()
            raise

    def start(self):
        with open(f'{self.folder}/log', 'ab') as log:
            self.server = subprocess.Popen(
                [f'{self.bin}/postgres', '-D', f'{self.folder}/data', '-k', self.folder, '-h', '', '-c', 'max_connections=60',
                 '-c', 'shared_buffers=16MB', '-c', 'fsync=on'], env=self.env, cwd=self.folder, stdout=log, stderr=log,
                **self.user)
        self.wait()

    def stop(self):
        self.server.send_signal(signal.SIGINT)  # ends sessions
        try:
            self.server.wait(20)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()

    def restart(self):
        self.stop()
        self.start()

    def wait(self):
        """pg_isready says when; a server that ended says why in its log."""
        for _ in range(600):
            if self.server.poll() is not None:
                with open(f'{self.folder}/log', encoding='utf-8', errors='replace') as file:
                    raise RuntimeError(file.read()[-2000:])
            ready = subprocess.run([f'{self.bin}/pg_isready', '-q', '-h', self.folder, '-t', '1'], env=self.env,
                                   cwd=self.folder, check=False)
            if ready.returncode == 0:
                return True
            subprocess.run(['sleep', '0.1'], check=False)
        raise TimeoutError('postgres')

    def url(self, name='postgres'):
        return f'postgresql:///{name}?host={self.folder}&user=root'

    def __exit__(self, *_):
        if self.server:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    try:
        server = Postgresql()
    except FileNotFoundError:
        print('postgresql is not installed', file=sys.stderr)
        sys.exit(77)
    status = 0
    with server:
        for program in sys.argv[1:]:
            status |= subprocess.run([program], env=os.environ | {'CLOCHE_TEST_POSTGRESQL': server.folder},
                                     check=False, timeout=240).returncode
    sys.exit(1 if status else 0)


if __name__ == '__main__':
    main()
