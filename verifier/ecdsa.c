/* SPDX-License-Identifier: Apache-2.0 */
/* Raw ECDSA signatures through OpenSSL, which wants them in DER. Relying party. */
#include "verifier/ecdsa.h"

#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#define COORDINATE_SIZE_MAX 48
#define DER_SIZE_MAX (2 * (COORDINATE_SIZE_MAX + 3) + 3)

/* INTEGER, shortest form. Returns what follows it. */
static uint8_t *put_integer(uint8_t *dst, const uint8_t *value, size_t size)
{
    while (size > 1 && value[0] == 0) {
        value++;
        size--;
    }
    *dst++ = 0x02;
    *dst++ = (uint8_t)(size + (value[0] >> 7));
    if (value[0] >> 7)
        *dst++ = 0;
    memcpy(dst, value, size);
    return dst + size;
}

/* SEQUENCE { r, s }; at most 104 bytes of content, so one length byte. */
static size_t encode(uint8_t der[DER_SIZE_MAX], const uint8_t *r, const uint8_t *s, size_t size)
{
    uint8_t *end = put_integer(put_integer(der + 2, r, size), s, size);

    der[0] = 0x30;
    der[1] = (uint8_t)(end - der - 2);
    return (size_t)(end - der);
}

bool ecdsa_verify(EVP_PKEY *key, const uint8_t *r, const uint8_t *s, const uint8_t *digest,
                  size_t size)
{
    uint8_t der[DER_SIZE_MAX];
    EVP_PKEY_CTX *ctx;
    bool good;

    if (size > COORDINATE_SIZE_MAX || EVP_PKEY_get_bits(key) != (int)size * 8)
        return false;
    ctx = EVP_PKEY_CTX_new(key, NULL);
    good = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
           EVP_PKEY_verify(ctx, der, encode(der, r, s, size), digest, size) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good;
}

int ecdsa_p256_key_new(const uint8_t xy[64], EVP_PKEY **ret)
{
    uint8_t point[65] = { 0x04 };
    char group[] = "P-256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    int rc;

    memcpy(point + 1, xy, 64);
    if (!ctx)
        return -ENOMEM;
    rc = EVP_PKEY_fromdata_init(ctx) == 1 &&
                 EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1
             ? 0
             : -EINVAL;
    EVP_PKEY_CTX_free(ctx);
    if (rc < 0)
        ERR_clear_error();
    else
        *ret = key;
    return rc;
}
