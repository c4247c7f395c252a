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
#include "server/crypto/keys_part.h"

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
    return &keys->buckets[h % KEYS_BUCKETS];
}

const struct org_key *keys_find(struct keys *keys, const char *org_id)
{
    struct org_key *key;

    pthread_mutex_lock(&keys->lock);
    for (key = *bucket(keys, org_id); key && strcmp(key->org_id, org_id) != 0; key = key->next)
        ;
    pthread_mutex_unlock(&keys->lock);
    return key;
}

void keys_key_free(struct org_key *key)
{
    secret_free(key, sizeof *key);
}

/* Keeps the key, unless another thread was faster. returns: the one that is kept; NULL no memory. */
const struct org_key *keys_keep(struct keys *keys, const char *org_id,
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
        keys_key_free(key);
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
        keys_key_free(key);
    return other ? other : key;
}

/* ---- the store ---- */

int keys_unwrap(const uint8_t wrap[BLOB_KEY_SIZE], const char *org_id, const void *sealed,
                size_t size, uint8_t ret[BLOB_KEY_SIZE])
{
    if (size != BLOB_KEY_SIZE + BLOB_OVERHEAD)
        return -EBADMSG;
    return blob_open(wrap, (struct blob_context){ org_id, "wrapped-key/" KEYS_PURPOSE }, sealed,
                     size, ret);
}

int keys_wrap(const uint8_t wrap[BLOB_KEY_SIZE], const char *org_id,
              const uint8_t master[BLOB_KEY_SIZE], uint8_t ret[BLOB_KEY_SIZE + BLOB_OVERHEAD],
              struct err *err)
{
    int rc = blob_seal(wrap, (struct blob_context){ org_id, "wrapped-key/" KEYS_PURPOSE }, master,
                       BLOB_KEY_SIZE, ret);

    return rc < 0 ? err_set_errno(err, rc, "cannot wrap a key") : 0;
}

/* The root key's record, or NULL when the store has no keys yet; for free(). */
int keys_record_read(struct store_tx *tx, void *arg, struct err *err)
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

void keys_wrap_copy(struct keys *keys, uint8_t ret[BLOB_KEY_SIZE])
{
    pthread_mutex_lock(&keys->lock);
    memcpy(ret, keys->wrap, BLOB_KEY_SIZE);
    pthread_mutex_unlock(&keys->lock);
}

/* returns: 0 the store is under the root key that is held; -ESTALE. */
int keys_record_check(struct keys *keys, struct store_tx *tx, struct err *err)
{
    CLEANUP(text_freep)
    char *record = NULL;
    int rc = keys_record_read(tx, &record, err);
    bool is_same;

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&keys->lock);
    is_same = record && strcmp(record, keys->record) == 0;
    pthread_mutex_unlock(&keys->lock);
    return is_same ? 0 : err_set(err, -ESTALE, KEYS_REKEYED_TEXT);
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
    uint8_t master[BLOB_KEY_SIZE], wrap[BLOB_KEY_SIZE];
    const void *sealed;
    size_t size;
    int rc = keys_record_check(load->keys, tx, err);

    if (rc == 0)
        rc = store_query(
            tx,
            "SELECT sealed FROM wrapped_keys WHERE org_id = $1 AND purpose = '" KEYS_PURPOSE "'",
            STORE_ARGS(store_text(load->org_id)), &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, -ENOENT, "no key of organisation \"%s\"", load->org_id);
    sealed = store_column_blob(rows, 0, &size);
    keys_wrap_copy(load->keys, wrap);
    rc = keys_unwrap(wrap, load->org_id, sealed, size, master);
    ct_wipe(wrap, sizeof wrap);
    if (rc < 0)
        return err_set(err, rc, "the key of organisation \"%s\" was changed", load->org_id);
    load->ret = keys_keep(load->keys, load->org_id, master);
    ct_wipe(master, sizeof master);
    return load->ret ? 0 : err_set_errno(err, -ENOMEM, "keys");
}

int keys_get(struct keys *keys, const char *org_id, const struct org_key **ret, struct err *err)
{
    struct load load = { keys, org_id ? org_id : "", NULL };
    struct err why;
    int rc;

    if (strlen(load.org_id) >= ID_SIZE)
        return err_set(err, -ENOENT, "no such organisation");
    *ret = keys_find(keys, load.org_id);
    if (*ret)
        return 0;
    rc = store_read(keys->store, load_in, &load, err);
    if (rc == -ESTALE && keys_refresh(keys, NULL, &why) >= 0)
        rc = store_read(keys->store, load_in, &load, err);
    if (rc == 0)
        *ret = load.ret;
    return rc == -ESTALE ? -EACCES : rc;
}

int keys_insert(struct keys *keys, struct store_tx *tx, const char *org_id,
                const uint8_t master[BLOB_KEY_SIZE], struct err *err)
{
    uint8_t sealed[BLOB_KEY_SIZE + BLOB_OVERHEAD], wrap[BLOB_KEY_SIZE];
    int rc;

    keys_wrap_copy(keys, wrap);
    rc = keys_wrap(wrap, org_id, master, sealed, err);
    ct_wipe(wrap, sizeof wrap);
    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "INSERT INTO wrapped_keys (org_id, purpose, sealed, created_ms) VALUES ($1, '" KEYS_PURPOSE
        "', $2, $3)",
        STORE_ARGS(store_text(org_id), store_blob(sealed, sizeof sealed), store_int(now_ms())),
        err);
    return rc < 0 ? rc : 0;
}

/* Another server may have changed the root key meanwhile: nothing is wrapped under the old one. */
int keys_org_add(struct keys *keys, struct store_tx *tx, const char *org_id, struct err *err)
{
    const struct org_key *key = keys_find(keys, org_id);
    uint8_t master[BLOB_KEY_SIZE];
    int rc = keys_record_check(keys, tx, err);

    if (rc < 0)
        return rc == -ESTALE ? -EACCES : rc;
    if (strlen(org_id) >= ID_SIZE || !org_id[0])
        return err_set(err, -EINVAL, "organisation");
    if (!key) { /* else the transaction is run once more */
        if (RAND_bytes(master, sizeof master) != 1)
            return err_set(err, -EIO, "no random bytes");
        key = keys_keep(keys, org_id, master);
        ct_wipe(master, sizeof master);
    }
    if (!key)
        return err_set_errno(err, -ENOMEM, "keys");
    return keys_insert(keys, tx, org_id, key->master, err);
}

/* ---- sealing, authentication ---- */

int keys_seal(struct keys *keys, const char *org_id, const char *context, const void *data,
              size_t size, uint8_t **ret, size_t *ret_size, struct err *err)
{
    const struct org_key *key;
    uint8_t *sealed;
    int rc = keys_get(keys, org_id, &key, err);

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
    int rc = keys_get(keys, org_id, &key, err);

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
    int rc = keys_get(keys, org_id, &key, err);

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
    int rc = keys_get(keys, NULL, &key, err);

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
