/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words that every side uses: attributes, cleanup, alignment. Shared; no dependencies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))
#define NORETURN __attribute__((noreturn))
#define PACKED __attribute__((packed))
#define ALIGNED(n) __attribute__((aligned(n)))
#define UNUSED __attribute__((unused))

/* Runs `function(&variable)` when the variable leaves its scope. */
#define CLEANUP(function) __attribute__((cleanup(function)))

/* Moves a pointer out of a variable that CLEANUP guards. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) take_ptr_value_ = (p);                                                       \
        (p) = NULL;                                                                                \
        take_ptr_value_;                                                                           \
    })

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define PAGE_SIZE 4096ul
#define PAGE_SHIFT 12
/* `n` is a power of two; the caller has checked that rounding up cannot wrap. */
#define ALIGN_DOWN(x, n) ((x) & ~((__typeof__(x))(n)-1))
#define ALIGN_UP(x, n) (((x) + (__typeof__(x))(n)-1) & ~((__typeof__(x))(n)-1))
#define IS_ALIGNED(x, n) (((x) & ((__typeof__(x))(n)-1)) == 0)
