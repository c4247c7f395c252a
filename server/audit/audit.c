/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: entries as canonical JSON, appended; checkpoints; a check of all of it. Relying party. */
#include "server/audit/audit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/audit/tree.h"

#define CHECKPOINT_TEXT_SIZE 160u

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- entries ---- */

static int set_text(json_t *json, const char *name, const char *text)
{
    return text ? json_object_set_new(json, name, json_string(text)) : 0;
}

static int set_evidence(json_t *json, const uint8_t *sha256)
{
    char text[65];

    if (!sha256)
        return 0;
    for (unsigned i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", sha256[i]);
    return set_text(json, "evidence_sha256", text);
}

/* Canonical: members sorted, no white space, absent ones left out. */
static char *encode(const struct audit_entry *entry, uint64_t number, int64_t time_ms)
{
    CLEANUP(json_freep)
    json_t *json = json_object();

    if (!json || json_object_set_new(json, "number", json_integer((json_int_t)number)) < 0 ||
        json_object_set_new(json, "time_ms", json_integer(time_ms)) < 0 ||
        set_text(json, "org", entry->org_id) < 0 || set_text(json, "actor", entry->actor) < 0 ||
        set_text(json, "action", entry->action) < 0 ||
        set_text(json, "object", entry->object) < 0 ||
        set_text(json, "decision", entry->decision) < 0 ||
        set_evidence(json, entry->evidence_sha256) < 0 ||
        set_text(json, "request_id", entry->request_id) < 0 ||
        (entry->detail && json_object_set(json, "detail", entry->detail) < 0))
        return NULL;
    return json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
}

int audit_append(struct store_tx *tx, const struct audit_entry *entry, struct err *err)
{
    int64_t time_ms = now_ms();
    struct tree_hash leaf;
    uint64_t number;
    char *text;
    int rc = tree_size(tx, &number, err);

    if (rc < 0)
        return err_wrap(err, -EIO, "audit log");
    text = encode(entry, number, time_ms);
    if (!text)
        return err_set(err, -EIO, "audit log: the entry is not JSON");
    rc = tree_leaf_hash(text, strlen(text), &leaf);
    if (rc == 0)
        rc = store_exec(
            tx,
            "INSERT INTO audit_entries (number, org_id, entry, leaf_hash, time_ms, action, object, "
            "actor, app_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            STORE_ARGS(store_int((int64_t)number), store_text(entry->org_id), store_text(text),
                       store_blob(leaf.bytes, TREE_HASH_SIZE), store_int(time_ms),
                       store_text(entry->action), store_text(entry->object),
                       store_text(entry->actor),
                       store_text(json_string_value(json_object_get(entry->detail, "app")))),
            err);
    free(text);
    if (rc >= 0)
        rc = tree_grow(tx, number, &leaf, err);
    return rc < 0 ? err_wrap(err, -EIO, "audit log") : 0;
}

/* ---- checkpoints ---- */

static unsigned checkpoint_text(const struct audit_checkpoint *c, char ret[CHECKPOINT_TEXT_SIZE])
{
    uint8_t root[45];

    EVP_EncodeBlock(root, c->root, sizeof c->root);
    return (unsigned)snprintf(ret, CHECKPOINT_TEXT_SIZE, "cloche-checkpoint-1\n%llu\n%s\n%lld\n",
                              (unsigned long long)c->size, root, (long long)c->time_ms);
}

/* returns: 1 there is one for this size; 0 there is none; -EIO. */
static int find_checkpoint(struct store_tx *tx, uint64_t size, struct audit_checkpoint *ret,
                           struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    const void *root, *signature;
    size_t root_size, signature_size;
    int rc =
        store_query(tx, "SELECT root, time_ms, signature FROM audit_checkpoints WHERE size = $1",
                    STORE_ARGS(store_int((int64_t)size)), &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc;
    root = store_column_blob(rows, 0, &root_size);
    signature = store_column_blob(rows, 2, &signature_size);
    if (root_size != sizeof ret->root || signature_size != sizeof ret->signature)
        return err_set(err, -EIO, "checkpoint %llu was changed", (unsigned long long)size);
    ret->size = size;
    ret->time_ms = store_column_int(rows, 1);
    memcpy(ret->root, root, root_size);
    memcpy(ret->signature, signature, signature_size);
    return 1;
}

static int make_checkpoint(struct store_tx *tx, struct keys *keys, uint64_t size,
                           struct audit_checkpoint *ret, struct err *err)
{
    struct audit_checkpoint c = { .size = size, .time_ms = now_ms() };
    char text[CHECKPOINT_TEXT_SIZE];
    struct tree_hash root;
    int rc = tree_root(tx, size, &root, err);

    if (rc < 0)
        return rc;
    memcpy(c.root, root.bytes, sizeof c.root);
    rc = keys_audit_sign(keys, text, checkpoint_text(&c, text), c.signature, err);
    if (rc == 0)
        rc = store_exec(tx,
                        "INSERT INTO audit_checkpoints (size, root, time_ms, signature) VALUES "
                        "($1, $2, $3, $4)",
                        STORE_ARGS(store_int((int64_t)size), store_blob(c.root, sizeof c.root),
                                   store_int(c.time_ms),
                                   store_blob(c.signature, sizeof c.signature)),
                        err);
    if (rc < 0)
        return rc;
    *ret = c;
    return 0;
}

int audit_checkpoint(struct store_tx *tx, struct keys *keys, struct audit_checkpoint *ret,
                     struct err *err)
{
    uint64_t size;
    int rc = tree_size(tx, &size, err);

    if (rc == 0)
        rc = find_checkpoint(tx, size, ret, err);
    if (rc == 0)
        rc = make_checkpoint(tx, keys, size, ret, err);
    return rc < 0 ? err_wrap(err, rc, "checkpoint") : 0;
}

int audit_checkpoint_verify(const struct audit_checkpoint *checkpoint, const uint8_t public_key[32])
{
    char text[CHECKPOINT_TEXT_SIZE];
    unsigned len = checkpoint_text(checkpoint, text);
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = -EBADMSG;

    if (key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestVerify(ctx, checkpoint->signature, sizeof checkpoint->signature,
                         (const uint8_t *)text, len) == 1)
        rc = 0;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return rc;
}
