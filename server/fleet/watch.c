/* SPDX-License-Identifier: Apache-2.0 */
/* Instances whose lease ended or who should have renewed; rows that nobody needs any more. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/exchange/internal.h"
#include "server/fleet/internal.h"
#include "server/model/node.h"
#include "server/model/rollout.h"
#include "server/model/row.h"

#define BATCH 200u
#define EVENTS_KEPT_MS (7 * 86400 * 1000ll)
#define IDEMPOTENCY_KEPT_MS (86400 * 1000ll)
#define STAPLED_KEPT_MS (86400 * 1000ll)

struct change {
    char id[ID_SIZE], org_id[ID_SIZE];
};
struct batch {
    int64_t now_ms;
    const char *find, *state, *reason;
    unsigned count;
};

static int batch_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct batch *b = arg;
    struct change changes[BATCH];
    struct store_rows *rows = NULL;
    unsigned count = 0;
    int rc =
        store_query(tx, b->find, STORE_ARGS(store_int(b->now_ms), store_int(BATCH)), &rows, err);

    while (rc == 0 && count < BATCH && (rc = store_rows_next(rows, err)) > 0) {
        row_copy(changes[count].id, ID_SIZE, store_column_text(rows, 0));
        row_copy(changes[count++].org_id, ID_SIZE, store_column_text(rows, 1));
        rc = 0;
    }
    store_rows_free(rows);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = instance_state_set(tx, changes[i].org_id, changes[i].id, b->now_ms, b->state,
                                b->reason, err);
    b->count = count;
    return rc;
}

struct look {
    const struct batch *batch;
    bool has;
};

/* Reading first: most of the time there is nothing, and no writer is held up. */
static int look_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct look *look = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, look->batch->find,
                         STORE_ARGS(store_int(look->batch->now_ms), store_int(1)), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    look->has = rc > 0;
    return MIN(rc, 0);
}

static void run(struct fleet *f, struct batch *b)
{
    struct look look = { b, false };
    struct err err = { "" };
    int rc = store_read(f->server->store, look_in, &look, &err);

    if (rc == 0 && !look.has)
        return;
    do {
        if (rc == 0)
            rc = store_write(f->server->store, batch_in, b, &err);
    } while (rc == 0 && b->count == BATCH && !fleet_is_stopping(f));
    if (rc < 0)
        server_log(f->server, "error", "instances could not be looked after", "why", err.text,
                   NULL);
    else
        events_wake(f->server->events);
}

void watch_leases(struct fleet *f, bool with_silent)
{
    /* An instance renews at half of its lease; with a quarter left and no word it is unreachable. */
    struct batch silent = {
        .now_ms = server_now_ms(f->server),
        .find = "SELECT i.id, i.org_id FROM instances i JOIN apps a ON a.id = i.app_id WHERE "
                "i.org_id >= '' AND i.state = 'running' "
                "AND i.lease_until_ms < $1 + a.lease_s * 250 AND i.seen_ms < $1 - a.lease_s * 700 "
                "LIMIT $2",
        .state = "unreachable",
        .reason = "it did not renew in time",
    };
    struct batch ended = {
        .now_ms = silent.now_ms,
        .find = "SELECT id, org_id FROM instances WHERE org_id >= '' AND state IN ('running', "
                "'unreachable', 'stopping') AND lease_until_ms < $1 LIMIT $2",
        .state = "stopped",
        .reason = "its lease ended",
    };

    run(f, &ended);
    if (with_silent) /* looks at every running instance */
        run(f, &silent);
}

void watch_nodes(struct fleet *f)
{
    struct err err = { "" };
    int rc = node_settle_all(f->server, &err);

    if (rc < 0)
        server_log(f->server, "error", "nodes could not be looked after", "why", err.text, NULL);
    else if (rc > 0)
        events_wake(f->server->events);
}

void watch_rollouts(struct fleet *f)
{
    struct err err = { "" };
    int rc = rollout_run(f->server, server_now_ms(f->server), &err);

    if (rc < 0)
        server_log(f->server, "error", "rollouts could not be ended", "why", err.text, NULL);
    else if (rc > 0)
        events_wake(f->server->events);
}

static int clean_in(struct store_tx *tx, void *arg, struct err *err)
{
    int64_t now_ms = *(int64_t *)arg;
    const struct {
        const char *sql;
        int64_t before_ms;
    } rows[] = {
        { "DELETE FROM nonces WHERE expires_ms < $1", now_ms },
        { "DELETE FROM certificates WHERE org_id >= '' AND until_ms < $1", now_ms },
        { "DELETE FROM events WHERE org_id >= '' AND time_ms < $1", now_ms - EVENTS_KEPT_MS },
        { "DELETE FROM idempotency WHERE org_id >= '' AND created_ms < $1",
          now_ms - IDEMPOTENCY_KEPT_MS },
        { "DELETE FROM instance_orders WHERE created_ms < $1 AND instance_id IN (SELECT id FROM "
          "instances WHERE org_id >= '' AND state = 'stopped')",
          now_ms - IDEMPOTENCY_KEPT_MS },
        { "DELETE FROM stapled WHERE used_ms < $1 AND NOT EXISTS (SELECT 1 FROM instances i WHERE "
          "i.org_id >= '' AND i.stapled_sha256 = stapled.sha256) AND NOT EXISTS (SELECT 1 FROM "
          "nodes n "
          "WHERE n.org_id >= '' AND n.stapled_sha256 = stapled.sha256)",
          now_ms - STAPLED_KEPT_MS },
    };
    int rc = 0;

    for (unsigned i = 0; rc >= 0 && i < ARRAY_COUNT(rows); i++)
        rc = store_exec(tx, rows[i].sql, STORE_ARGS(store_int(rows[i].before_ms)), err);
    return MIN(rc, 0);
}

void watch_clean(struct fleet *f)
{
    int64_t now_ms = server_now_ms(f->server);
    struct err err = { "" };

    if (store_write(f->server->store, clean_in, &now_ms, &err) < 0)
        server_log(f->server, "error", "old rows could not be removed", "why", err.text, NULL);
}

static int checkpoint_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct audit_checkpoint checkpoint;

    return audit_checkpoint(tx, arg, &checkpoint, err);
}

void watch_checkpoint(struct fleet *f)
{
    struct err err = { "" };

    if (store_write(f->server->store, checkpoint_in, f->server->keys, &err) < 0)
        server_log(f->server, "error", "the audit log has no new checkpoint", "why", err.text,
                   NULL);
}
