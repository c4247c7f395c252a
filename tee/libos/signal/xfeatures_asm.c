/* SPDX-License-Identifier: Apache-2.0 */
/* XCR0: which state components a signal frame may hold. Trusted. XGETBV is allowed in enclaves. */
#include "tee/libos/signal/frame.h"

uint64_t sigframe_xfeatures(void)
{
    static uint64_t features; /* never changes; atomic */
    uint64_t known = __atomic_load_n(&features, __ATOMIC_RELAXED);
    uint32_t low, high;

    if (LIKELY(known))
        return known;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    known = (uint64_t)high << 32 | low;
    __atomic_store_n(&features, known, __ATOMIC_RELAXED);
    return known;
}
