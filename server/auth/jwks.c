/* SPDX-License-Identifier: Apache-2.0 */
/* Issuers' keys and signatures. Relying party. */
#include "server/auth/jwks.h"

#include <cjose/cjose.h>
#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "attest/base64url.h"
#include "server/api/json.h"

#define DEPTH_MAX 8u
#define FETCH_TIMEOUT_MS 5000l
#define KEYS_MAX 64u

/* ---- tokens ---- */

static int part_parse(const char *text, size_t len, json_t **ret, struct err *err)
{
    uint8_t *data = malloc(base64url_decoded_size(len) + 1);
    int rc = data ? base64url_decode(text, len, data) : -ENOMEM;

    if (rc == 0)
        rc = json_object_parse(data, base64url_decoded_size(len), DEPTH_MAX, ret, err);
    free(data);
    return rc == -ENOMEM ? rc : rc < 0 ? -EINVAL : 0;
}

int jwt_parse(const char *token, json_t **ret_header, json_t **ret_payload, struct err *err)
{
    const char *payload = strchr(token, '.'),
               *signature = payload ? strchr(payload + 1, '.') : NULL;
    json_t *header = NULL;
    int rc;

    if (!signature || strchr(signature + 1, '.') || strlen(token) > JWT_SIZE_MAX)
        return err_set(err, -EINVAL, "the token is no JWT");
    rc = part_parse(token, (size_t)(payload - token), &header, err);
    if (rc == 0)
        rc = part_parse(payload + 1, (size_t)(signature - payload - 1), ret_payload, err);
    if (rc < 0) {
        json_decref(header);
        return err_set(err, rc, "the token is no JWT");
    }
    *ret_header = header;
    return 0;
}

static int eddsa_verify(const char *token, const json_t *key)
{
    const char *x = json_string_value(json_object_get(key, "x"));
    const char *crv = json_string_value(json_object_get(key, "crv"));
    const char *dot = strrchr(token, '.');
    uint8_t public_key[33], signature[66];
    EVP_PKEY *pkey = NULL;
    EVP_MD_CTX *ctx = NULL;
    int ok = 0;

    if (!x || strlen(x) != 43 || !crv || strcmp(crv, "Ed25519") != 0 || strlen(dot + 1) != 86 ||
        base64url_decode(x, 43, public_key) < 0 || base64url_decode(dot + 1, 86, signature) < 0)
        return -EACCES;
    pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    ctx = EVP_MD_CTX_new();
    if (pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1)
        ok = EVP_DigestVerify(ctx, signature, 64, (const uint8_t *)token, (size_t)(dot - token));
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok == 1 ? 0 : -EACCES;
}

static int cjose_verify(const char *token, const json_t *key)
{
    cjose_err error;
    char *text = json_dumps(key, JSON_COMPACT);
    cjose_jwk_t *jwk = text ? cjose_jwk_import(text, strlen(text), &error) : NULL;
    cjose_jws_t *jws = jwk ? cjose_jws_import(token, strlen(token), &error) : NULL;
    bool is_right = jws && cjose_jws_verify(jws, jwk, &error);

    cjose_jws_release(jws);
    cjose_jwk_release(jwk);
    free(text);
    return is_right ? 0 : -EACCES;
}

static bool member_is(const json_t *object, const char *name, const char *value)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text && strcmp(text, value) == 0;
}

static const json_t *key_find(const json_t *jwks, const char *kid, const char *kty, const char *alg)
{
    const json_t *keys = json_object_get(jwks, "keys");

    for (size_t i = 0; i < json_array_size(keys) && i < KEYS_MAX; i++) {
        const json_t *key = json_array_get(keys, i);

        if (member_is(key, "kty", kty) && (!kid || member_is(key, "kid", kid)) &&
            (kid || json_array_size(keys) == 1) && !member_is(key, "use", "enc") &&
            (!json_object_get(key, "alg") || member_is(key, "alg", alg)))
            return key;
    }
    return NULL;
}

int jwt_verify(const char *token, const json_t *header, const json_t *jwks, struct err *err)
{
    static const struct {
        const char *alg, *kty;
    } kinds[] = { { "RS256", "RSA" }, { "PS256", "RSA" }, { "ES256", "EC" }, { "EdDSA", "OKP" } };
    const json_t *key;
    unsigned i = 0;
    int rc;

    while (i < ARRAY_COUNT(kinds) && !member_is(header, "alg", kinds[i].alg))
        i++;
    if (i == ARRAY_COUNT(kinds) || json_object_get(header, "crit"))
        return err_set(err, -EACCES, "the token is signed in a way that is not taken here");
    key = key_find(jwks, json_string_value(json_object_get(header, "kid")), kinds[i].kty,
                   kinds[i].alg);
    if (!key)
        return err_set(err, -ENOENT, "the issuer has no such key");
    rc = strcmp(kinds[i].kty, "OKP") == 0 ? eddsa_verify(token, key) : cjose_verify(token, key);
    return rc < 0 ? err_set(err, rc, "the token's signature is wrong") : 0;
}

/* ---- sets ---- */

static int set_parse(const void *data, size_t size, const char *from, json_t **ret, struct err *err)
{
    json_t *set = NULL;
    int rc = json_object_parse(data, size, DEPTH_MAX, &set, err);

    if (rc == 0 && !json_is_array(json_object_get(set, "keys"))) {
        json_decref(set);
        rc = err_set(err, -EINVAL, "it has no keys");
    }
    if (rc < 0)
        return err_wrap(err, rc == -ENOMEM ? rc : -EINVAL, "key set %s", from);
    *ret = set;
    return 0;
}

int jwks_read(const char *path, json_t **ret, struct err *err)
{
    FILE *f = fopen(path, "re");
    char *data = f ? malloc(JWKS_SIZE_MAX) : NULL;
    size_t size = data ? fread(data, 1, JWKS_SIZE_MAX, f) : 0;
    int rc;

    if (!f)
        return err_set_errno(err, -errno, "cannot open %s", path);
    fclose(f);
    rc = !data                   ? -ENOMEM
         : size == JWKS_SIZE_MAX ? err_set(err, -EFBIG, "%s is too large", path)
                                 : set_parse(data, size, path, ret, err);
    free(data);
    return rc;
}

static size_t body_take(char *data, size_t one, size_t count, void *arg)
{
    struct buffer *b = arg;

    buffer_add(b, data, count);
    return b->rc == 0 ? count : 0;
}

int jwks_fetch(const char *url, json_t **ret, struct err *err)
{
    CURL *curl = curl_easy_init();
    struct buffer b;
    uint8_t *data = NULL;
    size_t size = 0;
    long status = 0;
    CURLcode code;
    int rc;

    if (!curl)
        return -ENOMEM;
    buffer_init(&b, JWKS_SIZE_MAX);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR,
                     strncmp(url, "http://127.0.0.1:", 17) == 0 ? "http" : "https");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, FETCH_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &b);
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    rc = buffer_take(&b, &data, &size);
    if (rc == 0 && (code != CURLE_OK || status != 200))
        rc =
            err_set(err, -EIO, "key set %s: %s, status %ld", url, curl_easy_strerror(code), status);
    if (rc == 0)
        rc = set_parse(data, size, url, ret, err);
    free(data);
    return rc;
}
