/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of rollouts, and what their ends write. Relying party. */
#include "server/model/rollout_row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/crypto/keys.h"
#include "server/model/build_row.h"
#include "server/model/node.h"
#include "server/model/row.h"

#define ROLLOUT_STOP_MAX 1000 /* instances that one step stops; the fleet comes again */

/* What the mac covers: all that decides, and who asked for it. */
#define ROLLOUT_FIELDS(r)                                                                          \
    STORE_ARGS(store_text((r)->id), store_text((r)->org_id), store_text((r)->app_id),              \
               store_text((r)->build_id), store_text((r)->old_build_id), store_text((r)->state),   \
               store_text((r)->created_by), store_int((r)->from_ms), store_int((r)->end_ms),       \
               store_int((r)->created_ms))

int rollout_decode(struct server *server, const struct store_rows *rows, struct rollout *ret,
                   struct err *err)
{
    size_t size;
    const void *mac = store_column_blob(rows, 10, &size);

    *ret = (struct rollout){ .from_ms = store_column_int(rows, 7),
                             .end_ms = store_column_int(rows, 8),
                             .created_ms = store_column_int(rows, 9) };
    row_copy(ret->id, sizeof ret->id, store_column_text(rows, 0));
    row_copy(ret->org_id, sizeof ret->org_id, store_column_text(rows, 1));
    row_copy(ret->app_id, sizeof ret->app_id, store_column_text(rows, 2));
    row_copy(ret->build_id, sizeof ret->build_id, store_column_text(rows, 3));
    row_copy(ret->old_build_id, sizeof ret->old_build_id, store_column_text(rows, 4));
    row_copy(ret->state, sizeof ret->state, store_column_text(rows, 5));
    row_copy(ret->created_by, sizeof ret->created_by, store_column_text(rows, 6));
    return row_mac_verify(server, ret->org_id, "rollouts", ret->id, ROLLOUT_FIELDS(ret), mac, size,
                          err);
}

int rollout_insert(struct server *server, struct store_tx *tx, const struct rollout *r,
                   struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = row_mac(server, r->org_id, "rollouts", r->id, ROLLOUT_FIELDS(r), mac, err);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "INSERT INTO rollouts (id, org_id, app_id, build_id, old_build_id, deprecated_from_ms, "
        "end_ms, state, created_by, created_ms, changed_ms, mac) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
        STORE_ARGS(store_text(r->id), store_text(r->org_id), store_text(r->app_id),
                   store_text(r->build_id), store_text(r->old_build_id), store_int(r->from_ms),
                   store_int(r->end_ms), store_text(r->state), store_text(r->created_by),
                   store_int(r->created_ms), store_blob(mac, sizeof mac)),
        err);
    return MIN(rc, 0);
}

int rollout_count(struct store_tx *tx, const struct rollout *r, const char *build_id, int64_t *ret,
                  struct err *err)
{
    return store_get_int(
        tx,
        "SELECT COUNT(*) FROM instances WHERE org_id = $1 AND app_id = $2 AND "
        "build_id = $3 AND " INSTANCE_IS_LIVE,
        STORE_ARGS(store_text(r->org_id), store_text(r->app_id), store_text(build_id)), ret, err);
}

int rollout_state_write(struct server *server, struct store_tx *tx, struct rollout *r,
                        const char *state, struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc;

    row_copy(r->state, sizeof r->state, state);
    rc = row_mac(server, r->org_id, "rollouts", r->id, ROLLOUT_FIELDS(r), mac, err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "UPDATE rollouts SET state = $1, end_ms = $2, changed_ms = $3, mac = $4 "
                    "WHERE org_id = $5 AND id = $6",
                    STORE_ARGS(store_text(state), store_int(r->end_ms),
                               store_int(server_now_ms(server)), store_blob(mac, sizeof mac),
                               store_text(r->org_id), store_text(r->id)),
                    err);
    return MIN(rc, 0);
}

int rollout_old_build_end(struct server *server, struct store_tx *tx, const struct rollout *r,
                          int64_t until_ms, const char *state, struct err *err)
{
    CLEANUP(build_full_done)
    struct build_full old = { 0 };
    int rc = build_full_read(server, tx, r->org_id, r->old_build_id, &old, err);

    if (rc < 0 || strcmp(old.row.state, "deprecated") != 0)
        return rc;
    row_copy(old.row.state, sizeof old.row.state, state);
    old.row.deprecated_until_ms = until_ms;
    if (strcmp(state, "allowed") == 0)
        old.row.deprecated_from_ms = 0;
    return build_full_update(server, tx, &old, err);
}

int rollout_stop_old(struct server *server, struct store_tx *tx, const struct rollout *r,
                     struct err *err)
{
    char(*ids)[32] = calloc(ROLLOUT_STOP_MAX, sizeof *ids);
    struct store_rows *rows = NULL;
    int count = 0;
    int rc = ids ? store_query(tx,
                               "SELECT id FROM instances WHERE org_id = $1 AND app_id = $2 AND "
                               "build_id = $3 AND wanted = 'run' AND " INSTANCE_IS_LIVE
                               " ORDER BY id LIMIT $4",
                               STORE_ARGS(store_text(r->org_id), store_text(r->app_id),
                                          store_text(r->old_build_id), store_int(ROLLOUT_STOP_MAX)),
                               &rows, err)
                 : -ENOMEM;

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0)
        row_copy(ids[count++], sizeof *ids, store_column_text(rows, 0));
    store_rows_free(rows);
    for (int i = 0; rc >= 0 && i < count; i++) {
        rc = instance_stop(server, tx, r->org_id, ids[i], "its build's end date has come", err);
        if (rc >= 0)
            rc = event_append(tx, r->org_id, "instance.stopping", ids[i], NULL, err);
    }
    free(ids);
    return rc < 0 ? rc : count;
}
