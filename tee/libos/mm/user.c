/* SPDX-License-Identifier: Apache-2.0 */
/* Checked access to program memory, with pages faulted in on demand. Trusted. */
#include "tee/libos/mm/user.h"

#include <linux/errno.h>

#include "abi/image.h"
#include "tee/enclave/entry.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/mm/mm_private.h"

#define FAULT_WRITE 0x2u
#define FAULT_USER 0x4u
#define FAULT_RETRY_MAX 64u     /* faults on one page without progress */
#define PREFAULT_SIZE_MIN 1024u /* from here on looking for absent pages pays */

bool user_range_ok(uintptr_t addr, size_t size)
{
    uintptr_t end;

    if (__builtin_add_overflow(addr, size, &end) || addr < USER_LOW_BASE || end > space_end())
        return false;
    return end <= LIBOS_BASE || addr >= LIBOS_END;
}

/* A copy stopped at addr. returns: 0 to go on; the copy's error. */
static int fault_in(struct mm *mm, uintptr_t addr, bool write)
{
    int code, rc;

    if (!mm)
        return -EFAULT;
    rc = mm_fault(mm, addr, FAULT_USER | (write ? FAULT_WRITE : 0), &code);
    return rc == -EIO ? -EFAULT : rc;
}

bool user_is_present(uintptr_t addr, size_t size, bool for_write)
{
    uint8_t want = PAGE_PRESENT | (for_write ? PAGE_WRITE : PAGE_READ);
    uintptr_t end = addr + size;

    for (addr = ALIGN_DOWN(addr, PAGE_SIZE); addr < end; addr += PAGE_SIZE)
        if ((page_state(addr) & want) != want)
            return false;
    return true;
}

/* Faults in what is absent of a large range before it is touched: cheaper than an exception. */
static int prefault(struct mm *mm, uintptr_t addr, size_t size, bool write)
{
    uint8_t want = PAGE_PRESENT | (write ? PAGE_WRITE : PAGE_READ);
    uintptr_t end = addr + size;

    for (addr = ALIGN_DOWN(addr, PAGE_SIZE); addr < end; addr += PAGE_SIZE) {
        if ((page_state(addr) & want) != want) {
            int rc = fault_in(mm, addr, write);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

enum raw_kind {
    RAW_IN,
    RAW_OUT,
    RAW_ZERO,
};

static size_t raw_move(enum raw_kind kind, void *kernel, uintptr_t user, size_t size)
{
    switch (kind) {
    case RAW_IN:
        return user_raw_copy(kernel, (const void *)user, size);
    case RAW_OUT:
        return user_raw_copy((void *)user, kernel, size);
    default:
        return user_raw_zero((void *)user, size);
    }
}

/* Moves up to size bytes; *ret_done is set in every case. */
static int move(struct mm *mm, enum raw_kind kind, void *kernel, uintptr_t user, size_t size,
                size_t *ret_done)
{
    size_t done = 0;
    unsigned tries = 0;

    *ret_done = 0;
    if (size == 0) /* no address is looked at, as on Linux */
        return 0;
    if (!user_range_ok(user, size))
        return -EFAULT;
    if (size >= PREFAULT_SIZE_MIN && mm)
        (void)!prefault(mm, user, MIN(size, 1ul << 20), kind != RAW_IN);
    for (;;) {
        size_t left =
            raw_move(kind, kernel ? (uint8_t *)kernel + done : NULL, user + done, size - done);
        size_t moved = size - done - left;
        int rc;

        done += moved;
        *ret_done = done;
        if (left == 0)
            return 0;
        tries = moved > 0 ? 0 : tries + 1;
        if (tries > FAULT_RETRY_MAX)
            return -EFAULT;
        rc = fault_in(mm, user + done, kind != RAW_IN);
        if (rc < 0)
            return rc;
    }
}

int user_copy_in_mm(struct mm *mm, void *dst, uintptr_t src, size_t size)
{
    size_t done;

    return move(mm, RAW_IN, dst, src, size, &done);
}

int user_copy_out_mm(struct mm *mm, uintptr_t dst, const void *src, size_t size)
{
    size_t done;

    return move(mm, RAW_OUT, (void *)src, dst, size, &done);
}

int user_zero_mm(struct mm *mm, uintptr_t dst, size_t size)
{
    size_t done;

    return move(mm, RAW_ZERO, NULL, dst, size, &done);
}

/* Small copies into present memory take the first line alone. */
int user_copy_in(void *dst, uintptr_t src, size_t size)
{
    if (LIKELY(size < PREFAULT_SIZE_MIN && user_range_ok(src, size) &&
               user_raw_copy(dst, (const void *)src, size) == 0))
        return 0;
    return user_copy_in_mm(mm_current(), dst, src, size);
}

int user_copy_out(uintptr_t dst, const void *src, size_t size)
{
    if (LIKELY(size < PREFAULT_SIZE_MIN && user_range_ok(dst, size) &&
               user_raw_copy((void *)dst, src, size) == 0))
        return 0;
    return user_copy_out_mm(mm_current(), dst, src, size);
}

int user_zero(uintptr_t dst, size_t size)
{
    return user_zero_mm(mm_current(), dst, size);
}

int user_prefault(uintptr_t addr, size_t size, bool for_write)
{
    if (!user_range_ok(addr, size))
        return -EFAULT;
    return prefault(mm_current(), addr, size, for_write);
}

int64_t user_str_in(char *dst, uintptr_t src, size_t size)
{
    size_t done = 0;
    unsigned tries = 0;

    while (done < size) {
        uintptr_t at = src + done;
        /* Never look beyond what is certainly user memory: page by page. */
        size_t part = MIN(size - done, PAGE_SIZE - at % PAGE_SIZE), left;
        bool faulted = false;
        int rc;

        if (!user_range_ok(at, part))
            return -EFAULT;
        left = user_raw_copy_str(dst + done, (const char *)at, part, &faulted);
        if (!faulted) {
            const char *nul = memchr(dst + done, 0, part);

            if (nul)
                return nul - dst;
            left = 0;
        }
        if (left < part)
            tries = 0;
        done += part - left;
        if (!faulted)
            continue;
        if (++tries > FAULT_RETRY_MAX)
            return -EFAULT;
        rc = fault_in(mm_current(), src + done, false);
        if (rc < 0)
            return rc;
    }
    return -ENAMETOOLONG;
}

int user_load32(uint32_t *ret, uintptr_t addr)
{
    if (!IS_ALIGNED(addr, 4ul) || !user_range_ok(addr, 4))
        return -EFAULT;
    for (unsigned tries = 0; tries < FAULT_RETRY_MAX; tries++) {
        int rc = user_raw_load32(ret, (const uint32_t *)addr);

        if (rc == 0)
            return 0;
        rc = fault_in(mm_current(), addr, false);
        if (rc < 0)
            return rc;
    }
    return -EFAULT;
}

int user_cmpxchg32(uintptr_t addr, uint32_t *expected, uint32_t desired)
{
    if (!IS_ALIGNED(addr, 4ul) || !user_range_ok(addr, 4))
        return -EFAULT;
    for (unsigned tries = 0; tries < FAULT_RETRY_MAX; tries++) {
        uint32_t before = *expected;
        int rc = user_raw_cmpxchg32((uint32_t *)addr, expected, desired);

        if (rc == 0)
            return *expected == before ? 0 : 1;
        *expected = before;
        rc = fault_in(mm_current(), addr, true);
        if (rc < 0)
            return rc;
    }
    return -EFAULT;
}

int user_move_part(bool out, bool zero, void *kernel, uintptr_t user, size_t size, size_t *ret_done)
{
    return move(mm_current(),
                zero  ? RAW_ZERO
                : out ? RAW_OUT
                      : RAW_IN,
                kernel, user, size, ret_done);
}
