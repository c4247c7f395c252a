/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/audit/report?app=: for an auditor, which builds ran where on what evidence, and which secrets were released to whom. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/audit/routes.h"
#include "server/model/app.h"
#include "server/model/list.h"
#include "server/model/row.h"

#define APP_ID_SIZE 32u

static void json_freep(json_t **json)
{
    json_decref(*json);
}

/* The app that is asked for. returns: 0; -EPROTO; -EIO. */
static int find_app(struct api_request *rq, struct store_tx *tx, char ret[APP_ID_SIZE],
                    struct err *err)
{
    const char *app = api_query(rq, "app");
    int rc;

    if (!app)
        return api_problem(rq, 400, "invalid-query", "app is missing");
    rc = app_find_id(tx, rq->who.org_id, app, ret, err);
    return rc == -ENOENT ? api_problem(rq, 404, "not-found", "there is no app %s", app) : rc;
}

/* Rows of the app behind page.after, which is an id. */
static int query_by_id(struct list *l, struct store_tx *tx, const char *sql,
                       struct store_rows **ret, struct err *err)
{
    char app[APP_ID_SIZE];
    int rc = find_app(l->rq, tx, app, err);

    return rc < 0 ? rc
                  : store_query(tx, sql,
                                STORE_ARGS(store_text(l->rq->who.org_id), store_text(app),
                                           store_text(l->page.after), list_row_count(l)),
                                ret, err);
}

/* ---- builds ---- */

static int builds_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                        struct err *err)
{
    return query_by_id(
        l, tx,
        "SELECT b.id, b.version, b.state, b.app_digest, (SELECT count(*) FROM instances i "
        "WHERE i.build_id = b.id) FROM builds b WHERE b.org_id = $1 AND b.app_id = $2 "
        "AND b.id > $3 ORDER BY b.id LIMIT $4",
        ret, err);
}

static int builds_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                       json_t **ret, struct err *err)
{
    char hex[ROW_HEX_SIZE];
    size_t size;
    const void *digest = store_column_blob(rows, 3, &size);

    *ret = json_pack("{s:s*, s:s*, s:s*, s:s, s:I}", "id", store_column_text(rows, 0), "version",
                     store_column_text(rows, 1), "state", store_column_text(rows, 2), "app_digest",
                     row_hex(digest, MIN(size, ROW_HEX_SIZE / 2), hex), "instances",
                     (json_int_t)store_column_int(rows, 4));
    return *ret ? 0 : -ENOMEM;
}

/* ---- instances ---- */

static int instances_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                           struct err *err)
{
    return query_by_id(
        l, tx,
        "SELECT id, build_id, node_id, state, tee, is_emulated, tcb_status, platform_id, "
        "reason, created_ms, changed_ms FROM instances WHERE org_id = $1 AND app_id = $2 "
        "AND id > $3 ORDER BY id LIMIT $4",
        ret, err);
}

static int instances_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                          json_t **ret, struct err *err)
{
    *ret = json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*, s:b, s:s*, s:s*, s:s*, s:o?, s:o?}", "id",
                     store_column_text(rows, 0), "build", store_column_text(rows, 1), "node",
                     store_column_text(rows, 2), "state", store_column_text(rows, 3), "tee",
                     store_column_text(rows, 4), "emulated", store_column_int(rows, 5) != 0,
                     "tcb_status", store_column_text(rows, 6), "platform",
                     store_column_text(rows, 7), "reason", store_column_text(rows, 8), "created",
                     api_time(store_column_int(rows, 9)), "changed",
                     api_time(store_column_int(rows, 10)));
    return *ret ? 0 : -ENOMEM;
}

/* ---- history: pages go by (instance, number), with a colon ---- */

static int history_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                         struct err *err)
{
    const char *after = l->page.after, *colon = strchr(after, ':');
    char app[APP_ID_SIZE], instance[128] = "";
    char *end = "";
    int64_t number = 0;
    int rc = find_app(l->rq, tx, app, err);

    if (rc < 0)
        return rc;
    if (colon) {
        snprintf(instance, sizeof instance, "%.*s", (int)(colon - after), after);
        number = strtoll(colon + 1, &end, 10);
    }
    if (after[0] && (!colon || end == colon + 1 || *end))
        return api_problem(l->rq, 400, "invalid-query", "after: `next` of a page is expected");
    return store_query(
        tx,
        "SELECT h.instance_id, h.number, h.time_ms, h.state, h.reason, h.evidence_sha256 FROM "
        "instances i JOIN instance_history h ON h.instance_id = i.id WHERE i.org_id = $1 "
        "AND i.app_id = $2 AND i.id >= $3 AND (i.id > $3 OR h.number > $4) "
        "ORDER BY i.id, h.number LIMIT $5",
        STORE_ARGS(store_text(l->rq->who.org_id), store_text(app), store_text(instance),
                   store_int(number), list_row_count(l)),
        ret, err);
}

static int history_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                        json_t **ret, struct err *err)
{
    char hex[ROW_HEX_SIZE];
    size_t size;
    const char *instance = store_column_text(rows, 0);
    const void *evidence = store_column_blob(rows, 5, &size);

    *ret = json_pack("{s:o, s:s, s:o?, s:s*, s:s*, s:s*}", "id",
                     json_sprintf("%s:%lld", instance, (long long)store_column_int(rows, 1)),
                     "instance", instance, "time", api_time(store_column_int(rows, 2)), "state",
                     store_column_text(rows, 3), "reason", store_column_text(rows, 4),
                     "evidence_sha256", size == 32 ? row_hex(evidence, size, hex) : NULL);
    return *ret ? 0 : -ENOMEM;
}

/* ---- releases: in the audit log alone ---- */

static int releases_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                          struct err *err)
{
    char app[APP_ID_SIZE];
    int64_t after;
    int rc = list_after_number(l, -1, &after);

    if (rc == 0)
        rc = find_app(l->rq, tx, app, err);
    return rc < 0 ? rc
                  : store_query(
                        tx,
                        "SELECT number, entry, app_id FROM audit_entries WHERE org_id = $1 AND "
                        "app_id = $2 AND action = 'secret.release' AND number > $3 "
                        "ORDER BY number LIMIT $4",
                        STORE_ARGS(store_text(l->rq->who.org_id), store_text(app), store_int(after),
                                   list_row_count(l)),
                        ret, err);
}

static int releases_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                         json_t **ret, struct err *err)
{
    const char *text = store_column_text(rows, 1);
    CLEANUP(json_freep)
    json_t *entry = text ? json_loads(text, 0, NULL) : NULL;
    json_t *detail = json_object_get(entry, "detail");
    const char *app = json_string_value(json_object_get(detail, "app"));

    /* The column is a copy to search by; what the log says is in the entry. */
    if (!app || strcmp(app, store_column_text(rows, 2)) != 0)
        return err_set(err, -EBADMSG, "entry %lld of the audit log was changed",
                       (long long)store_column_int(rows, 0));
    *ret = json_pack(
        "{s:o, s:O*, s:o?, s:O*, s:O*, s:O*, s:O*, s:O*, s:O*, s:O*}", "id",
        json_sprintf("%lld", (long long)store_column_int(rows, 0)), "number",
        json_object_get(entry, "number"), "time",
        api_time(json_integer_value(json_object_get(entry, "time_ms"))), "secret",
        json_object_get(detail, "secret"), "version", json_object_get(detail, "version"),
        "instance", json_object_get(detail, "instance"), "build", json_object_get(detail, "build"),
        "decision", json_object_get(entry, "decision"), "reason", json_object_get(detail, "reason"),
        "evidence_sha256", json_object_get(entry, "evidence_sha256"));
    return *ret ? 0 : -ENOMEM;
}

/* ---- endpoints ---- */

static const struct list_of g_parts[] = {
    { "builds", .query = builds_query, .item = builds_item },
    { "instances", .query = instances_query, .item = instances_item },
    { "history", .query = history_query, .item = history_item },
    { "releases", .query = releases_query, .item = releases_item },
};

struct report {
    struct api_request *rq;
    char app[APP_ID_SIZE];
    json_t *body;
};

/* The first page of each part, as they are at one moment. */
static int report_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct report *r = arg;
    struct list l = { .rq = r->rq, .page = { .limit = API_PAGE_MAX, .after = "" } };
    CLEANUP(json_freep)
    json_t *body = json_pack("{s:o, s:{}}", "time", api_time(server_now_ms(r->rq->server)), "next");
    json_t *next = json_object_get(body, "next");
    int rc = find_app(r->rq, tx, r->app, err);

    for (unsigned i = 0; rc == 0 && i < ARRAY_COUNT(g_parts); i++) {
        json_t *page = NULL;

        rc = list_read(&l, tx, &g_parts[i], &page, err);
        if (rc == 0 &&
            (json_object_set(body, g_parts[i].what, json_object_get(page, "items")) < 0 ||
             json_object_set(next, g_parts[i].what, json_object_get(page, "next")) < 0))
            rc = -ENOMEM;
        json_decref(page);
    }
    if (rc < 0)
        return rc;
    json_decref(r->body); /* of a run before */
    r->body = TAKE_PTR(body);
    return json_object_set_new(r->body, "app", json_string(r->app)) < 0 ? -ENOMEM : 0;
}

int audit_report(struct api_request *rq, struct api_response *ret)
{
    struct report r = { .rq = rq };
    int rc = row_read(rq, report_in, &r, "report");

    if (rc == 0)
        return row_answer(ret, 200, 0, r.body);
    json_decref(r.body);
    return rc;
}

int audit_report_part(struct api_request *rq, struct api_response *ret)
{
    for (unsigned i = 0; i < ARRAY_COUNT(g_parts); i++)
        if (strcmp(rq->params[0], g_parts[i].what) == 0)
            return list_answer(rq, &g_parts[i], NULL, ret);
    return api_problem(rq, 404, "not-found",
                       "a report has builds, instances, history and releases, no %s",
                       rq->params[0]);
}
