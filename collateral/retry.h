/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a request is made again: waits that double, with jitter; Retry-After; the key server's rate limit; one deadline for all.
 * Relying party; within collateral/. Pure but for the clock that it is given.
 */
#pragma once

#include "collateral/headers.h"

#define RETRY_WAIT_MAX_MS 60000u

struct retry_rules {
    const struct collateral_clock *clock;
    uint32_t attempt_count, wait_ms, rate_limit_wait_ms;
    uint64_t end_ms; /* monotonic: the deadline */
};

/* Left until the deadline; 0: it has passed. */
uint64_t retry_left_ms(const struct retry_rules *rules);
/* Whether an answer of this status may be another one in a while. */
bool retry_is_worth(int status);
/*
 * How long to wait after the attempt with this number, from 1. status 0: there was no answer.
 * returns: ms; -EIO that was the last attempt; -ETIMEDOUT the deadline is nearer than that.
 */
MUST_CHECK int64_t retry_wait_find(const struct retry_rules *rules, unsigned attempt, int status,
                                   const struct headers *headers);
