#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Seals the test enclave and lets a host lie to it in every way that liar.c knows.

usage: test_liar.py LIAR MAKE_BUNDLE TEST_ENCLAVE [LIE | PREFIX/ | /SUFFIX]...
"""
import subprocess
import sys
import tempfile


def main():
    liar, make_bundle, enclave = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([make_bundle, folder, enclave, '-', '-', '-', '-', '--', 'log'], check=True)
        sys.exit(subprocess.run([liar, folder, *sys.argv[4:]], check=False).returncode)


if __name__ == '__main__':
    main()
