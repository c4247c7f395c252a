/* SPDX-License-Identifier: Apache-2.0 */
/* From a SEV-SNP report to a verdict: what it needs, fetched from a key server that the test plays, with a manufacturer of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/rsa.h>

#include "collateral/http.h"
#include "tests/unit/verifier/pki.h"
#include "verifier/x509/chain.h"

#define CHIP64 "1111111111111111111111111111111111111111111111111111111111111111"
#define VCEK_NAME "amd-milan-vcek-" CHIP64 CHIP64 "-03000873"

static const char *g_vectors;
static char g_folder[64];
static struct collateral *g_store;
static struct verifier_bytes g_crl, g_served_crl;
static unsigned g_request_count;

/* ---- the maker ---- */

/* The list of the ARK, with its signature as AMD's: RSA-PSS with SHA-384. revoked: a serial number, or 0. */
static struct verifier_bytes make_crl(long revoked)
{
    const struct pki *pki = pki_get_amd();
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *time = ASN1_TIME_set(NULL, PKI_NOW_S - 86400);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx;
    struct x509_chain chain;
    uint8_t *der = NULL;
    int size;

    assert_int_equal(x509_chain_parse(&chain, X509_PROFILE_AMD, &pki->vek_chain, 1), 0);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(chain.certs[1]));
    X509_CRL_set1_lastUpdate(crl, time);
    ASN1_TIME_set(time, PKI_NOW_S + 86400);
    X509_CRL_set1_nextUpdate(crl, time);
    if (revoked) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();

        ASN1_INTEGER_set(serial, revoked);
        X509_REVOKED_set_serialNumber(entry, serial);
        X509_REVOKED_set_revocationDate(entry, time);
        assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
        ASN1_INTEGER_free(serial);
    }
    assert_int_equal(EVP_DigestSignInit(ctx, &key_ctx, EVP_sha384(), NULL, pki->ark_key), 1);
    EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, 48);
    assert_true(X509_CRL_sign_ctx(crl, ctx) > 0);
    size = i2d_X509_CRL(crl, &der);
    EVP_MD_CTX_free(ctx);
    X509_CRL_free(crl);
    ASN1_TIME_free(time);
    x509_chain_done(&chain);
    return (struct verifier_bytes){ der, (size_t)size };
}

/* A report of the chip and TCB that the test PKI's VCEK is for; without the family that tells its product when it is old. */
static void make_report(const char *vector, uint8_t report[1184])
{
    static const uint8_t tcb[8] = { 3, 0, 0, 0, 0, 0, 8, 115 };
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/snp/%s/report.bin", g_vectors, vector);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(report, 1, 1184, file), 1184);
    fclose(file);
    memset(report + 0x1a0, 0x11, 64);
    memcpy(report + 0x180, tcb, 8); /* reported */
    memcpy(report + 0x38, tcb, 8);
    memcpy(report + 0x1e0, tcb, 8);
    memcpy(report + 0x1f0, tcb, 8);
    pki_report_sign(pki_get_amd(), report);
}

/* ---- the key server ---- */

static int serve(struct collateral_transport *transport, const struct collateral_request *request,
                 struct collateral_response *ret, struct err *err)
{
    static const char home[] = "https://kdsintf.amd.com/vcek/v1/Milan/";
    const struct pki *pki = pki_get_amd();
    struct verifier_bytes bytes = { 0 };
    const char *path = request->url + sizeof home - 1;

    g_request_count++;
    *ret = (struct collateral_response){ .status = 404 };
    if (strncmp(request->url, home, sizeof home - 1) != 0)
        return 0;
    if (strcmp(path, "cert_chain") == 0)
        bytes = pki->vek_chain;
    else if (strcmp(path, "crl") == 0)
        bytes = g_served_crl;
    else if (strcmp(path, CHIP64 CHIP64 "?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115") == 0)
        bytes = pki->vek;
    if (bytes.size == 0)
        return 0;
    ret->status = 200;
    ret->body = malloc(bytes.size);
    memcpy(ret->body, bytes.data, bytes.size);
    ret->body_size = bytes.size;
    return 0;
}

static int64_t now_s(void *context)
{
    return PKI_NOW_S;
}

static int set_up(void **state)
{
    static struct collateral_transport transport = { serve, NULL };
    static struct collateral_clock clock;
    struct collateral_options options = {
        .folder = g_folder, .clock = &clock, .transport = &transport, .policy = pki_policy()
    };

    clock = *collateral_clock_system();
    clock.now_s = now_s;
    g_request_count = 0;
    g_served_crl = g_crl;
    snprintf(g_folder, sizeof g_folder, "/tmp/cloche-collateral-XXXXXX");
    assert_non_null(mkdtemp(g_folder));
    return collateral_open(&options, &g_store, NULL);
}

static int remove_entry(void *context, const struct collateral_entry *entry,
                        enum collateral_state state, const struct err *why)
{
    return collateral_remove(g_store, &entry->id, NULL);
}

static int tear_down(void **state)
{
    char path[128];

    assert_int_equal(collateral_list(g_store, remove_entry, NULL, NULL), 0);
    collateral_close(g_store);
    snprintf(path, sizeof path, "%s/lock", g_folder);
    unlink(path);
    return rmdir(g_folder);
}

/* ---- tests ---- */

static void get_all(const struct collateral_needs *needs, struct collateral_set *set)
{
    for (unsigned i = 0; i < needs->count; i++) {
        struct collateral_got got;
        struct err err = { 0 };

        if (collateral_get(g_store, &needs->items[i], COLLATERAL_FETCH, &got, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(collateral_set_add(set, &got.entry), 0);
    }
}

static unsigned verify(const uint8_t *report, const struct collateral_set *set, bool *ret_revoked)
{
    struct verifier_collateral *collateral;
    struct verifier_request request = { .evidence = { report, 1184 },
                                        .policy = pki_policy(),
                                        .now_s = PKI_NOW_S };
    struct verifier_result *result = malloc(sizeof *result);
    unsigned verdict;

    assert_int_equal(verifier_collateral_new(&set->items, &collateral, NULL), 0);
    request.collateral = collateral;
    assert_int_equal(verifier_verify(&request, result), 0);
    verdict = result->verdict;
    *ret_revoked = result->checks[VERIFIER_CHECK_CERT_REVOKED].state == VERIFIER_CHECK_FAILED;
    free(result);
    verifier_collateral_free(collateral);
    return verdict;
}

static void a_report_tells_all_that_it_needs(void **state)
{
    struct collateral_needs needs;
    struct collateral_set set = { 0 };
    uint8_t report[1184];
    char name[COLLATERAL_NAME_SIZE];
    bool revoked;

    make_report("snp-milan-v3-microsoft", report);
    assert_int_equal(collateral_needs_find((struct verifier_bytes){ report, sizeof report },
                                           &(struct collateral_wishes){ 0 }, &needs, NULL),
                     0);
    assert_int_equal(needs.count, 3);
    assert_false(needs.product_guessed);
    assert_string_equal(collateral_item_name(&needs.items[0], name), "amd-milan-vcek-chain");
    assert_string_equal(collateral_item_name(&needs.items[1], name), "amd-milan-vcek-crl");
    assert_string_equal(collateral_item_name(&needs.items[2], name), VCEK_NAME);
    get_all(&needs, &set);
    assert_int_equal(g_request_count, 3); /* the chain once */
    assert_int_equal(verify(report, &set, &revoked), VERIFIER_AFFIRMING);
    collateral_set_done(&set);
}

static void a_revoked_chip_is_seen(void **state)
{
    struct verifier_bytes crl = make_crl(9); /* the VCEK's serial number */
    struct collateral_needs needs;
    struct collateral_set set = { 0 };
    uint8_t report[1184];
    bool revoked;

    g_served_crl = crl;
    make_report("snp-milan-v3-microsoft", report);
    assert_int_equal(collateral_needs_find((struct verifier_bytes){ report, sizeof report },
                                           &(struct collateral_wishes){ 0 }, &needs, NULL),
                     0);
    get_all(&needs, &set);
    assert_int_equal(verify(report, &set, &revoked), VERIFIER_CONTRAINDICATED);
    assert_true(revoked);
    collateral_set_done(&set);
    OPENSSL_free((void *)crl.data);
}

static void lists_by_others_are_refused(void **state)
{
    const struct pki *pki = pki_get_amd();
    uint8_t *copy = malloc(g_crl.size);
    struct collateral_item_id id;
    struct collateral_got got;
    struct err err = { 0 };

    assert_int_equal(collateral_item_parse("amd-milan-vcek-crl", &id), 0);
    memcpy(copy, g_crl.data, g_crl.size);
    copy[g_crl.size - 1] ^= 1;
    g_served_crl = (struct verifier_bytes){ copy, g_crl.size };
    assert_int_equal(collateral_get(g_store, &id, COLLATERAL_FETCH, &got, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "not signed by the ARK"));
    g_served_crl = pki->root_crl; /* Intel's */
    assert_int_equal(collateral_get(g_store, &id, COLLATERAL_FETCH, &got, &err), -EBADMSG);
    g_served_crl = pki->vek;
    assert_int_equal(collateral_get(g_store, &id, COLLATERAL_FETCH, &got, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "not a revocation list"));
    free(copy);
}

static void old_reports_do_not_tell_their_product(void **state)
{
    struct collateral_needs needs;
    uint8_t report[1184];

    make_report("snp-milan-v2-google", report);
    assert_int_equal(collateral_needs_find((struct verifier_bytes){ report, sizeof report },
                                           &(struct collateral_wishes){ 0 }, &needs, NULL),
                     0);
    assert_true(needs.product_guessed);
    assert_int_equal(needs.items[0].product, VERIFIER_SNP_MILAN);
    assert_int_equal(
        collateral_needs_find((struct verifier_bytes){ report, sizeof report },
                              &(struct collateral_wishes){ .product = VERIFIER_SNP_GENOA }, &needs,
                              NULL),
        0);
    assert_false(needs.product_guessed);
    assert_int_equal(needs.items[2].product, VERIFIER_SNP_GENOA);
}

static void some_reports_cannot_be_served(void **state)
{
    struct collateral_needs needs;
    struct err err = { 0 };
    uint8_t report[1184];
    struct verifier_bytes bytes = { report, sizeof report };

    make_report("snp-milan-v3-microsoft", report);
    memset(report + 0x1a0, 0, 64);
    assert_int_equal(collateral_needs_find(bytes, &(struct collateral_wishes){ 0 }, &needs, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "--vek"));
    /* With the certificate at hand it is no matter. */
    assert_int_equal(
        collateral_needs_find(bytes, &(struct collateral_wishes){ .has_vek = true }, &needs, &err),
        0);
    assert_int_equal(needs.count, 2);
    make_report("snp-milan-v3-vlek-trustee", report);
    assert_int_equal(collateral_needs_find(bytes, &(struct collateral_wishes){ 0 }, &needs, &err),
                     0);
    assert_true(needs.is_vlek && needs.items[0].is_vlek);
    assert_int_equal(needs.count, 2);
    report[0x48] = (uint8_t)(report[0x48] | 7u << 2); /* no signing key */
    assert_int_equal(collateral_needs_find(bytes, &(struct collateral_wishes){ 0 }, &needs, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "not signed"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_report_tells_all_that_it_needs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_revoked_chip_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_by_others_are_refused, set_up, tear_down),
        cmocka_unit_test(old_reports_do_not_tell_their_product),
        cmocka_unit_test(some_reports_cannot_be_served),
    };
    int rc;

    if (argc != 2)
        return 2;
    g_vectors = argv[1];
    g_crl = make_crl(0);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    OPENSSL_free((void *)g_crl.data);
    return rc;
}
