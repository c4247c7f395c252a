<?php
// SPDX-License-Identifier: Apache-2.0
// What PHP programs do on the command line. The output is the same on each run.
declare(strict_types=1);

function part(string $name, callable $body): void
{
    echo $name, ': ', json_encode($body(), JSON_UNESCAPED_UNICODE | JSON_PARTIAL_OUTPUT_ON_ERROR), "\n";
}

part('text', fn() => [preg_match_all('/(?<y>\d{4})-(\d\d)/', 'from 2019-04 to 2024-11', $m), $m['y'], preg_replace_callback('/\d+/', fn($x) => (string)($x[0] * 2), 'a1b22'), sprintf('%08.3f|%-5s|%x', M_PI, 'ab', 255), strrev('abc'), ucwords('two words'), similar_text('World', 'Word'), htmlspecialchars('<a href="x">')]);
part('regex_jit', fn() => [ini_get('pcre.jit'), preg_match('/^(a+)+$/', str_repeat('a', 25) . 'b'), strlen(preg_replace('/[aeiou]/', '', str_repeat('the quick brown fox ', 20000)))]);
part('numbers', fn() => [array_sum(array_map(fn($i) => ($i ^ ($i >> 3)) % 7, range(0, 200000))), intdiv(7, 2), PHP_INT_MAX, round(2.5), 0.1 + 0.2, base_convert('ff', 16, 2), (function () { mt_srand(7); return mt_rand(1, 1000); })()]);
part('collections', function () {
    $list = array_map(fn($i) => ($i * 7919) % 1009, range(1, 1000));
    sort($list);
    $heap = new SplMinHeap();
    foreach ([3, 1, 2] as $n) $heap->insert($n);
    $gen = (function () { for ($i = 0; $i < 5; $i++) { $got = yield $i; } return 'end'; })();
    return [array_slice($list, 0, 5), md5(implode(',', $list)), $heap->extract(), iterator_to_array($gen), $gen->getReturn(), array_filter(['a' => 1, 'b' => 0]), array_unique([1, 1, 2])];
});
part('classes', function () {
    $o = new class(5) implements Countable, ArrayAccess {
        public function __construct(private readonly int $n) {}
        public function count(): int { return $this->n; }
        public function offsetExists(mixed $k): bool { return true; }
        public function offsetGet(mixed $k): mixed { return $k * 2; }
        public function offsetSet(mixed $k, mixed $v): void {}
        public function offsetUnset(mixed $k): void {}
    };
    try { $o->n = 1; } catch (Error $e) { $error = get_class($e); }
    return [count($o), $o[21], $error, unserialize(serialize(['x' => [1, null]])), match (true) { default => 'm' }];
});
part('fibers', function () {
    $sum = 0;
    for ($i = 0; $i < 500; $i++) {
        $f = new Fiber(fn($x) => Fiber::suspend($x + 1) + 1);
        $sum += $f->start($i);
        $f->resume(5);
        $sum += $f->getReturn();
    }
    return $sum;
});
part('files', function () {
    $folder = sys_get_temp_dir() . '/tour' . getmypid();
    mkdir($folder);
    file_put_contents("$folder/a", "one\ntwo\n");
    file_put_contents("$folder/a", "three é\n", FILE_APPEND | LOCK_EX);
    symlink('a', "$folder/s");
    link("$folder/a", "$folder/b");
    chmod("$folder/a", 0640);
    touch("$folder/b", 1000000000);
    clearstatcache();
    $out = [file("$folder/s", FILE_IGNORE_NEW_LINES), filesize("$folder/a"), decoct(fileperms("$folder/a")), filemtime("$folder/a"), readlink("$folder/s"), array_values(array_diff(scandir($folder), ['.', '..'])), @file_get_contents("$folder/none"), is_dir($folder)];
    $h = fopen("compress.zlib://$folder/z.gz", 'w'); fwrite($h, str_repeat('text', 1000)); fclose($h);
    $out[] = strlen(gzdecode(file_get_contents("$folder/z.gz")));
    $count = 0;
    foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator('/usr/share/php8.2-common', FilesystemIterator::SKIP_DOTS)) as $f) $count++;
    array_map('unlink', glob("$folder/*")); rmdir($folder);
    return [$out, $count, file_exists($folder)];
});
part('sqlite', function () {
    $db = new PDO('sqlite:/tmp/tour.db');
    $db->exec('create table t (a integer primary key, b text)');
    $db->beginTransaction();
    $insert = $db->prepare('insert into t (b) values (?)');
    for ($i = 0; $i < 2000; $i++) $insert->execute([str_repeat((string)$i, 3)]);
    $db->commit();
    return $db->query('select count(*), max(b), sum(length(b)) from t')->fetch(PDO::FETCH_NUM);
});
part('sockets', function () {
    $server = stream_socket_server('tcp://127.0.0.1:0');
    $client = stream_socket_client('tcp://' . stream_socket_get_name($server, false));
    $peer = stream_socket_accept($server);
    fwrite($client, "hello\n");
    $read = [$peer]; $none = null;
    $ready = stream_select($read, $none, $none, 5);
    [$a, $b] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
    fwrite($a, str_repeat('x', 5000));
    return [$ready, fgets($peer), strlen(fread($b, 8192)), @stream_socket_client('tcp://127.0.0.1:1', $number, $message) === false, $number, gethostbyname('localhost')];
});
part('crypto', fn() => [hash('sha3-256', 'x'), hash_hmac('sha256', 'd', 'k'), password_verify('p', password_hash('p', PASSWORD_BCRYPT, ['cost' => 5])), strlen(random_bytes(16)), bin2hex(sodium_crypto_generichash('x')), crc32('text')]);
part('time', function () { $start = hrtime(true); usleep(30000); $took = hrtime(true) - $start; return [gmdate('Y-m-d H:i:s', 1000000000), $took >= 30e6 && $took < 2e9, (new DateTimeImmutable('2024-02-29 UTC'))->modify('+1 year')->format('c')]; });
part('memory', function () { $list = []; for ($i = 0; $i < 500000; $i++) $list[] = "s$i"; $n = count($list); unset($list); gc_collect_cycles(); return [$n, memory_get_peak_usage() > 1 << 20]; });
part('signals', function () { pcntl_async_signals(true); $seen = []; pcntl_signal(SIGUSR1, function () use (&$seen) { $seen[] = 'usr1'; }); posix_kill(posix_getpid(), SIGUSR1); pcntl_signal(SIGALRM, function () use (&$seen) { $seen[] = 'alarm'; }); pcntl_alarm(1); sleep(5); return $seen; });
part('errors', function () { $out = []; try { intdiv(1, 0); } catch (DivisionByZeroError $e) { $out[] = $e->getMessage(); } try { (fn(int $x) => $x)('a'); } catch (TypeError $e) { $out[] = get_class($e); } set_error_handler(function ($n, $m) use (&$out) { $out[] = $m; return true; }); echo $undefined; return $out; });
part('system', fn() => [PHP_OS, php_sapi_name(), getenv('LANG'), getcwd(), posix_geteuid(), php_uname('m'), count($GLOBALS['argv'])]);
register_shutdown_function(function () { echo "shutdown\n"; });
exit(7);
