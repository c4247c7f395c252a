/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All stored evidence judged again: read in batches, judged outside of any transaction, what changed written in one short write a batch, so that service goes on. An instance that falls is told to renew: with fresh
 * evidence it may be accepted, else it gets no lease any more. Relying party.
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

#define BATCH 64u

struct judged {
    char id[ID_SIZE], org_id[ID_SIZE];
    bool is_changed, has_fallen;
    char tcb_status[48], reason[300];
    int64_t valid_until_ms;
    char *ear;
};
struct round {
    struct fleet *fleet;
    const char *org_id;
    char after[ID_SIZE];
    int64_t now_ms;
    unsigned count;
    struct stored stored[BATCH];
    struct judged judged[BATCH];
    /* Of the last app: neighbours are mostly of one. */
    struct policy_ref policy;
    struct build_row build;
    char build_id[ID_SIZE];
    bool build_is_good;
    char build_why[300];
};

static int ids_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct round *r = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT id FROM instances WHERE id > $1 AND ($2 = '' OR org_id = $2) AND "
                         "state IN ('running', 'unreachable') ORDER BY id LIMIT $3",
                         STORE_ARGS(store_text(r->after), store_text(r->org_id), store_int(BATCH)),
                         &rows, err);
    char ids[BATCH][ID_SIZE];
    unsigned found = 0;

    r->count = 0;
    while (rc == 0 && found < BATCH && (rc = store_rows_next(rows, err)) > 0) {
        row_copy(ids[found++], ID_SIZE, store_column_text(rows, 0));
        rc = 0;
    }
    for (unsigned i = 0; rc == 0 && i < found; i++) {
        rc = stored_read(tx, ids[i], &r->stored[r->count], err);
        if (rc == 0)
            r->count++;
        else if (rc == -ENODATA || rc == -ENOENT)
            rc = 0;
        row_copy(r->after, sizeof r->after, ids[i]);
    }
    return rc < 0 ? rc : (int)found;
}

struct context {
    struct round *round;
    const struct stored *stored;
};

static int context_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct context *c = arg;
    struct round *r = c->round;
    const struct stored *s = c->stored;
    struct server *server = r->fleet->server;
    struct err why = { "" };
    int rc;

    policy_unref(&r->policy);
    rc = build_read(server, tx, s->org_id, s->build_id, &r->build, err);
    if (rc == 0)
        rc = policy_get(server, tx, s->org_id, s->app_id, &r->policy, err);
    if (rc < 0)
        return rc;
    rc = build_check(server, tx, &r->build, r->now_ms, &why);
    r->build_is_good = rc == 0;
    snprintf(r->build_why, sizeof r->build_why, "%.299s", why.text);
    return rc == -EACCES ? 0 : rc;
}

static int one(struct round *r, const struct stored *s, struct judged *ret, struct appraisal *a,
               struct err *err)
{
    struct context context = { r, s };
    const struct refusal *why;
    int rc = 0;

    *ret = (struct judged){ .valid_until_ms = 0 };
    memcpy(ret->id, s->id, ID_SIZE);
    memcpy(ret->org_id, s->org_id, ID_SIZE);
    if (strcmp(r->build_id, s->build_id) != 0) {
        rc = store_read(r->fleet->server->store, context_in, &context, err);
        if (rc < 0) {
            r->build_id[0] = 0;
            return rc;
        }
        memcpy(r->build_id, s->build_id, ID_SIZE);
    }
    rc =
        stored_judge(r->fleet->server->exchange, s, r->policy.policy, &r->build, r->now_ms, a, err);
    if (rc < 0)
        return rc;
    why = &a->refusal;
    if (!r->build_is_good)
        refusal_set(&a->refusal, "build-not-allowed", "BUILD_STATE", "%s", r->build_why);
    ret->has_fallen = why->code != NULL;
    snprintf(ret->reason, sizeof ret->reason, "%.60s: %.230s", why->step, why->detail);
    memcpy(ret->tcb_status, a->tcb_status, sizeof ret->tcb_status);
    ret->valid_until_ms = a->valid_until_ms;
    ret->is_changed = ret->has_fallen || strcmp(ret->tcb_status, s->tcb_status) != 0 ||
                      ret->valid_until_ms != s->valid_until_ms;
    return ret->is_changed ? verifier_result_json(&a->result, r->now_ms / 1000, &ret->ear) : 0;
}

static int fall(struct store_tx *tx, const struct judged *j, const struct round *r, struct err *err)
{
    json_t *data = json_pack("{s:s}", "reason", j->reason);
    int rc = data ? instance_history_add(tx, j->id, r->now_ms, "running", j->reason, NULL, err)
                  : -ENOMEM;

    if (rc == 0)
        rc = event_append(tx, j->org_id, "instance.fallen", j->id, data, err);
    if (rc == 0)
        rc = exchange_order(tx, j->id, "renew", j->reason, err);
    json_decref(data);
    return rc;
}

static int write_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct round *r = arg;
    int rc = 0;

    for (unsigned i = 0; rc >= 0 && i < r->count; i++) {
        const struct judged *j = &r->judged[i];

        if (!j->is_changed)
            continue;
        rc = store_exec(tx,
                        "UPDATE instances SET tcb_status = $1, valid_until_ms = $2, appraisal = "
                        "$3, reason = $4, version = version + 1 "
                        "WHERE org_id = $5 AND id = $6 AND evidence_ms = $7 AND (reason IS NULL OR "
                        "reason <> $4 OR tcb_status <> $1 OR valid_until_ms <> $2)",
                        STORE_ARGS(store_text(j->tcb_status[0] ? j->tcb_status : NULL),
                                   j->valid_until_ms ? store_int(j->valid_until_ms) : store_null(),
                                   store_text(j->ear), store_text(j->has_fallen ? j->reason : ""),
                                   store_text(j->org_id), store_text(j->id),
                                   store_int(r->stored[i].evidence_ms)),
                        err);
        /* None changed: it has renewed meanwhile, or was told the same before. */
        if (rc > 0 && j->has_fallen)
            rc = fall(tx, j, r, err);
    }
    return MIN(rc, 0);
}

static int batch(struct round *r, struct appraisal *a, struct err *err)
{
    bool changed = false;
    unsigned fallen = 0;
    int found = store_read(r->fleet->server->store, ids_in, r, err), rc = 0;

    for (unsigned i = 0; found >= 0 && i < r->count; i++) {
        struct err why = { "" };

        if (one(r, &r->stored[i], &r->judged[i], a, &why) < 0) {
            r->judged[i].is_changed = false;
            server_log(r->fleet->server, "warning", "evidence could not be judged again",
                       "instance", r->stored[i].id, "why", why.text, NULL);
        }
        changed |= r->judged[i].is_changed;
        fallen += r->judged[i].is_changed && r->judged[i].has_fallen;
    }
    if (found >= 0 && changed) {
        rc = store_write(r->fleet->server->store, write_in, r, err);
        events_wake(r->fleet->server->events);
    }
    for (unsigned i = 0; i < r->count; i++) {
        stored_done(&r->stored[i]);
        free(TAKE_PTR(r->judged[i].ear));
    }
    pthread_mutex_lock(&r->fleet->lock);
    r->fleet->progress.judged += r->count;
    r->fleet->progress.fallen += fallen;
    pthread_mutex_unlock(&r->fleet->lock);
    return found < 0 ? found : rc < 0 ? rc : found;
}

static void progress_set(struct fleet *f, bool is_running)
{
    pthread_mutex_lock(&f->lock);
    f->progress.is_running = is_running;
    if (is_running) {
        f->progress.judged = f->progress.fallen = 0;
        f->progress.started_ms = server_now_ms(f->server);
        f->progress.finished_ms = 0;
    } else {
        f->progress.finished_ms = server_now_ms(f->server);
    }
    pthread_mutex_unlock(&f->lock);
}

void reappraise_all(struct fleet *f, const char *org_id)
{
    struct round *r = calloc(1, sizeof *r);
    struct appraisal *a = calloc(1, sizeof *a);
    struct err err = { "" };
    int rc = r && a ? 1 : -ENOMEM;

    progress_set(f, true);
    if (rc > 0) {
        r->fleet = f;
        r->org_id = org_id;
        r->now_ms = server_now_ms(f->server);
        collaterals_forget(f->server->exchange->collaterals);
    }
    while (rc > 0 && !fleet_is_stopping(f))
        rc = batch(r, a, &err);
    if (rc >= 0 && !fleet_is_stopping(f))
        rc = exchange_nodes_reappraise(f->server, org_id, &err);
    if (rc < 0)
        server_log(f->server, "error", "evidence was not judged again", "why", err.text, NULL);
    if (r)
        policy_unref(&r->policy);
    progress_set(f, false);
    free(r);
    free(a);
}
