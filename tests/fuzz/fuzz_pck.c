/* SPDX-License-Identifier: Apache-2.0 */
/* The SGX extension of PCK certificates: alone, and in a certificate that the test PKI signs, up to the TCB level that it leads to. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/verifier_judge.h"
#include "verifier/intel/pck.h"

static struct verifier_bytes text(const char *s)
{
    return (struct verifier_bytes){ (const uint8_t *)s, strlen(s) };
}

/* Of a quote that has no chain inside. */
static struct verifier_bytes get_quote(void)
{
    static uint8_t quote[PKI_QUOTE_SIZE_MAX];
    static size_t size;

    if (size == 0) {
        size = pki_quote(pki_get(), 3, 1, quote);
        quote[1046] = 1; /* certification data of type 1 */
    }
    return (struct verifier_bytes){ quote, size };
}

static void check_certificate(struct verifier_bytes extension)
{
    static struct verifier_result r;
    struct pki pki = *pki_get();
    char tcb[PKI_JSON_SIZE_MAX], qe[PKI_JSON_SIZE_MAX];
    X509 *cert = pki_pck_cert(&pki, extension);
    struct verifier_collateral *collateral;

    pki.pck_chain = pki_pem((X509 *[]){ cert, pki.ca, pki.root, NULL });
    pki_tcb_info(false, tcb);
    pki_qe_identity(false, qe);
    collateral = pki_collateral(&pki, text(tcb), text(qe));
    verifier_judge(get_quote(), collateral, &r);
    if (r.verdict == VERIFIER_AFFIRMING) {
        assert(r.intel.has_pck && memcmp(r.intel.fmspc, pki_fmspc, sizeof pki_fmspc) == 0);
        assert(r.intel.pck_pce_svn >= 5 && r.intel.pck_svn[15] >= 5);
    }
    verifier_collateral_free(collateral);
    free((void *)pki.pck_chain.data);
    X509_free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verifier_bytes content = { data, size };
    struct verifier_intel claims = { 0 };

    if (pck_extension_parse(content, &claims) == 0)
        assert(claims.has_pck && claims.sgx_type <= 2);
    if (size < 4096 && (claims.has_pck || size % 16 == 0)) /* the signatures take a while */
        check_certificate(content);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_der(data, size, max_size, seed);
}
