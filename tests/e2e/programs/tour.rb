# SPDX-License-Identifier: Apache-2.0
# What Ruby programs do. The output is the same on each run.
require 'bigdecimal'
require 'digest'
require 'etc'
require 'fiber'
require 'fileutils'
require 'io/wait'
require 'json'
require 'monitor'
require 'openssl'
require 'set'
require 'socket'
require 'stringio'
require 'tempfile'
require 'timeout'
require 'tmpdir'
require 'yaml'
require 'zlib'
$stdout.sync = true

def part(name)
  puts "#{name}: #{yield.inspect}"
end

part('text') { ['from 2019-04 to 2024-11'.scan(/(?<y>\d{4})-(?<m>\d\d)/), 'é'.unicode_normalize(:nfd).length, 'héllo'.upcase, format('%08.3f|%-5s|%x', Math::PI, 'ab', 255), 'a-b'.tr('a-y', 'b-z'), 'ab'.encode('UTF-16LE').bytes] }
part('numbers') { [2**100, BigDecimal('0.1') + BigDecimal('0.2'), 1r / 3, 100.digits.sum, Integer.sqrt(10**30), (1..200).inject(:*).to_s.length] }
part('collections') { [(1..10_000).lazy.select(&:even?).map { _1 * 3 }.first(4), %w[pear fig apple].sort_by(&:length), Set[1, 2] | Set[2, 3], { a: 1 }.to_a, [3, 1, 2].sort.reverse] }
part('data') { [JSON.parse('{"a": [1, 2.5, null]}'), YAML.load("- a: 1\n- [x, 2]\n"), Marshal.load(Marshal.dump({ x: [1, :y] })), Zlib::Inflate.inflate(Zlib::Deflate.deflate('text' * 1000)).length] }
part('digests') { [Digest::SHA256.hexdigest('x'), OpenSSL::HMAC.hexdigest('SHA256', 'k', 'd')[0, 16], OpenSSL::PKey::EC.generate('prime256v1').private?] }
part('garbage') { kept = []; 400_000.times { |i| kept[i % 2000] = ["s#{i}", { i => i }] }; GC.start; GC.compact if GC.respond_to?(:compact); [kept.length, GC.count.positive?] }
part('files') do
  Dir.mktmpdir do |folder|
    path = File.join(folder, 'a')
    File.write(path, "one\ntwo\nthree é\n")
    File.link(path, path + '2')
    File.symlink('a', File.join(folder, 's'))
    File.chmod(0o640, path)
    File.open(path) { |f| f.flock(File::LOCK_EX) }
    FileUtils.cp_r(folder, folder + '.copy')
    copied = Dir.children(folder + '.copy').sort
    FileUtils.rm_rf(folder + '.copy')
    missing = (File.read(path + 'no') rescue $!.class)
    [copied, File.stat(path).nlink, File.stat(path).mode.to_s(8), File.readlines(File.join(folder, 's'), chomp: true), IO.copy_stream(path, path + '3'), missing, Dir.glob('/usr/lib/ruby/3.1.0/json/**/*.rb').length]
  end
end
part('threads') do
  queue, out = Queue.new, Queue.new
  workers = 8.times.map { Thread.new { while (n = queue.pop) != :end do out << n * n end } }
  1000.times { queue << _1 }
  8.times { queue << :end }
  workers.each(&:join)
  lock, condition, ready = Mutex.new, ConditionVariable.new, false
  waiter = Thread.new { lock.synchronize { condition.wait(lock) until ready; :woken } }
  lock.synchronize { ready = true; condition.signal }
  killed = Thread.new { sleep }
  killed.kill
  [out.length, out.length.times.sum { out.pop }, waiter.value, killed.join.status]
end
part('fibers') { e = Enumerator.new { |y| a, b = 0, 1; loop { y << a; a, b = b, a + b } }; f = Fiber.new { |x| Fiber.yield(x + 1); :end }; [e.take(10), 2000.times.map { Fiber.new { Fiber.yield 1; 2 } }.sum { _1.resume + _1.resume }, f.resume(1), f.resume] }
part('ractors') { $VERBOSE = nil; Ractor.count.positive? && 3.times.map { |i| Ractor.new(i) { |n| (1..1000).sum * n } }.map(&:take) }
part('sockets') do
  server = TCPServer.new('127.0.0.1', 0)
  thread = Thread.new { 10.times { s = server.accept; s.puts s.gets.upcase; s.close } }
  answers = 10.times.map { |i| s = TCPSocket.new('127.0.0.1', server.addr[1]); s.puts "word#{i}"; s.read.chomp }
  thread.join
  refused = (TCPSocket.new('127.0.0.1', 1) rescue $!.class)
  a, b = UNIXSocket.pair
  a.send_io($stdout)
  received = b.recv_io.fileno > 2
  r, w = IO.pipe
  waited = IO.select([r], nil, nil, 0.02)
  w.write 'x'
  [answers, refused, received, waited, IO.select([r])[0].length, r.read_nonblock(5)]
end
part('time') { start = Process.clock_gettime(Process::CLOCK_MONOTONIC); sleep 0.03; took = Process.clock_gettime(Process::CLOCK_MONOTONIC) - start; [Time.at(1e9).utc.strftime('%F %T'), took >= 0.03 && took < 2, (Timeout.timeout(0.05) { sleep 10 } rescue $!.class)] }
part('signals') { seen = []; Signal.trap('USR1') { seen << :usr1 }; Process.kill('USR1', Process.pid); sleep 0.01 while seen.empty?; seen }
def kind
  yield
rescue SystemStackError, StandardError
  [$!.class, $!.message[0, 20]]
end
def fall(count) = fall(count + 1) + 1
part('errors') { [kind { fall(0) }, kind { 1 / 0 }, kind { Integer('x') }, kind { nil.none }] }
part('system') { [RUBY_PLATFORM, Etc.nprocessors >= 1, Process.euid, Etc.getpwuid.name, ENV['LANG'], Process.getrlimit(:NOFILE).length, Dir.pwd, ObjectSpace.count_objects[:TOTAL] > 1000] }
at_exit { puts 'at exit' }
exit 6
