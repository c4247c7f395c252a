/* SPDX-License-Identifier: Apache-2.0 */
/* See answer_pki.h. */
#include "answer_pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "abi/exchange.h"

#define EXCHANGE_URI "spiffe://test.example" EXCHANGE_SPIFFE_PATH
#define TIME_S 1800000000

static void must(int ok)
{
    if (!ok)
        abort();
}

X509 *answer_pki_issue(const struct answer_pki *pki, EVP_PKEY *key, const char *uri, int is_ca,
                       int64_t time_s)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    char text[256];
    X509_EXTENSION *extension;

    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + is_ca);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)(is_ca ? "root" : "leaf"), -1, -1, 0);
    X509_set_issuer_name(cert, pki->root ? X509_get_subject_name(pki->root) : name);
    ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)time_s - 3600);
    ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)time_s + 3600);
    X509_set_pubkey(cert, key);
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
                                    is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    must(extension && X509_add_ext(cert, extension, -1));
    X509_EXTENSION_free(extension);
    if (uri) {
        snprintf(text, sizeof text, "URI:%s", uri);
        extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
        must(extension && X509_add_ext(cert, extension, -1));
        X509_EXTENSION_free(extension);
    }
    must(X509_sign(cert, pki->root_key, EVP_sha256()) > 0);
    return cert;
}

void answer_pki_init(struct answer_pki *pki)
{
    unsigned char *der = NULL;
    int size;

    *pki =
        (struct answer_pki){ .root_key = EVP_EC_gen("P-256"), .exchange_key = EVP_EC_gen("P-256") };
    pki->root = answer_pki_issue(pki, pki->root_key, NULL, 1, TIME_S);
    pki->exchange = answer_pki_issue(pki, pki->exchange_key, EXCHANGE_URI, 0, TIME_S);
    size = i2d_PUBKEY(pki->root_key, &der);
    must(size > 0 && EVP_Digest(der, (size_t)size, pki->pin, NULL, EVP_sha256(), NULL));
    OPENSSL_free(der);
}

void answer_pki_done(struct answer_pki *pki)
{
    X509_free(pki->root);
    X509_free(pki->exchange);
    EVP_PKEY_free(pki->root_key);
    EVP_PKEY_free(pki->exchange_key);
}

char *answer_pki_pem(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long size;

    must(PEM_write_bio_X509(bio, cert));
    size = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)size);
    BIO_free(bio);
    return text;
}

static cjose_jwk_t *jwk_of(EVP_PKEY *key)
{
    uint8_t point[65], d[32];
    cjose_jwk_ec_keyspec spec = { .crv = CJOSE_JWK_EC_P_256,
                                  .d = d,
                                  .dlen = 32,
                                  .x = point + 1,
                                  .xlen = 32,
                                  .y = point + 33,
                                  .ylen = 32 };
    BIGNUM *n = NULL;
    cjose_err err;
    size_t size;
    cjose_jwk_t *jwk;

    must(
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &size) &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &n) && BN_bn2binpad(n, d, 32) == 32);
    BN_free(n);
    jwk = cjose_jwk_create_EC_spec(&spec, &err);
    must(jwk != NULL);
    return jwk;
}

char *answer_pki_sign(const struct answer_pki *pki, const char *payload, const char *typ,
                      EVP_PKEY *key, X509 *const *chain, unsigned chain_count)
{
    X509 *const own[] = { pki->exchange, pki->root };
    cjose_err err;
    cjose_header_t *header = cjose_header_new(&err);
    cjose_jwk_t *jwk = jwk_of(key ? key : pki->exchange_key);
    json_t *x5c = json_array(), *top;
    cjose_jws_t *jws;
    const char *compact;
    char *text;

    if (!chain) {
        chain = own;
        chain_count = 2;
    }
    for (unsigned i = 0; i < chain_count; i++) {
        unsigned char *der = NULL;
        int size = i2d_X509(chain[i], &der);
        char *base64 = malloc((size_t)size * 2 + 8);

        EVP_EncodeBlock((unsigned char *)base64, der, size);
        json_array_append_new(x5c, json_string(base64));
        free(base64);
        OPENSSL_free(der);
    }
    text = json_dumps(x5c, JSON_COMPACT);
    must(cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256, &err) &&
         cjose_header_set(header, "typ", typ ? typ : EXCHANGE_ANSWER_TYPE, &err) &&
         cjose_header_set_raw(header, "x5c", text, &err));
    free(text);
    json_decref(x5c);
    jws = cjose_jws_sign(jwk, header, (const uint8_t *)payload, strlen(payload), &err);
    must(jws && cjose_jws_export(jws, &compact, &err));
    top = json_pack("{s:s}", "answer", compact);
    text = json_dumps(top, JSON_COMPACT);
    json_decref(top);
    cjose_jws_release(jws);
    cjose_jwk_release(jwk);
    cjose_header_release(header);
    return text;
}

char *answer_pki_encrypt(const struct jose_key *to, const char *plain)
{
    cjose_err err;
    cjose_header_t *header = cjose_header_new(&err);
    cjose_jwe_t *jwe;
    char *text;

    must(cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ECDH_ES, &err) &&
         cjose_header_set(header, CJOSE_HDR_ENC, CJOSE_HDR_ENC_A256GCM, &err));
    jwe = cjose_jwe_encrypt(to->jwk, header, (const uint8_t *)plain, strlen(plain), &err);
    must(jwe != NULL);
    text = cjose_jwe_export(jwe, &err);
    must(text != NULL);
    cjose_jwe_release(jwe);
    cjose_header_release(header);
    return text;
}
