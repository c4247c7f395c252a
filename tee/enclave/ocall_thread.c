/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs that move threads: sleeping, waking, starting, ending; the clock and CPUID. Trusted. */
#include <linux/errno.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/lock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

/* POLLERR, POLLHUP, POLLNVAL: come unasked. */
#define POLL_ALWAYS (0x8 | 0x10 | 0x20)

/* Time left until the deadline; the host counts from now, so its clock and ours need not agree. */
static uint64_t relative_ns(uint64_t deadline_ns)
{
    uint64_t now;

    if (deadline_ns == OCALL_FOREVER)
        return OCALL_FOREVER;
    now = clock_monotonic_ns();
    return deadline_ns > now ? deadline_ns - now : 0;
}

int ocall_park(uint64_t deadline_ns)
{
    uint64_t left = relative_ns(deadline_ns);

    if (ocall_simple(OCALL_park, left, tcb_self()->timer_slack_ns, 0, 0, 0) != -ETIMEDOUT ||
        left == OCALL_FOREVER)
        return 0;
    /* The host's word for it is not enough; too early is a spurious wake. */
    return clock_monotonic_ns() >= deadline_ns ? -ETIMEDOUT : 0;
}

void ocall_unpark(uint32_t slot)
{
    (void)!ocall_simple(OCALL_unpark, slot, 0, 0, 0, 0);
}

void ocall_kick(uint32_t slot)
{
    (void)!ocall_simple(OCALL_kick, slot, 0, 0, 0, 0);
}

void ocall_yield(void)
{
    (void)!ocall_simple(OCALL_yield, 0, 0, 0, 0, 0);
}

int ocall_poll(struct ocall_pollfd *fds, unsigned count, uint64_t deadline_ns)
{
    struct ocall_pollfd answer[32];
    unsigned ready = 0;
    int64_t rc;

    if (count > OCALL_POLL_COUNT_MAX)
        return -EINVAL;
    ocall_buffer_put(0, fds, count * sizeof *fds);
    rc = ocall_simple(OCALL_poll, count, relative_ns(deadline_ns), tcb_self()->timer_slack_ns, 0,
                      count);
    if (rc < 0)
        return rc == -EPERM ? 0 : (int)rc;
    /* Only the events are the host's to say, and of these what was asked for or says that something broke. */
    for (unsigned done = 0; done < count; done += ARRAY_COUNT(answer)) {
        unsigned n = MIN(count - done, (unsigned)ARRAY_COUNT(answer));

        ocall_buffer_get(answer, done * (uint32_t)sizeof *fds, n * sizeof *fds);
        for (unsigned i = 0; i < n; i++) {
            fds[done + i].revents =
                rc == 0 ? 0 : answer[i].revents & (fds[done + i].events | POLL_ALWAYS);
            ready += fds[done + i].revents != 0;
        }
    }
    return (int)ready;
}

int ocall_events_new(void)
{
    return (int)ocall_simple(OCALL_events_new, 0, 0, 0, 0, 0);
}

int ocall_events_change(int set, enum ocall_event_change how, int host_fd, uint32_t events,
                        uint64_t data)
{
    uint64_t args[6] = { (uint64_t)set, how, (uint64_t)host_fd, events, data };
    struct ocall_answer answer;

    ocall_run(OCALL_events_change, args, 0, &answer);
    return (int)answer.result;
}

int ocall_events_wait(int set, struct ocall_event *ret, unsigned count, uint64_t deadline_ns,
                      enum ocall_event_wake wake)
{
    uint64_t args[6] = { (uint64_t)set, MIN(count, OCALL_EVENT_COUNT_MAX), relative_ns(deadline_ns),
                         wake, tcb_self()->timer_slack_ns };
    struct ocall_answer answer;
    int64_t n;

    ocall_run(OCALL_events_wait, args, args[1], &answer);
    n = answer.result;
    if (n > 0)
        ocall_buffer_get(ret, 0, (size_t)n * sizeof *ret);
    return n == -EPERM ? 0 : (int)n;
}

int ocall_dup(int host_fd)
{
    return (int)ocall_simple(OCALL_dup, (uint64_t)host_fd, 0, 0, 0, 0);
}

int ocall_thread_start(uint32_t slot)
{
    return (int)ocall_simple(OCALL_thread_start, slot, 0, 0, 0, 0);
}

void ocall_exit(int status)
{
    enclave_dead = 1;
    for (;;)
        (void)!ocall_simple(OCALL_exit, (uint64_t)status & 0xff, 0, 0, 0, 0);
}

void ocall_clock(struct ocall_time *ret)
{
    static const uint64_t no_args[6];
    struct ocall_answer answer;

    ocall_run(OCALL_clock, no_args, 0, &answer);
    *ret = (struct ocall_time){ answer.out[0], answer.out[1], answer.out[2] };
}

void ocall_log(const char *text, size_t size)
{
    if (tcb_self()->frame == 0)
        return;
    size = MIN(size, (size_t)LOG_LINE_MAX);
    ocall_buffer_put(0, text, size);
    (void)!ocall_simple(OCALL_log, size, 0, 0, 0, 0);
}

int ocall_edmm(uint32_t number, uint64_t addr, uint64_t count, uint64_t permissions)
{
    int64_t rc = ocall_simple(number, addr, count, permissions, 0, 0);

    return rc == -EPERM ? -EIO : (int)rc;
}
