/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcpy and memset for the emulator in a process with AddressSanitizer, whose own would refuse enclave memory: it lies
 * where ASan expects nothing. Included before everything else. Untrusted side, test only.
 */
#pragma once

#ifndef __ASSEMBLER__
#include <string.h>

static inline void *plain_copy(void *dst, const void *src, size_t size)
{
    void *to = dst;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(size) : : "memory");
    return dst;
}

static inline void *plain_set(void *dst, int byte, size_t size)
{
    void *to = dst;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return dst;
}

#define memcpy plain_copy
#define memset plain_set
#endif
