/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: the server's signed time laid onto the clock that counts since the boot, and what a lease means on it. Trusted; hosted. No I/O, so that
 * tests can tell the time. All `_ms` are of that clock; the host can slow it, never turn it back.
 */
#pragma once

#include "lib/defs.h"

/* By so much servers' clocks may differ from each other, and ours drift, before an answer counts as an old one. */
#define LEASE_CLOCK_SLACK_S 60
#define LEASE_MAX_S (7 * 86400)
#define LEASE_GRACE_MAX_S 3600u

struct lease_terms {
    int64_t time_s; /* the server's clock when it answered */
    int64_t until_s;
    int64_t renew_after_s;
    uint32_t grace_s;
};

struct lease {
    bool is_set;
    int64_t time_s;    /* signed ... */
    uint64_t time_ms;  /* ... and when it came: it was not later than that then */
    uint64_t end_ms;   /* the workload is stopped */
    uint64_t renew_ms; /* fresh evidence is due */
    uint32_t grace_ms;
};

/*
 * Takes new terms. asked_ms: when the question was sent; got_ms: when the answer was read. The end is counted from the question: an answer that the network holds back never
 * makes a lease longer. returns: 0; -EINVAL terms that make no sense; -ESTALE the signed time is earlier than what passed since the last one allows: an old answer.
 */
MUST_CHECK int lease_take(struct lease *lease, const struct lease_terms *terms, uint64_t asked_ms,
                          uint64_t got_ms);
/* The server's time now, as far as is known; 0: not yet. */
int64_t lease_time_s(const struct lease *lease, uint64_t now_ms);
/* Checks a signed time alone, as lease_take does. returns: 0; -ESTALE. */
MUST_CHECK int lease_time_check(const struct lease *lease, int64_t time_s, uint64_t asked_ms);

/* Pauses between tries: 1 s doubling to 60 s; each a half to the whole of that, by random. */
#define LEASE_PAUSE_MIN_MS 1000u
#define LEASE_PAUSE_MAX_MS 60000u
/* count: failures so far, 1 or more; random: any number. returns: milliseconds. */
uint32_t lease_pause_ms(unsigned count, uint32_t random);

/* The same for a renewal: no longer than a quarter of what is left of the lease, so that there are several tries before its end; LEASE_PAUSE_MIN_MS / 2 at least. */
uint32_t lease_renew_pause_ms(const struct lease *lease, uint64_t now_ms, unsigned count,
                              uint32_t random);

/* CLOCK_BOOTTIME in milliseconds. */
uint64_t lease_clock_ms(void);
