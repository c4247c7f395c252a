#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the scenarios of test_enclave.c through the loader.

usage: test_runtime.py LOADER MAKE_BUNDLE TEST_ENCLAVE
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

# scenario -> exit status, text on standard error
EXPECTED = {
    'log': (0, 'hello from inside -5 text     7|7    |000ab'),
    'runtime': (42, ''),
    'trap': (6, ''),
    'fault': (5, ''),
    'rogue': (50, ''),
    'rogue-scribble': (50, ''),
    'rogue-syscall': (125, 'fault in the library OS: vector 6'),
    'rogue-jump': (125, 'fault in the library OS: vector 13'),
    'rogue-enclu': (50, ''),
    'overflow': (125, 'fault in the library OS: vector 14'),
    'crash': (125, 'fault in the library OS: vector 14'),
}


# Terminal and standard input are not the enclave's to try things on.
INPUT = subprocess.DEVNULL


def run_signalled(command):
    with subprocess.Popen(command + ['spin'], stderr=subprocess.PIPE, text=True) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=20)
        return process.returncode, text


def check_tampered(folder, command):
    """One byte of each file that is measured or signed: refused before anything runs."""
    failures = []
    for name, off in (('enclave', 0x1100), ('enclave.sig', 200), ('descriptor.json', 30)):
        path = os.path.join(folder, name)
        with open(path, 'r+b') as file:
            file.seek(off)
            byte = file.read(1)
            file.seek(off)
            file.write(bytes([byte[0] ^ 1]))
        result = subprocess.run(command + ['log'], capture_output=True, text=True, timeout=20, check=False)
        if result.returncode in (0, 42) or 'hello' in result.stderr or not result.stderr.startswith('cloche: '):
            failures.append(f'{name} changed: status {result.returncode}: {result.stderr}')
        with open(path, 'r+b') as file:
            file.seek(off)
            file.write(byte)
    return failures


def main():
    loader, make_bundle, enclave = sys.argv[1:4]
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([make_bundle, folder, enclave, '-', '-', '-', '-', '--', 'log'], check=True)
        command = [loader, '--image', folder, '--']
        strict = {**os.environ, 'CLOCHE_EMU_STRICT': '1', 'CLOCHE_EMU_TRANSITION_NS': '2000'}
        for scenario, (status, text) in EXPECTED.items():
            result = subprocess.run(command + [scenario], capture_output=True, text=True, errors='replace',
                                    timeout=60, check=False, stdin=INPUT)
            if result.returncode != status or text not in result.stderr:
                failures.append(f'{scenario}: status {result.returncode}, expected {status}: {result.stderr}')
            result = subprocess.run(command + [scenario], capture_output=True, text=True, errors='replace',
                                    timeout=60, check=False, stdin=INPUT, env=strict)
            if result.returncode != status:
                failures.append(f'{scenario}, strict: status {result.returncode}: {result.stderr}')
        status, text = run_signalled(command)
        if status != 77:
            failures.append(f'spin: status {status} after SIGTERM: {text}')
        failures += check_tampered(folder, command)
    for failure in failures:
        print('FAILED', failure)
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
