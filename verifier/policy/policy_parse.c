/* SPDX-License-Identifier: Apache-2.0 */
/* Reads appraisal policies; docs/policy.md describes the JSON. Relying party; the text may be hostile, as any upload. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "verifier/intel/tcb.h"
#include "verifier/json_read.h"
#include "verifier/policy/policy.h"
#include "verifier/snp/report.h"
#include "verifier/x509/chain.h"

#define POLICY_VERSION 1u
#define CERTIFICATE_SIZE_MAX 8192u

static int read_members(struct json_pull *j, const struct json_member *members, unsigned count)
{
    return json_read_members(j, members, count, "a policy has no member of this name here");
}

/* ---- values ---- */

static int read_bool(struct json_pull *j, void *dst)
{
    return json_pull_bool(j, dst);
}

static int read_not(struct json_pull *j, void *dst)
{
    bool value = false;
    int rc = json_pull_bool(j, &value);

    *(bool *)dst = !value;
    return rc;
}

static int read_name(struct json_pull *j, void *dst)
{
    return json_read_string(j, dst, POLICY_NAME_SIZE);
}

static int read_time(struct json_pull *j, void *dst)
{
    return json_read_time(j, dst);
}

static int read_bytes(struct json_pull *j, struct policy_bytes *dst, size_t size)
{
    int rc = json_read_hex(j, dst->bytes, size);

    if (rc == 0)
        dst->size = (uint8_t)size;
    return rc;
}

static int read_8_bytes_or_more(struct json_pull *j, struct policy_bytes *dst)
{
    struct json_pull before = *j;
    struct json_pull_text text;
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    if (text.raw_size != 16 && text.raw_size != 32 && text.raw_size != 128)
        return json_pull_fail(j, "a platform id has 8, 16 or 64 bytes");
    *j = before;
    return read_bytes(j, dst, text.raw_size / 2);
}

static int read_16(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 16);
}

static int read_32(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 32);
}

static int read_48(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 48);
}

static int read_64(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 64);
}

/* ---- roots ---- */

static int read_key_hash(struct json_pull *j, void *dst)
{
    struct policy_root *root = dst;

    return json_read_hex(j, root->key_sha256, sizeof root->key_sha256);
}

static int read_certificate(struct json_pull *j, void *dst)
{
    struct policy_root *root = dst;
    char *text = malloc(CERTIFICATE_SIZE_MAX);
    struct x509_chain chain;
    int rc;

    if (!text)
        return -ENOMEM;
    rc = json_read_string(j, text, CERTIFICATE_SIZE_MAX);
    if (rc == 0) {
        struct verifier_bytes pem = { (const uint8_t *)text, strlen(text) };

        if (x509_chain_parse(&chain, X509_PROFILE_INTEL, &pem, 1) < 0) {
            rc = json_pull_fail(j, "no certificate in PEM");
        } else {
            memcpy(root->key_sha256, chain.root_key_sha256, sizeof root->key_sha256);
            x509_chain_done(&chain);
        }
    }
    free(text);
    return rc;
}

static int read_root(struct json_pull *j, struct verifier_policy *p)
{
    static const uint8_t none[32];
    struct policy_root root = { 0 };
    const struct json_member members[] = { { "name", read_name, root.name },
                                           { "key_sha256", read_key_hash, &root },
                                           { "certificate", read_certificate, &root } };
    char name[16];
    int rc = json_pull_peek(j);

    if (rc == JSON_PULL_STRING) {
        rc = json_read_string(j, name, sizeof name);
        if (rc == 0 && policy_root_add_known(p, name) < 0)
            rc = json_pull_fail(j, "a root is \"intel\", \"amd\" or an object");
        return rc;
    }
    rc = rc < 0 ? rc : read_members(j, members, ARRAY_COUNT(members));
    if (rc < 0)
        return rc;
    if (!root.name[0] || memcmp(root.key_sha256, none, sizeof none) == 0)
        return json_pull_fail(j, "a root needs \"name\", and \"key_sha256\" or \"certificate\"");
    if (p->root_count == POLICY_ROOT_COUNT_MAX)
        return json_pull_fail(j, "too many roots");
    p->roots[p->root_count++] = root;
    return 0;
}

static int read_roots(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    p->root_count = 0;
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0)
        rc = read_root(j, p);
    return rc;
}

static const char *const g_tee_names[] = {
    [VERIFIER_TEE_SGX] = "sgx", [VERIFIER_TEE_TDX] = "tdx", [VERIFIER_TEE_SNP] = "snp"
};

static int read_tees(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    char name[8];
    int rc = json_pull_array_begin(j);

    memset(p->tee, 0, sizeof p->tee);
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        unsigned i = VERIFIER_TEE_SGX;

        rc = json_read_string(j, name, sizeof name);
        if (rc < 0)
            return rc;
        while (i < ARRAY_COUNT(g_tee_names) && strcmp(g_tee_names[i], name) != 0)
            i++;
        if (i == ARRAY_COUNT(g_tee_names))
            return json_pull_fail(j, "a TEE is \"sgx\", \"tdx\" or \"snp\"");
        p->tee[i] = true;
    }
    return rc;
}

/* ---- identities ---- */

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
    const struct json_member members[] = { { "mrenclave", read_32, &id->mrenclave },
                                           { "mrsigner", read_32, &id->mrsigner },
                                           { "isv_prod_id", read_isv_prod_id, id },
                                           { "isv_svn_min", json_read_u16, &id->isv_svn_min },
                                           { "config_id", read_64, &id->config_id },
                                           { "config_svn_min", json_read_u16, &id->config_svn_min },
                                           { "isv_family_id", read_16, &id->isv_family_id },
                                           { "isv_ext_prod_id", read_16, &id->isv_ext_prod_id } };
    int rc = set_tee(j, id, VERIFIER_TEE_SGX);

    if (rc == 0)
        rc = read_members(j, members, ARRAY_COUNT(members));
    if (rc == 0 && !id->mrenclave.size && !id->mrsigner.size)
        rc = json_pull_fail(j, "an SGX identity needs \"mrenclave\" or \"mrsigner\"");
    if (rc == 0 && !id->mrenclave.size && !id->has_isv_prod_id)
        rc = json_pull_fail(j, "with \"mrsigner\" alone an SGX identity needs \"isv_prod_id\"");
    return rc;
}

static int read_tdx(struct json_pull *j, void *dst)
{
    struct policy_identity *id = dst;
    const struct json_member members[] = { { "mrtd", read_48, &id->mrtd },
                                           { "rtmr0", read_48, &id->rtmr[0] },
                                           { "rtmr1", read_48, &id->rtmr[1] },
                                           { "rtmr2", read_48, &id->rtmr[2] },
                                           { "rtmr3", read_48, &id->rtmr[3] },
                                           { "mrconfigid", read_48, &id->mrconfigid },
                                           { "mrowner", read_48, &id->mrowner },
                                           { "mrownerconfig", read_48, &id->mrownerconfig },
                                           { "mrservicetd", read_48, &id->mrservicetd } };
    int rc = set_tee(j, id, VERIFIER_TEE_TDX);

    if (rc == 0)
        rc = read_members(j, members, ARRAY_COUNT(members));
    if (rc == 0 && !id->mrtd.size)
        rc = json_pull_fail(j, "a TDX identity needs \"mrtd\"");
    return rc;
}

static int read_snp(struct json_pull *j, void *dst)
{
    struct policy_identity *id = dst;
    const struct json_member members[] = { { "measurement", read_48, &id->measurement },
                                           { "host_data", read_32, &id->host_data },
                                           { "id_key_digest", read_48, &id->id_key_digest },
                                           { "author_key_digest", read_48, &id->author_key_digest },
                                           { "family_id", read_16, &id->family_id },
                                           { "image_id", read_16, &id->image_id },
                                           { "guest_svn_min", json_read_u32, &id->guest_svn_min } };
    int rc = set_tee(j, id, VERIFIER_TEE_SNP);

    if (rc == 0)
        rc = read_members(j, members, ARRAY_COUNT(members));
    if (rc == 0 && !id->measurement.size && !id->id_key_digest.size && !id->author_key_digest.size)
        rc = json_pull_fail(j, "an SNP identity needs \"measurement\" or a key digest");
    return rc;
}

static int read_identity(struct json_pull *j, struct policy_identity *id)
{
    const struct json_member members[] = { { "name", read_name, id->name },
                                           { "app_digest", read_48, &id->app_digest },
                                           { "sgx", read_sgx, id },
                                           { "tdx", read_tdx, id },
                                           { "snp", read_snp, id } };
    int rc = read_members(j, members, ARRAY_COUNT(members));

    if (rc == 0 && !id->name[0])
        rc = json_pull_fail(j, "an identity needs \"name\"");
    if (rc == 0 && id->tee == VERIFIER_TEE_NONE)
        rc = json_pull_fail(j, "an identity needs \"sgx\", \"tdx\" or \"snp\"");
    return rc;
}

static int read_identities(struct json_pull *j, void *dst)
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

/* ---- Intel ---- */

static int find_status(struct json_pull *j, const char *name, unsigned *ret)
{
    for (unsigned i = VERIFIER_TCB_UP_TO_DATE; i < VERIFIER_TCB_NOT_SUPPORTED; i++)
        if (i != VERIFIER_TCB_REVOKED && strcmp(verifier_tcb_status_name(i), name) == 0) {
            *ret = i;
            return 0;
        }
    return json_pull_fail(j, "no TCB status that can be accepted");
}

static int read_status_name(struct json_pull *j, unsigned *ret)
{
    char name[48];
    int rc = json_read_string(j, name, sizeof name);

    return rc < 0 ? rc : find_status(j, name, ret);
}

struct status_entry {
    unsigned status;
    uint16_t grace_days;
};

static int read_status_member(struct json_pull *j, void *dst)
{
    return read_status_name(j, &((struct status_entry *)dst)->status);
}

static int read_days_member(struct json_pull *j, void *dst)
{
    uint64_t days = 0;
    int rc = json_pull_uint(j, POLICY_GRACE_DAYS_MAX, &days);

    ((struct status_entry *)dst)->grace_days = (uint16_t)days;
    return rc == 0 && days == 0 ? json_pull_fail(j, "a grace period is at least one day") : rc;
}

/* "UpToDate", or {"status": "OutOfDate", "grace_days": 30}. */
static int read_statuses(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    memset(p->statuses, 0, sizeof p->statuses);
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        struct status_entry entry = { 0 };
        const struct json_member members[] = { { "status", read_status_member, &entry },
                                               { "grace_days", read_days_member, &entry } };

        rc = json_pull_peek(j) == JSON_PULL_STRING ? read_status_name(j, &entry.status)
                                                   : read_members(j, members, ARRAY_COUNT(members));
        if (rc == 0 && entry.status == VERIFIER_TCB_NONE)
            rc = json_pull_fail(j, "an accepted status needs \"status\"");
        if (rc == 0)
            p->statuses[entry.status] =
                (struct policy_status){ .accepted = true, .grace_days = entry.grace_days };
    }
    return rc;
}

static int read_advisories(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    p->any_advisory = false;
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (p->advisory_count == VERIFIER_ADVISORY_COUNT_MAX)
            return json_pull_fail(j, "too many advisories");
        rc = json_read_string(j, p->advisories[p->advisory_count++], VERIFIER_ADVISORY_SIZE);
    }
    return rc;
}

static int read_intel(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = { { "tcb_status", read_statuses, p },
                                           { "advisories", read_advisories, p },
                                           { "tcb_evaluation_min", json_read_u32,
                                             &p->tcb_evaluation_min },
                                           { "tcb_date_min", read_time, &p->tcb_date_min_s },
                                           { "pce_svn_min", json_read_u16, &p->pce_svn_min },
                                           { "qe_isv_svn_min", json_read_u16, &p->qe_isv_svn_min },
                                           { "smt", read_not, &p->smt_refused } };

    return read_members(j, members, ARRAY_COUNT(members));
}

/* ---- AMD ---- */

static int read_tcb(struct json_pull *j, void *dst)
{
    struct verifier_snp_tcb *tcb = dst;
    const struct json_member members[] = { { "fmc", json_read_u8, &tcb->fmc },
                                           { "bootloader", json_read_u8, &tcb->bootloader },
                                           { "tee", json_read_u8, &tcb->tee },
                                           { "snp", json_read_u8, &tcb->snp },
                                           { "microcode", json_read_u8, &tcb->microcode } };

    return read_members(j, members, ARRAY_COUNT(members));
}

static int read_products(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    char name[16];
    int rc = json_pull_array_begin(j);

    memset(p->products, 0, sizeof p->products);
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        enum verifier_snp_product product;

        rc = json_read_string(j, name, sizeof name);
        if (rc < 0)
            return rc;
        product = snp_product_of_name(name);
        if (product == VERIFIER_SNP_UNKNOWN)
            return json_pull_fail(j, "a product is \"Milan\", \"Genoa\" or \"Turin\"");
        p->products[product] = true;
    }
    return rc;
}

static int read_tcb_min(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = {
        { "Milan", read_tcb, &p->tcb_min[VERIFIER_SNP_MILAN] },
        { "Genoa", read_tcb, &p->tcb_min[VERIFIER_SNP_GENOA] },
        { "Turin", read_tcb, &p->tcb_min[VERIFIER_SNP_TURIN] },
    };

    return read_members(j, members, ARRAY_COUNT(members));
}

static int read_csp_ids(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (p->csp_count == POLICY_CSP_COUNT_MAX)
            return json_pull_fail(j, "too many cloud providers");
        rc = read_name(j, p->csp_ids[p->csp_count++]);
    }
    return rc;
}

static int read_amd(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = { { "products", read_products, p },
                                           { "tcb_min", read_tcb_min, p },
                                           { "vcek", read_bool, &p->vcek_accepted },
                                           { "vlek", read_bool, &p->vlek_accepted },
                                           { "csp_ids", read_csp_ids, p },
                                           { "vmpl_max", json_read_u32, &p->vmpl_max },
                                           { "smt", read_not, &p->smt_guest_refused },
                                           { "migration", read_not, &p->migration_refused },
                                           { "single_socket", read_bool,
                                             &p->single_socket_required } };

    return read_members(j, members, ARRAY_COUNT(members));
}

/* ---- the rest ---- */

static int read_platforms(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        struct policy_bytes *more;

        if (p->platform_count == POLICY_PLATFORM_COUNT_MAX)
            return json_pull_fail(j, "too many platforms");
        more = realloc(p->platforms, (p->platform_count + 1) * sizeof *more);
        if (!more)
            return -ENOMEM;
        p->platforms = more;
        rc = read_8_bytes_or_more(j, &more[p->platform_count++]);
    }
    return rc;
}

static int read_freshness(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = { { "nonce", read_bool, &p->nonce_required },
                                           { "age_max_s", json_read_u32, &p->age_max_s } };

    return read_members(j, members, ARRAY_COUNT(members));
}

static int read_version(struct json_pull *j, void *dst)
{
    uint64_t version = 0;
    int rc = json_pull_uint(j, UINT32_MAX, &version);

    *(bool *)dst = true;
    return rc == 0 && version != POLICY_VERSION
               ? json_pull_fail(j, "this verifier reads policies of version 1")
               : rc;
}

static int read_policy(struct json_pull *j, struct verifier_policy *p)
{
    bool has_version = false;
    const struct json_member members[] = { { "version", read_version, &has_version },
                                           { "name", read_name, p->name },
                                           { "roots", read_roots, p },
                                           { "tee", read_tees, p },
                                           { "debug", read_bool, &p->debug },
                                           { "identities", read_identities, p },
                                           { "intel", read_intel, p },
                                           { "amd", read_amd, p },
                                           { "platforms", read_platforms, p },
                                           { "freshness", read_freshness, p } };
    int rc = read_members(j, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = json_pull_end(j);
    if (rc == 0 && !has_version)
        rc = json_pull_fail(j, "a policy needs \"version\": 1");
    return rc;
}

static void free_policyp(struct verifier_policy **policy)
{
    verifier_policy_free(*policy);
}

int verifier_policy_new(const char *json, size_t size, struct verifier_policy **ret,
                        struct err *err)
{
    CLEANUP(free_policyp)
    struct verifier_policy *p = NULL;
    struct json_pull j;
    unsigned line, column;
    int rc;

    if (size > VERIFIER_POLICY_SIZE_MAX)
        return err_set(err, -E2BIG, "the policy has %zu bytes; at most %u are read", size,
                       VERIFIER_POLICY_SIZE_MAX);
    p = malloc(sizeof *p);
    if (!p)
        return err_set_errno(err, -ENOMEM, "cannot hold the policy");
    policy_init_default(p);
    p->name[0] = 0;
    json_pull_init(&j, json, size);
    rc = read_policy(&j, p);
    if (rc == -ENOMEM)
        return err_set_errno(err, rc, "cannot hold the policy");
    if (rc < 0) {
        json_pull_place(json, size, j.pos, &line, &column);
        return err_set(err, -EINVAL, "line %u, column %u: %s", line, column,
                       j.error ? j.error : "not a policy");
    }
    *ret = TAKE_PTR(p);
    return 0;
}

void verifier_policy_free(struct verifier_policy *p)
{
    if (!p)
        return;
    free(p->identities);
    free(p->platforms);
    free(p);
}
