/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TCB recovery that is on its way will make of the fleet: stored evidence judged under early TCB info, once for each app and kind of platform (tcb_key), since all of these come to the same.
 * Evidence is read in a short transaction, judged outside, written when something changed. Relying party.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/exchange/exchange.h"
#include "server/exchange/stored.h"
#include "server/fleet/internal.h"
#include "server/model/row.h"

#define BATCH 32u
#define TCB_KEY_SIZE 33u

/* Instances of one app on platforms of one kind, of which one stands for all. */
struct kin {
    char org_id[ID_SIZE], app_id[ID_SIZE], tcb_key[TCB_KEY_SIZE], instance_id[ID_SIZE];
    struct stored_forecast forecast;
};
struct pass {
    struct fleet *fleet;
    const char *org_id, *basis;
    bool is_forced; /* also those that were judged on this basis: policies changed */
    int64_t now_ms;
    char after[ID_SIZE + TCB_KEY_SIZE];
    unsigned count;
    struct kin kin[BATCH];
    /* of the one that is judged */
    struct stored stored;
    struct build_row build;
    struct policy_ref policy;
};

static int kin_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct pass *p = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx,
        "SELECT i.org_id, i.app_id, i.tcb_key, MIN(i.id) FROM instances i LEFT JOIN forecasts f ON "
        "f.org_id = i.org_id AND f.app_id = i.app_id AND f.tcb_key = i.tcb_key "
        "WHERE ($1 = '' OR i.org_id = $1) AND i.state IN ('running', 'unreachable') AND i.tcb_key "
        "IS NOT NULL AND i.app_id || ':' || i.tcb_key > $2 "
        "AND ($3 = 1 OR f.basis IS NULL OR f.basis <> $4) "
        "GROUP BY i.org_id, i.app_id, i.tcb_key ORDER BY i.app_id || ':' || i.tcb_key LIMIT $5",
        STORE_ARGS(store_text(p->org_id), store_text(p->after), store_int(p->is_forced),
                   store_text(p->basis), store_int(BATCH)),
        &rows, err);

    p->count = 0;
    while (rc == 0 && p->count < BATCH && (rc = store_rows_next(rows, err)) > 0) {
        struct kin *k = &p->kin[p->count++];

        row_copy(k->org_id, sizeof k->org_id, store_column_text(rows, 0));
        row_copy(k->app_id, sizeof k->app_id, store_column_text(rows, 1));
        row_copy(k->tcb_key, sizeof k->tcb_key, store_column_text(rows, 2));
        row_copy(k->instance_id, sizeof k->instance_id, store_column_text(rows, 3));
        rc = 0;
    }
    return MIN(rc, 0);
}

struct context {
    struct pass *pass;
    const struct kin *kin;
};

static int context_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct context *c = arg;
    struct pass *p = c->pass;
    int rc;

    stored_done(&p->stored);
    policy_unref(&p->policy);
    rc = stored_read(tx, c->kin->instance_id, &p->stored, err);
    if (rc == 0)
        rc = build_read(p->fleet->server, tx, p->stored.org_id, p->stored.build_id, &p->build, err);
    return rc < 0 ? rc
                  : policy_get(p->fleet->server, tx, p->stored.org_id, p->stored.app_id, &p->policy,
                               err);
}

/* What was foreseen so far; 0: that it goes on. */
static int known_until(struct store_tx *tx, const struct kin *k, int64_t *ret, struct err *err)
{
    return store_get_int(
        tx,
        "SELECT COALESCE(MAX(until_ms), 0) FROM forecasts WHERE org_id = $1 AND "
        "app_id = $2 AND tcb_key = $3",
        STORE_ARGS(store_text(k->org_id), store_text(k->app_id), store_text(k->tcb_key)), ret, err);
}

static int tell(struct store_tx *tx, const struct kin *k, int64_t known_ms, struct err *err)
{
    const struct stored_forecast *f = &k->forecast;
    json_t *data;
    int rc;

    /* A date that moves with the present TCB info is no news. */
    if (!f->falls == !known_ms && (!f->falls || !f->is_published || f->until_ms == known_ms))
        return 0;
    data = json_pack("{s:o,s:I,s:s?}", "until", f->falls ? api_time(f->until_ms) : json_null(),
                     "number", (json_int_t)f->number, "reason", f->falls ? f->reason : NULL);
    rc = data ? event_append(tx, k->org_id, "app.forecast", k->app_id, data, err) : -ENOMEM;
    json_decref(data);
    return rc;
}

static int write_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct pass *p = arg;
    int rc = 0;

    for (unsigned i = 0; rc >= 0 && i < p->count; i++) {
        const struct kin *k = &p->kin[i];
        const struct stored_forecast *f = &k->forecast;
        int64_t known_ms;

        rc = known_until(tx, k, &known_ms, err);
        if (rc == 0)
            rc = tell(tx, k, known_ms, err);
        if (rc == 0)
            rc = store_exec(
                tx,
                "INSERT INTO forecasts (org_id, app_id, tcb_key, basis, until_ms, number, "
                "tcb_status, reason, is_published) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON "
                "CONFLICT (org_id, app_id, tcb_key) DO UPDATE SET basis = $4, until_ms = $5, "
                "number = $6, tcb_status = $7, reason = $8, is_published = $9",
                STORE_ARGS(store_text(k->org_id), store_text(k->app_id), store_text(k->tcb_key),
                           store_text(p->basis), f->falls ? store_int(f->until_ms) : store_null(),
                           store_int(f->number), store_text(f->falls ? f->tcb_status : NULL),
                           store_text(f->falls ? f->reason : NULL), store_int(f->is_published)),
                err);
    }
    return MIN(rc, 0);
}

static int batch(struct pass *p, struct err *err)
{
    struct server *server = p->fleet->server;
    int rc = store_read(server->store, kin_in, p, err);

    for (unsigned i = 0; rc == 0 && i < p->count; i++) {
        struct kin *k = &p->kin[i];
        struct context context = { p, k };
        struct err why = { "" };
        int one = store_read(server->store, context_in, &context, &why);

        k->forecast = (struct stored_forecast){ .falls = false };
        if (one == 0)
            one = stored_forecast(server->exchange, &p->stored, p->policy.policy, &p->build,
                                  p->now_ms, &k->forecast, &why);
        if (one < 0)
            server_log(server, "warning", "evidence could not be judged ahead", "instance",
                       k->instance_id, "why", why.text, NULL);
        snprintf(p->after, sizeof p->after, "%.*s:%.*s", (int)ID_SIZE - 1, k->app_id,
                 (int)TCB_KEY_SIZE - 1, k->tcb_key);
    }
    if (rc == 0 && p->count > 0) {
        rc = store_write(server->store, write_in, p, err);
        events_wake(server->events);
    }
    return rc < 0 ? rc : (int)p->count;
}

/* Of apps and platforms that nothing runs on any more. */
static int clean_in(struct store_tx *tx, void *arg, struct err *err)
{
    int rc = store_exec(
        tx,
        "DELETE FROM forecasts WHERE org_id >= '' AND NOT EXISTS (SELECT 1 FROM instances i WHERE "
        "i.app_id = forecasts.app_id AND i.tcb_key = forecasts.tcb_key AND i.state IN ('running', "
        "'unreachable'))",
        STORE_NO_ARGS, err);

    return MIN(rc, 0);
}

void forecast_all(struct fleet *f, const char *org_id, bool is_forced)
{
    struct pass *p = calloc(1, sizeof *p);
    struct err err = { "" };
    char basis[65] = "";
    int rc = p ? 1 : -ENOMEM;
    bool has_early;

    pthread_mutex_lock(&f->lock);
    has_early = f->collateral.early_count > 0;
    for (unsigned i = 0; i < sizeof f->collateral_sha256; i++)
        snprintf(basis + 2 * i, 3, "%02x", f->collateral_sha256[i]);
    pthread_mutex_unlock(&f->lock);
    if (rc > 0) {
        p->fleet = f;
        p->org_id = org_id;
        p->basis = basis;
        p->is_forced = is_forced;
        p->now_ms = server_now_ms(f->server);
    }
    while (rc > 0 && has_early && !fleet_is_stopping(f))
        rc = batch(p, &err);
    if (rc >= 0 && is_forced)
        rc = store_write(f->server->store, clean_in, NULL, &err);
    if (rc < 0)
        server_log(f->server, "error", "evidence was not judged ahead", "why", err.text, NULL);
    if (p) {
        stored_done(&p->stored);
        policy_unref(&p->policy);
    }
    free(p);
}
