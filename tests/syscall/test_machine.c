/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as language runtimes look at it: /sys, /proc/sys, cgroups, barriers, features that a kernel may lack. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "case.h"
#include "children.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* The file's start as text; empty when it cannot be read. */
static const char *text_of(const char *path)
{
    static char text[8192];
    int fd = open(path, O_RDONLY);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = 0;
    return text;
}

static long number_in(const char *text)
{
    return strtol(text, NULL, 10);
}

TEST(machine_node)
{
    CHECK(strncmp(text_of("/sys/devices/system/node/online"), "0", 1) == 0);
    CHECK(strstr(text_of("/sys/devices/system/node/node0/distance"), "10") != NULL);
    CHECK(strstr(text_of("/sys/devices/system/node/node0/numastat"), "numa_hit ") != NULL);
    CHECK(strncmp(text_of("/sys/devices/system/node/has_normal_memory"), "0", 1) == 0);
}

TEST(machine_cache)
{
    if (access("/sys/devices/system/cpu/cpu0/cache/index0", F_OK) < 0)
        return; /* a virtual machine may not show them */
    CHECK_EQ(number_in(text_of("/sys/devices/system/cpu/cpu0/cache/index0/level")), 1);
    CHECK(number_in(text_of("/sys/devices/system/cpu/cpu0/cache/index0/size")) >= 8);
    CHECK_EQ(number_in(text_of("/sys/devices/system/cpu/cpu0/cache/index0/coherency_line_size")),
             64);
    CHECK(strchr(text_of("/sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list"), '0') !=
          NULL);
    FAILS(access("/sys/devices/system/cpu/cpu0/cache/index99", F_OK), ENOENT);
}

TEST(machine_settings)
{
    CHECK(number_in(text_of("/proc/sys/vm/max_map_count")) >= 30000);
    CHECK(strstr(text_of("/proc/sys/net/ipv4/tcp_available_congestion_control"), "reno") != NULL);
    CHECK(number_in(text_of("/proc/sys/net/ipv4/tcp_keepalive_intvl")) > 0);
    CHECK(strchr(text_of("/proc/sys/net/ipv6/conf/all/disable_ipv6"), '\n') != NULL);
    CHECK(strchr(text_of("/proc/sys/fs/file-nr"), '\t') != NULL);
    CHECK(strstr(text_of("/proc/sys/kernel/arch"), "x86_64") != NULL ||
          access("/proc/sys/kernel/arch", F_OK) < 0);
    CHECK(strstr(text_of("/proc/vmstat"), "nr_free_pages ") != NULL);
    CHECK(strstr(text_of("/proc/cgroups"), "memory\t") != NULL);
    CHECK(strncmp(text_of("/proc/self/cgroup"), "0::", 3) == 0 ||
          strstr(text_of("/proc/self/cgroup"), ":") != NULL);
    CHECK_EQ(number_in(text_of("/sys/class/net/lo/mtu")), 65536);
    CHECK_EQ(number_in(text_of("/sys/class/net/lo/ifindex")), 1);
    CHECK_EQ(number_in(text_of("/sys/class/net/lo/type")), 772);
}

/* ---- membarrier ---- */

static int membarrier(int command, unsigned flags)
{
    return (int)syscall(SYS_membarrier, command, flags, 0);
}

TEST(membarrier_commands)
{
    int offered = membarrier(MEMBARRIER_CMD_QUERY, 0);

    CHECK(offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    CHECK(offered & MEMBARRIER_CMD_GLOBAL);
    FAILS(membarrier(MEMBARRIER_CMD_QUERY, 5), EINVAL);
    FAILS(membarrier(3, 0), EINVAL);
    FAILS(membarrier(1 << 20, 0), EINVAL);
    ZERO(membarrier(MEMBARRIER_CMD_GLOBAL, 0));
    ZERO(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
    ZERO(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
    ZERO(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0));
    ZERO(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0));
}

/* Dekker's algorithm with a compiler barrier on the fast side and membarrier on the slow one: both never see 0. */
static struct {
    _Alignas(64) volatile int fast;
    _Alignas(64) volatile int slow;
    _Alignas(64) atomic_int turn, seen_by_fast;
    atomic_int stop;
} g_dekker;

static void *fast_side(void *arg)
{
    for (int turn = 1; !atomic_load(&g_dekker.stop); turn++) {
        while (atomic_load(&g_dekker.turn) != turn)
            if (atomic_load(&g_dekker.stop))
                return NULL;
        g_dekker.fast = 1;
        __asm__ volatile("" : : : "memory");
        atomic_store_explicit(&g_dekker.seen_by_fast, g_dekker.slow + 1, memory_order_relaxed);
    }
    return NULL;
}

TEST(membarrier_orders_both_sides)
{
    pthread_t thread;
    int both_missed = 0;

    ZERO(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
    ZERO(pthread_create(&thread, NULL, fast_side, NULL));
    for (int turn = 1; turn <= 300; turn++) {
        g_dekker.fast = g_dekker.slow = 0;
        atomic_store(&g_dekker.seen_by_fast, 0);
        atomic_store(&g_dekker.turn, turn);
        g_dekker.slow = 1;
        ZERO(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
        int fast = g_dekker.fast, seen;

        while ((seen = atomic_load(&g_dekker.seen_by_fast)) == 0)
            sched_yield();
        both_missed += fast == 0 && seen == 1;
    }
    atomic_store(&g_dekker.stop, 1);
    ZERO(pthread_join(thread, NULL));
    CHECK_EQ(both_missed, 0);
}

static void *sleep_in_read(void *arg)
{
    char byte;

    read(*(int *)arg, &byte, 1);
    return NULL;
}

TEST(membarrier_with_sleepers)
{
    pthread_t threads[3];
    int fds[2];

    ZERO(pipe(fds));
    ZERO(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
    for (int i = 0; i < 3; i++)
        ZERO(pthread_create(&threads[i], NULL, sleep_in_read, &fds[0]));
    for (int i = 0; i < 50; i++)
        ZERO(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
    CHECK_EQ(write(fds[1], "abc", 3), 3);
    for (int i = 0; i < 3; i++)
        ZERO(pthread_join(threads[i], NULL));
}

static void *ask_often(void *arg) /* gives arg back when a call fails */
{
    for (int i = 0; i < 200; i++)
        if (membarrier(i % 4 ? MEMBARRIER_CMD_PRIVATE_EXPEDITED : MEMBARRIER_CMD_GLOBAL_EXPEDITED,
                       0) != 0)
            return arg;
    return NULL;
}

/* Each waits for the others, which are in the same call. */
TEST(membarrier_from_many_threads)
{
    pthread_t threads[4];
    void *failed;

    ZERO(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
    for (int i = 0; i < 4; i++)
        ZERO(pthread_create(&threads[i], NULL, ask_often, "failed"));
    for (int i = 0; i < 4; i++) {
        ZERO(pthread_join(threads[i], &failed));
        CHECK(failed == NULL);
    }
}

/* ---- memory of a process ---- */

TEST(process_vm_own)
{
    char from[] = "some bytes", to[16] = "";
    struct iovec local[2] = { { to, 4 }, { to + 4, 7 } }, remote = { from, sizeof from };

    CHECK_EQ(process_vm_readv(getpid(), local, 2, &remote, 1, 0), 11);
    CHECK(strcmp(to, "some bytes") == 0);
    memcpy(to, "other", 5);
    CHECK_EQ(process_vm_writev(getpid(), local, 1, &remote, 1, 0), 4);
    CHECK(strcmp(from, "othe bytes") == 0);
    CHECK_EQ(process_vm_readv(getpid(), local, 1, &remote, 0, 0), 0);
    FAILS(process_vm_readv(getpid(), local, 1, &remote, 1, 1), EINVAL);
    FAILS(process_vm_writev(getpid(), local, 1, &remote, 1, 1), EINVAL);
    FAILS(process_vm_readv(getpid(), local, 2000, &remote, 1, 0), EINVAL);
    FAILS(process_vm_readv(0x3fffffff, local, 1, &remote, 1, 0), ESRCH);
    remote.iov_base = (void *)8;
    FAILS(process_vm_readv(getpid(), local, 1, &remote, 1, 0), EFAULT);
}

static int waits_for_end(void *arg)
{
    char c;

    return syscall(SYS_read, *(int *)arg, &c, 1) == 1 && c == 'e' ? 0 : 1;
}

/* A process that shares its memory (CLONE_VM) may be looked into as oneself may. */
TEST(process_vm_shared)
{
    static char there[] = "some bytes";
    char to[16] = "";
    struct iovec local = { to, sizeof to }, remote = { there, sizeof there };
    int fds[2], status;
    pid_t pid;

    OK(pipe(fds));
    pid = child_start(waits_for_end, &fds[0], SIGCHLD);
    CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), sizeof there);
    CHECK(strcmp(to, there) == 0);
    local.iov_len = 1;
    to[0] = 'S';
    CHECK_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 1);
    CHECK(strcmp(there, "Some bytes") == 0);
    there[0] = 's';
    CHECK_EQ(write(fds[1], "e", 1), 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

TEST(process_vm_part)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char to[200] = "";
    struct iovec local = { to, sizeof to }, remote = { page + 4096 - 100, 200 };

    memset(page, 'x', 8192);
    ZERO(munmap(page + 4096, 4096));
    CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 100);
    ZERO(munmap(page, 4096));
}

/* ---- what a kernel may refuse ---- */

TEST(seccomp_refusals)
{
    FAILS(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
    FAILS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1u << 31, NULL), EINVAL);
    CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
}

/* A thread begins with the slack of the one that made it, and goes back to that. */
static void *slack_of_thread(void *arg)
{
    int *slack = arg;

    slack[0] = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    slack[1] = prctl(PR_SET_TIMERSLACK, 777, 0, 0, 0);
    slack[2] = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    usleep(1);
    slack[3] = prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0);
    slack[4] = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    return NULL;
}

TEST(prctl_timer_slack)
{
    int first = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), slack[5] = { 0 };
    pthread_t thread;

    ZERO(prctl(PR_SET_TIMERSLACK, 12345, 0, 0, 0));
    ZERO(pthread_create(&thread, NULL, slack_of_thread, slack));
    ZERO(pthread_join(thread, NULL));
    CHECK_EQ(slack[0], 12345);
    ZERO(slack[1]);
    CHECK_EQ(slack[2], 777);
    ZERO(slack[3]);
    CHECK_EQ(slack[4], 12345);
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 12345);
    ZERO(prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), first);
}

TEST(prctl_more)
{
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) > 0, 1);
    ZERO(prctl(PR_SET_TIMERSLACK, 12345, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 12345);
    ZERO(prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) > 0, 1);
    ZERO(prctl(PR_TASK_PERF_EVENTS_DISABLE, 0, 0, 0, 0));
    ZERO(prctl(PR_TASK_PERF_EVENTS_ENABLE, 0, 0, 0, 0));
    int mode = 0;

    ZERO(prctl(PR_GET_TSC, &mode, 0, 0, 0));
    CHECK_EQ(mode, PR_TSC_ENABLE);
    ZERO(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0));
    FAILS(prctl(PR_SET_TSC, 7, 0, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
    FAILS(prctl(PR_SET_TIMING, 1, 0, 0, 0), EINVAL);
    ZERO(prctl(PR_SET_TIMING, PR_TIMING_STATISTICAL, 0, 0, 0));
    FAILS(prctl(9999, 0, 0, 0, 0), EINVAL);
}

TEST(remap_dont_unmap)
{
    char *from = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *to;

    memset(from, 'a', 65536);
    to = mremap(from, 65536, 65536, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(to != MAP_FAILED && to != from);
    CHECK_EQ(to[0], 'a');
    CHECK_EQ(to[65535], 'a');
    CHECK_EQ(from[0], 0);
    CHECK_EQ(from[65535], 0);
    from[5] = 'b';
    CHECK_EQ(to[5], 'a');
    CHECK(mremap(from, 65536, 32768, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED);
    CHECK_EQ(errno, EINVAL);
    CHECK(mremap(from, 65536, 65536, MREMAP_DONTUNMAP, NULL) == MAP_FAILED);
    CHECK_EQ(errno, EINVAL);
    ZERO(munmap(from, 65536));
    ZERO(munmap(to, 65536));
}

TEST(advice_values)
{
    char *page = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static const int harmless[] = { MADV_NORMAL,   MADV_RANDOM,  MADV_SEQUENTIAL, MADV_WILLNEED,
                                    MADV_COLD,     MADV_PAGEOUT, MADV_DONTDUMP,   MADV_DODUMP,
                                    MADV_DONTFORK, MADV_DOFORK };

    memset(page, 'x', 16384);
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        ZERO(madvise(page, 16384, harmless[i]));
    CHECK_EQ(page[5000], 'x');
    ZERO(madvise(page, 4096, MADV_DONTNEED));
    CHECK_EQ(page[0], 0);
    CHECK_EQ(page[4096], 'x');
    ZERO(madvise(page, 16384, MADV_POPULATE_WRITE));
    CHECK_EQ(page[4096], 'x');
    FAILS(madvise(page, 4096, 999), EINVAL);
    FAILS(madvise(page + 1, 4096, MADV_NORMAL), EINVAL);
    ZERO(munmap(page + 4096, 4096));
    FAILS(madvise(page, 16384, MADV_DONTNEED), ENOMEM);
    FAILS(madvise(page, 16384, MADV_POPULATE_READ), ENOMEM);
    ZERO(munmap(page, 4096));
    ZERO(munmap(page + 8192, 8192));
}

/*
 * A call of getpid with instructions before it that must be done once, and one that may fault. What follows the `syscall` is
 * such that a program at a low address cannot have a jump there: the library OS takes those before it along.
 */
__asm__(".text\n"
        "call_with_others:\n"
        "    push %rbx\n"
        "    mov $39, %eax\n"
        "    incq (%rsi)\n"
        "call_reads:\n"
        "    mov (%rdi), %ebx\n"
        "    incq (%rsi)\n"
        "    lea call_word(%rip), %rdx\n"
        "    add (%rdx), %rbx\n"
        "    syscall\n"
        "    mov %rax, %rdi\n"
        "    mov %eax, %eax\n"
        "    pop %rbx\n"
        "    ret\n"
        ".data\n"
        "call_word: .quad 7\n"
        ".text\n");
long call_with_others(const volatile int *read, unsigned long *count);
extern const char call_reads[];

static volatile unsigned g_ticks;
static uintptr_t g_fault_at;

static void tick(int signo)
{
    g_ticks++;
}

/* Lets the faulting instruction read elsewhere. */
static void fault_fix(int signo, siginfo_t *info, void *context)
{
    static int word;
    ucontext_t *c = context;

    g_fault_at = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
    c->uc_mcontext.gregs[REG_RDI] = (long)&word;
}

TEST(machine_instructions_before_call)
{
    struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
    struct sigaction ticks = { .sa_handler = tick, .sa_flags = SA_RESTART };
    struct sigaction fixes = { .sa_sigaction = fault_fix, .sa_flags = SA_SIGINFO };
    unsigned long count = 0, calls = 0, wrong = 0;
    long expected = getpid();
    int word = 1;

    OK(sigaction(SIGALRM, &ticks, NULL));
    OK(sigaction(SIGSEGV, &fixes, NULL));
    OK(setitimer(ITIMER_REAL, &often, NULL));
    for (; g_ticks < 200 || calls < 1000; calls++)
        wrong += call_with_others(&word, &count) != expected;
    OK(setitimer(ITIMER_REAL, &never, NULL));
    CHECK_EQ(wrong, 0);
    CHECK_EQ(count, 2 * calls);
    for (int i = 0; i < 3; i++) {
        g_fault_at = 0;
        CHECK_EQ(call_with_others(NULL, &count), expected);
        CHECK(g_fault_at == (uintptr_t)call_reads);
    }
    CHECK_EQ(count, 2 * calls + 6);
    signal(SIGALRM, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
}
