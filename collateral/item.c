/* SPDX-License-Identifier: Apache-2.0 */
/* Names of items, and which of them evidence needs. Relying party; names and evidence may be hostile. */
#include "collateral/item.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verifier/snp/report.h"

static const char *const g_products[] = {
    [VERIFIER_SNP_MILAN] = "milan", [VERIFIER_SNP_GENOA] = "genoa", [VERIFIER_SNP_TURIN] = "turin"
};

const char *item_product_name(uint8_t product)
{
    return product < ARRAY_COUNT(g_products) ? g_products[product] : NULL;
}

size_t item_chip_id_size(uint8_t product)
{
    return product == VERIFIER_SNP_TURIN ? 8 : 64;
}

void item_hex(const uint8_t *bytes, size_t size, char *dst)
{
    for (size_t i = 0; i < size; i++)
        snprintf(dst + 2 * i, 3, "%02x", bytes[i]);
    dst[2 * size] = 0;
}

/* ---- names ---- */

/* The order is that of the numbers in the query of the key server. */
static void print_vcek(const struct collateral_item_id *id, char dst[COLLATERAL_NAME_SIZE])
{
    const struct verifier_snp_tcb *tcb = &id->tcb;
    char chip[129];
    int len;

    item_hex(id->chip_id, item_chip_id_size(id->product), chip);
    len = snprintf(dst, COLLATERAL_NAME_SIZE, "amd-%s-vcek-%s-", item_product_name(id->product),
                   chip);
    if (id->product == VERIFIER_SNP_TURIN)
        len += snprintf(dst + len, COLLATERAL_NAME_SIZE - (size_t)len, "%02x", tcb->fmc);
    snprintf(dst + len, COLLATERAL_NAME_SIZE - (size_t)len, "%02x%02x%02x%02x", tcb->bootloader,
             tcb->tee, tcb->snp, tcb->microcode);
}

char *collateral_item_name(const struct collateral_item_id *id, char dst[COLLATERAL_NAME_SIZE])
{
    const char *early = id->is_early ? "-early" : "";
    char fmspc[13];

    item_hex(id->fmspc, sizeof id->fmspc, fmspc);
    switch (id->kind) {
    case COLLATERAL_SGX_TCB:
    case COLLATERAL_TDX_TCB:
        snprintf(dst, COLLATERAL_NAME_SIZE, "%s-tcb-%s%s",
                 id->kind == COLLATERAL_SGX_TCB ? "sgx" : "tdx", fmspc, early);
        break;
    case COLLATERAL_SGX_QE_IDENTITY:
    case COLLATERAL_TDX_QE_IDENTITY:
        snprintf(dst, COLLATERAL_NAME_SIZE, "%s-qe-identity%s",
                 id->kind == COLLATERAL_SGX_QE_IDENTITY ? "sgx" : "tdx", early);
        break;
    case COLLATERAL_PCK_CRL:
        snprintf(dst, COLLATERAL_NAME_SIZE, "pck-crl-%s",
                 id->is_platform_ca ? "platform" : "processor");
        break;
    case COLLATERAL_INTEL_ROOT_CRL:
        snprintf(dst, COLLATERAL_NAME_SIZE, "intel-root-crl");
        break;
    case COLLATERAL_AMD_CHAIN:
    case COLLATERAL_AMD_CRL:
        snprintf(dst, COLLATERAL_NAME_SIZE, "amd-%s-%s-%s", item_product_name(id->product),
                 id->is_vlek ? "vlek" : "vcek", id->kind == COLLATERAL_AMD_CHAIN ? "chain" : "crl");
        break;
    default:
        print_vcek(id, dst);
    }
    return dst;
}

/* text moves past the prefix. */
static bool take(const char **text, const char *prefix)
{
    size_t len = strlen(prefix);

    if (strncmp(*text, prefix, len) != 0)
        return false;
    *text += len;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(const char **text, uint8_t *dst, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit((*text)[0]);
        int low = high < 0 ? -1 : hex_digit((*text)[1]);

        if (low < 0)
            return false;
        dst[i] = (uint8_t)(high << 4 | low);
        *text += 2;
    }
    return true;
}

static void parse_intel(const char *text, struct collateral_item_id *id, bool is_tdx)
{
    if (take(&text, "tcb-")) {
        if (take_hex(&text, id->fmspc, sizeof id->fmspc))
            id->kind = is_tdx ? COLLATERAL_TDX_TCB : COLLATERAL_SGX_TCB;
    } else if (take(&text, "qe-identity")) {
        id->kind = is_tdx ? COLLATERAL_TDX_QE_IDENTITY : COLLATERAL_SGX_QE_IDENTITY;
    }
    id->is_early = strcmp(text, "-early") == 0;
}

static void parse_amd(const char *text, struct collateral_item_id *id)
{
    uint8_t svn[5];
    bool is_turin;

    for (uint8_t i = VERIFIER_SNP_MILAN; i <= VERIFIER_SNP_TURIN; i++)
        if (take(&text, g_products[i]))
            id->product = i;
    is_turin = id->product == VERIFIER_SNP_TURIN;
    id->is_vlek = strncmp(text, "-vlek-", 6) == 0;
    if (id->product == VERIFIER_SNP_UNKNOWN || (!take(&text, "-vcek-") && !take(&text, "-vlek-")))
        return;
    if (strcmp(text, "chain") == 0) {
        id->kind = COLLATERAL_AMD_CHAIN;
    } else if (strcmp(text, "crl") == 0) {
        id->kind = COLLATERAL_AMD_CRL;
    } else if (take_hex(&text, id->chip_id, item_chip_id_size(id->product)) && take(&text, "-") &&
               take_hex(&text, svn + !is_turin, 4u + is_turin)) {
        id->kind = COLLATERAL_VCEK;
        id->tcb =
            (struct verifier_snp_tcb){ is_turin ? svn[0] : 0, svn[1], svn[2], svn[3], svn[4] };
    }
}

int collateral_item_parse(const char *name, struct collateral_item_id *ret)
{
    struct collateral_item_id id = { .kind = COLLATERAL_KIND_COUNT };
    char again[COLLATERAL_NAME_SIZE];
    const char *text = name;

    if (take(&text, "sgx-"))
        parse_intel(text, &id, false);
    else if (take(&text, "tdx-"))
        parse_intel(text, &id, true);
    else if (take(&text, "amd-"))
        parse_amd(text, &id);
    else if (take(&text, "pck-crl-"))
        id = (struct collateral_item_id){ .kind = COLLATERAL_PCK_CRL,
                                          .is_platform_ca = *text == 'p' && text[1] == 'l' };
    else if (strcmp(text, "intel-root-crl") == 0)
        id.kind = COLLATERAL_INTEL_ROOT_CRL;
    /* One name per item: what would be written otherwise is none. */
    if (id.kind == COLLATERAL_KIND_COUNT || strcmp(collateral_item_name(&id, again), name) != 0)
        return -EINVAL;
    *ret = id;
    return 0;
}

const char *collateral_item_what(const struct collateral_item_id *id)
{
    static const char *const texts[COLLATERAL_KIND_COUNT] = {
        [COLLATERAL_SGX_TCB] = "TCB info for SGX",
        [COLLATERAL_TDX_TCB] = "TCB info for TDX",
        [COLLATERAL_SGX_QE_IDENTITY] = "identity of the SGX quoting enclave",
        [COLLATERAL_TDX_QE_IDENTITY] = "identity of the TDX quoting enclave",
        [COLLATERAL_PCK_CRL] = "revocation list of PCK certificates",
        [COLLATERAL_INTEL_ROOT_CRL] = "revocation list of Intel's root",
        [COLLATERAL_AMD_CHAIN] = "certificates of AMD's intermediate and root",
        [COLLATERAL_AMD_CRL] = "revocation list of AMD's root",
        [COLLATERAL_VCEK] = "VCEK certificate of the chip",
    };

    return texts[id->kind];
}

/* ---- needs ---- */

static void add(struct collateral_needs *needs, struct collateral_item_id id)
{
    needs->items[needs->count++] = id;
}

static int find_intel(const struct verifier_result *r, bool is_early, struct collateral_needs *ret,
                      struct err *err)
{
    bool is_tdx = r->tee == VERIFIER_TEE_TDX;
    struct collateral_item_id tcb = { .kind = is_tdx ? COLLATERAL_TDX_TCB : COLLATERAL_SGX_TCB,
                                      .is_early = is_early };
    struct collateral_item_id qe = { .kind = is_tdx ? COLLATERAL_TDX_QE_IDENTITY
                                                    : COLLATERAL_SGX_QE_IDENTITY,
                                     .is_early = is_early };

    if (!r->intel.has_pck)
        return err_set(
            err, -EINVAL,
            "the quote carries no PCK certificate (certification data type %u), so it does "
            "not tell its platform; ask its host for a quote of type 5, or name the items "
            "to fetch",
            r->intel.certification_data_type);
    memcpy(tcb.fmspc, r->intel.fmspc, sizeof tcb.fmspc);
    /* The root's list is checked with the chain of the first. */
    add(ret, (struct collateral_item_id){ .kind = COLLATERAL_PCK_CRL,
                                          .is_platform_ca = r->intel.is_platform_ca });
    add(ret, (struct collateral_item_id){ .kind = COLLATERAL_INTEL_ROOT_CRL });
    add(ret, tcb);
    add(ret, qe);
    return 0;
}

static int find_amd(struct verifier_bytes evidence, struct verifier_result *r,
                    const struct collateral_wishes *wishes, struct collateral_needs *ret,
                    struct err *err)
{
    static const uint8_t masked[64];
    struct collateral_item_id vcek = { .kind = COLLATERAL_VCEK };
    uint8_t product = wishes->product;

    if (r->snp.signing_key > 1)
        return err_set(err, -EINVAL, "the report is not signed (signing key %u)",
                       r->snp.signing_key);
    if (r->snp.product != VERIFIER_SNP_UNKNOWN)
        product = r->snp.product;
    ret->product_guessed = product == VERIFIER_SNP_UNKNOWN;
    if (ret->product_guessed)
        product = VERIFIER_SNP_MILAN;
    add(ret, (struct collateral_item_id){
                 .kind = COLLATERAL_AMD_CHAIN, .product = product, .is_vlek = r->snp.is_vlek });
    add(ret, (struct collateral_item_id){
                 .kind = COLLATERAL_AMD_CRL, .product = product, .is_vlek = r->snp.is_vlek });
    ret->is_vlek = r->snp.is_vlek;
    if (r->snp.is_vlek || wishes->has_vek)
        return 0;
    if (memcmp(r->snp.chip_id, masked, sizeof masked) == 0)
        return err_set(
            err, -EINVAL,
            "the report hides its chip id (MASK_CHIP_ID), so its VCEK cannot be asked for; "
            "take the certificate from the evidence's host (--vek FILE)");
    snp_report_tcbs(evidence.data, product, &r->snp); /* their layout depends on the product */
    vcek.product = product;
    memcpy(vcek.chip_id, r->snp.chip_id, item_chip_id_size(product));
    vcek.tcb = r->snp.reported_tcb;
    if (product != VERIFIER_SNP_TURIN)
        vcek.tcb.fmc = 0;
    add(ret, vcek);
    return 0;
}

int collateral_needs_find(struct verifier_bytes evidence, const struct collateral_wishes *wishes,
                          struct collateral_needs *ret, struct err *err)
{
    struct verifier_request request = { .evidence = evidence };
    struct verifier_result *result = malloc(sizeof *result);
    struct collateral_needs needs = { 0 };
    int rc;

    if (!result)
        return err_set_errno(err, -ENOMEM, "cannot read the evidence");
    rc = verifier_verify(&request, result);
    if (rc < 0)
        rc = err_set_errno(err, rc, "cannot read the evidence");
    else if (result->tee == VERIFIER_TEE_NONE)
        rc = err_set(err, -EINVAL, "it is no quote or report that `cloche verify` can read");
    else if (result->tee == VERIFIER_TEE_SNP)
        rc = find_amd(evidence, result, wishes, &needs, err);
    else
        rc = find_intel(result, wishes->is_early, &needs, err);
    needs.tee = rc < 0 ? VERIFIER_TEE_NONE : result->tee;
    free(result);
    if (rc == 0)
        *ret = needs;
    return rc;
}
