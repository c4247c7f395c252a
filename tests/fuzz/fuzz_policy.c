/* SPDX-License-Identifier: Apache-2.0 */
/* Appraisal policies: what parses is applied to good evidence of each kind, and never accepts what no policy may accept. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "verifier/policy/policy.h"

#define NOW_S 1767225600

static struct verifier_result claims_of(unsigned tee, bool is_debug, unsigned status)
{
    struct verifier_result r = { .tee = (uint8_t)tee, .is_debug = is_debug };

    r.intel.tcb_status = (uint8_t)status;
    r.intel.has_pck = tee != VERIFIER_TEE_SNP;
    r.intel.tcb_newest_date_s = NOW_S - 86400 * 10;
    r.intel.platform_advisories.count = 1;
    memcpy(r.intel.platform_advisories.names[0], "INTEL-SA-00615", 15);
    if (tee == VERIFIER_TEE_SNP)
        r.snp.product = VERIFIER_SNP_GENOA;
    return r;
}

static void appraise(const struct verifier_policy *p, unsigned tee, bool is_debug, unsigned status)
{
    static struct verifier_result r;
    static const uint8_t evidence[1];
    struct verifier_request request = { .evidence = { evidence, 1 }, .policy = p, .now_s = NOW_S };

    r = claims_of(tee, is_debug, status);
    policy_appraise(p, &request, &r);
    if (!p->debug && is_debug)
        assert(r.checks[VERIFIER_CHECK_POLICY_DEBUG].state == VERIFIER_CHECK_FAILED);
    if (!p->tee[tee])
        assert(r.checks[VERIFIER_CHECK_POLICY_TEE].state == VERIFIER_CHECK_FAILED);
    if (tee != VERIFIER_TEE_SNP && status == VERIFIER_TCB_REVOKED)
        assert(r.checks[VERIFIER_CHECK_POLICY_TCB_STATUS].state == VERIFIER_CHECK_FAILED);
    if (p->identity_count > 0)
        assert(r.checks[VERIFIER_CHECK_POLICY_IDENTITY].state != VERIFIER_CHECK_SKIPPED);
    if (p->nonce_required)
        assert(r.checks[VERIFIER_CHECK_POLICY_FRESHNESS].state == VERIFIER_CHECK_FAILED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verifier_policy *p;
    struct err err = { 0 };
    int rc = verifier_policy_new((const char *)data, size, &p, &err);

    if (rc < 0) {
        assert(err.text[0]);
        return 0;
    }
    assert(p->root_count <= POLICY_ROOT_COUNT_MAX &&
           p->identity_count <= POLICY_IDENTITY_COUNT_MAX);
    assert(!p->statuses[VERIFIER_TCB_REVOKED].accepted &&
           !p->statuses[VERIFIER_TCB_NOT_SUPPORTED].accepted);
    for (unsigned tee = VERIFIER_TEE_SGX; tee <= VERIFIER_TEE_SNP; tee++)
        for (unsigned status = 0; status < VERIFIER_TCB_STATUS_COUNT; status++)
            appraise(p, tee, status % 2, status);
    verifier_policy_free(p);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_json(data, size, max_size, seed);
}
