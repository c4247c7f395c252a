/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests' own manufacturer makes is accepted, and one bit less of it is not: the other tests and the fuzzers stand on that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pki.h"
#include "verifier/snp/report.h"

static const struct {
    unsigned version, body_type;
} g_kinds[] = { { 3, 1 }, { 4, 1 }, { 4, 2 }, { 5, 1 }, { 5, 2 }, { 5, 3 } };

static struct verifier_bytes text(const char *s)
{
    return (struct verifier_bytes){ (const uint8_t *)s, strlen(s) };
}

static void verify(struct verifier_bytes evidence, const struct verifier_collateral *collateral,
                   struct verifier_result *ret)
{
    struct verifier_request request = {
        .evidence = evidence, .collateral = collateral, .policy = pki_policy(), .now_s = PKI_NOW_S
    };

    assert_int_equal(verifier_verify(&request, ret), 0);
}

static void expect(const struct verifier_result *r, unsigned verdict)
{
    if (r->verdict != verdict)
        fail_msg("verdict %u, check %s: %s", r->verdict, verifier_check_name(r->primary),
                 r->primary < VERIFIER_CHECK_COUNT && r->checks[r->primary].item
                     ? r->checks[r->primary].item
                     : "");
}

static void quotes_of_each_kind_are_accepted(void **state)
{
    static char tcb[PKI_JSON_SIZE_MAX], qe[PKI_JSON_SIZE_MAX];
    static uint8_t quote[PKI_QUOTE_SIZE_MAX];
    static struct verifier_result r;

    pki_get_amd();
    for (unsigned i = 0; i < ARRAY_COUNT(g_kinds); i++) {
        bool is_tdx = g_kinds[i].body_type != 1;
        struct verifier_collateral *collateral;
        size_t size = pki_quote(pki_get(), g_kinds[i].version, g_kinds[i].body_type, quote);

        pki_tcb_info(is_tdx, tcb);
        pki_qe_identity(is_tdx, qe);
        collateral = pki_collateral(pki_get(), text(tcb), text(qe));
        verify((struct verifier_bytes){ quote, size }, collateral, &r);
        expect(&r, VERIFIER_AFFIRMING);
        assert_int_equal(r.intel.tcb_status, VERIFIER_TCB_UP_TO_DATE);
        quote[100] ^= 1;
        verify((struct verifier_bytes){ quote, size }, collateral, &r);
        expect(&r, VERIFIER_CONTRAINDICATED);
        assert_int_equal(r.checks[VERIFIER_CHECK_QUOTE_SIGNATURE].state, VERIFIER_CHECK_FAILED);
        verifier_collateral_free(collateral);
    }
}

static void reports_are_accepted(void **state)
{
    static uint8_t report[SNP_REPORT_SIZE];
    static struct verifier_result r;
    static const uint8_t tcb[8] = { 3, 0, 0, 0, 0, 0, 8, 115 };
    const struct pki *pki = pki_get_amd();
    struct verifier_collateral_items items = { .vek = pki->vek, .vek_chain = pki->vek_chain };
    struct verifier_collateral *collateral;
    struct err err = { 0 };

    report[0] = 2;
    report[0x34] = 1;
    memcpy(report + 0x38, tcb, 8);
    memcpy(report + 0x180, tcb, 8);
    memset(report + 0x1a0, 0x11, 64);
    pki_report_sign(pki, report);
    assert_int_equal(verifier_collateral_new(&items, &collateral, &err), 0);
    verify((struct verifier_bytes){ report, sizeof report }, collateral, &r);
    expect(&r, VERIFIER_AFFIRMING);
    report[0x90] ^= 1;
    verify((struct verifier_bytes){ report, sizeof report }, collateral, &r);
    expect(&r, VERIFIER_CONTRAINDICATED);
    assert_int_equal(r.primary, VERIFIER_CHECK_REPORT_SIGNATURE);
    verifier_collateral_free(collateral);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_of_each_kind_are_accepted),
        cmocka_unit_test(reports_are_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
