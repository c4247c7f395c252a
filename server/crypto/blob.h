/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed blobs: one byte 1, a salt of 24 bytes, the ciphertext, a tag of 16. Relying party. AES-256-GCM; key and nonce of each blob are derived from the sealing key and
 * the blob's own random salt, so no number of blobs wears the key out.
 */
#pragma once

#include "lib/defs.h"

#define BLOB_KEY_SIZE 32u
#define BLOB_OVERHEAD 41u
#define BLOB_SIZE_MAX (64u << 20)

/* What the blob is bound to: authenticated, not contained. */
struct blob_context {
    const char *owner; /* organisation; "" the server */
    const char *text;
};
/* dst: size + BLOB_OVERHEAD bytes. returns: 0; -EINVAL size; -EIO the library. */
MUST_CHECK int blob_seal(const uint8_t key[BLOB_KEY_SIZE], struct blob_context context,
                         const void *data, size_t size, uint8_t *dst);
/* dst: size - BLOB_OVERHEAD bytes, of use only after 0. blob: hostile. returns: 0; -EBADMSG; -EIO. */
MUST_CHECK int blob_open(const uint8_t key[BLOB_KEY_SIZE], struct blob_context context,
                         const void *blob, size_t size, uint8_t *dst);
/* HMAC-SHA-256(key, label): a key for one purpose. returns: 0; -EIO. */
MUST_CHECK int blob_derive(const uint8_t key[BLOB_KEY_SIZE], const char *label,
                           uint8_t ret[BLOB_KEY_SIZE]);
