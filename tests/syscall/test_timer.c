/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX and interval timers, what their signals say; calls that signals interrupt; queues and their limits. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static atomic_int g_seen;
static siginfo_t g_info;
static _Atomic pid_t g_tid;

static void note(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    g_info = *info;
    g_tid = (pid_t)syscall(SYS_gettid);
    g_seen++;
}

static void handle(int sig, int flags)
{
    struct sigaction act = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | flags };

    g_seen = 0;
    OK(sigaction(sig, &act, NULL));
}

static sigset_t blocked(int sig)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, sig);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    return set;
}

static void burn_until(int count, int limit_ms)
{
    long long end = now_ms() + limit_ms;

    while (g_seen < count && now_ms() < end)
        for (volatile int i = 0; i < 100000; i++)
            ;
}

/* ---- POSIX timers ---- */

TEST(timer_overrun_is_of_the_signal_that_is_taken)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
    struct itimerspec spec = { { 0, 1000000 }, { 0, 1000000 } }, off = { { 0, 0 }, { 0, 0 } };
    sigset_t set = blocked(SIGRTMIN + 3);
    siginfo_t info;
    timer_t timer;

    event.sigev_value.sival_int = 77;
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    OK(timer_settime(timer, 0, &spec, NULL));
    usleep(60000);
    CHECK_EQ(OK(sigwaitinfo(&set, &info)), SIGRTMIN + 3);
    CHECK_EQ(info.si_code, SI_TIMER);
    CHECK_EQ(info.si_value.sival_int, 77);
    CHECK(info.si_overrun >= 20);
    CHECK_EQ(timer_getoverrun(timer), info.si_overrun);
    OK(timer_settime(timer, 0, &off, NULL));
    OK(timer_delete(timer));
}

TEST(timer_set_again_takes_its_signal_back)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
    struct itimerspec spec = { { 0, 0 }, { 0, 1000000 } }, off = { { 0, 0 }, { 0, 0 } };
    sigset_t set = blocked(SIGRTMIN + 3), pending;
    siginfo_t info;
    timer_t timer;
    struct utsname u;
    char *rest;
    long major;

    OK(uname(&u));
    major = strtol(u.release, &rest, 10);
    CHECK(*rest == '.');
    if (!strstr(u.release, "cloche") &&
        (major < 6 || (major == 6 && strtol(rest + 1, NULL, 10) < 13)))
        return; /* such a Linux still delivers it */
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    for (int deleted = 0; deleted < 2; deleted++) {
        OK(timer_settime(timer, 0, &spec, NULL));
        usleep(20000);
        OK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = 5 }));
        if (deleted)
            OK(timer_delete(timer));
        else
            OK(timer_settime(timer, 0, &off, NULL));
        /* The other signal of the number stays. */
        CHECK_EQ(OK(sigtimedwait(&set, &info, &(struct timespec){ 1, 0 })), SIGRTMIN + 3);
        CHECK_EQ(info.si_code, SI_QUEUE);
        FAILS(sigtimedwait(&set, &info, &(struct timespec){ 0, 1000000 }), EAGAIN);
        OK(sigpending(&pending));
        CHECK(!sigismember(&pending, SIGRTMIN + 3));
    }
}

TEST(timer_other_signals_of_its_number_do_not_hold_it_back)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
    struct itimerspec spec = { { 0, 0 }, { 0, 1000000 } };
    sigset_t set = blocked(SIGRTMIN + 3);
    siginfo_t info;
    timer_t timer;

    OK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = 5 }));
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    OK(timer_settime(timer, 0, &spec, NULL));
    usleep(30000);
    OK(sigwaitinfo(&set, &info));
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_value.sival_int, 5);
    OK(sigtimedwait(&set, &info, &(struct timespec){ 1, 0 }));
    CHECK_EQ(info.si_code, SI_TIMER);
    OK(timer_delete(timer));
}

static void *idle_thread(void *arg)
{
    atomic_int *state = arg;

    g_tid = 0;
    *state = (int)syscall(SYS_gettid);
    while (*state != -1)
        usleep(1000);
    return NULL;
}

TEST(timer_signals_the_thread_that_it_names)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
    struct itimerspec spec = { { 0, 0 }, { 0, 5000000 } };
    atomic_int state = 0;
    pthread_t thread;
    timer_t timer;

    handle(SIGUSR1, SA_RESTART);
    ZERO(pthread_create(&thread, NULL, idle_thread, &state));
    while (state == 0)
        usleep(1000);
    event.sigev_notify_thread_id = state;
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    OK(timer_settime(timer, 0, &spec, NULL));
    for (int i = 0; i < 500 && g_seen == 0; i++)
        usleep(2000);
    CHECK_EQ(g_seen, 1);
    CHECK_EQ(g_tid, state);
    state = -1;
    ZERO(pthread_join(thread, NULL));
    OK(timer_delete(timer));
}

TEST(timer_kinds_and_errors)
{
    static const clockid_t clocks[] = { CLOCK_REALTIME,          CLOCK_MONOTONIC,
                                        CLOCK_BOOTTIME,          CLOCK_PROCESS_CPUTIME_ID,
                                        CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI };
    struct sigevent event = { .sigev_notify = SIGEV_NONE };
    struct itimerspec spec = { { 0, 0 }, { 100, 0 } }, now;
    timer_t timer;

    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        OK(timer_create(clocks[i], &event, &timer));
        OK(timer_settime(timer, 0, &spec, NULL));
        OK(timer_gettime(timer, &now));
        CHECK(now.it_value.tv_sec >= 90 && now.it_value.tv_sec <= 100);
        OK(timer_delete(timer));
    }
    FAILS(timer_create(99, &event, &timer), EINVAL);
    event = (struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99 };
    FAILS(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
    event = (struct sigevent){ .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
    event.sigev_notify_thread_id = 1 << 30;
    FAILS(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
    event = (struct sigevent){ .sigev_notify = SIGEV_NONE };
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    spec.it_value.tv_nsec = 1000000000;
    FAILS(timer_settime(timer, 0, &spec, NULL), EINVAL);
    OK(timer_delete(timer));
    FAILS(timer_gettime(timer, &now), EINVAL);
    FAILS(timer_getoverrun(timer), EINVAL);
}

TEST(timer_absolute_in_the_past_fires_at_once)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec spec = { { 0, 0 }, { 1, 0 } };
    timer_t timer;

    handle(SIGUSR1, 0);
    OK(timer_create(CLOCK_REALTIME, &event, &timer));
    OK(timer_settime(timer, TIMER_ABSTIME, &spec, NULL));
    for (int i = 0; i < 500 && g_seen == 0; i++)
        usleep(1000);
    CHECK_EQ(g_seen, 1);
    OK(timer_delete(timer));
}

static void *burning_thread(void *arg)
{
    atomic_int *stop = arg;

    while (!*stop)
        for (volatile int i = 0; i < 10000; i++)
            ;
    return NULL;
}

TEST(timer_of_a_threads_cpu_time)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec spec = { { 0, 0 }, { 0, 30000000 } };
    atomic_int stop = 0;
    pthread_t thread;
    timer_t timer;

    handle(SIGUSR1, SA_RESTART);
    OK(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer));
    OK(timer_settime(timer, 0, &spec, NULL));
    /* Another thread's time does not count. */
    ZERO(pthread_create(&thread, NULL, burning_thread, &stop));
    usleep(150000);
    CHECK_EQ(g_seen, 0);
    stop = 1;
    ZERO(pthread_join(thread, NULL));
    burn_until(1, 5000);
    CHECK_EQ(g_seen, 1);
    OK(timer_delete(timer));
}

TEST(timer_interval_timers_of_cpu_time)
{
    struct itimerval spec = { { 0, 10000 }, { 0, 10000 } }, off = { { 0, 0 }, { 0, 0 } }, old;
    static const int kinds[][2] = { { ITIMER_VIRTUAL, SIGVTALRM }, { ITIMER_PROF, SIGPROF } };

    for (int i = 0; i < 2; i++) {
        handle(kinds[i][1], SA_RESTART);
        OK(setitimer(kinds[i][0], &spec, NULL));
        burn_until(2, 5000);
        CHECK(g_seen >= 2);
        CHECK_EQ(g_info.si_code, SI_KERNEL);
        OK(setitimer(kinds[i][0], &off, &old));
        CHECK_EQ(old.it_interval.tv_usec, 10000);
    }
    FAILS(setitimer(77, &off, NULL), EINVAL);
    off.it_value.tv_usec = 1000000;
    FAILS(setitimer(ITIMER_REAL, &off, NULL), EINVAL);
}

TEST(timer_alarm_tells_what_was_left)
{
    CHECK_EQ(alarm(100), 0);
    CHECK_EQ(alarm(50), 100);
    CHECK_EQ(alarm(0), 50);
    CHECK_EQ(alarm(0), 0);
}

/* ---- queues ---- */

TEST(queue_order_and_values)
{
    siginfo_t info;
    sigset_t set = blocked(SIGRTMIN + 1), other = blocked(SIGRTMIN + 2);

    sigaddset(&set, SIGRTMIN + 2);
    (void)other;
    for (int i = 0; i < 3; i++) {
        OK(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = 20 + i }));
        OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 10 + i }));
    }
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(OK(sigwaitinfo(&set, &info)), SIGRTMIN + 1 + i / 3);
        CHECK_EQ(info.si_value.sival_int, 10 + i / 3 * 10 + i % 3);
        CHECK_EQ(info.si_pid, getpid());
        CHECK_EQ(info.si_uid, getuid());
    }
    FAILS(sigtimedwait(&set, &info, &(struct timespec){ 0, 0 }), EAGAIN);
    FAILS(sigtimedwait(&set, &info, &(struct timespec){ 0, 10000000 }), EAGAIN);
    FAILS(sigtimedwait(&set, &info, &(struct timespec){ 0, 1000000000 }), EINVAL);
}

TEST(queue_limit)
{
    struct rlimit old, limit;
    sigset_t set = blocked(SIGRTMIN + 1);
    int sent = 0;

    OK(getrlimit(RLIMIT_SIGPENDING, &old));
    limit = (struct rlimit){ 10, old.rlim_max };
    OK(setrlimit(RLIMIT_SIGPENDING, &limit));
    while (sent < 100 && sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ 0 }) == 0)
        sent++;
    CHECK(sent <= 10);
    FAILS(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ 0 }), EAGAIN);
    OK(kill(getpid(), SIGRTMIN + 1)); /* kill never fails for that */
    while (sigtimedwait(&set, NULL, &(struct timespec){ 0, 0 }) > 0)
        ;
    OK(setrlimit(RLIMIT_SIGPENDING, &old));
}

TEST(queue_info_may_not_be_made_up_for_others)
{
    siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_USER };

    handle(SIGUSR1, 0);
    OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info)); /* for oneself */
    CHECK_EQ(g_seen, 1);
    FAILS(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM);
    info.si_code = SI_TKILL;
    FAILS(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM);
    FAILS(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, NULL), EFAULT);
}

TEST(queue_unknown_flags_of_sigaction_are_dropped)
{
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        unsigned long mask;
    } act = { SIG_IGN, 0x400 | 0x10000 | SA_RESTART, NULL, 0 }, old;

    OK(syscall(SYS_rt_sigaction, SIGUSR2, &act, NULL, 8));
    OK(syscall(SYS_rt_sigaction, SIGUSR2, NULL, &old, 8));
    CHECK_EQ(old.flags, SA_RESTART);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR2, NULL, &old, 4), EINVAL);
}

static void *pending_thread(void *arg)
{
    atomic_int *state = arg;
    sigset_t set = blocked(SIGUSR2), now;

    (void)set;
    *state = 1;
    while (*state != 2)
        usleep(1000);
    OK(sigpending(&now));
    return (void *)(intptr_t)sigismember(&now, SIGUSR2);
}

TEST(queue_ignoring_drops_what_pends_for_any_thread)
{
    atomic_int state = 0;
    pthread_t thread;
    void *pends;

    handle(SIGUSR2, 0);
    for (int ignores = 0; ignores < 2; ignores++) {
        state = 0;
        ZERO(pthread_create(&thread, NULL, pending_thread, &state));
        while (state == 0)
            usleep(1000);
        ZERO(pthread_kill(thread, SIGUSR2));
        if (ignores)
            signal(SIGUSR2, SIG_IGN);
        state = 2;
        ZERO(pthread_join(thread, &pends));
        CHECK_EQ((intptr_t)pends, !ignores);
    }
    CHECK_EQ(g_seen, 0);
}

/* ---- which calls are made again ---- */

struct waking {
    pthread_t target;
    int fd;
};

static void *send_then_write(void *arg)
{
    struct waking *w = arg;

    usleep(50000);
    pthread_kill(w->target, SIGUSR1);
    usleep(50000);
    return (void *)(intptr_t)write(w->fd, "x", 1);
}

static int g_pipe[2], g_pair[2];

static long do_read(void)
{
    char byte;

    return read(g_pipe[0], &byte, 1);
}

static long do_recv(void)
{
    char byte;

    return recv(g_pipe[0], &byte, 1, 0);
}

static long do_poll(void)
{
    return poll(&(struct pollfd){ .fd = g_pipe[0], .events = POLLIN }, 1, 5000);
}

static long do_select(void)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(g_pipe[0], &set);
    return select(g_pipe[0] + 1, &set, NULL, NULL, NULL);
}

static long do_epoll(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    int fd = epoll_create1(0);
    long rc;

    epoll_ctl(fd, EPOLL_CTL_ADD, g_pipe[0], &event);
    rc = epoll_wait(fd, &event, 1, 5000);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

static long do_sleep(void)
{
    return nanosleep(&(struct timespec){ 2, 0 }, NULL);
}

static long do_sigwait(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &(struct timespec){ 2, 0 });
}

static long do_futex(void)
{
    static uint32_t word;
    struct timespec ts = { 2, 0 };

    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &ts);
}

/* Runs a call that a signal reaches; its result, or -errno. A byte follows that ends those that go on. */
static long interrupted(long (*call)(void), int flags)
{
    struct waking w = { .target = pthread_self() };
    pthread_t thread;
    long rc;
    char byte;

    if (call == do_recv) {
        OK(socketpair(AF_UNIX, SOCK_STREAM, 0, g_pair));
        g_pipe[0] = g_pair[0];
        g_pipe[1] = g_pair[1];
    } else {
        OK(pipe(g_pipe));
    }
    w.fd = g_pipe[1];
    handle(SIGUSR1, flags);
    ZERO(pthread_create(&thread, NULL, send_then_write, &w));
    rc = call();
    if (rc < 0)
        rc = -errno;
    ZERO(pthread_join(thread, NULL));
    CHECK_EQ(g_seen, 1);
    if (rc < 0 || call == do_poll || call == do_select || call == do_epoll)
        OK(read(g_pipe[0], &byte, 1));
    OK(close(g_pipe[0]));
    OK(close(g_pipe[1]));
    return rc;
}

TEST(restart_of_reads)
{
    CHECK_EQ(interrupted(do_read, SA_RESTART), 1);
    CHECK_EQ(interrupted(do_read, 0), -EINTR);
    CHECK_EQ(interrupted(do_recv, SA_RESTART), 1);
    CHECK_EQ(interrupted(do_recv, 0), -EINTR);
}

TEST(restart_never_of_polls)
{
    CHECK_EQ(interrupted(do_poll, SA_RESTART), -EINTR);
    CHECK_EQ(interrupted(do_select, SA_RESTART), -EINTR);
    CHECK_EQ(interrupted(do_epoll, SA_RESTART), -EINTR);
}

TEST(restart_never_of_sleeps)
{
    CHECK_EQ(interrupted(do_sleep, SA_RESTART), -EINTR);
    CHECK_EQ(interrupted(do_sigwait, SA_RESTART), -EINTR);
    CHECK_EQ(interrupted(do_futex, SA_RESTART), -EINTR);
}

TEST(restart_sleep_goes_on_after_an_ignored_signal)
{
    struct itimerval spec = { { 0, 5000 }, { 0, 5000 } }, off = { { 0, 0 }, { 0, 0 } };
    long long before = now_ms();

    signal(SIGALRM, SIG_IGN);
    OK(setitimer(ITIMER_REAL, &spec, NULL));
    OK(nanosleep(&(struct timespec){ 0, 100000000 }, NULL));
    CHECK_EQ(poll(NULL, 0, 50), 0);
    CHECK(now_ms() - before >= 149);
    OK(setitimer(ITIMER_REAL, &off, NULL));
}

TEST(suspend_with_ppoll_is_atomic)
{
    struct timespec limit = { 5, 0 };
    sigset_t none;
    sigset_t set = blocked(SIGUSR1);

    (void)set;
    handle(SIGUSR1, 0);
    sigemptyset(&none);
    for (int i = 1; i <= 3; i++) {
        OK(raise(SIGUSR1));
        CHECK_EQ(g_seen, i - 1);
        if (i == 1)
            FAILS(ppoll(NULL, 0, &limit, &none), EINTR);
        else if (i == 2)
            FAILS(pselect(0, NULL, NULL, NULL, &limit, &none), EINTR);
        else
            FAILS(sigsuspend(&none), EINTR);
        CHECK_EQ(g_seen, i);
    }
    /* Blocked again afterwards. */
    OK(raise(SIGUSR1));
    CHECK_EQ(g_seen, 3);
}

/* ---- several futexes ---- */

struct waitv {
    uint64_t value, address;
    uint32_t flags, reserved;
};
#define WAITV_32 2u
#define WAITV(word, wanted)                                                                        \
    {                                                                                              \
        wanted, (uintptr_t)(word), WAITV_32 | FUTEX_PRIVATE_FLAG, 0                                \
    }

static long futex_waitv(struct waitv *v, unsigned count, struct timespec *until)
{
    return syscall(449, v, count, 0, until, CLOCK_MONOTONIC);
}

static void *wake_second(void *arg)
{
    uint32_t *words = arg;

    usleep(30000);
    words[1] = 1;
    return (void *)syscall(SYS_futex, &words[1], FUTEX_WAKE_PRIVATE, 1);
}

TEST(futex_waitv_any_of_them)
{
    uint32_t words[3] = { 0 };
    struct waitv v[3] = { WAITV(&words[0], 0), WAITV(&words[1], 0), WAITV(&words[2], 0) };
    struct timespec until;
    pthread_t thread;
    void *woken;

    if (futex_waitv(v, 0, NULL) == -1 && errno == ENOSYS)
        case_skip("this kernel has no futex_waitv");
    FAILS(futex_waitv(v, 0, NULL), EINVAL);
    FAILS(futex_waitv(v, 129, NULL), EINVAL);
    ZERO(pthread_create(&thread, NULL, wake_second, words));
    CHECK_EQ(OK(futex_waitv(v, 3, NULL)), 1);
    ZERO(pthread_join(thread, &woken));
    CHECK_EQ((intptr_t)woken, 1);
    FAILS(futex_waitv(v, 3, NULL), EAGAIN); /* the second's value is another now */
    v[1].value = 1;
    OK(clock_gettime(CLOCK_MONOTONIC, &until));
    FAILS(futex_waitv(v, 3, &until), ETIMEDOUT);
    v[2].flags = 0;
    FAILS(futex_waitv(v, 3, NULL), EINVAL);
    v[2] = (struct waitv){ 0, 8, WAITV_32, 0 };
    FAILS(futex_waitv(v, 3, NULL), EFAULT);
    CHECK_EQ(syscall(SYS_futex, &words[0], FUTEX_WAKE_PRIVATE, 10), 0); /* nobody was left behind */
}

/* ---- alternate stacks ---- */

static stack_t g_stack_inside;

static void look_at_stack(int sig)
{
    (void)sig;
    sigaltstack(NULL, &g_stack_inside);
}

TEST(altstack_autodisarm)
{
    static char bytes[64 * 1024];
    stack_t stack = { .ss_sp = bytes, .ss_size = sizeof bytes, .ss_flags = (int)SS_AUTODISARM },
            off = { .ss_flags = SS_DISABLE }, now;
    struct sigaction act = { .sa_handler = look_at_stack, .sa_flags = SA_ONSTACK };

    OK(sigaltstack(&stack, NULL));
    OK(sigaction(SIGUSR1, &act, NULL));
    OK(raise(SIGUSR1));
    CHECK_EQ(g_stack_inside.ss_flags, SS_DISABLE);
    OK(sigaltstack(NULL, &now));
    CHECK(now.ss_sp == bytes);
    CHECK_EQ(now.ss_flags, (int)SS_AUTODISARM);
    OK(sigaltstack(&off, NULL));
    stack.ss_size = 100;
    FAILS(sigaltstack(&stack, NULL), ENOMEM);
    stack.ss_flags = 77;
    FAILS(sigaltstack(&stack, NULL), EINVAL);
}
