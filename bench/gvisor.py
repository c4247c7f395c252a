# SPDX-License-Identifier: Apache-2.0
"""The same programs under gVisor (runsc), to compare with: platform systrap, the host's network, over the same root folder.

It is used where runsc is installed, and by the benchmarks alone; bench/README.md says how to install it.
"""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'tools'))
import testimage  # noqa: E402

PROBE_TIMEOUT_S = 60
_state = []


def state_folder():
    """Where runsc keeps what it knows of its sandboxes; ours alone."""
    if not _state:
        _state.append(tempfile.mkdtemp(prefix='bench-runsc-'))
        atexit.register(shutil.rmtree, _state[0], ignore_errors=True)
    return _state[0]


def command(folder, argv):
    """The command that runs argv in the root folder under gVisor; what it writes stays in memory."""
    return ['env', '-i', *(f'{name}={value}' for name, value in testimage.ENVIRONMENT.items()),
            shutil.which('runsc') or 'runsc', '--root', state_folder(), '--platform=systrap', '--network=host', '--ignore-cgroups',
            'do', '-quiet', '-root', folder, '-cwd', '/', *argv]


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
