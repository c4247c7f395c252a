/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall clock: what a signed time says about it, and how the library OS is told (docs/agent.md, Time). Trusted; hosted. `_ns` are of CLOCK_MONOTONIC where nothing else is said.
 */
#pragma once

#include "lib/defs.h"

#define WALL_DEVICE "/dev/cloche"

/* At `at_ns` it was between these nanoseconds since 1970. */
struct wall_bound {
    uint64_t at_ns;
    uint64_t earliest_ns, latest_ns;
};

/*
 * What a time means that was signed between `asked_ns` and `got_ns`: time_ms is in milliseconds since 1970, and was that or up to width_ms more when it was signed.
 * returns: 0; -EINVAL no time of this age of the world, or got before it was asked for.
 */
MUST_CHECK int wall_bound_make(int64_t time_ms, uint32_t width_ms, uint64_t asked_ns,
                               uint64_t got_ns, struct wall_bound *ret);
/* Has the library OS keep its wall clock by it (abi/evidence.h, CLOCHE_IOC_TIME). returns: 0; -ESTALE it is older than an earlier one; other -errno of open and ioctl. */
MUST_CHECK int wall_set(const char *device, const struct wall_bound *bound);

/* CLOCK_MONOTONIC. */
uint64_t wall_clock_ns(void);
