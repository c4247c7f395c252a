/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of instances and their history. Relying party. */
#include "server/exchange/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/api/events.h"
#include "server/model/row.h"

int instance_read(struct store_tx *tx, const char *instance_id, struct instance_row *ret,
                  struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct instance_row i = { "" };
    size_t size;
    const void *key;
    int rc = store_query(tx,
                         "SELECT id, org_id, app_id, build_id, node_id, state, wanted, public_key, "
                         "fence, lease_until_ms, version "
                         "FROM instances WHERE org_id >= '' AND id = $1",
                         STORE_ARGS(store_text(instance_id)), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "no such instance");
    row_copy(i.id, sizeof i.id, store_column_text(rows, 0));
    row_copy(i.org_id, sizeof i.org_id, store_column_text(rows, 1));
    row_copy(i.app_id, sizeof i.app_id, store_column_text(rows, 2));
    row_copy(i.build_id, sizeof i.build_id, store_column_text(rows, 3));
    row_copy(i.node_id, sizeof i.node_id, store_column_text(rows, 4));
    row_copy(i.state, sizeof i.state, store_column_text(rows, 5));
    row_copy(i.wanted, sizeof i.wanted, store_column_text(rows, 6));
    key = store_column_blob(rows, 7, &size);
    if (size > sizeof i.public_key)
        return err_set(err, -EIO, "instance %s: its key is too long", i.id);
    if (size > 0)
        memcpy(i.public_key, key, size);
    i.public_key_size = size;
    i.fence = store_column_int(rows, 8);
    i.lease_until_ms = store_column_int(rows, 9);
    i.version = store_column_int(rows, 10);
    *ret = i;
    return 0;
}

int instance_history_add(struct store_tx *tx, const char *instance_id, int64_t now_ms,
                         const char *state, const char *reason, const uint8_t *evidence_sha256,
                         struct err *err)
{
    int64_t number;
    int rc = store_get_int(
        tx, "SELECT COALESCE(MAX(number), 0) + 1 FROM instance_history WHERE instance_id = $1",
        STORE_ARGS(store_text(instance_id)), &number, err);

    if (rc == 0)
        rc =
            store_exec(tx,
                       "INSERT INTO instance_history (instance_id, number, time_ms, state, reason, "
                       "evidence_sha256) VALUES ($1, $2, $3, $4, $5, $6)",
                       STORE_ARGS(store_text(instance_id), store_int(number), store_int(now_ms),
                                  store_text(state), store_text(reason),
                                  evidence_sha256 ? store_blob(evidence_sha256, 32) : store_null()),
                       err);
    return MIN(rc, 0);
}

int instance_state_set(struct store_tx *tx, const char *org_id, const char *instance_id,
                       int64_t now_ms, const char *state, const char *reason, struct err *err)
{
    char kind[48];
    json_t *data = json_pack("{s:s,s:s?}", "state", state, "reason", reason);
    int rc = store_exec(tx,
                        "UPDATE instances SET state = $1, reason = $2, changed_ms = $3, version = "
                        "version + 1 WHERE org_id = $4 AND id = $5",
                        STORE_ARGS(store_text(state), store_text(reason), store_int(now_ms),
                                   store_text(org_id), store_text(instance_id)),
                        err);

    if (rc == 0)
        rc = -ENOENT;
    if (rc > 0)
        rc = instance_history_add(tx, instance_id, now_ms, state, reason, NULL, err);
    snprintf(kind, sizeof kind, "instance.%s", state);
    if (rc == 0)
        rc = data ? event_append(tx, org_id, kind, instance_id, data, err) : -ENOMEM;
    json_decref(data);
    return rc;
}
