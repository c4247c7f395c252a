/* SPDX-License-Identifier: Apache-2.0 */
/* Reads "identities" of policies. Relying party; the text may be hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "verifier/policy/policy_read.h"

static int read_isv_prod_id(struct json_pull *j, void *dst)
{
    struct policy_identity *id = dst;

    id->has_isv_prod_id = true;
    return json_read_u16(j, &id->isv_prod_id);
}

static int set_tee(struct json_pull *j, struct policy_identity *id, enum verifier_tee tee)
{
    if (id->tee != VERIFIER_TEE_NONE)
        return json_pull_fail(j, "an identity is of one kind of TEE: make an entry for each");
    id->tee = (uint8_t)tee;
    return 0;
}

static int read_sgx(struct json_pull *j, void *dst)
{
    struct policy_identity *id = dst;
    const struct json_member members[] = { { "mrenclave", policy_read_32, &id->mrenclave },
                                           { "mrsigner", policy_read_32, &id->mrsigner },
                                           { "isv_prod_id", read_isv_prod_id, id },
                                           { "isv_svn_min", json_read_u16, &id->isv_svn_min },
                                           { "config_id", policy_read_64, &id->config_id },
                                           { "config_svn_min", json_read_u16, &id->config_svn_min },
                                           { "isv_family_id", policy_read_16, &id->isv_family_id },
                                           { "isv_ext_prod_id", policy_read_16,
                                             &id->isv_ext_prod_id } };
    int rc = set_tee(j, id, VERIFIER_TEE_SGX);

    if (rc == 0)
        rc = policy_read_members(j, members, ARRAY_COUNT(members));
    if (rc == 0 && !id->mrenclave.size && !id->mrsigner.size)
        rc = json_pull_fail(j, "an SGX identity needs \"mrenclave\" or \"mrsigner\"");
    if (rc == 0 && !id->mrenclave.size && !id->has_isv_prod_id)
        rc = json_pull_fail(j, "with \"mrsigner\" alone an SGX identity needs \"isv_prod_id\"");
    return rc;
}

static int read_tdx(struct json_pull *j, void *dst)
{
    struct policy_identity *id = dst;
    const struct json_member members[] = { { "mrtd", policy_read_48, &id->mrtd },
                                           { "rtmr0", policy_read_48, &id->rtmr[0] },
                                           { "rtmr1", policy_read_48, &id->rtmr[1] },
                                           { "rtmr2", policy_read_48, &id->rtmr[2] },
                                           { "rtmr3", policy_read_48, &id->rtmr[3] },
                                           { "mrconfigid", policy_read_48, &id->mrconfigid },
                                           { "mrowner", policy_read_48, &id->mrowner },
                                           { "mrownerconfig", policy_read_48, &id->mrownerconfig },
                                           { "mrservicetd", policy_read_48, &id->mrservicetd } };
    int rc = set_tee(j, id, VERIFIER_TEE_TDX);

    if (rc == 0)
        rc = policy_read_members(j, members, ARRAY_COUNT(members));
    if (rc == 0 && !id->mrtd.size)
        rc = json_pull_fail(j, "a TDX identity needs \"mrtd\"");
    return rc;
}

static int read_snp(struct json_pull *j, void *dst)
{
    struct policy_identity *id = dst;
    const struct json_member members[] = { { "measurement", policy_read_48, &id->measurement },
                                           { "host_data", policy_read_32, &id->host_data },
                                           { "id_key_digest", policy_read_48, &id->id_key_digest },
                                           { "author_key_digest", policy_read_48,
                                             &id->author_key_digest },
                                           { "family_id", policy_read_16, &id->family_id },
                                           { "image_id", policy_read_16, &id->image_id },
                                           { "guest_svn_min", json_read_u32, &id->guest_svn_min } };
    int rc = set_tee(j, id, VERIFIER_TEE_SNP);

    if (rc == 0)
        rc = policy_read_members(j, members, ARRAY_COUNT(members));
    if (rc == 0 && !id->measurement.size && !id->id_key_digest.size && !id->author_key_digest.size)
        rc = json_pull_fail(j, "an SNP identity needs \"measurement\" or a key digest");
    return rc;
}

static int read_identity(struct json_pull *j, struct policy_identity *id)
{
    const struct json_member members[] = { { "name", policy_read_name, id->name },
                                           { "app_digest", policy_read_48, &id->app_digest },
                                           { "sgx", read_sgx, id },
                                           { "tdx", read_tdx, id },
                                           { "snp", read_snp, id } };
    int rc = policy_read_members(j, members, ARRAY_COUNT(members));

    if (rc == 0 && !id->name[0])
        rc = json_pull_fail(j, "an identity needs \"name\"");
    if (rc == 0 && id->tee == VERIFIER_TEE_NONE)
        rc = json_pull_fail(j, "an identity needs \"sgx\", \"tdx\" or \"snp\"");
    return rc;
}

int policy_read_identities(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        struct policy_identity *more;

        if (p->identity_count == POLICY_IDENTITY_COUNT_MAX)
            return json_pull_fail(j, "too many identities");
        more = realloc(p->identities, (p->identity_count + 1) * sizeof *more);
        if (!more)
            return -ENOMEM;
        p->identities = more;
        memset(&more[p->identity_count], 0, sizeof *more);
        rc = read_identity(j, &more[p->identity_count++]);
    }
    return rc;
}
