/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGSTRUCT as EINIT checks it: form, RSA-3072 signature with exponent 3 (PKCS #1 v1.5, SHA-256), Q1
 * and Q2. Untrusted side. SDM vol. 3D, 35.14 and EINIT.
 */
#include "host/sgx/emu/emu.h"

#include <openssl/bn.h>
#include <string.h>

#include "lib/digest.h"

#define KEY SGX_SIGSTRUCT_KEY_SIZE

static const uint8_t header[16] = SGX_SIGSTRUCT_HEADER;
static const uint8_t header2[16] = SGX_SIGSTRUCT_HEADER2;
/* DigestInfo of SHA-256 (RFC 8017, 9.2) */
static const uint8_t digest_info[19] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                         0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };

static bool all_zero(const uint8_t *p, size_t size)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any |= p[i];
    return any == 0;
}

static bool form_is_legal(const struct sgx_sigstruct *s)
{
    return memcmp(s->header, header, sizeof header) == 0 &&
           memcmp(s->header2, header2, sizeof header2) == 0 &&
           (s->vendor == 0 || s->vendor == 0x8086) && s->exponent == 3 &&
           all_zero(s->reserved1, sizeof s->reserved1) &&
           all_zero(s->reserved2, sizeof s->reserved2) &&
           all_zero(s->reserved3, sizeof s->reserved3) &&
           all_zero(s->reserved4, sizeof s->reserved4);
}

static void encode_message(const struct sgx_sigstruct *s, uint8_t ret[KEY])
{
    uint8_t body[128 + 128];

    memcpy(body, s, 128);
    memcpy(body + 128, (const uint8_t *)s + 900, 128);
    memset(ret, 0xff, KEY);
    ret[0] = 0;
    ret[1] = 1;
    ret[KEY - 32 - sizeof digest_info - 1] = 0;
    memcpy(ret + KEY - 32 - sizeof digest_info, digest_info, sizeof digest_info);
    sha256_digest(body, sizeof body, ret + KEY - 32);
}

/*
 * s^3 mod n as the CPU does it: q1 = s*s / n, r = s*s mod n, q2 = s*r / n, m = s*r mod n. The signer
 * supplies q1 and q2; wrong ones fail.
 */
static bool signature_is_valid(const struct sgx_sigstruct *s, BN_CTX *ctx)
{
    uint8_t message[KEY], power[KEY];
    BIGNUM *n = BN_lebin2bn(s->modulus, KEY, BN_CTX_get(ctx));
    BIGNUM *sig = BN_lebin2bn(s->signature, KEY, BN_CTX_get(ctx));
    BIGNUM *q1 = BN_lebin2bn(s->q1, KEY, BN_CTX_get(ctx));
    BIGNUM *q2 = BN_lebin2bn(s->q2, KEY, BN_CTX_get(ctx));
    BIGNUM *product = BN_CTX_get(ctx), *q = BN_CTX_get(ctx), *r = BN_CTX_get(ctx);

    if (!r || !n || !sig || !q1 || !q2 || BN_num_bits(n) != 3072 || BN_cmp(sig, n) >= 0)
        return false;
    if (!BN_sqr(product, sig, ctx) || !BN_div(q, r, product, n, ctx) || BN_cmp(q, q1) != 0)
        return false;
    if (!BN_mul(product, sig, r, ctx) || !BN_div(q, r, product, n, ctx) || BN_cmp(q, q2) != 0)
        return false;
    encode_message(s, message);
    return BN_bn2binpad(r, power, KEY) == KEY && memcmp(power, message, KEY) == 0;
}

int emu_sigstruct_verify(const struct sgx_sigstruct *s, uint8_t ret_mrsigner[32])
{
    if (!form_is_legal(s))
        return SGX_INVALID_SIG_STRUCT;
    BN_CTX *ctx = BN_CTX_new();

    if (!ctx)
        return SGX_INVALID_SIGNATURE;
    BN_CTX_start(ctx);
    bool valid = signature_is_valid(s, ctx);

    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    if (!valid)
        return SGX_INVALID_SIGNATURE;
    sha256_digest(s->modulus, KEY, ret_mrsigner);
    return SGX_SUCCESS;
}
