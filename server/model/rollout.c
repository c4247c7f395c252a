/* SPDX-License-Identifier: Apache-2.0 */
/* What the fleet does for rollouts at their dates. Relying party. */
#include "server/model/rollout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/model/rollout_row.h"

struct run {
    struct server *server;
    int64_t now_ms;
    struct rollout rollouts[100];
    unsigned count;
    int changed;
};

static int run_one(struct run *run, struct store_tx *tx, struct rollout *r, struct err *err)
{
    bool is_due = strcmp(r->state, "open") == 0 && run->now_ms >= r->end_ms;
    bool is_forced = strcmp(r->state, "forced") == 0;
    int64_t left;
    int stopped = is_due || is_forced ? rollout_stop_old(run->server, tx, r, err) : 0;
    int rc = stopped < 0 ? stopped : rollout_count(tx, r, r->old_build_id, &left, err);

    if (rc < 0)
        return rc;
    /* Before its end a rollout stays open with nothing left of the old build: there may be more of it. */
    const char *state = left == 0 && (is_due || is_forced) ? "done" : is_due ? "forced" : NULL;

    if (!state)
        return 0;
    rc = rollout_state_write(run->server, tx, r, state, err);
    if (rc < 0)
        return rc;
    json_t *detail = json_pack("{s:i,s:I}", "stopped", stopped, "left", (json_int_t)left);
    const struct audit_entry entry = { .org_id = r->org_id,
                                       .actor = "server",
                                       .action = is_due ? "rollout.force" : "rollout.end",
                                       .object = r->id,
                                       .decision = "done",
                                       .detail = detail };

    rc = event_append(tx, r->org_id, strcmp(state, "done") == 0 ? "rollout.done" : "rollout.forced",
                      r->id, detail, err);
    if (rc >= 0)
        rc = audit_append(tx, &entry, err);
    json_decref(detail);
    run->changed++;
    return rc;
}

static int run_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct run *run = arg;
    struct store_rows *rows = NULL;
    /* org_id of each row goes with it: the server acts for all organisations. */
    int rc = store_query(
        tx,
        "SELECT " ROLLOUT_COLUMNS
        " WHERE org_id >= '' AND (state = 'forced' OR (state = 'open' AND end_ms <= $1)) "
        "ORDER BY end_ms LIMIT $2",
        STORE_ARGS(store_int(run->now_ms), store_int(ARRAY_COUNT(run->rollouts))), &rows, err);

    run->count = 0;
    run->changed = 0;
    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        rc = rollout_decode(run->server, rows, &run->rollouts[run->count], err);
        run->count += rc == 0;
        if (rc == -EBADMSG) /* is logged, and holds up no other */
            rc = 0;
    }
    store_rows_free(rows);
    for (unsigned i = 0; rc >= 0 && i < run->count; i++)
        rc = run_one(run, tx, &run->rollouts[i], err);
    return rc;
}

static int any_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct run *run = arg;
    int64_t count;
    int rc =
        store_get_int(tx,
                      "SELECT COUNT(*) FROM rollouts WHERE org_id >= '' AND (state = 'forced' OR "
                      "(state = 'open' AND end_ms <= $1))",
                      STORE_ARGS(store_int(run->now_ms)), &count, err);

    return rc < 0 ? rc : count > 0;
}

int rollout_run(struct server *server, int64_t now_ms, struct err *err)
{
    struct run *run = calloc(1, sizeof *run);

    if (!run)
        return -ENOMEM;
    run->server = server;
    run->now_ms = now_ms;
    int rc = store_read(server->store, any_tx, run, err);

    if (rc > 0)
        rc = store_write(server->store, run_tx, run, err);
    if (rc >= 0)
        rc = run->changed;
    free(run);
    return rc;
}
