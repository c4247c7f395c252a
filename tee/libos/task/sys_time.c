/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of clocks and sleeping. Trusted. */
#include <asm/errno.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/timex.h>

#include "tee/enclave/clock.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clock_set.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/task.h"

/* What Linux says of a clock that nobody keeps, and of any: 16 s, 500 ppm (2^-16 ppm units), HZ 100. */
#define UNKNOWN_ERROR_US 16000000
#define DRIFT_PER_NS 2000
#define TOLERANCE_SCALED (500 << 16)
#define TICK_US 10000

#define COARSE_RESOLUTION_NS 4000000u /* CONFIG_HZ 250 */

SYSCALL_DEFINE(clock_gettime)
{
    struct __kernel_timespec ts;
    uint64_t ns;
    int rc = clock_read((int32_t)a, &ns);

    if (rc < 0)
        return rc;
    ts = timespec_from_ns(ns);
    return USER_PUT(b, &ts) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(clock_getres)
{
    struct __kernel_timespec ts = { .tv_nsec = 1 };
    uint64_t ns;
    int rc = clock_read((int32_t)a, &ns);

    if (rc < 0)
        return rc;
    if ((int32_t)a == CLOCK_REALTIME_COARSE || (int32_t)a == CLOCK_MONOTONIC_COARSE)
        ts.tv_nsec = COARSE_RESOLUTION_NS;
    return b && USER_PUT(b, &ts) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(clock_settime)
{
    return -EPERM; /* the clock belongs to the enclave's owner, not to a program in it */
}

SYSCALL_DEFINE(settimeofday)
{
    return -EPERM;
}

/* How well the wall clock is known: not at all, or since the agent's last bound, with what clocks may drift since (as Linux reckons). returns: TIME_*. */
static int timex_fill(struct __kernel_timex *ret)
{
    struct clock_bound bound;
    bool is_bound = clock_realtime_bound(&bound);
    uint64_t now_ns = clock_realtime_ns(), error_ns = 0;

    if (is_bound)
        error_ns = bound.latest_ns - bound.earliest_ns +
                   (clock_monotonic_ns() - bound.monotonic_ns) / DRIFT_PER_NS;
    *ret = (struct __kernel_timex){
        .maxerror = is_bound ? (int64_t)(error_ns / NS_PER_US) : UNKNOWN_ERROR_US,
        .esterror = is_bound ? (int64_t)(error_ns / NS_PER_US / 2) : UNKNOWN_ERROR_US,
        .status = STA_NANO | (is_bound ? 0 : STA_UNSYNC),
        .precision = 1,
        .tolerance = TOLERANCE_SCALED,
        .tick = TICK_US,
        .time = { .tv_sec = (int64_t)(now_ns / NS_PER_S), .tv_usec = (int64_t)(now_ns % NS_PER_S) },
    };
    return is_bound ? TIME_OK : TIME_ERROR;
}

/* Programs read the clock's state; only the agent sets it, and by another way. */
static int64_t timex_read(uintptr_t addr)
{
    struct __kernel_timex t;
    int state;

    if (USER_GET(&t, addr) < 0)
        return -EFAULT;
    if (t.modes != 0 && t.modes != ADJ_OFFSET_SS_READ)
        return -EPERM;
    state = timex_fill(&t);
    return USER_PUT(addr, &t) < 0 ? -EFAULT : state;
}

SYSCALL_DEFINE(adjtimex)
{
    return timex_read(a);
}

SYSCALL_DEFINE(clock_adjtime)
{
    uint64_t ns;

    if ((int32_t)a == CLOCK_REALTIME)
        return timex_read(b);
    return clock_read((int32_t)a, &ns) < 0 ? -EINVAL : -EOPNOTSUPP;
}

SYSCALL_DEFINE(gettimeofday)
{
    uint64_t ns = clock_realtime_ns();
    struct __kernel_old_timeval tv = { .tv_sec = (int64_t)(ns / NS_PER_S),
                                       .tv_usec = (int64_t)(ns % NS_PER_S / NS_PER_US) };
    struct timezone zone = { 0 };

    if (a && USER_PUT(a, &tv) < 0)
        return -EFAULT;
    return b && USER_PUT(b, &zone) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(time)
{
    int64_t seconds = (int64_t)(clock_realtime_ns() / NS_PER_S);

    return a && USER_PUT(a, &seconds) < 0 ? -EFAULT : seconds;
}

/* ---- sleeping ---- */

static int read_timespec(uintptr_t addr, uint64_t *ret_ns)
{
    struct __kernel_timespec ts;

    if (USER_GET(&ts, addr) < 0)
        return -EFAULT;
    if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= NS_PER_S)
        return -EINVAL;
    *ret_ns = timespec_to_ns(&ts);
    return 0;
}

/* returns: 0 the time has come; -ERESTARTSYS. */
static int sleep_until(uint64_t deadline_ns)
{
    int rc = 0;

    while (rc == 0)
        rc = wait_sleep(NULL, 0, deadline_ns, true);
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int64_t sleep_relative(uint64_t deadline_ns, uintptr_t left_addr);

static int64_t restart_sleep(struct thread *t)
{
    return sleep_relative(t->restart_args[0], t->restart_args[1]);
}

static int64_t sleep_relative(uint64_t deadline_ns, uintptr_t left_addr)
{
    struct thread *t = current();
    uint64_t now_ns;

    if (sleep_until(deadline_ns) == 0)
        return 0;
    now_ns = clock_monotonic_ns();
    if (now_ns >= deadline_ns)
        return 0;
    if (left_addr) {
        struct __kernel_timespec left = timespec_from_ns(deadline_ns - now_ns);

        if (USER_PUT(left_addr, &left) < 0)
            return -EFAULT;
    }
    t->restart = restart_sleep;
    t->restart_args[0] = deadline_ns;
    t->restart_args[1] = left_addr;
    return -ERESTART_RESTARTBLOCK;
}

SYSCALL_DEFINE(nanosleep)
{
    uint64_t ns;
    int rc = read_timespec(a, &ns);

    return rc < 0 ? rc : sleep_relative(deadline_after_ns(ns), b);
}

/* Until the wall clock shows that time, also when it is set meanwhile. returns: 0; -ERESTARTSYS. */
static int sleep_until_wall(uint64_t wall_ns)
{
    int rc = 0;

    while (rc == 0 && clock_realtime_ns() < wall_ns) {
        uint32_t count = clock_set_count();
        uint64_t deadline_ns = deadline_of_realtime_ns(wall_ns);

        WAIT_UNTIL(rc, clock_set_queue(), clock_set_count() != count, deadline_ns);
        if (rc == -ETIMEDOUT)
            rc = 0;
    }
    return rc;
}

SYSCALL_DEFINE(clock_nanosleep)
{
    uint64_t ns, deadline_ns;
    int rc = clock_deadline((int32_t)a, 0, &deadline_ns);

    if (rc < 0)
        return rc;
    rc = read_timespec(c, &ns);
    if (rc < 0)
        return rc;
    if (!(b & TIMER_ABSTIME))
        return sleep_relative(deadline_after_ns(ns), d);
    if (clock_is_wall((int32_t)a))
        return sleep_until_wall(ns) < 0 ? -ERESTARTNOHAND : 0;
    rc = clock_deadline((int32_t)a, ns, &deadline_ns);
    if (rc < 0)
        return rc;
    return sleep_until(deadline_ns) < 0 ? -ERESTARTNOHAND : 0;
}

SYSCALL_DEFINE(restart_syscall)
{
    struct thread *t = current();
    restart_fn *fn = t->restart;

    t->restart = NULL;
    return fn ? fn(t) : -EINTR;
}
