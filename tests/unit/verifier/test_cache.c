/* SPDX-License-Identifier: Apache-2.0 */
/* With a cache that holds the good evidence of a platform, whatever is changed in it is judged as without a cache: each byte of the quote, and a key vouched for by another platform. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/defs.h"
#include "pki.h"

#define KEYS_OFF 436u
#define CHAIN_OFF                                                                                  \
    1052u /* version 3 and what pki_quote writes: before it stand the signed parts, the keys and the signatures */

static struct {
    struct verifier_collateral *collateral;
    uint8_t quote[PKI_QUOTE_SIZE_MAX];
    size_t size;
} g;

static void verify(const uint8_t *quote, size_t size, struct verifier_cache *cache,
                   struct verifier_result *ret)
{
    struct verifier_request request = { .evidence = { quote, size },
                                        .collateral = g.collateral,
                                        .policy = pki_policy(),
                                        .cache = cache,
                                        .now_s = PKI_NOW_S };

    assert_int_equal(verifier_verify(&request, ret), 0);
}

static int set_up(void **state)
{
    const struct pki *pki = pki_get();
    char tcb[PKI_JSON_SIZE_MAX], qe[PKI_JSON_SIZE_MAX];

    pki_tcb_info(false, tcb);
    pki_qe_identity(false, qe);
    g.collateral = pki_collateral(pki, (struct verifier_bytes){ (uint8_t *)tcb, strlen(tcb) },
                                  (struct verifier_bytes){ (uint8_t *)qe, strlen(qe) });
    g.size = pki_quote(pki, 3, 1, g.quote);
    return 0;
}

static int tear_down(void **state)
{
    verifier_collateral_free(g.collateral);
    return 0;
}

static void assert_same(const struct verifier_result *a, const struct verifier_result *b)
{
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->primary, b->primary);
    for (unsigned i = 0; i < VERIFIER_CHECK_COUNT; i++)
        assert_int_equal(a->checks[i].state, b->checks[i].state);
}

static void bytes_that_changed(void **state)
{
    struct verifier_result *with = calloc(1, sizeof *with), *without = calloc(1, sizeof *without);
    struct verifier_cache *cache;
    unsigned refused = 0;

    assert_int_equal(verifier_cache_new(16, &cache), 0);
    verify(g.quote, g.size, cache, with);
    assert_int_equal(with->verdict, VERIFIER_AFFIRMING);
    assert_memory_equal(g.quote + CHAIN_OFF, "-----BEGIN", 10);
    for (unsigned off = 0; off < CHAIN_OFF; off += 3) {
        g.quote[off] ^= 1u << off % 8;
        verify(g.quote, g.size, NULL, without);
        for (unsigned again = 0; again < 2; again++) {
            verify(g.quote, g.size, cache, with);
            assert_same(with, without);
        }
        refused += with->verdict == VERIFIER_CONTRAINDICATED;
        g.quote[off] ^= 1u << off % 8;
    }
    assert_true(refused >= CHAIN_OFF / 3);
    verify(g.quote, g.size, cache, with);
    assert_int_equal(with->verdict, VERIFIER_AFFIRMING);
    verifier_cache_free(cache);
    free(with);
    free(without);
}

/* Report and signature of one platform's quoting enclave under another's certificate. */
static void another_platform(void **state)
{
    struct pki other = *pki_get();
    struct verifier_result *r = calloc(1, sizeof *r);
    uint8_t extension[PKI_EXTENSION_SIZE_MAX], *quote = calloc(1, PKI_QUOTE_SIZE_MAX);
    struct verifier_cache *cache;
    EVP_PKEY *pck_key = EVP_EC_gen("P-256");
    X509 *cert;
    size_t size;

    assert_int_equal(verifier_cache_new(16, &cache), 0);
    verify(g.quote, g.size, cache, r);
    assert_int_equal(r->verdict, VERIFIER_AFFIRMING);
    other.pck_key = pck_key;
    cert = pki_pck_cert(&other, (struct verifier_bytes){ extension, pki_pck_extension(extension) });
    other.pck_chain = pki_pem((X509 *[]){ cert, other.ca, other.root, NULL });
    size = pki_quote(&other, 3, 1, quote);
    assert_memory_equal(quote + CHAIN_OFF, "-----BEGIN", 10);
    verify(quote, size, cache, r);
    assert_int_equal(r->verdict, VERIFIER_AFFIRMING);
    /* Keys, report and signatures; not the lengths around them. */
    memcpy(quote + KEYS_OFF, g.quote + KEYS_OFF, CHAIN_OFF - 4 - KEYS_OFF);
    verify(quote, size, cache, r);
    assert_int_equal(r->verdict, VERIFIER_CONTRAINDICATED);
    assert_int_equal(r->checks[VERIFIER_CHECK_QE_REPORT_SIGNATURE].state, VERIFIER_CHECK_FAILED);
    X509_free(cert);
    EVP_PKEY_free(pck_key);
    verifier_cache_free(cache);
    free(quote);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_that_changed),
        cmocka_unit_test(another_platform),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
