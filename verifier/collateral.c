/* SPDX-License-Identifier: Apache-2.0 */
/* Parses collateral once, so that many verifications can use it. Relying party; input hostile. */
#include "verifier/collateral.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "verifier/ecdsa.h"
#include "verifier/intel/signed_json.h"

#define TCB_SIGNING_CN "Intel SGX TCB Signing"

/* ---- Intel ---- */

/* The signer must be the one certificate that Intel made for this: a PCK chains to the same root. */
static bool is_tcb_signing(const struct x509_chain *chain)
{
    char cn[64];

    return chain->count == 2 &&
           x509_name_cn(X509_get_subject_name(chain->certs[0]), cn, sizeof cn) == 0 &&
           strcmp(cn, TCB_SIGNING_CN) == 0;
}

bool collateral_is_signed(const struct signed_json *json, const struct x509_chain *chain)
{
    EVP_PKEY *key = chain->count ? X509_get0_pubkey(chain->certs[0]) : NULL;
    uint8_t digest[SHA256_SIZE];

    if (!key || !is_tcb_signing(chain))
        return false;
    sha256_digest(json->value.data, json->value.size, digest);
    return ecdsa_verify(key, json->signature, json->signature + 32, digest, sizeof digest);
}

/* returns: 0, whatever became of the item; -ENOMEM. */
static int add_chain(struct collateral_item *item, struct verifier_bytes chain)
{
    int rc = x509_chain_parse(&item->chain, X509_PROFILE_INTEL, &chain, 1);

    return rc == -ENOMEM ? rc : 0;
}

static int add_tcb_info(struct verifier_collateral *c,
                        const struct verifier_collateral_items *items)
{
    struct signed_json json;
    int rc = add_chain(&c->tcb, items->tcb_info_chain);

    c->tcb.is_given = items->tcb_info.size > 0;
    if (rc < 0 || signed_json_parse(items->tcb_info, "tcbInfo", &json) < 0)
        return rc;
    c->tcb.is_signed = collateral_is_signed(&json, &c->tcb.chain);
    c->tcb_info = calloc(1, sizeof *c->tcb_info);
    if (!c->tcb_info)
        return -ENOMEM;
    c->tcb.is_readable = tcb_info_parse(json.value, c->tcb_info) == 0;
    return 0;
}

static int add_qe_identity(struct verifier_collateral *c,
                           const struct verifier_collateral_items *items)
{
    struct signed_json json;
    int rc = add_chain(&c->qe, items->qe_identity_chain);

    c->qe.is_given = items->qe_identity.size > 0;
    if (rc < 0 || signed_json_parse(items->qe_identity, "enclaveIdentity", &json) < 0)
        return rc;
    c->qe.is_signed = collateral_is_signed(&json, &c->qe.chain);
    c->qe_identity = calloc(1, sizeof *c->qe_identity);
    if (!c->qe_identity)
        return -ENOMEM;
    c->qe.is_readable = qe_identity_parse(json.value, c->qe_identity) == 0;
    return 0;
}

/* The root's list comes without a chain; any of the roots at hand may have signed it. */
static void find_root_crl_signer(struct verifier_collateral *c)
{
    const struct x509_chain *chains[] = { &c->pck_crl_item.chain, &c->tcb.chain, &c->qe.chain };

    for (unsigned i = 0; i < ARRAY_COUNT(chains); i++) {
        const X509 *root;

        if (chains[i]->count == 0)
            continue;
        root = chains[i]->certs[chains[i]->count - 1];
        if (x509_crl_is_by(&c->root_crl, root) &&
            x509_crl_is_signed(&c->root_crl, root, X509_PROFILE_INTEL)) {
            memcpy(c->root_crl_signer_sha256, chains[i]->root_key_sha256, 32);
            return;
        }
    }
}

static int add_crls(struct verifier_collateral *c, const struct verifier_collateral_items *items)
{
    struct collateral_item *item = &c->pck_crl_item;
    int rc = add_chain(item, items->pck_crl_chain);

    item->is_given = items->pck_crl.size > 0;
    item->is_readable = x509_crl_parse(&c->pck_crl, items->pck_crl) == 0;
    item->is_signed = item->is_readable && item->chain.count > 0 &&
                      x509_crl_is_signed(&c->pck_crl, item->chain.certs[0], X509_PROFILE_INTEL);
    c->root_crl_given = items->root_crl.size > 0;
    if (rc == 0 && x509_crl_parse(&c->root_crl, items->root_crl) == 0)
        find_root_crl_signer(c);
    return rc;
}

/* ---- AMD ---- */

static int add_vek(struct verifier_collateral *c, const struct verifier_collateral_items *items)
{
    const struct verifier_bytes parts[] = { items->vek, items->vek_chain };
    int rc = x509_chain_parse(&c->vek, X509_PROFILE_AMD, parts, ARRAY_COUNT(parts));

    if (rc != -ENOMEM)
        rc = x509_chain_parse(&c->vek_leaf, X509_PROFILE_AMD, parts, 1);
    c->vek_given = items->vek.size > 0;
    c->vek_crl_given = items->vek_crl.size > 0;
    if (rc == -ENOMEM)
        return rc;
    rc = x509_crl_parse(&c->vek_crl, items->vek_crl);
    return rc == -ENOMEM ? rc : 0;
}

/* ---- the whole ---- */

static int copy_bytes(struct verifier_bytes *dst, struct verifier_bytes src)
{
    uint8_t *data;

    if (src.size == 0)
        return 0;
    data = malloc(src.size);
    if (!data)
        return -ENOMEM;
    memcpy(data, src.data, src.size);
    *dst = (struct verifier_bytes){ data, src.size };
    return 0;
}

static int check_sizes(const struct verifier_collateral_items *items, struct err *err)
{
    const struct {
        struct verifier_bytes bytes;
        const char *name;
    } all[] = {
        { items->tcb_info, "the TCB info" },
        { items->tcb_info_chain, "the TCB info's chain" },
        { items->qe_identity, "the quoting enclave's identity" },
        { items->qe_identity_chain, "the identity's chain" },
        { items->pck_crl, "the PCK revocation list" },
        { items->pck_crl_chain, "the PCK revocation list's chain" },
        { items->root_crl, "the root's revocation list" },
        { items->pck_chain, "the PCK chain" },
        { items->vek, "the VEK certificate" },
        { items->vek_chain, "the VEK's chain" },
        { items->vek_crl, "the VEK revocation list" },
        { items->id_block, "the ID block" },
        { items->id_auth, "the ID authentication information" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        if (all[i].bytes.size > VERIFIER_COLLATERAL_ITEM_SIZE_MAX)
            return err_set(err, -E2BIG, "%s has %zu bytes; at most %u are read", all[i].name,
                           all[i].bytes.size, VERIFIER_COLLATERAL_ITEM_SIZE_MAX);
    return 0;
}

static void free_collateralp(struct verifier_collateral **collateral)
{
    verifier_collateral_free(*collateral);
}

int verifier_collateral_new(const struct verifier_collateral_items *items,
                            struct verifier_collateral **ret, struct err *err)
{
    CLEANUP(free_collateralp)
    struct verifier_collateral *c = NULL;
    int rc = check_sizes(items, err);

    if (rc < 0)
        return rc;
    c = calloc(1, sizeof *c);
    if (!c)
        return err_set_errno(err, -ENOMEM, "cannot hold the collateral");
    c->has_intel = items->tcb_info.size || items->qe_identity.size || items->pck_crl.size ||
                   items->root_crl.size;
    c->has_amd = items->vek.size > 0;
    rc = add_tcb_info(c, items);
    if (rc == 0)
        rc = add_qe_identity(c, items);
    if (rc == 0)
        rc = add_crls(c, items);
    if (rc == 0)
        rc = add_vek(c, items);
    if (rc == 0)
        rc = copy_bytes(&c->pck_chain, items->pck_chain);
    if (rc == 0)
        rc = copy_bytes(&c->id_block, items->id_block);
    if (rc == 0)
        rc = copy_bytes(&c->id_auth, items->id_auth);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot hold the collateral");
    *ret = TAKE_PTR(c);
    return 0;
}

void verifier_collateral_free(struct verifier_collateral *c)
{
    if (!c)
        return;
    x509_chain_done(&c->tcb.chain);
    x509_chain_done(&c->qe.chain);
    x509_chain_done(&c->pck_crl_item.chain);
    x509_crl_done(&c->pck_crl);
    x509_crl_done(&c->root_crl);
    x509_chain_done(&c->vek);
    x509_chain_done(&c->vek_leaf);
    x509_crl_done(&c->vek_crl);
    free(c->tcb_info);
    free(c->qe_identity);
    free((void *)c->pck_chain.data);
    free((void *)c->id_block.data);
    free((void *)c->id_auth.data);
    free(c);
}
