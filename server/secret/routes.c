/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/secrets: made, bound, rotated, destroyed. Relying party. No answer ever holds a value. */
#include "server/secret/routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/exchange/exchange.h"
#include "server/model/list.h"
#include "server/model/row.h"
#include "server/secret/request.h"
#include "server/store/id.h"

#define SEE (API_AUDITOR | API_OPERATOR | API_APPROVER | API_OWNER)

/* One request on one secret, as its transaction sees it. */
struct work {
    struct api_request *rq;
    const struct secret_request *request;
    struct secret_row row; /* the result; delivery and conditions owned */
    int64_t version;       /* to be destroyed */
    int status;            /* of the answer */
    json_t *ret;
};

static json_t *encode(const struct secret_row *row)
{
    json_t *bindings = json_array();

    for (unsigned i = 0; i < row->binding_count; i++)
        json_array_append_new(
            bindings, json_pack("{s:s, s:s*}", "app", row->bindings[i].app_id, "build",
                                row->bindings[i].build_id[0] ? row->bindings[i].build_id : NULL));
    return json_pack(
        "{s:s, s:s, s:I, s:O, s:b, s:O, s:o, s:o, s:o}", "id", row->id, "name", row->name,
        "version", (json_int_t)row->version, "deliver", json_object_get(row->delivery, "deliver"),
        "template", secret_row_is_template(row), "conditions", row->conditions, "bindings",
        bindings, "created", api_time(row->created_ms), "changed", api_time(row->changed_ms));
}

static int answer(void *arg, struct api_response *ret)
{
    struct work *work = arg;

    ret->status = work->status;
    ret->body = encode(&work->row);
    row_etag_set(ret, work->row.changed_ms);
    return ret->body ? 0 : -ENOMEM;
}

static int create_answer(void *arg, struct api_response *ret)
{
    struct work *work = arg;

    snprintf(ret->location, sizeof ret->location, "/v1/secrets/%s", work->row.id);
    return answer(work, ret);
}

/* fn, its answer, and the end of work. */
static int perform(struct work *work, store_tx_fn *fn, api_answer_fn *answer_fn,
                   struct api_response *ret)
{
    struct err err = { "" };
    int rc = api_write(work->rq, fn, answer_fn, work, ret, &err);

    secret_row_done(&work->row);
    return row_result(work->rq, rc, "secret", &err);
}

static int gone_answer(void *arg, struct api_response *ret)
{
    ret->status = 204;
    return 0;
}

/* Reads the secret that the path names; a problem when the client knew an older one. */
static int read_row(struct work *work, struct store_tx *tx, struct err *err)
{
    struct api_request *rq = work->rq;
    int rc;

    secret_row_done(&work->row); /* of a run before */
    rc = secret_row_read(rq->server, tx, rq->who.org_id, rq->params[0], &work->row, err);
    if (rc == -ENOENT)
        return api_problem(rq, 404, "not-found", "there is no secret %s", rq->params[0]);
    return rc < 0 ? rc : row_version_check(rq, work->row.changed_ms);
}

/* Later than any change before, whatever the clock says. */
static void touch(struct work *work)
{
    int64_t now_ms = server_now_ms(work->rq->server);

    work->row.changed_ms = MAX(now_ms, work->row.changed_ms + 1);
}

/* ---- who has it now ---- */

static int order_app(struct store_tx *tx, const char *org_id, const struct secret_binding *binding,
                     struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx,
        "SELECT id FROM instances WHERE org_id = $1 AND app_id = $2 AND ($3 = '' "
        "OR build_id = $3) AND state IN ('starting', 'running', 'unreachable')",
        STORE_ARGS(store_text(org_id), store_text(binding->app_id), store_text(binding->build_id)),
        &rows, err);

    if (rc < 0)
        return rc;
    while ((rc = store_rows_next(rows, err)) > 0) {
        rc = exchange_order(tx, store_column_text(rows, 0), "renew", "secrets-changed", err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* Instances that run now get the change at once, not at their next renewal. */
static int order_renewals(struct store_tx *tx, const struct secret_row *row, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < row->binding_count && rc >= 0; i++)
        rc = order_app(tx, row->org_id, &row->bindings[i], err);
    return rc;
}

static int tell(struct work *work, struct store_tx *tx, const char *action, const char *event,
                struct err *err)
{
    json_t *detail =
        json_pack("{s:s, s:I}", "secret", work->row.name, "version", (json_int_t)work->row.version);

    return detail ? row_tell(work->rq, tx, action, event, work->row.id, detail, err) : -ENOMEM;
}

/* ---- POST /v1/secrets ---- */

static int bindings_problem(struct api_request *rq, int rc, const struct err *err)
{
    if (rc == -EINVAL)
        return api_problem(rq, 400, "invalid-member", "bindings: %s", err->text);
    return rc == -ENOENT ? api_problem(rq, 404, "not-found", "bindings: %s", err->text) : rc;
}

static int create_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct work *work = arg;
    struct api_request *rq = work->rq;
    int rc = secret_bindings_read(tx, work->request->bindings, &work->row, err);

    if (rc < 0)
        return bindings_problem(rq, rc, err);
    rc = secret_row_insert(rq->server, tx, &work->row, err);
    if (rc == -EEXIST)
        return api_problem(rq, 409, "already-exists", "there is a secret %s", work->row.name);
    if (rc == 0)
        rc = secret_value_insert(rq->server, tx, &work->row, work->request->bytes,
                                 work->request->size, work->request->source, rq->who.id, err);
    if (rc == 0)
        rc = order_renewals(tx, &work->row, err);
    return rc < 0 ? rc : tell(work, tx, "secret.create", "secret.created", err);
}

static int create(struct api_request *rq, struct api_response *ret)
{
    struct secret_request request;
    struct work work = { .rq = rq, .request = &request, .status = 201 };
    int rc = secret_request_read(rq, &request);

    if (rc < 0)
        return rc;
    id_make("sec", work.row.id);
    row_copy(work.row.org_id, sizeof work.row.org_id, rq->who.org_id);
    row_copy(work.row.name, sizeof work.row.name, request.name);
    work.row.version = 1;
    work.row.created_ms = work.row.changed_ms = server_now_ms(rq->server);
    work.row.delivery =
        json_pack("{s:O, s:b}", "deliver", request.deliver, "template", request.is_template);
    work.row.conditions = request.conditions ? json_incref(request.conditions) : json_object();
    rc = secret_request_check_value(rq, &work.row, &request);
    if (rc == 0)
        rc = perform(&work, create_in, create_answer, ret);
    else
        secret_row_done(&work.row);
    secret_request_done(&request);
    return rc;
}

/* ---- GET ---- */

static int show_in(struct store_tx *tx, void *arg, struct err *err)
{
    return read_row(arg, tx, err);
}

static int show(struct api_request *rq, struct api_response *ret)
{
    struct work work = { .rq = rq, .status = 200 };
    struct err err = { "" };
    int rc = row_result(rq, store_read(rq->server->store, show_in, &work, &err), "secret", &err);

    if (rc == 0)
        rc = answer(&work, ret);
    secret_row_done(&work.row);
    return rc;
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    struct api_request *rq = l->rq;
    struct secret_row row;
    int rc = secret_row_read(rq->server, tx, rq->who.org_id, store_column_text(rows, 0), &row, err);

    if (rc < 0)
        return rc;
    *ret = encode(&row);
    secret_row_done(&row);
    return *ret ? 0 : -ENOMEM;
}

static int list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of secrets = {
        "secrets",
        "SELECT id FROM secrets WHERE org_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        .item = list_item,
    };

    return list_answer(rq, &secrets, NULL, ret);
}

/* ---- PATCH: delivery and conditions; PUT bindings ---- */

static int change_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct work *work = arg;
    const struct secret_request *r = work->request;
    int rc = read_row(work, tx, err);

    if (rc < 0)
        return rc;
    if (r->deliver && json_object_set(work->row.delivery, "deliver", r->deliver) < 0)
        return -ENOMEM;
    if (r->conditions) {
        json_decref(work->row.conditions);
        work->row.conditions = json_incref(r->conditions);
    }
    touch(work);
    rc = secret_row_update(work->rq->server, tx, &work->row, err);
    if (rc == 0)
        rc = order_renewals(tx, &work->row, err);
    return rc < 0 ? rc : tell(work, tx, "secret.change", "secret.changed", err);
}

static int change(struct api_request *rq, struct api_response *ret)
{
    struct secret_request request;
    struct work work = { .rq = rq, .request = &request, .status = 200 };
    int rc = secret_request_read_change(rq, &request);

    return rc < 0 ? rc : perform(&work, change_in, answer, ret);
}

static int bind_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct work *work = arg;
    int rc = read_row(work, tx, err);

    if (rc == 0) /* those who lose it hear of it too */
        rc = order_renewals(tx, &work->row, err);
    if (rc < 0)
        return rc;
    rc = secret_bindings_read(tx, work->request->bindings, &work->row, err);
    if (rc < 0)
        return bindings_problem(work->rq, rc, err);
    touch(work);
    rc = secret_row_update(work->rq->server, tx, &work->row, err);
    if (rc == 0)
        rc = order_renewals(tx, &work->row, err);
    return rc < 0 ? rc : tell(work, tx, "secret.bind", "secret.changed", err);
}

static int bind_to(struct api_request *rq, struct api_response *ret)
{
    struct secret_request request = { .name = NULL };
    const struct api_member members[] = {
        { "bindings", API_ARRAY, true, &request.bindings, 0, SECRET_BINDINGS_MAX },
    };
    struct work work = { .rq = rq, .request = &request, .status = 200 };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    return rc < 0 ? rc : perform(&work, bind_in, answer, ret);
}

/* ---- versions ---- */

static int rotate_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct work *work = arg;
    const struct secret_request *r = work->request;
    int rc = read_row(work, tx, err);

    if (rc == 0)
        rc = secret_request_check_value(work->rq, &work->row, r);
    if (rc < 0)
        return rc;
    work->row.version++;
    touch(work);
    rc = secret_row_update(work->rq->server, tx, &work->row, err);
    if (rc == 0)
        rc = secret_value_insert(work->rq->server, tx, &work->row, r->bytes, r->size, r->source,
                                 work->rq->who.id, err);
    if (rc == 0)
        rc = order_renewals(tx, &work->row, err);
    return rc < 0 ? rc : tell(work, tx, "secret.rotate", "secret.rotated", err);
}

static int rotate(struct api_request *rq, struct api_response *ret)
{
    struct secret_request request;
    struct work work = { .rq = rq, .request = &request, .status = 201 };
    int rc = secret_request_read_value(rq, &request);

    if (rc < 0)
        return rc;
    rc = perform(&work, rotate_in, answer, ret);
    secret_request_done(&request);
    return rc;
}

static json_t *encode_version(const struct store_rows *rows)
{
    char id[24];

    snprintf(id, sizeof id, "%lld", (long long)store_column_int(rows, 0));
    return json_pack("{s:s, s:I, s:s*, s:s*, s:o, s:o?}", "id", id, "version",
                     (json_int_t)store_column_int(rows, 0), "source", store_column_text(rows, 1),
                     "created_by", store_column_text(rows, 2), "created",
                     api_time(store_column_int(rows, 3)), "destroyed",
                     api_time(store_column_int(rows, 4)));
}

static int versions_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct work *work = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = read_row(work, tx, err);

    if (rc < 0)
        return rc;
    json_array_clear(work->ret);
    rc =
        store_query(tx,
                    "SELECT v.version, v.source, v.created_by, v.created_ms, v.destroyed_ms FROM "
                    "secret_versions v JOIN secrets s ON s.id = v.secret_id WHERE s.org_id = $1 "
                    "AND s.id = $2 ORDER BY v.version DESC LIMIT 500",
                    STORE_ARGS(store_text(work->row.org_id), store_text(work->row.id)), &rows, err);
    if (rc < 0)
        return rc;
    while ((rc = store_rows_next(rows, err)) > 0)
        if (json_array_append_new(work->ret, encode_version(rows)) < 0)
            return -ENOMEM;
    return rc;
}

static int versions(struct api_request *rq, struct api_response *ret)
{
    struct work work = { .rq = rq, .ret = json_array() };
    int rc = row_read(rq, versions_in, &work, "secret");

    secret_row_done(&work.row);
    if (rc < 0) {
        json_decref(work.ret);
        return rc;
    }
    return row_answer(ret, 200, 0, json_pack("{s:o, s:n}", "items", work.ret, "next"));
}

static int destroy_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct work *work = arg;
    int rc = read_row(work, tx, err);

    if (rc < 0)
        return rc;
    /* secure_delete and the WAL's checkpoint see to it that nothing stays on the disk. */
    rc =
        store_exec(tx,
                   "UPDATE secret_versions SET sealed = $1, destroyed_ms = $2 WHERE secret_id = $3 "
                   "AND version = $4 AND destroyed_ms IS NULL AND secret_id IN (SELECT id FROM "
                   "secrets WHERE org_id = $5)",
                   STORE_ARGS(store_blob("", 0), store_int(server_now_ms(work->rq->server)),
                              store_text(work->row.id), store_int(work->version),
                              store_text(work->row.org_id)),
                   err);
    if (rc == 0)
        return api_problem(work->rq, 404, "not-found",
                           "there is no version %lld, or it was destroyed",
                           (long long)work->version);
    if (rc > 0 && work->version == work->row.version)
        rc = order_renewals(tx, &work->row, err);
    return rc < 0 ? rc : tell(work, tx, "secret.destroy", "secret.destroyed", err);
}

static int destroy(struct api_request *rq, struct api_response *ret)
{
    struct work work = { .rq = rq };
    char *end;

    work.version = strtoll(rq->params[1], &end, 10);
    if (*end || end == rq->params[1] || work.version < 1)
        return api_problem(rq, 404, "not-found", "there is no version %s", rq->params[1]);
    return perform(&work, destroy_in, gone_answer, ret);
}

/* ---- DELETE ---- */

static int remove_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct work *work = arg;
    int rc = read_row(work, tx, err);
    struct store_args id = STORE_ARGS(store_text(work->row.id));

    if (rc == 0)
        rc = order_renewals(tx, &work->row, err);
    if (rc >= 0)
        rc = store_exec(tx, "DELETE FROM secret_bindings WHERE secret_id = $1", id, err);
    if (rc >= 0)
        rc = store_exec(tx, "DELETE FROM secret_versions WHERE secret_id = $1", id, err);
    if (rc >= 0)
        rc = store_exec(tx, "DELETE FROM secrets WHERE id = $1 AND org_id = $2",
                        STORE_ARGS(store_text(work->row.id), store_text(work->row.org_id)), err);
    return rc < 0 ? rc : tell(work, tx, "secret.delete", "secret.deleted", err);
}

static int remove_all(struct api_request *rq, struct api_response *ret)
{
    struct work work = { .rq = rq };

    return perform(&work, remove_in, gone_answer, ret);
}

const struct api_route secret_routes[] = {
    { "GET", "/v1/secrets", list, SEE, 0, 0 },
    { "POST", "/v1/secrets", create, API_OWNER, API_IDEMPOTENT, 0 },
    { "DELETE", "/v1/secrets/{secret}", remove_all, API_OWNER, API_IDEMPOTENT, 0 },
    { "GET", "/v1/secrets/{secret}", show, SEE, 0, 0 },
    { "PATCH", "/v1/secrets/{secret}", change, API_OWNER, API_IDEMPOTENT, 1u << 16 },
    { "PUT", "/v1/secrets/{secret}/bindings", bind_to, API_OWNER, API_IDEMPOTENT, 1u << 16 },
    { "GET", "/v1/secrets/{secret}/versions", versions, SEE, 0, 0 },
    { "POST", "/v1/secrets/{secret}/versions", rotate, API_OWNER, API_IDEMPOTENT, 0 },
    { "DELETE", "/v1/secrets/{secret}/versions/{version}", destroy, API_OWNER, API_IDEMPOTENT, 0 },
};
const unsigned secret_route_count = ARRAY_COUNT(secret_routes);
