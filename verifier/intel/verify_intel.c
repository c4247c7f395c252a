/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifies SGX and TDX quotes: signatures from the quote up to the root, then the platform against the collateral. Relying
 * party; the evidence is hostile. Source: Intel TDX DCAP Quoting Library API, "Quote verification".
 */
#include "verifier/intel/verify_intel.h"

#include <errno.h>
#include <string.h>

#include "lib/digest.h"
#include "verifier/check.h"
#include "verifier/collateral.h"
#include "verifier/ecdsa.h"
#include "verifier/intel/evaluate.h"
#include "verifier/intel/pck_cache.h"
#include "verifier/intel/qe_key.h"
#include "verifier/intel/quote.h"

#define PCK_CHAIN_COUNT 3u /* PCK, Processor or Platform CA, root */
#define PLATFORM_CA_CN "Intel SGX PCK Platform CA"

/* What one verification carries along. */
struct job {
    const struct verifier_request *request;
    const struct verifier_policy *policy;
    const struct verifier_collateral *collateral;
    struct verifier_result *result;
    struct quote quote;
    struct pck *pck;
    struct qe_key *qe_key;
};

/* ---- the chain of the PCK ---- */

static void check_root(struct job *j, const struct x509_chain *chain, const char *item)
{
    const struct policy_root *root = policy_root_find(j->policy, chain->root_key_sha256);

    if (root)
        check_pass(j->result, VERIFIER_CHECK_UNTRUSTED_ROOT);
    else
        check_fail_values(j->result, VERIFIER_CHECK_UNTRUSTED_ROOT, item,
                          value_text("a root key that the policy names"),
                          value_bytes(chain->root_key_sha256, 32));
}

static void check_chain_dates(struct job *j, const struct x509_chain *chain, const char *item)
{
    check_dates(j->result, item, j->request->now_s, chain->not_before_s, chain->not_after_s,
                VERIFIER_CHECK_CERT_EXPIRED, VERIFIER_CHECK_CERT_EXPIRED,
                &j->result->intel.collateral_until_s);
}

static void take_pck_claims(struct job *j)
{
    const struct verifier_intel *from = &j->pck->claims;
    struct verifier_intel *to = &j->result->intel;
    char cn[64];

    to->has_pck = true;
    memcpy(to->ppid, from->ppid, sizeof to->ppid);
    memcpy(to->pck_cpu_svn, from->pck_cpu_svn, sizeof to->pck_cpu_svn);
    memcpy(to->fmspc, from->fmspc, sizeof to->fmspc);
    memcpy(to->pce_id, from->pce_id, sizeof to->pce_id);
    memcpy(to->pck_svn, from->pck_svn, sizeof to->pck_svn);
    to->pck_pce_svn = from->pck_pce_svn;
    to->sgx_type = from->sgx_type;
    to->has_platform_instance_id = from->has_platform_instance_id;
    memcpy(to->platform_instance_id, from->platform_instance_id, sizeof to->platform_instance_id);
    to->dynamic_platform = from->dynamic_platform;
    to->cached_keys = from->cached_keys;
    to->smt_enabled = from->smt_enabled;
    to->is_platform_ca =
        x509_name_cn(X509_get_issuer_name(j->pck->chain.certs[0]), cn, sizeof cn) == 0 &&
        strcmp(cn, PLATFORM_CA_CN) == 0;
}

/* The chain in the quote, else that of the collateral. */
static struct verifier_bytes find_pck_chain(const struct job *j)
{
    if (j->quote.certification_type == QUOTE_CERT_PCK_CHAIN)
        return j->quote.certification_data;
    if (j->collateral && j->collateral->pck_chain.size > 0)
        return j->collateral->pck_chain;
    return (struct verifier_bytes){ 0 };
}

static int verify_pck(struct job *j)
{
    struct verifier_result *r = j->result;
    struct verifier_bytes bytes = find_pck_chain(j);
    const struct x509_chain *chain;
    int rc;

    if (bytes.size == 0) {
        check_fail_values(r, VERIFIER_CHECK_PCK_CHAIN, "certification data",
                          value_text("PCK certificate chain (type 5)"),
                          value_text(quote_certification_name(j->quote.certification_type)));
        return 0;
    }
    rc = pck_get(j->request->cache, bytes, &j->pck);
    if (rc < 0)
        return rc;
    chain = &j->pck->chain;
    if (!check_that(r, VERIFIER_CHECK_PCK_CHAIN, chain->count > 0, "not a chain of certificates"))
        return 0;
    check_that(r, VERIFIER_CHECK_PCK_CHAIN, chain->count == PCK_CHAIN_COUNT,
               "PCK, its CA and the root are three certificates");
    check_that(r, VERIFIER_CHECK_PCK_CHAIN, chain->is_signed, "a certificate's signature");
    if (check_that(r, VERIFIER_CHECK_PCK_CHAIN, j->pck->has_extension, "the SGX extension"))
        take_pck_claims(j);
    check_root(j, chain, "PCK chain");
    check_chain_dates(j, chain, "PCK chain");
    memcpy(r->root_key_sha256, chain->root_key_sha256, 32);
    return 0;
}

/* ---- the quote's own signatures ---- */

static void verify_qe_report(struct job *j)
{
    if (j->pck && j->pck->key)
        check_that(j->result, VERIFIER_CHECK_QE_REPORT_SIGNATURE, j->qe_key->is_signed,
                   "signature by the PCK");
}

/* The report data are SHA-256 over key and authentication data, then zeros. */
static void verify_binding(struct job *j)
{
    const struct quote *q = &j->quote;
    uint8_t expected[64] = { 0 };
    struct sha256 hash;

    sha256_init(&hash);
    sha256_update(&hash, q->attestation_key, 64);
    sha256_update(&hash, q->qe_auth_data.data, q->qe_auth_data.size);
    sha256_final(&hash, expected);
    check_bytes(j->result, VERIFIER_CHECK_QE_REPORT_BINDING, "report data of the quoting enclave",
                expected, j->result->intel.qe_report.report_data, sizeof expected);
}

static void verify_quote_signature(struct job *j)
{
    const struct quote *q = &j->quote;
    uint8_t digest[SHA256_SIZE];

    if (!check_that(j->result, VERIFIER_CHECK_QUOTE_SIGNATURE, j->qe_key->key != NULL,
                    "the attestation key is no point of P-256"))
        return;
    sha256_digest(q->signed_part.data, q->signed_part.size, digest);
    check_that(j->result, VERIFIER_CHECK_QUOTE_SIGNATURE,
               ecdsa_verify(j->qe_key->key, q->signature, q->signature + 32, digest, sizeof digest),
               "signature by the attestation key");
}

/* ---- collateral ---- */

static void check_collateral_dates(struct job *j, const char *item, int64_t from_s, int64_t until_s)
{
    check_dates(j->result, item, j->request->now_s, from_s, until_s,
                VERIFIER_CHECK_COLLATERAL_NOT_YET_VALID, VERIFIER_CHECK_COLLATERAL_EXPIRED,
                &j->result->intel.collateral_until_s);
}

/* Signed collateral must come from the very root that the PCK chains to: the policy may trust several. */
static void check_item_chain(struct job *j, const struct collateral_item *item,
                             enum verifier_check_code code, const char *name)
{
    const struct x509_chain *chain = &item->chain;
    bool is_same_root;

    if (!check_that(j->result, code, chain->count > 0 && chain->is_signed, name))
        return;
    check_root(j, chain, name);
    check_collateral_dates(j, name, chain->not_before_s, chain->not_after_s);
    is_same_root = !j->pck || j->pck->chain.count == 0 ||
                   memcmp(chain->root_key_sha256, j->pck->chain.root_key_sha256, 32) == 0;
    if (!is_same_root &&
        j->result->checks[VERIFIER_CHECK_UNTRUSTED_ROOT].state != VERIFIER_CHECK_FAILED)
        check_fail_values(j->result, code, name, value_bytes(j->pck->chain.root_key_sha256, 32),
                          value_bytes(chain->root_key_sha256, 32));
    /* The signer itself may have been revoked by the root. */
    if (chain->count > 1 && x509_crl_has(&j->collateral->root_crl, chain->certs[chain->count - 2]))
        check_fail(j->result, VERIFIER_CHECK_CERT_REVOKED, name);
}

static void check_given(struct job *j, bool given, const char *item)
{
    check_that(j->result, VERIFIER_CHECK_COLLATERAL_MISSING, given, item);
}

static void verify_root_crl(struct job *j)
{
    const struct verifier_collateral *c = j->collateral;
    static const uint8_t none[32];

    check_given(j, c->root_crl_given, "rootCaCrl");
    if (!c->root_crl_given)
        return;
    if (!check_that(j->result, VERIFIER_CHECK_COLLATERAL_FORMAT, c->root_crl.crl != NULL,
                    "rootCaCrl"))
        return;
    check_that(j->result, VERIFIER_CHECK_ROOT_CRL_SIGNATURE,
               memcmp(c->root_crl_signer_sha256, none, 32) != 0, "rootCaCrl");
    check_collateral_dates(j, "rootCaCrl.nextUpdate", c->root_crl.this_update_s,
                           c->root_crl.next_update_s);
}

/* Which list is needed depends on the PCK that signed; another one that stands in the quote says nothing. */
static bool pck_signed_qe_report(const struct job *j)
{
    return j->result->checks[VERIFIER_CHECK_QE_REPORT_SIGNATURE].state == VERIFIER_CHECK_PASSED;
}

static void verify_pck_crl(struct job *j)
{
    const struct verifier_collateral *c = j->collateral;
    const struct collateral_item *item = &c->pck_crl_item;

    check_given(j, item->is_given, "pckCrl");
    if (!item->is_given)
        return;
    if (!check_that(j->result, VERIFIER_CHECK_COLLATERAL_FORMAT, item->is_readable, "pckCrl"))
        return;
    check_item_chain(j, item, VERIFIER_CHECK_PCK_CRL_CHAIN, "pckCrl issuer chain");
    check_that(j->result, VERIFIER_CHECK_PCK_CRL_SIGNATURE, item->is_signed, "pckCrl");
    check_collateral_dates(j, "pckCrl.nextUpdate", c->pck_crl.this_update_s,
                           c->pck_crl.next_update_s);
    if (pck_signed_qe_report(j) && j->pck->chain.count > 1)
        check_that(j->result, VERIFIER_CHECK_PCK_CRL_ISSUER_MISMATCH,
                   x509_crl_is_by(&c->pck_crl, j->pck->chain.certs[1]), "pckCrl");
}

/* PCK in its CA's list, the CA in the root's. */
static void verify_revocation(struct job *j)
{
    const struct verifier_collateral *c = j->collateral;

    if (!j->pck || j->pck->chain.count < PCK_CHAIN_COUNT || !c->pck_crl.crl || !c->root_crl.crl)
        return;
    check_that(j->result, VERIFIER_CHECK_CERT_REVOKED,
               !x509_crl_has(&c->pck_crl, j->pck->chain.certs[0]), "PCK certificate");
    check_that(j->result, VERIFIER_CHECK_CERT_REVOKED,
               !x509_crl_has(&c->root_crl, j->pck->chain.certs[1]), "PCK CA certificate");
}

static void verify_tcb_info(struct job *j)
{
    const struct verifier_collateral *c = j->collateral;

    check_given(j, c->tcb.is_given, "tcbInfo");
    if (!c->tcb.is_given)
        return;
    if (!check_that(j->result, VERIFIER_CHECK_COLLATERAL_FORMAT, c->tcb.is_readable, "tcbInfo"))
        return;
    check_item_chain(j, &c->tcb, VERIFIER_CHECK_TCB_SIGNING_CHAIN, "tcbInfo issuer chain");
    check_that(j->result, VERIFIER_CHECK_TCB_INFO_SIGNATURE, c->tcb.is_signed, "tcbInfo");
    check_collateral_dates(j, "tcbInfo.nextUpdate", c->tcb_info->issue_date_s,
                           c->tcb_info->next_update_s);
}

static void verify_qe_identity(struct job *j)
{
    const struct verifier_collateral *c = j->collateral;

    check_given(j, c->qe.is_given, "qeIdentity");
    if (!c->qe.is_given)
        return;
    if (!check_that(j->result, VERIFIER_CHECK_COLLATERAL_FORMAT, c->qe.is_readable, "qeIdentity"))
        return;
    check_item_chain(j, &c->qe, VERIFIER_CHECK_QE_IDENTITY_CHAIN, "qeIdentity issuer chain");
    check_that(j->result, VERIFIER_CHECK_QE_IDENTITY_SIGNATURE, c->qe.is_signed, "qeIdentity");
    check_collateral_dates(j, "qeIdentity.nextUpdate", c->qe_identity->issue_date_s,
                           c->qe_identity->next_update_s);
}

static void verify_collateral(struct job *j)
{
    if (!j->collateral || !j->collateral->has_intel) {
        check_fail(j->result, VERIFIER_CHECK_COLLATERAL_MISSING, "none was given");
        return;
    }
    verify_root_crl(j);
    verify_pck_crl(j);
    verify_revocation(j);
    verify_tcb_info(j);
    verify_qe_identity(j);
    intel_evaluate(j->collateral, &j->quote, j->result);
}

/* ---- the whole ---- */

static void take_report(const struct quote *q, struct verifier_result *r)
{
    quote_claims(q, &r->intel);
    if (q->body_type == QUOTE_BODY_SGX) {
        r->tee = VERIFIER_TEE_SGX;
        quote_sgx_report_parse(q->body, &r->sgx);
        r->is_debug = r->sgx.attributes[0] & 0x02; /* SDM: ATTRIBUTES.DEBUG */
    } else {
        r->tee = VERIFIER_TEE_TDX;
        quote_tdx_report_parse(q->body, q->body_type == QUOTE_BODY_TDX_1_5, &r->tdx);
        r->is_debug = r->tdx.td_attributes[0] & 0x01; /* TDX module: TD_ATTRIBUTES.DEBUG */
    }
}

int intel_verify(const struct verifier_request *request, const struct verifier_policy *policy,
                 struct verifier_result *result)
{
    struct job j = {
        .request = request, .policy = policy, .collateral = request->collateral, .result = result
    };
    const char *why;
    int rc;

    result->intel.collateral_until_s = INT64_MAX;
    if (quote_parse(request->evidence, &j.quote, &why) < 0) {
        check_fail(result, VERIFIER_CHECK_FORMAT, why);
        return 0;
    }
    check_pass(result, VERIFIER_CHECK_FORMAT);
    take_report(&j.quote, result);
    rc = verify_pck(&j);
    if (rc == 0)
        rc = qe_key_get(request->cache, j.pck, &j.quote, &j.qe_key);
    if (rc == 0) {
        verify_qe_report(&j);
        verify_binding(&j);
        verify_quote_signature(&j);
        verify_collateral(&j);
    }
    qe_key_unref(j.qe_key);
    pck_unref(j.pck);
    return rc;
}
