/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCS of a thread slot (SDM vol. 3D, 35.8): measured for static slots, filled by the library OS for
 * those that it makes with EDMM. Shared; builds freestanding.
 */
#include "lib/enclave_plan.h"

#include <string.h>

void enclave_plan_tcs(uint64_t slot_addr, uint64_t entry_addr, struct sgx_tcs *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->ossa = slot_addr + SLOT_SSA_OFF;
    ret->nssa = SLOT_SSA_COUNT;
    ret->oentry = entry_addr;
    ret->ogs_base = slot_addr + SLOT_TCB_OFF;
    ret->fs_limit = UINT32_MAX;
    ret->gs_limit = UINT32_MAX;
}
