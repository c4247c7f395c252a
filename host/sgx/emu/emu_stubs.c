/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENCLU without a trap: an enclave that starts with struct enclave_header names its ENCLU stubs, and
 * those of EEXIT, EACCEPT and EMODPE become a jump into emu_asm.S, after the measurement. The other
 * leaves are rare and go on trapping. Untrusted side.
 */
#include "host/sgx/emu/emu.h"

#include <string.h>
#include <sys/mman.h>

#include "abi/image.h"

extern const char sgx_emu_stub_eexit[], sgx_emu_stub_eaccept[], sgx_emu_stub_emodpe[];

static const uint8_t stub_code[4] = { 0x0f, 0x01, 0xd7, 0xc3 }; /* enclu; ret */

/* A page that the enclave may execute and that the host can read now. */
static bool stub_is_usable(struct sgx_enclave *e, uint64_t addr)
{
    return emu_in_elrange(e, addr) && emu_in_elrange(e, addr + ENCLAVE_STUB_SIZE - 1) &&
           addr >> PAGE_SHIFT == (addr + ENCLAVE_STUB_SIZE - 1) >> PAGE_SHIFT &&
           emu_epcm_allows(atomic_load(emu_epcm_entry(e, addr)), SGX_SECINFO_R | SGX_SECINFO_X) &&
           emu_epcm_sync(e, addr, SGX_SECINFO_R) == 0 &&
           memcmp((const void *)addr, stub_code, sizeof stub_code) == 0;
}

/* Without a target the leaf is emulated in full, but entered by INT3: a virtual machine's hypervisor takes each #UD. */
static void patch(struct sgx_enclave *e, unsigned leaf, uint64_t addr, const char *target)
{
    void *page = (void *)ALIGN_DOWN(addr, PAGE_SIZE);
    uint16_t entry = atomic_load(emu_epcm_entry(e, addr));
    uint8_t code[ENCLAVE_STUB_SIZE] = { 0xff, 0x25, 0, 0, 0, 0 }; /* jmp *0(%rip) */

    if (target)
        memcpy(code + 6, &target, 8);
    else
        code[0] = 0xcc;
    code[14] = 0xc3;
    code[15] = 0xcc;
    if (mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE) < 0)
        return;
    memcpy((void *)addr, code, sizeof code);
    mprotect(page, PAGE_SIZE, emu_prot((entry & EPCM_HOST) >> EPCM_HOST_SHIFT));
    e->stub[leaf] = addr;
    e->has_stubs = true;
}

void emu_stubs_patch(struct sgx_enclave *e)
{
    struct enclave_header h;
    static const struct {
        unsigned leaf;
        const char *target;
        bool edmm;
    } targets[] = {
        { SGX_EEXIT, sgx_emu_stub_eexit, false },
        { SGX_EACCEPT, sgx_emu_stub_eaccept, true },
        { SGX_EMODPE, sgx_emu_stub_emodpe, true },
    };

    if (!e->has_header || e->strict || emu_epcm_sync(e, e->header_addr, SGX_SECINFO_R) < 0)
        return;
    memcpy(&h, (const void *)e->header_addr, sizeof h);
    if (h.version != 1 || h.stub_count > EMU_LEAVES || h.stubs_off > e->size)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        uint64_t addr = e->header_addr + h.stubs_off + targets[i].leaf * ENCLAVE_STUB_SIZE;

        if (targets[i].leaf < h.stub_count && (e->edmm || !targets[i].edmm) &&
            stub_is_usable(e, addr))
            patch(e, targets[i].leaf, addr, targets[i].target);
    }
    uint64_t addr = e->header_addr + h.stubs_off + SGX_EACCEPTCOPY * ENCLAVE_STUB_SIZE;

    if (SGX_EACCEPTCOPY < h.stub_count && e->edmm && stub_is_usable(e, addr))
        patch(e, SGX_EACCEPTCOPY, addr, NULL);
}
