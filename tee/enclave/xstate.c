/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vector state of the program, which stays live in the CPU while the library OS runs (SDM vol. 1,
 * chapter 13). In an enclave XCR0 is what SECS.ATTRIBUTES.XFRM allows. Trusted.
 */
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define CPUID_XSTATE_LEAF 0xdu
#define CPUID_XGETBV1 (1u << 2)
#define XSTATE_AVX 0x4u
#define XSTATE_AVX512 0xe0u
#define XSTATE_KNOWN (0x7u | XSTATE_AVX512)
#define XSAVE_HEADER_OFF 512
#define XSAVE_MXCSR_OFF 24
#define MXCSR_VALID 0xffffu
#define XSTATE_SIZE_AVX 832u
#define XSTATE_SIZE_AVX512 2688u

static uint64_t g_xcr0; /* the same for all threads (SECS.XFRM), and never 0; atomic */

/* The CPU tells what is in use, and the enclave has AVX: OCALLs need no XSAVE (entry.S). Set before there are other threads. */
uint32_t xstate_quick;

static uint64_t xcr0(void)
{
    uint64_t mask = __atomic_load_n(&g_xcr0, __ATOMIC_RELAXED);
    uint32_t low, high;

    if (LIKELY(mask))
        return mask;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    mask = ((uint64_t)high << 32 | low) & XSTATE_KNOWN;
    __atomic_store_n(&g_xcr0, mask, __ATOMIC_RELAXED);
    return mask;
}

void xstate_init(void)
{
    uint32_t regs[4];

    /* The host's word: a CPU without that XGETBV faults, and the enclave ends. */
    ocall_cpuid(CPUID_XSTATE_LEAF, 1, regs);
    xstate_quick = (xcr0() & XSTATE_AVX) && (regs[0] & CPUID_XGETBV1);
}

size_t xstate_size(void)
{
    return xcr0() & XSTATE_AVX512 ? XSTATE_SIZE_AVX512 : XSTATE_SIZE_AVX;
}

void xstate_save(void *area)
{
    uint64_t mask = xcr0();

    /* XSAVE leaves the rest of the header as it finds it. */
    memset((char *)area + XSAVE_HEADER_OFF, 0, 64);
    __asm__ volatile("xsave64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
}

void xstate_restore(const void *area)
{
    /* Free while the library OS runs. */
    uint8_t *copy = tcb_self()->xstate;

    memcpy(copy, area, xstate_size());
    xstate_restore_own(copy);
}

void xstate_restore_own(void *area)
{
    uint8_t *copy = area;
    uint64_t mask = xcr0(), bits;
    uint32_t mxcsr;

    memcpy(&bits, copy + XSAVE_HEADER_OFF, sizeof bits);
    memcpy(&mxcsr, copy + XSAVE_MXCSR_OFF, sizeof mxcsr);
    bits &= mask;
    mxcsr &= MXCSR_VALID;
    memset(copy + XSAVE_HEADER_OFF, 0, 64);
    memcpy(copy + XSAVE_HEADER_OFF, &bits, sizeof bits);
    memcpy(copy + XSAVE_MXCSR_OFF, &mxcsr, sizeof mxcsr);
    __asm__ volatile("xrstor64 (%0)"
                     :
                     : "r"(copy), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
}
