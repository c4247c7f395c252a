/* SPDX-License-Identifier: Apache-2.0 */
/* Re-appraisal, what is written: one short transaction a batch. An instance that falls is told to renew: with fresh evidence it may be accepted, else it gets no lease any more. Relying party. */
#include <errno.h>

#include "server/api/events.h"
#include "server/exchange/exchange.h"
#include "server/fleet/reappraise.h"

struct write {
    const struct round *round;
    const struct batch *batch;
};

static int fall(struct store_tx *tx, const struct judged *j, int64_t now_ms, struct err *err)
{
    json_t *data = json_pack("{s:s}", "reason", j->reason);
    int rc =
        data ? instance_history_add(tx, j->id, now_ms, "running", j->reason, NULL, err) : -ENOMEM;

    if (rc == 0)
        rc = event_append(tx, j->org_id, "instance.fallen", j->id, data, err);
    if (rc == 0)
        rc = exchange_order(tx, j->id, "renew", j->reason, err);
    json_decref(data);
    return rc;
}

static int write_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct write *w = arg;
    int rc = 0;

    for (unsigned i = 0; rc >= 0 && i < w->batch->count; i++) {
        const struct judged *j = &w->batch->judged[i];

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
                                   store_int(j->evidence_ms)),
                        err);
        /* None changed: it has renewed meanwhile, or was told the same before. */
        if (rc > 0 && j->has_fallen)
            rc = fall(tx, j, w->round->now_ms, err);
    }
    return MIN(rc, 0);
}

int reappraise_write(struct round *r, struct batch *b, struct err *err)
{
    struct write write = { r, b };
    struct server *server = r->fleet->server;
    bool has_changed = false;
    int rc;

    for (unsigned i = 0; i < b->count; i++)
        has_changed |= b->judged[i].is_changed;
    if (!has_changed)
        return 0;
    rc = store_write(server->store, write_in, &write, err);
    events_wake(server->events);
    return MIN(rc, 0);
}
