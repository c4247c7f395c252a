/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collateral that the server holds, asked for anew on schedule, and looked over: what is new (whoever put it there), how old, what expires. A source that fails, is behind or lies takes nothing away: what is
 * held stays until it expires. Relying party; sources are hostile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/exchange/held.h"
#include "server/exchange/internal.h"
#include "server/fleet/internal.h"

#define DEADLINE_MS 120000u
#define ATTEMPTS 3u
#define LOGGED_MAX 8u /* failures of one round */
#define STOP_LOOK_MS 100u

/* ---- what is held ---- */

struct survey {
    struct collateral_item_id *items; /* COLLATERAL_ENTRY_COUNT_MAX */
    struct fleet_collateral figures;
    struct sha256 hash; /* of what matters for judging */
};

static int look(void *context, const struct collateral_entry *entry, enum collateral_state state,
                const struct err *why)
{
    struct survey *s = context;
    struct fleet_collateral *f = &s->figures;
    int64_t signed_ms[2] = { entry->issued_s * 1000, entry->expires_s * 1000 };
    char name[COLLATERAL_NAME_SIZE];

    if (f->count >= COLLATERAL_ENTRY_COUNT_MAX)
        return 0;
    s->items[f->count++] = entry->id;
    f->unusable += state == COLLATERAL_EXPIRED || state == COLLATERAL_DAMAGED;
    if (state == COLLATERAL_DAMAGED)
        return 0;
    if (f->confirmed_ms == 0 || entry->fetched_s * 1000 < f->confirmed_ms)
        f->confirmed_ms = entry->fetched_s * 1000;
    if (f->expires_ms == 0 || signed_ms[1] < f->expires_ms)
        f->expires_ms = signed_ms[1];
    f->early_count += entry->id.is_early;
    collateral_item_name(&entry->id, name);
    sha256_update(&s->hash, name, strlen(name) + 1);
    sha256_update(&s->hash, signed_ms, sizeof signed_ms);
    sha256_update(&s->hash, &entry->evaluation_number, sizeof entry->evaluation_number);
    return 0;
}

/* returns: 0; errno. s->items is for free() in any case. */
static int survey_make(struct collateral *store, struct survey *s, struct err *err)
{
    free(s->items);
    *s = (struct survey){ .items = calloc(COLLATERAL_ENTRY_COUNT_MAX,
                                          sizeof(struct collateral_item_id)) };
    if (!s->items)
        return -ENOMEM;
    sha256_init(&s->hash);
    return collateral_list(store, look, s, err);
}

/* ---- time, which is over when the server stops ---- */

static int64_t clock_now_s(void *context)
{
    return server_now_ms(((struct fleet *)context)->server) / 1000;
}

static uint64_t clock_monotonic_ms(void *context)
{
    const struct collateral_clock *system = collateral_clock_system();

    return fleet_is_stopping(context) ? UINT64_MAX / 2 : system->monotonic_ms(system->context);
}

static void clock_sleep_ms(void *context, uint64_t ms)
{
    const struct collateral_clock *system = collateral_clock_system();

    for (uint64_t slept = 0; slept < ms && !fleet_is_stopping(context); slept += STOP_LOOK_MS)
        system->sleep_ms(system->context, MIN((uint64_t)STOP_LOOK_MS, ms - slept));
}

static uint32_t clock_random(void *context)
{
    const struct collateral_clock *system = collateral_clock_system();

    return system->random(system->context);
}

/* ---- asking ---- */

/* Certificates of chips mean the same for ever, and AMD limits requests; all else is asked for each time: that it has not changed costs little. */
static enum collateral_mode mode_of(const struct collateral_item_id *id)
{
    return id->kind < COLLATERAL_AMD_CHAIN ? COLLATERAL_REFRESH : COLLATERAL_FETCH;
}

/* What the source gave instead of collateral, for the log; a lie is worth more noise than silence. */
static void failure_log(struct fleet *f, const struct collateral_item_id *id, int rc,
                        const struct err *why, bool is_kept)
{
    char name[COLLATERAL_NAME_SIZE];

    server_log(f->server, rc == -EBADMSG ? "error" : "warning",
               is_kept ? "collateral is not fresh: what is held stays"
                       : "collateral is not to be had",
               "item", collateral_item_name(id, name), "reason",
               rc == -EBADMSG     ? "it does not verify"
               : rc == -ETIMEDOUT ? "time is over"
                                  : "the source failed",
               "why", why->text, NULL);
}

/* is_optional: not every source has it. */
static void ask(struct fleet *f, struct collateral *store, const struct collateral_item_id *id,
                bool is_optional, struct fleet_collateral *figures)
{
    struct collateral_got got = { 0 };
    struct err why = { "" };
    int rc;

    if (!held_may_fetch(f->server->config, id) || fleet_is_stopping(f))
        return;
    rc = collateral_get(store, id, mode_of(id), &got, &why);
    if (rc == 0 && got.outcome == COLLATERAL_KEPT) {
        rc = got.why_rc;
        why = got.why;
    }
    figures->refreshed += rc == 0 && got.outcome == COLLATERAL_NEW;
    if (rc == -ENOENT && is_optional)
        rc = 0;
    if (rc < 0 && !fleet_is_stopping(f)) {
        held_text_clean(why.text);
        if (figures->failed++ < LOGGED_MAX)
            failure_log(f, id, rc, &why, got.entry.body != NULL);
        figures->lied += rc == -EBADMSG;
        snprintf(figures->why, sizeof figures->why, "%s", why.text);
    }
    collateral_got_done(&got);
}

/* Early editions of Intel's TCB info and identities, and when they become the standard, tell what is going to fall. */
static void early_ask(struct fleet *f, struct collateral *store, const struct survey *survey,
                      struct fleet_collateral *figures)
{
    bool has_tee[2] = { false }; /* SGX, TDX */

    for (unsigned i = 0; i < survey->figures.count; i++) {
        struct collateral_item_id id = survey->items[i];

        if (id.kind >= COLLATERAL_SGX_EVALUATIONS || id.is_early)
            continue;
        has_tee[id.kind == COLLATERAL_TDX_TCB || id.kind == COLLATERAL_TDX_QE_IDENTITY] = true;
        id.is_early = true;
        ask(f, store, &id, true, figures);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(has_tee); i++) {
        struct collateral_item_id id = { .kind = COLLATERAL_SGX_EVALUATIONS + i };

        if (has_tee[i])
            ask(f, store, &id, true, figures);
    }
}

/* Early editions are asked for with those that stand beside them. */
static bool is_extra(const struct collateral_item_id *id)
{
    return id->is_early || id->kind == COLLATERAL_SGX_EVALUATIONS ||
           id->kind == COLLATERAL_TDX_EVALUATIONS;
}

static int folder_open(struct fleet *f, const struct verifier_policy *policy,
                       struct collateral **ret, struct err *err)
{
    const struct collateral_clock clock = { clock_now_s, clock_monotonic_ms, clock_sleep_ms,
                                            clock_random, f };

    f->clock = clock;
    return held_store_open(f->server, &(struct held_limits){ DEADLINE_MS, ATTEMPTS, &f->clock },
                           policy, ret, err);
}

/* Figures of this round in place of the last one's. returns: whether what is held is another. */
static bool figures_set(struct fleet *f, struct survey *s, const struct fleet_collateral *asked)
{
    struct fleet_collateral now = s->figures;
    uint8_t digest[32];
    bool is_first, is_new;

    now.refreshed = asked->refreshed;
    now.failed = asked->failed;
    now.lied = asked->lied;
    memcpy(now.why, asked->why, sizeof now.why);
    now.looked_ms = server_now_ms(f->server);
    sha256_final(&s->hash, digest);
    pthread_mutex_lock(&f->lock);
    is_first = f->collateral.looked_ms == 0;
    now.refreshed += f->collateral.refreshed;
    now.lied += f->collateral.lied;
    is_new = memcmp(f->collateral_sha256, digest, sizeof digest) != 0;
    memcpy(f->collateral_sha256, digest, sizeof digest);
    f->collateral = now;
    pthread_mutex_unlock(&f->lock);
    return is_new && !is_first;
}

bool refresh_collateral(struct fleet *f, bool may_ask)
{
    struct verifier_policy *policy = NULL;
    struct collateral *store = NULL;
    struct survey survey = { 0 };
    struct fleet_collateral asked = { 0 };
    struct err err = { "" };
    bool is_new = false;
    int rc;

    if (!f->server->config->collateral_folder)
        return false;
    rc = held_policy_new(f->server, &policy, &err);
    if (rc == 0)
        rc = folder_open(f, policy, &store, &err);
    if (rc == 0)
        rc = survey_make(store, &survey, &err);
    for (unsigned i = 0; rc == 0 && may_ask && i < survey.figures.count; i++)
        if (!is_extra(&survey.items[i]))
            ask(f, store, &survey.items[i], false, &asked);
    if (rc == 0 && may_ask)
        early_ask(f, store, &survey, &asked);
    if (rc == 0 && may_ask)
        rc = survey_make(store, &survey, &err);
    if (asked.refreshed > 0) /* before anybody is told that it is there */
        collaterals_forget(f->server->exchange->collaterals);
    if (rc == 0)
        is_new = figures_set(f, &survey, &asked);
    else
        server_log(f->server, "error", "collateral could not be looked over", "why", err.text,
                   NULL);
    collateral_close(store);
    verifier_policy_free(policy);
    free(survey.items);
    return is_new;
}

bool refresh_wanted(struct fleet *f)
{
    struct err err = { "" };

    return collateral_fetch_wanted(f->server->exchange, &err) > 0;
}
