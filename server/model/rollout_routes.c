/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of rollouts: begin, list, show, force, cancel. Relying party; requests are hostile. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/model/app.h"
#include "server/model/build_row.h"
#include "server/model/list.h"
#include "server/model/node.h"
#include "server/model/rollout_row.h"
#include "server/model/routes.h"
#include "server/store/id.h"

#define ROLLOUT_SHOWN_MAX 500

struct op {
    struct api_request *rq;
    const char *app, *build, *old_build;
    struct rollout rollout;
    json_t *out;
};

static void op_done(struct op *op)
{
    json_decref(op->out);
}

static int lookup(struct op *op, struct store_tx *tx, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    const char *id = op->rq->params[0];
    int rc = store_query(tx, "SELECT " ROLLOUT_COLUMNS " WHERE org_id = $1 AND id = $2",
                         STORE_ARGS(store_text(op->rq->who.org_id), store_text(id)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc == 0)
        return api_problem(op->rq, 404, "not-found", "there is no rollout %s", id);
    if (rc > 0)
        rc = rollout_decode(op->rq->server, rows, &op->rollout, err);
    return rc < 0 ? rc : 0;
}

static int rollout_json(struct store_tx *tx, const struct rollout *r, json_t **ret, struct err *err)
{
    int64_t new_count, old_count;
    int rc = rollout_count(tx, r, r->build_id, &new_count, err);

    if (rc >= 0)
        rc = rollout_count(tx, r, r->old_build_id, &old_count, err);
    if (rc < 0)
        return rc;
    *ret = json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:s,s:I,s:I}", "id", r->id, "app", r->app_id,
                     "build", r->build_id, "old_build", r->old_build_id, "deprecated_from",
                     api_time(r->from_ms), "end", api_time(r->end_ms), "state", r->state, "created",
                     api_time(r->created_ms), "created_by", r->created_by, "new_count",
                     (json_int_t)new_count, "old_count", (json_int_t)old_count);
    return 0;
}

static int add_instances(struct store_tx *tx, const struct rollout *r, json_t *j, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    json_t *list = json_array();
    int rc = store_query(
        tx,
        "SELECT id, build_id, node_id, state, wanted FROM instances WHERE "
        "org_id = $1 AND app_id = $2 AND (build_id = $3 OR build_id = $4) AND " INSTANCE_IS_LIVE
        " ORDER BY id LIMIT $5",
        STORE_ARGS(store_text(r->org_id), store_text(r->app_id), store_text(r->build_id),
                   store_text(r->old_build_id), store_int(ROLLOUT_SHOWN_MAX)),
        &rows, err);

    json_object_set_new(j, "instances", list);
    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0)
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:s?,s:s,s:s}", "id", store_column_text(rows, 0), "build",
                            store_column_text(rows, 1), "node", store_column_text(rows, 2), "state",
                            store_column_text(rows, 3), "wanted", store_column_text(rows, 4)));
    return rc;
}

static int set_whole(struct op *op, struct store_tx *tx, struct err *err)
{
    json_t *j = NULL;
    int rc = rollout_json(tx, &op->rollout, &j, err);

    if (rc >= 0)
        rc = add_instances(tx, &op->rollout, j, err);
    json_decref(op->out);
    op->out = j;
    return rc;
}

/* ---- begin ---- */

static int check_builds(struct op *op, struct store_tx *tx, const struct build_full *new,
                        const struct build_full *old, struct err *err)
{
    struct err why = { 0 };
    int64_t open;

    if (strcmp(new->row.id, old->row.id) == 0)
        return api_problem(op->rq, 400, "invalid-member", "build and old_build are the same");
    if (strcmp(old->row.state, "allowed") != 0 && strcmp(old->row.state, "deprecated") != 0)
        return api_problem(op->rq, 409, "build-not-allowed", "the old build %s is %s",
                           old->row.version, old->row.state);
    int rc = build_check(op->rq->server, tx, &new->row, server_now_ms(op->rq->server), &why);

    if (rc == -EACCES || (rc >= 0 && strcmp(new->row.state, "allowed") != 0))
        return api_problem(op->rq, 409, "build-not-allowed", "the new build is not allowed: %s",
                           rc < 0 ? why.text : "it is deprecated");
    if (rc >= 0)
        rc = store_get_int(tx,
                           "SELECT COUNT(*) FROM rollouts WHERE org_id = $1 AND old_build_id = $2 "
                           "AND state = 'open'",
                           STORE_ARGS(store_text(old->row.org_id), store_text(old->row.id)), &open,
                           err);
    if (rc >= 0 && open > 0)
        return api_problem(op->rq, 409, "already-exists",
                           "a rollout takes the place of build %s already", old->row.version);
    return rc;
}

static int create_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct rollout *r = &op->rollout;
    CLEANUP(app_row_done)
    struct app_row app = { 0 };
    CLEANUP(build_full_done)
    struct build_full new = { 0 };
    CLEANUP(build_full_done)
    struct build_full old = { 0 };
    int rc = app_lookup(op->rq, tx, op->app, &app, err);

    if (rc >= 0)
        rc = build_lookup(op->rq, tx, app.id, op->build, &new, err);
    if (rc >= 0)
        rc = build_lookup(op->rq, tx, app.id, op->old_build, &old, err);
    if (rc >= 0)
        rc = check_builds(op, tx, &new, &old, err);
    if (rc < 0)
        return rc;
    row_copy(r->org_id, sizeof r->org_id, app.org_id);
    row_copy(r->app_id, sizeof r->app_id, app.id);
    row_copy(r->build_id, sizeof r->build_id, new.row.id);
    row_copy(r->old_build_id, sizeof r->old_build_id, old.row.id);
    row_copy(r->state, sizeof r->state, "open");
    row_copy(r->created_by, sizeof r->created_by, op->rq->who.id);
    r->created_ms = server_now_ms(op->rq->server);
    row_copy(old.row.state, sizeof old.row.state, "deprecated");
    old.row.deprecated_from_ms = r->from_ms;
    old.row.deprecated_until_ms = r->end_ms;
    rc = build_full_update(op->rq->server, tx, &old, err);
    if (rc >= 0)
        rc = rollout_insert(op->rq->server, tx, r, err);
    if (rc >= 0)
        rc = set_whole(op, tx, err);
    return rc < 0 ? rc
                  : row_tell(op->rq, tx, "rollout.create", "rollout.created", r->id,
                             json_pack("{s:s,s:s,s:s,s:o,s:o}", "app", r->app_id, "build",
                                       r->build_id, "old_build", r->old_build_id, "deprecated_from",
                                       api_time(r->from_ms), "end", api_time(r->end_ms)),
                             err);
}

static int answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, 200, 0, TAKE_PTR(op->out));
}

static int create_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;
    int rc = answer(op, ret);

    ret->status = 201;
    snprintf(ret->location, sizeof ret->location, "/v1/rollouts/%s", op->rollout.id);
    return rc;
}

static int create(struct api_request *rq, struct api_response *ret)
{
    int64_t now_ms = server_now_ms(rq->server);
    CLEANUP(op_done)
    struct op op = { .rq = rq, .rollout = { .from_ms = now_ms } };
    const struct api_member members[] = {
        { "app", API_STRING, true, &op.app, 1, 64 },
        { "build", API_STRING, true, &op.build, 1, 64 },
        { "old_build", API_STRING, true, &op.old_build, 1, 64 },
        { "deprecated_from", API_TIME, false, &op.rollout.from_ms },
        { "end", API_TIME, true, &op.rollout.end_ms },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    if (op.rollout.end_ms <= op.rollout.from_ms || op.rollout.end_ms <= now_ms)
        return api_problem(rq, 400, "invalid-member",
                           "end is not after deprecated_from and in the future");
    id_make("rol", op.rollout.id);
    return row_write_answer(rq, create_tx, create_answer, &op, "rollout", ret);
}

/* ---- show and list ---- */

static int show_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    int rc = lookup(op, tx, err);

    return rc < 0 ? rc : set_whole(op, tx, err);
}

static int show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };

    return row_read_answer(rq, show_tx, answer, &op, "rollout", ret);
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    struct rollout rollout;

    int rc = rollout_decode(l->rq->server, rows, &rollout, err);

    return rc < 0 ? rc : rollout_json(tx, &rollout, ret, err);
}

static int list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of rollouts = {
        "rollouts",
        "SELECT " ROLLOUT_COLUMNS " WHERE org_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        .item = list_item,
    };

    return list_answer(rq, &rollouts, NULL, ret);
}

/* ---- the end ---- */

static int force_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct rollout *r = &op->rollout;
    struct server *server = op->rq->server;
    int rc = lookup(op, tx, err);

    if (rc < 0)
        return rc;
    if (strcmp(r->state, "open") != 0)
        return api_problem(op->rq, 409, "rollout-ended", "the rollout is %s", r->state);
    r->end_ms = server_now_ms(server);
    rc = rollout_old_build_end(server, tx, r, r->end_ms, "deprecated", err);
    int stopped = rc < 0 ? rc : rollout_stop_old(server, tx, r, err);

    rc = stopped < 0 ? stopped : rollout_state_write(server, tx, r, "forced", err);
    if (rc >= 0)
        rc = set_whole(op, tx, err);
    return rc < 0 ? rc
                  : row_tell(op->rq, tx, "rollout.force", "rollout.forced", r->id,
                             json_pack("{s:i}", "stopped", stopped), err);
}

static int force(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };

    return row_write_answer(rq, force_tx, answer, &op, "rollout", ret);
}

static int cancel_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct rollout *r = &op->rollout;
    int rc = lookup(op, tx, err);

    if (rc < 0)
        return rc;
    if (strcmp(r->state, "open") != 0)
        return api_problem(op->rq, 409, "rollout-ended", "the rollout is %s", r->state);
    rc = rollout_old_build_end(op->rq->server, tx, r, 0, "allowed", err);
    if (rc >= 0)
        rc = rollout_state_write(op->rq->server, tx, r, "cancelled", err);
    if (rc >= 0)
        rc = set_whole(op, tx, err);
    return rc < 0 ? rc
                  : row_tell(op->rq, tx, "rollout.cancel", "rollout.cancelled", r->id, NULL, err);
}

static int cancel(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };

    return row_write_answer(rq, cancel_tx, answer, &op, "rollout", ret);
}

const struct api_route rollout_routes[] = {
    { "GET", "/v1/rollouts", list, .flags = API_ANY_ROLE },
    { "POST", "/v1/rollouts", create, API_OWNER | API_OPERATOR, API_IDEMPOTENT },
    { "GET", "/v1/rollouts/{rollout}", show, .flags = API_ANY_ROLE },
    { "POST", "/v1/rollouts/{rollout}/cancel", cancel, API_OWNER | API_OPERATOR, API_IDEMPOTENT },
    { "POST", "/v1/rollouts/{rollout}/force", force, API_OWNER | API_OPERATOR, API_IDEMPOTENT },
};
const unsigned rollout_route_count = ARRAY_COUNT(rollout_routes);
