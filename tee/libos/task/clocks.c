/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and deadlines of programs. Trusted. CPU clocks count time that threads were not asleep. */
#include "tee/libos/task/clocks.h"

#include <asm/errno.h>
#include <linux/time.h>

#include "tee/enclave/clock.h"
#include "tee/libos/task/task.h"

#define NS_MAX (UINT64_MAX - 1) /* UINT64_MAX means forever */

/* Clock ids of CPU clocks: ~pid << 3 | thread << 2 | kind. */
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_KIND 3
#define CPU_CLOCK_FD 3

uint64_t timespec_to_ns(const struct __kernel_timespec *ts)
{
    uint64_t ns;

    if (__builtin_mul_overflow((uint64_t)ts->tv_sec, (uint64_t)NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, (uint64_t)ts->tv_nsec, &ns))
        return NS_MAX;
    return MIN(ns, NS_MAX);
}

struct __kernel_timespec timespec_from_ns(uint64_t ns)
{
    return (struct __kernel_timespec){ .tv_sec = (int64_t)(ns / NS_PER_S),
                                       .tv_nsec = (int64_t)(ns % NS_PER_S) };
}

uint64_t deadline_after_ns(uint64_t duration_ns)
{
    uint64_t deadline_ns;

    if (__builtin_add_overflow(clock_monotonic_ns(), duration_ns, &deadline_ns))
        return NS_MAX;
    return MIN(deadline_ns, NS_MAX);
}

uint64_t deadline_of_realtime_ns(uint64_t realtime_ns)
{
    uint64_t now_ns = clock_realtime_ns();

    return deadline_after_ns(realtime_ns > now_ns ? realtime_ns - now_ns : 0);
}

/* CPU time of another thread or process of the caller's. */
static int read_cpu_clock(int32_t clock_id, uint64_t *ret_ns)
{
    int32_t id = ~(clock_id >> 3);
    struct process *p;
    struct thread *t;

    if ((clock_id & CPU_CLOCK_KIND) == CPU_CLOCK_FD)
        return -EINVAL;
    if (clock_id & CPU_CLOCK_THREAD) {
        t = id ? thread_find(id) : NULL;
        if (id && (!t || t->process != process_current())) {
            thread_unref(t);
            return -EINVAL;
        }
        *ret_ns = thread_cpu_ns(t ? t : current());
        thread_unref(t);
        return 0;
    }
    p = id ? process_find(id) : NULL;
    if (id && !p)
        return -EINVAL;
    *ret_ns = process_cpu_ns(p ? p : process_current());
    process_unref(p);
    return 0;
}

int clock_read(int32_t clock_id, uint64_t *ret_ns)
{
    switch (clock_id) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ret_ns = clock_realtime_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
        *ret_ns = clock_monotonic_ns();
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ret_ns = clock_boottime_ns();
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        *ret_ns = process_cpu_ns(process_current());
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        *ret_ns = thread_cpu_ns(current());
        return 0;
    default:
        return clock_id < 0 ? read_cpu_clock(clock_id, ret_ns) : -EINVAL;
    }
}

bool clock_is_wall(int32_t clock_id)
{
    return clock_id == CLOCK_REALTIME || clock_id == CLOCK_REALTIME_ALARM || clock_id == CLOCK_TAI;
}

int clock_deadline(int32_t clock_id, uint64_t absolute_ns, uint64_t *ret_deadline_ns)
{
    uint64_t now_ns;

    switch (clock_id) {
    case CLOCK_MONOTONIC:
        *ret_deadline_ns = MIN(absolute_ns, NS_MAX);
        return 0;
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ret_deadline_ns = deadline_of_realtime_ns(absolute_ns);
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        now_ns = clock_boottime_ns();
        *ret_deadline_ns = deadline_after_ns(absolute_ns > now_ns ? absolute_ns - now_ns : 0);
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        now_ns = process_cpu_ns(process_current());
        *ret_deadline_ns = deadline_after_ns(absolute_ns > now_ns ? absolute_ns - now_ns : 0);
        return 0;
    default:
        return clock_id >= 0 && clock_id <= CLOCK_TAI && clock_id != CLOCK_THREAD_CPUTIME_ID
                   ? -EOPNOTSUPP
                   : -EINVAL;
    }
}
