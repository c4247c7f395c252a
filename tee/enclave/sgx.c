/* SPDX-License-Identifier: Apache-2.0 */
/* EREPORT and EGETKEY (SDM vol. 3D, section 40): aligned copies around the leaves. Trusted. */
#include "tee/enclave/sgx.h"

#include <linux/errno.h>

#include "lib/ct.h"
#include "tee/enclave/cmac.h"
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

int sgx_targetinfo_get(struct sgx_targetinfo *ret)
{
    static const struct sgx_targetinfo nobody;
    static const uint8_t no_data[64];
    struct sgx_report report;
    int rc = sgx_report_create(&nobody, no_data, &report);

    if (rc < 0)
        return rc;
    *ret = (struct sgx_targetinfo){ .attributes = report.body.attributes,
                                    .cet_attributes = report.body.cet_attributes,
                                    .config_svn = report.body.config_svn,
                                    .misc_select = report.body.misc_select };
    memcpy(ret->mrenclave, report.body.mrenclave, sizeof ret->mrenclave);
    memcpy(ret->config_id, report.body.config_id, sizeof ret->config_id);
    return 0;
}

/* SDM vol. 3D, section 38.4, EREPORT: the MAC is AES-CMAC over the body under the target's report key. */
int sgx_report_verify(const struct sgx_report *report)
{
    struct sgx_keyrequest request = { .key_name = SGX_KEY_REPORT };
    uint8_t key[16], mac[CMAC_SIZE];
    bool is_authentic;

    memcpy(request.key_id, report->key_id, sizeof request.key_id);
    if (sgx_key_get(&request, key) < 0)
        return -EBADMSG;
    cmac_compute(key, &report->body, sizeof report->body, mac);
    is_authentic = ct_equal(mac, report->mac, sizeof mac);
    ct_wipe(key, sizeof key);
    ct_wipe(mac, sizeof mac);
    return is_authentic ? 0 : -EBADMSG;
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
    ct_wipe(key, sizeof key);
    return 0;
}
