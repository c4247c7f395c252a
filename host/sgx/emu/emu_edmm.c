/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EMODPR, EMODT, EREMOVE with ETRACK, in the shape of the Linux EDMM ioctls. Untrusted side. SDM
 * vol. 3D, section 38.3; Linux Documentation/arch/x86/sgx.rst. They take effect at once: a range of
 * pages costs one mprotect or one madvise. Other threads' translations are gone when that call returns,
 * which is what ETRACK and the kernel's IPIs are for; so EACCEPT never sees SGX_NOT_TRACKED.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <sys/mman.h>

static int check_range(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t *ret_done)
{
    *ret_done = 0;
    if (!e->edmm)
        return -ENODEV;
    if (!atomic_load(&e->initialized) || size == 0 || !IS_ALIGNED(off | size, PAGE_SIZE) ||
        off > e->size || size > e->size - off)
        return -EINVAL;
    return 0;
}

/* Changes an entry that enclave threads may change at the same time. */
static void change(_Atomic uint16_t *entry, unsigned clear, unsigned set)
{
    uint16_t old = atomic_load_explicit(entry, memory_order_relaxed);

    while (!atomic_compare_exchange_weak(entry, &old, (uint16_t)((old & ~clear) | set)))
        ;
}

/* Pages before *ret_count pass `check`; the result of the first that does not, or 0. */
static int count_prefix(struct sgx_enclave *e, uint64_t first, uint64_t count,
                        int (*check)(uint16_t entry, uint64_t arg), uint64_t arg,
                        uint64_t *ret_count)
{
    int rc = 0;
    uint64_t i = 0;

    while (i < count && (rc = check(atomic_load(&e->epcm[first + i]), arg)) == 0)
        i++;
    *ret_count = i;
    return rc;
}

/* EMODPR works on regular pages that are neither PENDING nor MODIFIED. */
static int check_restrict(uint16_t entry, uint64_t arg)
{
    if (!(entry & EPCM_VALID) || (entry & EPCM_TYPE) != SGX_PT_REG << 8)
        return -EFAULT;
    return entry & (EPCM_PENDING | EPCM_MODIFIED) ? SGX_PAGE_NOT_MODIFIABLE : 0;
}

int emu_edmm_restrict(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t permissions,
                      uint64_t *ret_done)
{
    uint64_t first = off >> PAGE_SHIFT, count;
    int rc = check_range(e, off, size, ret_done);

    if (rc < 0)
        return rc;
    if ((permissions & ~SGX_SECINFO_PERM) ||
        ((permissions & SGX_SECINFO_W) && !(permissions & SGX_SECINFO_R)))
        return -EINVAL;
    emu_lock(e);
    rc = count_prefix(e, first, size >> PAGE_SHIFT, check_restrict, 0, &count);
    /* Runs of equal pages: one mprotect each. The EPCM first, so that no sync gives back more. */
    for (uint64_t i = 0; i < count;) {
        uint64_t start = i;
        unsigned host = 0;
        uint16_t same = atomic_load(&e->epcm[first + i]) & (EPCM_HOST | EPCM_PERM);

        for (; i < count && (atomic_load(&e->epcm[first + i]) & (EPCM_HOST | EPCM_PERM)) == same;
             i++)
            change(&e->epcm[first + i], EPCM_PERM & ~(unsigned)permissions, EPCM_PR);
        host = same >> EPCM_HOST_SHIFT & EPCM_PERM;
        if (host & ~permissions) {
            int err = emu_epcm_protect(e, e->base + off + (start << PAGE_SHIFT),
                                       (i - start) << PAGE_SHIFT, host & (unsigned)permissions);

            if (err < 0) {
                rc = err;
                count = start;
                break;
            }
        }
    }
    emu_unlock(e);
    *ret_done = count << PAGE_SHIFT;
    return rc;
}

static int check_modify(uint16_t entry, uint64_t type)
{
    unsigned from = (entry & EPCM_TYPE) >> 8;

    if (!(entry & EPCM_VALID))
        return -EFAULT;
    if (from != SGX_PT_REG && !(from == SGX_PT_TCS && type == SGX_PT_TRIM))
        return -EINVAL;
    return entry & (EPCM_PENDING | EPCM_MODIFIED) ? SGX_PAGE_NOT_MODIFIABLE : 0;
}

int emu_edmm_modify(struct sgx_enclave *e, uint64_t off, uint64_t size, enum sgx_page_type type,
                    uint64_t *ret_done)
{
    uint64_t first = off >> PAGE_SHIFT, count;
    int rc = check_range(e, off, size, ret_done);

    if (rc < 0)
        return rc;
    if (type != SGX_PT_TCS && type != SGX_PT_TRIM)
        return -EINVAL;
    emu_lock(e);
    rc = count_prefix(e, first, size >> PAGE_SHIFT, check_modify, type, &count);
    for (uint64_t i = 0; i < count; i++) {
        if ((atomic_load(&e->epcm[first + i]) & EPCM_TYPE) == SGX_PT_TCS << 8)
            emu_tcs_remove(e, e->base + off + (i << PAGE_SHIFT));
        change(&e->epcm[first + i], EPCM_PERM | EPCM_PR | EPCM_TYPE,
               EPCM_MODIFIED | (unsigned)type << 8);
    }
    if (count > 0) {
        int err = emu_epcm_protect(e, e->base + off, count << PAGE_SHIFT, 0);

        if (err < 0)
            rc = err;
    }
    emu_unlock(e);
    *ret_done = count << PAGE_SHIFT;
    return rc;
}

/* The driver removes pages that were trimmed and that the enclave accepted as such. */
static int check_remove(uint16_t entry, uint64_t arg)
{
    if (!(entry & EPCM_VALID))
        return -EFAULT;
    return (entry & EPCM_TYPE) != SGX_PT_TRIM << 8 || (entry & EPCM_MODIFIED) ? -EPERM : 0;
}

int emu_edmm_remove(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t *ret_done)
{
    uint64_t first = off >> PAGE_SHIFT, count;
    int rc = check_range(e, off, size, ret_done);

    if (rc < 0)
        return rc;
    emu_lock(e);
    rc = count_prefix(e, first, size >> PAGE_SHIFT, check_remove, 0, &count);
    /* Trimmed pages are inaccessible already; this frees them, and the next EAUG finds zeros. */
    if (count > 0 && madvise((void *)(e->base + off), count << PAGE_SHIFT, MADV_DONTNEED) < 0) {
        rc = -errno;
        count = 0;
    }
    for (uint64_t i = 0; i < count; i++)
        atomic_store(&e->epcm[first + i], 0);
    emu_unlock(e);
    *ret_done = count << PAGE_SHIFT;
    return rc;
}
