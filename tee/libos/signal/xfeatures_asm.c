/* SPDX-License-Identifier: Apache-2.0 */
/* XCR0: which state components a signal frame may hold. Trusted. XGETBV is allowed in enclaves. */
#include "tee/libos/signal/frame.h"

uint64_t sigframe_xfeatures(void)
{
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
