/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. The host is the source and may lie; monotonic time never runs backwards whatever it says.
 * Between looks at the host the TSC carries time on. Trusted. Any thread; no locks held.
 */
#pragma once

#include "lib/defs.h"

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);
uint64_t clock_boottime_ns(void);
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
