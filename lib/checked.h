/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Size arithmetic on values from outside. Each returns true when the result does not fit
 * (as the compiler's builtins do); `*ret` is then not to be used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define checked_add(a, b, ret) __builtin_add_overflow((a), (b), (ret))
#define checked_sub(a, b, ret) __builtin_sub_overflow((a), (b), (ret))
#define checked_mul(a, b, ret) __builtin_mul_overflow((a), (b), (ret))

/* True when [off, off + size) lies within [0, limit). An empty range at the limit lies within. */
static inline bool range_within(uint64_t off, uint64_t size, uint64_t limit)
{
    return off <= limit && size <= limit - off;
}
