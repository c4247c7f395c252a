/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thread control structures. Untrusted side. The CPU keeps a TCS's state in its page, where no
 * software reaches it; the emulator keeps it here and the page stays inaccessible. SDM vol. 3D, 35.8.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t bucket_of(uint64_t addr)
{
    return (addr >> PAGE_SHIFT) * 0x9e3779b97f4a7c15u >> 56;
}

static struct emu_tcs *find_any(struct sgx_enclave *e, uint64_t addr)
{
    struct emu_tcs *tcs = atomic_load_explicit(&e->tcs[bucket_of(addr)], memory_order_acquire);

    while (tcs && tcs->addr != addr)
        tcs = tcs->next;
    return tcs;
}

struct emu_tcs *emu_tcs_find(struct sgx_enclave *e, uint64_t addr)
{
    struct emu_tcs *tcs = find_any(e, addr);

    return tcs && atomic_load(&tcs->valid) ? tcs : NULL;
}

/* Called with pages that no thread can be entering: by EADD, or by EACCEPT before MODIFIED falls. */
int emu_tcs_add(struct sgx_enclave *e, uint64_t addr, const struct sgx_tcs *page)
{
    struct emu_tcs *tcs = find_any(e, addr);

    if (!tcs) {
        tcs = calloc(1, sizeof *tcs);
        if (!tcs)
            return -ENOMEM;
        tcs->e = e;
        tcs->addr = addr;
        _Atomic(struct emu_tcs *) *head = &e->tcs[bucket_of(addr)];

        tcs->next = atomic_load(head);
        while (!atomic_compare_exchange_weak(head, &tcs->next, tcs))
            ;
    }
    memcpy(&tcs->page, page, sizeof tcs->page);
    atomic_store(&tcs->valid, true);
    return 0;
}

void emu_tcs_remove(struct sgx_enclave *e, uint64_t addr)
{
    struct emu_tcs *tcs = find_any(e, addr);

    if (tcs)
        atomic_store(&tcs->valid, false);
}

bool emu_tcs_page_is_valid(const struct sgx_enclave *e, const struct sgx_tcs *page)
{
    for (size_t i = 0; i < sizeof page->reserved; i++)
        if (page->reserved[i])
            return false;
    if (page->flags & ~SGX_TCS_DBGOPTIN)
        return false;
    return (e->secs.attributes.flags & SGX_ATTR_MODE64BIT) ||
           ((page->fs_limit & 0xfff) == 0xfff && (page->gs_limit & 0xfff) == 0xfff);
}
