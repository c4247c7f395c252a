/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: append-only, a Merkle tree (RFC 6962, section 2: hashing) over the entries' canonical JSON, with signed checkpoints. Relying party. An entry is
 * written in the transaction of what it tells about, so there is neither without the other. One log for the server; each entry belongs to an organisation
 * (NULL: the server) and organisations read their own, with proofs.
 */
#pragma once

#include <jansson.h>

#include "server/crypto/keys.h"
#include "server/store/store.h"

struct audit_entry {
    const char *org_id; /* NULL: the server itself */
    const char *actor;  /* id of user, token, node, instance; "server"; "anonymous" */
    const char
        *action; /* "app.create", "secret.release", "instance.refuse"; a word of docs/audit.md */
    const char *object;             /* id, or NULL */
    const char *decision;           /* "done", "allowed", "refused" */
    const uint8_t *evidence_sha256; /* 32 bytes, or NULL */
    json_t *
        detail; /* an object without secrets, or NULL; borrowed; its member "app" finds the entry again */
    const char *request_id; /* or NULL */
};
/* returns: 0; -EIO. Serialises with other appenders until the transaction ends: append last. */
MUST_CHECK int audit_append(struct store_tx *tx, const struct audit_entry *entry, struct err *err);

struct audit_checkpoint {
    uint64_t size;    /* entries */
    uint8_t root[32]; /* Merkle tree hash */
    int64_t time_ms;
    uint8_t signature
        [64]; /* Ed25519 by the server's audit key over "cloche-checkpoint-1\n" size "\n" base64(root) "\n" time "\n" */
};
/* Signs the log's present head. */
MUST_CHECK int audit_checkpoint(struct store_tx *tx, struct keys *keys,
                                struct audit_checkpoint *ret, struct err *err);
/* Hashes, lowest first, for free(); count up to 64. returns: 0; -EINVAL index or size outside; -EIO. */
MUST_CHECK int audit_inclusion(struct store_tx *tx, uint64_t index, uint64_t size,
                               uint8_t (**ret)[32], unsigned *ret_count, struct err *err);
MUST_CHECK int audit_consistency(struct store_tx *tx, uint64_t size_1, uint64_t size_2,
                                 uint8_t (**ret)[32], unsigned *ret_count, struct err *err);
/* returns: 0; -EBADMSG the signature is not public_key's. */
MUST_CHECK int audit_checkpoint_verify(const struct audit_checkpoint *checkpoint,
                                       const uint8_t public_key[32]);
/*
 * Checks the whole log: each entry's hash and number, the tree, each checkpoint. A log that was shortened behind the last checkpoint needs an outside witness of a newer one.
 * returns: 0 with the number of entries; -EBADMSG and what does not fit; -EIO.
 */
MUST_CHECK int audit_verify(struct store_tx *tx, struct keys *keys, uint64_t *ret_size,
                            struct err *err);
