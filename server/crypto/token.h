/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 token by its URI (RFC 7512): "pkcs11:token=NAME;object=LABEL?module-path=/usr/lib/.../libsofthsm2.so&pin-source=/path". Relying party. The PIN comes from a
 * file alone. One thread at a time.
 */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"

#define TOKEN_DATA_SIZE_MAX (256u << 10)

struct token;
/* Loads the module, opens a session, logs in. returns: 0; -EINVAL the URI; -ENOENT no such module or token; -EACCES the PIN; -EIO the token. */
MUST_CHECK int token_open(const char *uri, struct token **ret, struct err *err);
void token_close(struct token *token); /* NULL allowed */

/* The label that the URI names, or NULL; the token's. */
const char *token_object_label(const struct token *token);
/* AES-256-GCM by the token's AES key with this label; nonce: 12 bytes; tag included. returns: bytes; -ENOENT no such key, or several; -EACCES (decrypt) the key does not fit; -EIO. */
MUST_CHECK int token_encrypt(struct token *token, const char *label, const uint8_t nonce[12],
                             const void *data, size_t size, uint8_t *ret, size_t ret_size,
                             struct err *err);
MUST_CHECK int token_decrypt(struct token *token, const char *label, const uint8_t nonce[12],
                             const void *data, size_t size, uint8_t *ret, size_t ret_size,
                             struct err *err);
/* The value of the data object with this label; *ret for secret_free(). returns: 0; -ENOENT; -E2BIG; -EIO. */
MUST_CHECK int token_data_read(struct token *token, const char *label, uint8_t **ret,
                               size_t *ret_size, struct err *err);
