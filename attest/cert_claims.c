/* SPDX-License-Identifier: Apache-2.0 */
/* The claims that bind a key to evidence. Relying party and agent; interoperable RA-TLS, "Evidence Custom Claims". */
#include "attest/cert_claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "attest/cbor.h"

#define CLAIM_KEY "pubkey-hash"
#define CLAIM_NONCE "nonce"

/* Named Information Hash Algorithm Registry (IANA). */
#define HASH_SHA256 1u
#define HASH_SHA384 7u
#define HASH_SHA512 8u

int cert_key_hash(EVP_PKEY *key, const EVP_MD *md, uint8_t *ret)
{
    uint8_t *der = NULL;
    int size = i2d_PUBKEY(key, &der);
    bool good = size > 0 && EVP_Digest(der, (size_t)size, ret, NULL, md, NULL) == 1;

    OPENSSL_free(der);
    return good ? 0 : -EINVAL;
}

/* Report data of evidence over claims: their SHA-256, zeros behind. */
static int report_data_of(const uint8_t *claims, size_t size, uint8_t ret[64])
{
    memset(ret, 0, 64);
    return EVP_Digest(claims, size, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int cert_binding_encode(const uint8_t key_sha256[32], struct cert_binding *ret)
{
    struct buffer entry, claims;
    int rc;

    buffer_init(&entry, sizeof ret->claims);
    cbor_add_head(&entry, CBOR_ARRAY, 2);
    cbor_add_head(&entry, CBOR_UINT, HASH_SHA256);
    cbor_add_bytes(&entry, key_sha256, SHA256_DIGEST_LENGTH);
    buffer_init(&claims, sizeof ret->claims);
    cbor_add_head(&claims, CBOR_MAP, 1);
    cbor_add_text(&claims, CLAIM_KEY);
    cbor_add_bytes(&claims, entry.data, entry.size);
    rc = entry.rc < 0 ? entry.rc : claims.rc;
    if (rc == 0) {
        memcpy(ret->claims, claims.data, claims.size);
        ret->claims_size = claims.size;
        rc = report_data_of(ret->claims, ret->claims_size, ret->report_data);
    }
    buffer_done(&entry);
    buffer_done(&claims);
    return rc;
}

/* [algorithm, hash] */
static int entry_verify(const uint8_t *data, size_t size, EVP_PKEY *key, struct err *err)
{
    struct cbor_pull c = { data, size };
    const EVP_MD *md;
    const uint8_t *hash;
    uint8_t own[EVP_MAX_MD_SIZE];
    uint64_t count, algorithm;
    size_t hash_size;

    if (cbor_pull_head(&c, CBOR_ARRAY, &count) < 0 || count != 2 ||
        cbor_pull_head(&c, CBOR_UINT, &algorithm) < 0 ||
        cbor_pull_string(&c, CBOR_BYTES, &hash, &hash_size) < 0 || c.size > 0)
        return err_set(err, -EINVAL, "the hash of the key is malformed");
    md = algorithm == HASH_SHA256   ? EVP_sha256()
         : algorithm == HASH_SHA384 ? EVP_sha384()
         : algorithm == HASH_SHA512 ? EVP_sha512()
                                    : NULL;
    if (!md)
        return err_set(err, -ENOTSUP,
                       "the key is hashed with algorithm %llu; 1 (SHA-256), 7 (SHA-384) and 8 "
                       "(SHA-512) are known",
                       (unsigned long long)algorithm);
    if (cert_key_hash(key, md, own) < 0 || hash_size != (size_t)EVP_MD_get_size(md) ||
        CRYPTO_memcmp(hash, own, hash_size) != 0)
        return err_set(err, -EBADMSG, "the evidence is about another key than the certificate's");
    return 0;
}

static bool name_is(const uint8_t *name, size_t size, const char *want)
{
    return size == strlen(want) && memcmp(name, want, size) == 0;
}

int cert_claims_verify(struct verifier_bytes claims, EVP_PKEY *key, uint8_t ret_report_data[64],
                       struct err *err)
{
    struct cbor_pull c = { claims.data, claims.size };
    const uint8_t *name, *value, *entry = NULL;
    size_t name_size, value_size, entry_size = 0;
    bool has_nonce = false;
    uint64_t count;
    int rc;

    if (claims.size > CERT_CLAIMS_SIZE_MAX || cbor_pull_head(&c, CBOR_MAP, &count) < 0 ||
        count < 1 || count > 2)
        return err_set(err, -EINVAL, "the claims about the key are malformed");
    for (uint64_t i = 0; i < count; i++) {
        if (cbor_pull_string(&c, CBOR_TEXT, &name, &name_size) < 0 ||
            cbor_pull_string(&c, CBOR_BYTES, &value, &value_size) < 0)
            return err_set(err, -EINVAL, "the claims about the key are malformed");
        if (name_is(name, name_size, CLAIM_KEY) && !entry) {
            entry = value;
            entry_size = value_size;
        } else if (name_is(name, name_size, CLAIM_NONCE) && !has_nonce) {
            has_nonce = true;
        } else {
            return err_set(err, -EINVAL,
                           "the claims about the key have an unknown one, or one twice");
        }
    }
    if (c.size > 0 || !entry)
        return err_set(err, -EINVAL, "the claims about the key are malformed");
    rc = entry_verify(entry, entry_size, key, err);
    return rc < 0 ? rc : report_data_of(claims.data, claims.size, ret_report_data);
}
