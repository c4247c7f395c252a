#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# What Perl programs do. The output is the same on each run.
use strict;
use warnings;
use utf8;
use threads;
use threads::shared;
use Digest::SHA qw(sha256_hex);
use Encode;
use Errno;
use Fcntl qw(:flock :mode);
use File::Find;
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use List::Util qw(sum max shuffle);
use POSIX qw(floor strftime :signal_h);
use Socket;
use Storable qw(freeze thaw);
use Thread::Queue;
use Time::HiRes qw(sleep time alarm);
binmode(STDOUT, ':utf8');
$| = 1;

# Text
my $text = join(' ', map { "w$_=" . $_ * $_ } 1 .. 2000);
my %squares = $text =~ /w(\d+)=(\d+)/g;
print 'regex ', scalar(keys %squares), ' ', sum(values %squares), "\n";
(my $swapped = 'Last, First') =~ s/^(?<l>\w+),\s*(?<f>\w+)$/$+{f} $+{l}/;
print "$swapped ", join('|', 'a1b22c' =~ /(\d+)/g), ' ', lc('ÀÉ'), ' ', length(encode('UTF-8', 'é')), ' ', sprintf('%05.1f|%-4s|%x', 3.14159, 'ab', 255), "\n";
my $balanced = qr/(\((?:[^()]++|(?1))*\))/;
print 'recursive ', ('(a(b)c)' =~ /^$balanced$/ ? 'yes' : 'no'), ' ', ('(a(b c' =~ /^$balanced$/ ? 'yes' : 'no'), "\n";
my @sorted = sort { $a->{n} <=> $b->{n} } map { { n => ($_ * 7919) % 1009 } } 1 .. 1000;
print 'sort ', join(',', map { $_->{n} } @sorted[0 .. 5]), ' ', sha256_hex(join ',', map { $_->{n} } @sorted), "\n";
print 'local time ', strftime('%Y-%m-%d %H:%M:%S', gmtime(1_000_000_000)), ' ', floor(-1.5), "\n";

# Files
my $folder = tempdir(CLEANUP => 1);
open(my $out, '>:utf8', "$folder/a") or die $!;
print $out "line $_ é\n" for 1 .. 1000;
flock($out, LOCK_EX | LOCK_NB) or die $!;
close $out;
link("$folder/a", "$folder/b") && symlink('a', "$folder/s") or die $!;
my @stat = stat("$folder/a");
print "files $stat[3] $stat[7] ", readlink("$folder/s"), ' ', (-l "$folder/s" ? 'link' : 'no'), "\n";
open(my $in, '<:utf8', "$folder/s") or die $!;
my ($count, $last) = (0);
while (<$in>) { chomp; $count++; $last = $_ }
seek($in, 10, 0);
print "$count $last ", tell($in), ' ', scalar(<$in>);
rename("$folder/b", "$folder/c") or die $!;
opendir(my $dir, $folder) or die $!;
print join(' ', sort grep { !/^\./ } readdir $dir), "\n";
truncate("$folder/c", 7) or die $!;
print -s "$folder/a", ' ', (open(my $no, '<', "$folder/none") ? '' : $!{ENOENT} ? 'ENOENT' : $!), "\n";
my $found = 0;
find(sub { $found++ if -f && /\.pm$/ }, '/usr/share/perl/5.36.0/File');
print "find $found\n";
my $frozen = thaw(freeze({ list => [1 .. 5], name => 'n' }));
print 'storable ', join(',', @{ $frozen->{list} }), "\n";

# Sockets
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die $@;
my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport) or die $@;
my $peer = $server->accept;
print $client "hello\n";
$client->flush;
my $select = IO::Select->new($peer);
print 'select ', scalar($select->can_read(5)), ' ', scalar(<$peer>);
socketpair(my $left, my $right, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die $!;
syswrite $left, 'x' x 5000;
sysread $right, my $buffer, 10000;
print 'pair ', length $buffer, "\n";

# Signals and time
my @seen;
{
    local $SIG{USR1} = sub { push @seen, 'usr1' };
    kill 'USR1', $$;
    local $SIG{ALRM} = sub { die "alarm\n" };
    eval { alarm 0.05; sleep 10; };
    push @seen, $@ =~ /alarm/ ? 'alarm' : 'none';
}
my $start = time;
sleep 0.03;
my $took = time - $start;
print "signals @seen ", ($took >= 0.03 && $took < 2 ? 'slept' : "took $took"), "\n";

# Threads: each has an interpreter of its own
my $queue = Thread::Queue->new;
my $total : shared = 0;
my @workers = map { threads->create(sub { while (defined(my $n = $queue->dequeue)) { lock $total; $total += $n } return 'done' }) } 1 .. 4;
$queue->enqueue(1 .. 500);
$queue->end;
print 'threads ', join(' ', map { $_->join } @workers), " $total\n";

# Errors
my $zero = 0;
eval { my $x = 1 / $zero; };
print 'error ', $@ =~ /^(Illegal division by zero)/, "\n";
my $memory = 'x' x (100 << 20);
print 'memory ', length $memory, "\n";
warn "to standard error\n";
END { print "end\n" }
exit 5;
