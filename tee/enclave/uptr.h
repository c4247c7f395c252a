/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory outside the enclave. A struct uptr is a number, never a pointer. Each function checks that the
 * whole range lies outside ELRANGE, then touches it exactly once. Writes follow the vendor's guidance
 * for stale data (aligned 8-byte stores; INTEL-SA-00615). Trusted.
 */
#pragma once

#include "lib/defs.h"

struct uptr {
    uint64_t addr;
};

/* returns: true when [addr, addr + size) lies outside ELRANGE and below 2^47. */
bool uptr_is_outside(struct uptr src, uint64_t size);
/* returns: 0; -EFAULT the range is not wholly outside. */
MUST_CHECK int uptr_read(void *dst, struct uptr src, size_t size);
MUST_CHECK int uptr_write(struct uptr dst, const void *src, size_t size);
MUST_CHECK int uptr_read_u64(uint64_t *ret, struct uptr src);
/*
 * Between memory outside (aligned to 8; padded to whole words in put) and program or library-OS memory, which the caller has
 * checked. Faults are not served: returns bytes moved, fewer than size where a page is not there.
 */
size_t uptr_put_user(struct uptr dst, uintptr_t user, size_t size);
size_t uptr_get_user(uintptr_t user, struct uptr src, size_t size);
static inline struct uptr uptr_add(struct uptr p, uint64_t off)
{
    return (struct uptr){ p.addr + off };
}
