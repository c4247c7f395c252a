# SPDX-License-Identifier: Apache-2.0
"""The command, logged in to a server of a test."""
import json
import os
import subprocess

from cloched import PASSWORD
from exchange_agent import CLOCHE


class Cli:
    """folder: its home; server: cloched.Cloched."""

    def __init__(self, folder, server, user=None, password=PASSWORD):
        self.env = {**os.environ, 'HOME': str(folder)}
        for name in 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'CLOCHE_CONFIG', 'CLOCHE_FOLDER':
            self.env.pop(name, None)
        self.run('login', server.url, '--organisation', server.org, '--user', user or server.user, '--password-file', '-', stdin=password + '\n')

    def run(self, *words, status=0, stdin=''):
        done = subprocess.run([CLOCHE, *words], input=stdin.encode(), capture_output=True, timeout=120, env=self.env)
        assert done.returncode == status, (words, done.returncode, done.stdout[-1000:], done.stderr[-1000:])
        return done.stdout.decode()

    def json(self, *words, **more):
        return json.loads(self.run(*words, '--json', **more))

    def refused(self, *words, status=1):
        """What it says on stderr."""
        done = subprocess.run([CLOCHE, *words], capture_output=True, timeout=120, env=self.env)
        assert done.returncode == status, (words, done.returncode, done.stdout[-1000:], done.stderr[-1000:])
        return done.stderr.decode()
