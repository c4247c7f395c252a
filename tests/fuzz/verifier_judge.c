/* SPDX-License-Identifier: Apache-2.0 */
/* A verification, and what must be true of every result. Tests only. */
#include "verifier_judge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static void check_result(const struct verifier_result *r)
{
    unsigned first = VERIFIER_CHECK_COUNT;

    for (unsigned i = VERIFIER_CHECK_COUNT; i-- > 0;)
        if (r->checks[i].state == VERIFIER_CHECK_FAILED)
            first = i;
    assert(r->primary == first);
    assert((r->verdict == VERIFIER_CONTRAINDICATED) == (first < VERIFIER_CHECK_COUNT));
    if (r->verdict == VERIFIER_AFFIRMING || r->verdict == VERIFIER_WARNING) {
        assert(r->tee != VERIFIER_TEE_NONE && !r->is_debug && r->root_name[0]);
        assert(r->checks[VERIFIER_CHECK_UNTRUSTED_ROOT].state == VERIFIER_CHECK_PASSED);
        assert(r->valid_until_s >= PKI_NOW_S);
    }
    if (r->tee != VERIFIER_TEE_SNP && r->verdict == VERIFIER_AFFIRMING)
        assert(r->intel.tcb_status == VERIFIER_TCB_UP_TO_DATE);
}

static void check_texts(const struct verifier_result *r)
{
    char *text, *json;
    json_t *parsed;

    assert(verifier_result_json(r, PKI_NOW_S, &json) == 0);
    parsed = json_loads(json, 0, NULL);
    assert(parsed && json_object_get(parsed, "submods"));
    json_decref(parsed);
    free(json);
    assert(verifier_result_text(r, true, &text) == 0);
    free(text);
}

void verifier_judge(struct verifier_bytes evidence, const struct verifier_collateral *collateral,
                    struct verifier_result *ret)
{
    static struct verifier_cache *cache;
    static struct verifier_result again;
    struct verifier_request request = {
        .evidence = evidence, .collateral = collateral, .policy = pki_policy(), .now_s = PKI_NOW_S
    };
    static unsigned count;
    bool is_long =
        count++ % 4 ==
        0; /* the first is: an input that was found takes this way when it is run alone */
    int rc;

    if (!cache)
        assert(verifier_cache_new(8, &cache) == 0);
    /* Parsing a chain and writing the result are most of the time. */
    request.cache = is_long ? NULL : cache;
    rc = verifier_verify(&request, ret);
    assert(rc == (evidence.size == 0 ? -22 : 0));
    if (rc < 0)
        return;
    check_result(ret);
    if (!is_long)
        return;
    check_texts(ret);
    request.cache = cache;
    assert(verifier_verify(&request, &again) == 0);
    assert(again.verdict == ret->verdict && again.primary == ret->primary);
    assert(memcmp(&again.intel, &ret->intel, sizeof again.intel) == 0);
}
