# SPDX-License-Identifier: Apache-2.0
"""Servers from Debian packages, with clients on the host: the same answers natively and in the enclave, and a clean end."""
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from conftest import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, 'tools'))
import servers  # noqa: E402
import testimage  # noqa: E402


@pytest.fixture(scope='module')
def worlds():
    return servers.Worlds(BUILD)


def both(worlds, name, ask, number=signal.SIGTERM):
    """What ask(server) gives for the native server and for the one in the enclave; their ends must be alike."""
    answers, ends = [], []
    for world in ('native', 'enclave'):
        with servers.running(worlds, world, name) as server:
            answers.append(ask(server))
            ends.append(server.stop(number))
    assert ends[0] == ends[1] and ends[1] != 'killed', ends
    return answers, ends[1]


def same(worlds, name, ask, status=0, number=signal.SIGTERM):
    (native, enclave), ended = both(worlds, name, ask, number)
    if isinstance(native, dict):
        for key, value in native.items():
            assert enclave[key] == value, key
    assert native == enclave
    assert ended == status
    return enclave


# ---- Redis ----

REDIS_SESSION = '''
SET a 1
GET a
INCR a
INCRBYFLOAT a 0.5
APPEND text hello
APPEND text world
GETRANGE text 3 6
STRLEN text
SETEX gone 100 x
TTL gone
EXISTS a nothing
DEL a
MSET x 1 y 2 z 3
MGET x y z nothing
RPUSH list a b c d
LRANGE list 0 -1
LPOP list
LINSERT list BEFORE c bb
LLEN list
SADD one a b c
SADD two b c d
SINTERSTORE both one two
SCARD both
SISMEMBER both b
HSET h f1 v1 f2 v2
HGETALL h
HINCRBY h n 5
ZADD z2 1 one 2 two 3 three
ZRANGE z2 0 -1 WITHSCORES
ZRANK z2 two
PFADD hll a b c d e
PFCOUNT hll
SETBIT bits 7 1
BITCOUNT bits
GEOADD places 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEODIST places Palermo Catania km
XADD stream 1-1 field value
XLEN stream
XRANGE stream - +
TYPE stream
EVAL "return redis.call('GET', KEYS[1])" 1 x
EVAL "local s = 0; for i = 1, 100000 do s = s + i end; return s" 0
MULTI
INCR x
INCR x
EXEC
OBJECT ENCODING list
SORT one ALPHA
DBSIZE
CONFIG GET maxmemory-policy
GET list
FLUSHALL
DBSIZE
PING
'''


def redis_cli(server, *words, text=None):
    done = subprocess.run(['redis-cli', '-p', str(server.port), *words], input=text, capture_output=True, text=True, timeout=30)
    return done.stdout


def redis_subscription(server):
    """A message goes from one client to another."""
    listener = server.connect()
    listener.sendall(b'SUBSCRIBE news\r\n')
    stream = listener.makefile('rb')
    head = [stream.readline() for _ in range(6)]
    receivers = redis_cli(server, 'PUBLISH', 'news', 'it rains')
    message = [stream.readline() for _ in range(7)]
    listener.close()
    return head, receivers, message


def redis_blocked(server):
    """A client that waits is answered by what another does."""
    waiting = server.connect()
    waiting.sendall(b'BLPOP queue 10\r\n')
    redis_cli(server, 'RPUSH', 'queue', 'work')
    answer = waiting.recv(100)
    waiting.close()
    return answer


def redis_large(server):
    value = 'v' * 3_000_000
    return redis_cli(server, '-x', 'SET', 'large', text=value), redis_cli(server, 'GET', 'large').strip() == value


def redis_answers(server):
    return {'session': redis_cli(server, text=REDIS_SESSION), 'subscription': redis_subscription(server),
            'blocked': redis_blocked(server), 'large': redis_large(server),
            'no such port': redis_cli(server, 'REPLICAOF', 'NO', 'ONE')}


def test_redis_answers_as_natively(worlds):
    answers = same(worlds, 'redis', redis_answers)
    assert answers['session'].count('\n') > 70 and answers['blocked'] == b'*2\r\n$5\r\nqueue\r\n$4\r\nwork\r\n'


def test_redis_under_load(worlds):
    def ask(server):
        done = subprocess.run(['redis-benchmark', '-p', str(server.port), '-q', '-n', '3000', '-c', '50', '-P', '4', '-r', '1000',
                               '-t', 'set,get,incr,lpush,lpop,sadd,hset,spop,zadd,lrange_100,mset'],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.count('requests per second'), done.stderr.strip(), redis_cli(server, 'LLEN', 'mylist')
    status, lines, said, _ = same(worlds, 'redis', ask)
    assert status == 0 and lines >= 11 and said == ''


def test_redis_shutdown_by_command(worlds):
    def ask(server):
        return redis_cli(server, 'SHUTDOWN', 'NOSAVE')
    same(worlds, 'redis', ask)


# ---- nginx ----

def curl(server, *words):
    done = subprocess.run(['curl', '-s', '-S', '--max-time', '20', *words], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def head_of(answer):
    """Header lines but those that tell the time of day or the file's time."""
    head, _, body = answer.partition(b'\r\n\r\n')
    return sorted(line for line in head.split(b'\r\n') if not line.lower().startswith((b'date:', b'last-modified:', b'etag:'))), body


def nginx_answers(server):
    url = f'http://127.0.0.1:{server.port}'
    with open(os.path.join(testimage.IMAGES, 'www', 'text.txt'), 'rb') as file:
        text = file.read()
    found = {name: head_of(curl(server, '-i', *words, url + path)) for name, path, words in [
        ('1k', '/1k.bin', []), ('100k', '/100k.bin', []), ('index', '/', []), ('missing', '/nothing', []),
        ('range', '/100k.bin', ['-r', '5000-5099']), ('head', '/1k.bin', ['-I']), ('post', '/1k.bin', ['-d', 'x=1']),
        ('text', '/text.txt', []), ('outside', '/../../etc/passwd', ['--path-as-is'])]}
    packed = head_of(curl(server, '-i', '-H', 'Accept-Encoding: gzip', url + '/text.txt'))
    assert curl(server, '--compressed', url + '/text.txt') == text
    found['gzip'] = packed[0]
    assert b'Content-Encoding: gzip' in packed[0] and len(packed[1]) < len(text) / 4
    # One connection, many requests.
    found['kept'] = curl(server, '-o', '/dev/null', '-w', '%{num_connects} %{http_code} %{size_download}\n',
                         *[word for _ in range(20) for word in ('-o', '/dev/null', url + '/100k.bin')])
    # Requests that do not wait for answers.
    with server.connect() as raw:
        raw.sendall(b'GET /1k.bin HTTP/1.1\r\nHost: x\r\n\r\n' * 10 + b'GET /1k.bin HTTP/1.0\r\n\r\n')
        raw.settimeout(20)
        whole = b''.join(iter(lambda: raw.recv(65536), b''))
    found['pipelined'] = whole.count(b'HTTP/1.1 200 OK')
    return found


def test_nginx_answers_as_natively(worlds):
    answers = same(worlds, 'nginx', nginx_answers)
    assert len(answers['100k'][1]) == 102400 and answers['pipelined'] == 11
    assert answers['kept'].split()[0] == b'1' and answers['kept'].splitlines()[-1] == b'0 200 102400'


def test_nginx_with_many_clients(worlds):
    """Each of 20 clients at once gets whole files."""
    def ask(server):
        url, wrong = f'http://127.0.0.1:{server.port}/100k.bin', []
        with open(os.path.join(testimage.IMAGES, 'www', '100k.bin'), 'rb') as file:
            want = file.read()

        def client():
            if curl(server, url, url, url) != want * 3:
                wrong.append(1)
        threads = [threading.Thread(target=client) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(wrong)
    assert same(worlds, 'nginx', ask) == 0


def test_nginx_ends_gracefully_on_quit(worlds):
    same(worlds, 'nginx', lambda server: server.answers(), number=signal.SIGQUIT)


# ---- memcached ----

def memcached_answers(server):
    with server.connect() as raw:
        stream = raw.makefile('rwb')

        def ask(line, *more, end=b''):
            stream.write(line + b'\r\n' + b''.join(part + b'\r\n' for part in more))
            stream.flush()
            got = [stream.readline()]
            while end and got[-1] != end:
                got.append(stream.readline())
            return got
        large = b'x' * 500_000
        answers = [ask(b'set a 5 0 5', b'hello'), ask(b'get a', end=b'END\r\n'), ask(b'add a 0 0 1', b'x'), ask(b'replace a 1 0 3', b'new'),
                   ask(b'append a 0 0 1', b'!'), ask(b'get a b', end=b'END\r\n'), ask(b'set n 0 0 1', b'1'), ask(b'incr n 41'), ask(b'decr n 2'),
                   ask(b'gets n', end=b'END\r\n')[0].split()[:4], ask(b'touch a 100'), ask(b'set big 0 0 500000', large),
                   ask(b'get big', end=b'END\r\n')[1] == large + b'\r\n', ask(b'delete a'), ask(b'get a', end=b'END\r\n'),
                   ask(b'set huge 0 0 2000000', b'y' * 2_000_000), ask(b'flush_all'), ask(b'get n', end=b'END\r\n'), ask(b'nonsense'), ask(b'version')]
    return answers


def memcached_many(server):
    """Eight clients write and read their own keys."""
    wrong = []

    def client(me):
        with server.connect() as raw:
            stream = raw.makefile('rwb')
            for i in range(200):
                value = b'%d-%d' % (me, i)
                stream.write(b'set k%d-%d 0 0 %d\r\n%s\r\nget k%d-%d\r\n' % (me, i % 7, len(value), value, me, i % 7))
                stream.flush()
                got = [stream.readline() for _ in range(4)]
                if got[0] != b'STORED\r\n' or got[2] != value + b'\r\n':
                    wrong.append(got)
    threads = [threading.Thread(target=client, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def test_memcached_answers_as_natively(worlds):
    answers = same(worlds, 'memcached', lambda server: {'alone': memcached_answers(server), 'many': memcached_many(server)})
    assert answers['many'] == []


# ---- Go ----

needs_go = pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, 'bench', 'gohttp')), reason='golang-go is not installed')


@needs_go
def test_go_web_server(worlds):
    def ask(server):
        url = f'http://127.0.0.1:{server.port}/'
        one = head_of(curl(server, '-i', url))
        kept = curl(server, '-o', '/dev/null', '-w', '%{num_connects}\n', *[word for _ in range(20) for word in ('-o', '/dev/null', url)])
        many = subprocess.run(['sh', '-c', f'for i in 1 2 3 4 5 6 7 8; do curl -s --max-time 20 {url} & done; wait'], capture_output=True, timeout=40)
        return one, kept, len(many.stdout)
    one, kept, many = same(worlds, 'gohttp', ask)
    assert one[1] == b'x' * 1024 and many == 8192 and kept.split()[0] == b'1'


@pytest.mark.skipif(not shutil.which('wrk'), reason='wrk is not installed')
@pytest.mark.parametrize('name', ['nginx', 'gohttp'])
def test_wrk_sees_no_errors(worlds, name):
    if name == 'gohttp' and not os.path.exists(os.path.join(BUILD, 'bench', 'gohttp')):
        pytest.skip('golang-go is not installed')
    for path in ('/1k.bin', '/100k.bin'):
        with servers.running(worlds, 'enclave', name) as server:
            done = subprocess.run(['wrk', '-t1', '-c50', '-d1', f'http://127.0.0.1:{server.port}{path}'], capture_output=True, text=True, timeout=30)
            assert 'Requests/sec' in done.stdout and 'Socket errors' not in done.stdout and 'Non-2xx' not in done.stdout, done.stdout
            assert server.stop() == 0
