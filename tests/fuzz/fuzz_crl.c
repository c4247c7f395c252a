/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists in DER, hex and PEM; what can be read is signed anew and must then be good, and name its entries. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/unit/verifier/pki.h"
#include "verifier/x509/chain.h"

/* The first entries are revoked, as often as they are asked for. */
static void check_entries(const struct x509_crl *crl)
{
    const struct pki *pki = pki_get();
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl->crl);
    X509 *cert = X509_dup(pki->pck);

    for (int i = 0; i < sk_X509_REVOKED_num(entries) && i < 4; i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);

        assert(X509_set_serialNumber(cert, (ASN1_INTEGER *)X509_REVOKED_get0_serialNumber(entry)) ==
               1);
        assert(x509_crl_has(crl, cert));
    }
    X509_free(cert);
}

static void check_signed(struct x509_crl *crl)
{
    const struct pki *pki = pki_get();
    struct x509_crl again;
    uint8_t *der = NULL;
    int size;

    (void)x509_crl_is_signed(crl, pki->ca, X509_PROFILE_INTEL);
    assert(!x509_crl_is_signed(crl, pki->tcb, X509_PROFILE_INTEL));
    if (X509_CRL_sign(crl->crl, pki->ca_key, EVP_sha256()) <= 0)
        return;
    size = i2d_X509_CRL(crl->crl, &der);
    assert(size > 0);
    if (x509_crl_parse(&again, (struct verifier_bytes){ der, (size_t)size }) == 0) {
        assert(x509_crl_is_signed(&again, pki->ca, X509_PROFILE_INTEL));
        assert(!x509_crl_is_signed(&again, pki->root, X509_PROFILE_INTEL));
        x509_crl_done(&again);
    }
    OPENSSL_free(der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct x509_crl crl;

    if (x509_crl_parse(&crl, (struct verifier_bytes){ data, size }) < 0) {
        assert(!crl.crl);
        return 0;
    }
    assert(crl.this_update_s != INT64_MIN && crl.next_update_s != INT64_MIN);
    check_entries(&crl);
    check_signed(&crl);
    x509_crl_done(&crl);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return size > 0 && data[0] == 0x30 ? mutate_der(data, size, max_size, seed)
                                       : LLVMFuzzerMutate(data, size, max_size);
}
