/* SPDX-License-Identifier: Apache-2.0 */
/* Instances for their owners: lists, one, history, evidence, stop. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/exchange/exchange.h"
#include "server/exchange/internal.h"
#include "server/exchange/revoke.h"
#include "server/exchange/routes.h"
#include "server/model/app.h"
#include "server/model/list.h"
#include "server/model/row.h"

#define ANY_READER (API_READER | API_AUDITOR | API_OPERATOR | API_APPROVER | API_OWNER)
#define MAY_STOP (API_OPERATOR | API_OWNER)

#define COLUMNS                                                                                    \
    "i.id, i.app_id, i.build_id, i.node_id, i.state, i.wanted, i.tee, i.is_emulated, "             \
    "i.tcb_status, i.platform_id, i.valid_until_ms, i.fence, i.lease_until_ms, "                   \
    "i.certificate_serial, i.certificate_until_ms, i.exit_status, i.reason, i.seen_ms, "           \
    "i.created_ms, i.changed_ms, i.version "
/* Filters that are empty let everything through. */
#define FILTERS                                                                                    \
    "AND ($3 = '' OR i.state = $3) AND ($4 = '' OR i.app_id = $4) AND "                            \
    "($5 = '' OR i.build_id = $5) AND ($6 = '' OR i.node_id = $6) ORDER BY i.id LIMIT $7"

/* Which instances are asked for; empty: any. */
struct filter {
    const char *state, *build, *node;
    char app[32];
};

static json_t *text_or_null(const struct store_rows *rows, unsigned column)
{
    return store_is_null(rows, column) ? json_null() : json_string(store_column_text(rows, column));
}

static json_t *int_or_null(const struct store_rows *rows, unsigned column)
{
    return store_is_null(rows, column) ? json_null()
                                       : json_integer((json_int_t)store_column_int(rows, column));
}

static json_t *instance_json(const struct store_rows *rows)
{
    static const struct {
        const char *name;
        char kind; /* text, number, time, bool */
    } members[] = {
        { "id", 's' },          { "app", 's' },         { "build", 's' },
        { "node", 's' },        { "state", 's' },       { "wanted", 's' },
        { "tee", 's' },         { "emulated", 'b' },    { "tcb_status", 's' },
        { "platform", 's' },    { "valid_until", 't' }, { "fence", 'n' },
        { "lease_until", 't' }, { "certificate", 's' }, { "certificate_until", 't' },
        { "exit_status", 'n' }, { "reason", 's' },      { "seen", 't' },
        { "created", 't' },     { "changed", 't' },     { "version", 'n' },
    };
    json_t *j = json_object();

    for (unsigned i = 0; j && i < ARRAY_COUNT(members); i++) {
        json_t *value = members[i].kind == 's'   ? text_or_null(rows, i)
                        : members[i].kind == 'n' ? int_or_null(rows, i)
                        : members[i].kind == 't' ? api_time(store_column_int(rows, i))
                                                 : json_boolean(store_column_int(rows, i) != 0);

        json_object_set_new(j, members[i].name, value);
    }
    return j;
}

/* By the index that narrows most. */
static const char *list_statement(const struct filter *f)
{
    if (f->app[0] && f->state[0])
        return "SELECT " COLUMNS "FROM instances i WHERE i.org_id = $1 AND i.id > $2 AND i.state = "
               "$3 AND i.app_id = $4 "
               "AND ($5 = '' OR i.build_id = $5) AND ($6 = '' OR i.node_id = $6) ORDER BY i.id "
               "LIMIT $7";
    if (f->app[0])
        return "SELECT " COLUMNS "FROM instances i WHERE i.org_id = $1 AND i.id > $2 AND ($3 = '' "
               "OR i.state = $3) AND i.app_id = $4 "
               "AND ($5 = '' OR i.build_id = $5) AND ($6 = '' OR i.node_id = $6) ORDER BY i.id "
               "LIMIT $7";
    if (f->build[0])
        return "SELECT " COLUMNS "FROM instances i WHERE i.org_id = $1 AND i.id > $2 AND ($3 = '' "
               "OR i.state = $3) AND ($4 = '' OR i.app_id = $4) "
               "AND i.build_id = $5 AND ($6 = '' OR i.node_id = $6) ORDER BY i.id LIMIT $7";
    if (f->node[0])
        return "SELECT " COLUMNS "FROM instances i WHERE i.org_id = $1 AND i.id > $2 AND ($3 = '' "
               "OR i.state = $3) AND ($4 = '' OR i.app_id = $4) "
               "AND ($5 = '' OR i.build_id = $5) AND i.node_id = $6 ORDER BY i.id LIMIT $7";
    if (f->state[0])
        return "SELECT " COLUMNS "FROM instances i WHERE i.org_id = $1 AND i.id > $2 AND i.state = "
               "$3 AND ($4 = '' OR i.app_id = $4) "
               "AND ($5 = '' OR i.build_id = $5) AND ($6 = '' OR i.node_id = $6) ORDER BY i.id "
               "LIMIT $7";
    return "SELECT " COLUMNS "FROM instances i WHERE i.org_id = $1 AND i.id > $2 " FILTERS;
}

static int list_query(struct list *l, struct store_tx *tx, struct store_rows **ret, struct err *err)
{
    struct filter *f = l->arg;
    const char *app = api_query(l->rq, "app");
    int rc = app ? app_find_id(tx, l->rq->who.org_id, app, f->app, err) : 0;

    if (rc == -ENOENT)
        return 0; /* nothing is of it */
    if (rc < 0)
        return rc;
    return store_query(tx, list_statement(f),
                       STORE_ARGS(store_text(l->rq->who.org_id), store_text(l->page.after),
                                  store_text(f->state), store_text(f->app), store_text(f->build),
                                  store_text(f->node), list_row_count(l)),
                       ret, err);
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    *ret = instance_json(rows);
    return *ret ? 0 : -ENOMEM;
}

static const char *query_or_empty(struct api_request *rq, const char *name)
{
    const char *text = api_query(rq, name);

    return text ? text : "";
}

static int get_instances(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of instances = { "instances", .query = list_query, .item = list_item };
    struct filter filter = { .state = query_or_empty(rq, "state"),
                             .build = query_or_empty(rq, "build"),
                             .node = query_or_empty(rq, "node") };

    return list_answer(rq, &instances, &filter, ret);
}

/* ---- one ---- */

struct show {
    struct api_request *rq;
    json_t *body;
    int64_t version;
};

static int show_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct show *s = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx,
        "SELECT " COLUMNS
        ", i.appraisal, i.evidence_ms FROM instances i WHERE i.org_id = $1 AND i.id = $2",
        STORE_ARGS(store_text(s->rq->who.org_id), store_text(s->rq->params[0])), &rows, err);
    const char *ear;

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc
                      : api_problem(s->rq, 404, "not-found", "there is no instance %s",
                                    s->rq->params[0]);
    json_decref(TAKE_PTR(s->body));
    s->body = instance_json(rows);
    s->version = store_column_int(rows, 20);
    ear = store_column_text(rows, 21);
    json_object_set_new(s->body, "appraisal", ear ? json_loads(ear, 0, NULL) : json_null());
    json_object_set_new(s->body, "evidence_time", api_time(store_column_int(rows, 22)));
    return 0;
}

static int get_instance(struct api_request *rq, struct api_response *ret)
{
    struct show s = { .rq = rq };
    int rc = row_read(rq, show_in, &s, "instance");

    if (rc == 0)
        return row_answer(ret, 200, s.version, s.body);
    json_decref(s.body);
    return rc;
}

/* ---- history and evidence ---- */

static int history_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                         struct err *err)
{
    int64_t after, count = 0;
    int rc = list_after_number(l, 0, &after);

    if (rc == 0)
        rc = store_get_int(tx, "SELECT COUNT(*) FROM instances WHERE org_id = $1 AND id = $2",
                           STORE_ARGS(store_text(l->rq->who.org_id), store_text(l->rq->params[0])),
                           &count, err);
    if (rc == 0 && count == 0)
        return err_set(err, -ENOENT, "no such instance");
    if (rc < 0)
        return rc;
    return store_query(
        tx,
        "SELECT h.number, h.time_ms, h.state, h.reason, h.evidence_sha256 FROM instance_history h "
        "JOIN instances i ON i.id = h.instance_id "
        "WHERE i.org_id = $1 AND i.id = $2 AND h.number > $3 ORDER BY h.number LIMIT $4",
        STORE_ARGS(store_text(l->rq->who.org_id), store_text(l->rq->params[0]), store_int(after),
                   list_row_count(l)),
        ret, err);
}

static int history_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                        json_t **ret, struct err *err)
{
    char hex[ROW_HEX_SIZE], number[24];
    size_t size;
    const void *sha256 = store_column_blob(rows, 4, &size);

    snprintf(number, sizeof number, "%lld", (long long)store_column_int(rows, 0));
    *ret = json_pack("{s:s,s:o,s:s,s:o,s:o}", "id", number, "time",
                     api_time(store_column_int(rows, 1)), "state", store_column_text(rows, 2),
                     "reason", text_or_null(rows, 3), "evidence_sha256",
                     size == 32 ? json_string(row_hex(sha256, 32, hex)) : json_null());
    return *ret ? 0 : -ENOMEM;
}

static int get_history(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of history = { "history", .query = history_query,
                                            .item = history_item };

    return list_answer(rq, &history, NULL, ret);
}

static int evidence_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct show *s = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    size_t size, stapled_size;
    const void *data, *stapled;
    json_t *evidence, *collateral;
    int rc = store_query(tx,
                         "SELECT i.evidence, i.evidence_ms, s.content FROM instances i LEFT JOIN "
                         "stapled s ON s.sha256 = i.stapled_sha256 "
                         "WHERE i.org_id = $1 AND i.id = $2",
                         STORE_ARGS(store_text(s->rq->who.org_id), store_text(s->rq->params[0])),
                         &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0 || store_is_null(rows, 0))
        return rc < 0 ? rc : err_set(err, -ENOENT, "there is no evidence of such an instance");
    data = store_column_blob(rows, 0, &size);
    stapled = store_column_blob(rows, 2, &stapled_size);
    evidence = json_loadb(data, size, 0, NULL);
    collateral = stapled_size > 0 ? json_loadb(stapled, stapled_size, 0, NULL) : NULL;
    json_decref(TAKE_PTR(s->body));
    s->body = json_pack("{s:o,s:o,s:o}", "time", api_time(store_column_int(rows, 1)), "evidence",
                        evidence ? evidence : json_null(), "collateral",
                        collateral ? collateral : json_null());
    return s->body ? 0 : -ENOMEM;
}

static int get_evidence(struct api_request *rq, struct api_response *ret)
{
    struct show s = { .rq = rq };
    int rc = row_read(rq, evidence_in, &s, "evidence");

    if (rc == 0)
        return row_answer(ret, 200, 0, s.body);
    json_decref(s.body);
    return rc;
}

/* ---- stop ---- */

struct stop {
    struct api_request *rq;
    const char *reason;
    struct show show;
};

static int stop_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct stop *s = arg;
    struct instance_row i;
    const char *org_id = s->rq->who.org_id, *state;
    int64_t now_ms = server_now_ms(s->rq->server);
    int rc = instance_read(tx, s->rq->params[0], &i, err);

    if (rc == -ENOENT || (rc == 0 && strcmp(i.org_id, org_id) != 0))
        return api_problem(s->rq, 404, "not-found", "there is no instance %s", s->rq->params[0]);
    if (rc < 0)
        return rc;
    if (strcmp(i.wanted, "stop") != 0 && strcmp(i.state, "revoked") != 0) {
        bool holds =
            i.public_key_size > 0 && i.lease_until_ms > now_ms && strcmp(i.state, "stopped") != 0;

        state = holds ? "stopping" : "stopped";
        rc = store_exec(tx, "UPDATE instances SET wanted = 'stop' WHERE org_id = $1 AND id = $2",
                        STORE_ARGS(store_text(org_id), store_text(i.id)), err);
        if (rc >= 0)
            rc = instance_state_set(tx, org_id, i.id, now_ms, state, s->reason, err);
        if (rc == 0 && holds)
            rc = exchange_order(tx, i.id, "stop", s->reason, err);
        if (rc >= 0)
            rc = row_tell(s->rq, tx, "instance.stop", NULL, i.id,
                          json_pack("{s:s}", "reason", s->reason), err);
    }
    return rc < 0 ? rc : show_in(tx, &s->show, err);
}

static int post_stop(struct api_request *rq, struct api_response *ret)
{
    struct stop s = { .rq = rq, .reason = "stopped by its owner", .show = { .rq = rq } };
    const struct api_member members[] = { { "reason", API_STRING, false, &s.reason, 1, 200 } };
    int rc = rq->body ? api_body_read(rq, members, ARRAY_COUNT(members)) : 0;

    if (rc == 0)
        rc = row_write(rq, stop_in, &s, "stop");
    if (rc == 0)
        return row_answer(ret, 200, 0, s.show.body);
    json_decref(s.show.body);
    return rc;
}

const struct api_route instance_routes[] = {
    { "GET", "/v1/instances", get_instances, ANY_READER, 0, 0 },
    { "GET", "/v1/instances/{instance}", get_instance, ANY_READER, 0, 0 },
    { "GET", "/v1/instances/{instance}/evidence", get_evidence, ANY_READER, 0, 0 },
    { "GET", "/v1/instances/{instance}/history", get_history, ANY_READER, 0, 0 },
    { "POST", "/v1/instances/{instance}/stop", post_stop, MAY_STOP, 0, 4096 },
    { "GET", "/v1/revocations", revocations_get, ANY_READER, 0, 0 },
    { "POST", "/v1/revocations", revocations_post, MAY_STOP, 0, 4096 },
};
const unsigned instance_route_count = ARRAY_COUNT(instance_routes);
