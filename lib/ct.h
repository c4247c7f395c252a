/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: comparison whose time says nothing about the bytes, and erasure that the compiler keeps. Shared. */
#pragma once

#include "lib/defs.h"

static inline bool ct_equal(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any |= x[i] ^ y[i];
    __asm__ volatile("" : "+r"(any));
    return any == 0;
}

static inline void ct_wipe(void *dst, size_t size)
{
    volatile uint8_t *bytes = dst;

    for (size_t i = 0; i < size; i++)
        bytes[i] = 0;
}
