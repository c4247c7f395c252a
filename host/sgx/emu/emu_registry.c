/* SPDX-License-Identifier: Apache-2.0 */
/* The enclaves of this process, by address. Untrusted side. */
#include "host/sgx/emu/emu.h"

#include <errno.h>

/* Each slot is taken and given back by one atomic exchange; read without a lock. */
static _Atomic(struct sgx_enclave *) g_enclaves[EMU_ENCLAVES_MAX];

int emu_registry_add(struct sgx_enclave *e)
{
    for (size_t i = 0; i < EMU_ENCLAVES_MAX; i++) {
        struct sgx_enclave *expected = NULL;

        if (atomic_compare_exchange_strong(&g_enclaves[i], &expected, e))
            return 0;
    }
    return -EMFILE;
}

void emu_registry_remove(struct sgx_enclave *e)
{
    for (size_t i = 0; i < EMU_ENCLAVES_MAX; i++) {
        struct sgx_enclave *expected = e;

        if (atomic_compare_exchange_strong(&g_enclaves[i], &expected, NULL))
            return;
    }
}

struct sgx_enclave *emu_registry_find(uint64_t addr)
{
    for (size_t i = 0; i < EMU_ENCLAVES_MAX; i++) {
        struct sgx_enclave *e = atomic_load_explicit(&g_enclaves[i], memory_order_acquire);

        if (e && emu_in_elrange(e, addr))
            return e;
    }
    return NULL;
}
