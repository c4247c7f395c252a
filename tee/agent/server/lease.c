/* SPDX-License-Identifier: Apache-2.0 */
/* See lease.h. Trusted; hosted. */
#include "tee/agent/server/lease.h"

#include <errno.h>
#include <time.h>

uint64_t lease_clock_ms(void)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_BOOTTIME, &ts) < 0)
        clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int64_t lease_time_s(const struct lease *lease, uint64_t now_ms)
{
    if (!lease->is_set)
        return 0;
    return lease->time_s + (int64_t)((now_ms - lease->time_ms) / 1000);
}

int lease_time_check(const struct lease *lease, int64_t time_s, uint64_t asked_ms)
{
    if (!lease->is_set || asked_ms < lease->time_ms)
        return 0;
    return time_s + LEASE_CLOCK_SLACK_S < lease_time_s(lease, asked_ms) ? -ESTALE : 0;
}

int lease_take(struct lease *lease, const struct lease_terms *terms, uint64_t asked_ms,
               uint64_t got_ms)
{
    struct lease taken = { .is_set = true, .time_s = terms->time_s, .time_ms = got_ms };
    int rc;

    /* Seconds of a wall clock in this age of the world: what is added to them cannot overflow. */
    if (terms->time_s <= 0 || terms->time_s > INT64_MAX / 4000 || got_ms < asked_ms ||
        terms->until_s <= terms->time_s || terms->until_s - terms->time_s > LEASE_MAX_S ||
        terms->renew_after_s <= terms->time_s || terms->renew_after_s >= terms->until_s ||
        terms->grace_s > LEASE_GRACE_MAX_S)
        return -EINVAL;
    rc = lease_time_check(lease, terms->time_s, asked_ms);
    if (rc < 0)
        return rc;
    taken.end_ms = asked_ms + (uint64_t)(terms->until_s - terms->time_s) * 1000;
    taken.renew_ms = asked_ms + (uint64_t)(terms->renew_after_s - terms->time_s) * 1000;
    taken.grace_ms = terms->grace_s * 1000;
    *lease = taken;
    return 0;
}

uint32_t lease_pause_ms(unsigned count, uint32_t random)
{
    uint32_t whole = LEASE_PAUSE_MIN_MS;

    while (--count > 0 && whole < LEASE_PAUSE_MAX_MS)
        whole *= 2;
    whole = MIN(whole, LEASE_PAUSE_MAX_MS);
    return whole / 2 + random % (whole / 2 + 1);
}

uint32_t lease_renew_pause_ms(const struct lease *lease, uint64_t now_ms, unsigned count,
                              uint32_t random)
{
    uint64_t left_ms = lease->end_ms > now_ms ? lease->end_ms - now_ms : 0;
    uint64_t most_ms = MAX(left_ms / 4, (uint64_t)LEASE_PAUSE_MIN_MS / 2);

    return (uint32_t)MIN(most_ms, (uint64_t)lease_pause_ms(count, random));
}
