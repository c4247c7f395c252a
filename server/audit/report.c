/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/audit/report?app=: for an auditor, which builds ran where on what evidence, and which secrets were released to whom. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/audit/routes.h"
#include "server/model/app.h"
#include "server/model/row.h"

#define INSTANCES_MAX 2000
#define STEPS_MAX 20000
#define RELEASES_MAX 10000

struct report {
    struct api_request *rq;
    const char *app; /* as asked for */
    char app_id[32];
    json_t *builds, *instances, *history, *releases;
    bool is_cut; /* there was more than fits */
};

static void json_freep(json_t **json)
{
    json_decref(*json);
}

/* Runs the query and adds what `encode` makes of each row (NULL: nothing) to a new list. */
static int collect(struct store_tx *tx, struct report *r, const char *sql, struct store_args args,
                   int64_t max, json_t *(*encode)(struct report *r, const struct store_rows *rows),
                   json_t **ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    CLEANUP(json_freep)
    json_t *list = json_array();
    int rc = store_query(tx, sql, args, &rows, err);

    if (rc < 0)
        return rc;
    for (int64_t count = 0; (rc = store_rows_next(rows, err)) > 0; count++) {
        json_t *item = count < max ? encode(r, rows) : NULL;

        r->is_cut = r->is_cut || count == max;
        if (item && json_array_append_new(list, item) < 0)
            return -ENOMEM;
    }
    if (rc < 0)
        return rc;
    json_decref(*ret); /* of a run before */
    *ret = TAKE_PTR(list);
    return 0;
}

static json_t *encode_build(struct report *r, const struct store_rows *rows)
{
    char hex[ROW_HEX_SIZE];
    size_t size;
    const void *digest = store_column_blob(rows, 3, &size);

    return json_pack("{s:s*, s:s*, s:s*, s:s, s:I}", "id", store_column_text(rows, 0), "version",
                     store_column_text(rows, 1), "state", store_column_text(rows, 2), "app_digest",
                     row_hex(digest, size, hex), "instances",
                     (json_int_t)store_column_int(rows, 4));
}

static json_t *encode_instance(struct report *r, const struct store_rows *rows)
{
    return json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*, s:b, s:s*, s:s*, s:s*, s:o?, s:o?}", "id",
                     store_column_text(rows, 0), "build", store_column_text(rows, 1), "node",
                     store_column_text(rows, 2), "state", store_column_text(rows, 3), "tee",
                     store_column_text(rows, 4), "emulated", store_column_int(rows, 5) != 0,
                     "tcb_status", store_column_text(rows, 6), "platform",
                     store_column_text(rows, 7), "reason", store_column_text(rows, 8), "created",
                     api_time(store_column_int(rows, 9)), "changed",
                     api_time(store_column_int(rows, 10)));
}

static json_t *encode_step(struct report *r, const struct store_rows *rows)
{
    char hex[ROW_HEX_SIZE];
    size_t size;
    const void *evidence = store_column_blob(rows, 4, &size);

    return json_pack("{s:s*, s:o?, s:s*, s:s*, s:s*}", "instance", store_column_text(rows, 0),
                     "time", api_time(store_column_int(rows, 1)), "state",
                     store_column_text(rows, 2), "reason", store_column_text(rows, 3),
                     "evidence_sha256", evidence ? row_hex(evidence, size, hex) : NULL);
}

/* Releases are in the audit log alone: those whose detail names the app. */
static json_t *encode_release(struct report *r, const struct store_rows *rows)
{
    const char *text = store_column_text(rows, 0);
    CLEANUP(json_freep)
    json_t *entry = text ? json_loads(text, 0, NULL) : NULL;
    json_t *detail = json_object_get(entry, "detail");
    const char *app = json_string_value(json_object_get(detail, "app"));

    if (!app || strcmp(app, r->app_id) != 0)
        return NULL;
    return json_pack(
        "{s:O*, s:o?, s:O*, s:O*, s:O*, s:O*, s:O*, s:O*, s:O*}", "number",
        json_object_get(entry, "number"), "time",
        api_time(json_integer_value(json_object_get(entry, "time_ms"))), "secret",
        json_object_get(detail, "secret"), "version", json_object_get(detail, "version"),
        "instance", json_object_get(detail, "instance"), "build", json_object_get(detail, "build"),
        "decision", json_object_get(entry, "decision"), "reason", json_object_get(detail, "reason"),
        "evidence_sha256", json_object_get(entry, "evidence_sha256"));
}

static int report_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct report *r = arg;
    const char *org = r->rq->who.org_id;
    int rc = app_find_id(tx, org, r->app, r->app_id, err);
    struct store_args args = STORE_ARGS(store_text(org), store_text(r->app_id));

    if (rc == -ENOENT)
        return api_problem(r->rq, 404, "not-found", "there is no app %s", r->app);
    r->is_cut = false;
    if (rc == 0)
        rc = collect(
            tx, r,
            "SELECT b.id, b.version, b.state, b.app_digest, (SELECT count(*) FROM instances i "
            "WHERE i.build_id = b.id) FROM builds b WHERE b.org_id = $1 AND b.app_id = $2 "
            "ORDER BY b.id LIMIT 2001",
            args, INSTANCES_MAX, encode_build, &r->builds, err);
    if (rc == 0)
        rc = collect(
            tx, r,
            "SELECT id, build_id, node_id, state, tee, is_emulated, tcb_status, platform_id, "
            "reason, created_ms, changed_ms FROM instances WHERE org_id = $1 AND app_id = $2 "
            "ORDER BY id DESC LIMIT 2001",
            args, INSTANCES_MAX, encode_instance, &r->instances, err);
    if (rc == 0)
        rc = collect(
            tx, r,
            "SELECT h.instance_id, h.time_ms, h.state, h.reason, h.evidence_sha256 FROM "
            "instance_history h JOIN instances i ON i.id = h.instance_id WHERE i.org_id = $1 "
            "AND i.app_id = $2 ORDER BY h.instance_id DESC, h.number LIMIT 20001",
            args, STEPS_MAX, encode_step, &r->history, err);
    if (rc == 0)
        rc = collect(
            tx, r,
            "SELECT entry FROM audit_entries WHERE org_id = $1 AND action = 'secret.release' "
            "ORDER BY number DESC LIMIT 10001",
            STORE_ARGS(store_text(org)), RELEASES_MAX, encode_release, &r->releases, err);
    return rc;
}

int audit_report(struct api_request *rq, struct api_response *ret)
{
    struct report r = { .rq = rq, .app = api_query(rq, "app") };
    struct err err = { "" };
    int rc;

    if (!r.app)
        return api_problem(rq, 400, "invalid-query", "app is missing");
    rc = row_result(rq, store_read(rq->server->store, report_in, &r, &err), "report", &err);
    if (rc == 0) {
        ret->status = 200;
        ret->body =
            json_pack("{s:s, s:o, s:O, s:O, s:O, s:O, s:b}", "app", r.app_id, "time",
                      api_time(server_now_ms(rq->server)), "builds", r.builds, "instances",
                      r.instances, "history", r.history, "releases", r.releases, "cut", r.is_cut);
        rc = ret->body ? 0 : -ENOMEM;
    }
    json_decref(r.builds);
    json_decref(r.instances);
    json_decref(r.history);
    json_decref(r.releases);
    return rc;
}
