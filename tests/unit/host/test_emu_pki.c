/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated PKI: what it issues verifies under a policy with its root, and each knob flips the check that it is for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "abi/sgx_arch.h"
#include "host/sgx/emu/pki/issue.h"
#include "host/sgx/emu/pki/pki.h"
#include "lib/digest.h"
#include "verifier/verifier.h"

#define MRSIGNER 0x5a
#define QUOTE_SIZE_MAX 16384u

static char g_folder[64];

/* ---- a world: folder with PKI, removed at the end ---- */

static struct emu_pki *pki_open(void)
{
    struct emu_pki *pki = NULL;
    struct err err = { 0 };

    if (emu_pki_open(g_folder, &pki, &err) < 0)
        fail_msg("%s", err.text);
    return pki;
}

static void publish(struct emu_pki *pki)
{
    struct err err = { 0 };

    if (emu_pki_publish(pki, &err) < 0)
        fail_msg("%s", err.text);
    emu_pki_free(pki);
}

static int make_world(void **state)
{
    struct emu_pki_platform platform = { .has_ppid = true, .ppid = { 0xab, 1, 2 } };
    struct emu_pki_qe qe = { .isv_prod_id = 1, .isv_svn = 2 };
    struct err err = { 0 };
    struct emu_pki *pki;

    snprintf(g_folder, sizeof g_folder, "/tmp/cloche-test-pki-XXXXXX");
    if (!mkdtemp(g_folder) || emu_pki_init(g_folder, &platform, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    memset(qe.mrsigner, MRSIGNER, sizeof qe.mrsigner);
    pki = pki_open();
    assert_int_equal(emu_pki_qe_set(pki, &qe, &err), 0);
    publish(pki);
    return 0;
}

static int remove_world(void **state)
{
    static const char *const names[] = { "keys/root.key",
                                         "keys/ca.key",
                                         "keys/tcb.key",
                                         "keys/pck.key",
                                         "keys",
                                         "certs/root.pem",
                                         "certs/ca.pem",
                                         "certs/tcb.pem",
                                         "certs/pck.pem",
                                         "certs",
                                         "collateral/tcb_info.json",
                                         "collateral/tcb_info_early.json",
                                         "collateral/tcb_evaluations.json",
                                         "collateral/tcb_info_issuer_chain.pem",
                                         "collateral/qe_identity.json",
                                         "collateral/qe_identity_issuer_chain.pem",
                                         "collateral/pck_crl.der",
                                         "collateral/pck_crl_issuer_chain.pem",
                                         "collateral/root_ca_crl.der",
                                         "collateral/pck_chain.pem",
                                         "collateral",
                                         "state.json",
                                         "policy.json",
                                         ".lock" };
    char path[128];

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", g_folder, names[i]);
        remove(path);
    }
    return rmdir(g_folder);
}

/* ---- a quote v3, signed with a key of the test ---- */

static void fill_report(struct sgx_report_body *body, uint8_t byte)
{
    memset(body, 0, sizeof *body);
    body->attributes.flags = SGX_ATTR_INIT | SGX_ATTR_MODE64BIT;
    body->attributes.xfrm = 3;
    memset(body->mrenclave, byte, sizeof body->mrenclave);
    memset(body->mrsigner, MRSIGNER, sizeof body->mrsigner);
    body->isv_prod_id = 1;
    body->isv_svn = 2;
}

static void put_u16(uint8_t *dst, unsigned value)
{
    dst[0] = (uint8_t)value;
    dst[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *dst, size_t value)
{
    put_u16(dst, value & 0xffff);
    put_u16(dst + 2, (unsigned)(value >> 16));
}

static size_t make_quote(struct emu_pki *pki, uint8_t quote[QUOTE_SIZE_MAX])
{
    static const uint8_t vendor[] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                      0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };
    EVP_PKEY *key = issue_key_new();
    uint8_t point[65], *at = quote + 48 + sizeof(struct sgx_report_body) + 4;
    struct sgx_report_body body, qe;
    struct err err = { 0 };
    size_t size, chain_size;
    char *chain;

    memset(quote, 0, 48);
    put_u16(quote, 3);
    put_u16(quote + 2, 2); /* ECDSA P-256 */
    memcpy(quote + 12, vendor, sizeof vendor);
    fill_report(&body, 0x11);
    memcpy(quote + 48, &body, sizeof body);
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof point, &size), 1);
    assert_int_equal(issue_sign(key, quote, 48 + sizeof body, at), 0);
    memcpy(at + 64, point + 1, 64);
    fill_report(&qe, 0x22);
    sha256_digest(point + 1, 64, qe.report_data);
    memcpy(at + 128, &qe, sizeof qe);
    assert_int_equal(emu_pki_pck_sign(pki, &qe, sizeof qe, at + 128 + sizeof qe, &err), 0);
    at += 128 + sizeof qe + 64;
    put_u16(at, 0); /* no authentication data */
    assert_int_equal(emu_pki_collateral_read(pki, "pck_chain.pem", &chain, &chain_size, &err), 0);
    put_u16(at + 2, 5);
    put_u32(at + 4, chain_size);
    memcpy(at + 8, chain, chain_size);
    at += 8 + chain_size;
    put_u32(quote + 48 + sizeof body, (size_t)(at - quote) - 48 - sizeof body - 4);
    free(chain);
    EVP_PKEY_free(key);
    return (size_t)(at - quote);
}

/* ---- judging it ---- */

static struct verifier_bytes read_item(struct emu_pki *pki, const char *name)
{
    struct err err = { 0 };
    char *data;
    size_t size;

    if (emu_pki_collateral_read(pki, name, &data, &size, &err) < 0)
        fail_msg("%s", err.text);
    return (struct verifier_bytes){ (uint8_t *)data, size };
}

static struct verifier_policy *read_policy(void)
{
    char path[128], text[4096];
    struct verifier_policy *policy = NULL;
    struct err err = { 0 };
    FILE *f;
    size_t size;

    snprintf(path, sizeof path, "%s/policy.json", g_folder);
    f = fopen(path, "r");
    assert_non_null(f);
    size = fread(text, 1, sizeof text, f);
    fclose(f);
    if (verifier_policy_new(text, size, &policy, &err) < 0)
        fail_msg("%s", err.text);
    return policy;
}

/* Judges a fresh quote under the folder's collateral as it is now. */
static void judge(bool with_root, struct verifier_result *ret)
{
    struct emu_pki *pki = pki_open();
    static uint8_t quote[QUOTE_SIZE_MAX];
    struct verifier_collateral_items items = {
        .tcb_info = read_item(pki, "tcb_info.json"),
        .tcb_info_chain = read_item(pki, "tcb_info_issuer_chain.pem"),
        .qe_identity = read_item(pki, "qe_identity.json"),
        .qe_identity_chain = read_item(pki, "qe_identity_issuer_chain.pem"),
        .pck_crl = read_item(pki, "pck_crl.der"),
        .pck_crl_chain = read_item(pki, "pck_crl_issuer_chain.pem"),
        .root_crl = read_item(pki, "root_ca_crl.der"),
    };
    const struct verifier_bytes owned[] = { items.tcb_info,    items.tcb_info_chain,
                                            items.qe_identity, items.qe_identity_chain,
                                            items.pck_crl,     items.pck_crl_chain,
                                            items.root_crl };
    struct verifier_collateral *collateral = NULL;
    struct verifier_policy *policy = with_root ? read_policy() : NULL;
    struct verifier_request request = { .evidence = { quote, make_quote(pki, quote) },
                                        .policy = policy,
                                        .now_s = time(NULL) };
    struct err err = { 0 };

    assert_int_equal(verifier_collateral_new(&items, &collateral, &err), 0);
    request.collateral = collateral;
    assert_int_equal(verifier_verify(&request, ret), 0);
    verifier_collateral_free(collateral);
    verifier_policy_free(policy);
    for (unsigned i = 0; i < ARRAY_COUNT(owned); i++)
        free((void *)owned[i].data);
    emu_pki_free(pki);
}

static void is_accepted(struct verifier_result *r)
{
    if (r->primary < VERIFIER_CHECK_COUNT)
        fail_msg("%s: %s", verifier_check_name(r->primary),
                 r->checks[r->primary].item ? r->checks[r->primary].item : "");
    assert_int_equal(r->verdict, VERIFIER_AFFIRMING);
}

static void is_refused(struct verifier_result *r, enum verifier_check_code code)
{
    assert_int_equal(r->verdict, VERIFIER_CONTRAINDICATED);
    if (r->checks[code].state != VERIFIER_CHECK_FAILED)
        fail_msg("%s did not fail; %s did", verifier_check_name(code),
                 r->primary < VERIFIER_CHECK_COUNT ? verifier_check_name(r->primary) : "none");
}

/* ---- cases ---- */

static void accepts_what_it_issues(void **state)
{
    struct verifier_result r;
    const uint8_t ppid[16] = { 0xab, 1, 2 };

    judge(true, &r);
    is_accepted(&r);
    assert_int_equal(r.intel.tcb_status, VERIFIER_TCB_UP_TO_DATE);
    assert_memory_equal(r.intel.ppid, ppid, sizeof ppid);
    assert_int_equal(r.intel.pck_svn[0], 1);
    assert_int_equal(r.intel.pck_svn[15], 1);
    assert_int_equal(r.intel.pck_pce_svn, 13);
    assert_int_equal(r.intel.fmspc[0], 0xee);
    assert_int_equal(r.intel.sgx_type, 1);
    assert_true(r.intel.is_platform_ca);
    assert_true(r.intel.has_platform_instance_id);
    assert_true(r.intel.smt_enabled);
    assert_false(r.intel.dynamic_platform);
    assert_int_equal(r.intel.tcb_evaluation_data_number, 17);
}

static void issues_for_the_processor_ca(void **state)
{
    struct emu_pki_platform platform = { .is_processor_ca = true,
                                         .has_fmspc = true,
                                         .fmspc = { 1, 2, 3, 4, 5, 0xff } };
    struct emu_pki_qe qe = { .isv_prod_id = 1, .isv_svn = 2 };
    struct verifier_result r;
    struct emu_pki *pki;
    struct err err = { 0 };

    remove_world(state);
    assert_int_equal(emu_pki_init(g_folder, &platform, &err), 0);
    memset(qe.mrsigner, MRSIGNER, sizeof qe.mrsigner);
    pki = pki_open();
    assert_false(emu_pki_qe_is(pki, &qe));
    assert_int_equal(emu_pki_qe_set(pki, &qe, &err), 0);
    assert_true(emu_pki_qe_is(pki, &qe));
    publish(pki);
    judge(true, &r);
    is_accepted(&r);
    assert_false(r.intel.is_platform_ca);
    assert_false(r.intel.has_platform_instance_id);
    assert_int_equal(r.intel.sgx_type, 0);
    assert_memory_equal(r.intel.fmspc, platform.fmspc, sizeof platform.fmspc);
}

static void names_the_unknown_root(void **state)
{
    struct verifier_result r;

    judge(false, &r);
    is_refused(&r, VERIFIER_CHECK_UNTRUSTED_ROOT);
    assert_int_equal(r.primary, VERIFIER_CHECK_UNTRUSTED_ROOT);
}

static void moves_a_level_out_of_date(void **state)
{
    struct emu_pki_tcb_change change = { .status = "OutOfDate",
                                         .sets_advisories = true,
                                         .advisory_count = 1,
                                         .advisories = { "INTEL-SA-00615" } };
    struct emu_pki *pki = pki_open();
    struct verifier_result r;
    struct err err = { 0 };

    assert_int_equal(emu_pki_tcb_set(pki, &change, &err), 0);
    publish(pki);
    judge(true, &r);
    is_refused(&r, VERIFIER_CHECK_POLICY_TCB_STATUS);
    assert_int_equal(r.intel.tcb_status, VERIFIER_TCB_OUT_OF_DATE);
    assert_int_equal(r.intel.platform_advisories.count, 1);
    assert_string_equal(r.intel.platform_advisories.names[0], "INTEL-SA-00615");
    assert_int_equal(r.intel.tcb_evaluation_data_number, 18);
    /* The update comes, and with it a PCK for the newer level. */
    pki = pki_open();
    assert_int_equal(emu_pki_pck_issue(pki, true, &err), 0);
    publish(pki);
    judge(true, &r);
    is_accepted(&r);
    assert_int_equal(r.intel.pck_svn[0], 2);
}

static void says_software_must_be_hardened(void **state)
{
    struct emu_pki_tcb_change change = { .status = "SWHardeningNeeded",
                                         .has_evaluation = true,
                                         .evaluation = 99 };
    struct emu_pki *pki = pki_open();
    struct verifier_result r;
    struct err err = { 0 };

    assert_int_equal(emu_pki_tcb_set(pki, &change, &err), 0);
    publish(pki);
    judge(true, &r);
    assert_int_equal(r.verdict, VERIFIER_WARNING);
    assert_int_equal(r.intel.tcb_status, VERIFIER_TCB_SW_HARDENING_NEEDED);
    assert_int_equal(r.intel.tcb_evaluation_data_number, 99);
}

static void judges_the_quoting_enclave(void **state)
{
    struct emu_pki_tcb_change change = { .status = "OutOfDate" };
    struct emu_pki_qe other = { .isv_prod_id = 1, .isv_svn = 2 };
    struct emu_pki *pki = pki_open();
    struct verifier_result r;
    struct err err = { 0 };

    assert_int_equal(emu_pki_qe_status_set(pki, &change, &err), 0);
    publish(pki);
    judge(true, &r);
    assert_int_equal(r.intel.tcb_status, VERIFIER_TCB_OUT_OF_DATE);
    assert_int_equal(r.intel.platform_tcb_status, VERIFIER_TCB_UP_TO_DATE);
    pki = pki_open();
    assert_int_equal(emu_pki_qe_set(pki, &other, &err), 0);
    publish(pki);
    judge(true, &r);
    is_refused(&r, VERIFIER_CHECK_QE_IDENTITY_MISMATCH);
}

static void revokes(void **state)
{
    static const char *const all[] = { "pck", "ca", "tcb" };
    struct verifier_result r;
    struct err err = { 0 };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        struct emu_pki *pki;

        if (i > 0) {
            remove_world(state);
            assert_int_equal(make_world(state), 0);
        }
        pki = pki_open();
        assert_int_equal(emu_pki_revoke(pki, all[i], &err), 0);
        publish(pki);
        judge(true, &r);
        is_refused(&r, VERIFIER_CHECK_CERT_REVOKED);
    }
}

static void replaces_a_revoked_pck(void **state)
{
    struct emu_pki *pki = pki_open();
    struct verifier_result r;
    struct err err = { 0 };

    assert_int_equal(emu_pki_revoke(pki, "pck", &err), 0);
    assert_int_equal(emu_pki_pck_issue(pki, false, &err), 0);
    publish(pki);
    judge(true, &r);
    is_accepted(&r);
}

static void lets_each_item_expire(void **state)
{
    static const char *const all[] = { "tcb-info", "qe-identity", "pck-crl", "root-crl" };
    struct verifier_result r;
    struct err err = { 0 };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        struct emu_pki *pki = pki_open();

        assert_int_equal(emu_pki_expire(pki, all[i], &err), 0);
        publish(pki);
        judge(true, &r);
        is_refused(&r, VERIFIER_CHECK_COLLATERAL_EXPIRED);
        pki = pki_open();
        assert_int_equal(emu_pki_renew(pki, all[i], &err), 0);
        publish(pki);
        judge(true, &r);
        is_accepted(&r);
    }
}

static void refuses_what_it_cannot_do(void **state)
{
    struct emu_pki_tcb_change status = { .status = "Fine" };
    struct emu_pki_tcb_change advisory = { .sets_advisories = true,
                                           .advisory_count = 1,
                                           .advisories = { "CVE-2024-1" } };
    struct emu_pki_platform platform = { 0 };
    struct emu_pki *pki = pki_open();
    struct err err = { 0 };

    assert_int_equal(emu_pki_tcb_set(pki, &status, &err), -EINVAL);
    assert_int_equal(emu_pki_tcb_set(pki, &advisory, &err), -EINVAL);
    assert_int_equal(emu_pki_revoke(pki, "root", &err), -EINVAL);
    assert_int_equal(emu_pki_expire(pki, "everything", &err), -EINVAL);
    emu_pki_free(pki);
    assert_int_equal(emu_pki_init(g_folder, &platform, &err), -EEXIST);
    assert_int_equal(emu_pki_open("/nowhere/at/all", &pki, &err), -ENOENT);
}

static void encodes_the_processor_ca(void **state)
{
    struct pck_extension extension = { .pce_svn = 0xffff, .svn = { 255, 128, 127 } };
    uint8_t der[PCK_EXTENSION_SIZE_MAX];
    size_t size = pck_extension_encode(&extension, der);

    /* INTEGERs are signed: 255 takes a zero in front. */
    assert_in_range(size, 300, PCK_EXTENSION_SIZE_MAX);
    assert_int_equal(der[0], 0x30);
    assert_int_equal(der[1], 0x82);
    assert_int_equal((size_t)der[2] << 8 | der[3], size - 4);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_world, remove_world)
    const struct CMUnitTest tests[] = {
        CASE(accepts_what_it_issues),
        CASE(issues_for_the_processor_ca),
        CASE(names_the_unknown_root),
        CASE(moves_a_level_out_of_date),
        CASE(says_software_must_be_hardened),
        CASE(judges_the_quoting_enclave),
        CASE(revokes),
        CASE(replaces_a_revoked_pck),
        CASE(lets_each_item_expire),
        CASE(refuses_what_it_cannot_do),
        cmocka_unit_test(encodes_the_processor_ca),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
