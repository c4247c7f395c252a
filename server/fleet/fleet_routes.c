/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet for its owners: what goes on, and what is going to stop being accepted. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"
#include "server/exchange/routes.h"
#include "server/fleet/internal.h"
#include "server/model/list.h"
#include "server/model/row.h"
#include "verifier/json_read.h"

#define ANY_READER (API_READER | API_AUDITOR | API_OPERATOR | API_APPROVER | API_OWNER)
#define FORECAST_DEFAULT_MS (400 * 86400 * 1000ll) /* a TCB recovery takes a year */

struct read {
    struct api_request *rq;
    json_t *result;
};

static int counts_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct read *r = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc =
        store_query(tx, "SELECT state, COUNT(*) FROM instances WHERE org_id = $1 GROUP BY state",
                    STORE_ARGS(store_text(r->rq->who.org_id)), &rows, err);

    json_object_clear(r->result);
    while (rc == 0 && (rc = store_rows_next(rows, err)) > 0)
        rc = json_object_set_new(r->result, store_column_text(rows, 0),
                                 json_integer(store_column_int(rows, 1))) < 0
                 ? -ENOMEM
                 : 0;
    return MIN(rc, 0);
}

static int get_fleet(struct api_request *rq, struct api_response *ret)
{
    struct fleet *f = rq->server->fleet;
    struct read r = { .rq = rq, .result = json_object() };
    struct fleet_progress p;
    struct fleet_collateral c;
    int rc = r.result ? row_read(rq, counts_in, &r, "fleet") : -ENOMEM;

    if (rc < 0) {
        json_decref(r.result);
        return rc;
    }
    pthread_mutex_lock(&f->lock);
    p = f->progress;
    p.is_running |= f->has_work;
    pthread_mutex_unlock(&f->lock);
    fleet_collateral_get(f, &c);
    ret->status = 200;
    ret->body = json_pack(
        "{s:o,s:{s:b,s:I,s:I,s:o,s:o},s:{s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:s?}}", "instances",
        r.result, "reappraisal", "running", (int)p.is_running, "judged", (json_int_t)p.judged,
        "fallen", (json_int_t)p.fallen, "started", api_time(p.started_ms), "finished",
        api_time(p.finished_ms), "collateral", "items", (json_int_t)c.count, "early",
        (json_int_t)c.early_count, "unusable", (json_int_t)c.unusable, "refreshed",
        (json_int_t)c.refreshed, "failed", (json_int_t)c.failed, "lied", (json_int_t)c.lied, "last",
        api_time(c.looked_ms), "confirmed", api_time(c.confirmed_ms), "expires",
        api_time(c.expires_ms), "why", c.why[0] ? c.why : NULL);
    return ret->body ? 0 : -ENOMEM;
}

static int post_reappraise(struct api_request *rq, struct api_response *ret)
{
    int rc;

    fleet_reappraise(rq->server->fleet, rq->who.org_id);
    rc = get_fleet(rq, ret);
    if (rc == 0)
        ret->status = 202;
    return rc;
}

struct forecast_wish {
    int64_t until_ms;
    const char *cause; /* "": each */
};

/* Pages go by (time, id): `after` is both, with a colon. arg: until when, in ms. */
static int forecast_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                          struct err *err)
{
    const struct forecast_wish *wish = l->arg;
    const char *after = l->page.after, *after_id = "";
    int64_t after_ms = 0;
    char *colon;

    if (after[0]) {
        after_ms = strtoll(after, &colon, 10);
        if (*colon != ':' || !id_is_valid("ins", colon + 1))
            return api_problem(l->rq, 400, "invalid-query", "after: `next` of a page is expected");
        after_id = colon + 1;
    }
    /* Each arm is cut to a page of its own: neither sorts more than it must. CROSS: from the few forecasts to the many instances, by the index alone. */
    return store_query(
        tx,
        "SELECT id, app_id, node_id, state, tcb_status, at_ms, cause, reason, number, later, "
        "is_published FROM ("
        "SELECT * FROM (SELECT id, app_id, node_id, state, tcb_status, valid_until_ms AS at_ms, "
        "'evidence' AS cause, '' AS reason, 0 AS number, '' AS later, 0 AS is_published "
        "FROM instances WHERE org_id = $1 AND $6 <> 'tcb-recovery' "
        "AND state IN ('running', 'unreachable') AND valid_until_ms <= $2 "
        "AND (valid_until_ms, id) > ($3, $4) ORDER BY valid_until_ms, id LIMIT $5) AS a "
        "UNION ALL "
        "SELECT i.id, i.app_id, i.node_id, i.state, i.tcb_status, f.until_ms AS at_ms, "
        "'tcb-recovery' AS cause, f.reason, f.number, f.tcb_status AS later, f.is_published FROM "
        "(SELECT g.app_id, g.tcb_key, k.id FROM forecasts g CROSS JOIN instances k "
        "WHERE g.org_id = $1 AND k.app_id = g.app_id AND k.tcb_key = g.tcb_key "
        "AND $6 <> 'evidence' AND k.state IN ('running', 'unreachable') AND g.until_ms <= $2 "
        "AND (g.until_ms, k.id) > ($3, $4) ORDER BY g.until_ms, k.id LIMIT $5) AS b "
        "JOIN instances i ON i.org_id = $1 AND i.id = b.id JOIN forecasts f ON f.org_id = $1 "
        "AND f.app_id = b.app_id AND f.tcb_key = b.tcb_key"
        ") AS x ORDER BY at_ms, id LIMIT $5",
        STORE_ARGS(store_text(l->rq->who.org_id), store_int(wish->until_ms), store_int(after_ms),
                   store_text(after_id), list_row_count(l), store_text(wish->cause)),
        ret, err);
}

/* What a TCB recovery brings; null for what time alone does. */
static json_t *recovery_json(const struct store_rows *rows)
{
    if (strcmp(store_column_text(rows, 6), "tcb-recovery") != 0)
        return json_null();
    return json_pack("{s:I,s:s?,s:b}", "number", (json_int_t)store_column_int(rows, 8),
                     "tcb_status", store_column_text(rows, 9), "published",
                     (int)store_column_int(rows, 10));
}

static int forecast_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                         json_t **ret, struct err *err)
{
    const char *id = store_column_text(rows, 0), *reason = store_column_text(rows, 7);

    *ret = json_pack("{s:o,s:s,s:s,s:s?,s:s,s:s?,s:o,s:s,s:s,s:o}", "id",
                     json_sprintf("%lld:%s", (long long)store_column_int(rows, 5), id), "instance",
                     id, "app", store_column_text(rows, 1), "node", store_column_text(rows, 2),
                     "state", store_column_text(rows, 3), "tcb_status", store_column_text(rows, 4),
                     "until", api_time(store_column_int(rows, 5)), "cause",
                     store_column_text(rows, 6), "reason",
                     reason && reason[0] ? reason : "evidence, collateral or a time of grace ends",
                     "recovery", recovery_json(rows));
    return *ret ? 0 : -ENOMEM;
}

static int get_forecast(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of forecast = { "forecast", .query = forecast_query,
                                             .item = forecast_item };
    struct forecast_wish wish = { server_now_ms(rq->server) + FORECAST_DEFAULT_MS, "" };
    const char *until = api_query(rq, "until"), *cause = api_query(rq, "cause");
    int64_t until_s;

    if (until) {
        if (time_parse(until, strlen(until), &until_s) < 0)
            return api_problem(rq, 400, "invalid-query", "until: a time in UTC is expected");
        wish.until_ms = until_s * 1000;
    }
    if (cause && strcmp(cause, "evidence") != 0 && strcmp(cause, "tcb-recovery") != 0)
        return api_problem(rq, 400, "invalid-query", "cause: evidence or tcb-recovery is expected");
    if (cause)
        wish.cause = cause;
    return list_answer(rq, &forecast, &wish, ret);
}

const struct api_route fleet_routes[] = {
    { "GET", "/v1/fleet", get_fleet, ANY_READER, 0, 0 },
    { "GET", "/v1/fleet/forecast", get_forecast, ANY_READER, 0, 0 },
    { "POST", "/v1/fleet/reappraise", post_reappraise, API_OPERATOR | API_OWNER, 0, 64 },
};
const unsigned fleet_route_count = ARRAY_COUNT(fleet_routes);
