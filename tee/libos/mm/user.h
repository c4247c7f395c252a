/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Program memory as system calls reach it. Addresses are numbers; every access is checked to lie in
 * user memory (inside ELRANGE, outside the library OS), pages not yet there are faulted in, and a bad
 * address is -EFAULT. May sleep; no spin lock may be held. Trusted.
 */
#pragma once

#include "lib/defs.h"

MUST_CHECK int user_copy_in(void *dst, uintptr_t src, size_t size);
MUST_CHECK int user_copy_out(uintptr_t dst, const void *src, size_t size);
MUST_CHECK int user_zero(uintptr_t dst, size_t size);
/* returns: length without NUL; -EFAULT; -ENAMETOOLONG when no NUL within size. */
MUST_CHECK int64_t user_str_in(char *dst, uintptr_t src, size_t size);
/* True when [addr, addr + size) could be program memory. */
bool user_range_ok(uintptr_t addr, size_t size);
/* Futex words: aligned 4 bytes. */
MUST_CHECK int user_load32(uint32_t *ret, uintptr_t addr);
/* Compares and swaps; *expected holds what was there. returns: 0 swapped, 1 differed, -EFAULT. */
MUST_CHECK int user_cmpxchg32(uintptr_t addr, uint32_t *expected, uint32_t desired);

/* The same for the memory of a process that is not the caller's (a program that is being loaded). */
struct mm;
MUST_CHECK int user_copy_in_mm(struct mm *mm, void *dst, uintptr_t src, size_t size);
MUST_CHECK int user_copy_out_mm(struct mm *mm, uintptr_t dst, const void *src, size_t size);
MUST_CHECK int user_zero_mm(struct mm *mm, uintptr_t dst, size_t size);
/*
 * Makes the pages of [addr, addr + size) present for reading or writing, so that a copy that follows
 * under a lock of a file system faults only in the rare case that another thread unmaps them.
 * returns: 0; -EFAULT, -ENOMEM (some may be present then).
 */
bool user_is_present(uintptr_t addr, size_t size, bool for_write); /* just now */
MUST_CHECK int user_prefault(uintptr_t addr, size_t size, bool for_write);

#define USER_GET(ret, addr) user_copy_in((ret), (addr), sizeof *(ret))
#define USER_PUT(addr, value_ptr) user_copy_out((addr), (value_ptr), sizeof *(value_ptr))

/* ---- scattered buffers (readv and friends): program or library-OS memory, consumed front to back ---- */

struct user_iovec {
    uintptr_t base;
    size_t size;
};
#define UIO_SEGMENTS_MAX 1024u
#define UIO_SEGMENTS_INLINE 8u

struct uio {
    struct user_iovec inline_segments[UIO_SEGMENTS_INLINE];
    struct user_iovec *segments; /* inline or heap */
    unsigned count, index;
    size_t off;     /* within segments[index] */
    size_t left;    /* bytes not yet moved, at most INT32_MAX rounded down to a page */
    bool is_kernel; /* segments are library-OS memory */
};
void uio_init_user(struct uio *u, uintptr_t base, size_t size);
void uio_init_kernel(struct uio *u, void *base, size_t size);
/* Copies the array in and checks it. returns: 0; -EFAULT, -EINVAL, -ENOMEM. uio_done afterwards. */
MUST_CHECK int uio_init_iovec(struct uio *u, uintptr_t iov, size_t count);
void uio_done(struct uio *u);
/* Move min(size, left) bytes; return bytes moved (fewer only after a fault), -EFAULT when none moved. */
MUST_CHECK int64_t uio_put(struct uio *u, const void *src,
                           size_t size);                           /* into the program's buffers */
MUST_CHECK int64_t uio_get(struct uio *u, void *dst, size_t size); /* from the program's buffers */
MUST_CHECK int64_t uio_put_zero(struct uio *u, size_t size);
/* user_prefault() for the next `size` bytes (at most what is left); for_write: uio_put will follow. A bad
 * address is not an error here: the copy reports it. */
void uio_prefault(struct uio *u, size_t size, bool for_write);
/*
 * Between the first segment that is left and memory outside the enclave (the OCALL frame), with no copy in between. Faults are not
 * served, as serving one may use the frame: bytes moved, 0 when the page is not there. uio_stage does not consume, uio_skip does.
 */
struct uptr;
size_t uio_stage(const struct uio *u, struct uptr dst, size_t size);
size_t uio_unstage(struct uio *u, struct uptr src, size_t size);
void uio_skip(struct uio *u, size_t size);
/* The next `size` bytes lie in one segment whose pages are there just now. */
bool uio_is_present(const struct uio *u, size_t size, bool for_write);
/* Bytes of the first segment that is left. */
size_t uio_segment_left(const struct uio *u);
