/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads verify with one collateral, one policy and one cache that is too small for them; each sees the result that one thread
 * sees alone. Built a second time with ThreadSanitizer.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki.h"

#define THREAD_COUNT 8u
#define ROUNDS 24u
#define EVIDENCE_COUNT 12u

static struct {
    struct verifier_collateral *collateral;
    struct verifier_cache *cache;
    struct verifier_bytes evidence[EVIDENCE_COUNT];
    unsigned verdict[EVIDENCE_COUNT], primary[EVIDENCE_COUNT];
} g;

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void verify(unsigned i, struct verifier_cache *cache, struct verifier_result *ret)
{
    struct verifier_request request = { .evidence = g.evidence[i],
                                        .collateral = g.collateral,
                                        .policy = pki_policy(),
                                        .cache = cache,
                                        .now_s = PKI_NOW_S };

    need(verifier_verify(&request, ret) == 0, "cannot judge");
}

static void *run(void *arg)
{
    unsigned first = (unsigned)(uintptr_t)arg;
    struct verifier_result *r = malloc(sizeof *r);

    need(r != NULL, "memory");
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (first * 5 + round) % EVIDENCE_COUNT;

        verify(i, g.cache, r);
        need(r->verdict == g.verdict[i] && r->primary == g.primary[i],
             "another verdict than alone");
    }
    free(r);
    return NULL;
}

/* Quotes with as many different chains, every third one damaged. */
static void make_evidence(void)
{
    struct pki pki = *pki_get();
    char tcb[PKI_JSON_SIZE_MAX], qe[PKI_JSON_SIZE_MAX];

    pki_tcb_info(false, tcb);
    pki_qe_identity(false, qe);
    g.collateral = pki_collateral(&pki, (struct verifier_bytes){ (uint8_t *)tcb, strlen(tcb) },
                                  (struct verifier_bytes){ (uint8_t *)qe, strlen(qe) });
    for (unsigned i = 0; i < EVIDENCE_COUNT; i++) {
        uint8_t *quote = malloc(PKI_QUOTE_SIZE_MAX), extension[PKI_EXTENSION_SIZE_MAX];
        X509 *cert =
            pki_pck_cert(&pki, (struct verifier_bytes){ extension, pki_pck_extension(extension) });

        need(quote != NULL, "memory");
        pki.pck_chain = pki_pem((X509 *[]){ cert, pki.ca, pki.root, NULL });
        g.evidence[i] = (struct verifier_bytes){ quote, pki_quote(&pki, 3, 1, quote) };
        if (i % 3 == 2)
            quote[150] ^= 4;
        X509_free(cert);
    }
}

int main(void)
{
    pthread_t threads[THREAD_COUNT];
    static struct verifier_result r;

    make_evidence();
    need(verifier_cache_new(4, &g.cache) == 0, "cache");
    for (unsigned i = 0; i < EVIDENCE_COUNT; i++) {
        verify(i, NULL, &r);
        g.verdict[i] = r.verdict;
        g.primary[i] = r.primary;
        need((i % 3 == 2) == (r.verdict == VERIFIER_CONTRAINDICATED),
             "a verdict that was not expected");
    }
    /* Collateral that no thread has used yet. */
    verifier_collateral_free(g.collateral);
    make_evidence();
    for (unsigned i = 0; i < THREAD_COUNT; i++)
        need(pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i) == 0, "thread");
    for (unsigned i = 0; i < THREAD_COUNT; i++)
        need(pthread_join(threads[i], NULL) == 0, "join");
    verifier_cache_free(g.cache);
    verifier_collateral_free(g.collateral);
    printf("%u threads, %u verifications each, as alone\n", THREAD_COUNT, ROUNDS);
    return 0;
}
