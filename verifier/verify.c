/* SPDX-License-Identifier: Apache-2.0 */
/* The one call: tells what the evidence is, has it verified and appraised, and gives the verdict. Relying party. */
#include <errno.h>
#include <string.h>

#include "verifier/check.h"
#include "verifier/intel/verify_intel.h"
#include "verifier/little_endian.h"
#include "verifier/snp/report.h"
#include "verifier/snp/verify_snp.h"

/* A report begins with its version in four bytes, a quote with version and key type in two each (2: ECDSA P-256). */
static bool is_snp(struct verifier_bytes evidence)
{
    uint32_t first = evidence.size >= 4 ? get_le32(evidence.data) : 0;

    if (evidence.size == SNP_REPORT_SIZE)
        return first < 0x10000;
    /* A report that was cut or extended is a bad report, not a bad quote. */
    return first >= 2 && first < 0x10000 && evidence.size < 2 * SNP_REPORT_SIZE;
}

static unsigned find_primary(const struct verifier_result *result)
{
    unsigned i = 0;

    while (i < VERIFIER_CHECK_COUNT && result->checks[i].state != VERIFIER_CHECK_FAILED)
        i++;
    return i;
}

static uint8_t judge(const struct verifier_result *result, int64_t now_s)
{
    unsigned status =
        result->tee == VERIFIER_TEE_SNP ? VERIFIER_TCB_NONE : result->intel.tcb_status;

    if (result->primary < VERIFIER_CHECK_COUNT)
        return VERIFIER_CONTRAINDICATED;
    if (now_s == 0)
        return VERIFIER_NONE; /* without a time nothing is known to be current */
    if (result->is_in_grace || result->is_debug || status > VERIFIER_TCB_UP_TO_DATE)
        return VERIFIER_WARNING;
    return VERIFIER_AFFIRMING;
}

int verifier_verify(const struct verifier_request *request, struct verifier_result *ret)
{
    struct verifier_policy built_in;
    const struct verifier_policy *policy = request->policy;
    int rc;

    if (!request->evidence.data || request->evidence.size == 0 || request->now_s < 0)
        return -EINVAL;
    memset(ret, 0, sizeof *ret);
    if (!policy) {
        policy_init_default(&built_in);
        policy = &built_in;
    }
    if (request->evidence.size > VERIFIER_EVIDENCE_SIZE_MAX) {
        check_fail(ret, VERIFIER_CHECK_FORMAT, "longer than any evidence");
        rc = 0;
    } else if (is_snp(request->evidence)) {
        rc = snp_verify(request, policy, ret);
    } else {
        rc = intel_verify(request, policy, ret);
    }
    if (rc < 0)
        return rc;
    if (ret->tee != VERIFIER_TEE_NONE)
        policy_appraise(policy, request, ret);
    ret->primary = find_primary(ret);
    ret->verdict = judge(ret, request->now_s);
    return 0;
}
