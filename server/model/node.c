/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: rows, and the state of instances as nodes see it. Relying party. */
#include "server/model/node.h"

#include <errno.h>
#include <string.h>

#include "server/exchange/exchange.h"

void node_decode(const struct store_rows *rows, struct node_row *ret)
{
    *ret = (struct node_row){ .is_emulated = store_column_int(rows, 5) != 0,
                              .is_attest_wanted = store_column_int(rows, 6) != 0,
                              .attested_ms = store_column_int(rows, 13),
                              .evidence_until_ms = store_column_int(rows, 14),
                              .judged_ms = store_column_int(rows, 15),
                              .seen_ms = store_column_int(rows, 16),
                              .created_ms = store_column_int(rows, 17),
                              .version = store_column_int(rows, 18),
                              .instances = store_column_int(rows, 19),
                              .same_platform = store_column_int(rows, 20) };
    row_copy(ret->id, sizeof ret->id, store_column_text(rows, 0));
    row_copy(ret->org_id, sizeof ret->org_id, store_column_text(rows, 1));
    row_copy(ret->name, sizeof ret->name, store_column_text(rows, 2));
    row_copy(ret->state, sizeof ret->state, store_column_text(rows, 3));
    row_copy(ret->tee, sizeof ret->tee, store_column_text(rows, 4));
    row_copy(ret->platform_id, sizeof ret->platform_id, store_column_text(rows, 7));
    row_copy(ret->tcb, sizeof ret->tcb, store_column_text(rows, 8));
    row_copy(ret->software, sizeof ret->software, store_column_text(rows, 9));
    row_copy(ret->location, sizeof ret->location, store_column_text(rows, 10));
    row_copy(ret->capacity, sizeof ret->capacity, store_column_text(rows, 11));
    row_copy(ret->refusal, sizeof ret->refusal, store_column_text(rows, 12));
}

int node_read(struct store_tx *tx, const char *org_id, const char *by, struct node_row *ret,
              struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx, "SELECT " NODE_COLUMNS " WHERE n.org_id = $1 AND (n.id = $2 OR n.name = $2)",
        STORE_ARGS(store_text(org_id), store_text(by)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "no node %s", by);
    node_decode(rows, ret);
    return 0;
}

int node_lookup(struct api_request *rq, struct store_tx *tx, const char *by, struct node_row *ret,
                struct err *err)
{
    int rc = node_read(tx, rq->who.org_id, by, ret, err);

    if (rc == -ENOENT)
        return api_problem(rq, 404, "not-found", "there is no node %s", by);
    return rc;
}

static json_t *text_or_null(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *time_or_null(int64_t ms)
{
    return ms ? api_time(ms) : json_null();
}

json_t *node_json(const struct node_row *n)
{
    json_t *capacity = n->capacity[0] ? json_loads(n->capacity, 0, NULL) : NULL;
    json_t *j = json_pack("{s:s,s:s,s:s,s:o,s:o,s:b,s:o,s:o}", "id", n->id, "name", n->name,
                          "state", n->state, "refusal", text_or_null(n->refusal), "tee",
                          text_or_null(n->tee), "emulated", n->is_emulated, "platform_id",
                          text_or_null(n->platform_id), "tcb", text_or_null(n->tcb));
    json_t *more = json_pack(
        "{s:b,s:o,s:o,s:I,s:o,s:o,s:o,s:I,s:o,s:o}", "attested", n->attested_ms != 0, "attested_at",
        time_or_null(n->attested_ms), "evidence_until", time_or_null(n->evidence_until_ms),
        "same_platform", (json_int_t)n->same_platform, "capacity",
        capacity ? capacity : json_null(), "software", text_or_null(n->software), "location",
        text_or_null(n->location), "instances", (json_int_t)n->instances, "seen",
        time_or_null(n->seen_ms), "created", api_time(n->created_ms));

    json_object_update(j, more);
    json_decref(more);
    return j;
}

int node_state_write(struct store_tx *tx, struct node_row *node, const char *state, struct err *err)
{
    int rc = store_exec(
        tx, "UPDATE nodes SET state = $1, version = version + 1 WHERE org_id = $2 AND id = $3",
        STORE_ARGS(store_text(state), store_text(node->org_id), store_text(node->id)), err);

    row_copy(node->state, sizeof node->state, state);
    node->version++;
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

int instance_state_write(struct server *server, struct store_tx *tx, const char *org_id,
                         const char *instance_id, const char *state, const char *reason,
                         struct err *err)
{
    int64_t now_ms = server_now_ms(server);
    int rc = store_exec(tx,
                        "UPDATE instances SET state = $1, reason = $2, changed_ms = $3, "
                        "version = version + 1 WHERE org_id = $4 AND id = $5",
                        STORE_ARGS(store_text(state), store_text(reason), store_int(now_ms),
                                   store_text(org_id), store_text(instance_id)),
                        err);

    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    rc = store_exec(tx,
                    "INSERT INTO instance_history (instance_id, number, time_ms, state, reason) "
                    "SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4 FROM instance_history "
                    "WHERE instance_id = $1",
                    STORE_ARGS(store_text(instance_id), store_int(now_ms), store_text(state),
                               store_text(reason)),
                    err);
    return rc < 0 ? rc : 0;
}

int instance_stop(struct server *server, struct store_tx *tx, const char *org_id,
                  const char *instance_id, const char *reason, struct err *err)
{
    int rc = store_exec(tx, "UPDATE instances SET wanted = 'stop' WHERE org_id = $1 AND id = $2",
                        STORE_ARGS(store_text(org_id), store_text(instance_id)), err);

    if (rc >= 0)
        rc = instance_state_write(server, tx, org_id, instance_id, "stopping", reason, err);
    if (rc >= 0)
        rc = exchange_order(tx, instance_id, "stop", reason, err);
    return rc;
}
