/* SPDX-License-Identifier: Apache-2.0 */
/* SIGSTRUCT with OpenSSL. Relying party. */
#include "builder/sigstruct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/digest.h"

#define KEY_BITS 3072
#define SIGNED_SIZE 256u
#define KEY_SIZE SGX_SIGSTRUCT_KEY_SIZE

static void bn_freep(BIGNUM **b)
{
    BN_free(*b);
}

static void ctx_freep(BN_CTX **c)
{
    BN_CTX_free(*c);
}

static void pkey_freep(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}

static void pkey_ctx_freep(EVP_PKEY_CTX **c)
{
    EVP_PKEY_CTX_free(*c);
}

static void md_ctx_freep(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

static void file_close(FILE **f)
{
    if (*f)
        fclose(*f);
}

/* ---- Keys ---- */

static int key_check(EVP_PKEY *key, const char *path, struct err *err)
{
    CLEANUP(bn_freep)
    BIGNUM *exponent = NULL;

    if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) != KEY_BITS ||
        !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) || !BN_is_word(exponent, 3))
        return err_set(err, -EINVAL,
                       "%s: SGX wants RSA with 3072 bits and exponent 3; make one with "
                       "`openssl genrsa -3 3072`",
                       path);
    return 0;
}

static int key_make(EVP_PKEY **ret)
{
    CLEANUP(pkey_ctx_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    CLEANUP(bn_freep)
    BIGNUM *exponent = BN_new();

    if (!ctx || !exponent || !BN_set_word(exponent, 3) || EVP_PKEY_keygen_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, KEY_BITS) <= 0 ||
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, exponent) <= 0 || EVP_PKEY_generate(ctx, ret) <= 0)
        return -EIO;
    return 0;
}

static int folder_make(const char *path)
{
    char part[4096];

    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int key_store(const char *path, EVP_PKEY *key, struct err *err)
{
    int rc = folder_make(path);
    int fd = rc < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CLEANUP(file_close)
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

    if (!f)
        return err_set_errno(err, rc < 0 ? rc : -errno, "cannot make the signing key %s", path);
    if (!PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) || fflush(f) != 0 ||
        fsync(fd) < 0) {
        unlink(path);
        return err_set(err, -EIO, "cannot write the signing key %s", path);
    }
    return 0;
}

static int default_path(const char **ret, struct err *err)
{
    static char path[3000];
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int len;

    if (config && config[0] == '/')
        len = snprintf(path, sizeof path, "%s/cloche/sign.pem", config);
    else if (home && home[0] == '/')
        len = snprintf(path, sizeof path, "%s/.config/cloche/sign.pem", home);
    else
        return err_set(err, -ENOENT, "no HOME to keep a signing key in; give one with --sign");
    if (len >= (int)sizeof path)
        return err_set_errno(err, -ENAMETOOLONG, "signing key");
    *ret = path;
    return 0;
}

int sigstruct_key_load(const char *path, EVP_PKEY **ret, bool *ret_made, const char **ret_path,
                       struct err *err)
{
    CLEANUP(pkey_freep)
    EVP_PKEY *key = NULL;
    bool make = path == NULL, made = false;
    int rc = path ? 0 : default_path(&path, err);

    if (rc < 0)
        return rc;
    CLEANUP(file_close)
    FILE *f = fopen(path, "re");

    if (!f && make && errno == ENOENT) {
        rc = key_make(&key);
        if (rc < 0)
            return err_set(err, rc, "cannot make a signing key");
        rc = key_store(path, key, err);
        if (rc < 0)
            return rc;
        made = true;
    } else if (!f) {
        return err_set_errno(err, -errno, "cannot open the signing key %s", path);
    } else {
        key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        if (!key)
            return err_set(err, -EINVAL, "%s holds no private key that can be read", path);
    }
    rc = key_check(key, path, err);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(key);
    *ret_made = made;
    *ret_path = path;
    return 0;
}

/* ---- SIGSTRUCT ---- */

static void signed_bytes(const struct sgx_sigstruct *s, uint8_t ret[SIGNED_SIZE])
{
    memcpy(ret, s, 128);
    memcpy(ret + 128, (const uint8_t *)s + 900, 128);
}

/* Q1 = floor(s^2 / n), Q2 = floor((s^3 - Q1 * s * n) / n): what EINIT needs to check without dividing. */
int sigstruct_quotients(const BIGNUM *s, const BIGNUM *n, uint8_t ret_q1[KEY_SIZE],
                        uint8_t ret_q2[KEY_SIZE])
{
    CLEANUP(ctx_freep)
    BN_CTX *ctx = BN_CTX_new();
    CLEANUP(bn_freep)
    BIGNUM *square = BN_new();
    CLEANUP(bn_freep)
    BIGNUM *q1 = BN_new();
    CLEANUP(bn_freep)
    BIGNUM *q2 = BN_new();
    CLEANUP(bn_freep)
    BIGNUM *rest = BN_new();

    /* s^3 - Q1 * s * n = s * (s^2 mod n). */
    if (!ctx || !square || !q1 || !q2 || !rest || !BN_sqr(square, s, ctx) ||
        !BN_div(q1, rest, square, n, ctx) || !BN_mul(square, rest, s, ctx) ||
        !BN_div(q2, NULL, square, n, ctx) || BN_bn2lebinpad(q1, ret_q1, KEY_SIZE) < 0 ||
        BN_bn2lebinpad(q2, ret_q2, KEY_SIZE) < 0)
        return -EIO;
    return 0;
}

static int rsa_sign(EVP_PKEY *key, const uint8_t data[SIGNED_SIZE], uint8_t ret[KEY_SIZE])
{
    CLEANUP(md_ctx_freep)
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = KEY_SIZE;

    /* RSA's default padding is PKCS #1 v1.5. */
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) <= 0 ||
        EVP_DigestSign(ctx, ret, &size, data, SIGNED_SIZE) <= 0 || size != KEY_SIZE)
        return -EIO;
    return 0;
}

int sigstruct_sign(EVP_PKEY *key, const uint8_t mrenclave[32], const struct sigstruct_terms *terms,
                   struct sgx_sigstruct *ret, struct err *err)
{
    static const uint8_t header[] = SGX_SIGSTRUCT_HEADER, header2[] = SGX_SIGSTRUCT_HEADER2;
    CLEANUP(bn_freep)
    BIGNUM *n = NULL;
    CLEANUP(bn_freep)
    BIGNUM *sig = NULL;
    struct sgx_sigstruct s = {
        .date = terms->date,
        .exponent = 3,
        .misc_select = SGX_MISC_EXINFO,
        .misc_mask = UINT32_MAX,
        .attributes = { SGX_ATTR_MODE64BIT | (terms->debug ? SGX_ATTR_DEBUG : 0), SGX_XFRM_LEGACY },
        /* Flags are fixed, DEBUG with them; AVX and later may be on or off as the CPU has them. */
        .attributes_mask = { ~0ull, SGX_XFRM_LEGACY },
        .isv_prod_id = terms->isv_prod_id,
        .isv_svn = terms->isv_svn,
    };
    uint8_t data[SIGNED_SIZE], signature[KEY_SIZE];

    memcpy(s.header, header, sizeof s.header);
    memcpy(s.header2, header2, sizeof s.header2);
    memcpy(s.enclave_hash, mrenclave, sizeof s.enclave_hash);
    signed_bytes(&s, data);
    if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) ||
        BN_bn2lebinpad(n, s.modulus, KEY_SIZE) < 0 || rsa_sign(key, data, signature) < 0)
        return err_set(err, -EIO, "cannot sign the enclave");
    sig = BN_bin2bn(signature, KEY_SIZE, NULL);
    if (!sig || BN_bn2lebinpad(sig, s.signature, KEY_SIZE) < 0 ||
        sigstruct_quotients(sig, n, s.q1, s.q2) < 0)
        return err_set(err, -EIO, "cannot sign the enclave");
    *ret = s;
    return 0;
}

/* What a PKCS #1 v1.5 signature of the data opens to, big-endian (EMSA-PKCS1-v1_5 for SHA-256, RFC 8017, 9.2). */
static void encode_message(const uint8_t data[SIGNED_SIZE], uint8_t ret[KEY_SIZE])
{
    static const uint8_t digest_info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                           0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                           0x01, 0x05, 0x00, 0x04, 0x20 };
    uint8_t *digest = ret + KEY_SIZE - SHA256_SIZE, *info = digest - sizeof digest_info;

    memset(ret, 0xff, KEY_SIZE);
    ret[0] = 0;
    ret[1] = 1;
    info[-1] = 0;
    memcpy(info, digest_info, sizeof digest_info);
    sha256_digest(data, SIGNED_SIZE, digest);
}

/* s^exponent mod n is the encoded message, for a key of the right size. */
static bool signature_is_good(const struct sgx_sigstruct *s, const BIGNUM *n, const BIGNUM *sig)
{
    uint8_t data[SIGNED_SIZE], expected[KEY_SIZE], actual[KEY_SIZE];
    CLEANUP(ctx_freep)
    BN_CTX *ctx = BN_CTX_new();
    CLEANUP(bn_freep)
    BIGNUM *exponent = BN_new();
    CLEANUP(bn_freep)
    BIGNUM *value = BN_new();

    if (!ctx || !exponent || !value || BN_num_bits(n) != KEY_BITS || !BN_is_odd(n) ||
        BN_cmp(sig, n) >= 0 || !BN_set_word(exponent, s->exponent) ||
        !BN_mod_exp(value, sig, exponent, n, ctx) || BN_bn2binpad(value, actual, KEY_SIZE) < 0)
        return false;
    signed_bytes(s, data);
    encode_message(data, expected);
    return memcmp(actual, expected, KEY_SIZE) == 0;
}

static bool quotients_are_good(const struct sgx_sigstruct *s, const BIGNUM *n, const BIGNUM *sig)
{
    uint8_t q1[KEY_SIZE], q2[KEY_SIZE];

    return !BN_is_zero(n) && sigstruct_quotients(sig, n, q1, q2) == 0 &&
           memcmp(q1, s->q1, KEY_SIZE) == 0 && memcmp(q2, s->q2, KEY_SIZE) == 0;
}

int sigstruct_faults(const struct sgx_sigstruct *s)
{
    static const uint8_t header[] = SGX_SIGSTRUCT_HEADER, header2[] = SGX_SIGSTRUCT_HEADER2;
    CLEANUP(bn_freep)
    BIGNUM *n = BN_lebin2bn(s->modulus, KEY_SIZE, NULL);
    CLEANUP(bn_freep)
    BIGNUM *sig = BN_lebin2bn(s->signature, KEY_SIZE, NULL);
    int faults = 0;

    if (!n || !sig)
        return -ENOMEM;
    if (memcmp(s->header, header, sizeof header) != 0 ||
        memcmp(s->header2, header2, sizeof header2) != 0)
        faults |= SIGSTRUCT_FAULT_FORM;
    if (s->exponent != 3)
        faults |= SIGSTRUCT_FAULT_EXPONENT;
    if (!signature_is_good(s, n, sig))
        faults |= SIGSTRUCT_FAULT_SIGNATURE;
    if (!quotients_are_good(s, n, sig))
        faults |= SIGSTRUCT_FAULT_QUOTIENTS;
    return faults;
}

int sigstruct_verify(const struct sgx_sigstruct *s, struct err *err)
{
    int faults = sigstruct_faults(s);

    if (faults < 0)
        return err_set_errno(err, faults, "SIGSTRUCT");
    if (faults & (SIGSTRUCT_FAULT_FORM | SIGSTRUCT_FAULT_EXPONENT))
        return err_set(err, -EBADMSG, "SIGSTRUCT: not in the form that EINIT wants");
    if (faults & SIGSTRUCT_FAULT_SIGNATURE)
        return err_set(err, -EBADMSG, "SIGSTRUCT: the signature is wrong");
    if (faults & SIGSTRUCT_FAULT_QUOTIENTS)
        return err_set(err, -EBADMSG, "SIGSTRUCT: Q1 or Q2 is wrong");
    return 0;
}

void sigstruct_mrsigner(const struct sgx_sigstruct *s, uint8_t ret[32])
{
    sha256_digest(s->modulus, sizeof s->modulus, ret);
}
