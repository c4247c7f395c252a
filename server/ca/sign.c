/* SPDX-License-Identifier: Apache-2.0 */
/* What the exchange's key signs: JWS in compact form (RFC 7515), ES256, with the chain in x5c. Relying party. */
#include <cjose/cjose.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "server/ca/ca_set.h"

#define COORDINATE_SIZE 32 /* bytes, P-256 */

int ca_jwk_new(EVP_PKEY *key, void **ret, struct err *err)
{
    uint8_t x[COORDINATE_SIZE], y[COORDINATE_SIZE], d[COORDINATE_SIZE];
    BIGNUM *bx = NULL, *by = NULL, *bd = NULL;
    cjose_jwk_ec_keyspec spec = { .crv = CJOSE_JWK_EC_P_256,
                                  .d = d,
                                  .dlen = sizeof d,
                                  .x = x,
                                  .xlen = sizeof x,
                                  .y = y,
                                  .ylen = sizeof y };
    cjose_jwk_t *jwk = NULL;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &bx) == 1 &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &by) == 1 &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &bd) == 1 &&
        BN_bn2binpad(bx, x, sizeof x) > 0 && BN_bn2binpad(by, y, sizeof y) > 0 &&
        BN_bn2binpad(bd, d, sizeof d) > 0)
        jwk = cjose_jwk_create_EC_spec(&spec, NULL);
    OPENSSL_cleanse(d, sizeof d);
    BN_free(bx);
    BN_free(by);
    BN_clear_free(bd);
    if (!jwk)
        return err_set(err, -EIO, "the exchange's key cannot be used");
    *ret = jwk;
    return 0;
}

void ca_jwk_free(void *jwk)
{
    if (jwk)
        cjose_jwk_release(jwk);
}

/* With ca->lock held. */
static char *sign(struct ca *ca, const char *typ, const char *payload)
{
    cjose_err why;
    cjose_header_t *header = cjose_header_new(&why);
    cjose_jws_t *jws = NULL;
    const char *text = NULL;
    char *copy = NULL;

    if (header && cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256, &why) &&
        cjose_header_set(header, "typ", typ, &why) &&
        cjose_header_set_raw(header, "x5c", ca->x5c, &why)) {
        pthread_mutex_lock(&ca->sign_lock);
        jws = cjose_jws_sign(ca->jwk, header, (const uint8_t *)payload, strlen(payload), &why);
        pthread_mutex_unlock(&ca->sign_lock);
    }
    if (jws && cjose_jws_export(jws, &text, &why))
        copy = strdup(text);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return copy;
}

int ca_sign(struct ca *ca, const char *typ, const char *payload, char **ret, struct err *err)
{
    char *text;

    pthread_rwlock_rdlock(&ca->lock);
    text = sign(ca, typ, payload);
    pthread_rwlock_unlock(&ca->lock);
    if (!text)
        return err_set(err, -EIO, "the answer cannot be signed");
    *ret = text;
    return 0;
}
