/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and deadlines of programs: conversions that saturate. Trusted. No locks. */
#pragma once

#include <linux/time_types.h>

#include "lib/defs.h"

#define NS_PER_S 1000000000
#define NS_PER_US 1000

/* A checked timespec (seconds not negative, nanoseconds below 1e9). UINT64_MAX - 1 when too large. */
uint64_t timespec_to_ns(const struct __kernel_timespec *ts);
struct __kernel_timespec timespec_from_ns(uint64_t ns);
/* Deadlines on the monotonic clock. */
uint64_t deadline_after_ns(uint64_t duration_ns);
uint64_t deadline_of_realtime_ns(uint64_t realtime_ns);
/* The clocks that the agent can set. */
bool clock_is_wall(int32_t clock_id);
/* Any clock id that programs know. returns: 0; -EINVAL. */
MUST_CHECK int clock_read(int32_t clock_id, uint64_t *ret_ns);
/* The monotonic deadline of an absolute time on clock_id, for clocks that can be slept on. returns: 0; -EINVAL; -EOPNOTSUPP. */
MUST_CHECK int clock_deadline(int32_t clock_id, uint64_t absolute_ns, uint64_t *ret_deadline_ns);
