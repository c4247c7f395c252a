/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EPCM and the host's page protections that follow it. Untrusted side. Leaves that an enclave
 * runs often (EACCEPT, EMODPE) change the EPCM only; the host's protection is raised when the page
 * is touched, for a run of pages at a time, and lowered at once. SDM vol. 3D, section 36.19.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#define EMU_POPULATE_PAGES_MAX 256u
#define DIRTY_SHIFT 12 /* EPCM entries a byte of e->dirty stands for */

/* Never held while enclave memory is touched, so a signal handler may take it. */
void emu_lock(struct sgx_enclave *e)
{
    while (atomic_exchange_explicit(&e->lock, 1, memory_order_acquire))
        sched_yield();
}

void emu_unlock(struct sgx_enclave *e)
{
    atomic_store_explicit(&e->lock, 0, memory_order_release);
}

int emu_prot(unsigned access)
{
    return (access & SGX_SECINFO_R ? PROT_READ : 0) | (access & SGX_SECINFO_W ? PROT_WRITE : 0) |
           (access & SGX_SECINFO_X ? PROT_EXEC : 0);
}

static void set_host_bits(struct sgx_enclave *e, uint64_t first, uint64_t count, unsigned prot)
{
    for (uint64_t i = first; i < first + count; i++) {
        uint16_t old = atomic_load_explicit(&e->epcm[i], memory_order_relaxed);
        uint16_t new;

        do
            new = (uint16_t)((old & ~EPCM_HOST) | prot << EPCM_HOST_SHIFT);
        while (!atomic_compare_exchange_weak(&e->epcm[i], &old, new));
        if (e->strict && prot)
            e->dirty[i >> DIRTY_SHIFT] = 1;
    }
}

int emu_epcm_protect(struct sgx_enclave *e, uint64_t addr, uint64_t size, unsigned prot)
{
    uint64_t first = (addr - e->base) >> PAGE_SHIFT;

    if (mprotect((void *)addr, size, emu_prot(prot)) < 0)
        return -errno;
    set_host_bits(e, first, size >> PAGE_SHIFT, prot);
    return 0;
}

/*
 * An accepted page has its memory on hardware; here the kernel gives it at the first touch. One call
 * for many pages costs much less than their page faults. Failure is harmless: then they fault.
 */
static void populate(struct sgx_enclave *e, uint64_t first, uint64_t end)
{
    (void)!madvise((void *)(e->base + (first << PAGE_SHIFT)), (end - first) << PAGE_SHIFT,
                   MADV_POPULATE_WRITE);
}

int emu_epcm_sync(struct sgx_enclave *e, uint64_t addr, unsigned access)
{
    uint64_t page = (addr - e->base) >> PAGE_SHIFT;
    int rc = 0;

    emu_lock(e);
    uint16_t entry = atomic_load(&e->epcm[page]);

    if (!emu_epcm_allows(entry, access)) {
        rc = -EACCES;
    } else if (((entry & EPCM_HOST) >> EPCM_HOST_SHIFT & access) != access) {
        uint16_t same = entry & ~EPCM_PR;
        uint64_t first = page, end = page + 1;

        while (first > 0 && end - first < EMU_SYNC_PAGES_MAX &&
               (atomic_load_explicit(&e->epcm[first - 1], memory_order_relaxed) & ~EPCM_PR) == same)
            first--;
        while (end < e->page_count && end - first < EMU_SYNC_PAGES_MAX &&
               (atomic_load_explicit(&e->epcm[end], memory_order_relaxed) & ~EPCM_PR) == same)
            end++;
        rc = emu_epcm_protect(e, e->base + (first << PAGE_SHIFT), (end - first) << PAGE_SHIFT,
                              entry & EPCM_PERM);
        if (rc == 0 && (entry & SGX_SECINFO_W))
            populate(e, page, MIN(end, page + EMU_POPULATE_PAGES_MAX));
    }
    emu_unlock(e);
    return rc;
}

int emu_epcm_eaug(struct sgx_enclave *e, uint64_t addr)
{
    uint16_t expected = 0;

    if (!e->edmm || !atomic_load(&e->initialized))
        return -EPERM;
    /* The page was never touched, or EREMOVE replaced it: it is zero. */
    if (!atomic_compare_exchange_strong(emu_epcm_entry(e, addr), &expected,
                                        EPCM_VALID | EPCM_PENDING | SGX_PT_REG << 8 |
                                            SGX_SECINFO_R | SGX_SECINFO_W))
        return expected & EPCM_HOLE ? -EPERM : -EEXIST;
    return 0;
}

int emu_operand_check(struct sgx_enclave *e, uint64_t addr, uint64_t size, uint64_t align,
                      unsigned access, struct emu_fault *ret_fault)
{
    if (!IS_ALIGNED(addr, align) || !emu_in_elrange(e, addr) || (addr - e->base) + size > e->size) {
        *ret_fault = (struct emu_fault){ .vector = EMU_GP };
        return -EFAULT;
    }
    for (int i = 0; i < 2; i++) {
        uint16_t entry = atomic_load(emu_epcm_entry(e, addr));

        if (emu_epcm_allows(entry, access) && emu_epcm_sync(e, addr, access) == 0)
            return 0;
        if (entry != 0 || emu_epcm_eaug(e, addr) < 0)
            break;
    }
    *ret_fault = (struct emu_fault){ .vector = EMU_PF,
                                     .code = EMU_PF_SGX | EMU_PF_PRESENT | EMU_PF_USER |
                                             (access & SGX_SECINFO_W ? EMU_PF_WRITE : 0),
                                     .addr = addr };
    return -EFAULT;
}

void emu_strict_enter(struct emu_thread *t)
{
    struct sgx_enclave *e = t->e;

    if (t->strict_inside)
        return;
    emu_lock(e);
    t->strict_inside = true;
    e->inside_count++;
    emu_unlock(e);
}

void emu_strict_leave(struct emu_thread *t)
{
    struct sgx_enclave *e = t->e;

    if (!t->strict_inside)
        return;
    emu_lock(e);
    t->strict_inside = false;
    if (--e->inside_count == 0) {
        for (uint64_t chunk = 0; chunk < (e->page_count + (1 << DIRTY_SHIFT) - 1) >> DIRTY_SHIFT;
             chunk++) {
            uint64_t first = chunk << DIRTY_SHIFT;
            uint64_t count = MIN((uint64_t)1 << DIRTY_SHIFT, e->page_count - first);

            if (!e->dirty[chunk])
                continue;
            e->dirty[chunk] = 0;
            /* Pages that no mapping holds (below vm.mmap_min_addr) would make mprotect refuse. */
            while (count > 0 && atomic_load(&e->epcm[first]) & EPCM_HOLE) {
                first++;
                count--;
            }
            mprotect((void *)(e->base + (first << PAGE_SHIFT)), count << PAGE_SHIFT, PROT_NONE);
            set_host_bits(e, first, count, 0);
        }
    }
    emu_unlock(e);
}
