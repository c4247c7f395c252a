/* SPDX-License-Identifier: Apache-2.0 */
/* The root key over a store's keys: made, entered, exchanged, and noticed when another program has exchanged it. Relying party. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "server/api/events.h"
#include "server/crypto/keys_part.h"

static int found_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct keys *keys = arg;
    uint8_t master[BLOB_KEY_SIZE];
    int rc = store_exec(tx, "INSERT INTO settings (name, value) VALUES ('root_key', $1)",
                        STORE_ARGS(store_blob(keys->record, strlen(keys->record))), err);

    if (rc < 0)
        return rc;
    if (RAND_bytes(master, sizeof master) != 1)
        return err_set(err, -EIO, "no random bytes");
    rc = keys_insert(keys, tx, "", master, err);
    ct_wipe(master, sizeof master);
    return rc;
}

/* Wipes root. */
static int derive_wrap(uint8_t root[ROOT_KEY_SIZE], uint8_t ret[BLOB_KEY_SIZE], struct err *err)
{
    int rc = blob_derive(root, "cloche wrap 1", ret);

    ct_wipe(root, ROOT_KEY_SIZE);
    return rc < 0 ? err_set(err, -EIO, "HMAC") : 0;
}

/* All that the store has: they are good whatever root key comes later. What does not open is told when it is asked for. */
static int load_all_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct keys *keys = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    uint8_t master[BLOB_KEY_SIZE];
    const char *org_id;
    const void *sealed;
    size_t size;
    int rc = store_query(
        tx, "SELECT org_id, sealed FROM wrapped_keys WHERE purpose = '" KEYS_PURPOSE "'",
        STORE_NO_ARGS, &rows, err);

    while (rc == 0 && (rc = store_rows_next(rows, err)) > 0) {
        org_id = store_column_text(rows, 0);
        sealed = store_column_blob(rows, 1, &size);
        rc = 0;
        if (org_id && strlen(org_id) < ID_SIZE &&
            keys_unwrap(keys->wrap, org_id, sealed, size, master) == 0 &&
            !keys_keep(keys, org_id, master))
            rc = err_set_errno(err, -ENOMEM, "keys");
    }
    ct_wipe(master, sizeof master);
    return MIN(rc, 0);
}

/* returns: 0; -EEXIST another server was faster. */
static int found(struct keys *keys, const struct keys_source *source, struct err *err)
{
    uint8_t root[ROOT_KEY_SIZE];
    int rc = root_make(source, &keys->record, root, err);

    if (rc == 0)
        rc = derive_wrap(root, keys->wrap, err);
    if (rc == 0)
        rc = store_write(keys->store, found_in, keys, err);
    if (rc == -EEXIST) {
        free(keys->record);
        keys->record = NULL;
    }
    return rc;
}

static int enter(struct keys *keys, const struct keys_source *source, struct err *err)
{
    const struct org_key *key;
    uint8_t root[ROOT_KEY_SIZE];
    int rc = root_get(source, keys->record, root, err);

    if (rc == 0)
        rc = derive_wrap(root, keys->wrap, err);
    if (rc < 0)
        return rc;
    rc = keys_get(keys, NULL, &key, err);
    if (rc == 0)
        rc = store_read(keys->store, load_all_in, keys, err);
    if (rc == -EBADMSG)
        return err_set(
            err, -EACCES,
            "this root key does not open this store (%s, or a store whose keys were changed)",
            source->kind == KEYS_SEALED
                ? "sealed: made by an enclave of another signer or product, or on another CPU"
                : "another passphrase or token");
    return rc;
}

static int source_keep(struct keys *keys, const struct keys_source *source)
{
    char *location = source->location ? strdup(source->location) : NULL;

    if (source->location && !location)
        return -ENOMEM;
    free(keys->source_location);
    keys->source_kind = source->kind;
    keys->source_location = location;
    return 0;
}

int keys_open(struct store *store, const struct keys_source *source, struct keys **ret,
              struct err *err)
{
    struct keys *keys = calloc(1, sizeof *keys);
    int rc;

    if (!keys)
        return err_set_errno(err, -ENOMEM, "keys");
    pthread_mutex_init(&keys->lock, NULL);
    pthread_mutex_init(&keys->refresh_lock, NULL);
    keys->store = store;
    do {
        rc = store_read(store, keys_record_read, &keys->record, err);
        if (rc == 0)
            rc = keys->record ? enter(keys, source, err) : found(keys, source, err);
    } while (rc == -EEXIST);
    if (rc == 0 && source_keep(keys, source) < 0)
        rc = err_set_errno(err, -ENOMEM, "keys");
    if (rc < 0) {
        keys_close(keys);
        return rc;
    }
    *ret = keys;
    return 0;
}

void keys_close(struct keys *keys)
{
    if (!keys)
        return;
    for (unsigned i = 0; i < KEYS_BUCKETS; i++)
        while (keys->buckets[i]) {
            struct org_key *next = keys->buckets[i]->next;

            keys_key_free(keys->buckets[i]);
            keys->buckets[i] = next;
        }
    free(keys->record);
    free(keys->missed);
    free(keys->source_location);
    pthread_mutex_destroy(&keys->refresh_lock);
    pthread_mutex_destroy(&keys->lock);
    secret_free(keys, sizeof *keys);
}

/* ---- another root key ---- */

struct rekey {
    struct keys *keys;
    const char *record;
    uint8_t wrap[BLOB_KEY_SIZE];
};

static int rewrap_one(struct rekey *rekey, struct store_tx *tx, const char *org_id,
                      const void *sealed, size_t size, struct err *err)
{
    uint8_t master[BLOB_KEY_SIZE], again[BLOB_KEY_SIZE + BLOB_OVERHEAD];
    uint8_t wrap[BLOB_KEY_SIZE];
    int rc;

    keys_wrap_copy(rekey->keys, wrap);
    rc = keys_unwrap(wrap, org_id, sealed, size, master);
    ct_wipe(wrap, sizeof wrap);
    if (rc < 0)
        return err_set(err, rc, "the key of organisation \"%s\" was changed", org_id);
    rc = keys_wrap(rekey->wrap, org_id, master, again, err);
    ct_wipe(master, sizeof master);
    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "UPDATE wrapped_keys SET sealed = $1 WHERE org_id = $2 AND purpose = '" KEYS_PURPOSE "'",
        STORE_ARGS(store_blob(again, sizeof again), store_text(org_id)), err);
    return rc < 0 ? rc : 0;
}

/* The next organisation after `after`, in the order of ids. returns: 1; 0 there is none; -EIO. */
static int rewrap_next(struct rekey *rekey, struct store_tx *tx, char after[ID_SIZE], bool is_first,
                       struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    uint8_t sealed[BLOB_KEY_SIZE + BLOB_OVERHEAD];
    const char *org_id;
    const void *data;
    size_t size;
    int rc = store_query(
        tx,
        is_first ? "SELECT org_id, sealed FROM wrapped_keys WHERE purpose = '" KEYS_PURPOSE
                   "' AND org_id >= $1 ORDER BY org_id LIMIT 1"
                 : "SELECT org_id, sealed FROM wrapped_keys WHERE purpose = '" KEYS_PURPOSE
                   "' AND org_id > $1 ORDER BY org_id LIMIT 1",
        STORE_ARGS(store_text(after)), &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc;
    org_id = store_column_text(rows, 0);
    data = store_column_blob(rows, 1, &size);
    if (!org_id || strlen(org_id) >= ID_SIZE || size != sizeof sealed)
        return err_set(err, -EBADMSG, "wrapped_keys was changed");
    memcpy(sealed, data, size);
    memset(after, 0, ID_SIZE);
    memcpy(after, org_id, strlen(org_id));
    store_rows_free(TAKE_PTR(rows));
    rc = rewrap_one(rekey, tx, after, sealed, sizeof sealed, err);
    return rc < 0 ? rc : 1;
}

static int rekey_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct rekey *rekey = arg;
    char org_id[ID_SIZE] = "";
    int rc = keys_record_check(rekey->keys, tx, err);
    bool is_first = true;

    if (rc < 0)
        return rc;
    do {
        rc = rewrap_next(rekey, tx, org_id, is_first, err);
        is_first = false;
    } while (rc > 0);
    if (rc < 0)
        return rc;
    rc = store_exec(tx, "UPDATE settings SET value = $1 WHERE name = 'root_key'",
                    STORE_ARGS(store_blob(rekey->record, strlen(rekey->record))), err);
    if (rc >= 0)
        rc = event_append(tx, "", KEYS_EVENT_REKEYED, "", NULL, err);
    return rc < 0 ? rc : 0;
}

/* Takes record over. */
static void enter_new(struct keys *keys, char *record, const uint8_t wrap[BLOB_KEY_SIZE])
{
    pthread_mutex_lock(&keys->lock);
    memcpy(keys->wrap, wrap, BLOB_KEY_SIZE);
    free(keys->record);
    keys->record = record;
    pthread_mutex_unlock(&keys->lock);
}

int keys_rekey(struct keys *keys, const struct keys_source *source, struct err *err)
{
    uint8_t root[ROOT_KEY_SIZE];
    struct rekey rekey = { .keys = keys };
    char *record = NULL;
    int rc = root_make(source, &record, root, err);

    if (rc < 0)
        return rc;
    rekey.record = record;
    rc = derive_wrap(root, rekey.wrap, err);
    if (rc == 0)
        rc = store_write(keys->store, rekey_in, &rekey, err);
    if (rc == 0)
        enter_new(keys, TAKE_PTR(record), rekey.wrap);
    ct_wipe(&rekey, sizeof rekey);
    free(record);
    return rc == -ESTALE ? -EACCES : rc;
}

/* ---- somebody else's ---- */

struct news {
    char *record; /* in the store now */
    uint8_t sealed[BLOB_KEY_SIZE + BLOB_OVERHEAD];
};

static int news_in(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct news *news = arg;
    const void *sealed;
    size_t size;
    int rc;

    free(TAKE_PTR(news->record));
    rc = keys_record_read(tx, &news->record, err);
    if (rc == 0)
        rc = store_query(
            tx,
            "SELECT sealed FROM wrapped_keys WHERE org_id = '' AND purpose = '" KEYS_PURPOSE "'",
            STORE_NO_ARGS, &rows, err);
    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    sealed = rc ? store_column_blob(rows, 0, &size) : NULL;
    if (!news->record || !sealed || size != sizeof news->sealed)
        return err_set(err, -EBADMSG, "the store's root key or own key was removed");
    memcpy(news->sealed, sealed, size);
    return 0;
}

/* Only the root key over the very key of the server that is held is this store's. */
static int news_open(struct keys *keys, const struct keys_source *source, struct news *news,
                     struct err *err)
{
    const struct org_key *own = keys_find(keys, "");
    uint8_t root[ROOT_KEY_SIZE], wrap[BLOB_KEY_SIZE], master[BLOB_KEY_SIZE];
    int rc = root_get(source, news->record, root, err);

    if (rc == 0)
        rc = derive_wrap(root, wrap, err);
    if (rc < 0)
        return rc;
    rc = keys_unwrap(wrap, "", news->sealed, sizeof news->sealed, master);
    if (rc == -EBADMSG)
        rc = err_set(err, -EACCES, "the configuration has another root key");
    if (rc == 0 && !(own && ct_equal(own->master, master, sizeof master)))
        rc = err_set(err, -EBADMSG, "the store's own key was exchanged");
    if (rc == 0)
        enter_new(keys, TAKE_PTR(news->record), wrap);
    ct_wipe(wrap, sizeof wrap);
    ct_wipe(master, sizeof master);
    return rc;
}

/* With refresh_lock. */
static int refresh(struct keys *keys, const struct keys_source *source, struct news *news,
                   struct err *err)
{
    struct keys_source own = { keys->source_kind, keys->source_location };
    bool is_held;
    int rc = store_read(keys->store, news_in, news, err);

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&keys->lock);
    is_held = strcmp(news->record, keys->record) == 0;
    pthread_mutex_unlock(&keys->lock);
    if (is_held)
        return 0;
    if (!source && keys->missed && strcmp(keys->missed, news->record) == 0)
        return err_set(err, -EACCES, KEYS_REKEYED_TEXT);
    rc = news_open(keys, source ? source : &own, news, err);
    if (rc < 0) {
        free(keys->missed);
        keys->missed = TAKE_PTR(news->record);
        return rc == -EBADMSG ? rc : err_wrap(err, rc, KEYS_REKEYED_TEXT);
    }
    return source && source_keep(keys, source) < 0 ? -ENOMEM : 1;
}

int keys_refresh(struct keys *keys, const struct keys_source *source, struct err *err)
{
    struct news news = { NULL };
    int rc;

    pthread_mutex_lock(&keys->refresh_lock);
    rc = refresh(keys, source, &news, err);
    pthread_mutex_unlock(&keys->refresh_lock);
    free(news.record);
    return rc;
}
