/* SPDX-License-Identifier: Apache-2.0 */
/* EREPORT and EGETKEY (SDM vol. 3D, section 40): aligned copies around the leaves. Trusted. */
#include "tee/enclave/sgx.h"

#include <linux/errno.h>

#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

int sgx_report_create(const struct sgx_targetinfo *target, const uint8_t data[64],
                      struct sgx_report *ret)
{
    struct sgx_targetinfo target_copy ALIGNED(512);
    struct sgx_report report ALIGNED(512);
    uint8_t data_copy[64] ALIGNED(128);

    memcpy(&target_copy, target, sizeof target_copy);
    memcpy(data_copy, data, sizeof data_copy);
    if (enclu_key(SGX_EREPORT, &target_copy, data_copy, &report) != 0)
        return -EINVAL;
    memcpy(ret, &report, sizeof *ret);
    return 0;
}

int sgx_key_get(const struct sgx_keyrequest *request, uint8_t ret_key[16])
{
    struct sgx_keyrequest request_copy ALIGNED(512);
    uint8_t key[16] ALIGNED(16);
    int rc;

    memcpy(&request_copy, request, sizeof request_copy);
    rc = enclu_key(SGX_EGETKEY, &request_copy, key, NULL);
    if (rc != 0)
        return -EINVAL;
    memcpy(ret_key, key, sizeof key);
    memset(key, 0, sizeof key);
    __asm__ volatile("" : : "r"(key) : "memory");
    return 0;
}
