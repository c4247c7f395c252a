/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spin locks for short sections that make no OCALL, touch no program memory and take no other lock
 * unless the order is documented where both are declared. Trusted. Sleeping locks: tee/libos/task/wait.h.
 */
#pragma once

#include "lib/defs.h"

struct spin {
    uint32_t locked;
};

#define SPIN_INIT                                                                                  \
    {                                                                                              \
        0                                                                                          \
    }

static inline void spin_lock(struct spin *s)
{
    while (__atomic_exchange_n(&s->locked, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(&s->locked, __ATOMIC_RELAXED))
            __builtin_ia32_pause();
}
static inline bool spin_try(struct spin *s)
{
    return !__atomic_exchange_n(&s->locked, 1, __ATOMIC_ACQUIRE);
}
static inline void spin_unlock(struct spin *s)
{
    __atomic_store_n(&s->locked, 0, __ATOMIC_RELEASE);
}
