/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collateral for evidence: what the server's cache (collateral/) holds goes first, since it is refreshed and nobody else chooses it; then what came with the evidence. Parsed collateral is kept and
 * shared: its signatures are verified once. Relying party; evidence and stapled collateral are hostile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collateral/collateral.h"
#include "lib/digest.h"
#include "server/config.h"
#include "server/exchange/held.h"
#include "server/exchange/internal.h"
#include "server/model/policy_row.h"

#define ENTRIES_MAX 128u
#define HELD_LIFE_MS 60000 /* another process may have refreshed the folder */
#define FETCH_DEADLINE_MS 5000u
#define FETCH_ATTEMPTS 1u
#define QUOTE_HEAD_SIZE 54u /* header, and in version 5 what the body is */

struct entry {
    uint8_t key[32];
    struct verifier_collateral *collateral; /* NULL: the server holds none */
    struct collaterals *of;
    unsigned refs; /* the cache's own is one */
    bool is_held;  /* else stapled */
    int64_t loaded_ms, used;
};
/* What evidence of one platform needs: telling it means reading its certificates. */
struct known_needs {
    uint8_t key[32];
    struct collateral_needs needs; /* count 0: a free place */
};
#define NEEDS_MAX 64u

struct collaterals {
    struct server *server;
    pthread_mutex_t lock; /* guards entries, their refs, clock, needs */
    struct entry *entries[ENTRIES_MAX];
    int64_t clock;
    struct known_needs needs[NEEDS_MAX]; /* by the key's first byte */
    pthread_mutex_t store_lock;          /* guards the store: used by one thread at a time */
    struct collateral *store;            /* NULL: none is configured */
    struct verifier_policy *policy;
    bool may_fetch;
};

/* ---- the server's own cache ---- */

int held_store_open(struct server *server, uint32_t deadline_ms, unsigned attempts,
                    const struct verifier_policy *policy, struct collateral **ret, struct err *err)
{
    const struct server_config *c = server->config;
    struct collateral_options options = { .folder = c->collateral_folder,
                                          .pcs_url = c->collateral_pcs_url,
                                          .kds_url = c->collateral_kds_url,
                                          .policy = policy,
                                          .http_allowed = true, /* what comes is signed */
                                          .deadline_ms = deadline_ms,
                                          .request_ms = deadline_ms,
                                          .attempt_count = attempts };

    if (options.pcs_url && !options.pcs_url[0])
        options.pcs_url = NULL;
    if (options.kds_url && !options.kds_url[0])
        options.kds_url = NULL;
    return collateral_open(&options, ret, err);
}

bool held_may_fetch(const struct server_config *c)
{
    return !(c->collateral_pcs_url && !c->collateral_pcs_url[0]) &&
           !(c->collateral_kds_url && !c->collateral_kds_url[0]);
}

int held_policy_new(struct server *server, struct verifier_policy **ret, struct err *err)
{
    char *text;
    int rc = policy_builtin_text(server, &text, err);

    if (rc < 0)
        return rc;
    rc = verifier_policy_new(text, strlen(text), ret, err);
    free(text);
    return rc;
}

int collaterals_new(struct server *server, struct collaterals **ret, struct err *err)
{
    struct collaterals *c = calloc(1, sizeof *c);
    int rc = c ? held_policy_new(server, &c->policy, err) : -ENOMEM;

    if (rc == 0 && server->config->collateral_folder)
        rc = held_store_open(server, FETCH_DEADLINE_MS, FETCH_ATTEMPTS, c->policy, &c->store, err);
    if (rc < 0) {
        if (c)
            verifier_policy_free(c->policy);
        free(c);
        return rc;
    }
    c->server = server;
    c->may_fetch = held_may_fetch(server->config);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->store_lock, NULL);
    *ret = c;
    return 0;
}

/* With the lock. */
static void entry_unref(struct entry *e)
{
    if (--e->refs > 0)
        return;
    verifier_collateral_free(e->collateral);
    free(e);
}

void collaterals_free(struct collaterals *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < ENTRIES_MAX; i++)
        if (c->entries[i])
            entry_unref(c->entries[i]);
    collateral_close(c->store);
    verifier_policy_free(c->policy);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->store_lock);
    free(c);
}

void collaterals_forget(struct collaterals *c)
{
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < ENTRIES_MAX; i++)
        if (c->entries[i] && c->entries[i]->is_held) {
            entry_unref(c->entries[i]);
            c->entries[i] = NULL;
        }
    pthread_mutex_unlock(&c->lock);
}

void collateral_unref(struct collateral_ref *ref)
{
    struct entry *e = ref->entry;

    if (e) {
        struct collaterals *c = e->of;

        pthread_mutex_lock(&c->lock);
        entry_unref(e);
        pthread_mutex_unlock(&c->lock);
    }
    *ref = (struct collateral_ref){ 0 };
}

/* ---- the parsed ones ---- */

static bool cached_find(struct collaterals *c, const uint8_t key[32], struct collateral_ref *ret)
{
    int64_t now = server_now_ms(c->server);
    bool found = false;

    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < ENTRIES_MAX && !found; i++) {
        struct entry *e = c->entries[i];

        if (!e || memcmp(e->key, key, 32) != 0 || (e->is_held && now > e->loaded_ms + HELD_LIFE_MS))
            continue;
        e->refs++;
        e->used = ++c->clock;
        *ret = (struct collateral_ref){ e->collateral, e };
        found = true;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

/* Takes the collateral over; in place of one of the same key, of a free place, or of the one unused for longest. */
static int cached_add(struct collaterals *c, const uint8_t key[32], bool is_held,
                      struct verifier_collateral *collateral, struct collateral_ref *ret)
{
    struct entry *e = calloc(1, sizeof *e);
    unsigned place = 0;

    if (!e) {
        verifier_collateral_free(collateral);
        return -ENOMEM;
    }
    *e = (struct entry){ .collateral = collateral, .of = c, .refs = 2, .is_held = is_held };
    memcpy(e->key, key, 32);
    e->loaded_ms = server_now_ms(c->server);
    pthread_mutex_lock(&c->lock);
    e->used = ++c->clock;
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        if (c->entries[i] && memcmp(c->entries[i]->key, key, 32) == 0) {
            place = i;
            break;
        }
        if (c->entries[place] && (!c->entries[i] || c->entries[i]->used < c->entries[place]->used))
            place = i;
    }
    if (c->entries[place])
        entry_unref(c->entries[place]);
    c->entries[place] = e;
    pthread_mutex_unlock(&c->lock);
    *ret = (struct collateral_ref){ collateral, e };
    return 0;
}

static void needs_key(const struct collateral_needs *needs, uint8_t ret[32])
{
    struct sha256 hash;
    char name[COLLATERAL_NAME_SIZE];

    sha256_init(&hash);
    for (unsigned i = 0; i < needs->count; i++) {
        collateral_item_name(&needs->items[i], name);
        sha256_update(&hash, name, strlen(name) + 1);
    }
    sha256_final(&hash, ret);
}

/* All of the needs, or NULL: one is not to be had. */
static struct verifier_collateral *held_load(struct collaterals *c,
                                             const struct collateral_needs *needs, bool may_fetch)
{
    struct verifier_collateral *collateral = NULL;
    struct collateral_set set = { 0 };
    struct err why = { "" };
    int rc = 0;

    pthread_mutex_lock(&c->store_lock);
    collateral_begin(c->store);
    for (unsigned i = 0; rc == 0 && i < needs->count; i++) {
        struct collateral_got got = { 0 };

        rc = collateral_get(c->store, &needs->items[i],
                            may_fetch ? COLLATERAL_FETCH : COLLATERAL_OFFLINE, &got, &why);
        if (rc < 0)
            break;
        rc = collateral_set_add(&set, &got.entry);
        collateral_got_done(&got);
    }
    pthread_mutex_unlock(&c->store_lock);
    if (rc == 0 && verifier_collateral_new(&set.items, &collateral, &why) < 0)
        collateral = NULL;
    collateral_set_done(&set);
    return collateral;
}

/* Intel's quotes: kind of quote and certificates tell what they need; whoever has the same has the same needs. returns: whether there are such. */
static bool platform_key(struct verifier_bytes evidence, uint8_t ret[32])
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const uint8_t *chain;
    struct sha256 hash;

    if (evidence.size < QUOTE_HEAD_SIZE)
        return false;
    chain = memmem(evidence.data + QUOTE_HEAD_SIZE, evidence.size - QUOTE_HEAD_SIZE, begin,
                   sizeof begin - 1);
    if (!chain)
        return false;
    sha256_init(&hash);
    sha256_update(&hash, evidence.data, 8);                         /* version, key, TEE */
    sha256_update(&hash, evidence.data + 48, QUOTE_HEAD_SIZE - 48); /* version 5: kind of body */
    sha256_update(&hash, chain, (size_t)(evidence.data + evidence.size - chain));
    sha256_final(&hash, ret);
    return true;
}

static int needs_find(struct collaterals *c, struct verifier_bytes evidence,
                      struct collateral_needs *ret)
{
    struct collateral_wishes wishes = { 0 };
    struct known_needs *known;
    uint8_t key[32];
    struct err why;
    bool found, is_intel = platform_key(evidence, key);
    int rc;

    if (!is_intel)
        return collateral_needs_find(evidence, &wishes, ret, &why);
    known = &c->needs[key[0] % NEEDS_MAX];
    pthread_mutex_lock(&c->lock);
    found = known->needs.count > 0 && memcmp(known->key, key, 32) == 0;
    if (found)
        *ret = known->needs;
    pthread_mutex_unlock(&c->lock);
    if (found)
        return 0;
    rc = collateral_needs_find(evidence, &wishes, ret, &why);
    if (rc == 0) {
        pthread_mutex_lock(&c->lock);
        memcpy(known->key, key, 32);
        known->needs = *ret;
        pthread_mutex_unlock(&c->lock);
    }
    return rc;
}

static int held_find(struct collaterals *c, struct verifier_bytes evidence, bool may_fetch,
                     struct collateral_ref *ret)
{
    struct collateral_needs needs;
    uint8_t key[32];

    if (!c->store || needs_find(c, evidence, &needs) < 0)
        return 0;
    needs_key(&needs, key);
    if (cached_find(c, key, ret))
        return 0;
    return cached_add(c, key, true, held_load(c, &needs, may_fetch && c->may_fetch), ret);
}

int collateral_find(struct exchange *exchange, struct verifier_bytes evidence,
                    struct verifier_bytes stapled, bool may_fetch, struct collateral_ref *ret,
                    struct err *err)
{
    struct collaterals *c = exchange->collaterals;
    struct verifier_collateral *collateral = NULL;
    uint8_t key[32];
    int rc;

    *ret = (struct collateral_ref){ 0 };
    rc = held_find(c, evidence, may_fetch && stapled.size == 0, ret);
    if (rc < 0 || ret->collateral || stapled.size == 0)
        return rc;
    collateral_unref(ret);
    sha256_digest(stapled.data, stapled.size, key);
    key[0] ^= 1; /* never the key of names */
    if (cached_find(c, key, ret))
        return 0;
    rc = stapled_parse(stapled, &collateral, err);
    return rc == -EINVAL ? 0 : rc < 0 ? rc : cached_add(c, key, false, collateral, ret);
}
