/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENCLU leaves in full, as they are when they trap: EEXIT, EACCEPT, EACCEPTCOPY, EMODPE. Untrusted
 * side. SDM vol. 3D, section 38.4; checks come in its order.
 */
#include "host/sgx/emu/emu.h"

#include <sys/mman.h>
#include <unistd.h>

#define RFLAGS_ARITHMETIC 0x8d5ll
#define RFLAGS_ZF 0x40ll

static enum emu_outcome fault(struct emu_fault *ret, unsigned vector, uint64_t addr, unsigned code)
{
    *ret = (struct emu_fault){ .vector = vector, .addr = addr, .code = code };
    return EMU_FAULTED;
}

static enum emu_outcome general_protection(struct emu_fault *ret)
{
    return fault(ret, EMU_GP, 0, 0);
}

static enum emu_outcome page_fault(struct emu_fault *ret, uint64_t addr)
{
    return fault(ret, EMU_PF, addr, EMU_PF_SGX | EMU_PF_PRESENT | EMU_PF_USER);
}

static enum emu_outcome result(greg_t *g, enum sgx_error error)
{
    g[REG_RAX] = error;
    g[REG_EFL] = (g[REG_EFL] & ~RFLAGS_ARITHMETIC) | (error ? RFLAGS_ZF : 0);
    return EMU_DONE;
}

static enum emu_outcome read_secinfo(struct emu_thread *t, uint64_t addr, uint64_t *ret_flags,
                                     struct emu_fault *ret_fault)
{
    struct sgx_secinfo s;

    if (emu_operand_check(t->e, addr, sizeof s, sizeof s, SGX_SECINFO_R, ret_fault) < 0)
        return EMU_FAULTED;
    if (sgx_emu_copy(&s, (const void *)addr, sizeof s) < 0)
        return page_fault(ret_fault, addr);
    for (size_t i = 0; i < sizeof s.reserved; i++)
        if (s.reserved[i])
            return general_protection(ret_fault);
    *ret_flags = s.flags;
    return EMU_DONE;
}

static bool accept_is_legal(uint64_t flags)
{
    uint64_t type = flags >> SGX_SECINFO_TYPE_SHIFT;
    bool pending = flags & SGX_SECINFO_PENDING, modified = flags & SGX_SECINFO_MODIFIED,
         restricted = flags & SGX_SECINFO_PR;

    if (flags & 0xc0)
        return false;
    if (type == SGX_PT_REG)
        return (pending || restricted) && !modified;
    return (type == SGX_PT_TCS || type == SGX_PT_TRIM) && !pending && !restricted && modified;
}

/* A page that EMODT made a TCS: the emulator takes over its state. */
static enum emu_outcome accept_tcs(struct emu_thread *t, uint64_t addr, struct emu_fault *ret_fault)
{
    struct sgx_tcs page;
    int rc = -1;

    emu_lock(t->e);
    if (mprotect((void *)addr, PAGE_SIZE, PROT_READ) == 0) {
        rc = sgx_emu_copy(&page, (const void *)addr, sizeof page);
        mprotect((void *)addr, PAGE_SIZE, PROT_NONE);
    }
    emu_unlock(t->e);
    if (rc < 0)
        return page_fault(ret_fault, addr);
    if (!emu_tcs_page_is_valid(t->e, &page) || (page.flags & SGX_TCS_DBGOPTIN) ||
        page.cssa >= page.nssa || page.aep != 0 || page.state != 0)
        return general_protection(ret_fault);
    if (emu_tcs_add(t->e, addr, &page) < 0)
        return general_protection(ret_fault);
    return EMU_DONE;
}

static enum emu_outcome eaccept(struct emu_thread *t, greg_t *g, struct emu_fault *ret_fault)
{
    uint64_t addr = (uint64_t)g[REG_RCX], flags;
    const uint16_t state = EPCM_PENDING | EPCM_MODIFIED | EPCM_PR;

    if (!IS_ALIGNED((uint64_t)g[REG_RBX], 64) || !IS_ALIGNED(addr, PAGE_SIZE) ||
        !emu_in_elrange(t->e, addr))
        return general_protection(ret_fault);
    if (read_secinfo(t, (uint64_t)g[REG_RBX], &flags, ret_fault) != EMU_DONE)
        return EMU_FAULTED;
    if (!accept_is_legal(flags))
        return general_protection(ret_fault);
    (void)!emu_epcm_eaug(t->e, addr); /* the driver's part, when the page is not there */
    _Atomic uint16_t *entry = emu_epcm_entry(t->e, addr);
    uint16_t old = atomic_load(entry);

    do {
        unsigned type = (old & EPCM_TYPE) >> 8;

        if (!(old & EPCM_VALID) ||
            (type != SGX_PT_REG && type != SGX_PT_TCS && type != SGX_PT_TRIM))
            return page_fault(ret_fault, addr);
        if ((old & (EPCM_PERM | state | EPCM_TYPE)) != flags)
            return result(g, SGX_PAGE_ATTRIBUTES_MISMATCH);
        if (type == SGX_PT_TCS && accept_tcs(t, addr, ret_fault) != EMU_DONE)
            return EMU_FAULTED;
    } while (!atomic_compare_exchange_weak(entry, &old, (uint16_t)(old & ~state)));
    return result(g, SGX_SUCCESS);
}

static enum emu_outcome emodpe(struct emu_thread *t, greg_t *g, struct emu_fault *ret_fault)
{
    uint64_t addr = (uint64_t)g[REG_RCX], flags;

    if (!IS_ALIGNED((uint64_t)g[REG_RBX], 64) || !IS_ALIGNED(addr, PAGE_SIZE) ||
        !emu_in_elrange(t->e, addr))
        return general_protection(ret_fault);
    if (read_secinfo(t, (uint64_t)g[REG_RBX], &flags, ret_fault) != EMU_DONE)
        return EMU_FAULTED;
    if ((flags & SGX_SECINFO_W) && !(flags & SGX_SECINFO_R))
        return general_protection(ret_fault);
    _Atomic uint16_t *entry = emu_epcm_entry(t->e, addr);
    uint16_t old = atomic_load(entry);

    do
        if (!emu_epcm_allows(old, 0))
            return page_fault(ret_fault, addr);
    while (!atomic_compare_exchange_weak(entry, &old, (uint16_t)(old | (flags & EPCM_PERM))));
    return EMU_DONE;
}

/*
 * A pending page gets its contents and its permissions. Where its memory can be written while nobody may touch it, the
 * host's protection follows at the first touch, for its neighbours too; else at once.
 */
static int copy_page(struct sgx_enclave *e, uint64_t addr, uint64_t src, unsigned perm)
{
    const unsigned rw = SGX_SECINFO_R | SGX_SECINFO_W;
    const uint16_t entry = (uint16_t)(EPCM_VALID | SGX_PT_REG << 8 | perm);

    if (e->mem_fd >= 0 &&
        pwrite(e->mem_fd, (const void *)src, PAGE_SIZE, (off_t)addr) == (ssize_t)PAGE_SIZE) {
        atomic_store(emu_epcm_entry(e, addr), entry);
        return 0;
    }
    emu_lock(e);
    int rc = emu_epcm_protect(e, addr, PAGE_SIZE, rw);

    if (rc == 0)
        rc = sgx_emu_copy((void *)addr, (const void *)src, PAGE_SIZE);
    if (perm != rw || rc < 0) {
        int err = emu_epcm_protect(e, addr, PAGE_SIZE, rc < 0 ? 0 : perm);

        if (rc == 0)
            rc = err;
    }
    if (rc == 0)
        atomic_store(emu_epcm_entry(e, addr), (uint16_t)(entry | perm << EPCM_HOST_SHIFT));
    emu_unlock(e);
    return rc;
}

/* RCX: a page that EAUG made; RDX: the page to copy; RBX: SECINFO with the permissions to have. */
static enum emu_outcome eacceptcopy(struct emu_thread *t, greg_t *g, struct emu_fault *ret_fault)
{
    struct sgx_enclave *e = t->e;
    uint64_t addr = (uint64_t)g[REG_RCX], src = (uint64_t)g[REG_RDX], flags;

    if (!IS_ALIGNED((uint64_t)g[REG_RBX], 64) || !IS_ALIGNED(addr | src, PAGE_SIZE) ||
        !emu_in_elrange(e, addr) || !emu_in_elrange(e, src))
        return general_protection(ret_fault);
    if (read_secinfo(t, (uint64_t)g[REG_RBX], &flags, ret_fault) != EMU_DONE)
        return EMU_FAULTED;
    if ((flags & ~SGX_SECINFO_PERM) != SGX_PT_REG << SGX_SECINFO_TYPE_SHIFT ||
        ((flags & SGX_SECINFO_W) && !(flags & SGX_SECINFO_R)))
        return general_protection(ret_fault);
    if (emu_operand_check(e, src, PAGE_SIZE, PAGE_SIZE, SGX_SECINFO_R, ret_fault) < 0)
        return EMU_FAULTED;
    (void)!emu_epcm_eaug(e, addr);
    const uint16_t expected = EPCM_VALID | EPCM_PENDING | SGX_PT_REG << 8;
    uint16_t old = atomic_load(emu_epcm_entry(e, addr));

    if (!(old & EPCM_VALID) || (old & EPCM_TYPE) != SGX_PT_REG << 8)
        return page_fault(ret_fault, addr);
    if ((old & (EPCM_VALID | EPCM_PENDING | EPCM_MODIFIED | EPCM_TYPE)) != expected ||
        (old & EPCM_PERM) != (SGX_SECINFO_R | SGX_SECINFO_W))
        return result(g, SGX_PAGE_ATTRIBUTES_MISMATCH);
    return copy_page(e, addr, src, flags & SGX_SECINFO_PERM) < 0 ? page_fault(ret_fault, src)
                                                                 : result(g, SGX_SUCCESS);
}

static enum emu_outcome eexit(struct emu_thread *t, greg_t *g, struct emu_fault *ret_fault)
{
    if (!emu_cpu_is_canonical((uint64_t)g[REG_RBX]))
        return general_protection(ret_fault);
    emu_leave(t);
    emu_transition_wait(t);
    g[REG_RIP] = g[REG_RBX];
    g[REG_RCX] = (greg_t)t->aep;
    return EMU_LEFT;
}

enum emu_outcome emu_enclu(struct emu_thread *t, ucontext_t *uc, struct emu_fault *ret_fault)
{
    greg_t *g = uc->uc_mcontext.gregs;
    uint32_t leaf = (uint32_t)g[REG_RAX];

    switch (leaf) {
    case SGX_EREPORT:
        return emu_ereport(t, g, ret_fault);
    case SGX_EGETKEY:
        return emu_egetkey(t, g, ret_fault);
    case SGX_EEXIT:
        return eexit(t, g, ret_fault);
    case SGX_EACCEPT:
    case SGX_EMODPE:
    case SGX_EACCEPTCOPY:
        if (!t->e->edmm)
            return general_protection(ret_fault);
        return leaf == SGX_EACCEPT  ? eaccept(t, g, ret_fault)
               : leaf == SGX_EMODPE ? emodpe(t, g, ret_fault)
                                    : eacceptcopy(t, g, ret_fault);
    default: /* EENTER and ERESUME are for outside */
        return general_protection(ret_fault);
    }
}
