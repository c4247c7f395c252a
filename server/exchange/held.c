/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collateral for evidence: what the server's cache (collateral/) holds goes first, since it is refreshed and nobody else chooses it; then what came with the evidence. Parsed collateral is kept and
 * shared: its signatures are verified once. Relying party; evidence and stapled collateral are hostile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/exchange/held.h"
#include "server/exchange/internal.h"

#define ENTRIES_MAX 128u
#define HELD_LIFE_MS 60000  /* another process may have refreshed the folder */
#define QUOTE_HEAD_SIZE 54u /* header, and in version 5 what the body is */

struct entry {
    uint8_t key[32];
    struct verifier_collateral *collateral; /* NULL: the server holds none */
    struct collaterals *of;
    unsigned refs;  /* the cache's own is one */
    bool is_held;   /* else stapled */
    bool was_asked; /* the makers were, and did not have it */
    struct err why; /* collateral NULL: why not */
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
    struct held *held;                   /* NULL: none is configured */
    struct verifier_policy *policy;
};

int collaterals_new(struct server *server, struct collaterals **ret, struct err *err)
{
    struct collaterals *c = calloc(1, sizeof *c);
    int rc = c ? held_policy_new(server, &c->policy, err) : -ENOMEM;

    if (rc == 0)
        rc = held_new(server, c->policy, &c->held, err);
    if (rc < 0) {
        if (c)
            verifier_policy_free(c->policy);
        free(c);
        return rc;
    }
    c->server = server;
    pthread_mutex_init(&c->lock, NULL);
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
    held_free(c->held);
    verifier_policy_free(c->policy);
    pthread_mutex_destroy(&c->lock);
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

static struct collateral_ref ref_make(struct entry *e)
{
    return (struct collateral_ref){ e->collateral, e->collateral ? NULL : e->why.text, e };
}

/* with_asking: that none is held is no answer until the makers were asked. */
static bool cached_find(struct collaterals *c, const uint8_t key[32], bool with_asking,
                        struct collateral_ref *ret)
{
    int64_t now = server_now_ms(c->server);
    bool found = false;

    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < ENTRIES_MAX && !found; i++) {
        struct entry *e = c->entries[i];

        if (!e || memcmp(e->key, key, 32) != 0 ||
            (e->is_held && now > e->loaded_ms + HELD_LIFE_MS) ||
            (with_asking && !e->collateral && !e->was_asked))
            continue;
        e->refs++;
        e->used = ++c->clock;
        *ret = ref_make(e);
        found = true;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

/* Takes e's collateral over; in place of one of the same key, of a free place, or of the one unused for longest. */
static int cached_add(struct collaterals *c, const uint8_t key[32], const struct entry *content,
                      struct collateral_ref *ret)
{
    struct entry *e = malloc(sizeof *e);
    unsigned place = 0;

    if (!e) {
        verifier_collateral_free(content->collateral);
        return -ENOMEM;
    }
    *e = *content;
    e->of = c;
    e->refs = 2;
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
    *ret = ref_make(e);
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

/* Whether asking the makers for this is worth it: anyone can write evidence that names a platform, but not sign it. Of SNP only its certificate would tell. */
static bool is_worth_asking(struct exchange *x, const struct collateral_wish *wish)
{
    struct verifier_request request = { .evidence = wish->evidence,
                                        .policy = x->collaterals->policy,
                                        .cache = x->chains,
                                        .now_s = server_now_ms(x->server) / 1000,
                                        .report_data = wish->report_data };
    struct verifier_result *result = malloc(sizeof *result);
    bool is = result && verifier_verify(&request, result) == 0 &&
              (result->tee == VERIFIER_TEE_SNP || result_is_authentic(result)) &&
              result->checks[VERIFIER_CHECK_POLICY_REPORT_DATA].state == VERIFIER_CHECK_PASSED;

    free(result);
    return is;
}

/* Without collateral of somebody else's choice the makers are asked now, else when there is time. */
static int held_find(struct exchange *x, const struct collateral_wish *wish,
                     struct collateral_ref *ret, struct err *err)
{
    struct collaterals *c = x->collaterals;
    struct collateral_needs needs;
    struct entry e = { .is_held = true };
    uint8_t key[32];
    bool may_ask = false;
    int rc;

    if (!c->held || needs_find(c, wish->evidence, &needs) < 0)
        return 0;
    for (unsigned i = 0; wish->report_data && i < needs.count; i++)
        may_ask |= held_may_fetch(x->server->config, &needs.items[i]);
    needs_key(&needs, key);
    if (cached_find(c, key, may_ask && wish->stapled.size == 0, ret))
        return 0;
    rc = held_read(c->held, &needs, &e.collateral, &e.why);
    if (rc == -ENOENT && may_ask && is_worth_asking(x, wish)) {
        if (wish->stapled.size == 0) {
            e.was_asked = true;
            rc = held_fetch(c->held, &needs, &e.collateral, &e.why);
        } else {
            held_want(c->held, &needs);
        }
    }
    if (rc == -EAGAIN)
        return err_set(err, rc, "%s", e.why.text);
    if (rc < 0)
        e.collateral = NULL;
    return rc == -ENOMEM ? rc : cached_add(c, key, &e, ret);
}

int collateral_find(struct exchange *exchange, const struct collateral_wish *wish,
                    struct collateral_ref *ret, struct err *err)
{
    struct collaterals *c = exchange->collaterals;
    struct entry e = { 0 };
    uint8_t key[32];
    int rc;

    *ret = (struct collateral_ref){ 0 };
    rc = held_find(exchange, wish, ret, err);
    if (rc < 0 || ret->collateral || wish->stapled.size == 0)
        return rc;
    collateral_unref(ret);
    sha256_digest(wish->stapled.data, wish->stapled.size, key);
    key[0] ^= 1; /* never the key of names */
    if (cached_find(c, key, false, ret))
        return 0;
    rc = stapled_parse(wish->stapled, &e.collateral, err);
    return rc == -EINVAL ? 0 : rc < 0 ? rc : cached_add(c, key, &e, ret);
}

int collateral_find_early(struct exchange *exchange, struct verifier_bytes evidence,
                          struct verifier_collateral **ret, struct held_recovery *ret_recovery,
                          struct err *err)
{
    struct collaterals *c = exchange->collaterals;
    struct collateral_needs needs;

    if (!c->held || needs_find(c, evidence, &needs) < 0)
        return err_set(err, -ENODATA, "there is no collateral of the server's own");
    return held_read_early(c->held, &needs, ret, ret_recovery, err);
}

int collateral_fetch_wanted(struct exchange *exchange, struct err *err)
{
    struct collaterals *c = exchange->collaterals;
    struct collateral_needs needs;
    int got = 0;

    while (c->held && held_wanted_take(c->held, &needs)) {
        struct verifier_collateral *collateral = NULL;

        if (held_fetch(c->held, &needs, &collateral, err) == 0)
            got++;
        verifier_collateral_free(collateral);
    }
    if (got > 0)
        collaterals_forget(c);
    return got;
}
