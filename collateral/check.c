/* SPDX-License-Identifier: Apache-2.0 */
/* Checks entries with the parsers of the verifier. Relying party; entries are hostile. */
#include "collateral/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collateral/item.h"
#include "verifier/collateral.h"
#include "verifier/intel/evaluations.h"
#include "verifier/intel/signed_json.h"
#include "verifier/json_read.h"
#include "verifier/policy/policy.h"
#include "verifier/snp/report.h"
#include "verifier/snp/vek.h"

#define PLATFORM_CA_CN "Intel SGX PCK Platform CA"
#define PROCESSOR_CA_CN "Intel SGX PCK Processor CA"

/* What one check carries along. */
struct job {
    const struct verifier_policy *policy;
    struct collateral_entry *entry;
    struct verifier_bytes body, chain;
    struct err *err;
};

static int refuse(const struct job *j, const char *why)
{
    return err_set(j->err, -EBADMSG, "%s", why);
}

static void note_dates(struct collateral_entry *entry, const struct x509_chain *chain,
                       int64_t from_s, int64_t until_s)
{
    entry->issued_s = MAX(from_s, chain->not_before_s);
    entry->expires_s = MIN(until_s, chain->not_after_s);
}

/* Signed all the way, up to a root that is trusted. */
static int check_chain(const struct job *j, const struct x509_chain *chain)
{
    char cn[64] = "unknown", key[65];

    if (j->chain.size == 0)
        return refuse(j, "it came without its issuer chain");
    if (chain->count == 0)
        return refuse(j, "its issuer chain cannot be read, or is no single path to a root");
    if (!chain->is_signed)
        return refuse(j, "its issuer chain is badly signed");
    if (policy_root_find(j->policy, chain->root_key_sha256))
        return 0;
    if (x509_name_cn(X509_get_subject_name(chain->certs[chain->count - 1]), cn, sizeof cn) < 0)
        snprintf(cn, sizeof cn, "unknown");
    item_hex(chain->root_key_sha256, 32, key);
    return err_set(j->err, -EBADMSG,
                   "its issuer chain ends at a root that is not trusted: %s, key %s; --policy FILE "
                   "names other roots",
                   cn, key);
}

static bool cn_is(const X509 *cert, const char *expected)
{
    char cn[64];

    return x509_name_cn(X509_get_subject_name(cert), cn, sizeof cn) == 0 &&
           strcmp(cn, expected) == 0;
}

/* ---- Intel ---- */

static int check_tcb(const struct job *j, const struct verifier_collateral *c)
{
    const struct tcb_info *info = c->tcb_info;
    char fmspc[13];
    int rc;

    if (!c->tcb.is_readable)
        return refuse(j, "it is not TCB info (cut, or another document)");
    rc = check_chain(j, &c->tcb.chain);
    if (rc < 0)
        return rc;
    if (!c->tcb.is_signed)
        return refuse(j, "its signature is not by the TCB signing certificate of its issuer chain");
    if (info->is_tdx != (j->entry->id.kind == COLLATERAL_TDX_TCB))
        return refuse(j,
                      info->is_tdx ? "it is for TDX, not for SGX" : "it is for SGX, not for TDX");
    item_hex(info->fmspc, sizeof info->fmspc, fmspc);
    if (memcmp(info->fmspc, j->entry->id.fmspc, sizeof info->fmspc) != 0)
        return err_set(j->err, -EBADMSG, "it is for another platform, FMSPC %s", fmspc);
    note_dates(j->entry, &c->tcb.chain, info->issue_date_s, info->next_update_s);
    j->entry->evaluation_number = info->evaluation_data_number;
    return 0;
}

static int check_identity(const struct job *j, const struct verifier_collateral *c)
{
    const char *id = j->entry->id.kind == COLLATERAL_TDX_QE_IDENTITY ? "TD_QE" : "QE";
    int rc;

    if (!c->qe.is_readable)
        return refuse(j, "it is not an enclave's identity (cut, or another document)");
    rc = check_chain(j, &c->qe.chain);
    if (rc < 0)
        return rc;
    if (!c->qe.is_signed)
        return refuse(j, "its signature is not by the TCB signing certificate of its issuer chain");
    if (strcmp(c->qe_identity->id, id) != 0)
        return err_set(j->err, -EBADMSG, "it is the identity of \"%s\", not of \"%s\"",
                       c->qe_identity->id, id);
    note_dates(j->entry, &c->qe.chain, c->qe_identity->issue_date_s, c->qe_identity->next_update_s);
    j->entry->evaluation_number = c->qe_identity->evaluation_data_number;
    return 0;
}

static int check_evaluations(const struct job *j)
{
    struct tcb_evaluations *list = malloc(sizeof *list);
    struct x509_chain chain;
    int rc = list ? x509_chain_parse(&chain, X509_PROFILE_INTEL, &j->chain, 1) : -ENOMEM;

    if (rc == -ENOMEM) {
        free(list);
        return err_set_errno(j->err, rc, "cannot hold the answer");
    }
    rc = check_chain(j, &chain);
    if (rc == 0) {
        rc = tcb_evaluations_verify(j->body, &chain, list);
        if (rc == -EINVAL)
            rc = refuse(j, "it is not a list of TCB evaluation data numbers (cut, or another "
                           "document)");
        else if (rc < 0)
            rc = refuse(j, "its signature is not by the TCB signing certificate of its issuer "
                           "chain");
        else if (list->is_tdx != (j->entry->id.kind == COLLATERAL_TDX_EVALUATIONS))
            rc = refuse(j, "it is for the other kind of TEE");
        else
            note_dates(j->entry, &chain, list->issue_date_s, list->next_update_s);
    }
    x509_chain_done(&chain);
    free(list);
    return rc;
}

int collateral_recovery_find(const struct collateral_entry *entry, uint32_t number, int64_t *ret_s)
{
    struct tcb_evaluations *list = malloc(sizeof *list);
    const struct tcb_evaluation *found = NULL;
    struct signed_json json;

    if (list &&
        signed_json_parse((struct verifier_bytes){ entry->body, entry->body_size },
                          "tcbEvaluationDataNumbers", &json) == 0 &&
        tcb_evaluations_parse(json.value, list) == 0)
        found = tcb_evaluation_find(list, number);
    if (found)
        *ret_s = found->recovery_s;
    free(list);
    return found ? 0 : -ENOENT;
}

static int check_pck_crl(const struct job *j, const struct verifier_collateral *c)
{
    const struct x509_chain *chain = &c->pck_crl_item.chain;
    int rc;

    if (!c->pck_crl_item.is_readable)
        return refuse(j, "it is not a revocation list (cut, or another document)");
    rc = check_chain(j, chain);
    if (rc < 0)
        return rc;
    if (!c->pck_crl_item.is_signed || !x509_crl_is_by(&c->pck_crl, chain->certs[0]))
        return refuse(j, "it is not signed by the CA that its issuer chain starts with");
    if (!cn_is(chain->certs[0], j->entry->id.is_platform_ca ? PLATFORM_CA_CN : PROCESSOR_CA_CN))
        return refuse(j, "it is of the other PCK CA, or of none");
    note_dates(j->entry, chain, c->pck_crl.this_update_s, c->pck_crl.next_update_s);
    return 0;
}

static int check_root_crl(const struct job *j, const struct verifier_collateral *c)
{
    const struct x509_chain *chain = &c->pck_crl_item.chain;
    int rc;

    if (!c->root_crl.crl)
        return refuse(j, "it is not a revocation list (cut, or another document)");
    rc = check_chain(j, chain);
    if (rc < 0)
        return rc;
    if (memcmp(c->root_crl_signer_sha256, chain->root_key_sha256, 32) != 0)
        return refuse(j, "it is not signed by the root that PCK certificates chain to");
    note_dates(j->entry, chain, c->root_crl.this_update_s, c->root_crl.next_update_s);
    return 0;
}

static void free_collateralp(struct verifier_collateral **c)
{
    verifier_collateral_free(*c);
}

static int check_intel(const struct job *j)
{
    struct verifier_collateral_items items = { 0 };
    CLEANUP(free_collateralp)
    struct verifier_collateral *c = NULL;
    uint8_t kind = j->entry->id.kind;
    int rc;

    if (kind == COLLATERAL_SGX_EVALUATIONS || kind == COLLATERAL_TDX_EVALUATIONS)
        return check_evaluations(j);
    switch (kind) {
    case COLLATERAL_SGX_TCB:
    case COLLATERAL_TDX_TCB:
        items.tcb_info = j->body;
        items.tcb_info_chain = j->chain;
        break;
    case COLLATERAL_SGX_QE_IDENTITY:
    case COLLATERAL_TDX_QE_IDENTITY:
        items.qe_identity = j->body;
        items.qe_identity_chain = j->chain;
        break;
    default:
        items.pck_crl_chain = j->chain;
        *(kind == COLLATERAL_PCK_CRL ? &items.pck_crl : &items.root_crl) = j->body;
    }
    rc = verifier_collateral_new(&items, &c, j->err);
    if (rc < 0)
        return rc;
    if (items.tcb_info.size)
        return check_tcb(j, c);
    if (items.qe_identity.size)
        return check_identity(j, c);
    return kind == COLLATERAL_PCK_CRL ? check_pck_crl(j, c) : check_root_crl(j, c);
}

/* ---- AMD ---- */

/* ASK or ASVK and ARK of the product that the name says. */
static int check_amd_issuers(const struct job *j, const struct x509_chain *chain, unsigned first)
{
    const struct collateral_item_id *id = &j->entry->id;
    const char *product = snp_product_name(id->product);
    char issuer_cn[32], root_cn[32];

    snprintf(issuer_cn, sizeof issuer_cn, id->is_vlek ? "SEV-VLEK-%s" : "SEV-%s", product);
    snprintf(root_cn, sizeof root_cn, "ARK-%s", product);
    if (chain->count != first + 2 || !cn_is(chain->certs[first], issuer_cn) ||
        !cn_is(chain->certs[first + 1], root_cn))
        return err_set(j->err, -EBADMSG, "its certificates are not %s and %s", issuer_cn, root_cn);
    return 0;
}

static int check_vcek(const struct job *j, const struct x509_chain *chain)
{
    const struct collateral_item_id *id = &j->entry->id;
    struct vek vek;
    int rc = check_amd_issuers(j, chain, 1);

    if (rc < 0)
        return rc;
    if (vek_parse(chain->certs[0], &vek) < 0 || vek.is_vlek)
        return refuse(j, "it is not a VCEK certificate");
    if (vek.product != id->product || vek.hw_id_size != item_chip_id_size(id->product) ||
        memcmp(vek.hw_id, id->chip_id, vek.hw_id_size) != 0)
        return refuse(j, "it is the certificate of another chip");
    if (memcmp(&vek.tcb, &id->tcb, sizeof vek.tcb) != 0)
        return refuse(j, "it is the chip's certificate for another TCB version");
    return 0;
}

static int check_amd_crl(const struct job *j, const struct x509_chain *chain)
{
    struct x509_crl crl;
    const X509 *root;
    int rc = check_amd_issuers(j, chain, 0);

    if (rc < 0)
        return rc;
    rc = x509_crl_parse(&crl, j->body);
    if (rc < 0)
        return rc == -ENOMEM ? err_set_errno(j->err, rc, "cannot hold the revocation list")
                             : refuse(j, "it is not a revocation list (cut, or another document)");
    root = chain->certs[1];
    if (!x509_crl_is_by(&crl, root) || !x509_crl_is_signed(&crl, root, X509_PROFILE_AMD))
        rc = refuse(j, "it is not signed by the ARK");
    note_dates(j->entry, chain, crl.this_update_s, crl.next_update_s);
    x509_crl_done(&crl);
    return rc;
}

static int check_amd(const struct job *j)
{
    uint8_t kind = j->entry->id.kind;
    const struct verifier_bytes parts[] = { j->chain, j->body };
    struct x509_chain chain;
    int rc = x509_chain_parse(&chain, X509_PROFILE_AMD, parts, kind == COLLATERAL_VCEK ? 2 : 1);

    if (rc == -ENOMEM)
        return err_set_errno(j->err, rc, "cannot hold the certificates");
    rc = rc < 0 && kind == COLLATERAL_VCEK
             ? refuse(j, "it is no certificate, or not one of its issuer chain")
             : check_chain(j, &chain);
    if (rc == 0 && kind == COLLATERAL_AMD_CRL) {
        rc = check_amd_crl(j, &chain);
    } else if (rc == 0) {
        rc = kind == COLLATERAL_VCEK ? check_vcek(j, &chain) : check_amd_issuers(j, &chain, 0);
        note_dates(j->entry, &chain, INT64_MIN, INT64_MAX);
    }
    x509_chain_done(&chain);
    return rc;
}

/* ---- the whole ---- */

int check_entry(const struct verifier_policy *policy, struct collateral_entry *entry,
                struct err *err)
{
    struct job j = {
        policy, entry, { entry->body, entry->body_size }, { entry->chain, entry->chain_size }, err
    };

    if (entry->body_size == 0)
        return refuse(&j, "it is empty");
    if (entry->id.kind == COLLATERAL_AMD_CHAIN)
        j.chain = j.body;
    return entry->id.kind < COLLATERAL_AMD_CHAIN ? check_intel(&j) : check_amd(&j);
}

int check_dates_now(const struct collateral_entry *entry, int64_t now_s, struct err *err)
{
    char date[TIME_TEXT_SIZE], now[TIME_TEXT_SIZE];

    time_print(now_s, now);
    if (now_s > entry->expires_s) {
        time_print(entry->expires_s, date);
        return err_set(err, -EBADMSG, "it expired at %s, and now it is %s", date, now);
    }
    if (now_s < entry->issued_s) {
        time_print(entry->issued_s, date);
        return err_set(err, -EBADMSG, "it is valid from %s, and now it is %s: is the clock right?",
                       date, now);
    }
    return 0;
}

bool check_is_older(const struct collateral_entry *a, const struct collateral_entry *b)
{
    if (a->id.kind == COLLATERAL_AMD_CHAIN || a->id.kind == COLLATERAL_VCEK)
        return false; /* certificates: another one replaces none */
    return a->issued_s < b->issued_s || a->evaluation_number < b->evaluation_number;
}
