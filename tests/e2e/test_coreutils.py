# SPDX-License-Identifier: Apache-2.0
"""Debian's coreutils, dynamic programs, one at a time."""
import pytest

COMMANDS = [
    'arch', 'b2sum /etc/passwd', 'base32 /etc/passwd', 'base64 /etc/passwd', 'basename /a/b', 'basenc --base16 /etc/passwd', 'cat /etc/passwd',
    'cksum /etc/passwd', 'comm /etc/passwd /etc/group', 'cp /etc/passwd /tmp/p', 'csplit -s -f /tmp/x /etc/passwd 3', 'cut -d: -f1 /etc/passwd',
    'date -u -d @0', 'dd if=/etc/passwd status=none', 'dir /etc/apt', 'dircolors -b', 'dirname /a/b', 'du -b /etc/passwd',
    'echo hello', 'env', 'expand /etc/passwd', 'expr 2 + 3', 'factor 123456789', 'false', 'fmt /etc/passwd', 'fold -w 20 /etc/passwd',
    'groups', 'head -n 3 /etc/passwd', 'id', 'id -un', 'install -m 600 /etc/passwd /tmp/p', 'join -t: /etc/passwd /etc/passwd', 'link /etc/passwd /tmp/missing/x', 'ln /etc/passwd /etc/p2',
    'ls -1 /usr', 'ls -ln /bin/bash /usr/bin/env', 'ls -R /usr/lib/python3/dist-packages/numpy/core', 'md5sum /bin/bash', 'mkdir -p /tmp/a/b/c', 'mkfifo /tmp/f', 'mv /etc/passwd /etc/p3', 'nice', 'nl /etc/passwd', 'numfmt --to=iec 123456',
    'od -x /etc/hosts', 'paste /etc/passwd /etc/passwd', 'pathchk /etc/passwd', 'pr -t /etc/passwd', 'printenv LANG', 'printf %s-%d\\n a 5', 'ptx /etc/hosts', 'pwd',
    'readlink -f /bin/sh', 'realpath /usr/../etc', 'rm -rf /usr/share', 'rmdir /usr', 'seq 10', 'sha1sum /bin/bash', 'sha224sum /bin/bash', 'sha256sum /bin/bash', 'sha384sum /bin/bash', 'sha512sum /bin/bash',
    'shred -u -n 1 /etc/p4', 'shuf -i 1-1', 'sleep 0.01', 'sort -t: -k3 -n /etc/passwd', 'split -l 5 /etc/passwd /tmp/s', 'stat -c %n:%s:%f /bin/bash', 'sum /etc/passwd', 'sync',
    'tac /etc/passwd', 'tail -n 2 /etc/passwd', 'tee /tmp/t', 'test -x /bin/bash', 'touch -d @5 /tmp/t', 'tr a-z A-Z', 'true', 'truncate -s 100 /tmp/t', 'tsort /etc/hosts', 'tty', 'uname -sm',
    'unexpand -a /etc/passwd', 'uniq /etc/passwd', 'unlink /etc/passwd', 'users', 'vdir /bin/bash', 'wc /etc/passwd', 'whoami', 'yes --version',
]
OTHERS = [
    ['/bin/bash', '-c', 'declare -A a=([x]=1 [y]=2); for k in x y; do echo $k ${a[$k]}; done; echo $((2**40)); [[ abc =~ b ]] && echo yes; printf "%(%Y)T\\n" 0'],
    ['/bin/dash', '-c', 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; echo $i'],
    ['/bin/grep', '-c', 'e', '/etc/passwd'], ['/bin/sed', '-n', '2p', '/etc/passwd'], ['/usr/bin/mawk', '-F:', '{s+=$3} END {print s}', '/etc/passwd'],
    ['/usr/bin/find', '/etc', '-maxdepth', '1', '-name', 'passwd'], ['/bin/tar', '-cf', '/dev/null', '/etc'], ['/bin/gzip', '-nc', '/etc/passwd'],
    ['/usr/bin/perl', '-e', 'print join(",", map { $_ ** 2 } 1..10), "\\n"'], ['/usr/bin/sqlite3', ':memory:', 'with recursive n(i) as (select 1 union all select i+1 from n where i<1000) select sum(i) from n'],
    ['/usr/bin/openssl', 'dgst', '-sha256', '/etc/passwd'], ['/usr/bin/openssl', 'version'], ['/usr/bin/diff', '/etc/passwd', '/etc/group'], ['/usr/bin/cmp', '/bin/bash', '/bin/dash'],
]


@pytest.mark.parametrize('command', COMMANDS)
def test_coreutils(debian, command):
    name, *rest = command.split(' ')
    debian.same([f'/usr/bin/{name}', *rest], stdin=b'one\ntwo\nthree\n')


@pytest.mark.parametrize('argv', OTHERS, ids=lambda argv: argv[0].split('/')[-1])
def test_others(debian, argv):
    debian.same(argv)
