/* SPDX-License-Identifier: Apache-2.0 */
/* The keys in memory and in the store: what keys.c and keys_root.c share. Relying party; within server/crypto. */
#pragma once

#include <pthread.h>

#include "server/crypto/blob.h"
#include "server/crypto/keys.h"
#include "server/crypto/root.h"
#include "server/store/id.h"

#define KEYS_BUCKETS 256u
#define KEYS_PURPOSE "master" /* of the rows in wrapped_keys */

#define KEYS_REKEYED_TEXT                                                                          \
    "the root key was changed (cloched rekey): put the new one into the configuration, and send "  \
    "SIGHUP"

struct org_key {
    char org_id[ID_SIZE]; /* "": the server's */
    uint8_t master[BLOB_KEY_SIZE], seal[BLOB_KEY_SIZE], mac[BLOB_KEY_SIZE];
    struct org_key *next;
};
struct keys {
    struct store *store;
    enum keys_source_kind source_kind;
    char *source_location; /* or NULL */
    char *missed;          /* the record of a root key that the source did not give; or NULL */
    pthread_mutex_t refresh_lock; /* guards the three; before lock */
    pthread_mutex_t lock;         /* guards what follows; entries stay until close */
    uint8_t wrap[BLOB_KEY_SIZE];  /* derived from the root key, seals wrapped_keys */
    char *record;                 /* of the root key */
    struct org_key *buckets[KEYS_BUCKETS];
};

/* ---- the cache; takes keys->lock ---- */
/* returns: borrowed; NULL it is not in memory. */
const struct org_key *keys_find(struct keys *keys, const char *org_id);
/* Keeps the key, unless another thread was faster. returns: the one that is kept; NULL no memory. */
const struct org_key *keys_keep(struct keys *keys, const char *org_id,
                                const uint8_t master[BLOB_KEY_SIZE]);
void keys_key_free(struct org_key *key); /* wipes */
void keys_wrap_copy(struct keys *keys, uint8_t ret[BLOB_KEY_SIZE]);

/* ---- the store ---- */
/* From memory or the store; org_id NULL: the server's. returns: 0; -ENOENT; -EACCES under a root key that is not held; -EBADMSG changed; -EIO. */
MUST_CHECK int keys_get(struct keys *keys, const char *org_id, const struct org_key **ret,
                        struct err *err);
/* One key under a wrapping key, and back. returns: 0; -EBADMSG; -EIO. */
MUST_CHECK int keys_wrap(const uint8_t wrap[BLOB_KEY_SIZE], const char *org_id,
                         const uint8_t master[BLOB_KEY_SIZE],
                         uint8_t ret[BLOB_KEY_SIZE + BLOB_OVERHEAD], struct err *err);
MUST_CHECK int keys_unwrap(const uint8_t wrap[BLOB_KEY_SIZE], const char *org_id,
                           const void *sealed, size_t size, uint8_t ret[BLOB_KEY_SIZE]);
MUST_CHECK int keys_insert(struct keys *keys, struct store_tx *tx, const char *org_id,
                           const uint8_t master[BLOB_KEY_SIZE], struct err *err);
/* arg: char **, the root key's record, for free(); NULL when the store has no keys yet. */
MUST_CHECK int keys_record_read(struct store_tx *tx, void *arg, struct err *err);
/* returns: 0 the store is under the root key that is held; -ESTALE; -EIO. */
MUST_CHECK int keys_record_check(struct keys *keys, struct store_tx *tx, struct err *err);
