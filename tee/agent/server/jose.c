/* SPDX-License-Identifier: Apache-2.0 */
/* See jose.h. Trusted; hosted. */
#include "tee/agent/server/jose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "abi/exchange.h"
#include "tee/agent/server/wipe.h"

#define COORDINATE_SIZE 32u
#define POINT_SIZE (1 + 2 * COORDINATE_SIZE)
#define CERT_TEXT_MAX 16384u

/* ---- the key ---- */

static void jwk_free(cjose_jwk_t **jwk)
{
    cjose_jwk_release(*jwk);
}

/* The JWK of an EC key on P-256; with its private part or without. NULL: it is none, or no memory. */
static cjose_jwk_t *jwk_make(EVP_PKEY *key, bool is_private)
{
    uint8_t point[POINT_SIZE], scalar[COORDINATE_SIZE];
    cjose_jwk_ec_keyspec spec = { .crv = CJOSE_JWK_EC_P_256 };
    char group[32] = "";
    size_t size = 0;
    BIGNUM *d = NULL;
    cjose_jwk_t *jwk;
    cjose_err err;

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        !EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                        &size) ||
        strcmp(group, "prime256v1") != 0 ||
        !EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
                                         &size) ||
        size != POINT_SIZE || point[0] != POINT_CONVERSION_UNCOMPRESSED)
        return NULL;
    spec.x = point + 1;
    spec.xlen = COORDINATE_SIZE;
    spec.y = point + 1 + COORDINATE_SIZE;
    spec.ylen = COORDINATE_SIZE;
    if (is_private) {
        if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) ||
            BN_bn2binpad(d, scalar, sizeof scalar) != sizeof scalar) {
            BN_clear_free(d);
            return NULL;
        }
        BN_clear_free(d);
        spec.d = scalar;
        spec.dlen = sizeof scalar;
    }
    jwk = cjose_jwk_create_EC_spec(&spec, &err);
    OPENSSL_cleanse(scalar, sizeof scalar);
    return jwk;
}

static int pem_make(EVP_PKEY *key, char **ret)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    long size;
    int rc = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                 ? 0
                 : -ENOMEM;

    if (rc == 0) {
        size = BIO_get_mem_data(bio, &data);
        *ret = strndup(data, (size_t)size);
        rc = *ret ? 0 : -ENOMEM;
    }
    BIO_free(bio);
    return rc;
}

int jose_key_new(struct jose_key *ret)
{
    struct jose_key k = { .key = EVP_EC_gen("P-256") };
    unsigned char *at = k.spki;
    int size = k.key ? i2d_PUBKEY(k.key, NULL) : -1, rc;

    if (size <= 0 || (size_t)size > sizeof k.spki) {
        EVP_PKEY_free(k.key);
        return -EIO;
    }
    k.spki_size = (size_t)i2d_PUBKEY(k.key, &at);
    k.jwk = jwk_make(k.key, true);
    rc = k.jwk ? pem_make(k.key, &k.pem) : -EIO;
    if (rc < 0)
        jose_key_done(&k);
    else
        *ret = k;
    return rc;
}

void jose_key_pem_wipe(struct jose_key *key)
{
    wipe_free(TAKE_PTR(key->pem));
}

void jose_key_done(struct jose_key *key)
{
    EVP_PKEY_free(key->key);
    if (key->jwk)
        cjose_jwk_release(key->jwk);
    wipe_free(key->pem);
    *key = (struct jose_key){ 0 };
}

/* ---- tokens ---- */

static void header_free(cjose_header_t **header)
{
    cjose_header_release(*header);
}

int jose_token_make(const struct jose_key *key, const json_t *claims, char **ret)
{
    cjose_err err;
    CLEANUP(header_free)
    cjose_header_t *header = cjose_header_new(&err);
    CLEANUP(wipe_freep)
    char *payload = json_dumps(claims, JSON_COMPACT);
    cjose_jws_t *jws;
    const char *text;
    int rc = -ENOMEM;

    if (!header || !payload ||
        !cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256, &err) ||
        !cjose_header_set(header, "typ", EXCHANGE_TOKEN_TYPE, &err))
        return -ENOMEM;
    jws = cjose_jws_sign(key->jwk, header, (const uint8_t *)payload, strlen(payload), &err);
    if (jws && cjose_jws_export(jws, &text, &err) && (*ret = strdup(text)))
        rc = 0;
    if (jws)
        cjose_jws_release(jws);
    return rc;
}

/* ---- answers ---- */

static void jws_free(cjose_jws_t **jws)
{
    if (*jws)
        cjose_jws_release(*jws);
}

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static bool header_is(cjose_header_t *header, const char *name, const char *value)
{
    cjose_err err;
    const char *found = cjose_header_get(header, name, &err);

    return found && strcmp(found, value) == 0;
}

static bool header_has(cjose_header_t *header, const char *name)
{
    cjose_err err;
    char *raw = cjose_header_get_raw(header, name, &err);

    cjose_get_dealloc()(raw);
    return raw != NULL;
}

/* Standard base64 with padding (RFC 7515, 4.1.6), nothing else. */
static X509 *cert_read(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = strlen(text), plain = strspn(text, digits), pad = len - plain;
    uint8_t der[CERT_TEXT_MAX / 4 * 3];
    const unsigned char *at = der;
    X509 *cert;
    int size;

    if (len == 0 || len > CERT_TEXT_MAX || len % 4 != 0 || pad > 2 ||
        strspn(text + plain, "=") != pad)
        return NULL;
    size = EVP_DecodeBlock(der, (const unsigned char *)text, (int)len) - (int)pad;
    cert = size > 0 ? d2i_X509(NULL, &at, size) : NULL;
    if (cert && at != der + size) {
        X509_free(cert);
        cert = NULL;
    }
    ERR_clear_error();
    return cert;
}

/* The header's "x5c". */
static int chain_read(cjose_header_t *header, STACK_OF(X509) * *ret)
{
    CLEANUP(pin_chain_freep)
    STACK_OF(X509) *chain = sk_X509_new_null();
    cjose_err err;
    char *raw = cjose_header_get_raw(header, "x5c", &err);
    CLEANUP(json_freep)
    json_t *list = raw ? json_loads(raw, JSON_REJECT_DUPLICATES, NULL) : NULL;
    size_t count = json_is_array(list) ? json_array_size(list) : 0;

    cjose_get_dealloc()(raw);
    if (!chain)
        return -ENOMEM;
    if (count < 1 || count > PIN_CHAIN_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        X509 *cert = text ? cert_read(text) : NULL;

        if (!cert || sk_X509_push(chain, cert) <= 0) {
            X509_free(cert);
            return -EINVAL;
        }
    }
    *ret = TAKE_PTR(chain);
    return 0;
}

static int fail(const char **ret_reason, int rc, const char *reason)
{
    ERR_clear_error();
    *ret_reason = reason;
    return rc;
}

/* Compact: three parts of the URL-safe alphabet, so that what the libraries are given is of one form. */
static bool is_compact(const char *text, size_t len, unsigned dots)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '.' && dots > 0)
            dots--;
        else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '_'))
            return false;
    }
    return dots == 0 && len > 0;
}

int jose_answer_open(const struct pins *pins, const char *text, size_t len, json_t **ret,
                     const char **ret_reason)
{
    cjose_err err;
    CLEANUP(jws_free)
    cjose_jws_t *jws = NULL;
    CLEANUP(pin_chain_freep)
    STACK_OF(X509) *chain = NULL;
    CLEANUP(jwk_free)
    cjose_jwk_t *jwk = NULL;
    CLEANUP(json_freep)
    json_t *payload = NULL;
    cjose_header_t *header;
    uint8_t *plain = NULL;
    size_t size = 0;
    EVP_PKEY *key;

    if (len > JOSE_SIZE_MAX || !is_compact(text, len, 2))
        return fail(ret_reason, -EINVAL, "the answer is no compact JWS");
    jws = cjose_jws_import(text, len, &err);
    header = jws ? cjose_jws_get_protected(jws) : NULL;
    if (!header || !header_is(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256) ||
        !header_is(header, "typ", EXCHANGE_ANSWER_TYPE) || header_has(header, "crit"))
        return fail(ret_reason, -EINVAL, "the answer's header is not that of an answer");
    if (chain_read(header, &chain) < 0)
        return fail(ret_reason, -EINVAL, "the answer's certificates are malformed");
    key = X509_get0_pubkey(sk_X509_value(chain, 0));
    jwk = key ? jwk_make(key, false) : NULL;
    if (!jwk || !cjose_jws_verify(jws, jwk, &err))
        return fail(ret_reason, -EBADMSG, "the answer's signature is wrong");
    if (!cjose_jws_get_plaintext(jws, &plain, &size, &err))
        return fail(ret_reason, -EINVAL, "the answer has no payload");
    payload = json_loadb((const char *)plain, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(payload) || !json_is_integer(json_object_get(payload, "time")))
        return fail(ret_reason, -EINVAL, "the answer's payload is malformed");
    if (!pin_has_spiffe_path(sk_X509_value(chain, 0), EXCHANGE_SPIFFE_PATH))
        return fail(ret_reason, -EBADMSG, "the answer's certificate is not that of an exchange");
    if (json_integer_value(json_object_get(payload, "time")) <= 0 ||
        pin_verify(pins, chain, json_integer_value(json_object_get(payload, "time")), 0,
                   ret_reason) < 0)
        return fail(ret_reason, -EBADMSG,
                    "the answer's certificates do not end at the CA key that the image pins");
    *ret = TAKE_PTR(payload);
    return 0;
}

int jose_secret_open(const struct jose_key *key, const char *text, size_t len, uint8_t **ret,
                     size_t *ret_size)
{
    cjose_err err;
    cjose_header_t *header;
    cjose_jwe_t *jwe;
    int rc = -EINVAL;

    if (len > JOSE_SIZE_MAX || !is_compact(text, len, 4))
        return -EINVAL;
    jwe = cjose_jwe_import(text, len, &err);
    header = jwe ? cjose_jwe_get_protected(jwe) : NULL;
    if (header && header_is(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ECDH_ES) &&
        header_is(header, CJOSE_HDR_ENC, CJOSE_HDR_ENC_A256GCM) && !header_has(header, "crit") &&
        !header_has(header, "zip")) {
        *ret = cjose_jwe_decrypt(jwe, key->jwk, ret_size, &err);
        rc = *ret ? 0 : -EBADMSG;
    }
    if (jwe)
        cjose_jwe_release(jwe);
    ERR_clear_error();
    return rc;
}
