/* SPDX-License-Identifier: Apache-2.0 */
/* Collateral in a CMW and in certificates. Relying party and agent; interoperable RA-TLS, "SGX / TDX Endorsement Data Format". */
#include "attest/collateral.h"

#include <errno.h>
#include <stdlib.h>

#include "attest/cbor.h"

#define TAG_INTEL_QUOTE 60000u
#define FIELD_COUNT_MIN 8u /* with the version; a ninth, a date, may follow */
#define FIELD_COUNT_MAX 9u
#define FIELDS_VERSION 1u

#define KIND(label, ending, type)                                                                  \
    {                                                                                              \
#label, #label ending, type, offsetof(struct verifier_collateral_items, label)             \
    }
const struct collateral_kind g_collateral_kinds[COLLATERAL_KIND_COUNT] = {
    KIND(tcb_info, ".json", CMW_TYPE_JSON),
    { "tcb_info_issuer_chain", "tcb_info_issuer_chain.pem", CMW_TYPE_PEM_CHAIN,
      offsetof(struct verifier_collateral_items, tcb_info_chain) },
    KIND(qe_identity, ".json", CMW_TYPE_JSON),
    { "qe_identity_issuer_chain", "qe_identity_issuer_chain.pem", CMW_TYPE_PEM_CHAIN,
      offsetof(struct verifier_collateral_items, qe_identity_chain) },
    KIND(pck_crl, ".der", CMW_TYPE_CRL),
    { "pck_crl_issuer_chain", "pck_crl_issuer_chain.pem", CMW_TYPE_PEM_CHAIN,
      offsetof(struct verifier_collateral_items, pck_crl_chain) },
    { "root_ca_crl", "root_ca_crl.der", CMW_TYPE_CRL,
      offsetof(struct verifier_collateral_items, root_crl) },
    KIND(pck_chain, ".pem", CMW_TYPE_PEM_CHAIN),
    KIND(vek, ".der", CMW_TYPE_CERT),
    KIND(vek_chain, ".pem", CMW_TYPE_PEM_CHAIN),
    KIND(vek_crl, ".der", CMW_TYPE_CRL),
    KIND(id_block, ".bin", CMW_TYPE_BYTES),
    KIND(id_auth, ".bin", CMW_TYPE_BYTES),
};

struct verifier_bytes *collateral_place(struct verifier_collateral_items *items,
                                        const struct collateral_kind *kind)
{
    return (struct verifier_bytes *)((char *)items + kind->off);
}

static struct verifier_bytes item_get(const struct verifier_collateral_items *items,
                                      const struct collateral_kind *kind)
{
    return *(const struct verifier_bytes *)((const char *)items + kind->off);
}

bool collateral_is_empty(const struct verifier_collateral_items *items)
{
    for (unsigned i = 0; i < COLLATERAL_KIND_COUNT; i++)
        if (item_get(items, &g_collateral_kinds[i]).size > 0)
            return false;
    return true;
}

void collateral_from_cmw(const struct cmw *cmw, int parent, struct verifier_collateral_items *ret)
{
    *ret = (struct verifier_collateral_items){ 0 };
    for (unsigned i = 0; i < COLLATERAL_KIND_COUNT; i++) {
        int index = cmw_item_find(cmw, parent, g_collateral_kinds[i].label);
        const struct cmw_item *item = index >= 0 ? cmw_item_get(cmw, index) : NULL;

        if (item && !item->is_collection)
            *collateral_place(ret, &g_collateral_kinds[i]) =
                (struct verifier_bytes){ item->data, item->size };
    }
}

int collateral_add_to_cmw(struct cmw *cmw, int parent,
                          const struct verifier_collateral_items *items)
{
    for (unsigned i = 0; i < COLLATERAL_KIND_COUNT; i++) {
        const struct collateral_kind *kind = &g_collateral_kinds[i];
        struct verifier_bytes bytes = item_get(items, kind);
        int rc = bytes.size == 0 ? 0
                                 : cmw_add_record(cmw, parent, kind->label, kind->type,
                                                  CMW_ENDORSEMENTS, bytes.data, bytes.size);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- endorsements of a certificate ---- */

/* In the order of the format, after the version. */
static void intel_fields(struct verifier_collateral_items *items,
                         struct verifier_bytes *ret[FIELD_COUNT_MIN - 1])
{
    ret[0] = &items->tcb_info;
    ret[1] = &items->tcb_info_chain;
    ret[2] = &items->pck_crl;
    ret[3] = &items->root_crl;
    ret[4] = &items->pck_crl_chain;
    ret[5] = &items->qe_identity;
    ret[6] = &items->qe_identity_chain;
}

static int encode_amd(const struct verifier_collateral_items *items, struct buffer *ret)
{
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    uint8_t *bytes;
    size_t size;
    int rc = cmw_new(&cmw);

    if (rc == 0)
        rc = cmw_add_collection(cmw, CMW_TOP, "", NULL);
    if (rc >= 0)
        rc = collateral_add_to_cmw(cmw, 0, items);
    if (rc == 0)
        rc = cmw_encode_cbor(cmw, &bytes, &size);
    if (rc < 0)
        return rc;
    buffer_add(ret, bytes, size);
    free(bytes);
    return ret->rc;
}

int collateral_encode_endorsements(const struct verifier_collateral_items *items,
                                   struct buffer *ret)
{
    struct verifier_collateral_items all = *items;
    struct verifier_bytes *fields[FIELD_COUNT_MIN - 1];

    if (collateral_is_empty(items))
        return -ENOENT;
    if (items->tcb_info.size == 0)
        return encode_amd(items, ret);
    intel_fields(&all, fields);
    cbor_add_head(ret, CBOR_TAG, TAG_INTEL_QUOTE);
    cbor_add_head(ret, CBOR_ARRAY, FIELD_COUNT_MIN);
    cbor_add_head(ret, CBOR_UINT, FIELDS_VERSION);
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++)
        cbor_add_bytes(ret, fields[i]->data, fields[i]->size);
    return ret->rc;
}

static int parse_intel(struct cbor_pull *c, struct verifier_collateral_items *ret)
{
    struct verifier_bytes *fields[FIELD_COUNT_MIN - 1];
    struct verifier_bytes date;
    uint64_t tag, count, version;

    if (cbor_pull_head(c, CBOR_TAG, &tag) < 0 || tag != TAG_INTEL_QUOTE ||
        cbor_pull_head(c, CBOR_ARRAY, &count) < 0 || count < FIELD_COUNT_MIN ||
        count > FIELD_COUNT_MAX || cbor_pull_head(c, CBOR_UINT, &version) < 0)
        return -EINVAL;
    intel_fields(ret, fields);
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++)
        if (cbor_pull_string(c, CBOR_BYTES, &fields[i]->data, &fields[i]->size) < 0)
            return -EINVAL;
    if (count == FIELD_COUNT_MAX && cbor_pull_string(c, CBOR_BYTES, &date.data, &date.size) < 0)
        return -EINVAL;
    return c->size == 0 ? 0 : -EINVAL;
}

int collateral_parse_endorsements(const uint8_t *data, size_t size,
                                  struct verifier_collateral_items *ret, struct cmw **ret_cmw)
{
    struct cbor_pull c = { data, size };
    struct verifier_collateral_items items = { 0 };
    struct cmw *cmw = NULL;
    int rc = 0;

    if (cbor_pull_peek(&c) == CBOR_TAG)
        rc = parse_intel(&c, &items);
    else
        rc = cmw_parse(data, size, &cmw, NULL);
    if (rc < 0)
        return rc;
    if (cmw)
        collateral_from_cmw(cmw, 0, &items);
    *ret = items;
    *ret_cmw = cmw;
    return 0;
}
