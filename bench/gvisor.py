# SPDX-License-Identifier: Apache-2.0
"""The same programs under gVisor (runsc), to compare with: platform systrap, the host's network, over the same root folder.

It is used where runsc is installed, and by the benchmarks alone; bench/README.md says how to install it.
"""
import atexit
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'tools'))
import testimage  # noqa: E402

PROBE_TIMEOUT_S = 60
# Memory stands above the root, which stays as it is.
OPTIONS = ['--platform=systrap', '--network=host', '--ignore-cgroups', '--overlay2=root:memory']
CAPABILITIES = ['CAP_' + name.strip('+').upper() for name in testimage.CAPABILITIES.split(',')[1:]]
MOUNTS = [{'destination': '/proc', 'type': 'proc', 'source': 'proc'}, {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs'},
          {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs'}, {'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs'}]
_state = []
_numbers = itertools.count()


def state_folder():
    """Bundles, and what runsc keeps of its sandboxes; ours alone."""
    if not _state:
        _state.append(tempfile.mkdtemp(prefix='bench-runsc-'))
        atexit.register(remove_state)
    return _state[0]


def runsc(*words):
    return [shutil.which('runsc') or 'runsc', '--root', os.path.join(state_folder(), 'root'), *OPTIONS, *words]


def remove_state():
    """Ends what a time-out has left running."""
    listed = subprocess.run(runsc('list', '-quiet'), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    for name in listed.stdout.split():
        subprocess.run(runsc('delete', '-force', name), stdin=subprocess.DEVNULL, capture_output=True)
    shutil.rmtree(_state[0], ignore_errors=True)


def config(folder, argv):
    """An OCI configuration; no network namespace: the host's own."""
    sets = {kind: CAPABILITIES for kind in ('bounding', 'effective', 'permitted')}
    return {'ociVersion': '1.0.2', 'root': {'path': folder, 'readonly': False}, 'mounts': MOUNTS,
            'process': {'cwd': '/', 'args': list(argv), 'env': [f'{name}={value}' for name, value in testimage.ENVIRONMENT.items()],
                        'user': {'uid': 0, 'gid': 0}, 'capabilities': sets},
            'linux': {'namespaces': [{'type': kind} for kind in ('pid', 'ipc', 'uts', 'mount')]}}


def command(folder, argv):
    """The command that runs argv in the root folder under gVisor; what it writes stays in memory."""
    name = f'bench-{os.getpid()}-{next(_numbers)}'
    bundle = os.path.join(state_folder(), name)
    os.mkdir(bundle)
    with open(os.path.join(bundle, 'config.json'), 'w', encoding='utf-8') as file:
        json.dump(config(os.path.realpath(folder), argv), file)
    return runsc('run', '-bundle', bundle, name)


def why_missing(folder):
    """None when it runs programs here, else the reason in a few words."""
    if not shutil.which('runsc'):
        return 'runsc: not installed'
    try:
        done = subprocess.run(command(folder, ['/bin/echo', 'here']), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return 'runsc: does not start a program here'
    if done.returncode != 0 or done.stdout.strip() != 'here':
        return 'runsc: ' + ((done.stderr or done.stdout).strip().splitlines() or ['failed'])[-1][:200]
    return None


def version():
    text = subprocess.run(['runsc', '--version'], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    return (text.splitlines() or [''])[0].replace('runsc version ', '')
