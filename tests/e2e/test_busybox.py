# SPDX-License-Identifier: Apache-2.0
"""Applets of a static busybox, one at a time: the same output and status as natively. None of them starts a process."""
import pytest

COMMANDS = [
    'true', 'false', 'echo one two', 'echo -n x', 'printf %05d\\n 42', 'pwd', 'ls /', 'ls /bin/busybox /bin/sh', 'ls /missing',
    'cat /etc/passwd', 'cat /missing', 'cat /etc/passwd /etc/group', 'head -c 5 /etc/passwd', 'tail -n 1 /etc/passwd', 'wc /etc/passwd', 'wc -c /bin/busybox',
    'md5sum /bin/busybox', 'sha1sum /bin/busybox', 'sha256sum /bin/busybox', 'sha512sum /bin/busybox',
    'crc32 /etc/passwd', 'base64 /etc/passwd', 'od -c /etc/passwd', 'hexdump -C /etc/passwd', 'xxd /etc/passwd', 'strings -n 30 /bin/busybox',
    'basename /a/b.c .c', 'dirname /a/b/c', 'realpath /bin/../bin/sh', 'readlink /bin/ls', 'stat -c %s:%a:%F /bin/busybox',
    'expr 6 * 7', 'seq 1 5', 'seq 0 0.5 2', 'factor 1001', 'test -d /bin', 'test -f /bin', '[ 1 -lt 2 ]', 'id', 'id -u', 'whoami',
    'uname -s', 'uname -m', 'env', 'sort -r /etc/passwd', 'uniq /etc/passwd', 'cut -d: -f1 /etc/passwd', 'grep -c root /etc/passwd',
    'grep nobody /etc/passwd', 'sed s/root/ROOT/g /etc/passwd', 'awk -F: {print$1,$3*2} /etc/passwd', 'tr a-z A-Z', 'rev /etc/passwd', 'tac /etc/passwd', 'fold -w 10 /etc/passwd',
    'nl /etc/passwd', 'paste /etc/passwd /etc/group', 'cmp /etc/passwd /etc/group', 'diff /etc/passwd /etc/group', 'find /etc -name p*', 'touch /tmp/x', 'mkdir /tmp/d', 'mkdir /etc/passwd/x',
    'rmdir /etc', 'rm /missing', 'ln -s a /tmp/l', 'mv /missing /x', 'cp /bin/busybox /tmp/copy', 'dd if=/dev/zero of=/dev/null bs=4096 count=100 status=none', 'sleep 0.05', 'usleep 1000', 'sync',
    'date -u -d @86400 +%F', 'cal 2 2024', 'tty', 'nproc', 'hostid', 'getopt ab: -a -b c', 'dc -e 2_3*p', 'bc --version', 'mktemp -u /tmp/fixed', 'ipcalc -n 10.1.2.3/8',
    'tar -tf /missing', 'gzip -c /etc/passwd', 'zcat /missing', 'unzip -l /missing', 'cpio -t', 'sh -c true', 'sh -c "exit 7"',
    'sh -c "echo $((6*7)); x=5; while [ $x -gt 0 ]; do echo $x; x=$((x-1)); done"', 'sh -c "read a; echo got $a"', 'ash -c "set -e; cd /etc; pwd; test -f passwd; echo *"', 'nosuchapplet',
]
UNPREDICTABLE = {'mktemp -u /tmp/fixed', 'hostid'}


def words(command):
    return [word.strip('"') for word in command.split(' ')] if '"' not in command else [
        *command.split('"')[0].split(), command.split('"')[1]]


@pytest.mark.parametrize('command', [command for command in COMMANDS if command not in UNPREDICTABLE])
def test_applet(busybox, command):
    busybox.same(['/bin/busybox', *words(command)], stdin=b'one\ntwo\nthree\n')


def test_link_name_selects_applet(busybox):
    busybox.same(['/bin/seq', '3'])


def test_missing_program(busybox):
    got = busybox.enclave(['/bin/missing'])
    assert got.status == 127 or got.status == 1
    assert b'/bin/missing' in got.err


def test_large_output(busybox):
    got = busybox.same(['/bin/busybox', 'seq', '1', '200000'])
    assert len(got.out) > 1000000


def test_large_input(busybox):
    text = b''.join(b'%d\n' % number for number in range(200000))
    busybox.same(['/bin/busybox', 'md5sum'], stdin=text)


def test_files_written_by_one_run_are_gone_in_the_next(busybox):
    assert busybox.enclave(['/bin/busybox', 'touch', '/tmp/x']).status == 0
    assert busybox.enclave(['/bin/busybox', 'test', '-e', '/tmp/x']).status == 1
