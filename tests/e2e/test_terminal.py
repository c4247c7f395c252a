# SPDX-License-Identifier: Apache-2.0
"""`cloche run -it`: a terminal inside whose far end is this side's. What a program sees and prints must be what it sees
and prints on a terminal of Linux's; and this side's terminal is as before, however the run ends."""
import fcntl
import hashlib
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from conftest import finish

TIMEOUT_S = 30


class Terminal:
    """A program on a pseudo-terminal of the host, as a person at a keyboard has it."""

    def __init__(self, command, rows=33, columns=101):
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b''
        self.child = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                      start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def send(self, text):
        os.write(self.master, text)

    def until_asleep(self):
        """Waits until no thread of the program runs or is about to: whatever it does next, something else begins.
        Two looks find the same switches, so between them every thread slept."""
        end, before = time.monotonic() + TIMEOUT_S, None
        while time.monotonic() < end:
            now = switches_asleep(self.child.pid)
            if now is not None and now == before:
                return
            before = now
            time.sleep(0.01)
        pytest.fail('it does not sleep')

    def until(self, text):
        """Reads until `text` is there; gives all up to its end."""
        end = time.monotonic() + TIMEOUT_S
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                pytest.fail(f'no {text!r} in {self.seen[-2000:]!r}')
            self.seen += os.read(self.master, 4096)
        at = self.seen.index(text) + len(text)
        before, self.seen = self.seen[:at], self.seen[at:]
        return before

    def end(self):
        """Waits for the end; gives the status and what was not read yet."""
        until = time.monotonic() + TIMEOUT_S
        while self.child.poll() is None and time.monotonic() < until:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 4096)
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
            pytest.fail(f'it does not end: {self.seen[-2000:]!r}')
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 4096)
        return self.child.returncode, self.seen

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.master)
        os.close(self.slave)


def switches_asleep(pid):
    """{thread: its switches} of a process and its descendants; None when one of them does not sleep."""
    switches = {}
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/status', encoding='utf-8', errors='replace') as file:
                fields = dict(line.split(':', 1) for line in file)
            if not fields['State'].strip().startswith('S'):
                return None
            switches[thread] = fields['voluntary_ctxt_switches'].strip(), fields['nonvoluntary_ctxt_switches'].strip()
            with open(f'/proc/{pid}/task/{thread}/children', encoding='ascii') as file:
                children = file.read().split()
            for child in children:
                theirs = switches_asleep(int(child))
                if theirs is None:
                    return None
                switches.update(theirs)
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended between two looks
    return switches


@pytest.fixture
def terminal(request):
    opened = []

    def open_one(command, **size):
        opened.append(Terminal(command, **size))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def on_terminal(world, argv, options=('-it',)):
    return world.enclave_command(argv, options)


def wait_until_raw(terminal):
    """The enclave listens: keys are its own from here on."""
    until = time.monotonic() + TIMEOUT_S
    while termios.tcgetattr(terminal.slave)[3] & termios.ICANON:
        assert time.monotonic() < until and terminal.child.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)


def test_settings_and_size(debian, terminal):
    native = finish([sys.executable, '-c', '''
import os, pty, subprocess
m, s = os.openpty()
import fcntl, struct, termios
fcntl.ioctl(m, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
print(subprocess.run(["stty", "-a"], stdin=s, capture_output=True, text=True).stdout, end="")'''])
    one = terminal(on_terminal(debian, ['/bin/stty', '-a']))
    status, out = one.end()
    assert status == 0
    assert out.split() == native.out.split()  # lines are as long as what they are printed on is wide
    assert termios.tcgetattr(one.slave) == one.before


def test_what_a_program_sees(debian, terminal):
    script = '''
import os, sys
print([os.isatty(fd) for fd in range(3)], os.ttyname(0), os.readlink("/proc/self/fd/1"), os.get_terminal_size())
print(os.tcgetpgrp(0) == os.getpgrp(), os.fstat(0).st_rdev == os.stat("/dev/pts/0").st_rdev)
with open("/dev/tty", "w") as tty: print("through /dev/tty", file=tty)
with open("/dev/console", "w") as tty: print("through /dev/console", file=tty)
'''
    status, out = terminal(on_terminal(debian, ['/usr/bin/python3', '-c', script])).end()
    assert status == 0, out
    assert out == (b"[True, True, True] /dev/pts/0 /dev/pts/0 os.terminal_size(columns=101, lines=33)\r\n"
                   b"True True\r\nthrough /dev/tty\r\nthrough /dev/console\r\n")


def test_python_prompt(debian, terminal):
    one = terminal(on_terminal(debian, ['/usr/bin/python3', '-q']))
    one.until(b'>>> ')
    one.send(b'print(6 * 7)\r')
    one.until(b'\n42\r\n>>> ')
    one.send(b'import time; time.sleep(60)\r')
    one.until(b'sleep(60)')
    one.until(b'\n')
    one.until_asleep()
    one.send(b'\x03')
    one.until(b'KeyboardInterrupt')
    one.until(b'>>> ')
    one.send(b'import os; os._exit(7)\r')
    assert one.end()[0] == 7


def test_end_of_file(debian, terminal):
    one = terminal(on_terminal(debian, ['/bin/cat']))
    wait_until_raw(one)
    one.send(b'hullo\x7f\x7fo\r')
    assert one.until(b'hulo\r\n').startswith(b'hullo\b \b\b \bo\r\n')
    one.send(b'\x04')
    status, out = one.end()
    assert (status, out) == (0, b'')
    assert termios.tcgetattr(one.slave) == one.before


@pytest.mark.parametrize('key,number', [(b'\x03', signal.SIGINT), (b'\x1c', signal.SIGQUIT)])
def test_key_ends_the_program(debian, terminal, key, number):
    one = terminal(on_terminal(debian, ['/bin/sleep', '60']))
    wait_until_raw(one)
    one.send(key)
    assert one.end()[0] in (128 + number, -number)
    assert termios.tcgetattr(one.slave) == one.before


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_signal_restores_the_terminal(debian, terminal, number):
    one = terminal(on_terminal(debian, ['/bin/sleep', '60']))
    wait_until_raw(one)
    one.child.send_signal(number)
    assert one.end()[0] in (128 + number, -number)
    assert termios.tcgetattr(one.slave) == one.before


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return [int(word) for word in file.read().split()]


@pytest.mark.parametrize('who', ['guard', 'loader'])
def test_kill_restores_the_terminal(debian, terminal, who):
    one = terminal(on_terminal(debian, ['/bin/sleep', '60']))
    wait_until_raw(one)
    (loader,) = children_of(one.child.pid)
    os.kill(one.child.pid if who == 'guard' else loader, signal.SIGKILL)
    assert one.end()[0] == -signal.SIGKILL
    until = time.monotonic() + 5
    while termios.tcgetattr(one.slave) != one.before and time.monotonic() < until:
        time.sleep(0.02)
    assert termios.tcgetattr(one.slave) == one.before
    until = time.monotonic() + 5
    while os.path.exists(f'/proc/{loader}') and time.monotonic() < until:
        time.sleep(0.02)
    assert not os.path.exists(f'/proc/{loader}')


def test_resize(debian, terminal):
    one = terminal(on_terminal(debian, ['/usr/bin/python3', '-c', '''
import os, signal, time
seen = []
signal.signal(signal.SIGWINCH, lambda *_: seen.append(os.write(1, str(os.get_terminal_size()).encode())))
print("ready", flush=True)
while len(seen) < 2: time.sleep(0.01)''']))
    one.until(b'ready')
    one.resize(10, 20)
    one.until(b'columns=20, lines=10)')
    one.resize(65535, 65535)
    one.until(b'columns=4096, lines=4096)')  # what the host claims is bounded
    assert one.end()[0] == 0


def test_much_output(debian, terminal):
    """All of it arrives, though nobody reads while the program ends."""
    one = terminal(on_terminal(debian, ['/usr/bin/python3', '-c', 'print("x" * 99 + "\\n" + "\\n".join(["line %d" % i for i in range(20000)]))']))
    time.sleep(1.5)
    status, out = one.end()
    assert status == 0
    assert out.split() == [b'x' * 99] + [word for i in range(20000) for word in (b'line', b'%d' % i)]


def test_much_input(debian, terminal):
    one = terminal(on_terminal(debian, ['/usr/bin/python3', '-c', '''
import os, sys, tty, hashlib
tty.setraw(0); os.write(1, b"ready")
left, h = 200000, hashlib.sha256()
while left: part = os.read(0, 1000); h.update(part); left -= len(part)
os.write(1, h.hexdigest().encode())''']))
    one.until(b'ready')
    text = bytes(i * 7 % 251 for i in range(200000))
    os.set_blocking(one.master, False)
    sent = 0
    while sent < len(text):
        select.select([], [one.master], [], TIMEOUT_S)
        sent += os.write(one.master, text[sent:sent + 1000])
    one.until(hashlib.sha256(text).hexdigest().encode())
    assert one.end()[0] == 0


def test_host_terminal_gone(debian):
    """Whoever sat there left: the program gets SIGHUP."""
    one = Terminal(on_terminal(debian, ['/bin/sleep', '60']))
    wait_until_raw(one)
    os.close(one.slave)
    os.close(one.master)
    assert one.child.wait(TIMEOUT_S) in (128 + signal.SIGHUP, -signal.SIGHUP)


def test_without_input(debian):
    """-t alone: a terminal, though nobody types; standard output may be anything."""
    got = debian.enclave(['/usr/bin/python3', '-c', 'import os; print(os.isatty(0), os.isatty(1)); os.write(2, b"err\\n")'], options=('-t',))
    assert got.status == 0
    assert got.out == b'True True\r\nerr\r\n'


def test_needs_a_terminal(debian):
    got = debian.enclave(['/bin/true'], options=('-it',))
    assert got.status == 1
    assert b'not a terminal' in got.err


def test_input_without_terminal(debian):
    assert debian.enclave(['/bin/cat'], options=('-i',), stdin=b'piped').out == b'piped'


@pytest.mark.parametrize('world', ['native', 'enclave'])
def test_shell_builtins(debian, terminal, world):
    """A shell at its prompt, as far as it needs no process. bash's readline loses a SIGINT that comes after it looked
    for signals and before pselect(), on Linux, too: it then prints all but the new prompt, which comes with the next
    key. So the key is pressed, once, when bash sleeps."""
    argv = ['/bin/bash', '--norc']
    on_linux = debian.native_command(['/usr/bin/env', 'TERM=xterm', *argv])
    one = terminal(on_linux if world == 'native' else on_terminal(debian, argv))
    one.until(b'# ')
    one.send(b'cd /usr/lib; echo "in $PWD, $TERM, $COLUMNS"\r')
    one.until(b'in /usr/lib, xterm, 101\r\n')
    one.until(b'# ')
    one.send(b'read -n 3 keys; echo "<$keys>"\r')
    one.until(b'\n')
    one.send(b'abc')
    one.until(b'<abc>')
    one.until(b'# ')
    one.send(b'half a line')
    one.until(b'half a line')
    one.until_asleep()
    one.send(b'\x03')
    shown = one.until(b'# ')
    assert shown.startswith(b'^C') and shown.count(b'\n') == 1, shown
    one.send(b'exit 3\r')
    assert one.end()[0] == 3
