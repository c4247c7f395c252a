/* SPDX-License-Identifier: Apache-2.0 */
/* Which items a piece of evidence needs, told by the verifier's own reader. Relying party; evidence is hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collateral/item.h"
#include "verifier/snp/report.h"

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
