/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. The host is the source and may lie; monotonic time never runs backwards whatever it says, and the wall clock is the host's word
 * only until somebody who is trusted has bounded it.
 * Between looks at the host the TSC carries time on. Trusted. Any thread; no locks held.
 */
#pragma once

#include "lib/defs.h"

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);
/* Monotonic plus what the host says that it was suspended; never turns back either. */
uint64_t clock_boottime_ns(void);

/*
 * What somebody who is trusted says of the wall clock: when the monotonic clock showed monotonic_ns, it was between earliest_ns and
 * latest_ns since 1970.
 */
struct clock_bound {
    uint64_t monotonic_ns; /* not in the future */
    uint64_t earliest_ns;
    uint64_t latest_ns;
};
#define CLOCK_BOUND_WIDTH_MAX_NS 600000000000ull
/*
 * From the first one on the wall clock is the monotonic clock plus a difference that only the next bound can change: the host's wall clock
 * counts for nothing. The difference stays as it is where the clock kept within the bound, else the clock is set to the bound's middle, forwards or backwards;
 * never to before `earliest_ns` of any bound so far. ret_step_ns: by how much it was set, 0 mostly.
 * returns: 0; -EINVAL the bound is in the future, wider than CLOCK_BOUND_WIDTH_MAX_NS, or no time at all; -ESTALE its earliest time is before that of one
 * that was accepted, or it is about an earlier moment.
 */
MUST_CHECK int clock_realtime_bind(const struct clock_bound *bound, int64_t *ret_step_ns);
/* The last bound that was accepted. returns: false: none yet. */
bool clock_realtime_bound(struct clock_bound *ret);

/* What a vDSO function inside the enclave needs: address of a page with code for __vdso_clock_gettime
 * and so on is tee/libos/elf's; this is the data that it reads (struct clock_data, seqlock). */
struct clock_data {
    uint32_t seq; /* odd while being written */
    uint32_t shift;
    uint64_t tsc_base;
    uint64_t mult; /* ns = ((tsc - tsc_base) * mult) >> shift */
    uint64_t mono_base_ns;
    uint64_t real_off_ns; /* realtime = monotonic + real_off_ns */
    uint64_t boot_off_ns;
    uint64_t valid_until_tsc; /* beyond it the vDSO makes the system call, which resynchronises */
};
/* Lies in enclave memory that programs may read. */
const struct clock_data *clock_data(void);
