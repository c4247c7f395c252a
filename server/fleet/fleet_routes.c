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
#define FORECAST_DEFAULT_MS (90 * 86400 * 1000ll)

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
    ret->body = json_pack("{s:o,s:{s:b,s:I,s:I,s:o,s:o},s:{s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:s?}}",
                          "instances", r.result, "reappraisal", "running", (int)p.is_running,
                          "judged", (json_int_t)p.judged, "fallen", (json_int_t)p.fallen, "started",
                          api_time(p.started_ms), "finished", api_time(p.finished_ms), "collateral",
                          "items", (json_int_t)c.count, "unusable", (json_int_t)c.unusable,
                          "refreshed", (json_int_t)c.refreshed, "failed", (json_int_t)c.failed,
                          "lied", (json_int_t)c.lied, "last", api_time(c.looked_ms), "confirmed",
                          api_time(c.confirmed_ms), "expires", api_time(c.expires_ms), "why",
                          c.why[0] ? c.why : NULL);
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

/* Pages go by (time, id): `after` is both, with a colon. arg: until when, in ms. */
static int forecast_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                          struct err *err)
{
    const int64_t *until_ms = l->arg;
    const char *after = l->page.after, *after_id = "";
    int64_t after_ms = 0;
    char *colon;

    if (after[0]) {
        after_ms = strtoll(after, &colon, 10);
        if (*colon != ':' || !id_is_valid("ins", colon + 1))
            return api_problem(l->rq, 400, "invalid-query", "after: `next` of a page is expected");
        after_id = colon + 1;
    }
    return store_query(tx,
                       "SELECT id, app_id, state, tcb_status, valid_until_ms FROM instances "
                       "WHERE org_id = $1 AND state IN ('running', 'unreachable') "
                       "AND valid_until_ms <= $2 AND (valid_until_ms, id) > ($3, $4) ORDER BY "
                       "valid_until_ms, id LIMIT $5",
                       STORE_ARGS(store_text(l->rq->who.org_id), store_int(*until_ms),
                                  store_int(after_ms), store_text(after_id), list_row_count(l)),
                       ret, err);
}

static int forecast_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                         json_t **ret, struct err *err)
{
    const char *id = store_column_text(rows, 0), *status = store_column_text(rows, 3);

    *ret = json_pack("{s:o,s:s,s:s,s:s,s:s?,s:o}", "id",
                     json_sprintf("%lld:%s", (long long)store_column_int(rows, 4), id), "instance",
                     id, "app", store_column_text(rows, 1), "state", store_column_text(rows, 2),
                     "tcb_status", status, "until", api_time(store_column_int(rows, 4)));
    return *ret ? 0 : -ENOMEM;
}

static int get_forecast(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of forecast = { "forecast", .query = forecast_query,
                                             .item = forecast_item };
    int64_t until_ms = server_now_ms(rq->server) + FORECAST_DEFAULT_MS, until_s;
    const char *until = api_query(rq, "until");

    if (until) {
        if (time_parse(until, strlen(until), &until_s) < 0)
            return api_problem(rq, 400, "invalid-query", "until: a time in UTC is expected");
        until_ms = until_s * 1000;
    }
    return list_answer(rq, &forecast, &until_ms, ret);
}

const struct api_route fleet_routes[] = {
    { "GET", "/v1/fleet", get_fleet, ANY_READER, 0, 0 },
    { "GET", "/v1/fleet/forecast", get_forecast, ANY_READER, 0, 0 },
    { "POST", "/v1/fleet/reappraise", post_reappraise, API_OPERATOR | API_OWNER, 0, 64 },
};
const unsigned fleet_route_count = ARRAY_COUNT(fleet_routes);
