# SPDX-License-Identifier: Apache-2.0
"""Programs from Debian that start others, where they do so without fork: the same in the enclave as natively."""
import re

import pytest

from conftest import World

MAKEFILE = '''
SOURCES := one two three
all: $(SOURCES:=.out) summary
	@echo "made by $(MAKE_COMMAND)"; test -s summary
%.out:
	/bin/echo $* > $@
	@/bin/cat $@
summary: $(SOURCES:=.out)
	@/bin/cat $^ > $@
	@/usr/bin/wc -l < $@
failing: ; @echo before; /bin/false; echo after
missing: ; /no/such/program
recursive: ; @$(MAKE) --no-print-directory all
clean: ; @/bin/rm -f *.out summary; echo clean
'''
# Simple commands only: dash starts them by vfork. Pipelines, substitutions, ( ) and & need fork.
SCRIPT = '''
cd /tmp
/bin/echo one; /bin/echo two >file; /bin/cat file; /bin/cat <file
for i in 1 2 3; do /usr/bin/printf "%s " $i; done; echo
greet() { /bin/echo "hello $1"; }; greet you
if /bin/false; then echo no; else echo "false is $?"; fi
/usr/bin/test -f file && echo there; /bin/grep -q two file || echo missing
VAR=set /usr/bin/env | while :; do break; done 2>/dev/null
VAR=set /usr/bin/printenv VAR
/bin/sh -c "exit 7"; echo "status $?"
/bin/sh -c 'kill -TERM $$'; echo "status $?"
/no/such/program; echo "status $?"
/etc/passwd; echo "status $?"
umask 027; /usr/bin/touch made; /usr/bin/stat -c %a made
exec 3>out; /bin/echo third >&3; exec 3>&-; /bin/cat out
while read line; do /bin/echo "<$line>"; done <file
trap '/bin/echo bye' EXIT
exec 4</dev/null; /bin/true
'''.replace("VAR=set /usr/bin/env | while :; do break; done 2>/dev/null\n", '')


@pytest.fixture(scope='module')
def tools():
    return World('tools')


@pytest.fixture(scope='module')
def python():
    return World('python')


def sh(text):
    return ['/bin/sh', '-c', text]


def test_dash_script(tools):
    tools.same(sh(SCRIPT))


@pytest.mark.parametrize('target', ['all', '-j3 all', 'failing', '-k failing all', 'missing', 'recursive', '-n all', '-s clean'])
def test_make(tools, target):
    write = f"cd /tmp; /bin/cat >Makefile <<'END'\n{MAKEFILE}END\n"
    got = tools.same(sh(f'{write}/usr/bin/make {target} >log 2>&1; echo "status $?"; /usr/bin/sort log'))
    assert b'status' in got.out


@pytest.mark.parametrize('command', [
    'env -i A=1 B=2 env', 'nice -n 5 echo nice', 'nohup echo nohup', 'stdbuf -oL echo stdbuf', 'chroot / /bin/echo root',
    'ionice -c 3 echo ionice', 'taskset 1 echo taskset', "awk 'BEGIN { system(\"echo system\"); exit 3 }'", "sed -n '1e echo from sed' /etc/hostname", 'env false', 'env no-such-program',
    'prlimit --nofile=100 sh -c "ulimit -n"', 'setpriv --nnp echo setpriv', 'setpriv --reuid=65534 --regid=65534 --clear-groups id',
])
def test_commands(tools, command):
    tools.same(sh(f'exec {command}' if not command.startswith(('awk', 'sed')) else command))


def test_setsid(tools):
    """It leads no group, so it need not fork."""
    tools.same(sh('setsid echo setsid; echo $?'))


def test_many_in_a_row(tools):
    """A hundred processes, one after the other."""
    got = tools.same(sh('i=0; while [ $i -lt 100 ]; do /bin/true || echo failed; i=$((i+1)); done; echo $i'))
    assert got.out == b'100\n'


PYTHON_CASES = {
    'system': 'import os; print(os.system("echo sys; exit 3") >> 8)',
    'popen': 'import os; print(os.popen("echo a b c; /bin/ls -d /etc").read().split())',
    'posix_spawn': 'import os; pid = os.posix_spawn("/bin/echo", ["echo", "hi"], os.environ); print(os.waitpid(pid, 0)[1])',
    'run': 'import subprocess as s; print(s.run(["/bin/cat"], input=b"x" * 300000, stdout=s.PIPE).stdout.count(b"x"))',
    'status': 'import subprocess as s; print([s.call(["/bin/sh", "-c", c]) for c in ("exit 0", "exit 9", "kill -9 $$", "kill -15 $$")])',
    'not found': 'import subprocess as s\ntry: s.run(["/no/such"])\nexcept FileNotFoundError as e: print(e)',
    'cwd and env': 'import subprocess as s; print(s.run("/bin/pwd; echo $X", shell=True, cwd="/usr", env={"X": "y"}, stdout=s.PIPE).stdout)',
    'timeout': 'import subprocess as s\ntry: s.run(["/bin/sleep", "50"], timeout=0.2)\nexcept s.TimeoutExpired: print("expired")',
    'terminate': 'import subprocess as s; p = s.Popen(["/bin/sleep", "50"]); p.terminate(); print(p.wait())',
    'session': 'import subprocess as s, os; p = s.Popen(["/bin/sleep", "50"], start_new_session=True); print(os.getsid(p.pid) == p.pid); p.kill(); print(p.wait())',
    'pipe': 'import subprocess as s\na = s.Popen(["/bin/echo", "b\\na"], stdout=s.PIPE); b = s.Popen(["/usr/bin/sort"], stdin=a.stdout, stdout=s.PIPE)\na.stdout.close(); print(b.communicate(), a.wait())',
    'threads': '''
import subprocess as s, threading
out = []
def one(i): out.append(s.run(["/bin/echo", str(i)], stdout=s.PIPE).stdout.decode().strip())
ts = [threading.Thread(target=one, args=(i,)) for i in range(12)]
for t in ts: t.start()
for t in ts: t.join()
print(sorted(out, key=int))''',
    'asyncio': '''
import asyncio
async def main():
    p = await asyncio.create_subprocess_exec("/bin/sh", "-c", "read x; echo got $x; exit 4", stdin=-1, stdout=-1)
    print(await p.communicate(b"word\\n"), p.returncode)
asyncio.run(main())''',
    'stop': '''
import os, signal, subprocess as s
p = s.Popen(["/bin/sleep", "50"])
os.kill(p.pid, signal.SIGSTOP); print(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1]))
os.kill(p.pid, signal.SIGCONT); print(os.WIFCONTINUED(os.waitpid(p.pid, os.WCONTINUED)[1]))
p.kill(); print(p.wait())''',
    'usage': '''
import resource, subprocess as s
s.run(["/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > 0.01)''',
}


@pytest.mark.parametrize('case', PYTHON_CASES)
def test_python(python, case):
    python.same(['/usr/bin/python3', '-c', PYTHON_CASES[case]])


def test_ps(tools):
    """The processes of the enclave, and nothing else."""
    got = tools.enclave(sh('/bin/ps -e -o pid,ppid,pgid,sid,tty,comm; /usr/bin/pgrep -l .; /bin/ps -o pid= -C agent; /bin/ps -o comm= -p 2'))
    lines = [line.split() for line in got.out.decode().splitlines()]
    assert lines[0] == ['PID', 'PPID', 'PGID', 'SID', 'TT', 'COMMAND']
    assert lines[1:3] == [['1', '0', '1', '1', '?', 'agent'], ['2', '1', '2', '2', '?', 'sh']]
    assert lines[3][1:] == ['2', '2', '2', '?', 'ps'] and int(lines[3][0]) > 2
    assert lines[4:6] == [['1', 'agent'], ['2', 'sh']]
    assert lines[6:] == [['1'], ['sh']]


def test_top(tools):
    got = tools.enclave(['/usr/bin/top', '-b', '-n', '1'])
    assert got.status == 0
    assert re.search(rb'Tasks: +2 total, +1 running, +1 sleeping', got.out), got.out
    assert re.search(rb'\n +2 root .* top\n', got.out), got.out


@pytest.mark.parametrize('command', ['/usr/bin/free', '/usr/bin/uptime', '/usr/bin/pmap 1', '/usr/bin/pstree -p', '/usr/bin/pidof agent', '/usr/bin/w'])
def test_other_procps(tools, command):
    got = tools.enclave(command.split())
    assert got.status == 0 and got.out, got.err


@pytest.mark.parametrize('command', ['echo a | cat', 'x=$(echo a); echo $x', '( exit 3 )', 'sleep 0 & wait', 'echo a | xargs echo', 'find /etc/passwd -exec echo {} +',
                                     'timeout 5 echo a', 'awk \'BEGIN { "echo a" | getline x; print x }\''])
def test_fork_is_refused_with_a_reason(tools, command):
    """These need a copy of a process, which is not there: they fail, and the operator reads why."""
    got = tools.enclave(sh(command), timeout=20)
    assert got.status != 0 or b'a' not in got.out
    assert b'fork: a process with a copy' in got.err, got.err
