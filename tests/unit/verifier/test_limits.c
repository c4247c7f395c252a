/* SPDX-License-Identifier: Apache-2.0 */
/* Collateral that is too long, too deep or too much: at each limit it is read, one past it it is refused, and nothing grows with it. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pki.h"
#include "verifier/collateral.h"

/* What collateral may take beside its fixed part: a list of the greatest size, and each of its entries as OpenSSL keeps it. */
#define COLLATERAL_HEAP_MAX (32u << 20)

static struct verifier_bytes bytes_of(const char *text)
{
    return (struct verifier_bytes){ (const uint8_t *)text, strlen(text) };
}

/* ---- TCB info and identity ---- */

struct counts {
    unsigned levels, modules, module_levels, advisories;
};

static void put_isv_levels(FILE *f, unsigned count)
{
    fputs("\"tcbLevels\":[", f);
    for (unsigned i = 0; i < count; i++)
        fprintf(f,
                "%s{\"tcb\":{\"isvsvn\":%u},\"tcbDate\":\"2024-01-01T00:00:00Z\",\"tcbStatus\":"
                "\"UpToDate\"}",
                i ? "," : "", count - i);
    fputs("]", f);
}

static void put_components(FILE *f, const char *name)
{
    fprintf(f, "\"%s\":[", name);
    for (unsigned i = 0; i < 16; i++)
        fprintf(f, "%s{\"svn\":0}", i ? "," : "");
    fputs("],", f);
}

static void put_advisories(FILE *f, unsigned count)
{
    fputs(",\"advisoryIDs\":[", f);
    for (unsigned i = 0; i < count; i++)
        fprintf(f, "%s\"INTEL-SA-%05u\"", i ? "," : "", i);
    fputs("]", f);
}

static char *make_info(struct counts n)
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    fputs("{\"id\":\"TDX\",\"version\":3,\"issueDate\":\"2025-01-01T00:00:00Z\",\"nextUpdate\":"
          "\"2030-01-01T00:00:00Z\","
          "\"fmspc\":\"00906ed50000\",\"pceId\":\"0000\",\"tcbType\":0,\"tcbEvaluationDataNumber\":"
          "17,\"tdxModuleIdentities\":[",
          f);
    for (unsigned i = 0; i < n.modules; i++) {
        fprintf(f,
                "%s{\"id\":\"TDX_%02x\",\"mrsigner\":\"%096d\",\"attributes\":\"%016d\","
                "\"attributesMask\":\"%016d\",",
                i ? "," : "", i, 0, 0, 0);
        put_isv_levels(f, i == 0 ? n.module_levels : 1);
        fputs("}", f);
    }
    fputs("],\"tcbLevels\":[", f);
    for (unsigned i = 0; i < n.levels; i++) {
        fprintf(f, "%s{\"tcb\":{", i ? "," : "");
        put_components(f, "sgxtcbcomponents");
        put_components(f, "tdxtcbcomponents");
        fputs("\"pcesvn\":0},\"tcbDate\":\"2024-01-01T00:00:00Z\",\"tcbStatus\":\"UpToDate\"", f);
        if (i == 0)
            put_advisories(f, n.advisories);
        fputs("}", f);
    }
    fputs("]}", f);
    fclose(f);
    return text;
}

static int parse_info(struct counts n, struct tcb_info *info)
{
    char *text = make_info(n);
    int rc = tcb_info_parse(bytes_of(text), info);

    free(text);
    return rc;
}

static void tcb_info_is_bounded(void **state)
{
    struct counts most = { TCB_LEVEL_COUNT_MAX, TCB_MODULE_COUNT_MAX, TCB_MODULE_LEVEL_COUNT_MAX,
                           TCB_ADVISORY_COUNT_MAX },
                  n;
    struct tcb_info *info = malloc(sizeof *info);

    assert_int_equal(parse_info(most, info), 0);
    assert_int_equal(info->level_count, TCB_LEVEL_COUNT_MAX);
    assert_int_equal(info->advisories.count, TCB_ADVISORY_COUNT_MAX);
    n = most, n.levels++;
    assert_int_equal(parse_info(n, info), -EINVAL);
    n = most, n.modules++;
    assert_int_equal(parse_info(n, info), -EINVAL);
    n = most, n.module_levels++;
    assert_int_equal(parse_info(n, info), -EINVAL);
    n = most, n.advisories++;
    assert_int_equal(parse_info(n, info), -EINVAL);
    n = most, n.levels = 0;
    assert_int_equal(parse_info(n, info), -EINVAL);
    free(info);
}

/* More open advisories at one level than a result holds: the first ones in order are kept, and nothing is written past them. */
static void results_hold_so_many_advisories(void **state)
{
    static uint8_t quote[PKI_QUOTE_SIZE_MAX];
    static struct verifier_result r;
    char qe[PKI_JSON_SIZE_MAX],
        *info = make_info((struct counts){ 1, 2, 1, VERIFIER_ADVISORY_COUNT_MAX + 10 });
    struct verifier_request request = { .policy = pki_policy(), .now_s = PKI_NOW_S };
    struct verifier_collateral *c;

    pki_qe_identity(true, qe);
    c = pki_collateral(pki_get(), bytes_of(info), bytes_of(qe));
    request.evidence = (struct verifier_bytes){ quote, pki_quote(pki_get(), 4, 2, quote) };
    request.collateral = c;
    assert_int_equal(verifier_verify(&request, &r), 0);
    assert_int_equal(r.intel.platform_advisories.count, VERIFIER_ADVISORY_COUNT_MAX);
    assert_string_equal(r.intel.platform_advisories.names[0], "INTEL-SA-00000");
    verifier_collateral_free(c);
    free(info);
}

static void members_stand_once(void **state)
{
    static struct qe_identity id;
    char qe[PKI_JSON_SIZE_MAX], twice[PKI_JSON_SIZE_MAX + 32];

    pki_qe_identity(false, qe);
    assert_int_equal(qe_identity_parse(bytes_of(qe), &id), 0);
    snprintf(twice, sizeof twice, "{\"isvprodid\":7,%s", qe + 1);
    assert_int_equal(qe_identity_parse(bytes_of(twice), &id), -EINVAL);
}

static void json_is_not_endlessly_deep(void **state)
{
    static char text[200000];
    static struct qe_identity id;
    size_t at = (size_t)snprintf(text, sizeof text, "{\"later\":");

    memset(text + at, '[', 90000);
    memset(text + at + 90000, ']', 90000);
    assert_int_equal(qe_identity_parse(bytes_of(text), &id), -EINVAL);
    memset(text, '[', sizeof text - 1);
    assert_int_equal(qe_identity_parse(bytes_of(text), &id), -EINVAL);
}

/* ---- chains and lists ---- */

static void chains_are_short(void **state)
{
    const struct pki *pki = pki_get();
    struct verifier_bytes five =
        pki_pem((X509 *[]){ pki->pck, pki->ca, pki->root, pki->root, pki->root, NULL });
    struct verifier_bytes six =
        pki_pem((X509 *[]){ pki->pck, pki->ca, pki->root, pki->root, pki->root, pki->root, NULL });
    struct x509_chain chain;

    assert_int_equal(x509_chain_parse(&chain, X509_PROFILE_INTEL, &pki->pck_chain, 1), 0);
    assert_int_equal(chain.count, 3);
    assert_true(chain.is_signed);
    x509_chain_done(&chain);
    if (x509_chain_parse(&chain, X509_PROFILE_INTEL, &five, 1) == 0)
        x509_chain_done(&chain);
    assert_int_equal(x509_chain_parse(&chain, X509_PROFILE_INTEL, &six, 1), -EINVAL);
    free((void *)five.data);
    free((void *)six.data);
}

static struct verifier_collateral *collateral_of(struct verifier_bytes pck_crl)
{
    const struct pki *pki = pki_get();
    struct verifier_collateral_items items = { .pck_crl = pck_crl,
                                               .pck_crl_chain = pki->ca_chain,
                                               .root_crl = pki->root_crl };
    struct verifier_collateral *c = NULL;
    struct err err = { 0 };

    assert_int_equal(verifier_collateral_new(&items, &c, &err), 0);
    return c;
}

static void lists_of_full_size_are_read_and_bounded(void **state)
{
    const struct pki *pki = pki_get();
    struct verifier_bytes der = pki_crl(pki->ca, pki->ca_key, 44000);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, taken;
    struct verifier_collateral *c;

    assert_in_range(der.size, VERIFIER_COLLATERAL_ITEM_SIZE_MAX / 2,
                    VERIFIER_COLLATERAL_ITEM_SIZE_MAX);
    c = collateral_of(der);
    taken = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    print_message("%zu bytes of list take %zu bytes\n", der.size, taken);
    assert_in_range(taken, 1, COLLATERAL_HEAP_MAX);
    assert_true(c->pck_crl_item.is_readable && c->pck_crl_item.is_signed);
    assert_false(x509_crl_has(&c->pck_crl, pki->pck));
    verifier_collateral_free(c);
    OPENSSL_free((void *)der.data);
}

static void items_beyond_their_size_are_refused(void **state)
{
    uint8_t *much = calloc(1, VERIFIER_COLLATERAL_ITEM_SIZE_MAX + 1);
    struct verifier_collateral_items items = { .tcb_info = {
                                                   much, VERIFIER_COLLATERAL_ITEM_SIZE_MAX + 1 } };
    struct verifier_collateral *c;
    struct err err = { 0 };

    assert_int_equal(verifier_collateral_new(&items, &c, &err), -E2BIG);
    assert_non_null(strstr(err.text, "TCB info"));
    items.tcb_info.size--;
    assert_int_equal(verifier_collateral_new(&items, &c, &err), 0);
    assert_false(c->tcb.is_readable);
    verifier_collateral_free(c);
    free(much);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcb_info_is_bounded),
        cmocka_unit_test(results_hold_so_many_advisories),
        cmocka_unit_test(members_stand_once),
        cmocka_unit_test(json_is_not_endlessly_deep),
        cmocka_unit_test(chains_are_short),
        cmocka_unit_test(lists_of_full_size_are_read_and_bounded),
        cmocka_unit_test(items_beyond_their_size_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
