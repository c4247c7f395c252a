/* SPDX-License-Identifier: Apache-2.0 */
/* The server's cache of collateral on disk, and asking the makers on demand: bounded, so that nobody can make the server ask without end, nor hold up those whose collateral is there. Relying party. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/exchange/held.h"
#include "server/exchange/internal.h"
#include "server/model/policy_row.h"

#define FETCH_DEADLINE_MS 5000u
#define FETCH_ATTEMPTS 1u
#define MAKERS 2u /* Intel, AMD: each with a budget of its own */

struct held {
    struct server *server;
    pthread_mutex_t read_lock; /* guards reader: a store is used by one thread at a time */
    struct collateral *reader;
    pthread_mutex_t fetch_lock; /* guards fetcher; held while a maker is asked */
    struct collateral *fetcher;
    pthread_mutex_t lock; /* guards what follows; the innermost */
    unsigned waiting;
    int64_t ask_ms[MAKERS]; /* a bucket: how far the time of the asked-for rounds has come */
    struct collateral_needs wanted[HELD_WANTED_MAX];
    unsigned wanted_count;
};

/* ---- what the configuration says ---- */

static const char *text_or_null(const char *text)
{
    return text && text[0] ? text : NULL;
}

int held_store_open(struct server *server, const struct held_limits *limits,
                    const struct verifier_policy *policy, struct collateral **ret, struct err *err)
{
    const struct server_config *c = server->config;
    struct collateral_options options = { .folder = c->collateral_folder,
                                          .pcs_url = text_or_null(c->collateral_pcs_url),
                                          .kds_url = text_or_null(c->collateral_kds_url),
                                          .root_crl_url = text_or_null(c->collateral_root_crl_url),
                                          .pcs_is_pccs = c->collateral_pccs,
                                          .ca_file = text_or_null(c->collateral_ca_file),
                                          .policy = policy,
                                          .http_allowed = true, /* what comes is signed */
                                          .deadline_ms = limits->deadline_ms,
                                          .request_ms = HELD_REQUEST_MS,
                                          .attempt_count = limits->attempts,
                                          .clock = limits->clock };

    return collateral_open(&options, ret, err);
}

static unsigned maker_of(const struct collateral_item_id *id)
{
    return id->kind >= COLLATERAL_AMD_CHAIN;
}

bool held_may_fetch(const struct server_config *c, const struct collateral_item_id *id)
{
    const char *url = maker_of(id) ? c->collateral_kds_url : c->collateral_pcs_url;

    return c->collateral_folder && !(url && !url[0]);
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

void held_text_clean(char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

/* ---- start and end ---- */

int held_new(struct server *server, const struct verifier_policy *policy, struct held **ret,
             struct err *err)
{
    static const struct held_limits limits = { FETCH_DEADLINE_MS, FETCH_ATTEMPTS, NULL };
    struct held *h;
    int rc;

    *ret = NULL;
    if (!server->config->collateral_folder)
        return 0;
    h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->server = server;
    pthread_mutex_init(&h->read_lock, NULL);
    pthread_mutex_init(&h->fetch_lock, NULL);
    pthread_mutex_init(&h->lock, NULL);
    rc = held_store_open(server, &limits, policy, &h->reader, err);
    if (rc == 0)
        rc = held_store_open(server, &limits, policy, &h->fetcher, err);
    if (rc < 0) {
        held_free(h);
        return rc;
    }
    *ret = h;
    return 0;
}

void held_free(struct held *h)
{
    if (!h)
        return;
    collateral_close(h->reader);
    collateral_close(h->fetcher);
    pthread_mutex_destroy(&h->read_lock);
    pthread_mutex_destroy(&h->fetch_lock);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* ---- reading ---- */

static int load(struct collateral *store, const struct collateral_needs *needs,
                enum collateral_mode mode, const struct server_config *config,
                struct verifier_collateral **ret, struct err *err)
{
    struct collateral_set set = { 0 };
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < needs->count; i++) {
        struct collateral_got got = { 0 };

        /* What is held and valid does; the fleet asks for what is due. */
        rc = collateral_get(store, &needs->items[i], COLLATERAL_OFFLINE, &got, err);
        if (rc < 0 && mode == COLLATERAL_FETCH && held_may_fetch(config, &needs->items[i]))
            rc = collateral_get(store, &needs->items[i], COLLATERAL_FETCH, &got, err);
        if (rc < 0)
            break;
        rc = collateral_set_add(&set, &got.entry);
        collateral_got_done(&got);
    }
    if (rc == 0)
        rc = verifier_collateral_new(&set.items, ret, err);
    collateral_set_done(&set);
    if (rc < 0)
        held_text_clean(err->text);
    return rc == -ENOMEM ? rc : rc < 0 ? -ENOENT : 0;
}

int held_read(struct held *h, const struct collateral_needs *needs,
              struct verifier_collateral **ret, struct err *err)
{
    int rc;

    pthread_mutex_lock(&h->read_lock);
    rc = load(h->reader, needs, COLLATERAL_OFFLINE, h->server->config, ret, err);
    pthread_mutex_unlock(&h->read_lock);
    return rc;
}

/* ---- early editions ---- */

static bool is_tcb(const struct collateral_item_id *id)
{
    return id->kind == COLLATERAL_SGX_TCB || id->kind == COLLATERAL_TDX_TCB;
}

static bool has_editions(const struct collateral_item_id *id)
{
    return id->kind < COLLATERAL_SGX_EVALUATIONS;
}

/* When the edition of this number becomes the standard: Intel's date, else when the present one ends. */
static void recovery_date(struct collateral *store, const struct collateral_entry *standard,
                          struct held_recovery *recovery)
{
    struct collateral_item_id id = { .kind = standard->id.kind == COLLATERAL_TDX_TCB
                                                 ? COLLATERAL_TDX_EVALUATIONS
                                                 : COLLATERAL_SGX_EVALUATIONS };
    struct collateral_got got = { 0 };
    int64_t made_public_s;

    recovery->standard_s = standard->expires_s;
    if (collateral_get(store, &id, COLLATERAL_OFFLINE, &got, NULL) < 0)
        return;
    if (collateral_recovery_find(&got.entry, recovery->number, &made_public_s) == 0) {
        recovery->standard_s = made_public_s + HELD_RECOVERY_DAYS * 86400ll;
        recovery->is_published = true;
    }
    collateral_got_done(&got);
}

/* One need: the early edition where there is a newer one. */
static int early_add(struct collateral *store, const struct collateral_item_id *id,
                     struct collateral_set *set, struct held_recovery *recovery, struct err *err)
{
    struct collateral_item_id early_id = *id;
    struct collateral_got standard = { 0 }, early = { 0 };
    int rc = collateral_get(store, id, COLLATERAL_OFFLINE, &standard, err);

    if (rc < 0)
        return rc;
    early_id.is_early = true;
    if (has_editions(id) &&
        collateral_get(store, &early_id, COLLATERAL_OFFLINE, &early, NULL) == 0 &&
        early.entry.evaluation_number > standard.entry.evaluation_number) {
        if (is_tcb(id)) {
            recovery->number = early.entry.evaluation_number;
            recovery->standard_number = standard.entry.evaluation_number;
            recovery_date(store, &standard.entry, recovery);
        }
        rc = collateral_set_add(set, &early.entry);
    } else {
        rc = collateral_set_add(set, &standard.entry);
    }
    collateral_got_done(&early);
    collateral_got_done(&standard);
    return rc;
}

int held_read_early(struct held *h, const struct collateral_needs *needs,
                    struct verifier_collateral **ret, struct held_recovery *ret_recovery,
                    struct err *err)
{
    struct held_recovery recovery = { 0 };
    struct collateral_set set = { 0 };
    int rc = 0;

    pthread_mutex_lock(&h->read_lock);
    for (unsigned i = 0; rc == 0 && i < needs->count; i++)
        rc = early_add(h->reader, &needs->items[i], &set, &recovery, err);
    pthread_mutex_unlock(&h->read_lock);
    if (rc < 0 && rc != -ENOMEM)
        rc = -ENOENT;
    if (rc == 0 && recovery.number == 0)
        rc = err_set(err, -ENODATA, "there is no early TCB info");
    if (rc == 0)
        rc = verifier_collateral_new(&set.items, ret, err);
    collateral_set_done(&set);
    if (rc == 0)
        *ret_recovery = recovery;
    return rc;
}

/* ---- asking ---- */

/* A place to wait in, and a round of the maker's budget. */
static bool may_ask(struct held *h, unsigned maker, const char **ret_why)
{
    int64_t now_ms = server_now_ms(h->server), step_ms = 60000 / HELD_ASK_PER_MINUTE;
    bool may = false;

    pthread_mutex_lock(&h->lock);
    if (h->waiting >= HELD_WAIT_MAX) {
        *ret_why = "too many wait for the makers' collateral";
    } else if (h->ask_ms[maker] > now_ms + 60000) {
        *ret_why = "the makers were asked for too much collateral in the last minute";
    } else {
        h->ask_ms[maker] = MAX(h->ask_ms[maker], now_ms) + step_ms;
        h->waiting++;
        may = true;
    }
    pthread_mutex_unlock(&h->lock);
    return may;
}

int held_fetch(struct held *h, const struct collateral_needs *needs,
               struct verifier_collateral **ret, struct err *err)
{
    const char *why = NULL;
    int rc;

    if (needs->count == 0)
        return -ENOENT;
    if (!may_ask(h, maker_of(&needs->items[0]), &why))
        return err_set(err, -EAGAIN, "%s", why);
    pthread_mutex_lock(&h->fetch_lock);
    collateral_begin(h->fetcher);
    rc = load(h->fetcher, needs, COLLATERAL_FETCH, h->server->config, ret, err);
    pthread_mutex_unlock(&h->fetch_lock);
    pthread_mutex_lock(&h->lock);
    h->waiting--;
    pthread_mutex_unlock(&h->lock);
    if (rc == -ENOENT)
        server_log(h->server, "warning", "collateral is not to be had", "why", err->text, NULL);
    return rc;
}

void held_want(struct held *h, const struct collateral_needs *needs)
{
    bool has = false;

    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->wanted_count && !has; i++)
        has = memcmp(&h->wanted[i], needs, sizeof *needs) == 0;
    if (!has && h->wanted_count < HELD_WANTED_MAX)
        h->wanted[h->wanted_count++] = *needs;
    pthread_mutex_unlock(&h->lock);
}

bool held_wanted_take(struct held *h, struct collateral_needs *ret)
{
    bool has;

    pthread_mutex_lock(&h->lock);
    has = h->wanted_count > 0;
    if (has)
        *ret = h->wanted[--h->wanted_count];
    pthread_mutex_unlock(&h->lock);
    return has;
}
