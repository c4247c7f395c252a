/* SPDX-License-Identifier: Apache-2.0 */
/* Names of items. Relying party; names may be hostile. */
#include "collateral/item.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
    case COLLATERAL_SGX_EVALUATIONS:
    case COLLATERAL_TDX_EVALUATIONS:
        snprintf(dst, COLLATERAL_NAME_SIZE, "%s-tcb-evaluations",
                 id->kind == COLLATERAL_SGX_EVALUATIONS ? "sgx" : "tdx");
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
    if (strcmp(text, "tcb-evaluations") == 0) {
        id->kind = is_tdx ? COLLATERAL_TDX_EVALUATIONS : COLLATERAL_SGX_EVALUATIONS;
    } else if (take(&text, "tcb-")) {
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
        [COLLATERAL_SGX_EVALUATIONS] = "editions of TCB info for SGX",
        [COLLATERAL_TDX_EVALUATIONS] = "editions of TCB info for TDX",
        [COLLATERAL_PCK_CRL] = "revocation list of PCK certificates",
        [COLLATERAL_INTEL_ROOT_CRL] = "revocation list of Intel's root",
        [COLLATERAL_AMD_CHAIN] = "certificates of AMD's intermediate and root",
        [COLLATERAL_AMD_CRL] = "revocation list of AMD's root",
        [COLLATERAL_VCEK] = "VCEK certificate of the chip",
    };

    return texts[id->kind];
}
