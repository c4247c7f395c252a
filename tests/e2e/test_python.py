# SPDX-License-Identifier: Apache-2.0
"""Unmodified Python programs: the same output and status as natively; servers with clients on both sides."""
import socket
import urllib.error
import urllib.request

import pytest

from conftest import Server

PYTHON = '/usr/bin/python3'

PROGRAMS = {
    'json': 'import json; print(json.dumps({"b": [1, 2.5, None, True, "\\u00e9"], "a": {}}, sort_keys=True)); print(json.loads("[1e3, \\"x\\"]"))',
    'exit_status': 'import sys; print("bye"); sys.exit(17)',
    'exception': 'import sys; print("before", flush=True); raise SystemExit("no")',
    'sqlite3': '''
import sqlite3
db = sqlite3.connect("/tmp/a.db")
db.execute("pragma journal_mode=wal")
db.execute("create table t (a integer primary key, b text)")
db.executemany("insert into t values (?, ?)", ((i, str(i) * 3) for i in range(5000)))
db.commit()
print(db.execute("select count(*), sum(a), max(b) from t").fetchone())
print(sqlite3.connect("/tmp/a.db").execute("pragma integrity_check").fetchone())''',
    'ssl': '''
import ssl, hashlib
context = ssl.create_default_context()
print(ssl.OPENSSL_VERSION, len(context.get_ca_certs()) > 50, context.verify_mode)
print(hashlib.sha3_256(b"x").hexdigest(), hashlib.scrypt(b"p", salt=b"s", n=1024, r=8, p=1).hex()[:20])''',
    'tls_in_memory': '''
import ssl, subprocess
a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
client = context.wrap_bio(a, b)
try: client.do_handshake()
except ssl.SSLWantReadError: print(len(b.read()) > 200)''',
    'asyncio': '''
import asyncio
async def serve(reader, writer):
    writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
async def ask(port, word):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(word + b"\\n"); answer = await reader.readline(); writer.close(); return answer
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(await asyncio.gather(*(ask(port, b"word%d" % i) for i in range(20))))
    print(await asyncio.wait_for(asyncio.sleep(0.01, "slept"), 5))
    try: await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError: print("timeout")
    print(await asyncio.get_running_loop().run_in_executor(None, sum, range(1000)))
asyncio.run(main())''',
    'threading': '''
import threading, queue
q, out, lock = queue.Queue(), [], threading.Lock()
def work():
    while (n := q.get()) is not None:
        with lock: out.append(n * n)
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
for n in range(2000): q.put(n)
for _ in threads: q.put(None)
for t in threads: t.join()
print(len(out), sum(out)); e = threading.Event(); print(e.wait(0.05)); b = threading.Barrier(3)
ts = [threading.Thread(target=b.wait) for _ in range(2)]; [t.start() for t in ts]; b.wait(); [t.join() for t in ts]; print("met")''',
    'ctypes': '''
import ctypes
libc = ctypes.CDLL("libc.so.6")
libc.strlen.restype = ctypes.c_size_t
print(libc.strlen(b"hello"), libc.getpid() > 0)
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(lambda a, b: a[0] - b[0])
numbers = (ctypes.c_int * 6)(5, 3, 9, 1, 7, 2)
libc.qsort(numbers, 6, ctypes.sizeof(ctypes.c_int), compare); print(list(numbers))''',
    'numpy': '''
import numpy as np
a = np.arange(250000, dtype=float).reshape(500, 500) % 17 + np.eye(500)
b = np.random.default_rng(7).normal(size=(200, 200))
print(np.round(np.linalg.norm(a @ a), 6), np.round(np.linalg.det(b[:20, :20]), 9), np.round(np.abs(np.fft.fft(b[0])).sum(), 9))
print(np.round(np.linalg.eigvalsh(b @ b.T)[:3], 9), np.sort(b.ravel())[:2]); np.save("/tmp/a.npy", a); print(np.load("/tmp/a.npy", mmap_mode="r")[499, 499])''',
    'files': '''
import os, tempfile, pathlib, shutil, mmap
d = pathlib.Path(tempfile.mkdtemp()); (d / "a").write_text("x" * 10000); os.link(d / "a", d / "b"); os.symlink("a", d / "s")
print(sorted(os.listdir(d)), (d / "s").read_text() == "x" * 10000, os.stat(d / "b").st_nlink)
with open(d / "a", "r+b") as f, mmap.mmap(f.fileno(), 0) as m: m[5:8] = b"abc"
print((d / "b").read_text()[:10]); shutil.copytree(d, str(d) + "2"); shutil.rmtree(d); print(os.path.exists(d), os.getcwd())
print(sum(len(files) for _, _, files in os.walk("/usr/lib/python3.11/json")))''',
    'signals': '''
import signal, os, time
seen = []
signal.signal(signal.SIGUSR1, lambda *a: seen.append("usr1")); os.kill(os.getpid(), signal.SIGUSR1); print(seen)
signal.signal(signal.SIGALRM, lambda *a: seen.append("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.2); print(seen)
import threading; signal.pthread_kill(threading.get_ident(), signal.SIGUSR1); print(seen)
import faulthandler; faulthandler.enable(); print(faulthandler.is_enabled())''',
    'compression': '''
import zlib, bz2, lzma, hashlib
data = b"".join(b"%d," % (i * i % 1009) for i in range(60000))
for c in (zlib, bz2, lzma): packed = c.compress(data); print(c.__name__, len(packed), c.decompress(packed) == data)
print(hashlib.sha256(data).hexdigest())''',
    'decimal_datetime': 'import decimal, datetime; print(decimal.Decimal(2).sqrt(), datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc).isoformat(), datetime.date(2024, 1, 1).strftime("%A %j"))',
    'big_allocation': 'b = bytearray(200 << 20); b[100 << 20] = 1; print(len(b), sum(b[::4096]))',
    'memory_is_bounded': '''
try: bytearray(1 << 45)
except MemoryError: print("MemoryError")''',
    'recursion': '''
def f(n): return 0 if n == 0 else 1 + f(n - 1)
print(f(900))
try: f(10**6)
except RecursionError: print("RecursionError")''',
    'selectors_sockets': '''
import selectors, socket
s = selectors.DefaultSelector(); a, b = socket.socketpair(); s.register(a, selectors.EVENT_READ, "a"); b.send(b"x")
print([(k.data, m) for k, m in s.select(1)], type(s).__name__); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0)); u.sendto(b"hi", u.getsockname()); print(u.recv(10))
print(socket.getaddrinfo("localhost", 80, socket.AF_INET, socket.SOCK_STREAM))''',
    'server_and_client_inside': '''
import http.server, threading, urllib.request
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b"you asked " + self.path.encode())
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()
for i in range(10): print(urllib.request.urlopen(f"http://127.0.0.1:{s.server_port}/{i}").read())
s.shutdown()''',
    'random_uuid': 'import uuid, random, secrets; random.seed(1); print(random.random(), len(str(uuid.uuid4())), len(secrets.token_hex()))',
    'platform': 'import platform, os; print(platform.machine(), platform.libc_ver(), os.cpu_count() >= 1, len(os.sched_getaffinity(0)) >= 1)',
    'many_imports': '''
import importlib, pkgutil, sys
names = sorted(m.name for m in pkgutil.iter_modules(["/usr/lib/python3.11"]) if m.name not in ("this", "antigravity", "__main__", "idlelib", "turtledemo", "test", "tkinter", "turtle", "lib2to3"))
done = 0
for name in names:
    try: importlib.import_module(name); done += 1
    except ImportError as e: print(name, e)
print(done)''',
}


@pytest.mark.parametrize('name', PROGRAMS)
def test_program(debian, name):
    debian.same([PYTHON, '-c', PROGRAMS[name]])


def test_script_from_stdin(debian):
    debian.same([PYTHON, '-'], stdin=b'import sys\nprint(sys.argv, len(sys.path))\n')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def test_http_server_with_client_on_the_host(debian):
    port = free_port()
    # http.server asks for localhost's own name only; it serves the image's files.
    server = Server(debian.enclave_command([PYTHON, '-u', '-m', 'http.server', str(port), '--bind', '127.0.0.1', '--directory', '/etc']),
                    b'Serving HTTP')
    try:
        with open(debian.folder + '/etc/passwd', 'rb') as file:
            want = file.read()
        for _ in range(20):
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/passwd', timeout=10) as answer:
                assert answer.read() == want
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=10) as answer:
            assert b'passwd' in answer.read()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f'http://127.0.0.1:{port}/missing', timeout=10)
    finally:
        status = server.stop()
    assert status in (143, -15), server.err[-1000:]


def test_client_inside_with_server_on_the_host(debian):
    listener = socket.create_server(('127.0.0.1', 0))
    port = listener.getsockname()[1]
    program = f'import socket; s = socket.create_connection(("127.0.0.1", {port})); s.sendall(b"from inside"); print(s.recv(100))'
    server = Server(debian.enclave_command([PYTHON, '-c', 'print("go", flush=True);' + program]), b'go')
    listener.settimeout(20)
    connection, _ = listener.accept()
    with connection, listener:
        assert connection.recv(100) == b'from inside'
        connection.sendall(b'from the host')
    out, _ = server.child.communicate(timeout=20)
    assert b'from the host' in server.out + out
    assert server.child.returncode == 0


SENDFILE = """
import os, shutil, socket
out = socket.create_connection(('127.0.0.1', %d))
name = '/usr/bin/perl'
size = os.path.getsize(name)
def send(fd, off, count):
    while count and (n := os.sendfile(out.fileno(), fd, off, count)):
        off, count = off + n, count - n
with open(name, 'rb') as file:
    send(file.fileno(), 0, size + 10)
    send(file.fileno(), 4097, 10000)
    send(file.fileno(), size - 5, 100)
with open(name, 'r+b') as file:
    file.seek(100000); file.write(b'changed'); file.flush()
    send(file.fileno(), 0, 200000)
    file.truncate(150001); file.seek(0, 2); file.write(b'longer again'); file.flush()
    send(file.fileno(), 90000, size)
"""


def test_sendfile_of_the_image(debian):
    """Bytes of the image, whatever is changed over them, as read would give them."""
    with open(debian.folder + '/usr/bin/perl', 'rb') as file:
        image = file.read()
    changed = image[:100000] + b'changed' + image[100007:]
    want = image + image[4097:14097] + image[-5:] + changed[:200000] + (changed[:150001] + b'longer again')[90000:]
    with socket.create_server(('127.0.0.1', 0)) as listener:
        server = Server(debian.enclave_command([PYTHON, '-c', 'print("go", flush=True);' + SENDFILE % listener.getsockname()[1]]), b'go')
        listener.settimeout(20)
        connection, _ = listener.accept()
        connection.settimeout(20)
        got = bytearray()
        with connection:
            while chunk := connection.recv(1 << 20):
                got += chunk
    server.child.communicate(timeout=20)
    assert server.child.returncode == 0
    assert got == want
