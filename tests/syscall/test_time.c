/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, sleeping, timers. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static long long ns_of(clockid_t clock)
{
    struct timespec t = { 0 };

    OK(clock_gettime(clock, &t));
    CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

TEST(time_clocks_agree)
{
    static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                                        CLOCK_MONOTONIC_COARSE };
    struct timeval tv;

    for (unsigned i = 0; i < sizeof clocks / sizeof clocks[0]; i++)
        CHECK(ns_of(clocks[i]) > 0);
    OK(gettimeofday(&tv, NULL));
    CHECK(llabs(tv.tv_sec - ns_of(CLOCK_REALTIME) / 1000000000) <= 2);
    CHECK(llabs(time(NULL) - tv.tv_sec) <= 2);
    CHECK(llabs(ns_of(CLOCK_REALTIME_COARSE) / 1000000000 - tv.tv_sec) <= 2);
    CHECK(tv.tv_sec > 1600000000);
}

/* Anyone may read how well the clock is kept. */
TEST(time_adjtimex_reads)
{
    struct timex t = { 0 }, again = { .modes = ADJ_OFFSET_SS_READ };
    int state = adjtimex(&t);

    CHECK(state >= TIME_OK && state <= TIME_ERROR);
    CHECK_EQ(state == TIME_ERROR, (t.status & STA_UNSYNC) != 0);
    CHECK(llabs(t.time.tv_sec - time(NULL)) <= 2);
    CHECK(t.maxerror >= 0 && t.esterror >= 0 && t.tolerance == 500 << 16);
    CHECK_EQ(clock_adjtime(CLOCK_REALTIME, &again), state);
    CHECK(llabs(again.time.tv_sec - time(NULL)) <= 2);
    FAILS(clock_adjtime(CLOCK_MONOTONIC, &t), EOPNOTSUPP);
    FAILS(clock_adjtime(77, &t), EINVAL);
    FAILS(syscall(SYS_adjtimex, 8), EFAULT);
}

TEST(time_monotonic_never_runs_backwards)
{
    long long last = ns_of(CLOCK_MONOTONIC);

    for (int i = 0; i < 200000; i++) {
        long long now = ns_of(CLOCK_MONOTONIC);

        CHECK(now >= last);
        last = now;
    }
}

TEST(time_raw_system_call_agrees_with_vdso)
{
    struct timespec t;
    long long before = ns_of(CLOCK_MONOTONIC), between;

    OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
    between = t.tv_sec * 1000000000LL + t.tv_nsec;
    /* Two paths to one clock may differ by the drift between updates, not more. */
    CHECK(between >= before - 10000000);
    CHECK(ns_of(CLOCK_MONOTONIC) >= between - 10000000);
}

TEST(time_clock_errors)
{
    struct timespec t;

    FAILS(clock_gettime(999, &t), EINVAL);
    FAILS(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)16), EFAULT);
    OK(clock_getres(CLOCK_MONOTONIC, &t));
    CHECK(t.tv_sec == 0 && t.tv_nsec >= 1);
}

static long long g_cpu_burned;

TEST(time_cpu_clocks)
{
    long long process = ns_of(CLOCK_PROCESS_CPUTIME_ID), thread = ns_of(CLOCK_THREAD_CPUTIME_ID);
    struct rusage usage;
    struct tms ticks;

    for (volatile long i = 0; i < 30000000; i++)
        g_cpu_burned += i;
    CHECK(ns_of(CLOCK_PROCESS_CPUTIME_ID) > process);
    CHECK(ns_of(CLOCK_THREAD_CPUTIME_ID) > thread);
    OK(getrusage(RUSAGE_SELF, &usage));
    CHECK(usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec > 0);
    CHECK(times(&ticks) != (clock_t)-1);
    FAILS(getrusage(99, &usage), EINVAL);
}

TEST(time_nanosleep)
{
    struct timespec wait = { 0, 50000000 }, bad = { 0, 1000000000 };
    long long before = ns_of(CLOCK_MONOTONIC), slept;

    OK(nanosleep(&wait, NULL));
    slept = ns_of(CLOCK_MONOTONIC) - before;
    CHECK(slept >= 50000000 && slept < 2000000000);
    FAILS(nanosleep(&bad, NULL), EINVAL);
    bad = (struct timespec){ -1, 0 };
    FAILS(nanosleep(&bad, NULL), EINVAL);
}

TEST(time_sleep_until)
{
    struct timespec until;

    OK(clock_gettime(CLOCK_MONOTONIC, &until));
    until.tv_nsec += 50000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    ZERO(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    CHECK(ns_of(CLOCK_MONOTONIC) >= until.tv_sec * 1000000000LL + until.tv_nsec);
    ZERO(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)); /* past: at once */
    CHECK_EQ(clock_nanosleep(999, 0, &until, NULL), EINVAL);
}

TEST(time_timerfd)
{
    struct itimerspec spec = { { 0, 10000000 }, { 0, 20000000 } }, left;
    unsigned long long expired;
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));

    FAILS(read(fd, &expired, sizeof expired), EAGAIN);
    OK(timerfd_settime(fd, 0, &spec, NULL));
    OK(timerfd_gettime(fd, &left));
    CHECK(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 20000000);
    CHECK_EQ(left.it_interval.tv_nsec, 10000000);
    usleep(60000);
    CHECK_EQ(read(fd, &expired, sizeof expired), 8);
    CHECK(expired >= 3);
    FAILS(read(fd, &expired, 4), EINVAL);
    memset(&spec, 0, sizeof spec);
    OK(timerfd_settime(fd, 0, &spec, NULL));
    FAILS(timerfd_create(999, 0), EINVAL);
}

static volatile sig_atomic_t g_fired;

static void on_timer(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    g_fired += info->si_value.sival_int;
}

TEST(time_posix_timer)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct sigaction act = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };
    struct itimerspec spec = { { 0, 0 }, { 0, 20000000 } };
    timer_t timer;

    event.sigev_value.sival_int = 3;
    g_fired = 0;
    OK(sigaction(SIGUSR1, &act, NULL));
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    OK(timer_settime(timer, 0, &spec, NULL));
    for (int i = 0; i < 200 && g_fired == 0; i++)
        usleep(10000);
    CHECK_EQ(g_fired, 3);
    CHECK_EQ(timer_getoverrun(timer), 0);
    OK(timer_delete(timer));
    FAILS(timer_delete(timer), EINVAL);
}
