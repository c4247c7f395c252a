/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the root key comes from: a passphrase, a PKCS#11 token, the server's own enclave. Relying party. Internal to server/crypto. A record (JSON text, in the store,
 * not secret, maybe forged) tells what is needed to get the same key again.
 */
#pragma once

#include <jansson.h>

#include "server/crypto/keys.h"

#define ROOT_KEY_SIZE 32u
#define ROOT_RECORD_LEN_MAX 16384u

/* Makes a new root key. *ret_record is for free(). returns: 0; -ENOENT, -EACCES, -EINVAL the source; errno. */
MUST_CHECK int root_make(const struct keys_source *source, char **ret_record,
                         uint8_t ret[ROOT_KEY_SIZE], struct err *err);
/* Gets the root key that the record tells of. returns: 0; -EACCES the source is another one, or its key does not fit; as root_make. */
MUST_CHECK int root_get(const struct keys_source *source, const char *record,
                        uint8_t ret[ROOT_KEY_SIZE], struct err *err);

/* One kind of source. make adds members to the record, get reads them. */
struct root_kind {
    const char *name; /* in the record */
    int (*make)(const char *location, json_t *record, uint8_t ret[ROOT_KEY_SIZE], struct err *err);
    int (*get)(const char *location, const json_t *record, uint8_t ret[ROOT_KEY_SIZE],
               struct err *err);
};
extern const struct root_kind root_passphrase, root_pkcs11, root_sealed;

/* Bytes in a record, as hex. returns: 0; -ENOMEM. */
MUST_CHECK int root_record_put(json_t *record, const char *name, const void *data, size_t size);
/* returns: bytes, up to `size`; -EBADMSG no such member, or longer. */
MUST_CHECK int root_record_take(const json_t *record, const char *name, void *ret, size_t size,
                                struct err *err);
