/* SPDX-License-Identifier: Apache-2.0 */
// lobench: system-call and kernel-path microbenchmarks for library OS comparison.
// Usage: lobench [-t seconds_per_batch] [-b batches] [-d scratch_dir] [-e /bin/true path] test...|all
// Prints one line per test: "<name> <median ns/op> <min ns/op>" (throughput tests: MB/s).
#define _GNU_SOURCE
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double batch_s = 0.08;
static int batches = 5;
static const char *dir = "/tmp";
static const char *truebin = "/bin/true";
static int failed_soft;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
#define DIE(...) do { fprintf(stderr, "FAIL %s: ", cur); fprintf(stderr, __VA_ARGS__); fprintf(stderr, " errno=%d %s\n", errno, strerror(errno)); return -1; } while (0)
static const char *cur = "";

static int cmpd(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return x < y ? -1 : x > y; }

// fn(n): perform n operations; returns elapsed seconds or <0 on failure
typedef double (*benchfn)(long n);

static void report(const char *name, benchfn fn, double bytes_per_op, long maxn) {
    cur = name;
    long n = 1; double e;
    for (;;) {
        e = fn(n);
        if (e < 0) { printf("%-18s FAIL\n", name); fflush(stdout); failed_soft++; return; }
        if (e >= batch_s || n >= maxn) break;
        double want = batch_s / (e > 1e-7 ? e : 1e-7) * n * 1.1;
        if (want > n * 20.0) want = n * 20.0;
        n = (long)want + 1; if (n > maxn) n = maxn;
    }
    double r[64]; int b = batches > 64 ? 64 : batches;
    for (int i = 0; i < b; i++) { e = fn(n); if (e < 0) { printf("%-18s FAIL\n", name); fflush(stdout); failed_soft++; return; } r[i] = e / n; }
    qsort(r, b, sizeof r[0], cmpd);
    if (bytes_per_op > 0) printf("%-18s %.1f %.1f MB/s\n", name, bytes_per_op / r[b / 2] / 1e6, bytes_per_op / r[0] / 1e6);
    else printf("%-18s %.1f %.1f ns\n", name, r[b / 2] * 1e9, r[0] * 1e9);
    fflush(stdout);
}

static double b_getpid(long n) { double s = now(); for (long i = 0; i < n; i++) syscall(SYS_getpid); return now() - s; }
static double b_getpid_raw(long n) {
    double s = now();
    for (long i = 0; i < n; i++) { long r; __asm__ volatile("syscall" : "=a"(r) : "a"(SYS_getpid) : "rcx", "r11", "memory"); }
    return now() - s;
}
static double b_clock(long n) { struct timespec t; double s = now(); for (long i = 0; i < n; i++) clock_gettime(CLOCK_MONOTONIC, &t); return now() - s; }
static double b_yield(long n) { double s = now(); for (long i = 0; i < n; i++) sched_yield(); return now() - s; }

static char path[512]; static char buf[1 << 16];
static int mkfile(void) {
    snprintf(path, sizeof path, "%s/lobench.dat", dir);
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0644); if (fd < 0) DIE("open %s", path);
    memset(buf, 'x', sizeof buf);
    for (int i = 0; i < 16; i++) if (write(fd, buf, 65536) != 65536) DIE("write");
    return fd;
}
static double b_pread(long n) { int fd = mkfile(); if (fd < 0) return -1; double s = now(); for (long i = 0; i < n; i++) if (pread(fd, buf, 4096, (i & 255) * 4096) != 4096) DIE("pread"); double e = now() - s; close(fd); return e; }
static double b_read(long n) { int fd = mkfile(); if (fd < 0) return -1; double s = now();
    for (long i = 0; i < n; i++) { if ((i & 255) == 0) lseek(fd, 0, SEEK_SET); if (read(fd, buf, 4096) != 4096) DIE("read"); } double e = now() - s; close(fd); return e; }
static double b_pwrite(long n) { int fd = mkfile(); if (fd < 0) return -1; double s = now(); for (long i = 0; i < n; i++) if (pwrite(fd, buf, 4096, (i & 255) * 4096) != 4096) DIE("pwrite"); double e = now() - s; close(fd); return e; }
static double b_devnull(long n) { int fd = open("/dev/null", O_WRONLY); if (fd < 0) DIE("devnull"); double s = now(); for (long i = 0; i < n; i++) if (write(fd, buf, 1) != 1) DIE("w"); double e = now() - s; close(fd); return e; }
static double b_openclose(long n) { int f = mkfile(); if (f < 0) return -1; close(f); double s = now(); for (long i = 0; i < n; i++) { int fd = open(path, O_RDONLY); if (fd < 0) DIE("open"); close(fd); } return now() - s; }
static double b_stat(long n) { int f = mkfile(); if (f < 0) return -1; close(f); struct stat st; double s = now(); for (long i = 0; i < n; i++) if (stat(path, &st)) DIE("stat"); return now() - s; }
static double b_stat_enoent(long n) { struct stat st; char p[600]; snprintf(p, sizeof p, "%s/nonexistent-file", dir); double s = now(); for (long i = 0; i < n; i++) if (stat(p, &st) == 0) DIE("stat"); return now() - s; }
static double b_fstat(long n) { int f = mkfile(); if (f < 0) return -1; struct stat st; double s = now(); for (long i = 0; i < n; i++) if (fstat(f, &st)) DIE("fstat"); double e = now() - s; close(f); return e; }
static double b_creatunlink(long n) { char p[600]; snprintf(p, sizeof p, "%s/lobench.tmp", dir); double s = now(); for (long i = 0; i < n; i++) { int fd = open(p, O_CREAT | O_WRONLY | O_EXCL, 0600); if (fd < 0) DIE("creat"); if (write(fd, buf, 1024) != 1024) DIE("write"); close(fd); if (unlink(p)) DIE("unlink"); } return now() - s; }
static double b_readdir(long n) {
    static int made; char p[700]; char d[600]; snprintf(d, sizeof d, "%s/lobench.d", dir);
    if (!made) { mkdir(d, 0755); for (int i = 0; i < 100; i++) { snprintf(p, sizeof p, "%s/f%03d", d, i); int fd = open(p, O_CREAT | O_WRONLY, 0644); if (fd < 0) DIE("creat"); close(fd); } made = 1; }
    double s = now(); for (long i = 0; i < n; i++) { DIR *D = opendir(d); if (!D) DIE("opendir"); int c = 0; while (readdir(D)) c++; closedir(D); if (c < 100) DIE("count %d", c); } return now() - s;
}
static double b_mmap64k(long n) { double s = now(); for (long i = 0; i < n; i++) { char *m = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (m == MAP_FAILED) DIE("mmap"); for (int j = 0; j < 65536; j += 4096) m[j] = 1; if (munmap(m, 65536)) DIE("munmap"); } return now() - s; }
static double b_mprotect(long n) { char *m = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (m == MAP_FAILED) DIE("mmap"); for (int j = 0; j < 65536; j += 4096) m[j] = 1; double s = now(); for (long i = 0; i < n; i++) { if (mprotect(m, 4096, PROT_READ)) DIE("mp"); if (mprotect(m, 4096, PROT_READ | PROT_WRITE)) DIE("mp"); } double e = now() - s; munmap(m, 65536); return e; }
static double b_pagefault(long n) { // n pages, in 16 MiB regions
    double s = now(); long left = n; while (left > 0) { long k = left > 4096 ? 4096 : left; char *m = mmap(0, k * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (m == MAP_FAILED) DIE("mmap"); madvise(m, k * 4096, MADV_NOHUGEPAGE); for (long j = 0; j < k; j++) m[j * 4096] = 1; munmap(m, k * 4096); left -= k; } return now() - s; }

static volatile int sigcount; static void onsig(int x) { (void)x; sigcount++; }
static double b_signal(long n) { struct sigaction sa = {.sa_handler = onsig}; sigaction(SIGUSR1, &sa, 0); pid_t p = getpid(); double s = now(); for (long i = 0; i < n; i++) kill(p, SIGUSR1); return now() - s; }
static double b_sigprocmask(long n) { sigset_t a; sigemptyset(&a); sigaddset(&a, SIGUSR2); double s = now(); for (long i = 0; i < n; i++) sigprocmask((i & 1) ? SIG_UNBLOCK : SIG_BLOCK, &a, 0); return now() - s; }

static int pa[2], pb[2]; static long pp_n;
static void *pp_thread(void *x) { (void)x; char c; for (long i = 0; i < pp_n; i++) { if (read(pa[0], &c, 1) != 1) break; if (write(pb[1], &c, 1) != 1) break; } return 0; }
static double pingpong(long n) { char c = 1; pthread_t t; pp_n = n + 1; if (pthread_create(&t, 0, pp_thread, 0)) DIE("pthread");
    if (write(pa[1], &c, 1) != 1 || read(pb[0], &c, 1) != 1) DIE("first");
    double s = now(); for (long i = 0; i < n; i++) { if (write(pa[1], &c, 1) != 1) DIE("w"); if (read(pb[0], &c, 1) != 1) DIE("r"); } double e = now() - s; pthread_join(t, 0); return e; }
static double b_pipepp(long n) { if (pipe(pa) || pipe(pb)) DIE("pipe"); double e = pingpong(n); close(pa[0]); close(pa[1]); close(pb[0]); close(pb[1]); return e; }
static double b_pipe1(long n) { int p[2]; char c = 0; if (pipe(p)) DIE("pipe"); double s = now(); for (long i = 0; i < n; i++) { if (write(p[1], &c, 1) != 1) DIE("w"); if (read(p[0], &c, 1) != 1) DIE("r"); } double e = now() - s; close(p[0]); close(p[1]); return e; }
static double b_pipeproc(long n) { // two processes
    int a[2], b[2]; char c = 0; if (pipe(a) || pipe(b)) DIE("pipe"); pid_t p = fork(); if (p < 0) DIE("fork");
    if (!p) { close(a[1]); close(b[0]); while (read(a[0], &c, 1) == 1) if (write(b[1], &c, 1) != 1) break; _exit(0); }
    close(a[0]); close(b[1]); if (write(a[1], &c, 1) != 1 || read(b[0], &c, 1) != 1) DIE("first"); double s = now(); for (long i = 0; i < n; i++) { if (write(a[1], &c, 1) != 1) DIE("w"); if (read(b[0], &c, 1) != 1) DIE("r"); } double e = now() - s; close(a[1]); close(b[0]); waitpid(p, 0, 0); return e; }
static double b_unixpp(long n) { int sv[2]; if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv)) DIE("socketpair"); pa[0] = sv[1]; pb[1] = sv[1]; pa[1] = sv[0]; pb[0] = sv[0]; double e = pingpong(n); close(sv[0]); close(sv[1]); return e; }
static int tcppair(int *a, int *b) { int l = socket(AF_INET, SOCK_STREAM, 0); if (l < 0) DIE("socket"); struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = 0}; socklen_t sl = sizeof sa; int one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int port = 0; for (int p = 23000 + (getpid() % 5000), k = 0; k < 200; k++, p++) { sa.sin_port = htons(p); if (!bind(l, (void *)&sa, sizeof sa)) { port = p; break; } } if (!port) DIE("bind"); if (listen(l, 4)) DIE("listen"); (void)sl;
    *a = socket(AF_INET, SOCK_STREAM, 0); if (connect(*a, (void *)&sa, sizeof sa)) DIE("connect"); *b = accept(l, 0, 0); if (*b < 0) DIE("accept"); close(l);
    setsockopt(*a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); setsockopt(*b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); return 0; }
static double b_tcppp(long n) { int a, b; if (tcppair(&a, &b)) return -1; pa[0] = b; pb[1] = b; pa[1] = a; pb[0] = a; double e = pingpong(n); close(a); close(b); return e; }
static int sink_fd; static long sink_bytes;
static void *sink(void *x) { (void)x; static char sb[1 << 16]; long got = 0; while (got < sink_bytes) { ssize_t r = read(sink_fd, sb, sizeof sb); if (r <= 0) break; got += r; } return 0; }
static double b_tcptp(long n) { int a, b; if (tcppair(&a, &b)) return -1; sink_fd = b; sink_bytes = n * 65536; pthread_t t; if (pthread_create(&t, 0, sink, 0)) DIE("pthread"); double s = now(); for (long i = 0; i < n; i++) { long o = 0; while (o < 65536) { ssize_t w = write(a, buf + o, 65536 - o); if (w <= 0) DIE("w"); o += w; } } pthread_join(t, 0); double e = now() - s; close(a); close(b); return e; }
static double b_pipetp(long n) { int p[2]; if (pipe(p)) DIE("pipe"); sink_fd = p[0]; sink_bytes = n * 65536; pthread_t t; if (pthread_create(&t, 0, sink, 0)) DIE("pthread"); double s = now(); for (long i = 0; i < n; i++) { long o = 0; while (o < 65536) { ssize_t w = write(p[1], buf + o, 65536 - o); if (w <= 0) DIE("w"); o += w; } } pthread_join(t, 0); double e = now() - s; close(p[0]); close(p[1]); return e; }
static double b_tcpconn(long n) { // connect/accept/close
    int l = socket(AF_INET, SOCK_STREAM, 0); struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}; int one = 1; setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int port = 0; for (int p = 29000 + (getpid() % 3000), k = 0; k < 200; k++, p++) { sa.sin_port = htons(p); if (!bind(l, (void *)&sa, sizeof sa)) { port = p; break; } } if (!port) DIE("bind"); if (listen(l, 64)) DIE("listen");
    struct linger lg = {1, 0}; double s = now(); for (long i = 0; i < n; i++) { int a = socket(AF_INET, SOCK_STREAM, 0); if (connect(a, (void *)&sa, sizeof sa)) DIE("connect"); int b = accept(l, 0, 0); if (b < 0) DIE("accept"); setsockopt(a, SOL_SOCKET, SO_LINGER, &lg, sizeof lg); close(a); close(b); } double e = now() - s; close(l); return e; }

static volatile int fx_a, fx_b; static long fx_n;
static void fwait(volatile int *p, int v) { while (__atomic_load_n(p, __ATOMIC_ACQUIRE) != v) { int c = *p; if (c == v) break; syscall(SYS_futex, p, FUTEX_WAIT_PRIVATE, c, 0, 0, 0); } }
static void fset(volatile int *p, int v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); syscall(SYS_futex, p, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0); }
static void *fx_thread(void *x) { (void)x; for (int i = 1; i <= fx_n; i++) { fwait(&fx_a, i); fset(&fx_b, i); } return 0; }
static double b_futexpp(long n) { fx_a = fx_b = 0; fx_n = n; pthread_t t; if (pthread_create(&t, 0, fx_thread, 0)) DIE("pthread"); double s = now(); for (int i = 1; i <= n; i++) { fset(&fx_a, i); fwait(&fx_b, i); } double e = now() - s; pthread_join(t, 0); return e; }
static double b_futexwake(long n) { int w = 0; double s = now(); for (long i = 0; i < n; i++) syscall(SYS_futex, &w, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0); return now() - s; }
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; static long mu_n; static volatile long mu_c;
static void *mu_thread(void *x) { (void)x; for (long i = 0; i < mu_n; i++) { pthread_mutex_lock(&mu); mu_c++; pthread_mutex_unlock(&mu); } return 0; }
static double b_mutex2(long n) { mu_n = n; pthread_t t; if (pthread_create(&t, 0, mu_thread, 0)) DIE("pthread"); double s = now(); mu_thread(0); pthread_join(t, 0); return now() - s; }
static void *nop_thread(void *x) { return x; }
static double b_pthread(long n) { double s = now(); for (long i = 0; i < n; i++) { pthread_t t; if (pthread_create(&t, 0, nop_thread, 0)) DIE("pthread"); pthread_join(t, 0); } return now() - s; }
static double b_fork(long n) { double s = now(); for (long i = 0; i < n; i++) { pid_t p = fork(); if (p < 0) DIE("fork"); if (!p) _exit(0); int st; if (waitpid(p, &st, 0) != p) DIE("wait"); } return now() - s; }
static double b_vforkexec(long n) { double s = now(); for (long i = 0; i < n; i++) { pid_t p = vfork(); if (p < 0) DIE("vfork"); if (!p) { execl(truebin, truebin, (char *)0); _exit(127); } int st; if (waitpid(p, &st, 0) != p) DIE("wait"); if (WEXITSTATUS(st)) DIE("status %x", st); } return now() - s; }
static double b_forkexec(long n) { double s = now(); for (long i = 0; i < n; i++) { pid_t p = fork(); if (p < 0) DIE("fork"); if (!p) { execl(truebin, truebin, (char *)0); _exit(127); } int st; if (waitpid(p, &st, 0) != p) DIE("wait"); if (WEXITSTATUS(st)) DIE("status %x", st); } return now() - s; }
static double b_fork64m(long n) { static char *m; if (!m) { m = mmap(0, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (m == MAP_FAILED) DIE("mmap"); memset(m, 1, 64 << 20); } return b_fork(n); }

static long ep_n; static int ep_in, ep_out;
static void *ep_thread(void *x) { (void)x; int ep = epoll_create1(0); struct epoll_event ev = {.events = EPOLLIN}; epoll_ctl(ep, EPOLL_CTL_ADD, ep_in, &ev); uint64_t v; for (long i = 0; i < ep_n; i++) { if (epoll_wait(ep, &ev, 1, -1) != 1) break; if (read(ep_in, &v, 8) != 8) break; v = 1; if (write(ep_out, &v, 8) != 8) break; } close(ep); return 0; }
static double b_epollpp(long n) { int a = eventfd(0, 0), b = eventfd(0, 0); if (a < 0 || b < 0) DIE("eventfd"); ep_in = a; ep_out = b; ep_n = n; pthread_t t; if (pthread_create(&t, 0, ep_thread, 0)) DIE("pthread"); int ep = epoll_create1(0); struct epoll_event ev = {.events = EPOLLIN}; if (epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev)) DIE("ctl"); uint64_t v; double s = now(); for (long i = 0; i < n; i++) { v = 1; if (write(a, &v, 8) != 8) DIE("w"); if (epoll_wait(ep, &ev, 1, -1) != 1) DIE("ew"); if (read(b, &v, 8) != 8) DIE("r"); } double e = now() - s; pthread_join(t, 0); close(ep); close(a); close(b); return e; }
static double b_epoll0(long n) { int a = eventfd(0, 0); uint64_t one = 1; if (a < 0) DIE("eventfd"); if (write(a, &one, 8) != 8) DIE("w"); int ep = epoll_create1(0); struct epoll_event ev = {.events = EPOLLIN}; if (epoll_ctl(ep, EPOLL_CTL_ADD, a, &ev)) DIE("ctl"); double s = now(); for (long i = 0; i < n; i++) { int r = epoll_wait(ep, &ev, 1, 0); if (r != 1) DIE("ew ret %d", r); } double e = now() - s; close(ep); close(a); return e; }
static double b_poll10(long n) { struct pollfd p[10]; for (int i = 0; i < 10; i++) { p[i].fd = eventfd(0, 0); p[i].events = POLLIN; } uint64_t one = 1; if (write(p[9].fd, &one, 8) != 8) DIE("w"); double s = now(); for (long i = 0; i < n; i++) { int r = poll(p, 10, 0); if (r != 1) DIE("poll ret %d", r); } double e = now() - s; for (int i = 0; i < 10; i++) close(p[i].fd); return e; }

static double b_cpu(long n) { double s = now(); volatile uint64_t sinkv; uint64_t x = 88172645463325252ull; for (long i = 0; i < n * 1000; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; } sinkv = x; (void)sinkv; return now() - s; }
static double b_memcpy(long n) { static char *a, *b; size_t z = 8 << 20; if (!a) { a = malloc(z); b = malloc(z); memset(a, 1, z); memset(b, 2, z); } double s = now(); for (long i = 0; i < n; i++) { memcpy(a, b, z); __asm__ volatile("" ::: "memory"); } return now() - s; }
static double b_malloc(long n) { double s = now(); for (long i = 0; i < n; i++) { void *p[16]; for (int j = 0; j < 16; j++) { p[j] = malloc(32 << (j % 8)); *(char *)p[j] = 1; } for (int j = 0; j < 16; j++) free(p[j]); } return now() - s; }
static double b_nanosleep(long n) { struct timespec t = {0, 1000}; double s = now(); for (long i = 0; i < n; i++) nanosleep(&t, 0); return now() - s; }

static struct { const char *n; benchfn f; double bytes; long max; } T[] = {
    {"cpu_1k", b_cpu, 0, 1L << 40}, {"memcpy_8m", b_memcpy, 8 << 20, 1L << 40}, {"malloc16", b_malloc, 0, 1L << 40},
    {"getpid", b_getpid, 0, 1L << 40}, {"getpid_raw", b_getpid_raw, 0, 1L << 40}, {"clock_gettime", b_clock, 0, 1L << 40}, {"sched_yield", b_yield, 0, 1L << 40},
    {"read4k", b_read, 0, 1L << 40}, {"pread4k", b_pread, 0, 1L << 40}, {"pwrite4k", b_pwrite, 0, 1L << 40}, {"write_devnull", b_devnull, 0, 1L << 40},
    {"open_close", b_openclose, 0, 1L << 40}, {"stat", b_stat, 0, 1L << 40}, {"stat_enoent", b_stat_enoent, 0, 1L << 40}, {"fstat", b_fstat, 0, 1L << 40}, {"creat_unlink", b_creatunlink, 0, 1L << 40}, {"readdir100", b_readdir, 0, 1L << 40},
    {"mmap64k", b_mmap64k, 0, 1L << 40}, {"mprotect_x2", b_mprotect, 0, 1L << 40}, {"pagefault", b_pagefault, 0, 1L << 40},
    {"signal_self", b_signal, 0, 1L << 40}, {"sigprocmask", b_sigprocmask, 0, 1L << 40}, {"nanosleep_1us", b_nanosleep, 0, 1L << 40},
    {"pipe_1thr", b_pipe1, 0, 1L << 40}, {"pipe_pingpong", b_pipepp, 0, 1L << 40}, {"unix_pingpong", b_unixpp, 0, 1L << 40}, {"pipe_tput", b_pipetp, 65536, 1L << 40},
    {"futex_wake0", b_futexwake, 0, 1L << 40}, {"futex_pingpong", b_futexpp, 0, 1L << 30}, {"mutex_2thr", b_mutex2, 0, 1L << 40}, {"pthread_create", b_pthread, 0, 1L << 40},
    {"tcp_pingpong", b_tcppp, 0, 1L << 40}, {"tcp_tput", b_tcptp, 65536, 1L << 40}, {"tcp_connect", b_tcpconn, 0, 20000},
    {"epoll_ready", b_epoll0, 0, 1L << 40}, {"epoll_pingpong", b_epollpp, 0, 1L << 40}, {"poll10", b_poll10, 0, 1L << 40},
    {"fork_wait", b_fork, 0, 1L << 40}, {"fork_wait_64m", b_fork64m, 0, 1L << 40}, {"pipe_pp_2proc", b_pipeproc, 0, 1L << 40}, {"vfork_exec", b_vforkexec, 0, 1L << 40}, {"fork_exec", b_forkexec, 0, 1L << 40},
};
int main(int c, char **v) {
    int i = 1; memset(buf, 1, sizeof buf);
    for (; i < c && v[i][0] == '-'; i++) { if (v[i][1] == 't') batch_s = atof(v[++i]); else if (v[i][1] == 'b') batches = atoi(v[++i]); else if (v[i][1] == 'd') dir = v[++i]; else if (v[i][1] == 'e') truebin = v[++i]; }
    for (; i < c; i++) { int hit = 0; for (unsigned k = 0; k < sizeof T / sizeof T[0]; k++) if (!strcmp(v[i], "all") || !strcmp(v[i], T[k].n)) { hit = 1; report(T[k].n, T[k].f, T[k].bytes, T[k].max); } if (!hit) { printf("%s NOSUCH\n", v[i]); } }
    return 0;
}
