/* SPDX-License-Identifier: Apache-2.0 */
/* Appraisal policies: what is read, what is refused and where, and how claims are judged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "verifier/policy/policy.h"

#define M "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct verifier_policy *parse(const char *json)
{
    struct verifier_policy *policy = NULL;
    struct err err = { 0 };

    if (verifier_policy_new(json, strlen(json), &policy, &err) < 0)
        fail_msg("%s: %s", json, err.text);
    return policy;
}

static void refuse(const char *json, const char *text)
{
    struct verifier_policy *policy;
    struct err err = { 0 };

    assert_int_equal(verifier_policy_new(json, strlen(json), &policy, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("%s: \"%s\" does not say \"%s\"", json, err.text, text);
}

static void reads_all_members(void **state)
{
    struct verifier_policy *p = parse(
        "{\"version\":1,\"name\":\"all\",\"roots\":[\"intel\",{\"name\":\"own\",\"key_sha256\":\"" M
        "\"}],\"tee\":[\"sgx\"],\"debug\":true,\"identities\":[{\"name\":\"a\",\"sgx\":{"
        "\"mrenclave\":\"" M
        "\",\"isv_svn_min\":2}}],\"intel\":{\"tcb_status\":[\"UpToDate\",{\"status\":\"OutOfDate\","
        "\"grace_days\":30}],\"advisories\":[\"INTEL-SA-00289\"],\"tcb_evaluation_min\":17,\"smt\":"
        "false},"
        "\"amd\":{\"products\":[\"Turin\"],\"tcb_min\":{\"Turin\":{\"fmc\":1}},\"vmpl_max\":0},"
        "\"platforms\":[\"00112233445566778899aabbccddeeff\"],\"freshness\":{\"nonce\":true,"
        "\"age_max_s\":60}}");

    assert_int_equal(p->root_count, 2);
    assert_string_equal(p->roots[1].name, "own");
    assert_true(p->tee[VERIFIER_TEE_SGX]);
    assert_false(p->tee[VERIFIER_TEE_TDX]);
    assert_true(p->debug);
    assert_int_equal(p->identities[0].isv_svn_min, 2);
    assert_int_equal(p->statuses[VERIFIER_TCB_OUT_OF_DATE].grace_days, 30);
    assert_false(p->statuses[VERIFIER_TCB_SW_HARDENING_NEEDED].accepted);
    assert_false(p->any_advisory);
    assert_true(p->smt_refused);
    assert_true(p->products[VERIFIER_SNP_TURIN]);
    assert_false(p->products[VERIFIER_SNP_MILAN]);
    assert_int_equal(p->tcb_min[VERIFIER_SNP_TURIN].fmc, 1);
    assert_int_equal(p->platforms[0].size, 16);
    assert_int_equal(p->age_max_s, 60);
    verifier_policy_free(p);
}

static void defaults_are_strict(void **state)
{
    struct verifier_policy *p = parse("{\"version\":1}");

    assert_false(p->debug);
    assert_int_equal(p->root_count, 4);
    assert_true(p->statuses[VERIFIER_TCB_UP_TO_DATE].accepted);
    assert_false(p->statuses[VERIFIER_TCB_OUT_OF_DATE].accepted);
    verifier_policy_free(p);
}

static void says_what_is_wrong_and_where(void **state)
{
    refuse("{}", "needs \"version\"");
    refuse("{\"version\":2}", "version 1");
    refuse("{\"version\":1,\n \"debgu\":true}", "line 2");
    refuse("{\"version\":1,\"tee\":[\"sev\"]}", "a TEE is");
    refuse("{\"version\":1,\"roots\":[\"nobody\"]}", "a root is");
    refuse("{\"version\":1,\"roots\":[{\"name\":\"x\"}]}", "key_sha256");
    refuse("{\"version\":1,\"identities\":[{\"name\":\"x\"}]}", "needs \"sgx\"");
    refuse("{\"version\":1,\"identities\":[{\"name\":\"x\",\"sgx\":{\"isv_prod_id\":1}}]}",
           "mrenclave");
    refuse("{\"version\":1,\"identities\":[{\"name\":\"x\",\"sgx\":{\"mrsigner\":\"" M "\"}}]}",
           "isv_prod_id");
    refuse("{\"version\":1,\"identities\":[{\"name\":\"x\",\"sgx\":{\"mrenclave\":\"00\"}}]}",
           "wrong length");
    refuse("{\"version\":1,\"intel\":{\"tcb_status\":[\"Revoked\"]}}", "no TCB status");
    refuse("{\"version\":1,\"intel\":{\"tcb_status\":[{\"grace_days\":3}]}}", "needs \"status\"");
    refuse("{\"version\":1,\"platforms\":[\"00\"]}", "platform id");
    refuse("{\"version\":1} x", "");
}

static void bounds_its_lists(void **state)
{
    char json[8192] = "{\"version\":1,\"amd\":{\"csp_ids\":[";

    for (unsigned i = 0; i <= POLICY_CSP_COUNT_MAX; i++)
        strncat(json, i ? ",\"c\"" : "\"c\"", sizeof json - strlen(json) - 1);
    strncat(json, "]}}", sizeof json - strlen(json) - 1);
    refuse(json, "too many cloud providers");
}

/* ---- judgement ---- */

static struct verifier_result sgx_result(void)
{
    struct verifier_result r = { .tee = VERIFIER_TEE_SGX };

    r.sgx.isv_svn = 3;
    r.intel.tcb_status = VERIFIER_TCB_UP_TO_DATE;
    r.intel.collateral_until_s = INT64_MAX;
    return r;
}

static unsigned state_of(const char *json, struct verifier_result r, enum verifier_check_code code,
                         int64_t now_s)
{
    struct verifier_policy *p = parse(json);
    struct verifier_request request = { .now_s = now_s };

    policy_appraise(p, &request, &r);
    verifier_policy_free(p);
    return r.checks[code].state;
}

static void judges_debug_and_kind(void **state)
{
    struct verifier_result r = sgx_result();

    r.is_debug = true;
    assert_int_equal(state_of("{\"version\":1}", r, VERIFIER_CHECK_POLICY_DEBUG, 1),
                     VERIFIER_CHECK_FAILED);
    assert_int_equal(state_of("{\"version\":1,\"debug\":true}", r, VERIFIER_CHECK_POLICY_DEBUG, 1),
                     VERIFIER_CHECK_PASSED);
    assert_int_equal(state_of("{\"version\":1,\"tee\":[\"snp\"]}", r, VERIFIER_CHECK_POLICY_TEE, 1),
                     VERIFIER_CHECK_FAILED);
}

static void judges_identity(void **state)
{
    const char *json = "{\"version\":1,\"identities\":[{\"name\":\"x\",\"sgx\":{\"mrsigner\":\"" M
                       "\",\"isv_prod_id\":0,\"isv_svn_min\":%s}}]}";
    struct verifier_result r = sgx_result();
    char text[512];

    for (unsigned i = 0; i < 32; i++)
        r.sgx.mrsigner[i] = (uint8_t)((i % 8) * 0x22 + 0x01);
    snprintf(text, sizeof text, json, "3");
    assert_int_equal(state_of(text, r, VERIFIER_CHECK_POLICY_IDENTITY, 1), VERIFIER_CHECK_PASSED);
    snprintf(text, sizeof text, json, "4");
    assert_int_equal(state_of(text, r, VERIFIER_CHECK_POLICY_IDENTITY, 1), VERIFIER_CHECK_FAILED);
    r.sgx.mrsigner[31] ^= 1;
    snprintf(text, sizeof text, json, "3");
    assert_int_equal(state_of(text, r, VERIFIER_CHECK_POLICY_IDENTITY, 1), VERIFIER_CHECK_FAILED);
}

static void judges_grace_by_the_newest_level(void **state)
{
    const char *json =
        "{\"version\":1,\"intel\":{\"tcb_status\":[{\"status\":\"OutOfDate\",\"grace_days\":2}]}}";
    struct verifier_result r = sgx_result();

    r.intel.tcb_status = VERIFIER_TCB_OUT_OF_DATE;
    r.intel.tcb_newest_date_s = 1000000;
    assert_int_equal(state_of(json, r, VERIFIER_CHECK_POLICY_TCB_STATUS, 1000000 + 2 * 86400),
                     VERIFIER_CHECK_PASSED);
    assert_int_equal(state_of(json, r, VERIFIER_CHECK_POLICY_TCB_STATUS, 1000001 + 2 * 86400),
                     VERIFIER_CHECK_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_members),
        cmocka_unit_test(defaults_are_strict),
        cmocka_unit_test(says_what_is_wrong_and_where),
        cmocka_unit_test(bounds_its_lists),
        cmocka_unit_test(judges_debug_and_kind),
        cmocka_unit_test(judges_identity),
        cmocka_unit_test(judges_grace_by_the_newest_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
