/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: handlers, masks, alternate stacks, faults, waiting, queues. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t g_seen, g_depth, g_depth_max;
static siginfo_t g_info;
static sigjmp_buf g_jump;
static void *volatile g_handler_sp;

static void count(int sig)
{
    (void)sig;
    g_seen++;
}

static void note(int sig, siginfo_t *info, void *context)
{
    int here;

    (void)sig, (void)context;
    g_seen++;
    g_info = *info;
    g_handler_sp = &here;
}

static void handle(int sig, void (*function)(int, siginfo_t *, void *), int flags)
{
    struct sigaction act = { .sa_sigaction = function, .sa_flags = SA_SIGINFO | flags };

    g_seen = 0;
    OK(sigaction(sig, &act, NULL));
}

TEST(signal_raise_runs_handler)
{
    handle(SIGUSR1, note, 0);
    OK(raise(SIGUSR1));
    CHECK_EQ(g_seen, 1);
    CHECK_EQ(g_info.si_signo, SIGUSR1);
    CHECK_EQ(g_info.si_code, SI_TKILL);
    CHECK_EQ(g_info.si_pid, getpid());
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(g_seen, 2);
    CHECK_EQ(g_info.si_code, SI_USER);
}

TEST(signal_sigaction_round_trip)
{
    struct sigaction act = { .sa_handler = count, .sa_flags = SA_RESTART | SA_NODEFER }, old;

    sigaddset(&act.sa_mask, SIGUSR2);
    OK(sigaction(SIGUSR1, &act, NULL));
    OK(sigaction(SIGUSR1, NULL, &old));
    CHECK(old.sa_handler == count);
    CHECK_EQ(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO), SA_RESTART | SA_NODEFER);
    CHECK_EQ(sigismember(&old.sa_mask, SIGUSR2), 1);
    FAILS(sigaction(SIGKILL, &act, NULL), EINVAL);
    FAILS(sigaction(SIGSTOP, &act, NULL), EINVAL);
    FAILS(sigaction(99, &act, NULL), EINVAL);
}

TEST(signal_masks)
{
    sigset_t set, old, pending;

    handle(SIGUSR1, note, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, &old));
    CHECK_EQ(sigismember(&old, SIGUSR1), 0);
    OK(kill(getpid(), SIGUSR1));
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(g_seen, 0);
    OK(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGUSR1), 1);
    OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
    CHECK_EQ(g_seen, 1); /* standard signals do not queue */
    FAILS(sigprocmask(99, &set, NULL), EINVAL);
}

TEST(signal_kill_cannot_be_blocked)
{
    sigset_t all, now;

    sigfillset(&all);
    OK(sigprocmask(SIG_SETMASK, &all, NULL));
    OK(sigprocmask(SIG_SETMASK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGKILL), 0);
    CHECK_EQ(sigismember(&now, SIGSTOP), 0);
    CHECK_EQ(sigismember(&now, SIGTERM), 1);
}

TEST(signal_realtime_queue)
{
    sigset_t set;

    handle(SIGRTMIN + 1, note, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    for (int i = 1; i <= 3; i++)
        OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i }));
    OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
    CHECK_EQ(g_seen, 3);
    CHECK_EQ(g_info.si_code, SI_QUEUE);
    CHECK_EQ(g_info.si_value.sival_int, 3);
}

static void nest(int sig, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    g_depth++;
    if (g_depth > g_depth_max)
        g_depth_max = g_depth;
    if (++g_seen < 3)
        raise(sig);
    g_depth--;
}

TEST(signal_blocked_in_its_own_handler)
{
    g_depth = g_depth_max = 0;
    handle(SIGUSR1, nest, 0);
    OK(raise(SIGUSR1));
    CHECK_EQ(g_seen, 3);
    CHECK_EQ(g_depth_max, 1);
    g_depth = g_depth_max = 0;
    handle(SIGUSR1, nest, SA_NODEFER);
    OK(raise(SIGUSR1));
    CHECK_EQ(g_seen, 3);
    CHECK_EQ(g_depth_max, 3);
}

TEST(signal_reset_hand)
{
    struct sigaction old;

    handle(SIGUSR1, note, SA_RESETHAND);
    OK(raise(SIGUSR1));
    OK(sigaction(SIGUSR1, NULL, &old));
    CHECK(old.sa_handler == SIG_DFL);
}

TEST(signal_ignored)
{
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    OK(raise(SIGUSR1));
    OK(raise(SIGCHLD)); /* ignored by default */
    OK(raise(SIGURG));
}

TEST(signal_alternate_stack)
{
    static char stack[65536];
    stack_t alt = { .ss_sp = stack, .ss_size = sizeof stack }, old;

    OK(sigaltstack(&alt, NULL));
    handle(SIGUSR1, note, SA_ONSTACK);
    OK(raise(SIGUSR1));
    CHECK((char *)g_handler_sp >= stack && (char *)g_handler_sp < stack + sizeof stack);
    OK(sigaltstack(NULL, &old));
    CHECK(old.ss_sp == stack);
    CHECK_EQ(old.ss_flags, 0);
    handle(SIGUSR1, note, 0);
    OK(raise(SIGUSR1));
    CHECK(!((char *)g_handler_sp >= stack && (char *)g_handler_sp < stack + sizeof stack));
    alt.ss_size = 100;
    FAILS(sigaltstack(&alt, NULL), ENOMEM);
    alt.ss_flags = 99;
    FAILS(sigaltstack(&alt, NULL), EINVAL);
}

static void jump(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    g_info = *info;
    siglongjmp(g_jump, 1);
}

TEST(signal_segv_info)
{
    handle(SIGSEGV, jump, 0);
    if (sigsetjmp(g_jump, 1) == 0)
        *(volatile int *)0x1000 = 1;
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_info.si_code, SEGV_MAPERR);
    CHECK_EQ((uintptr_t)g_info.si_addr, 0x1000);
}

TEST(signal_stack_overflow_on_alternate_stack)
{
    static char stack[65536];
    stack_t alt = { .ss_sp = stack, .ss_size = sizeof stack };
    char *guarded = OK(mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

    OK(sigaltstack(&alt, NULL));
    handle(SIGSEGV, jump, SA_ONSTACK);
    if (sigsetjmp(g_jump, 1) == 0)
        __asm__ volatile("mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tpush %%rax\n\tmov %%rbx, %%rsp"
                         :
                         : "r"(guarded + 4096)
                         : "rbx", "memory");
    CHECK((char *)g_info.si_addr == guarded + 4088);
}

TEST(signal_illegal_instruction)
{
    handle(SIGILL, jump, 0);
    if (sigsetjmp(g_jump, 1) == 0)
        __asm__ volatile("ud2");
    CHECK_EQ(g_info.si_signo, SIGILL);
    CHECK_EQ(g_info.si_code, ILL_ILLOPN);
}

TEST(signal_divide_by_zero)
{
    handle(SIGFPE, jump, 0);
    if (sigsetjmp(g_jump, 1) == 0)
        __asm__ volatile("xor %%edx, %%edx\n\tmov $1, %%eax\n\txor %%ecx, %%ecx\n\tidiv %%ecx" ::
                             : "rax", "rcx", "rdx", "cc");
    CHECK_EQ(g_info.si_signo, SIGFPE);
    CHECK_EQ(g_info.si_code, FPE_INTDIV);
}

TEST(signal_breakpoint)
{
    handle(SIGTRAP, note, 0);
    __asm__ volatile("int3");
    CHECK_EQ(g_seen, 1);
}

TEST(signal_non_canonical_address)
{
    handle(SIGSEGV, jump, 0);
    if (sigsetjmp(g_jump, 1) == 0)
        *(volatile char *)0x8000000000000000ull = 1;
    CHECK_EQ(g_info.si_signo, SIGSEGV);
    CHECK_EQ(g_info.si_code, SI_KERNEL);
}

static void skip_instruction(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)sig, (void)info;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
    uc->uc_mcontext.gregs[REG_RAX] = 77;
    g_seen++;
}

TEST(signal_handler_changes_context)
{
    long rax = 1, rbx = 0x1234;
    double x = 1.5;

    handle(SIGILL, skip_instruction, 0);
    __asm__ volatile("ud2" : "+a"(rax), "+b"(rbx), "+x"(x)::"memory");
    CHECK_EQ(rax, 77);
    CHECK_EQ(rbx, 0x1234);
    CHECK(x == 1.5);
    CHECK_EQ(g_seen, 1);
}

static void spoil_vectors(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n\tmovdqa %%xmm0, %%xmm7\n\tmovdqa %%xmm0, %%xmm15" ::
                         : "xmm0", "xmm7", "xmm15");
    g_seen++;
}

TEST(signal_vector_registers_survive)
{
    double in[2] = { 3.25, -7.5 }, out[2] = { 0, 0 };

    handle(SIGTRAP, spoil_vectors, 0);
    __asm__ volatile("movupd %1, %%xmm7\n\tmovapd %%xmm7, %%xmm15\n\tint3\n\tmovupd %%xmm15, %0"
                     : "=m"(out)
                     : "m"(in)
                     : "xmm7", "xmm15");
    CHECK_EQ(g_seen, 1);
    CHECK(out[0] == 3.25 && out[1] == -7.5);
}

static void *send_soon(void *target)
{
    usleep(50000);
    pthread_kill(*(pthread_t *)target, SIGUSR1);
    return NULL;
}

TEST(signal_interrupts_sleep)
{
    pthread_t me = pthread_self(), thread;
    struct timespec wait = { 20, 0 }, left;

    handle(SIGUSR1, note, SA_RESTART);
    ZERO(pthread_create(&thread, NULL, send_soon, &me));
    FAILS(nanosleep(&wait, &left), EINTR);
    CHECK(left.tv_sec >= 15 && left.tv_sec < 20);
    ZERO(pthread_join(thread, NULL));
}

TEST(signal_interrupts_read)
{
    int fds[2];
    char c;
    pthread_t me = pthread_self(), thread;

    OK(pipe(fds));
    handle(SIGUSR1, note, 0);
    ZERO(pthread_create(&thread, NULL, send_soon, &me));
    FAILS(read(fds[0], &c, 1), EINTR);
    CHECK_EQ(g_seen, 1);
    ZERO(pthread_join(thread, NULL));
}

static int g_pipe[2];

static void write_byte(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    g_seen++;
    CHECK_EQ(write(g_pipe[1], "x", 1), 1);
}

TEST(signal_restarts_read)
{
    char c = 0;
    pthread_t me = pthread_self(), thread;

    OK(pipe(g_pipe));
    handle(SIGUSR1, write_byte, SA_RESTART);
    ZERO(pthread_create(&thread, NULL, send_soon, &me));
    CHECK_EQ(read(g_pipe[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    CHECK_EQ(g_seen, 1);
    ZERO(pthread_join(thread, NULL));
}

TEST(signal_suspend)
{
    sigset_t block, none;

    handle(SIGUSR1, note, 0);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &block, NULL));
    OK(kill(getpid(), SIGUSR1));
    FAILS(sigsuspend(&none), EINTR);
    CHECK_EQ(g_seen, 1);
    OK(sigprocmask(SIG_BLOCK, NULL, &none));
    CHECK_EQ(sigismember(&none, SIGUSR1), 1);
}

TEST(signal_wait)
{
    sigset_t set;
    siginfo_t info;
    struct timespec soon = { 0, 20000000 };

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    FAILS(sigtimedwait(&set, &info, &soon), EAGAIN);
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_pid, getpid());
    FAILS(sigtimedwait(&set, &info, &soon), EAGAIN);
}

TEST(signal_alarm)
{
    handle(SIGALRM, note, 0);
    CHECK_EQ(alarm(1), 0);
    CHECK(alarm(1) >= 1);
    long long before = now_ms();
    pause();
    CHECK_EQ(g_seen, 1);
    CHECK(now_ms() - before >= 900 && now_ms() - before < 5000);
}

TEST(signal_interval_timer)
{
    struct itimerval timer = { { 0, 10000 }, { 0, 10000 } }, old;
    long long before = now_ms();

    handle(SIGALRM, note, SA_RESTART);
    OK(setitimer(ITIMER_REAL, &timer, NULL));
    while (g_seen < 5 && now_ms() - before < 5000)
        usleep(1000);
    CHECK(g_seen >= 5);
    memset(&timer, 0, sizeof timer);
    OK(setitimer(ITIMER_REAL, &timer, &old));
    CHECK_EQ(old.it_interval.tv_usec, 10000);
}

TEST(signal_busy_loop_is_interrupted)
{
    struct itimerval timer = { { 0, 0 }, { 0, 20000 } };
    long long before = now_ms();

    handle(SIGALRM, note, 0);
    OK(setitimer(ITIMER_REAL, &timer, NULL));
    while (g_seen == 0)
        ; /* no system call: the signal must come in from outside */
    CHECK(now_ms() - before < 5000);
}

static _Atomic int g_thread_seen;
static pthread_t g_thread_id;

static void on_thread(int sig)
{
    (void)sig;
    if (pthread_equal(pthread_self(), g_thread_id))
        g_thread_seen++;
}

static void *spin_until_seen(void *arg)
{
    g_thread_id = pthread_self();
    *(_Atomic int *)arg = 1;
    while (g_thread_seen == 0)
        ;
    return NULL;
}

TEST(signal_to_one_thread)
{
    pthread_t thread;
    _Atomic int ready = 0;
    struct sigaction act = { .sa_handler = on_thread };

    g_thread_seen = 0;
    OK(sigaction(SIGUSR2, &act, NULL));
    ZERO(pthread_create(&thread, NULL, spin_until_seen, &ready));
    while (!ready)
        usleep(1000);
    ZERO(pthread_kill(thread, SIGUSR2));
    ZERO(pthread_join(thread, NULL));
    CHECK_EQ(g_thread_seen, 1);
}

static void *have_own_mask(void *arg)
{
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return NULL;
}

TEST(signal_masks_are_per_thread)
{
    pthread_t thread;
    sigset_t now;

    ZERO(pthread_create(&thread, NULL, have_own_mask, NULL));
    ZERO(pthread_join(thread, NULL));
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGUSR1), 0);
}

TEST(signal_kill_errors)
{
    FAILS(kill(getpid(), 999), EINVAL);
    OK(kill(getpid(), 0));
    FAILS(kill(0x3ffffff, 0), ESRCH);
    FAILS(syscall(SYS_tgkill, getpid(), 0x3ffffff, SIGUSR1), ESRCH);
    FAILS(syscall(SYS_tgkill, -1, gettid(), SIGUSR1), EINVAL);
}

TEST(signal_signalfd)
{
    struct signalfd_siginfo info;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    fd = OK(signalfd(-1, &set, SFD_NONBLOCK));
    FAILS(read(fd, &info, sizeof info), EAGAIN);
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR1);
}

static void *storm(void *target)
{
    for (int i = 0; i < 300; i++) {
        pthread_kill(*(pthread_t *)target, SIGUSR1);
        usleep(100);
    }
    return NULL;
}

TEST(signal_storm_during_system_calls)
{
    pthread_t me = pthread_self(), thread;
    int fd = file_with("f", "0123456789");
    char text[10];
    long rounds = 0;

    handle(SIGUSR1, note, SA_RESTART);
    ZERO(pthread_create(&thread, NULL, storm, &me));
    for (long long end = now_ms() + 200; now_ms() < end; rounds++) {
        CHECK_EQ(pread(fd, text, sizeof text, 0), 10);
        CHECK_EQ(memcmp(text, "0123456789", 10), 0);
        CHECK_EQ(syscall(SYS_getpid), getpid());
    }
    ZERO(pthread_join(thread, NULL));
    CHECK(g_seen > 0 && rounds > 100);
}

static void read_errno(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    g_seen++;
    syscall(SYS_getppid);
}

TEST(signal_handler_makes_system_calls)
{
    long result;

    handle(SIGUSR1, read_errno, 0);
    for (int i = 0; i < 100; i++) {
        result = syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
        CHECK_EQ(result, 0);
    }
    CHECK_EQ(g_seen, 100);
}
