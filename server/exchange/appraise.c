/* SPDX-License-Identifier: Apache-2.0 */
/* The appraisal: the verifier under the owner's policy, then whether what was measured is the build; what is revoked. Relying party; evidence is hostile. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/digest.h"
#include "server/exchange/internal.h"
#include "server/model/revocation.h"
#include "server/model/row.h"
#include "verifier/policy/policy.h"
#include "verifier/result.h"

void refusal_set(struct refusal *refusal, const char *code, const char *step, const char *format,
                 ...)
{
    va_list args;

    if (refusal->code)
        return; /* the first is told */
    refusal->code = code;
    snprintf(refusal->step, sizeof refusal->step, "%s", step);
    va_start(args, format);
    vsnprintf(refusal->detail, sizeof refusal->detail, format, args);
    va_end(args);
    row_text_trim(refusal->detail);
}

static void fix_set(struct refusal *refusal, const char *fix)
{
    if (!refusal->fix[0])
        snprintf(refusal->fix, sizeof refusal->fix, "%s", fix);
}

/* ---- the verifier's part ---- */

static void verdict_read(const struct verifier_result *r, struct refusal *refusal)
{
    const struct verifier_check *check;

    if (r->verdict == VERIFIER_AFFIRMING || r->verdict == VERIFIER_WARNING)
        return;
    if (r->primary >= VERIFIER_CHECK_COUNT) {
        refusal_set(refusal, "attestation-refused", "FORMAT", "the evidence could not be judged");
        return;
    }
    check = &r->checks[r->primary];
    refusal_set(refusal, "attestation-refused", verifier_check_name(r->primary), "not so: %s%s%s%s",
                verifier_check_what(r->primary), check->item ? " (" : "",
                check->item ? check->item : "", check->item ? ")" : "");
    if (check->expected.kind != VERIFIER_VALUE_NONE)
        verifier_value_print(&check->expected, refusal->expected, sizeof refusal->expected);
    if (check->actual.kind != VERIFIER_VALUE_NONE)
        verifier_value_print(&check->actual, refusal->actual, sizeof refusal->actual);
    fix_set(refusal, verifier_check_fix(r->primary));
}

/* What the server could have had, and why it has not: its operator's to mend. */
static void collateral_explain(const char *why, struct refusal *refusal)
{
    if (!refusal->code ||
        strcmp(refusal->step, verifier_check_name(VERIFIER_CHECK_COLLATERAL_MISSING)) != 0)
        return;
    snprintf(refusal->detail, sizeof refusal->detail,
             "the server holds no collateral for this platform: %s", why);
    snprintf(refusal->fix, sizeof refusal->fix,
             "let cloched ask the makers (collateral_pcs_url, collateral_kds_url), import a bundle "
             "into its collateral_folder (cloche collateral import), or send collateral along "
             "with the evidence");
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static void hex_put(const uint8_t *bytes, size_t size, char *dst, size_t dst_size)
{
    dst[0] = 0;
    for (size_t i = 0; i < size && 2 * i + 2 < dst_size; i++)
        snprintf(dst + 2 * i, 3, "%02x", bytes[i]);
}

/* What names the platform: PPID, platform instance, or chip. */
static void platform_read(const struct verifier_result *r, struct appraisal *ret)
{
    if (r->tee == VERIFIER_TEE_SNP && !is_zero(r->snp.chip_id, sizeof r->snp.chip_id))
        hex_put(r->snp.chip_id, 39, ret->platform_id, sizeof ret->platform_id);
    else if (r->tee != VERIFIER_TEE_SNP && r->intel.has_pck)
        hex_put(r->intel.ppid, sizeof r->intel.ppid, ret->platform_id, sizeof ret->platform_id);
    if (r->tee != VERIFIER_TEE_SNP && r->intel.tcb_status != VERIFIER_TCB_NONE)
        snprintf(ret->tcb_status, sizeof ret->tcb_status, "%s",
                 verifier_tcb_status_name(r->intel.tcb_status));
}

/* All that a TCB level is found by. */
static void tcb_key_make(const struct verifier_result *r, char ret[33])
{
    const struct verifier_intel *i = &r->intel;
    struct sha256 hash;
    uint8_t digest[32];

    ret[0] = 0;
    if (r->tee == VERIFIER_TEE_SNP || r->tee == VERIFIER_TEE_NONE || !i->has_pck)
        return;
    sha256_init(&hash);
    sha256_update(&hash, &r->tee, sizeof r->tee);
    sha256_update(&hash, i->fmspc, sizeof i->fmspc);
    sha256_update(&hash, i->pce_id, sizeof i->pce_id);
    sha256_update(&hash, i->pck_svn, sizeof i->pck_svn);
    sha256_update(&hash, &i->pck_pce_svn, sizeof i->pck_pce_svn);
    sha256_update(&hash, i->qe_report.mrsigner, sizeof i->qe_report.mrsigner);
    sha256_update(&hash, &i->qe_report.isv_svn, sizeof i->qe_report.isv_svn);
    if (r->tee == VERIFIER_TEE_TDX)
        sha256_update(&hash, r->tdx.tee_tcb_svn, sizeof r->tdx.tee_tcb_svn);
    sha256_final(&hash, digest);
    hex_put(digest, 16, ret, 33);
}

static void root_read(const struct exchange *exchange, const struct verifier_result *r,
                      struct appraisal *ret)
{
    ret->is_emulated = !policy_root_find(exchange->makers, r->root_key_sha256);
    if (!ret->is_emulated)
        return;
    if (!exchange->has_emulator) {
        refusal_set(&ret->refusal, "attestation-refused", "EMULATED",
                    "the evidence is of an emulated platform, which protects nothing; this server "
                    "accepts none");
        fix_set(&ret->refusal, "run on hardware, or name the emulator's root in cloched's "
                               "configuration (emulator_root) for a test");
    } else if (memcmp(exchange->emulator_root, r->root_key_sha256, 32) != 0) {
        refusal_set(&ret->refusal, "attestation-refused", "ROOT",
                    "the evidence ends at a root that is neither a maker's nor this server's "
                    "emulator root");
    }
}

bool result_is_authentic(const struct verifier_result *r)
{
    static const uint8_t intel[] = { VERIFIER_CHECK_PCK_CHAIN, VERIFIER_CHECK_QE_REPORT_SIGNATURE,
                                     VERIFIER_CHECK_QE_REPORT_BINDING,
                                     VERIFIER_CHECK_QUOTE_SIGNATURE };
    static const uint8_t amd[] = { VERIFIER_CHECK_VEK_CHAIN, VERIFIER_CHECK_REPORT_SIGNATURE };
    bool is_snp = r->tee == VERIFIER_TEE_SNP;
    const uint8_t *needed = is_snp ? amd : intel;
    unsigned count = is_snp ? ARRAY_COUNT(amd) : ARRAY_COUNT(intel);

    if (r->tee == VERIFIER_TEE_NONE ||
        r->checks[VERIFIER_CHECK_UNTRUSTED_ROOT].state != VERIFIER_CHECK_PASSED)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (r->checks[needed[i]].state != VERIFIER_CHECK_PASSED)
            return false;
    return true;
}

bool appraisal_is_authentic(const struct appraisal *a)
{
    return result_is_authentic(&a->result) &&
           a->result.checks[VERIFIER_CHECK_POLICY_REPORT_DATA].state == VERIFIER_CHECK_PASSED;
}

bool appraisal_is_bound(const struct appraisal *a)
{
    return appraisal_is_authentic(a) &&
           a->result.checks[VERIFIER_CHECK_POLICY_REPORT_DATA].state == VERIFIER_CHECK_PASSED;
}

/* ---- the build's part ---- */

static bool differs(struct refusal *refusal, const char *step, const uint8_t *expected,
                    const uint8_t *actual, size_t size)
{
    if (memcmp(expected, actual, size) == 0)
        return false;
    refusal_set(refusal, "build-not-allowed", step,
                "what was measured is not what was allowed for this build");
    hex_put(expected, size, refusal->expected, sizeof refusal->expected);
    hex_put(actual, size, refusal->actual, sizeof refusal->actual);
    fix_set(refusal, "run the image as it was built; or propose what you built as a build of its "
                     "own and have it approved");
    return true;
}

static void kind_refuse(struct refusal *refusal, const char *tee)
{
    refusal_set(refusal, "build-not-allowed", "TEE", "the build is not allowed in %s", tee);
    fix_set(refusal, "propose a build with the measurement for this kind of TEE");
}

static void sgx_check(const struct verifier_result *r, const struct build_row *b,
                      struct refusal *refusal)
{
    if (!b->has_sgx) {
        kind_refuse(refusal, "SGX");
        return;
    }
    if (differs(refusal, "MRENCLAVE", b->mrenclave, r->sgx.mrenclave, 32))
        return;
    if (!is_zero(b->mrsigner, 32) && differs(refusal, "MRSIGNER", b->mrsigner, r->sgx.mrsigner, 32))
        return;
    if (r->sgx.isv_prod_id != b->isv_prod_id || r->sgx.isv_svn < b->isv_svn) {
        refusal_set(refusal, "build-not-allowed", "ISV_SVN",
                    "product id or security version are not those of the build");
        snprintf(refusal->expected, sizeof refusal->expected, "%lld, at least %lld",
                 (long long)b->isv_prod_id, (long long)b->isv_svn);
        snprintf(refusal->actual, sizeof refusal->actual, "%u, %u", r->sgx.isv_prod_id,
                 r->sgx.isv_svn);
    }
}

static void build_match(const struct verifier_result *r, const struct build_row *b,
                        struct refusal *refusal)
{
    if (r->is_debug && !b->is_debug) {
        refusal_set(refusal, "build-not-allowed", "DEBUG",
                    "the TEE runs in debug mode: its memory can be read from outside");
        fix_set(refusal, "start it without debug");
        return;
    }
    if (r->tee == VERIFIER_TEE_SGX) {
        sgx_check(r, b, refusal);
    } else if (r->tee == VERIFIER_TEE_TDX) {
        if (!b->has_tdx)
            kind_refuse(refusal, "TDX");
        else if (!differs(refusal, "MRTD", b->tdx_mrtd, r->tdx.mrtd, 48))
            differs(refusal, "MRCONFIGID", b->app_digest, r->tdx.mrconfigid, 48);
    } else if (r->tee == VERIFIER_TEE_SNP) {
        if (!b->has_snp)
            kind_refuse(refusal, "SEV-SNP");
        else if (!differs(refusal, "MEASUREMENT", b->snp_measurement, r->snp.measurement, 48))
            differs(refusal, "HOST_DATA", b->app_digest, r->snp.host_data, 32);
    } else {
        kind_refuse(refusal, "this kind of TEE");
    }
}

int appraise(struct exchange *exchange, const struct appraise_input *input, struct appraisal *ret,
             struct err *err)
{
    struct verifier_request request = { .evidence = input->evidence,
                                        .collateral = input->collateral,
                                        .policy = input->policy,
                                        .cache = exchange->chains,
                                        .now_s = input->now_s,
                                        .report_data = input->report_data,
                                        .evidence_time_s = input->evidence_time_s };
    int rc;

    memset(ret, 0, sizeof *ret);
    rc = verifier_verify(&request, &ret->result);
    if (rc < 0)
        return err_set_errno(err, rc, "verifier");
    verdict_read(&ret->result, &ret->refusal);
    if (!input->collateral && input->collateral_why)
        collateral_explain(input->collateral_why, &ret->refusal);
    ret->tee = verifier_tee_name(ret->result.tee);
    ret->valid_until_ms = ret->result.valid_until_s * 1000;
    platform_read(&ret->result, ret);
    tcb_key_make(&ret->result, ret->tcb_key);
    root_read(exchange, &ret->result, ret);
    if (input->build && !ret->refusal.code)
        build_match(&ret->result, input->build, &ret->refusal);
    return 0;
}

/* ---- revocations ---- */

int revocation_find(struct server *server, struct store_tx *tx, const char *org_id,
                    const char *instance_id, const char *app_id, const char *build_id,
                    const char *node_id, const char *platform_id, struct refusal *ret,
                    struct err *err)
{
    const struct revocation_object objects[] = { { "instance", instance_id },
                                                 { "app", app_id },
                                                 { "build", build_id },
                                                 { "node", node_id },
                                                 { "platform", platform_id } };
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc =
        store_query(tx,
                    "SELECT kind, object, reason FROM revocations WHERE org_id = $1 AND "
                    "((kind = 'instance' AND object = $2) OR (kind = 'app' AND object = $3) OR "
                    "(kind = 'build' AND object = $4) OR "
                    "(kind = 'node' AND object = $5) OR (kind = 'platform' AND object = $6))",
                    STORE_ARGS(store_text(org_id), store_text(instance_id), store_text(app_id),
                               store_text(build_id), store_text(node_id), store_text(platform_id)),
                    &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        store_rows_free(TAKE_PTR(rows));
        return revocation_check_absent(server, tx, org_id, objects, ARRAY_COUNT(objects), err);
    }
    refusal_set(ret, "revoked", "REVOCATION", "%s %s was revoked%s%s", store_column_text(rows, 0),
                store_column_text(rows, 1), store_is_null(rows, 2) ? "" : ": ",
                store_is_null(rows, 2) ? "" : store_column_text(rows, 2));
    ret->is_final = true;
    return 1;
}
