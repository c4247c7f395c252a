/* SPDX-License-Identifier: Apache-2.0 */
/* What an organisation has revoked: rows, their chain, what was seen of it. Relying party. */
#include "server/model/revocation.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/crypto/keys.h"
#include "server/model/model_cache.h"
#include "server/model/row.h"

#define KEY_SIZE 16u
#define ORG_COUNT_MAX 4096u /* that are remembered; of others all rows are read each time */

/* "kind:object" of each, cut digests in an open table; zeros: a free place. */
struct table {
    uint8_t (*keys)[KEY_SIZE];
    size_t capacity, used; /* capacity: a power of 2, at least twice used; or 0 */
};

struct chain {
    int64_t count;
    uint8_t digest[32];
};

struct known {
    char org_id[32];
    struct chain chain;
    struct table table;
};

struct revocation_memory {
    pthread_mutex_t lock; /* guards all below; nothing is called with it held */
    struct known *known[ORG_COUNT_MAX];
    unsigned count;
};

/* ---- tables ---- */

static int key_make(const char *kind, const char *object, uint8_t ret[KEY_SIZE])
{
    uint8_t digest[32];
    int rc = row_digest(STORE_ARGS(store_text(kind), store_text(object)), digest);

    memcpy(ret, digest, KEY_SIZE);
    return rc;
}

/* The place of the key, or the free one where it belongs. */
static uint8_t *place_find(const struct table *t, const uint8_t key[KEY_SIZE])
{
    static const uint8_t free_key[KEY_SIZE];
    uint64_t hash;

    memcpy(&hash, key, sizeof hash);
    for (size_t i = hash & (t->capacity - 1);; i = (i + 1) & (t->capacity - 1))
        if (memcmp(t->keys[i], key, KEY_SIZE) == 0 || memcmp(t->keys[i], free_key, KEY_SIZE) == 0)
            return t->keys[i];
}

static bool table_has(const struct table *t, const uint8_t key[KEY_SIZE])
{
    return t->capacity > 0 && memcmp(place_find(t, key), key, KEY_SIZE) == 0;
}

static void put(struct table *t, const uint8_t key[KEY_SIZE])
{
    uint8_t *place = place_find(t, key);

    t->used += memcmp(place, key, KEY_SIZE) != 0;
    memcpy(place, key, KEY_SIZE);
}

static int table_add(struct table *t, const uint8_t key[KEY_SIZE])
{
    static const uint8_t free_key[KEY_SIZE];

    if (2 * (t->used + 1) > t->capacity) {
        struct table larger = { .capacity = t->capacity ? 2 * t->capacity : 64 };

        larger.keys = calloc(larger.capacity, KEY_SIZE);
        if (!larger.keys)
            return -ENOMEM;
        for (size_t i = 0; i < t->capacity; i++)
            if (memcmp(t->keys[i], free_key, KEY_SIZE) != 0)
                put(&larger, t->keys[i]);
        free(t->keys);
        *t = larger;
    }
    put(t, key);
    return 0;
}

static int table_add_all(struct table *t, const struct table *from)
{
    static const uint8_t free_key[KEY_SIZE];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < from->capacity; i++)
        if (memcmp(from->keys[i], free_key, KEY_SIZE) != 0)
            rc = table_add(t, from->keys[i]);
    return rc;
}

static void known_done(struct known *known)
{
    free(known->table.keys);
}

/* ---- memory ---- */

struct revocation_memory *revocation_memory_new(void)
{
    struct revocation_memory *memory = calloc(1, sizeof *memory);

    if (memory)
        pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

void revocation_memory_free(struct revocation_memory *memory)
{
    if (!memory)
        return;
    for (unsigned i = 0; i < memory->count; i++) {
        known_done(memory->known[i]);
        free(memory->known[i]);
    }
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

/* With the lock. */
static struct known *known_find(struct revocation_memory *memory, const char *org_id)
{
    for (unsigned i = 0; i < memory->count; i++)
        if (strcmp(memory->known[i]->org_id, org_id) == 0)
            return memory->known[i];
    return NULL;
}

/* With the lock; NULL: no room. */
static struct known *known_make(struct revocation_memory *memory, const char *org_id)
{
    struct known *known = known_find(memory, org_id);

    if (known || memory->count == ORG_COUNT_MAX)
        return known;
    known = calloc(1, sizeof *known);
    if (known) {
        row_copy(known->org_id, sizeof known->org_id, org_id);
        memory->known[memory->count++] = known;
    }
    return known;
}

static bool is_same(const struct chain *a, const struct chain *b)
{
    return a->count == b->count && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

/* Adds what was read; what was known before stays, also when its rows are gone. */
static int known_extend(struct revocation_memory *memory, const struct known *from)
{
    int rc = 0;

    pthread_mutex_lock(&memory->lock);
    struct known *known = known_make(memory, from->org_id);

    if (known && from->chain.count >= known->chain.count) {
        rc = table_add_all(&known->table, &from->table);
        if (rc == 0)
            known->chain = from->chain;
    }
    pthread_mutex_unlock(&memory->lock);
    return rc;
}

int64_t revocation_seen(struct server *server, const char *org_id)
{
    struct revocation_memory *memory = model_revocations(server->model);
    int64_t count = 0;

    if (!memory)
        return 0;
    pthread_mutex_lock(&memory->lock);
    const struct known *known = known_find(memory, org_id);

    if (known)
        count = known->chain.count;
    pthread_mutex_unlock(&memory->lock);
    return count;
}

/* ---- rows ---- */

static int forged(struct server *server, const char *org_id, const char *what, struct err *err)
{
    server_log(server, "error", "revocations in the store were changed by somebody else", "org",
               org_id, "what", what, NULL);
    return err_set(err, -EBADMSG,
                   "revocations in the store were changed by somebody else than this server: %s",
                   what);
}

#define SET_FIELDS(chain)                                                                          \
    STORE_ARGS(store_int((chain)->count), store_blob((chain)->digest, sizeof(chain)->digest))

static int set_read(struct server *server, struct store_tx *tx, const char *org_id,
                    struct chain *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct chain chain = { 0 };
    const void *digest, *mac;
    size_t digest_size, mac_size;
    int rc = store_query(tx, "SELECT count, digest, mac FROM revocation_sets WHERE org_id = $1",
                         STORE_ARGS(store_text(org_id)), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : forged(server, org_id, "the row of the set is gone", err);
    chain.count = store_column_int(rows, 0);
    digest = store_column_blob(rows, 1, &digest_size);
    mac = store_column_blob(rows, 2, &mac_size);
    if (digest_size != sizeof chain.digest)
        return forged(server, org_id, "the set's digest", err);
    memcpy(chain.digest, digest, digest_size);
    rc = row_mac_verify(server, org_id, "revocation_sets", org_id, SET_FIELDS(&chain), mac,
                        mac_size, err);
    if (rc == 0)
        *ret = chain;
    return rc;
}

static int chain_add(struct chain *chain, const struct revocation *r)
{
    int rc = row_digest(STORE_ARGS(store_blob(chain->digest, sizeof chain->digest),
                                   store_int(chain->count + 1), store_text(r->kind),
                                   store_text(r->object), store_text(r->reason), store_text(r->by),
                                   store_int(r->time_ms)),
                        chain->digest);

    chain->count++;
    return rc;
}

/* The rows after those in *known, up to the set's end. returns: 0; -EBADMSG they are not those of the set; -EIO; -ENOMEM. */
static int rows_read(struct store_tx *tx, const struct chain *set, struct known *known,
                     struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    uint8_t key[KEY_SIZE];
    int rc =
        store_query(tx,
                    "SELECT kind, object, reason, created_by, created_ms, number FROM revocations "
                    "WHERE org_id = $1 AND number > $2 ORDER BY number LIMIT $3",
                    STORE_ARGS(store_text(known->org_id), store_int(known->chain.count),
                               store_int(REVOCATION_COUNT_MAX + 1)),
                    &rows, err);

    while (rc == 0 && (rc = store_rows_next(rows, err)) > 0) {
        const struct revocation r = { .kind = store_column_text(rows, 0),
                                      .object = store_column_text(rows, 1),
                                      .reason = store_column_text(rows, 2),
                                      .by = store_column_text(rows, 3),
                                      .time_ms = store_column_int(rows, 4) };

        if (known->chain.count >= set->count || store_column_int(rows, 5) != known->chain.count + 1)
            return -EBADMSG;
        rc = key_make(r.kind, r.object, key);
        if (rc == 0)
            rc = table_add(&known->table, key);
        if (rc == 0)
            rc = chain_add(&known->chain, &r);
    }
    if (rc == 0 && !is_same(&known->chain, set))
        rc = -EBADMSG;
    return rc;
}

/* All of it anew, in *ret, for known_done. */
static int all_read(struct server *server, struct store_tx *tx, const char *org_id,
                    const struct chain *set, struct known *ret, struct err *err)
{
    int rc;

    *ret = (struct known){ .chain = { 0 } };
    row_copy(ret->org_id, sizeof ret->org_id, org_id);
    rc = rows_read(tx, set, ret, err);
    return rc == -EBADMSG ? forged(server, org_id, "their rows are not those of the set", err) : rc;
}

/* ---- asking ---- */

struct question {
    const struct revocation_object *objects;
    unsigned count;
    uint8_t keys[8][KEY_SIZE];
};

static const char *find_in(const struct question *q, const struct table *table)
{
    for (unsigned i = 0; i < q->count; i++)
        if (q->objects[i].object[0] && table_has(table, q->keys[i]))
            return q->objects[i].object;
    return NULL;
}

/*
 * Looks into the memory. returns: true it is as far as the set, or farther: then the view is an old one, or old rows were put back, and the memory counts;
 * *ret_found is set. Otherwise *ret_chain says how far it is.
 */
static bool memory_ask(struct revocation_memory *memory, const char *org_id,
                       const struct chain *set, const struct question *q, const char **ret_found,
                       struct chain *ret_chain)
{
    bool is_enough = false;

    *ret_chain = (struct chain){ 0 };
    if (!memory)
        return false;
    pthread_mutex_lock(&memory->lock);
    const struct known *known = known_find(memory, org_id);

    if (known) {
        *ret_found = find_in(q, &known->table);
        *ret_chain = known->chain;
        is_enough = *ret_found || is_same(&known->chain, set) || known->chain.count > set->count;
    }
    pthread_mutex_unlock(&memory->lock);
    return is_enough;
}

/* Reads what the memory has not, or all. What a transaction that writes sees may never be: only readers add to the memory. */
static int store_ask(struct server *server, struct store_tx *tx, const char *org_id,
                     const struct chain *set, const struct chain *seen, const struct question *q,
                     const char **ret_found, struct err *err)
{
    struct revocation_memory *memory = model_revocations(server->model);
    struct known known = { .chain = *seen };
    int rc;

    row_copy(known.org_id, sizeof known.org_id, org_id);
    rc = seen->count > 0 ? rows_read(tx, set, &known, err) : -EBADMSG;
    if (rc == -EBADMSG) {
        known_done(&known);
        rc = all_read(server, tx, org_id, set, &known, err);
    }
    if (rc == 0)
        *ret_found = find_in(q, &known.table);
    if (rc == 0 && memory && !store_tx_writes(tx))
        rc = known_extend(memory, &known);
    known_done(&known);
    return rc;
}

int revocation_check_absent(struct server *server, struct store_tx *tx, const char *org_id,
                            const struct revocation_object *objects, unsigned count,
                            struct err *err)
{
    struct question q = { .objects = objects, .count = count };
    const char *found = NULL;
    struct chain set, seen;
    int rc = count <= ARRAY_COUNT(q.keys) ? set_read(server, tx, org_id, &set, err) : -E2BIG;

    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = key_make(objects[i].kind, objects[i].object, q.keys[i]);
    if (rc == 0 && !memory_ask(model_revocations(server->model), org_id, &set, &q, &found, &seen))
        rc = store_ask(server, tx, org_id, &set, &seen, &q, &found, err);
    if (rc < 0 || !found)
        return rc;
    char what[160];

    snprintf(what, sizeof what, "the revocation of %.80s is gone", found);
    return forged(server, org_id, what, err);
}

int revocation_is_there(struct server *server, struct store_tx *tx, const char *org_id,
                        const char *kind, const char *object, struct err *err)
{
    const struct revocation_object objects[] = { { kind, object } };
    int rc = row_is_revoked(tx, org_id, kind, object, err);

    return rc != 0 ? rc : revocation_check_absent(server, tx, org_id, objects, 1, err);
}

int revocation_check_all(struct server *server, struct store_tx *tx, const char *org_id,
                         struct err *err)
{
    struct known known = { .chain = { 0 } };
    struct chain set;
    int64_t rows;
    int rc = set_read(server, tx, org_id, &set, err);

    if (rc == 0)
        rc = all_read(server, tx, org_id, &set, &known, err);
    if (rc == 0)
        rc = store_get_int(tx, "SELECT COUNT(*) FROM revocations WHERE org_id = $1",
                           STORE_ARGS(store_text(org_id)), &rows, err);
    if (rc == 0 && rows != set.count)
        rc = forged(server, org_id, "there are rows beside the set", err);
    known_done(&known);
    return rc;
}

/* ---- writing ---- */

int revocation_org_add(struct server *server, struct store_tx *tx, const char *org_id,
                       struct err *err)
{
    const struct chain empty = { 0 };
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = row_mac(server, org_id, "revocation_sets", org_id, SET_FIELDS(&empty), mac, err);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx, "INSERT INTO revocation_sets (org_id, count, digest, mac) VALUES ($1, 0, $2, $3)",
        STORE_ARGS(store_text(org_id), store_blob(empty.digest, sizeof empty.digest),
                   store_blob(mac, sizeof mac)),
        err);
    return rc < 0 ? rc : 0;
}

static int set_write(struct server *server, struct store_tx *tx, const char *org_id,
                     const struct chain *set, struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = row_mac(server, org_id, "revocation_sets", org_id, SET_FIELDS(set), mac, err);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx, "UPDATE revocation_sets SET count = $1, digest = $2, mac = $3 WHERE org_id = $4",
        STORE_ARGS(store_int(set->count), store_blob(set->digest, sizeof set->digest),
                   store_blob(mac, sizeof mac), store_text(org_id)),
        err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

int revocation_add(struct server *server, struct store_tx *tx, const struct revocation *r,
                   struct err *err)
{
    struct chain set;
    int rc = set_read(server, tx, r->org_id, &set, err);

    if (rc == 0)
        rc = row_is_revoked(tx, r->org_id, r->kind, r->object, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (set.count >= REVOCATION_COUNT_MAX)
        return err_set(err, -ENOSPC,
                       "the organisation has revoked %d objects; there is no more room",
                       REVOCATION_COUNT_MAX);
    rc = chain_add(&set, r);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO revocations (org_id, kind, object, reason, created_by, "
                    "created_ms, number) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    STORE_ARGS(store_text(r->org_id), store_text(r->kind), store_text(r->object),
                               store_text(r->reason), store_text(r->by), store_int(r->time_ms),
                               store_int(set.count)),
                    err);
    if (rc >= 0)
        rc = set_write(server, tx, r->org_id, &set, err);
    return rc < 0 ? rc : 1;
}
