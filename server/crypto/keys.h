/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's keys. Relying party. A root key (32 bytes), from one of three sources, never leaves this folder; the keys that the store holds are wrapped
 * by it (AES-256-GCM), one per organisation and one for the server, and can be re-wrapped (`cloched rekey`). What is secret, and what must not be forged by whoever
 * owns the database, goes through keys_seal and keys_mac. Thread-safe.
 */
#pragma once

#include <openssl/evp.h>

#include "server/store/store.h"

enum keys_source_kind {
    KEYS_PASSPHRASE_FILE, /* Argon2id over the file's first line, salt in the store */
    KEYS_PKCS11, /* an AES key in a token: "pkcs11:token=...;object=...?pin-source=...&module-path=..." (RFC 7512) */
    KEYS_SEALED, /* sealed to the server's own enclave by MRSIGNER (/dev/cloche) */
};
struct keys_source {
    enum keys_source_kind kind;
    const char *location; /* path or URI; KEYS_SEALED: NULL */
};

struct keys;
/* Opens the store's keys, or makes them when the store has none. returns: 0; -EACCES this root key does not open this store; -ENOENT; errno. */
MUST_CHECK int keys_open(struct store *store, const struct keys_source *source, struct keys **ret,
                         struct err *err);
void keys_close(struct keys *keys); /* NULL allowed; wipes */
/* Wraps all keys under a new root key, in one transaction; the old one opens nothing afterwards. Servers that run hear of it by the event KEYS_EVENT_REKEYED. */
MUST_CHECK int keys_rekey(struct keys *keys, const struct keys_source *source, struct err *err);
#define KEYS_EVENT_REKEYED "server.rekeyed" /* of no organisation */
/*
 * Whether somebody else has put the store under another root key; if so, gets that one from source (NULL: as keys_open was told, once for each new root key). Keys that were read stay good
 * without it, all that the store had at keys_open among them; those of organisations that came since cannot be read, and none can be made.
 * returns: 0 it is the one that is held; 1 it is held from now on; -EACCES the source has another one; -EBADMSG a root key, but not over this store's keys; errno.
 */
MUST_CHECK int keys_refresh(struct keys *keys, const struct keys_source *source, struct err *err);

/*
 * Sealing: AES-256-GCM under a key of the organisation (org_id) or the server's (NULL). context: what it is and whose ("secret/sec_.../3"), authenticated, so a blob
 * that is moved to another row does not open. A new organisation's key is made by keys_org_add in the transaction that adds it.
 */
#define KEYS_SEAL_OVERHEAD 64u /* bytes at most */
MUST_CHECK int keys_org_add(struct keys *keys, struct store_tx *tx, const char *org_id,
                            struct err *err);
/* *ret for free(). returns: 0; -ENOENT no such organisation; -ENOMEM. */
MUST_CHECK int keys_seal(struct keys *keys, const char *org_id, const char *context,
                         const void *data, size_t size, uint8_t **ret, size_t *ret_size,
                         struct err *err);
/* *ret for secret_free(). returns: 0; -EBADMSG changed, or of another context; -ENOENT; -ENOMEM. */
MUST_CHECK int keys_unseal(struct keys *keys, const char *org_id, const char *context,
                           const void *sealed, size_t sealed_size, uint8_t **ret, size_t *ret_size,
                           struct err *err);
/* Wipes, then frees; NULL allowed. One byte behind size is there and is 0 in what keys_unseal gives. */
void secret_free(void *data, size_t size);
/* From here on jansson and cjose wipe whatever they free: values of secrets pass through both. Once, before either is used. */
void secret_libraries_wipe(void);

/* HMAC-SHA-256 under a key of the organisation (NULL: the server) over context and data: rows that decide and must not be forged. */
#define KEYS_MAC_SIZE 32u
MUST_CHECK int keys_mac(struct keys *keys, const char *org_id, const char *context,
                        const void *data, size_t size, uint8_t ret[KEYS_MAC_SIZE], struct err *err);
/* returns: 0; -EBADMSG. */
MUST_CHECK int keys_mac_verify(struct keys *keys, const char *org_id, const char *context,
                               const void *data, size_t size, const void *mac, size_t mac_size,
                               struct err *err);

/* The server's Ed25519 key for the audit log's checkpoints: another one only with another store. */
#define KEYS_SIGNATURE_SIZE 64u
MUST_CHECK int keys_audit_sign(struct keys *keys, const void *data, size_t size,
                               uint8_t ret[KEYS_SIGNATURE_SIZE], struct err *err);
MUST_CHECK int keys_audit_public_key(struct keys *keys, uint8_t ret[32], struct err *err);
