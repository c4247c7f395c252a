/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals against threads: sigstress SECONDS THREADS [SEED]. Threads make system calls of every kind, fault, start
 * other threads and signal each other, while timers of theirs and of the process interrupt them; handlers nest,
 * run on alternate stacks and on ordinary ones, and overwrite the vector registers. Registers, flags, the red zone
 * and the vector state must be what they were. Prints a line of counts; status 0 when nothing was wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define ALT_STACK_SIZE (64 * 1024)
#define NEST_MAX 3
#define SIG_NESTED SIGUSR1        /* SA_ONSTACK, raises again */
#define SIG_PLAIN SIGUSR2         /* on the ordinary stack, SA_NODEFER */
#define SIG_TIMER (SIGRTMIN + 1)  /* each thread's own timer, SA_ONSTACK */
#define SIG_QUEUED (SIGRTMIN + 2) /* counted exactly */
#define SIG_WAITED (SIGRTMIN + 4) /* blocked; for sigtimedwait */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Offsets are known to sigstress_asm.S. */
struct stress_state {
    uint64_t gpr[11];
    uint64_t flags;
    uint64_t red[12];
    uint64_t vector[64];
};
int stress_registers(const struct stress_state *in, struct stress_state *out, long rounds);

struct worker {
    pthread_t thread;
    int index;
    uint64_t random;
    timer_t timer;
    int pipe[2], pair[2], event, epoll;
    _Atomic uint64_t queued_sent, queued_got;
    uint64_t rounds;
    uint64_t alt_stack[ALT_STACK_SIZE / 8];
};

static struct worker g_workers[WORKERS_MAX];
static int g_count;
static atomic_bool g_stop;
static pthread_barrier_t g_barrier;
static _Atomic uint64_t g_handled, g_faults, g_failures;
static _Thread_local volatile int t_depth;
static _Thread_local volatile sig_atomic_t t_fault;
static _Thread_local struct worker *t_worker;
static _Atomic uint32_t g_word;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void failed(const char *what, long got, long want)
{
    atomic_fetch_add(&g_failures, 1);
    char text[200];
    int size = snprintf(text, sizeof text, "FAILED %s: %ld (0x%lx), expected %ld (0x%lx)\n", what,
                        got, got, want, want);

    (void)!write(1, text, (size_t)size);
}

/* All registers and the red zone through a number of system calls. */
static void check_registers(uint64_t seed, long rounds)
{
    struct stress_state in, out;
    uint64_t *word = (uint64_t *)&in;

    for (size_t i = 0; i < sizeof in / 8; i++)
        word[i] = next_random(&seed);
    in.flags = 0;
    memset(&out, 0xee, sizeof out);
    if (stress_registers(&in, &out, rounds) != 0)
        failed("flags", 1, 0);
    for (size_t i = 0; i < sizeof in / 8; i++)
        if (word[i] != ((uint64_t *)&out)[i])
            failed(i < 11   ? "register"
                   : i < 24 ? "red zone"
                            : "vector register",
                   (long)((uint64_t *)&out)[i], (long)word[i]);
}

static void spoil_vectors(void)
{
    __asm__ volatile(
        "vpcmpeqb %%ymm0, %%ymm0, %%ymm0\n\tvmovdqa %%ymm0, %%ymm1\n\tvmovdqa %%ymm0, %%ymm2\n\t"
        "vmovdqa %%ymm0, %%ymm8\n\tvmovdqa %%ymm0, %%ymm15\n\tvzeroupper" ::
            : "xmm0", "xmm1", "xmm2", "xmm8", "xmm15");
}

static void on_nested(int signo, siginfo_t *info, void *context)
{
    int saved_errno = errno;

    (void)context;
    if (info->si_signo != signo)
        failed("si_signo", info->si_signo, signo);
    atomic_fetch_add(&g_handled, 1);
    spoil_vectors();
    if (++t_depth < NEST_MAX)
        raise(SIG_PLAIN);
    if (t_depth == 1)
        check_registers((uint64_t)(uintptr_t)info, 3);
    t_depth--;
    errno = saved_errno;
}

static void on_plain(int signo)
{
    int saved_errno = errno;

    (void)signo;
    atomic_fetch_add(&g_handled, 1);
    spoil_vectors();
    if (++t_depth < NEST_MAX)
        raise(SIG_PLAIN);
    t_depth--;
    errno = saved_errno;
}

static void on_timer(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    int saved_errno = errno;

    (void)signo;
    atomic_fetch_add(&g_handled, 1);
    if (info->si_code != SI_TIMER && info->si_code != SI_KERNEL)
        failed("si_code of the timer", info->si_code, SI_TIMER);
    if (uc->uc_mcontext.gregs[REG_RSP] == 0)
        failed("stack pointer", 0, 1);
    spoil_vectors();
    errno = saved_errno;
}

static void on_queued(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    if (info->si_code != SI_QUEUE)
        failed("si_code of a queued signal", info->si_code, SI_QUEUE);
    atomic_fetch_add(&t_worker->queued_got, 1);
    spoil_vectors();
}

static void on_alarm(int signo)
{
    (void)signo;
    atomic_fetch_add(&g_handled, 1);
    spoil_vectors();
}

/* A read of address 8 (REX mov, 4 bytes), or ud2 (2 bytes): goes on behind it. */
static void on_fault(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    atomic_fetch_add(&g_faults, 1);
    if (signo == SIGSEGV && (info->si_addr != (void *)8 || !t_fault)) {
        failed("a fault at", (long)info->si_addr, 8);
        _exit(3);
    }
    uc->uc_mcontext.gregs[REG_RIP] += signo == SIGSEGV ? 4 : 2;
    t_fault = 0;
}

static void handle(int signo, void *function, int flags)
{
    struct sigaction action = { .sa_sigaction = (void (*)(int, siginfo_t *, void *))function,
                                .sa_flags = flags };

    if (sigaction(signo, &action, NULL) < 0)
        failed("sigaction", errno, 0);
}

/* ---- what threads do ---- */

static void *short_life(void *arg)
{
    check_registers((uint64_t)(uintptr_t)arg + 1, 2);
    return arg;
}

static void do_thread(struct worker *w)
{
    pthread_t thread;
    void *back = NULL;
    int rc = pthread_create(&thread, NULL, short_life, w);

    if (rc == 0)
        pthread_join(thread, &back);
    if (rc == 0 && back != w)
        failed("pthread_join", (long)back, (long)w);
    if (rc != 0 && rc != EAGAIN)
        failed("pthread_create", rc, 0);
}

static void do_fault(struct worker *w)
{
    uint64_t value = 0x1234;

    t_fault = 1;
    if (w->random & 1)
        __asm__ volatile("mov 8(%1), %0" : "+r"(value) : "r"(0ul) : "memory");
    else
        __asm__ volatile("ud2");
    if (value != 0x1234)
        failed("a register over a fault", (long)value, 0x1234);
}

static void do_memory(struct worker *w)
{
    size_t size = 4096 * (1 + w->random % 8);
    uint64_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        failed("mmap", errno, 0);
        return;
    }
    for (size_t i = 0; i < size / 8; i += 512)
        p[i] = i ^ (uintptr_t)p;
    mprotect(p, size, PROT_READ);
    for (size_t i = 0; i < size / 8; i += 512)
        if (p[i] != (i ^ (uintptr_t)p))
            failed("memory", (long)p[i], (long)(i ^ (uintptr_t)p));
    munmap(p, size);
}

static void do_channels(struct worker *w)
{
    uint64_t sent = w->random, got = 0;
    int *out = w->random & 2 ? w->pipe + 1 : w->pair, *in = w->random & 2 ? w->pipe : w->pair + 1;

    while (write(*out, &sent, sizeof sent) < 0)
        if (errno != EINTR)
            return failed("write", errno, 0);
    while (read(*in, &got, sizeof got) < 0)
        if (errno != EINTR)
            return failed("read", errno, 0);
    if (got != sent)
        failed("bytes of a pipe", (long)got, (long)sent);
}

static void do_sleep(struct worker *w)
{
    struct timespec ts = { .tv_nsec = (long)(w->random % 200000) };
    struct epoll_event event;
    sigset_t set;

    switch (w->random / 7 % 6) {
    case 0:
        nanosleep(&ts, NULL);
        break;
    case 1:
        ppoll(&(struct pollfd){ .fd = w->event, .events = POLLIN }, 1, &ts, NULL);
        break;
    case 2:
        epoll_wait(w->epoll, &event, 1, 1);
        break;
    case 3:
        syscall(SYS_futex, &g_word, FUTEX_WAIT_PRIVATE, g_word, &ts);
        break;
    case 4:
        sigemptyset(&set);
        sigaddset(&set, SIG_WAITED);
        pthread_kill(w->thread, SIG_WAITED);
        while (sigtimedwait(&set, NULL, NULL) < 0)
            if (errno != EINTR)
                return failed("sigtimedwait", errno, 0);
        break;
    default:
        poll(NULL, 0, 1);
        break;
    }
}

static void do_signal(struct worker *w)
{
    struct worker *other = &g_workers[w->random / 16 % (unsigned)g_count];
    union sigval value = { .sival_int = w->index };

    switch (w->random / 5 % 4) {
    case 0:
        pthread_kill(other->thread, SIG_NESTED);
        break;
    case 1:
        pthread_kill(other->thread, SIG_PLAIN);
        break;
    case 2:
        if (pthread_sigqueue(other->thread, SIG_QUEUED, value) == 0)
            atomic_fetch_add(&other->queued_sent, 1);
        break;
    default:
        raise(SIG_NESTED);
        break;
    }
}

static void do_small(struct worker *w)
{
    sigset_t set, old;

    sigemptyset(&set);
    sigaddset(&set, SIG_NESTED);
    sigaddset(&set, SIG_TIMER);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    check_registers(w->random, 4);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    sched_yield();
    atomic_fetch_add(&g_word, 1);
    syscall(SYS_futex, &g_word, FUTEX_WAKE_PRIVATE, 1);
}

/* Code that has never run, and is run by all threads at the same time: each system call in it traps once. */
#define STUB_SIZE 16
#define STUBS 256
static uint8_t *g_code;
static _Atomic unsigned g_next_stub;

static void code_make(void)
{
    /* mov $39,%eax; syscall; ret: what follows the call decides how it can be rewritten. */
    static const uint8_t stub[] = { 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3 };

    g_code =
        mmap(NULL, STUB_SIZE * STUBS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g_code == MAP_FAILED)
        _exit(77);
    memset(g_code, 0xcc, STUB_SIZE * STUBS);
    for (unsigned i = 0; i < STUBS; i++)
        memcpy(g_code + i * STUB_SIZE + i / 16 % 8, stub, sizeof stub);
    mprotect(g_code, STUB_SIZE * STUBS, PROT_READ | PROT_EXEC);
}

static void do_fresh_code(struct worker *w)
{
    unsigned first = atomic_load(&g_next_stub);

    (void)w;
    for (unsigned i = first; i < first + 4; i++) {
        unsigned k = i % STUBS;
        int (*stub)(void);
        uint8_t *at = g_code + k * STUB_SIZE + k / 16 % 8;

        memcpy(&stub, &at, sizeof stub);
        if (stub() != getpid())
            failed("fresh code", 0, 1);
    }
    atomic_compare_exchange_strong(&g_next_stub, &first, first + 4);
}

static void arm(struct worker *w)
{
    struct itimerspec when = { .it_interval.tv_nsec = 150000 + w->index * 7000,
                               .it_value.tv_nsec = 100000 };
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIG_TIMER };

    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &w->timer) < 0 ||
        timer_settime(w->timer, 0, &when, NULL) < 0)
        failed("timer", errno, 0);
}

static void step(struct worker *w)
{
    static void (*const doings[])(
        struct worker *) = { do_thread, do_fault,  do_memory, do_channels, do_channels,
                             do_sleep,  do_signal, do_signal, do_small,    do_fresh_code };

    next_random(&w->random);
    check_registers(w->random, 1 + (long)(w->random % 40));
    doings[w->random / 1024 % (sizeof doings / sizeof *doings)](w);
    w->rounds++;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    stack_t stack = { .ss_sp = w->alt_stack, .ss_size = sizeof w->alt_stack };
    sigset_t set;

    t_worker = w;
    w->thread = pthread_self();
    sigaltstack(&stack, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIG_WAITED);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_barrier_wait(&g_barrier);
    arm(w);
    while (!g_stop)
        step(w);
    timer_delete(w->timer);
    pthread_barrier_wait(&g_barrier);
    /* What the others sent last is on its way. */
    for (int i = 0; i < 500 && w->queued_got != w->queued_sent; i++)
        poll(NULL, 0, 10);
    return NULL;
}

static void worker_init(struct worker *w, int index, uint64_t seed)
{
    w->index = index;
    w->random = seed * 0x9e3779b97f4a7c15ull + (uint64_t)index + 1;
    w->event = eventfd(0, EFD_NONBLOCK);
    w->epoll = epoll_create1(0);
    if (pipe(w->pipe) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, w->pair) < 0 || w->event < 0 ||
        w->epoll < 0)
        failed("descriptors", errno, 0);
    epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->event, &(struct epoll_event){ .events = EPOLLIN });
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? (int)strtol(argv[1], NULL, 0) : 2;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1, rounds = 0;
    struct itimerval every = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
    struct timespec ts = { seconds, 0 };

    g_count = argc > 2 ? (int)strtol(argv[2], NULL, 0) : 4;
    if (g_count < 1 || g_count > WORKERS_MAX || !__builtin_cpu_supports("avx2"))
        return 77;
    handle(SIG_NESTED, on_nested, SA_SIGINFO | SA_ONSTACK | SA_RESTART);
    handle(SIG_PLAIN, on_plain, SA_NODEFER);
    handle(SIG_TIMER, on_timer, SA_SIGINFO | SA_ONSTACK);
    handle(SIG_QUEUED, on_queued, SA_SIGINFO | SA_RESTART);
    handle(SIGALRM, on_alarm, SA_RESTART);
    handle(SIGSEGV, on_fault, SA_SIGINFO | SA_ONSTACK | SA_NODEFER);
    handle(SIGILL, on_fault, SA_SIGINFO | SA_NODEFER);
    code_make();
    for (int i = 0; i < g_count; i++)
        worker_init(&g_workers[i], i, seed);
    pthread_barrier_init(&g_barrier, NULL, (unsigned)g_count);
    for (int i = 0; i < g_count; i++)
        if (pthread_create(&g_workers[i].thread, NULL, work, &g_workers[i]) != 0)
            return 77;
    setitimer(ITIMER_REAL, &every, NULL);
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
    setitimer(ITIMER_REAL, &never, NULL);
    g_stop = true;
    for (int i = 0; i < g_count; i++) {
        pthread_join(g_workers[i].thread, NULL);
        rounds += g_workers[i].rounds;
    }
    for (int i = 0; i < g_count; i++)
        if (g_workers[i].queued_got != g_workers[i].queued_sent)
            failed("queued signals", (long)g_workers[i].queued_got, (long)g_workers[i].queued_sent);
    printf("rounds %lu, signals %lu, faults %lu, failures %lu\n", rounds, g_handled, g_faults,
           g_failures);
    return g_failures ? 1 : 0;
}
