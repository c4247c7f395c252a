/* SPDX-License-Identifier: Apache-2.0 */
/* Reads appraisal policies; docs/policy.md describes the JSON. Relying party; the text may be hostile, as any upload. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verifier/policy/policy_read.h"
#include "verifier/x509/chain.h"

#define POLICY_VERSION 1u
#define CERTIFICATE_SIZE_MAX 8192u

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
    const struct json_member members[] = { { "name", policy_read_name, root.name },
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
    rc = rc < 0 ? rc : policy_read_members(j, members, ARRAY_COUNT(members));
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
        rc = policy_read_8_bytes_or_more(j, &more[p->platform_count++]);
    }
    return rc;
}

static int read_freshness(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = { { "nonce", policy_read_bool, &p->nonce_required },
                                           { "age_max_s", json_read_u32, &p->age_max_s } };

    return policy_read_members(j, members, ARRAY_COUNT(members));
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
                                           { "name", policy_read_name, p->name },
                                           { "roots", read_roots, p },
                                           { "tee", read_tees, p },
                                           { "debug", policy_read_bool, &p->debug },
                                           { "identities", policy_read_identities, p },
                                           { "intel", policy_read_intel, p },
                                           { "amd", policy_read_amd, p },
                                           { "platforms", read_platforms, p },
                                           { "freshness", read_freshness, p } };
    int rc = policy_read_members(j, members, ARRAY_COUNT(members));

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
