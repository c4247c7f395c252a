/* SPDX-License-Identifier: Apache-2.0 */
/* See pin.h. Trusted; hosted. */
#include "tee/agent/server/pin.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define SPIFFE_SCHEME "spiffe://"

static void store_free(X509_STORE **store)
{
    X509_STORE_free(*store);
}

static void context_free(X509_STORE_CTX **context)
{
    X509_STORE_CTX_free(*context);
}

static bool key_digest(X509 *cert, uint8_t ret[PIN_SIZE])
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool ok = size > 0 && EVP_Digest(der, (size_t)size, ret, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    return ok;
}

static bool is_pinned(const struct pins *pins, X509 *cert)
{
    uint8_t digest[PIN_SIZE];

    if (!key_digest(cert, digest))
        return false;
    for (unsigned i = 0; i < pins->count; i++)
        if (memcmp(pins->sha256[i], digest, PIN_SIZE) == 0)
            return true;
    return false;
}

void pin_init(struct pins *pins, const uint8_t sha256[PIN_SIZE])
{
    *pins = (struct pins){ .count = 1 };
    memcpy(pins->sha256[0], sha256, PIN_SIZE);
}

int pin_replace_roots(struct pins *pins, const char *pem)
{
    CLEANUP(pin_chain_freep)
    STACK_OF(X509) *roots = NULL;
    struct pins replaced;
    int rc = pin_chain_read(pem, &roots);

    if (rc < 0)
        return rc;
    pin_init(&replaced, pins->sha256[0]);
    for (int i = 0; i < sk_X509_num(roots); i++) {
        if (is_pinned(&replaced, sk_X509_value(roots, i)))
            continue;
        if (replaced.count == PIN_COUNT_MAX)
            return -E2BIG;
        if (!key_digest(sk_X509_value(roots, i), replaced.sha256[replaced.count]))
            return -EINVAL;
        replaced.count++;
    }
    *pins = replaced;
    return 0;
}

/* The pinned CAs of the chain are what OpenSSL trusts; a leaf never is. */
static X509_STORE *store_make(const struct pins *pins, STACK_OF(X509) * chain)
{
    X509_STORE *store = X509_STORE_new();

    for (int i = 1; store && i < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i);

        if (is_pinned(pins, cert) && X509_check_ca(cert) > 0 && !X509_STORE_add_cert(store, cert)) {
            X509_STORE_free(store);
            return NULL;
        }
    }
    return store;
}

int pin_verify(const struct pins *pins, STACK_OF(X509) * chain, int64_t time_s, int purpose,
               const char **ret_reason)
{
    CLEANUP(store_free)
    X509_STORE *store = store_make(pins, chain);
    CLEANUP(context_free)
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;

    if (!store || !context ||
        !X509_STORE_CTX_init(context, store, sk_X509_value(chain, 0), chain)) {
        ERR_clear_error();
        return -ENOMEM;
    }
    param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_depth(param, (int)PIN_CHAIN_MAX);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    if (purpose)
        X509_VERIFY_PARAM_set_purpose(param, purpose);
    if (time_s == PIN_TIME_ANY)
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
    else
        X509_VERIFY_PARAM_set_time(param, (time_t)time_s);
    if (X509_verify_cert(context) == 1)
        return 0;
    *ret_reason = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
    ERR_clear_error();
    return -EBADMSG;
}

void pin_chain_free(STACK_OF(X509) * chain)
{
    sk_X509_pop_free(chain, X509_free);
}

int pin_chain_read(const char *pem, STACK_OF(X509) * *ret)
{
    CLEANUP(pin_chain_freep)
    STACK_OF(X509) *chain = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem, -1);
    int rc = chain && bio ? 0 : -ENOMEM;
    X509 *cert;

    while (rc == 0 && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (sk_X509_num(chain) < (int)PIN_CHAIN_MAX && sk_X509_push(chain, cert) > 0)
            continue;
        X509_free(cert);
        rc = -EINVAL;
    }
    /* The end, or something that is no certificate. */
    if (rc == 0 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        rc = -EINVAL;
    ERR_clear_error();
    BIO_free(bio);
    if (rc == 0 && sk_X509_num(chain) == 0)
        rc = -EINVAL;
    if (rc == 0)
        *ret = TAKE_PTR(chain);
    return rc;
}

static bool uri_has_path(const ASN1_IA5STRING *uri, const char *path)
{
    const char *text = (const char *)ASN1_STRING_get0_data(uri), *slash;
    size_t size = (size_t)ASN1_STRING_length(uri), len = sizeof SPIFFE_SCHEME - 1;

    if (size <= len || memcmp(text, SPIFFE_SCHEME, len) != 0)
        return false;
    slash = memchr(text + len, '/', size - len);
    return slash && slash > text + len && size - (size_t)(slash - text) == strlen(path) &&
           memcmp(slash, path, strlen(path)) == 0;
}

bool pin_has_spiffe_path(X509 *cert, const char *path)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    unsigned uris = 0, matches = 0;

    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type != GEN_URI)
            continue;
        uris++;
        matches += uri_has_path(name->d.uniformResourceIdentifier, path);
    }
    GENERAL_NAMES_free(names);
    return uris == 1 && matches == 1;
}
