/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence of configfs-tsm as a CMW. Runs inside a TEE; aux comes from the host and may be hostile. Linux, configfs-tsm-report (providers);
 * AMD 56421 (GHCB), "SNP Extended Guest Request": the certificate table.
 */
#include "attest/tsm_blobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "attest/cert.h"
#include "attest/collateral.h"
#include "lib/checked.h"

#define TABLE_ENTRY_SIZE 24u /* GUID, offset, size; an entry of zeros ends it */
#define TABLE_COUNT_MAX 16u
#define CERT_DER_SIZE_MAX (16u << 10)

/* GUIDs as they lie in memory: the first three fields little-endian. */
static const uint8_t g_guid_vcek[16] = { 0x8d, 0x75, 0xda, 0x63, 0x64, 0xe6, 0x64, 0x45,
                                         0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd };
static const uint8_t g_guid_vlek[16] = { 0xc2, 0x4b, 0x07, 0xa8, 0x5a, 0xa2, 0x3e, 0x48,
                                         0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1 };
static const uint8_t g_guid_ask[16] = { 0x79, 0xb3, 0xb7, 0x4a, 0xac, 0xbb, 0xe4, 0x4f,
                                        0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82 };
static const uint8_t g_guid_ark[16] = { 0xa4, 0x06, 0xb4, 0xc0, 0x03, 0xa8, 0x52, 0x49,
                                        0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae };

static uint32_t u32_at(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The entry with this GUID. */
static struct verifier_bytes table_find(const uint8_t *table, size_t size, const uint8_t guid[16])
{
    static const uint8_t zero[16];

    for (size_t i = 0; i < TABLE_COUNT_MAX && (i + 1) * TABLE_ENTRY_SIZE <= size; i++) {
        const uint8_t *entry = table + i * TABLE_ENTRY_SIZE;
        uint32_t off = u32_at(entry + 16), entry_size = u32_at(entry + 20);

        if (memcmp(entry, zero, sizeof zero) == 0)
            break;
        if (memcmp(entry, guid, 16) == 0 && range_within(off, entry_size, size) && entry_size > 0 &&
            entry_size <= CERT_DER_SIZE_MAX)
            return (struct verifier_bytes){ table + off, entry_size };
    }
    return (struct verifier_bytes){ NULL, 0 };
}

/* The collection, when there is anything for it. */
static int add_items(struct cmw *cmw, const struct verifier_collateral_items *items)
{
    int parent;

    if (collateral_is_empty(items))
        return 0;
    parent = cmw_add_collection(cmw, 0, COLLATERAL_LABEL, NULL);
    return parent < 0 ? parent : collateral_add_to_cmw(cmw, parent, items);
}

static int add_snp_table(struct cmw *cmw, const uint8_t *table, size_t size)
{
    struct verifier_bytes vek = table_find(table, size, g_guid_vcek);
    struct verifier_bytes ask = table_find(table, size, g_guid_ask);
    struct verifier_bytes ark = table_find(table, size, g_guid_ark);
    struct verifier_collateral_items items = { 0 };
    struct buffer chain;
    int rc;

    if (vek.size == 0)
        vek = table_find(table, size, g_guid_vlek);
    buffer_init(&chain, 2 * CERT_DER_SIZE_MAX);
    buffer_add(&chain, ask.data, ask.size);
    buffer_add(&chain, ark.data, ark.size);
    items.vek = vek;
    items.vek_chain = (struct verifier_bytes){ chain.data, chain.size };
    rc = chain.rc < 0 ? chain.rc : add_items(cmw, &items);
    buffer_done(&chain);
    return rc;
}

/* Collateral of an Intel platform: itself a CMW, the collection or one that has it. */
static int add_cmw(struct cmw *cmw, const uint8_t *data, size_t size)
{
    CLEANUP(cmw_freep)
    struct cmw *aux = NULL;
    struct verifier_collateral_items items;
    int rc = cmw_parse(data, size, &aux, NULL), index;

    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    index = cmw_item_find(aux, 0, COLLATERAL_LABEL);
    collateral_from_cmw(aux, index >= 0 ? index : 0, &items);
    return add_items(cmw, &items);
}

/* Quotes of Intel's come from TDX guests and from enclaves. */
static const char *type_of_provider(const char *provider)
{
    if (strcmp(provider, "sev_guest") == 0)
        return CMW_TYPE_SNP_REPORT;
    if (strcmp(provider, "tdx_guest") == 0 || strncmp(provider, "cloche", 6) == 0 ||
        strncmp(provider, "sgx", 3) == 0)
        return CMW_TYPE_INTEL_QUOTE;
    return NULL;
}

int tsm_blobs_wrap(const struct tsm_blobs *blobs, struct cmw **ret, struct err *err)
{
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    const char *type = type_of_provider(blobs->provider);
    int rc;

    if (!type)
        return err_set(err, -ENOTSUP, "evidence of the provider \"%s\" is not known",
                       blobs->provider);
    if (blobs->out_size == 0)
        return err_set(err, -EINVAL, "the provider \"%s\" gave no evidence", blobs->provider);
    rc = cmw_new(&cmw);
    if (rc == 0)
        rc = cmw_add_collection(cmw, CMW_TOP, "", NULL);
    if (rc >= 0)
        rc = cmw_add_record(cmw, 0, CERT_LABEL_EVIDENCE, type, CMW_EVIDENCE, blobs->out,
                            blobs->out_size);
    if (rc >= 0 && blobs->aux_size > 0)
        rc = strcmp(type, CMW_TYPE_SNP_REPORT) == 0
                 ? add_snp_table(cmw, blobs->aux, blobs->aux_size)
                 : add_cmw(cmw, blobs->aux, blobs->aux_size);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(cmw);
    return 0;
}
