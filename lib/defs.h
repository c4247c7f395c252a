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
/* Each argument is evaluated once: many are loads of what another thread, or the host, changes meanwhile. */
#define MIN(a, b) PICK_((a), <, (b), __COUNTER__)
#define MAX(a, b) PICK_((a), >, (b), __COUNTER__)
#define PICK_(a, than, b, id) PICK_AS_(a, than, b, id)
#define PICK_AS_(a, than, b, id)                                                                   \
    ({                                                                                             \
        __auto_type pick_a_##id = a;                                                               \
        __auto_type pick_b_##id = b;                                                               \
        pick_a_##id than pick_b_##id ? pick_a_##id : pick_b_##id;                                  \
    })

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define PAGE_SIZE 4096ul
#define PAGE_SHIFT 12
/* `n` is a power of two; the caller has checked that rounding up cannot wrap. */
#define ALIGN_DOWN(x, n) ((x) & ~((__typeof__(x))(n)-1))
#define ALIGN_UP(x, n) (((x) + (__typeof__(x))(n)-1) & ~((__typeof__(x))(n)-1))
#define IS_ALIGNED(x, n) (((x) & ((__typeof__(x))(n)-1)) == 0)
