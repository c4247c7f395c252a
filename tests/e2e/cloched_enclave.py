# SPDX-License-Identifier: Apache-2.0
"""cloched in an enclave: its sealed images, and a harness like Cloched over `cloche run`."""
import json
import os
import subprocess

import testimage
from cloched import BUILD, ROOT, Cloched

CLOCHE = os.path.join(BUILD, 'bin', 'cloche')
EXAMPLE = os.path.join(ROOT, 'examples', 'cloched')
CONFIG = {'store': 'sqlite:/data/cloche.db', 'root_key_sealed': True, 'listen': '127.0.0.1:0', 'collateral_folder': '/data/collateral',
          'collateral_pcs_url': '', 'collateral_kds_url': '', 'emulator_root': '/etc/cloche/emulator-root.pem', 'trust_domain': 'example.org',
          'urls': ['https://cloche.example.org'], 'commands': ['init', 'ca', 'backup', 'restore', 'check-config', 'rekey --to sealed']}


class Images:
    """A root file system with cloched, and images of it as asked for. folder: for all of it; root: PEM of the emulator's."""

    def __init__(self, folder, root, **options):
        self.folder = folder
        self.tar = os.path.join(folder, 'rootfs.tar')
        more = os.path.join(folder, 'more')
        os.makedirs(os.path.join(more, 'etc', 'cloche'))
        os.makedirs(os.path.join(more, 'usr', 'bin'))
        with open(os.path.join(more, 'etc', 'cloche', 'cloched.yaml'), 'w', encoding='utf-8') as f:
            json.dump({**CONFIG, **options}, f)  # JSON is YAML
        for path, target in ((root, 'etc/cloche/emulator-root.pem'), (os.path.join(BUILD, 'bin', 'cloched'), 'usr/bin/cloched')):
            subprocess.run(['cp', path, os.path.join(more, target)], check=True)
        subprocess.run(['cp', testimage.debian_tar('cloched'), self.tar], check=True)
        subprocess.run([*testimage.TAR_APPEND, '-f', self.tar, '-C', more, '.'], check=True)

    def key(self, name):
        path = os.path.join(self.folder, name + '.pem')
        if not os.path.exists(path):
            subprocess.run(['openssl', 'genrsa', '-3', '-out', path, '3072'], check=True, capture_output=True)
        return path

    def image(self, signer='signer', isv_svn=1):
        """(path, what `cloche build --json` said)."""
        with open(os.path.join(EXAMPLE, 'cloche.yaml'), encoding='utf-8') as f:
            text = f.read()
        assert 'isv_svn: 1 ' in text
        config = os.path.join(self.folder, 'cloche.yaml')
        with open(config, 'w', encoding='utf-8') as f:
            f.write(text.replace('isv_svn: 1 ', f'isv_svn: {isv_svn} '))
        out = os.path.join(self.folder, f'{signer}-{isv_svn}.tar')
        done = subprocess.run([CLOCHE, 'build', '--json', '--sign', self.key(signer), '-f', config, self.tar, '-o', out], capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return out, json.loads(done.stdout)


class Enclaved(Cloched):
    """data: the host's folder. environment: more of the loader's. options: of `cloche run`. plain_http: the image's configuration says so."""

    def __init__(self, image, data, log, environment=None, options=(), org='acme', user='alice', plain_http=False):
        self.own_folder, self.folder, self.child = False, data, None
        self.image, self.log_path, self.run_options = image, log, options
        self.environment = {**os.environ, **(environment or {})}
        self.org, self.user, self.options = org, user, {'plain_http': plain_http}
        self._owner = None

    def words(self, *words):
        variables = [f'{name}={value}' for name, value in self.environment.items() if os.environ.get(name) != value]
        return ['env', *variables, CLOCHE, 'run', *self.run_options, '-v', f'{self.folder}:/data', self.image, *words]
