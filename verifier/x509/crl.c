/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists, RFC 5280 section 5: full lists of one issuer. Relying party; input may be hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "verifier/x509/chain.h"
#include "verifier/x509/pem.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* PCS sends the list as hex of DER. returns: bytes for free(), or NULL: it is something else. */
static uint8_t *decode_hex(struct verifier_bytes text, size_t *ret_size)
{
    uint8_t *der;

    while (text.size && (text.data[text.size - 1] <= ' '))
        text.size--;
    if (text.size == 0 || text.size % 2)
        return NULL;
    der = malloc(text.size / 2);
    for (size_t i = 0; der && i < text.size / 2; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);

        if (high < 0 || low < 0) {
            free(der);
            return NULL;
        }
        der[i] = (uint8_t)(high << 4 | low);
    }
    *ret_size = text.size / 2;
    return der;
}

static uint8_t *decode_pem(struct verifier_bytes text, size_t *ret_size)
{
    uint8_t *der = malloc(text.size);

    if (der && pem_next(&text, "X509 CRL", der, text.size, ret_size) == 1)
        return der;
    free(der);
    return NULL;
}

/* Delta lists and lists for a part of the certificates are none of those that this verifier needs. */
static bool is_full_list(X509_CRL *crl)
{
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        X509_EXTENSION *extension = X509_CRL_get_ext(crl, i);

        if (X509_EXTENSION_get_critical(extension))
            return false;
    }
    return true;
}

/* OpenSSL sorts a list's entries when it is first searched; after this no search changes it, also when threads share it. */
static int sort_entries(X509_CRL *crl)
{
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    X509_REVOKED *entry;

    if (!serial)
        return -ENOMEM;
    (void)X509_CRL_get0_by_serial(crl, &entry, serial);
    ASN1_INTEGER_free(serial);
    return 0;
}

static int parse_der(struct x509_crl *crl, const uint8_t *der, size_t size)
{
    const uint8_t *end = der;

    crl->crl = d2i_X509_CRL(NULL, &end, (long)size);
    if (!crl->crl || end != der + size)
        return -EINVAL;
    crl->this_update_s = x509_time_s(X509_CRL_get0_lastUpdate(crl->crl));
    crl->next_update_s = x509_time_s(X509_CRL_get0_nextUpdate(crl->crl));
    if (crl->this_update_s == INT64_MIN || crl->next_update_s == INT64_MIN)
        return -EINVAL;
    if (!is_full_list(crl->crl))
        return -EINVAL;
    return sort_entries(crl->crl);
}

int x509_crl_parse(struct x509_crl *crl, struct verifier_bytes bytes)
{
    uint8_t *der = NULL;
    size_t size = 0;
    int rc;

    *crl = (struct x509_crl){ 0 };
    if (bytes.size == 0)
        return -EINVAL;
    if (bytes.data[0] != 0x30) { /* no SEQUENCE: text */
        der = bytes.data[0] == '-' ? decode_pem(bytes, &size) : decode_hex(bytes, &size);
        if (!der)
            return -EINVAL;
        bytes = (struct verifier_bytes){ der, size };
    }
    rc = parse_der(crl, bytes.data, bytes.size);
    if (rc < 0)
        x509_crl_done(crl);
    free(der);
    ERR_clear_error();
    return rc;
}

void x509_crl_done(struct x509_crl *crl)
{
    X509_CRL_free(crl->crl);
    *crl = (struct x509_crl){ 0 };
}

bool x509_crl_is_by(const struct x509_crl *crl, const X509 *issuer)
{
    return crl->crl &&
           X509_NAME_cmp(X509_CRL_get_issuer(crl->crl), X509_get_subject_name(issuer)) == 0;
}

bool x509_crl_is_signed(const struct x509_crl *crl, const X509 *issuer, enum x509_profile profile)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    const X509_ALGOR *algorithm;
    int nid;
    bool good;

    if (!crl->crl || !key)
        return false;
    X509_CRL_get0_signature(crl->crl, NULL, &algorithm);
    nid = OBJ_obj2nid(algorithm->algorithm);
    good = nid == (profile == X509_PROFILE_INTEL ? NID_ecdsa_with_SHA256 : NID_rsassaPss) &&
           X509_CRL_verify(crl->crl, key) == 1;
    ERR_clear_error();
    return good;
}

bool x509_crl_has(const struct x509_crl *crl, const X509 *cert)
{
    X509_REVOKED *entry;

    return crl->crl && X509_CRL_get0_by_serial(crl->crl, &entry, X509_get0_serialNumber(cert)) == 1;
}
