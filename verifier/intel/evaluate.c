/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCB evaluation of SGX and TDX. Relying party. Sources: Intel PCS API v4, "TCB info V3"; Intel TDX DCAP Quoting Library API,
 * "TCB status of TDX"; TD relaunch: the same, for TD 1.5 bodies.
 */
#include "verifier/intel/evaluate.h"

#include <stdlib.h>
#include <string.h>

#include "verifier/check.h"
#include "verifier/intel/tcb.h"

/* ---- advisories: in order, each once ---- */

static void add_advisories(struct verifier_advisories *r, const struct tcb_advisory_list *list,
                           struct tcb_advisories of)
{
    for (unsigned i = 0; i < of.count; i++) {
        const char *name = list->names[of.first + i];
        unsigned at = 0;
        int order = 1;

        while (at < r->count && (order = strcmp(r->names[at], name)) < 0)
            at++;
        if ((at < r->count && order == 0) || r->count == VERIFIER_ADVISORY_COUNT_MAX)
            continue;
        memmove(r->names[at + 1], r->names[at], (r->count - at) * sizeof r->names[0]);
        memcpy(r->names[at], name, sizeof r->names[0]);
        r->count++;
    }
}

/* When the last update that the statuses ask for was there. */
static void note_newest(struct verifier_intel *r, int64_t date_s)
{
    r->tcb_newest_date_s = MAX(r->tcb_newest_date_s, date_s);
}

/* ---- the quoting enclave ---- */

static bool masked_equal(const uint8_t *a, const uint8_t *b, const uint8_t *mask, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((a[i] ^ b[i]) & mask[i])
            return false;
    return true;
}

static void check_masked(struct verifier_result *result, const char *item, const uint8_t *expected,
                         const uint8_t *actual, const uint8_t *mask, size_t size)
{
    if (masked_equal(expected, actual, mask, size))
        check_pass(result, VERIFIER_CHECK_QE_IDENTITY_MISMATCH);
    else
        check_fail_values(result, VERIFIER_CHECK_QE_IDENTITY_MISMATCH, item,
                          value_bytes(expected, size), value_bytes(actual, size));
}

static void evaluate_qe(const struct qe_identity *id, bool is_tdx, struct verifier_result *result)
{
    const struct verifier_sgx_report *qe = &result->intel.qe_report;
    const char *expected_id = is_tdx ? "TD_QE" : "QE";
    uint8_t misc[4] = { (uint8_t)qe->misc_select, (uint8_t)(qe->misc_select >> 8),
                        (uint8_t)(qe->misc_select >> 16), (uint8_t)(qe->misc_select >> 24) };
    const struct tcb_isv_level *level = tcb_isv_level_find(&id->tcb, qe->isv_svn);

    check_that(result, VERIFIER_CHECK_QE_IDENTITY_MISMATCH, strcmp(id->id, expected_id) == 0,
               "the identity is for another kind of quoting enclave");
    check_bytes(result, VERIFIER_CHECK_QE_IDENTITY_MISMATCH, "mrsigner", id->mrsigner, qe->mrsigner,
                sizeof qe->mrsigner);
    check_masked(result, "miscselect", id->misc_select, misc, id->misc_select_mask, sizeof misc);
    check_masked(result, "attributes", id->attributes, qe->attributes, id->attributes_mask,
                 sizeof qe->attributes);
    if (qe->isv_prod_id != id->isv_prod_id)
        check_fail_values(result, VERIFIER_CHECK_QE_IDENTITY_MISMATCH, "isvprodid",
                          value_uint(id->isv_prod_id), value_uint(qe->isv_prod_id));
    if (id->tcb.count > 0)
        note_newest(&result->intel, id->tcb.levels[0].date_s);
    result->intel.qe_tcb_status = level ? level->status : VERIFIER_TCB_NOT_SUPPORTED;
    if (level)
        add_advisories(&result->intel.qe_advisories, &id->advisories, level->advisories);
    else
        check_fail_values(result, VERIFIER_CHECK_TCB_NOT_SUPPORTED, "isvsvn of the quoting enclave",
                          value_text("a level of the identity"), value_uint(qe->isv_svn));
}

/* ---- the TDX module ---- */

static void evaluate_module(const struct tcb_info *info, struct verifier_result *result)
{
    const struct verifier_tdx_report *td = &result->tdx;
    const struct tcb_module *module = tcb_module_find(info, td->tee_tcb_svn[1]);
    const struct tcb_isv_level *level;

    if (!check_that(result, VERIFIER_CHECK_TDX_MODULE_MISMATCH, module != NULL,
                    "the TCB info does not list this version of the module"))
        return;
    check_bytes(result, VERIFIER_CHECK_TDX_MODULE_MISMATCH, "mrsignerseam", module->mrsigner,
                td->mrsignerseam, sizeof td->mrsignerseam);
    if (!masked_equal(module->attributes, td->seam_attributes, module->attributes_mask,
                      sizeof td->seam_attributes))
        check_fail_values(result, VERIFIER_CHECK_TDX_MODULE_MISMATCH, "seamattributes",
                          value_bytes(module->attributes, sizeof module->attributes),
                          value_bytes(td->seam_attributes, sizeof td->seam_attributes));
    if (td->tee_tcb_svn[1] == 0)
        return; /* its SVN is part of the platform's level */
    level = tcb_isv_level_find(&module->tcb, td->tee_tcb_svn[0]);
    if (module->tcb.count > 0)
        note_newest(&result->intel, module->tcb.levels[0].date_s);
    result->intel.module_tcb_status = level ? level->status : VERIFIER_TCB_NOT_SUPPORTED;
    if (level)
        add_advisories(&result->intel.module_advisories, &info->advisories, level->advisories);
    else
        check_fail_values(result, VERIFIER_CHECK_TCB_NOT_SUPPORTED, "SVN of the TDX module",
                          value_text("a level of the module's identity"),
                          value_uint(td->tee_tcb_svn[0]));
}

/*
 * The TD was launched under an older module than the one that runs now: tee_tcb_svn is that of the launch, tee_tcb_svn2 the
 * present one. When only that makes the platform out of date, launching the TD again is all that is needed.
 */
static bool is_relaunch_enough(const struct tcb_info *info, const struct verifier_result *result)
{
    const struct verifier_intel *r = &result->intel;
    const struct verifier_tdx_report *td = &result->tdx;
    const struct tcb_module *module;

    if (!td->is_1_5 || r->module_tcb_status != VERIFIER_TCB_OUT_OF_DATE ||
        r->qe_tcb_status == VERIFIER_TCB_OUT_OF_DATE ||
        r->sgx_tcb_status == VERIFIER_TCB_OUT_OF_DATE ||
        r->sgx_tcb_status == VERIFIER_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED ||
        r->sgx_tcb_status == VERIFIER_TCB_REVOKED)
        return false;
    module = tcb_module_find(info, td->tee_tcb_svn2[1]);
    return module && module->tcb.count > 0 &&
           td->tee_tcb_svn2[0] >= module->tcb.levels[0].isv_svn &&
           td->tee_tcb_svn2[2] >= info->levels[0].tdx_svn[2];
}

/* ---- the platform ---- */

static bool is_for_platform(const struct tcb_info *info, bool is_tdx,
                            struct verifier_result *result)
{
    const struct verifier_intel *r = &result->intel;
    bool good = check_bytes(result, VERIFIER_CHECK_FMSPC_MISMATCH, "FMSPC", info->fmspc, r->fmspc,
                            sizeof r->fmspc);

    good &= check_bytes(result, VERIFIER_CHECK_TCB_INFO_MISMATCH, "PCEID", info->pce_id, r->pce_id,
                        sizeof r->pce_id);
    /* A TDX platform's SGX levels are the same, but Intel signs a TCB info for each kind. */
    good &= check_that(result, VERIFIER_CHECK_TCB_INFO_MISMATCH, info->is_tdx == is_tdx,
                       "the TCB info is for the other kind of TEE");
    return good;
}

static void evaluate_platform(const struct tcb_info *info, bool is_tdx,
                              struct verifier_result *result)
{
    struct verifier_intel *r = &result->intel;
    const uint8_t *tdx_svn = is_tdx ? result->tdx.tee_tcb_svn : NULL;
    const struct tcb_level *sgx_level = tcb_level_find(info, r->pck_svn, r->pck_pce_svn, NULL);
    const struct tcb_level *level = tcb_level_find(info, r->pck_svn, r->pck_pce_svn, tdx_svn);

    note_newest(r, info->levels[0].date_s);
    r->tcb_evaluation_data_number = info->evaluation_data_number;
    r->sgx_tcb_status = sgx_level ? sgx_level->status : VERIFIER_TCB_NOT_SUPPORTED;
    if (!level) {
        r->platform_tcb_status = VERIFIER_TCB_NOT_SUPPORTED;
        check_fail_values(
            result, VERIFIER_CHECK_TCB_NOT_SUPPORTED, "component SVNs of the platform",
            value_bytes(info->levels[info->level_count - 1].sgx_svn, VERIFIER_SVN_COUNT),
            value_bytes(r->pck_svn, VERIFIER_SVN_COUNT));
        return;
    }
    check_pass(result, VERIFIER_CHECK_TCB_NOT_SUPPORTED);
    r->platform_tcb_status = level->status;
    r->tcb_date_s = level->date_s;
    add_advisories(&r->platform_advisories, &info->advisories, level->advisories);
}

static enum verifier_tcb_status converge(const struct tcb_info *info, bool is_tdx,
                                         const struct verifier_result *result)
{
    const struct verifier_intel *r = &result->intel;
    enum verifier_tcb_status status = r->platform_tcb_status;

    if (status == VERIFIER_TCB_NOT_SUPPORTED || r->qe_tcb_status == VERIFIER_TCB_NOT_SUPPORTED ||
        r->module_tcb_status == VERIFIER_TCB_NOT_SUPPORTED)
        return VERIFIER_TCB_NOT_SUPPORTED;
    status = tcb_status_converge(status, r->module_tcb_status);
    if (is_tdx && is_relaunch_enough(info, result)) {
        if (status == VERIFIER_TCB_OUT_OF_DATE)
            return VERIFIER_TCB_TD_RELAUNCH_ADVISED;
        if (status == VERIFIER_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED)
            return VERIFIER_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED;
    }
    return tcb_status_converge(status, r->qe_tcb_status);
}

void intel_evaluate(const struct verifier_collateral *c, const struct quote *quote,
                    struct verifier_result *result)
{
    bool is_tdx = quote->tee_type == QUOTE_TEE_TDX;

    if (c->qe.is_readable)
        evaluate_qe(c->qe_identity, is_tdx, result);
    if (!c->tcb.is_readable || !result->intel.has_pck ||
        !is_for_platform(c->tcb_info, is_tdx, result))
        return;
    evaluate_platform(c->tcb_info, is_tdx, result);
    if (is_tdx)
        evaluate_module(c->tcb_info, result);
    result->intel.tcb_status = converge(c->tcb_info, is_tdx, result);
}
