/* SPDX-License-Identifier: Apache-2.0 */
/* Verifies SEV-SNP reports: the report's signature, the VEK's chain, and that both are of one chip and TCB. Relying party. */
#include "verifier/snp/verify_snp.h"

#include <string.h>

#include "verifier/check.h"
#include "verifier/collateral.h"
#include "verifier/snp/id_block.h"
#include "verifier/snp/report.h"
#include "verifier/snp/vek.h"

#define VEK_CHAIN_COUNT 3u

static void verify_chain(const struct verifier_request *request,
                         const struct verifier_policy *policy, struct verifier_result *result)
{
    const struct verifier_collateral *c = request->collateral;
    const struct x509_chain *chain = &c->vek;
    int64_t until;

    if (!check_that(result, VERIFIER_CHECK_VEK_CHAIN,
                    chain->count == VEK_CHAIN_COUNT && chain->is_signed,
                    chain->count == VEK_CHAIN_COUNT ? "a certificate's signature"
                                                    : "VEK, ASK or ASVK, and ARK are no chain"))
        return;
    memcpy(result->root_key_sha256, chain->root_key_sha256, 32);
    if (policy_root_find(policy, chain->root_key_sha256))
        check_pass(result, VERIFIER_CHECK_UNTRUSTED_ROOT);
    else
        check_fail_values(result, VERIFIER_CHECK_UNTRUSTED_ROOT, "VEK chain",
                          value_text("a root key that the policy names"),
                          value_bytes(chain->root_key_sha256, 32));
    until = INT64_MAX;
    check_dates(result, "VEK chain", request->now_s, chain->not_before_s, chain->not_after_s,
                VERIFIER_CHECK_CERT_EXPIRED, VERIFIER_CHECK_CERT_EXPIRED, &until);
    result->valid_until_s = until;
}

/* AMD's list names the intermediates that its root revoked. It is optional: the key server answers it apart. */
static void verify_crl(const struct verifier_request *request, struct verifier_result *result)
{
    const struct verifier_collateral *c = request->collateral;
    const struct x509_chain *chain = &c->vek;
    int64_t until = result->valid_until_s;

    if (!c->vek_crl_given || chain->count != VEK_CHAIN_COUNT)
        return;
    if (!check_that(result, VERIFIER_CHECK_COLLATERAL_FORMAT, c->vek_crl.crl != NULL, "ARK CRL"))
        return;
    check_that(result, VERIFIER_CHECK_ROOT_CRL_SIGNATURE,
               x509_crl_is_by(&c->vek_crl, chain->certs[2]) &&
                   x509_crl_is_signed(&c->vek_crl, chain->certs[2], X509_PROFILE_AMD),
               "ARK CRL");
    check_dates(result, "ARK CRL", request->now_s, c->vek_crl.this_update_s,
                c->vek_crl.next_update_s, VERIFIER_CHECK_COLLATERAL_NOT_YET_VALID,
                VERIFIER_CHECK_COLLATERAL_EXPIRED, &until);
    result->valid_until_s = until;
    check_that(result, VERIFIER_CHECK_CERT_REVOKED,
               !x509_crl_has(&c->vek_crl, chain->certs[1]) &&
                   !x509_crl_has(&c->vek_crl, chain->certs[0]),
               "VEK or its issuer");
}

static void check_tcb(struct verifier_result *result, const char *item, unsigned expected,
                      unsigned actual)
{
    if (expected == actual)
        check_pass(result, VERIFIER_CHECK_TCB_MISMATCH);
    else
        check_fail_values(result, VERIFIER_CHECK_TCB_MISMATCH, item, value_uint(expected),
                          value_uint(actual));
}

/* The VEK is derived for one TCB, the reported one. */
static void check_tcbs(const struct vek *vek, struct verifier_result *result)
{
    const struct verifier_snp_tcb *reported = &result->snp.reported_tcb;

    check_tcb(result, "boot loader", vek->tcb.bootloader, reported->bootloader);
    check_tcb(result, "TEE", vek->tcb.tee, reported->tee);
    check_tcb(result, "SNP firmware", vek->tcb.snp, reported->snp);
    check_tcb(result, "microcode", vek->tcb.microcode, reported->microcode);
    check_tcb(result, "FMC", vek->tcb.fmc, reported->fmc);
    check_that(result, VERIFIER_CHECK_TCB_ORDER,
               snp_tcb_reaches(&result->snp.current_tcb, &result->snp.committed_tcb),
               "the committed TCB is above the current one");
}

static void check_chip(const struct vek *vek, struct verifier_result *result)
{
    static const uint8_t none[64];
    uint8_t expected[64] = { 0 };

    if (vek->is_vlek || (result->snp.mask_chip_key && memcmp(result->snp.chip_id, none, 64) == 0))
        return; /* the report does not tell the chip */
    memcpy(expected, vek->hw_id, vek->hw_id_size);
    check_bytes(result, VERIFIER_CHECK_HWID_MISMATCH, "chip id", expected, result->snp.chip_id,
                sizeof expected);
}

static void check_vek(const struct verifier_request *request, struct verifier_result *result)
{
    const X509 *cert = request->collateral->vek_leaf.certs[0];
    struct verifier_snp *snp = &result->snp;
    struct vek vek;

    if (vek_parse(cert, &vek) < 0) {
        check_fail(result, VERIFIER_CHECK_VEK_CHAIN, "extensions of the VEK certificate");
        return;
    }
    if (snp->product == VERIFIER_SNP_UNKNOWN && !snp->has_cpuid)
        snp->product = (uint8_t)vek.product;
    snp_report_tcbs(request->evidence.data, snp->product, snp);
    if (snp->product == vek.product && vek.product != VERIFIER_SNP_UNKNOWN)
        check_pass(result, VERIFIER_CHECK_PRODUCT_MISMATCH);
    else
        check_fail_values(result, VERIFIER_CHECK_PRODUCT_MISMATCH, "product of the VEK certificate",
                          value_text(snp_product_name(snp->product)),
                          value_text(snp_product_name(vek.product)));
    check_that(result, VERIFIER_CHECK_KEY_TYPE_MISMATCH,
               snp->signing_key <= 1 && snp->is_vlek == vek.is_vlek, "signing key of the report");
    memcpy(snp->csp_id, vek.csp_id, sizeof snp->csp_id);
    check_tcbs(&vek, result);
    check_chip(&vek, result);
}

static void verify_signature(const struct verifier_request *request, struct verifier_result *result)
{
    const uint8_t *report = request->evidence.data;
    EVP_PKEY *key = X509_get0_pubkey(request->collateral->vek_leaf.certs[0]);

    check_that(result, VERIFIER_CHECK_REPORT_SIGNATURE,
               key && snp_signature_verify(key, report, SNP_SIGNED_SIZE, report + SNP_SIGNED_SIZE),
               "signature by the VEK");
}

static void verify_id_block(const struct verifier_collateral *c, struct verifier_result *result)
{
    const char *wrong;

    if (c->id_block.size == 0)
        return;
    wrong = id_block_verify(c->id_block, c->id_auth, &result->snp);
    check_that(result, VERIFIER_CHECK_ID_BLOCK, wrong == NULL, wrong);
}

int snp_verify(const struct verifier_request *request, const struct verifier_policy *policy,
               struct verifier_result *result)
{
    const struct verifier_collateral *c = request->collateral;
    const char *why;

    if (snp_report_parse(request->evidence, &result->snp, &why) < 0) {
        check_fail(result, VERIFIER_CHECK_FORMAT, why);
        return 0;
    }
    check_pass(result, VERIFIER_CHECK_FORMAT);
    result->tee = VERIFIER_TEE_SNP;
    result->is_debug = result->snp.is_debug;
    if (result->snp.signature_algorithm == SNP_SIGNATURE_ECDSA_P384_SHA384)
        check_pass(result, VERIFIER_CHECK_SIGNATURE_ALGORITHM);
    else
        check_fail_values(result, VERIFIER_CHECK_SIGNATURE_ALGORITHM, "signature algorithm",
                          value_uint(SNP_SIGNATURE_ECDSA_P384_SHA384),
                          value_uint(result->snp.signature_algorithm));
    snp_report_tcbs(request->evidence.data, result->snp.product, &result->snp);
    if (!c || !c->vek_given) {
        check_fail(result, VERIFIER_CHECK_COLLATERAL_MISSING, "VEK certificate");
        return 0;
    }
    verify_chain(request, policy, result);
    verify_crl(request, result);
    if (c->vek_leaf.count == 1) {
        check_vek(request, result);
        verify_signature(request, result);
    } else {
        check_fail(result, VERIFIER_CHECK_VEK_CHAIN, "the VEK certificate cannot be read");
    }
    verify_id_block(c, result);
    return 0;
}
