/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator as a struct sgx_backend. Untrusted side. */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "abi/image.h"

#define HWCAP2_FSGSBASE_BIT 0x2

static const struct sgx_backend g_backend = {
    .name = "emulated",
    .emulated = true,
    .has_edmm = true,
    .create = emu_encls_create,
    .add_pages = emu_encls_add_pages,
    .init = emu_encls_init,
    .restrict_permissions = emu_edmm_restrict,
    .modify_types = emu_edmm_modify,
    .remove_pages = emu_edmm_remove,
    .thread_init = emu_thread_init,
    .thread_done = emu_thread_done,
    .signal_at_aep = emu_signal_at_aep,
    .destroy = emu_encls_destroy,
    .enter = sgx_emu_enter,
};

static bool has_address_space(void)
{
    void *p =
        mmap(NULL, ELRANGE_SIZE_MIN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return false;
    munmap(p, ELRANGE_SIZE_MIN);
    return true;
}

const struct sgx_backend *sgx_emu_backend(const char **ret_why)
{
    static struct sgx_backend sgx1;
    const char *without_edmm = getenv("CLOCHE_EMU_SGX1");

    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT))
        *ret_why = "emulator: the kernel does not let programs use FSGSBASE (Linux 5.9 or later, "
                   "and a CPU that has it)";
    else if (!emu_thread_has_dispatch())
        *ret_why =
            "emulator: no Syscall User Dispatch (Linux 5.11 or later, not denied by seccomp)";
    else if (!has_address_space())
        *ret_why = "emulator: no address space for an enclave (see ulimit -v)";
    else if (without_edmm && without_edmm[0] == '1') {
        sgx1 = g_backend;
        sgx1.has_edmm = false;
        *ret_why = "emulator (it protects nothing), without EDMM as CLOCHE_EMU_SGX1 says";
        return &sgx1;
    } else {
        *ret_why = "emulator (it protects nothing)";
        return &g_backend;
    }
    return NULL;
}
