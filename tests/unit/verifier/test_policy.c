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

static struct verifier_result tdx_result(void)
{
    struct verifier_result r = { .tee = VERIFIER_TEE_TDX };

    r.tdx.td_attributes[3] = 0x10; /* SEPT_VE_DISABLE */
    r.tdx.xfam[0] = 0xe7;
    memset(r.tdx.mrseam, 0xab, sizeof r.tdx.mrseam);
    return r;
}

static unsigned attributes_of(const char *json, struct verifier_result r)
{
    return state_of(json, r, VERIFIER_CHECK_POLICY_ATTRIBUTES, 1);
}

static void judges_attributes_of_a_td(void **state)
{
#define TDX(members) "{\"version\":1,\"intel\":{\"tdx\":{" members "}}}"
    struct verifier_result r = tdx_result();

    assert_int_equal(attributes_of("{\"version\":1}", r), VERIFIER_CHECK_SKIPPED);
    assert_int_equal(attributes_of(TDX("\"sept_ve_disable\":true,\"migratable\":false"), r),
                     VERIFIER_CHECK_PASSED);
    assert_int_equal(attributes_of(TDX("\"sept_ve_disable\":false"), r), VERIFIER_CHECK_FAILED);
    assert_int_equal(attributes_of(TDX("\"migratable\":true"), r), VERIFIER_CHECK_FAILED);
    assert_int_equal(attributes_of(TDX("\"perfmon\":true"), r), VERIFIER_CHECK_FAILED);
    assert_int_equal(attributes_of(TDX("\"xfam\":{\"value\":\"e700000000000000\",\"mask\":"
                                       "\"ffffffffffffffff\"}"),
                                   r),
                     VERIFIER_CHECK_PASSED);
    assert_int_equal(attributes_of(TDX("\"xfam\":{\"value\":\"0700000000000000\",\"mask\":"
                                       "\"ff00000000000000\"}"),
                                   r),
                     VERIFIER_CHECK_FAILED);
    assert_int_equal(
        attributes_of(TDX("\"mrseam\":[\"" M "00112233445566778899aabbccddeeff\"]"), r),
        VERIFIER_CHECK_FAILED);
    refuse(TDX("\"sept_ve_disable\":true,\"td_attributes\":{\"value\":\"0000000000000000\","
               "\"mask\":\"0000001000000000\"}"),
           "both 0 and 1");
    refuse(TDX("\"xfam\":{\"value\":\"ff00000000000000\",\"mask\":\"0f00000000000000\"}"),
           "not in \"mask\"");
    refuse(TDX("\"xfam\":{\"mask\":\"0f00000000000000\"}"), "missing");
    refuse(TDX("\"mrseam\":[]"), "at least one");
}

static void judges_attributes_of_an_enclave(void **state)
{
#define SGX(members) "{\"version\":1,\"intel\":{\"sgx\":{" members "}}}"
    struct verifier_result r = sgx_result();

    r.sgx.attributes[0] = 0x05;
    r.sgx.attributes[8] = 0x07;
    r.sgx.misc_select = 1;
    assert_int_equal(
        attributes_of(SGX("\"attributes\":{\"value\":\"05000000000000000700000000000000\","
                          "\"mask\":\"ffffffffffffffffffffffffffffffff\"}"),
                      r),
        VERIFIER_CHECK_PASSED);
    assert_int_equal(
        attributes_of(SGX("\"attributes\":{\"value\":\"05000000000000000300000000000000\","
                          "\"mask\":\"ffffffffffffffffffffffffffffffff\"}"),
                      r),
        VERIFIER_CHECK_FAILED);
    assert_int_equal(
        attributes_of(SGX("\"misc_select\":{\"value\":\"00000000\",\"mask\":\"ffffffff\"}"), r),
        VERIFIER_CHECK_FAILED);
}

static void judges_attributes_of_a_guest(void **state)
{
#define AMD(members) "{\"version\":1,\"amd\":{" members "}}"
    struct verifier_result r = { .tee = VERIFIER_TEE_SNP };

    r.snp.product = VERIFIER_SNP_MILAN;
    r.snp.platform_info = 0x21; /* SMT, alias check */
    r.snp.policy = 1ull << 24;
    r.snp.current_mit_vector = 6;
    r.snp.launch_tcb.snp = 8;
    assert_int_equal(
        attributes_of(AMD("\"platform_info\":{\"smt\":true,\"alias_check_complete\":true}"), r),
        VERIFIER_CHECK_PASSED);
    assert_int_equal(attributes_of(AMD("\"platform_info\":{\"smt\":false}"), r),
                     VERIFIER_CHECK_FAILED);
    assert_int_equal(
        attributes_of(AMD("\"guest_policy\":{\"ciphertext_hiding\":true,\"cxl\":false}"), r),
        VERIFIER_CHECK_PASSED);
    assert_int_equal(attributes_of(AMD("\"guest_policy\":{\"memory_aes_256_xts\":true}"), r),
                     VERIFIER_CHECK_FAILED);
    assert_int_equal(attributes_of(AMD("\"mitigations\":\"0600000000000000\""), r),
                     VERIFIER_CHECK_PASSED);
    assert_int_equal(attributes_of(AMD("\"mitigations\":\"0100000000000000\""), r),
                     VERIFIER_CHECK_FAILED);
    assert_int_equal(state_of(AMD("\"launch_tcb_min\":{\"Milan\":{\"snp\":8}}"), r,
                              VERIFIER_CHECK_POLICY_TCB_MINIMUM, 1),
                     VERIFIER_CHECK_PASSED);
    assert_int_equal(state_of(AMD("\"launch_tcb_min\":{\"Milan\":{\"snp\":9}}"), r,
                              VERIFIER_CHECK_POLICY_TCB_MINIMUM, 1),
                     VERIFIER_CHECK_FAILED);
    assert_int_equal(state_of(AMD("\"committed_tcb_min\":{\"Milan\":{\"snp\":1}}"), r,
                              VERIFIER_CHECK_POLICY_TCB_MINIMUM, 1),
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
        cmocka_unit_test(judges_attributes_of_a_td),
        cmocka_unit_test(judges_attributes_of_an_enclave),
        cmocka_unit_test(judges_attributes_of_a_guest),
        cmocka_unit_test(judges_grace_by_the_newest_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
