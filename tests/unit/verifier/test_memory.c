/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a verification: heap (every allocation of the process, OpenSSL's too, is counted here) and stack (painted before) stay below
 * VERIFIER_MEMORY_MAX, on all vectors and on evidence that was made to need much. The guard of that number in verifier.h.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pki.h"
#include "vectors.h"
#include "verifier/intel/quote.h"

#define STACK_SIZE (1u << 20)
#define PAINT 0xa5

static const char *g_folder;

/* ---- the heap: this program's malloc takes the place of the C library's ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static struct {
    bool is_on;
    int64_t now, peak; /* bytes since it was turned on */
} g_heap;

static void *note(void *p)
{
    if (p && g_heap.is_on) {
        g_heap.now += (int64_t)malloc_usable_size(p);
        if (g_heap.now > g_heap.peak)
            g_heap.peak = g_heap.now;
    }
    return p;
}

static void forget(void *p)
{
    if (p && g_heap.is_on)
        g_heap.now -= (int64_t)malloc_usable_size(p);
}

void *malloc(size_t size)
{
    return note(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return note(__libc_calloc(count, size));
}

void *realloc(void *p, size_t size)
{
    forget(p);
    return note(__libc_realloc(p, size));
}

void free(void *p)
{
    forget(p);
    __libc_free(p);
}

/* ---- the stack: a painted one ---- */

struct call {
    const struct verifier_request *request;
    struct verifier_result *result;
    int rc;
    int64_t heap_peak, heap_left;
};

static void *run_call(void *arg)
{
    struct call *call = arg;

    if (!call->request)
        return NULL;
    /* What OpenSSL keeps, for good or for the thread, when it does something for the first time. */
    call->rc = verifier_verify(call->request, call->result);
    g_heap.now = g_heap.peak = 0;
    g_heap.is_on = true;
    call->rc = verifier_verify(call->request, call->result);
    g_heap.is_on = false;
    call->heap_peak = g_heap.peak;
    call->heap_left = g_heap.now;
    return NULL;
}

/* returns: bytes of stack that were written to. */
static size_t run_painted(struct call *call)
{
    static uint8_t stack[STACK_SIZE] __attribute__((aligned(4096)));
    pthread_attr_t attr;
    pthread_t thread;
    size_t untouched = 0;

    memset(stack, PAINT, sizeof stack);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, sizeof stack), 0);
    assert_int_equal(pthread_create(&thread, &attr, run_call, call), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    while (untouched < sizeof stack && stack[untouched] == PAINT)
        untouched++;
    return sizeof stack - untouched;
}

static struct {
    size_t total, heap, stack;
    const char *name;
} g_most;

static void measure(const char *name, const struct verifier_request *request)
{
    static struct verifier_result result;
    static size_t empty; /* what a thread itself takes */
    struct call call = { .request = request, .result = &result };
    size_t stack;

    if (empty == 0)
        empty = run_painted(&(struct call){ 0 });
    stack = run_painted(&call) - empty;
    assert_int_equal(call.rc, 0);
    if (call.heap_left != 0)
        fail_msg("%s: %lld bytes were not given back", name, (long long)call.heap_left);
    if (call.heap_peak + stack > VERIFIER_MEMORY_MAX)
        fail_msg("%s: %zu bytes of heap and %zu of stack", name, (size_t)call.heap_peak, stack);
    if (call.heap_peak + stack > g_most.total) {
        g_most.total = (size_t)call.heap_peak + stack;
        g_most.heap = (size_t)call.heap_peak;
        g_most.stack = stack;
        g_most.name = name;
    }
}

static void vectors_stay_below_the_limit(void **state)
{
    const struct vector *list;
    unsigned count = vectors_load(g_folder, &list);

    for (unsigned i = 0; i < count; i++) {
        struct verifier_request request = { .evidence = list[i].evidence, .now_s = list[i].at_s };
        struct verifier_collateral *collateral;
        struct err err = { 0 };

        assert_int_equal(verifier_collateral_new(&list[i].items, &collateral, &err), 0);
        request.collateral = collateral;
        measure(list[i].id, &request);
        verifier_collateral_free(collateral);
    }
}

/* ---- evidence that asks for much ---- */

/* A v3 quote with these bytes as its chain. */
static struct verifier_bytes quote_with(const uint8_t *chain, size_t size)
{
    static uint8_t quote[VERIFIER_EVIDENCE_SIZE_MAX];
    static uint8_t head[PKI_QUOTE_SIZE_MAX];
    size_t at = 1052;
    uint32_t length;

    pki_quote(pki_get(), 3, 1, head);
    if (size > sizeof quote - at)
        size = sizeof quote - at;
    memcpy(quote, head, at);
    memcpy(quote + at, chain, size);
    length = (uint32_t)size;
    memcpy(quote + at - 4, &length, 4);
    length = (uint32_t)(at - 436 + size);
    memcpy(quote + 432, &length, 4);
    return (struct verifier_bytes){ quote, at + size };
}

static void measure_chain(const char *name, const uint8_t *chain, size_t size)
{
    struct verifier_request request = { .evidence = quote_with(chain, size),
                                        .policy = pki_policy(),
                                        .now_s = PKI_NOW_S };
    struct quote q;
    const char *why;

    assert_int_equal(quote_parse(request.evidence, &q, &why), 0);
    measure(name, &request);
}

/* A certificate whose subject has so many parts that it has about this many bytes. */
static X509 *wide_cert(unsigned parts)
{
    const struct pki *pki = pki_get();
    X509 *cert = X509_dup(pki->ca);
    X509_NAME *name = X509_NAME_new();

    for (unsigned i = 0; i < parts; i++)
        assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_countryName, MBSTRING_ASC,
                                                    (const uint8_t *)"XX", 2, -1, 0),
                         1);
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_true(X509_sign(cert, pki->ca_key, EVP_sha256()) > 0);
    X509_NAME_free(name);
    return cert;
}

static void chains_of_wide_certificates_stay_below_it(void **state)
{
    static const unsigned widths[] = { 1, 20, 40, 80, 160, 300 };

    for (unsigned i = 0; i < ARRAY_COUNT(widths); i++) {
        X509 *cert = wide_cert(widths[i]);
        struct verifier_bytes pem = pki_pem((X509 *[]){ cert, cert, cert, cert, cert, cert, NULL });

        measure_chain("certificates with wide names", pem.data, pem.size);
        free((void *)pem.data);
        X509_free(cert);
    }
}

static X509 *cert_with_extensions(unsigned count)
{
    const struct pki *pki = pki_get();
    X509 *cert = X509_dup(pki->ca);

    for (unsigned i = 0; i < count; i++) {
        ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
        X509_EXTENSION *extension;

        assert_int_equal(ASN1_OCTET_STRING_set(octets, (const uint8_t *)"", 0), 1);
        extension = X509_EXTENSION_create_by_NID(NULL, NID_netscape_comment, 0, octets);
        assert_int_equal(X509_add_ext(cert, extension, -1), 1);
        X509_EXTENSION_free(extension);
        ASN1_OCTET_STRING_free(octets);
    }
    assert_true(X509_sign(cert, pki->ca_key, EVP_sha256()) > 0);
    return cert;
}

static void chains_with_many_extensions_stay_below_it(void **state)
{
    static const unsigned counts[] = { 10, 40, 100, 400 };

    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        X509 *cert = cert_with_extensions(counts[i]);
        struct verifier_bytes pem = pki_pem((X509 *[]){ cert, cert, cert, cert, cert, NULL });

        measure_chain("certificates with many extensions", pem.data, pem.size);
        free((void *)pem.data);
        X509_free(cert);
    }
}

static void nonsense_of_full_size_stays_below_it(void **state)
{
    static uint8_t bytes[VERIFIER_EVIDENCE_SIZE_MAX];
    struct verifier_request request = { .evidence = { bytes, sizeof bytes }, .now_s = PKI_NOW_S };

    measure("zeros", &request);
    memset(bytes, 0x30, sizeof bytes);
    measure_chain("sequences within each other", bytes, sizeof bytes);
    memset(bytes, 'A', sizeof bytes);
    memcpy(bytes, "-----BEGIN CERTIFICATE-----", 27);
    memcpy(bytes + 60000, "-----END CERTIFICATE-----", 25);
    measure_chain("one long PEM block", bytes, sizeof bytes);
    for (size_t at = 0; at + 54 <= sizeof bytes; at += 54)
        memcpy(bytes + at, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", 54);
    measure_chain("a thousand empty PEM blocks", bytes, sizeof bytes);
}

static int print_most(void **state)
{
    printf("most: %zu bytes of heap and %zu of stack (%s)\n", g_most.heap, g_most.stack,
           g_most.name);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_stay_below_the_limit),
        cmocka_unit_test(chains_of_wide_certificates_stay_below_it),
        cmocka_unit_test(chains_with_many_extensions_stay_below_it),
        cmocka_unit_test(nonsense_of_full_size_stays_below_it),
    };

    if (argc != 2)
        return 2;
    g_folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, print_most);
}
