/* SPDX-License-Identifier: Apache-2.0 */
/* The store: what is held, what is due, and getting it. Relying party. */
#include "collateral/collateral.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "collateral/check.h"
#include "collateral/store.h"
#include "verifier/policy/policy.h"

/* ---- the system's clock ---- */

static int64_t system_now_s(void *context)
{
    return time(NULL);
}

static uint64_t system_monotonic_ms(void *context)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void system_sleep_ms(void *context, uint64_t ms)
{
    struct timespec left = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static uint32_t system_random(void *context)
{
    uint32_t value = 0;

    return getrandom(&value, sizeof value, GRND_NONBLOCK) == sizeof value
               ? value
               : (uint32_t)system_monotonic_ms(NULL);
}

static const struct collateral_clock g_system_clock = {
    .now_s = system_now_s,
    .monotonic_ms = system_monotonic_ms,
    .sleep_ms = system_sleep_ms,
    .random = system_random,
};

const struct collateral_clock *collateral_clock_system(void)
{
    return &g_system_clock;
}

/* ---- opening ---- */

int64_t store_now_s(const struct collateral *store)
{
    return store->retry.clock->now_s(store->retry.clock->context);
}

void collateral_begin(struct collateral *store)
{
    const struct collateral_clock *clock = store->retry.clock;

    store->retry.end_ms = clock->monotonic_ms(clock->context) + store->deadline_ms;
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static int open_policy(struct collateral *store, const struct collateral_options *options,
                       struct err *err)
{
    store->policy = options->policy;
    if (store->policy)
        return 0;
    store->own_policy = calloc(1, sizeof *store->own_policy);
    if (!store->own_policy)
        return err_set_errno(err, -ENOMEM, "cannot open the store");
    policy_init_default(store->own_policy);
    store->policy = store->own_policy;
    return 0;
}

int collateral_open(const struct collateral_options *options, struct collateral **ret,
                    struct err *err)
{
    struct collateral *store = calloc(1, sizeof *store);
    int rc;

    if (!store)
        return err_set_errno(err, -ENOMEM, "cannot open the store");
    store->cache = (struct cache){ -1, -1, "" };
    store->retry = (struct retry_rules){
        .clock = options->clock ? options->clock : &g_system_clock,
        .attempt_count = or_default(options->attempt_count, 5),
        .wait_ms = or_default(options->retry_wait_ms, 1000),
        .rate_limit_wait_ms = or_default(options->rate_limit_wait_ms, 10000),
    };
    store->deadline_ms = or_default(options->deadline_ms, 120000);
    store->request_ms = or_default(options->request_ms, 30000);
    store->progress = options->progress;
    store->progress_context = options->progress_context;
    store->transport = options->transport;
    rc = open_policy(store, options, err);
    if (rc == 0)
        rc = url_config_init(&store->urls, options, err);
    if (rc == 0)
        rc = cache_open(options->folder, &store->cache, err);
    if (rc == 0 && !store->transport)
        rc = http_transport_new(options->ca_file, options->proxy_url, &store->transport, err);
    if (rc < 0) {
        collateral_close(store);
        return rc;
    }
    collateral_begin(store);
    *ret = store;
    return 0;
}

void collateral_close(struct collateral *store)
{
    if (!store)
        return;
    if (store->transport && store->transport->free)
        store->transport->free(store->transport);
    if (store->cache.folder_fd >= 0)
        cache_close(&store->cache);
    verifier_policy_free(store->own_policy);
    free(store);
}

/* ---- what is held ---- */

int store_held_load(struct collateral *store, const struct collateral_item_id *id,
                    struct collateral_entry *ret, struct err *err)
{
    char name[COLLATERAL_NAME_SIZE];
    struct collateral_entry entry;
    char *text;
    size_t size;
    int rc = cache_read(&store->cache, collateral_item_name(id, name), &text, &size, err);

    if (rc < 0)
        return rc;
    rc = entry_parse(text, size, &entry, err);
    free(text);
    if (rc == 0) {
        if (memcmp(&entry.id, id, sizeof *id) != 0)
            rc = err_set(err, -EBADMSG, "the file holds another item");
        else
            rc = check_entry(store->policy, &entry, err);
        if (rc < 0)
            collateral_entry_done(&entry);
    }
    if (rc < 0)
        return err_wrap(err, rc, "%s in the cache %s", name, store->cache.folder);
    *ret = entry;
    return 0;
}

/* With the lock held: another process may have been faster, and must not be taken back. */
static int replace(struct collateral *store, const struct collateral_entry *entry, const char *text,
                   struct err *err)
{
    struct collateral_entry held = { 0 };
    char name[COLLATERAL_NAME_SIZE];
    bool is_older =
        store_held_load(store, &entry->id, &held, NULL) == 0 && check_is_older(entry, &held);

    collateral_entry_done(&held);
    if (is_older)
        return err_set(err, -EBADMSG,
                       "%s: it is older than what another process has put into the cache",
                       entry->source);
    return cache_write(&store->cache, collateral_item_name(&entry->id, name), text, strlen(text),
                       err);
}

int store_save(struct collateral *store, const struct collateral_entry *entry, struct err *err)
{
    json_t *json = entry_encode(entry);
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    int rc =
        text ? cache_lock(&store->cache, err) : err_set_errno(err, -ENOMEM, "cannot hold an entry");

    if (rc == 0) {
        rc = replace(store, entry, text, err);
        cache_unlock(&store->cache);
    }
    free(text);
    json_decref(json);
    return rc;
}

/* ---- getting ---- */

const char *collateral_outcome_name(enum collateral_outcome outcome)
{
    static const char *const names[COLLATERAL_OUTCOME_COUNT] = { "held", "unchanged", "new",
                                                                 "kept" };

    return names[outcome];
}

void collateral_got_done(struct collateral_got *got)
{
    collateral_entry_done(&got->entry);
}

/* Intel's root list is checked with the chain of a PCK list, whichever is there. */
static int get_pck_crl(struct collateral *store, enum collateral_mode mode,
                       struct collateral_got *ret, struct err *err)
{
    struct collateral_item_id id = { .kind = COLLATERAL_PCK_CRL };

    if (collateral_get(store, &id, COLLATERAL_OFFLINE, ret, NULL) == 0)
        return 0;
    id.is_platform_ca = true;
    return collateral_get(store, &id, mode, ret, err);
}

/* The certificates that an item is checked with and that do not come with it. returns: 0, also when there are none. */
static int get_chain(struct collateral *store, const struct collateral_item_id *id,
                     enum collateral_mode mode, struct collateral_got *ret,
                     struct verifier_bytes *ret_chain, struct err *err)
{
    struct collateral_item_id chain = { .kind = COLLATERAL_AMD_CHAIN,
                                        .product = id->product,
                                        .is_vlek = id->is_vlek };
    int rc = 0;

    if (id->kind == COLLATERAL_INTEL_ROOT_CRL) {
        rc = get_pck_crl(store, mode, ret, err);
        if (rc == 0)
            *ret_chain = (struct verifier_bytes){ ret->entry.chain, ret->entry.chain_size };
    } else if (id->kind == COLLATERAL_VCEK || id->kind == COLLATERAL_AMD_CRL) {
        rc = collateral_get(store, &chain, mode, ret, err);
        if (rc == 0)
            *ret_chain = (struct verifier_bytes){ ret->entry.body, ret->entry.body_size };
    }
    return rc;
}

static int fetch(struct collateral *store, const struct collateral_item_id *id,
                 struct collateral_entry *held, struct collateral_got *ret, struct err *err)
{
    struct collateral_got issuer = { 0 };
    struct verifier_bytes chain = { 0 };
    struct collateral_entry entry = { 0 };
    int64_t due_s;
    int rc = get_chain(store, id, COLLATERAL_FETCH, &issuer, &chain, err);

    if (rc == 0)
        rc = fetch_item(store, id, held, chain, &entry, &due_s, err);
    collateral_got_done(&issuer);
    if (rc < 0)
        return rc;
    ret->outcome = rc == 1 ? COLLATERAL_NEW : COLLATERAL_UNCHANGED;
    if (rc == 0) {
        entry = *held;
        entry.fetched_s = store_now_s(store);
        entry.due_s = due_s;
        *held = (struct collateral_entry){ 0 };
    }
    ret->entry = entry;
    rc = store_save(store, &entry, err);
    if (rc < 0)
        collateral_got_done(ret);
    return rc;
}

static int explain_offline(int rc, struct err *err)
{
    struct err why = *err;

    return err_set(err, rc == -ENOENT ? -ENOENT : rc,
                   "%s; `cloche collateral fetch` gets it where there is a network", why.text);
}

int collateral_get(struct collateral *store, const struct collateral_item_id *id,
                   enum collateral_mode mode, struct collateral_got *ret, struct err *err)
{
    struct collateral_entry held = { 0 };
    struct collateral_got got = { 0 };
    struct err why = { 0 };
    char name[COLLATERAL_NAME_SIZE];
    int64_t now_s = store_now_s(store);
    int rc = store_held_load(store, id, &held, &why);
    bool is_held = rc == 0, is_valid;

    if (rc == 0)
        rc = check_dates_now(&held, now_s, &why);
    is_valid = rc == 0;
    if (is_valid &&
        (mode == COLLATERAL_OFFLINE || (mode == COLLATERAL_FETCH && now_s < held.due_s))) {
        *ret = (struct collateral_got){ .outcome = COLLATERAL_HELD, .entry = held };
        return 0;
    }
    if (mode == COLLATERAL_OFFLINE) {
        collateral_entry_done(&held);
        rc = explain_offline(rc, &why);
        return err_set(err, rc, "%s: %s", collateral_item_name(id, name), why.text);
    }
    why = (struct err){ 0 };
    if (!is_valid) /* that it has not changed would be no answer */
        held.etag[0] = held.last_modified[0] = 0;
    rc = fetch(store, id, is_held ? &held : NULL, &got, &why);
    if (rc < 0 && is_valid && held.body) {
        *ret = (struct collateral_got){
            .outcome = COLLATERAL_KEPT, .entry = held, .why_rc = rc, .why = why
        };
        return 0;
    }
    collateral_entry_done(&held);
    if (rc < 0)
        return err_set(err, rc, "%s: %s", collateral_item_name(id, name), why.text);
    *ret = got;
    return 0;
}

void collateral_needs_settle(struct collateral *store, struct collateral_needs *needs,
                             enum collateral_mode mode)
{
    struct collateral_got got = { 0 };
    const struct collateral_item_id *vcek = &needs->items[MAX(needs->count, 1u) - 1];

    if (!needs->product_guessed || vcek->kind != COLLATERAL_VCEK)
        return;
    if (collateral_get(store, vcek, mode, &got, NULL) == -ENOENT)
        for (unsigned i = 0; i < needs->count; i++)
            needs->items[i].product = VERIFIER_SNP_GENOA;
    collateral_got_done(&got);
    needs->product_guessed = false;
}

/* ---- looking after it ---- */

const char *collateral_state_name(enum collateral_state state)
{
    static const char *const names[COLLATERAL_STATE_COUNT] = { "fresh", "due", "expired",
                                                               "damaged" };

    return names[state];
}

enum collateral_state collateral_entry_state(const struct collateral_entry *entry, int64_t now_s)
{
    if (!entry->body)
        return COLLATERAL_DAMAGED;
    if (check_dates_now(entry, now_s, NULL) < 0)
        return COLLATERAL_EXPIRED;
    return now_s >= entry->due_s ? COLLATERAL_DUE : COLLATERAL_FRESH;
}

int collateral_list(struct collateral *store, collateral_list_fn *fn, void *context,
                    struct err *err)
{
    struct cache_names names;
    int64_t now_s = store_now_s(store);
    int rc = cache_names_get(&store->cache, &names, err);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; rc >= 0 && i < names.count; i++) {
        struct collateral_entry entry = { 0 };
        struct collateral_item_id id;
        struct err why = { 0 };

        if (collateral_item_parse(names.names[i], &id) < 0)
            continue;
        rc = store_held_load(store, &id, &entry, &why);
        if (rc == -ENOENT) { /* removed meanwhile */
            rc = 0;
            continue;
        }
        entry.id = id;
        rc = fn(context, &entry, collateral_entry_state(&entry, now_s), &why);
        collateral_entry_done(&entry);
    }
    free(names.names);
    return rc < 0 ? rc : 0;
}

int collateral_remove(struct collateral *store, const struct collateral_item_id *id,
                      struct err *err)
{
    char name[COLLATERAL_NAME_SIZE];

    return cache_remove(&store->cache, collateral_item_name(id, name), err);
}
