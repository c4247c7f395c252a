/* SPDX-License-Identifier: Apache-2.0 */
/* Judges claims under a policy. Relying party; pure. */
#include <string.h>

#include "verifier/check.h"
#include "verifier/little_endian.h"
#include "verifier/policy/policy.h"
#include "verifier/snp/report.h"

#define SECONDS_PER_DAY 86400
#define APP_DIGEST_SIZE 48
#define HOST_DATA_SIZE 32

static const char *const g_tee_names[] = { "unknown", "SGX", "TDX", "SEV-SNP" };

/* ---- identity ---- */

static bool fits(const struct policy_bytes *asked, const uint8_t *actual)
{
    return asked->size == 0 || memcmp(asked->bytes, actual, asked->size) == 0;
}

static bool sgx_fits(const struct policy_identity *id, const struct verifier_sgx_report *r)
{
    /* The app digest is in a measured page: mrenclave stands for it. */
    return fits(&id->mrenclave, r->mrenclave) && fits(&id->mrsigner, r->mrsigner) &&
           (!id->has_isv_prod_id || id->isv_prod_id == r->isv_prod_id) &&
           r->isv_svn >= id->isv_svn_min && fits(&id->config_id, r->config_id) &&
           r->config_svn >= id->config_svn_min && fits(&id->isv_family_id, r->isv_family_id) &&
           fits(&id->isv_ext_prod_id, r->isv_ext_prod_id);
}

static bool tdx_fits(const struct policy_identity *id, const struct verifier_tdx_report *r)
{
    for (unsigned i = 0; i < ARRAY_COUNT(id->rtmr); i++)
        if (!fits(&id->rtmr[i], r->rtmr[i]))
            return false;
    return fits(&id->mrtd, r->mrtd) && fits(&id->mrconfigid, r->mrconfigid) &&
           fits(&id->app_digest, r->mrconfigid) && fits(&id->mrowner, r->mrowner) &&
           fits(&id->mrownerconfig, r->mrownerconfig) &&
           (!id->mrservicetd.size || (r->is_1_5 && fits(&id->mrservicetd, r->mrservicetd)));
}

static bool snp_fits(const struct policy_identity *id, const struct verifier_snp *r)
{
    /* HOST_DATA has 32 bytes: it holds the first 32 of the app digest. */
    bool app =
        id->app_digest.size == 0 || memcmp(id->app_digest.bytes, r->host_data, HOST_DATA_SIZE) == 0;

    return app && fits(&id->measurement, r->measurement) && fits(&id->host_data, r->host_data) &&
           fits(&id->id_key_digest, r->id_key_digest) &&
           (!id->author_key_digest.size ||
            (r->author_key_en && fits(&id->author_key_digest, r->author_key_digest))) &&
           fits(&id->family_id, r->family_id) && fits(&id->image_id, r->image_id) &&
           r->guest_svn >= id->guest_svn_min;
}

static bool identity_fits(const struct policy_identity *id, const struct verifier_result *result)
{
    if (id->tee != result->tee)
        return false;
    if (result->tee == VERIFIER_TEE_SGX)
        return sgx_fits(id, &result->sgx);
    if (result->tee == VERIFIER_TEE_TDX)
        return tdx_fits(id, &result->tdx);
    return snp_fits(id, &result->snp);
}

static struct verifier_value measurement_of(const struct verifier_result *result)
{
    if (result->tee == VERIFIER_TEE_SGX)
        return value_bytes(result->sgx.mrenclave, sizeof result->sgx.mrenclave);
    if (result->tee == VERIFIER_TEE_TDX)
        return value_bytes(result->tdx.mrtd, sizeof result->tdx.mrtd);
    return value_bytes(result->snp.measurement, sizeof result->snp.measurement);
}

static void appraise_identity(const struct verifier_policy *p, struct verifier_result *result)
{
    if (p->identity_count == 0)
        return;
    for (unsigned i = 0; i < p->identity_count; i++)
        if (identity_fits(&p->identities[i], result)) {
            result->identity_name = p->identities[i].name;
            check_pass(result, VERIFIER_CHECK_POLICY_IDENTITY);
            return;
        }
    check_fail_values(result, VERIFIER_CHECK_POLICY_IDENTITY, "measurement",
                      value_text("an identity of the policy"), measurement_of(result));
}

/* ---- Intel ---- */

static void limit(struct verifier_result *result, int64_t until_s)
{
    if (result->valid_until_s == 0 || until_s < result->valid_until_s)
        result->valid_until_s = until_s;
}

static void appraise_status(const struct verifier_policy *p, int64_t now_s,
                            struct verifier_result *result)
{
    unsigned status = result->intel.tcb_status;
    const struct policy_status *entry = &p->statuses[status];
    int64_t until;

    if (status == VERIFIER_TCB_NONE || status == VERIFIER_TCB_NOT_SUPPORTED)
        return; /* not evaluated: another check says why */
    if (!entry->accepted) {
        check_fail_values(result, VERIFIER_CHECK_POLICY_TCB_STATUS, "TCB status",
                          value_text("a status that the policy accepts"),
                          value_text(verifier_tcb_status_name(status)));
        return;
    }
    if (entry->grace_days > 0) {
        until = result->intel.tcb_newest_date_s + entry->grace_days * (int64_t)SECONDS_PER_DAY;
        if (now_s > until) {
            check_fail_values(result, VERIFIER_CHECK_POLICY_TCB_STATUS, "end of the grace period",
                              value_time(until), value_time(now_s));
            return;
        }
        result->is_in_grace = true;
        limit(result, until);
    }
    check_pass(result, VERIFIER_CHECK_POLICY_TCB_STATUS);
}

static bool is_listed(const struct verifier_policy *p, const char *advisory)
{
    for (unsigned i = 0; i < p->advisory_count; i++)
        if (strcmp(p->advisories[i], advisory) == 0)
            return true;
    return false;
}

static void check_advisories(const struct verifier_policy *p, const char *part,
                             const struct verifier_advisories *list, struct verifier_result *result)
{
    for (unsigned i = 0; i < list->count; i++)
        if (!is_listed(p, list->names[i]))
            check_fail_values(result, VERIFIER_CHECK_POLICY_ADVISORY, part,
                              value_text("an advisory that the policy accepts"),
                              value_copy(list->names[i]));
    check_pass(result, VERIFIER_CHECK_POLICY_ADVISORY);
}

static void appraise_advisories(const struct verifier_policy *p, struct verifier_result *result)
{
    const struct verifier_intel *r = &result->intel;

    if (p->any_advisory)
        return;
    check_advisories(p, "platform", &r->platform_advisories, result);
    check_advisories(p, "TDX module", &r->module_advisories, result);
    check_advisories(p, "quoting enclave", &r->qe_advisories, result);
}

static void check_min(struct verifier_result *result, enum verifier_check_code code,
                      const char *item, uint64_t min, uint64_t actual)
{
    if (min == 0)
        return;
    if (actual >= min)
        check_pass(result, code);
    else
        check_fail_values(result, code, item, value_uint(min), value_uint(actual));
}

static void check_bits(struct verifier_result *result, const char *item,
                       const struct policy_bits *asked, uint64_t actual)
{
    uint8_t expected[8], found[8];

    if (asked->mask == 0)
        return;
    if ((actual & asked->mask) == asked->value) {
        check_pass(result, VERIFIER_CHECK_POLICY_ATTRIBUTES);
        return;
    }
    for (unsigned i = 0; i < 8; i++) { /* the bits that were not asked for are shown as they are */
        expected[i] = (uint8_t)(((actual & ~asked->mask) | asked->value) >> 8 * i);
        found[i] = (uint8_t)(actual >> 8 * i);
    }
    check_fail_values(result, VERIFIER_CHECK_POLICY_ATTRIBUTES, item, value_bytes(expected, 8),
                      value_bytes(found, 8));
}

static bool is_seam(const struct verifier_policy *p, const uint8_t mrseam[48])
{
    for (unsigned i = 0; i < p->mrseam_count; i++)
        if (memcmp(p->mrseams[i], mrseam, 48) == 0)
            return true;
    return p->mrseam_count == 0;
}

static void appraise_intel_attributes(const struct verifier_policy *p,
                                      struct verifier_result *result)
{
    if (result->tee == VERIFIER_TEE_SGX) {
        check_bits(result, "ATTRIBUTES.FLAGS", &p->sgx_attributes[0],
                   get_le64(result->sgx.attributes));
        check_bits(result, "ATTRIBUTES.XFRM", &p->sgx_attributes[1],
                   get_le64(result->sgx.attributes + 8));
        check_bits(result, "MISCSELECT", &p->sgx_misc_select, result->sgx.misc_select);
        return;
    }
    check_bits(result, "TD_ATTRIBUTES", &p->td_attributes, get_le64(result->tdx.td_attributes));
    check_bits(result, "XFAM", &p->xfam, get_le64(result->tdx.xfam));
    if (!is_seam(p, result->tdx.mrseam))
        check_fail_values(result, VERIFIER_CHECK_POLICY_ATTRIBUTES, "mrseam",
                          value_text("a TDX module that the policy names"),
                          value_bytes(result->tdx.mrseam, sizeof result->tdx.mrseam));
}

static void appraise_intel(const struct verifier_policy *p, int64_t now_s,
                           struct verifier_result *result)
{
    const struct verifier_intel *r = &result->intel;

    appraise_status(p, now_s, result);
    appraise_advisories(p, result);
    check_min(result, VERIFIER_CHECK_POLICY_TCB_EVALUATION, "TCB evaluation data number",
              p->tcb_evaluation_min, r->tcb_evaluation_data_number);
    check_min(result, VERIFIER_CHECK_POLICY_TCB_MINIMUM, "PCE SVN", p->pce_svn_min, r->pck_pce_svn);
    check_min(result, VERIFIER_CHECK_POLICY_TCB_MINIMUM, "SVN of the quoting enclave",
              p->qe_isv_svn_min, r->qe_report.isv_svn);
    if (p->tcb_date_min_s && r->tcb_date_s < p->tcb_date_min_s)
        check_fail_values(result, VERIFIER_CHECK_POLICY_TCB_MINIMUM, "TCB date",
                          value_time(p->tcb_date_min_s), value_time(r->tcb_date_s));
    if (p->smt_refused)
        check_that(result, VERIFIER_CHECK_POLICY_ATTRIBUTES, !r->smt_enabled,
                   "simultaneous multithreading is on");
    appraise_intel_attributes(p, result);
    if (r->collateral_until_s != INT64_MAX)
        limit(result, r->collateral_until_s);
}

/* ---- AMD ---- */

static void appraise_guest_policy(const struct verifier_policy *p, struct verifier_result *result)
{
    const struct verifier_snp *r = &result->snp;

    if (r->vmpl > p->vmpl_max)
        check_fail_values(result, VERIFIER_CHECK_POLICY_ATTRIBUTES, "VMPL", value_uint(p->vmpl_max),
                          value_uint(r->vmpl));
    if (p->smt_guest_refused)
        check_that(result, VERIFIER_CHECK_POLICY_ATTRIBUTES, !(r->policy & SNP_POLICY_SMT),
                   "the guest's policy allows SMT");
    if (p->migration_refused)
        check_that(result, VERIFIER_CHECK_POLICY_ATTRIBUTES, !(r->policy & SNP_POLICY_MIGRATE_MA),
                   "the guest's policy allows a migration agent");
    if (p->single_socket_required)
        check_that(result, VERIFIER_CHECK_POLICY_ATTRIBUTES, r->policy & SNP_POLICY_SINGLE_SOCKET,
                   "the guest's policy allows more than one socket");
    check_that(result, VERIFIER_CHECK_POLICY_ATTRIBUTES,
               r->is_vlek ? p->vlek_accepted : p->vcek_accepted,
               r->is_vlek ? "signed by a VLEK" : "signed by a VCEK");
}

static void appraise_csp(const struct verifier_policy *p, struct verifier_result *result)
{
    if (p->csp_count == 0 || !result->snp.is_vlek)
        return;
    for (unsigned i = 0; i < p->csp_count; i++)
        if (strcmp(p->csp_ids[i], result->snp.csp_id) == 0) {
            check_pass(result, VERIFIER_CHECK_CSP_ID_MISMATCH);
            return;
        }
    check_fail(result, VERIFIER_CHECK_CSP_ID_MISMATCH, "cloud provider of the VLEK");
}

static void appraise_amd(const struct verifier_policy *p, struct verifier_result *result)
{
    const struct verifier_snp *r = &result->snp;
    unsigned product = MIN(r->product, (unsigned)VERIFIER_SNP_TURIN);

    check_that(result, VERIFIER_CHECK_POLICY_TEE, p->products[product],
               "the policy does not accept this product");
    check_that(result, VERIFIER_CHECK_POLICY_TCB_MINIMUM,
               snp_tcb_reaches(&r->reported_tcb, &p->tcb_min[product]), "reported TCB");
    check_that(result, VERIFIER_CHECK_POLICY_TCB_MINIMUM,
               snp_tcb_reaches(&r->committed_tcb, &p->committed_tcb_min[product]), "committed TCB");
    check_that(result, VERIFIER_CHECK_POLICY_TCB_MINIMUM,
               snp_tcb_reaches(&r->launch_tcb, &p->launch_tcb_min[product]), "TCB at launch");
    check_bits(result, "policy of the guest", &p->guest_policy, r->policy);
    check_bits(result, "platform info", &p->platform_info, r->platform_info);
    check_bits(result, "current mitigation vector",
               &(struct policy_bits){ p->mitigations, p->mitigations }, r->current_mit_vector);
    appraise_guest_policy(p, result);
    appraise_csp(p, result);
}

/* ---- all ---- */

static bool is_platform(const struct policy_bytes *id, const struct verifier_result *result)
{
    const struct verifier_intel *r = &result->intel;

    if (result->tee == VERIFIER_TEE_SNP)
        return memcmp(id->bytes, result->snp.chip_id, id->size) == 0 && id->size != 16;
    return id->size == 16 && r->has_pck &&
           (memcmp(id->bytes, r->ppid, 16) == 0 ||
            (r->has_platform_instance_id && memcmp(id->bytes, r->platform_instance_id, 16) == 0));
}

static void appraise_platform(const struct verifier_policy *p, struct verifier_result *result)
{
    if (p->platform_count == 0)
        return;
    for (unsigned i = 0; i < p->platform_count; i++)
        if (is_platform(&p->platforms[i], result)) {
            check_pass(result, VERIFIER_CHECK_POLICY_PLATFORM);
            return;
        }
    check_fail_values(result, VERIFIER_CHECK_POLICY_PLATFORM, "platform",
                      value_text("a platform of the policy"),
                      result->tee == VERIFIER_TEE_SNP
                          ? value_bytes(result->snp.chip_id, sizeof result->snp.chip_id)
                          : value_bytes(result->intel.ppid, sizeof result->intel.ppid));
}

static const uint8_t *report_data_of(const struct verifier_result *result)
{
    return result->tee == VERIFIER_TEE_SGX   ? result->sgx.report_data
           : result->tee == VERIFIER_TEE_TDX ? result->tdx.report_data
                                             : result->snp.report_data;
}

static void appraise_freshness(const struct verifier_policy *p,
                               const struct verifier_request *request,
                               struct verifier_result *result)
{
    int64_t age = request->now_s - request->evidence_time_s;

    if (request->report_data)
        check_bytes(result, VERIFIER_CHECK_POLICY_REPORT_DATA, "report data", request->report_data,
                    report_data_of(result), 64);
    if (p->nonce_required)
        check_that(result, VERIFIER_CHECK_POLICY_FRESHNESS, request->report_data != NULL,
                   "the policy asks for a nonce, and none was given to compare with");
    if (p->age_max_s == 0)
        return;
    if (request->evidence_time_s == 0 || request->now_s == 0)
        check_fail(result, VERIFIER_CHECK_POLICY_FRESHNESS, "the evidence's time is not known");
    else if (age > p->age_max_s || age < 0)
        check_fail_values(result, VERIFIER_CHECK_POLICY_FRESHNESS, "age in seconds",
                          value_uint(p->age_max_s), value_uint((uint64_t)(age < 0 ? 0 : age)));
    else
        check_pass(result, VERIFIER_CHECK_POLICY_FRESHNESS);
}

void policy_appraise(const struct verifier_policy *p, const struct verifier_request *request,
                     struct verifier_result *result)
{
    const struct policy_root *root = policy_root_find(p, result->root_key_sha256);

    if (root)
        memcpy(result->root_name, root->name, sizeof result->root_name);
    if (p->tee[result->tee])
        check_pass(result, VERIFIER_CHECK_POLICY_TEE);
    else
        check_fail_values(result, VERIFIER_CHECK_POLICY_TEE, "TEE",
                          value_text("a kind that the policy accepts"),
                          value_text(g_tee_names[result->tee]));
    check_that(result, VERIFIER_CHECK_POLICY_DEBUG, p->debug || !result->is_debug, "debug mode");
    appraise_identity(p, result);
    if (result->tee == VERIFIER_TEE_SNP)
        appraise_amd(p, result);
    else
        appraise_intel(p, request->now_s, result);
    appraise_platform(p, result);
    appraise_freshness(p, request, result);
}
