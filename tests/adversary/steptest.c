/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steptest WINDOWS [blocked]: runs in the enclave, in windows that the emulator steps through while it sends SIGUSR1
 * (docs/emulator.md, CLOCHE_EMU_STEP). What a window does must have the result that it has without signals, and every
 * register must survive. Signals are handled, or with `blocked` only noted. Prints counts; status 0: nothing was wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define STEP_ON 0x434c4f4348450001ul
#define STEP_OFF 0x434c4f4348450000ul
#define STEP_REPORT 0x434c4f4348450002ul

/* Offsets are known to sigstress_asm.S. */
struct stress_state {
    uint64_t gpr[11];
    uint64_t flags;
    uint64_t red[12];
    uint64_t vector[64];
};
int stress_registers(const struct stress_state *in, struct stress_state *out, long rounds);

static volatile unsigned long g_handled, g_faults, g_failures;
static int g_pipe[2], g_null;
static uint32_t g_word;
static int g_is_armed; /* the first round is for sites that trap once */

static void failed(const char *what, long got, long want)
{
    if (g_failures++ < 20)
        fprintf(stderr, "FAILED %s: %ld (0x%lx), expected %ld (0x%lx)\n", what, got, got, want,
                want);
}

static void check(const char *what, long got, long want)
{
    if (got != want)
        failed(what, got, want);
}

static void step(unsigned long word)
{
    if (g_is_armed)
        __asm__ volatile("ud2" : : "a"(word) : "memory", "cc");
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (signo != SIGUSR1 || info->si_signo != SIGUSR1)
        g_failures++;
    g_handled++;
    __asm__ volatile("vpcmpeqb %%ymm0, %%ymm0, %%ymm0\n\tvmovdqa %%ymm0, %%ymm7\n\tvmovdqa %%ymm0, "
                     "%%ymm15\n\tvzeroupper" ::
                         : "xmm0", "xmm7", "xmm15");
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)info;
    g_faults++;
    uc->uc_mcontext.gregs[REG_RIP] += signo == SIGSEGV ? 4 : 2;
}

/* ---- what windows do ---- */

static void do_registers(unsigned seed)
{
    struct stress_state in, out;

    for (unsigned i = 0; i < sizeof in / 8; i++)
        ((uint64_t *)&in)[i] = (i + seed) * 0x9e3779b97f4a7c15ull;
    in.flags = 0;
    step(STEP_ON);
    check("flags", stress_registers(&in, &out, 2), 0);
    step(STEP_OFF);
    for (unsigned i = 0; i < sizeof in / 8; i++)
        if (i != 11)
            check(i < 11   ? "register"
                  : i < 24 ? "red zone"
                           : "vector register",
                  (long)((uint64_t *)&out)[i], (long)((uint64_t *)&in)[i]);
}

static void do_pipe(unsigned seed)
{
    uint64_t sent[40], got[40] = { 0 };
    ssize_t out, in;

    for (unsigned i = 0; i < 40; i++)
        sent[i] = seed + i;
    step(STEP_ON);
    out = write(g_pipe[1], sent, sizeof sent - 3);
    in = read(g_pipe[0], got, sizeof got);
    step(STEP_OFF);
    check("write", out, sizeof sent - 3);
    check("read", in, sizeof sent - 3);
    check("bytes of a pipe", memcmp(sent, got, sizeof sent - 3), 0);
}

static void do_paths(unsigned seed)
{
    int fd;
    long size;

    (void)seed;
    step(STEP_ON);
    fd = open("/dev/null", O_WRONLY);
    size = write(fd, "abc", 3);
    close(fd);
    step(STEP_OFF);
    if (fd < 0)
        failed("open", errno, 0);
    check("write", size, 3);
}

static void do_exit(unsigned seed)
{
    struct timespec ts = { 0, 1 + seed % 1000 };
    long rc;

    step(STEP_ON);
    rc = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL);
    step(STEP_OFF);
    if (rc != 0)
        check("clock_nanosleep", errno, EINTR);
}

static void do_futex(unsigned seed)
{
    struct timespec ts = { 0, 1000 };
    long rc, woken;
    int error;

    g_word = seed;
    step(STEP_ON);
    rc = syscall(SYS_futex, &g_word, FUTEX_WAIT_PRIVATE, seed, &ts);
    error = errno;
    woken = syscall(SYS_futex, &g_word, FUTEX_WAKE_PRIVATE, 1);
    step(STEP_OFF);
    check("futex wait", rc, -1);
    if (error != EINTR)
        check("futex wait's error", error, ETIMEDOUT);
    check("futex wake", woken, 0);
}

static void do_memory(unsigned seed)
{
    uint64_t *p, read_back;

    step(STEP_ON);
    p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[0] = seed;
    p[600] = ~(uint64_t)seed;
    read_back = p[0] ^ p[600];
    munmap(p, 8192);
    step(STEP_OFF);
    check("memory", (long)read_back, -1);
}

static void do_fault(unsigned seed)
{
    uint64_t value = seed;
    unsigned long before = g_faults;

    step(STEP_ON);
    __asm__ volatile("xor %%ecx, %%ecx\n\tmov 8(%%rcx), %0\n\tud2"
                     : "+a"(value)
                     :
                     : "rcx", "memory");
    step(STEP_OFF);
    check("faults", (long)(g_faults - before), 2);
    check("a register over a fault", (long)value, seed);
}

static void do_host_write(unsigned seed)
{
    long size;

    (void)seed;
    step(STEP_ON);
    size = write(g_null, "", 0);
    step(STEP_OFF);
    check("write of nothing", size, 0);
}

static void do_bad_pointers(unsigned seed)
{
    long a, b, c;

    (void)seed;
    step(STEP_ON);
    a = syscall(SYS_read, g_pipe[0], (void *)8, 0);
    b = syscall(SYS_openat, AT_FDCWD, (void *)8, 0);
    c = syscall(SYS_futex, (void *)8, FUTEX_WAIT_PRIVATE, 0, NULL);
    step(STEP_OFF);
    check("read", a, 0);
    check("openat of a bad address", b, -1);
    check("futex of a bad address", c, -1);
}

static void (*const g_windows[])(unsigned) = { do_registers, do_pipe,       do_paths,
                                               do_exit,      do_futex,      do_memory,
                                               do_fault,     do_host_write, do_bad_pointers };
#define WINDOWS (sizeof g_windows / sizeof *g_windows)

static void handle(int signo, void (*function)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = function, .sa_flags = SA_SIGINFO | flags };

    if (sigaction(signo, &action, NULL) < 0)
        failed("sigaction", errno, 0);
}

int main(int argc, char **argv)
{
    unsigned long windows = argc > 1 ? strtoul(argv[1], NULL, 0) : 20;
    int is_blocked = argc > 2 && strcmp(argv[2], "blocked") == 0;
    sigset_t set;

    if (!__builtin_cpu_supports("avx2"))
        return 77;
    handle(SIGUSR1, on_signal, SA_RESTART);
    handle(SIGSEGV, on_fault, 0);
    handle(SIGILL, on_fault, 0);
    g_null = open("/dev/null", O_WRONLY);
    if (pipe(g_pipe) < 0 || g_null < 0)
        failed("descriptors", errno, 0);
    raise(SIGUSR1);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    g_handled = 0;
    if (is_blocked)
        sigprocmask(SIG_BLOCK, &set, NULL);
    for (unsigned i = 0; i < WINDOWS; i++)
        g_windows[i](i);
    g_is_armed = 1;
    for (unsigned long i = 0; i < windows; i++)
        g_windows[i % WINDOWS]((unsigned)i);
    step(STEP_REPORT);
    g_is_armed = 0;
    if (is_blocked) { /* one is kept */
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        check("signals handled", (long)g_handled, 1);
    }
    printf("windows %lu, handled %lu, faults %lu, failures %lu\n", windows, g_handled, g_faults,
           g_failures);
    return g_failures ? 1 : 0;
}
