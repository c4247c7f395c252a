/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's keys: one random key per organisation and one for the server, each a blob under the root key in wrapped_keys; what seals and what authenticates is
 * derived from it. Read from the store when first asked for, then kept in memory. Relying party.
 */
#include "server/crypto/keys.h"

#include <assert.h>
#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/ct.h"
#include "server/crypto/blob.h"
#include "server/crypto/root.h"
#include "server/store/id.h"

#define BUCKETS 256u
#define PURPOSE "master"

struct org_key {
    char org_id[ID_SIZE]; /* "": the server's */
    uint8_t master[BLOB_KEY_SIZE], seal[BLOB_KEY_SIZE], mac[BLOB_KEY_SIZE];
    struct org_key *next;
};
struct keys {
    struct store *store;
    uint8_t root[ROOT_KEY_SIZE], wrap[BLOB_KEY_SIZE]; /* wrap: derived, seals wrapped_keys */
    char *record;                                     /* of the root key */
    pthread_mutex_t lock;                             /* guards buckets; entries stay until close */
    struct org_key *buckets[BUCKETS];
};

static void text_freep(char **text)
{
    free(*text);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the cache ---- */

static struct org_key **bucket(struct keys *keys, const char *org_id)
{
    uint32_t h = 2166136261u;

    for (; *org_id; org_id++)
        h = (h ^ (uint8_t)*org_id) * 16777619u;
    return &keys->buckets[h % BUCKETS];
}

static const struct org_key *find(struct keys *keys, const char *org_id)
{
    struct org_key *key;

    pthread_mutex_lock(&keys->lock);
    for (key = *bucket(keys, org_id); key && strcmp(key->org_id, org_id) != 0; key = key->next)
        ;
    pthread_mutex_unlock(&keys->lock);
    return key;
}

static void key_free(struct org_key *key)
{
    secret_free(key, sizeof *key);
}

/* Keeps the key, unless another thread was faster. returns: the one that is kept; NULL no memory. */
static const struct org_key *keep(struct keys *keys, const char *org_id,
                                  const uint8_t master[BLOB_KEY_SIZE])
{
    struct org_key *key = calloc(1, sizeof *key), *other, **place;

    if (!key)
        return NULL;
    assert(strlen(org_id) < sizeof key->org_id);
    memcpy(key->org_id, org_id, strlen(org_id));
    memcpy(key->master, master, sizeof key->master);
    if (blob_derive(master, "cloche seal 1", key->seal) < 0 ||
        blob_derive(master, "cloche mac 1", key->mac) < 0) {
        key_free(key);
        return NULL;
    }
    pthread_mutex_lock(&keys->lock);
    place = bucket(keys, org_id);
    for (other = *place; other && strcmp(other->org_id, org_id) != 0; other = other->next)
        ;
    if (!other) {
        key->next = *place;
        *place = key;
    }
    pthread_mutex_unlock(&keys->lock);
    if (other)
        key_free(key);
    return other ? other : key;
}

/* ---- the store ---- */

static int unwrap(const uint8_t wrap[BLOB_KEY_SIZE], const char *org_id, const void *sealed,
                  size_t size, uint8_t ret[BLOB_KEY_SIZE])
{
    if (size != BLOB_KEY_SIZE + BLOB_OVERHEAD)
        return -EBADMSG;
    return blob_open(wrap, (struct blob_context){ org_id, "wrapped-key/" PURPOSE }, sealed, size,
                     ret);
}

static int wrap_key(const uint8_t wrap[BLOB_KEY_SIZE], const char *org_id,
                    const uint8_t master[BLOB_KEY_SIZE], uint8_t ret[BLOB_KEY_SIZE + BLOB_OVERHEAD],
                    struct err *err)
{
    int rc = blob_seal(wrap, (struct blob_context){ org_id, "wrapped-key/" PURPOSE }, master,
                       BLOB_KEY_SIZE, ret);

    return rc < 0 ? err_set_errno(err, rc, "cannot wrap a key") : 0;
}

struct load {
    struct keys *keys;
    const char *org_id;
    const struct org_key *ret;
};

static int load_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct load *load = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    uint8_t master[BLOB_KEY_SIZE];
    const void *sealed;
    size_t size;
    int rc = store_query(
        tx, "SELECT sealed FROM wrapped_keys WHERE org_id = $1 AND purpose = '" PURPOSE "'",
        STORE_ARGS(store_text(load->org_id)), &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, -ENOENT, "no key of organisation \"%s\"", load->org_id);
    sealed = store_column_blob(rows, 0, &size);
    rc = unwrap(load->keys->wrap, load->org_id, sealed, size, master);
    if (rc < 0)
        return err_set(err, rc, "the key of organisation \"%s\" was changed", load->org_id);
    load->ret = keep(load->keys, load->org_id, master);
    ct_wipe(master, sizeof master);
    return load->ret ? 0 : err_set_errno(err, -ENOMEM, "keys");
}

static int get(struct keys *keys, const char *org_id, const struct org_key **ret, struct err *err)
{
    struct load load = { keys, org_id ? org_id : "", NULL };
    int rc;

    if (strlen(load.org_id) >= ID_SIZE)
        return err_set(err, -ENOENT, "no such organisation");
    *ret = find(keys, load.org_id);
    if (*ret)
        return 0;
    rc = store_read(keys->store, load_in, &load, err);
    if (rc == 0)
        *ret = load.ret;
    return rc;
}

static int insert_key(struct keys *keys, struct store_tx *tx, const char *org_id,
                      const uint8_t master[BLOB_KEY_SIZE], struct err *err)
{
    uint8_t sealed[BLOB_KEY_SIZE + BLOB_OVERHEAD];
    int rc = wrap_key(keys->wrap, org_id, master, sealed, err);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "INSERT INTO wrapped_keys (org_id, purpose, sealed, created_ms) VALUES ($1, '" PURPOSE
        "', $2, $3)",
        STORE_ARGS(store_text(org_id), store_blob(sealed, sizeof sealed), store_int(now_ms())),
        err);
    return rc < 0 ? rc : 0;
}

/* The root key's record, or NULL when the store has no keys yet; for free(). */
static int read_record(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    char **ret = arg;
    const char *data;
    size_t size;
    int rc = store_query(tx, "SELECT value FROM settings WHERE name = 'root_key'", STORE_NO_ARGS,
                         &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc <= 0) {
        *ret = NULL;
        return rc;
    }
    data = store_column_blob(rows, 0, &size);
    *ret = data ? strndup(data, MIN(size, ROOT_RECORD_LEN_MAX + 1)) : NULL;
    return *ret ? 0 : err_set_errno(err, -ENOMEM, "root key");
}

/* Another server may have changed the root key meanwhile: nothing may be wrapped under the old one. */
static int check_record(struct keys *keys, struct store_tx *tx, struct err *err)
{
    CLEANUP(text_freep)
    char *record = NULL;
    int rc = read_record(tx, &record, err);

    if (rc < 0)
        return rc;
    if (!record || strcmp(record, keys->record) != 0)
        return err_set(err, -EACCES, "the root key was changed: start this server again");
    return 0;
}

int keys_org_add(struct keys *keys, struct store_tx *tx, const char *org_id, struct err *err)
{
    const struct org_key *key = find(keys, org_id);
    uint8_t master[BLOB_KEY_SIZE];
    int rc = check_record(keys, tx, err);

    if (rc < 0)
        return rc;
    if (strlen(org_id) >= ID_SIZE || !org_id[0])
        return err_set(err, -EINVAL, "organisation");
    if (!key) { /* else the transaction is run once more */
        if (RAND_bytes(master, sizeof master) != 1)
            return err_set(err, -EIO, "no random bytes");
        key = keep(keys, org_id, master);
        ct_wipe(master, sizeof master);
    }
    if (!key)
        return err_set_errno(err, -ENOMEM, "keys");
    return insert_key(keys, tx, org_id, key->master, err);
}

/* ---- opening ---- */

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
    rc = insert_key(keys, tx, "", master, err);
    ct_wipe(master, sizeof master);
    return rc;
}

/* returns: 0; -EEXIST another server was faster. */
static int found(struct keys *keys, const struct keys_source *source, struct err *err)
{
    int rc = root_make(source, &keys->record, keys->root, err);

    if (rc == 0 && blob_derive(keys->root, "cloche wrap 1", keys->wrap) < 0)
        rc = err_set(err, -EIO, "HMAC");
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
    int rc = root_get(source, keys->record, keys->root, err);

    if (rc == 0 && blob_derive(keys->root, "cloche wrap 1", keys->wrap) < 0)
        rc = err_set(err, -EIO, "HMAC");
    if (rc < 0)
        return rc;
    rc = get(keys, NULL, &key, err);
    if (rc == -EBADMSG)
        return err_set(
            err, -EACCES,
            "this root key does not open this store (%s, or a store whose keys were changed)",
            source->kind == KEYS_SEALED
                ? "sealed: made by an enclave of another signer or product, or on another CPU"
                : "another passphrase or token");
    return rc;
}

int keys_open(struct store *store, const struct keys_source *source, struct keys **ret,
              struct err *err)
{
    struct keys *keys = calloc(1, sizeof *keys);
    int rc;

    if (!keys)
        return err_set_errno(err, -ENOMEM, "keys");
    pthread_mutex_init(&keys->lock, NULL);
    keys->store = store;
    do {
        rc = store_read(store, read_record, &keys->record, err);
        if (rc == 0)
            rc = keys->record ? enter(keys, source, err) : found(keys, source, err);
    } while (rc == -EEXIST);
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
    for (unsigned i = 0; i < BUCKETS; i++)
        while (keys->buckets[i]) {
            struct org_key *next = keys->buckets[i]->next;

            key_free(keys->buckets[i]);
            keys->buckets[i] = next;
        }
    free(keys->record);
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
    int rc = unwrap(rekey->keys->wrap, org_id, sealed, size, master);

    if (rc < 0)
        return err_set(err, rc, "the key of organisation \"%s\" was changed", org_id);
    rc = wrap_key(rekey->wrap, org_id, master, again, err);
    ct_wipe(master, sizeof master);
    if (rc < 0)
        return rc;
    rc = store_exec(
        tx, "UPDATE wrapped_keys SET sealed = $1 WHERE org_id = $2 AND purpose = '" PURPOSE "'",
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
    int rc =
        store_query(tx,
                    is_first ? "SELECT org_id, sealed FROM wrapped_keys WHERE purpose = '" PURPOSE
                               "' AND org_id >= $1 ORDER BY org_id LIMIT 1"
                             : "SELECT org_id, sealed FROM wrapped_keys WHERE purpose = '" PURPOSE
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
    int rc = check_record(rekey->keys, tx, err);
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
    return rc < 0 ? rc : 0;
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
    rc = blob_derive(root, "cloche wrap 1", rekey.wrap);
    if (rc == 0)
        rc = store_write(keys->store, rekey_in, &rekey, err);
    if (rc == 0) {
        memcpy(keys->root, root, sizeof root);
        memcpy(keys->wrap, rekey.wrap, sizeof keys->wrap);
        free(keys->record);
        keys->record = TAKE_PTR(record);
    }
    ct_wipe(root, sizeof root);
    ct_wipe(&rekey, sizeof rekey);
    free(record);
    return rc;
}

/* ---- sealing, authentication ---- */

int keys_seal(struct keys *keys, const char *org_id, const char *context, const void *data,
              size_t size, uint8_t **ret, size_t *ret_size, struct err *err)
{
    const struct org_key *key;
    uint8_t *sealed;
    int rc = get(keys, org_id, &key, err);

    if (rc < 0)
        return rc;
    if (size > BLOB_SIZE_MAX)
        return err_set(err, -EINVAL, "more than %u bytes to seal", BLOB_SIZE_MAX);
    sealed = malloc(size + BLOB_OVERHEAD);
    if (!sealed)
        return err_set_errno(err, -ENOMEM, "sealing");
    rc = blob_seal(key->seal, (struct blob_context){ key->org_id, context }, data, size, sealed);
    if (rc < 0) {
        free(sealed);
        return err_set_errno(err, rc, "sealing");
    }
    *ret = sealed;
    *ret_size = size + BLOB_OVERHEAD;
    return 0;
}

int keys_unseal(struct keys *keys, const char *org_id, const char *context, const void *sealed,
                size_t sealed_size, uint8_t **ret, size_t *ret_size, struct err *err)
{
    const struct org_key *key;
    uint8_t *data;
    size_t size;
    int rc = get(keys, org_id, &key, err);

    if (rc < 0)
        return rc;
    if (!sealed || sealed_size < BLOB_OVERHEAD)
        return err_set(err, -EBADMSG, "%s: too short to be sealed", context);
    size = sealed_size - BLOB_OVERHEAD;
    data = malloc(size + 1);
    if (!data)
        return err_set_errno(err, -ENOMEM, "unsealing");
    rc = blob_open(key->seal, (struct blob_context){ key->org_id, context }, sealed, sealed_size,
                   data);
    if (rc < 0) {
        secret_free(data, size);
        return err_set(err, rc, "%s: it was changed, or belongs elsewhere", context);
    }
    data[size] = 0;
    *ret = data;
    *ret_size = size;
    return 0;
}

int keys_mac(struct keys *keys, const char *org_id, const char *context, const void *data,
             size_t size, uint8_t ret[KEYS_MAC_SIZE], struct err *err)
{
    const struct org_key *key;
    uint8_t own[BLOB_KEY_SIZE];
    unsigned mac_size = KEYS_MAC_SIZE;
    int rc = get(keys, org_id, &key, err);

    if (rc < 0)
        return rc;
    /* A key per context, so that context and data cannot run into each other. */
    rc = blob_derive(key->mac, context, own);
    if (rc == 0 && !HMAC(EVP_sha256(), own, sizeof own, data ? data : "", size, ret, &mac_size))
        rc = -EIO;
    ct_wipe(own, sizeof own);
    return rc < 0 ? err_set(err, rc, "HMAC") : 0;
}

int keys_mac_verify(struct keys *keys, const char *org_id, const char *context, const void *data,
                    size_t size, const void *mac, size_t mac_size, struct err *err)
{
    uint8_t right[KEYS_MAC_SIZE];
    int rc = keys_mac(keys, org_id, context, data, size, right, err);

    if (rc < 0)
        return rc;
    if (!mac || mac_size != sizeof right || !ct_equal(mac, right, sizeof right))
        return err_set(err, -EBADMSG, "%s: this server did not write it so", context);
    return 0;
}

/* ---- the audit log's key ---- */

static void pkey_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static int get_audit_key(struct keys *keys, EVP_PKEY **ret, struct err *err)
{
    const struct org_key *key;
    uint8_t seed[BLOB_KEY_SIZE];
    int rc = get(keys, NULL, &key, err);

    if (rc < 0)
        return rc;
    rc = blob_derive(key->master, "cloche audit 1", seed);
    if (rc == 0)
        *ret = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    ct_wipe(seed, sizeof seed);
    return rc < 0 || !*ret ? err_set(err, -EIO, "the audit log's key") : 0;
}

int keys_audit_sign(struct keys *keys, const void *data, size_t size,
                    uint8_t ret[KEYS_SIGNATURE_SIZE], struct err *err)
{
    CLEANUP(pkey_freep)
    EVP_PKEY *key = NULL;
    size_t signature_size = KEYS_SIGNATURE_SIZE;
    EVP_MD_CTX *ctx;
    int rc = get_audit_key(keys, &key, err);

    if (rc < 0)
        return rc;
    ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(ctx, ret, &signature_size, data, size) != 1)
        rc = err_set(err, -EIO, "cannot sign");
    EVP_MD_CTX_free(ctx);
    return rc;
}

int keys_audit_public_key(struct keys *keys, uint8_t ret[32], struct err *err)
{
    CLEANUP(pkey_freep)
    EVP_PKEY *key = NULL;
    size_t size = 32;
    int rc = get_audit_key(keys, &key, err);

    if (rc < 0)
        return rc;
    return EVP_PKEY_get_raw_public_key(key, ret, &size) == 1 ? 0 : err_set(err, -EIO, "Ed25519");
}
