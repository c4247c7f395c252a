/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed blobs. Relying party. */
#include "server/crypto/blob.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#include "lib/ct.h"

#define BLOB_VERSION 1u
#define SALT_SIZE 24u
#define TAG_SIZE 16u
#define NONCE_SIZE 12u
#define HEAD_SIZE (1 + SALT_SIZE)

_Static_assert(BLOB_OVERHEAD == HEAD_SIZE + TAG_SIZE, "what a blob adds");

static void cipher_freep(EVP_CIPHER_CTX **ctx)
{
    EVP_CIPHER_CTX_free(*ctx);
}

int blob_derive(const uint8_t key[BLOB_KEY_SIZE], const char *label, uint8_t ret[BLOB_KEY_SIZE])
{
    unsigned size = BLOB_KEY_SIZE;

    if (!HMAC(EVP_sha256(), key, BLOB_KEY_SIZE, (const uint8_t *)label, strlen(label), ret, &size))
        return -EIO;
    return 0;
}

/* Key (32 bytes) and nonce (12) of the blob with this salt. */
static int derive_own(const uint8_t key[BLOB_KEY_SIZE], const uint8_t *salt, uint8_t ret[64])
{
    unsigned size = 64;

    return HMAC(EVP_sha512(), key, BLOB_KEY_SIZE, salt, SALT_SIZE, ret, &size) ? 0 : -EIO;
}

static bool begin(EVP_CIPHER_CTX *ctx, const uint8_t own[64], struct blob_context context,
                  bool is_seal)
{
    int size;

    return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, own, own + BLOB_KEY_SIZE, is_seal) ==
               1 && /* with the NULs: owner and text cannot run into each other */
           EVP_CipherUpdate(ctx, NULL, &size, (const uint8_t *)context.owner,
                            (int)strlen(context.owner) + 1) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &size, (const uint8_t *)context.text,
                            (int)strlen(context.text) + 1) == 1;
}

int blob_seal(const uint8_t key[BLOB_KEY_SIZE], struct blob_context context, const void *data,
              size_t size, uint8_t *dst)
{
    CLEANUP(cipher_freep)
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t own[64];
    int done = 0, rc;

    if (size > BLOB_SIZE_MAX)
        return -EINVAL;
    dst[0] = BLOB_VERSION;
    if (!ctx || RAND_bytes(dst + 1, SALT_SIZE) != 1)
        return -EIO;
    rc = derive_own(key, dst + 1, own);
    if (rc == 0 &&
        !(begin(ctx, own, context, true) &&
          (size == 0 || EVP_EncryptUpdate(ctx, dst + HEAD_SIZE, &done, data, (int)size) == 1) &&
          EVP_EncryptFinal_ex(ctx, dst + HEAD_SIZE + size, &done) == 1 &&
          EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, dst + HEAD_SIZE + size) == 1))
        rc = -EIO;
    ct_wipe(own, sizeof own);
    return rc;
}

int blob_open(const uint8_t key[BLOB_KEY_SIZE], struct blob_context context, const void *blob,
              size_t size, uint8_t *dst)
{
    CLEANUP(cipher_freep)
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const uint8_t *bytes = blob;
    size_t plain_size = size - BLOB_OVERHEAD;
    uint8_t own[64], last[16];
    int done = 0, rc;

    if (size < BLOB_OVERHEAD || plain_size > BLOB_SIZE_MAX || bytes[0] != BLOB_VERSION)
        return -EBADMSG;
    if (!ctx)
        return -EIO;
    rc = derive_own(key, bytes + 1, own);
    if (rc == 0 && !(begin(ctx, own, context, false) &&
                     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE,
                                         (void *)(bytes + HEAD_SIZE + plain_size)) == 1))
        rc = -EIO;
    if (rc == 0 && !((plain_size == 0 || EVP_DecryptUpdate(ctx, dst, &done, bytes + HEAD_SIZE,
                                                           (int)plain_size) == 1) &&
                     EVP_DecryptFinal_ex(ctx, last, &done) == 1)) {
        ct_wipe(dst, plain_size);
        rc = -EBADMSG;
    }
    ct_wipe(own, sizeof own);
    return rc;
}
