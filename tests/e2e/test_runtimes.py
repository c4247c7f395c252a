# SPDX-License-Identifier: Apache-2.0
"""Language runtimes and tools, unmodified from Debian: the same output and status as natively."""
import concurrent.futures
import glob
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request

import pytest

from conftest import Server, World, testimage

PROGRAMS = os.path.join(os.path.dirname(os.path.realpath(__file__)), 'programs')
JAVA = ['/usr/bin/java', '-cp', '/opt/programs']


def prepared():
    """The folder with the test programs, compiled, and a repository; made when the sources have changed."""
    sources = sorted(path for path in glob.glob(PROGRAMS + '/**', recursive=True) if os.path.isfile(path))
    digest = hashlib.sha256(testimage.recipe_digest('runtimes').encode())
    for path in sources:
        with open(path, 'rb') as file:
            digest.update(path.encode() + b'\0' + file.read())
    folder = os.path.join(testimage.IMAGES, 'programs-' + digest.hexdigest()[:12])
    with testimage.one_at_a_time('programs'):
        if not os.path.isdir(folder):
            partial = tempfile.mkdtemp(dir=testimage.IMAGES)
            os.chmod(partial, 0o755)
            with open(PROGRAMS + '/prepare.sh', encoding='utf-8') as script:
                command = testimage.native_command(testimage.debian_folder('runtimes'), ['sh', '-c', script.read()])
            java = subprocess.run(['tar', '-c', '-C', PROGRAMS + '/java', '.'], check=True, capture_output=True).stdout
            made = subprocess.run(command, check=True, input=java, stdout=subprocess.PIPE, timeout=120).stdout
            subprocess.run(['tar', '-x', '-C', partial], check=True, input=made)
            for path in glob.glob(PROGRAMS + '/tour.*'):
                shutil.copy(path, os.path.join(partial, 'opt/programs'))
            os.replace(partial, folder)
    return folder


@pytest.fixture(scope='session')
def runtimes():
    return World('runtimes', more=prepared())


TOURS = {
    'java': [*JAVA, '-Xmx256m', 'Tour'],
    'node': ['/usr/bin/node', '/opt/programs/tour.js'],
    'perl': ['/usr/bin/perl', '/opt/programs/tour.pl'],
    'ruby': ['/usr/bin/ruby', '/opt/programs/tour.rb'],
    'php': ['/usr/bin/php', '/opt/programs/tour.php'],
    'lua': ['/usr/bin/lua5.4', '/opt/programs/tour.lua'],
}
COMMANDS = {
    'java_hello': [*JAVA, 'Hello', 'and', 'more'],
    'java_interpreted': [*JAVA, '-Xint', 'Hello'],
    'java_compiled_at_once': [*JAVA, '-Xcomp', '-XX:TieredStopAtLevel=1', 'Hello'],
    'java_uncaught': [*JAVA, 'Heap', 'x'],
    'java_no_class': [*JAVA, 'Nothing'],
    'java_processes': [*JAVA, 'Spawn'],
    'java_container': ['/usr/bin/java', '-XshowSettings:locale', '-version'],
    'lua_popen': ['/usr/bin/lua5.4', '-e', 'print(io.popen("echo hi"):read("a")) print(os.execute("exit 3"))'],
    'java_version': ['/usr/bin/java', '-version'],
    'java_modules': ['/usr/bin/java', '--list-modules'],
    'node_uncaught': ['/usr/bin/node', '-e', 'console.log(1); process.stdout.write("x\\n", () => process.exit(9))'],
    'node_promise_rejected': ['/usr/bin/node', '-e', 'process.on("unhandledRejection", (e) => { console.log(e.message); process.exit(11); }); Promise.reject(new Error("no"))'],
    'node_module': ['/usr/bin/node', '--input-type=module', '-e', 'import fs from "fs"; console.log((await fs.promises.readdir("/opt/programs")).includes("tour.js"))'],
    'perl_die': ['/usr/bin/perl', '-e', 'die "no\\n"'],
    'ruby_raise': ['/usr/bin/ruby', '-e', 'abort "no"'],
    'ruby_jit': ['/usr/bin/ruby', '--yjit', '-e', 'def f(n) = n < 2 ? n : f(n - 1) + f(n - 2); puts f(24)'],
    'php_info': ['/usr/bin/php', '-r', 'echo PHP_VERSION, extension_loaded("pcntl") ? "y" : "n"; exit(3);'],
    'ripgrep': ['/usr/bin/rg', '--sort', 'path', '-n', 'nobody|daemon', '/opt/repository', '/etc'],
    'ripgrep_threads': ['/usr/bin/rg', '--sort', 'path', '-j', '4', '-c', '-e', r'\bpackage\s+\w+::', '/usr/share/perl/5.36.0'],
    'ripgrep_nothing': ['/usr/bin/rg', 'surely-not-there-%', '/etc/passwd'],
    'ripgrep_files': ['/usr/bin/rg', '--files', '--hidden', '--sort', 'path', '/opt/repository'],
    'git_log': ['/usr/bin/git', '--no-pager', '-C', '/opt/repository', 'log', '--stat', '--format=fuller', '--decorate'],
    'git_graph': ['/usr/bin/git', '--no-pager', '-C', '/opt/repository', 'log', '--graph', '--oneline', '--all'],
    'git_status': ['/usr/bin/git', '--no-pager', '-C', '/opt/repository', 'status', '--porcelain=v2', '--branch'],
    'git_diff': ['/usr/bin/git', '--no-pager', '-C', '/opt/repository', 'diff', 'HEAD~5'],
    'git_show': ['/usr/bin/git', '--no-pager', '-C', '/opt/repository', 'show', 'v1'],
    'git_grep': ['/usr/bin/git', '--no-pager', '-C', '/opt/repository', 'grep', '-n', 'daemon', 'HEAD~1'],
    'git_blame': ['/usr/bin/git', '--no-pager', '-C', '/opt/repository', 'blame', 'HEAD', '--', 'log'],
    'git_count': ['/usr/bin/git', '-C', '/opt/repository', 'count-objects', '-v'],
    'git_revisions': ['/usr/bin/git', '-C', '/opt/repository', 'rev-list', '--objects', '--all'],
    'git_objects': ['/usr/bin/git', '-C', '/opt/repository', 'cat-file', '--batch-check', '--batch-all-objects'],
    'git_commit_tree': ['/bin/sh', '-c', 'export GIT_AUTHOR_DATE=@1 GIT_COMMITTER_DATE=@1; exec git -C /opt/repository commit-tree -m new -p HEAD HEAD^{tree}'],
    'git_index': ['/usr/bin/git', '-C', '/opt/repository', 'add', '-v', '-A'],
    'sqlite': ['/usr/bin/sqlite3', '/tmp/a.db', 'pragma journal_mode=wal; create table t(a integer primary key, b text); '
               'with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into t select i, hex(i * 7) from n; '
               'create index k on t(b); select count(*), sum(a), max(b) from t where b > "4"; pragma integrity_check; vacuum; .tables'],
    'jq': ['/usr/bin/jq', '-n', '-c', '[range(1000)] | map(select(. % 7 == 0)) | {count: length, sum: add, text: (map(tostring) | join(",") | length)}'],
    'openssl': ['/usr/bin/openssl', 'dgst', '-sha3-512', '/etc/passwd', '/usr/bin/git'],
    'xz': ['/usr/bin/xz', '-T2', '-c', '-k', '/usr/share/perl/5.36.0/perl5db.pl'],
    'awk_sort': ['/usr/bin/sort', '-t:', '-k3,3n', '-S', '1M', '--parallel=2', '/etc/passwd'],
    'sed': ['/bin/sed', '-n', r's/^\([a-z]*\):.*:\(.*\)$/\2 \1/p', '/etc/passwd'],
    'tar': ['/bin/tar', '-c', '--sort=name', '--mtime=@0', '-C', '/opt/repository', 'log', 'numbers', 'folder1'],
    'find': ['/usr/bin/find', '/opt/repository/log', '/opt/repository/numbers', '-newermt', '2020-01-01', '-printf', '%P %f %s %m %y\n'],
}


@pytest.mark.parametrize('name', TOURS)
def test_tour(runtimes, name):
    runtimes.same(TOURS[name])


@pytest.mark.parametrize('name', COMMANDS)
def test_command(runtimes, name):
    runtimes.same(COMMANDS[name])


@pytest.mark.parametrize('collector', ['Serial', 'Parallel', 'G1', 'Shenandoah'])
def test_java_collector_with_512_mib(runtimes, collector):
    runtimes.same([*JAVA, f'-XX:+Use{collector}GC', '-Xms64m', '-Xmx512m', 'Heap', '320'])


def test_java_knows_the_enclaves_limits(runtimes):
    """The JVM finds the enclave's control group (version 2), and takes its heap from the enclave's memory."""
    got = runtimes.enclave(['/usr/bin/java', '-XshowSettings:system', '-version'])
    assert b'Provider: cgroupv2' in got.err
    assert re.search(rb'Maximum Processes Limit: \d+', got.err)
    heap = runtimes.enclave(['/usr/bin/java', '-XX:+PrintFlagsFinal', '-version'])
    memory = int(runtimes.enclave(['/bin/cat', '/sys/fs/cgroup/memory.max']).out)
    assert int(re.search(rb'MaxHeapSize\s*=\s*(\d+)', heap.out).group(1)) <= memory // 4 + (4 << 20)


def test_java_says_that_zgc_has_no_room(runtimes):
    """ZGC wants one page at three addresses and 4 TiB to choose from; it says so and ends."""
    got = runtimes.enclave([*JAVA, '-XX:+UseZGC', 'Hello'])
    assert got.status == 1
    assert b'Failed to reserve enough address space' in got.out


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


NODE_SERVER = '''
require("http").createServer((request, response) => {
  let body = ""; request.on("data", (d) => { body += d; }).on("end", () => response.end(`${request.method} ${request.url} ${body.toUpperCase()}\\n`));
}).listen(PORT, "127.0.0.1", () => console.log("serving"));'''
RUBY_SERVER = '''
require "socket"; server = TCPServer.new("127.0.0.1", PORT); puts "serving"; $stdout.flush
loop { Thread.new(server.accept) { |s|
  line = s.gets; size = 0; while (h = s.gets.chomp) != ""; size = h[15..].to_i if h =~ /^content-length:/i; end
  method, path = line.split; body = "#{method} #{path} #{s.read(size).upcase}\\n"
  s.write "HTTP/1.1 200 OK\\r\\nContent-Length: #{body.bytesize}\\r\\nConnection: close\\r\\n\\r\\n#{body}"; s.close } }'''
SERVERS = {
    'java': lambda port: [*JAVA, 'Serve', str(port)],
    'node': lambda port: ['/usr/bin/node', '-e', NODE_SERVER.replace('PORT', str(port))],
    'ruby': lambda port: ['/usr/bin/ruby', '-e', RUBY_SERVER.replace('PORT', str(port))],
}


@pytest.mark.parametrize('name', SERVERS)
def test_http_server_with_clients_on_the_host(runtimes, name):
    port = free_port()
    server = Server(runtimes.enclave_command(SERVERS[name](port)), b'serving')

    def ask(number):
        url = f'http://127.0.0.1:{port}/path{number}'
        with urllib.request.urlopen(url, data=b'body%d' % number if number % 2 else None, timeout=20) as answer:
            return answer.read()

    try:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, range(200)))
        done = subprocess.run(['curl', '-sS', f'http://127.0.0.1:{port}/by/curl?a=b'], capture_output=True, timeout=20, check=False)
    finally:
        status = server.stop()
    assert answers == [b'POST /path%d BODY%d\n' % (n, n) if n % 2 else b'GET /path%d \n' % n for n in range(200)]
    assert done.stdout == b'GET /by/curl?a=b \n'
    assert status in (128 + signal.SIGTERM, -signal.SIGTERM, 1), server.err[-1000:]


def test_php_server(runtimes):
    """PHP's own development server, serving a file of the image and a script."""
    port = free_port()
    server = Server(['sh', '-c', 'exec "$@" 2>&1', 'sh', *runtimes.enclave_command(['/usr/bin/php', '-S', f'127.0.0.1:{port}', '-t', '/opt/repository'])], b'started')
    try:
        with open(runtimes.more + '/opt/repository/numbers', 'rb') as file:
            want = file.read()
        for _ in range(10):
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/numbers', timeout=10) as answer:
                assert answer.read() == want
    finally:
        server.stop()


def test_curl_inside_asks_the_host(runtimes):
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + '/file', 'wb') as file:
            file.write(bytes(range(256)) * 4000)
        server = Server([sys.executable, '-u', '-m', 'http.server', '0', '--bind', '127.0.0.1', '--directory', folder], b'Serving HTTP')
        try:
            port = int(server.out.split(b'port ')[1].split()[0])
            runtimes.same(['/usr/bin/curl', '-sS', f'http://127.0.0.1:{port}/file'])
            runtimes.same(['/usr/bin/curl', '-sS', '-f', f'http://127.0.0.1:{port}/none'])
        finally:
            server.stop()
