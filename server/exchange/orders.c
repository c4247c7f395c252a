/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to instances: written with what they are about, waited for without a thread, signed. And the end that an instance reports. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/ca/ca.h"
#include "server/exchange/exchange.h"
#include "server/exchange/internal.h"
#include "server/exchange/routes.h"
#include "server/model/row.h"

#define EVENT_ORDERED "instance.ordered"
#define KEY_SIZE 64u

static void key_of(const char *instance_id, char ret[KEY_SIZE])
{
    snprintf(ret, KEY_SIZE, "orders/%s", instance_id);
}

/* ---- giving ---- */

int exchange_order(struct store_tx *tx, const char *instance_id, const char *kind,
                   const char *reason, struct err *err)
{
    struct instance_row instance;
    json_t *data = json_pack("{s:s,s:s}", "kind", kind, "reason", reason ? reason : "");
    int rc = data ? instance_read(tx, instance_id, &instance, err) : -ENOMEM;

    if (rc == 0)
        rc = store_exec(
            tx,
            "INSERT INTO instance_orders (instance_id, number, kind, reason, created_ms) "
            "SELECT i.id, COALESCE((SELECT MAX(o.number) FROM instance_orders o WHERE "
            "o.instance_id = i.id), 0) + 1, $1, $2, i.changed_ms "
            "FROM instances i WHERE i.org_id = $3 AND i.id = $4",
            STORE_ARGS(store_text(kind), store_text(reason ? reason : ""),
                       store_text(instance.org_id), store_text(instance_id)),
            err);
    if (rc >= 0)
        rc = event_append(tx, instance.org_id, EVENT_ORDERED, instance_id, data, err);
    json_decref(data);
    return rc;
}

/* On each server, a moment after the commit: who waits here is called. */
static void wake(void *arg, const struct event *event)
{
    struct exchange *exchange = arg;
    char key[KEY_SIZE];

    if (strcmp(event->kind, EVENT_ORDERED) == 0) {
        key_of(event->object, key);
        api_wake(exchange->server, key);
    } else if (strncmp(event->kind, "ca.", 3) == 0) {
        struct err err = { "" };

        if (ca_reload(exchange->server->ca, &err) < 0)
            server_log(exchange->server, "error", "authorities are not reloaded", "why", err.text,
                       NULL);
    }
}

int orders_listen(struct exchange *exchange)
{
    return events_listener_add(exchange->server->events, wake, exchange);
}

/* ---- who asks ---- */

struct asker {
    const struct instance_token *token;
    struct instance_row instance;
};

static int asker_read_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct asker *asker = arg;

    return instance_read(tx, asker->token->instance_id, &asker->instance, err);
}

int orders_authenticate(struct api_request *rq, const char *credential, struct api_principal *ret,
                        struct err *err)
{
    static _Thread_local struct asker asker; /* the caller copies at once */
    struct instance_token token;
    int64_t now_s = server_now_s(rq->server);
    size_t size = strlen(credential);
    const char *audience = strcmp(rq->path, "/v1/exchange/end") == 0 ? EXCHANGE_AUDIENCE_END
                                                                     : EXCHANGE_AUDIENCE_ORDERS;
    int rc = token_parse(credential, size, &token, err);

    if (rc < 0)
        return -EACCES;
    if (strcmp(token.audience, audience) != 0)
        return err_set(err, -EACCES, "the token is for %s, not for %s", token.audience, audience);
    if (token.issued_s > now_s + EXCHANGE_TOKEN_LIFE_S ||
        token.issued_s < now_s - EXCHANGE_TOKEN_LIFE_S)
        return err_set(err, -EACCES, "the token is older than %d s, or of another clock",
                       EXCHANGE_TOKEN_LIFE_S);
    asker.token = &token;
    rc = store_read(rq->server->store, asker_read_in, &asker, err);
    asker.token = NULL;
    if (rc < 0)
        return rc == -ENOENT ? -EACCES : rc;
    rc = token_verify(credential, size, asker.instance.public_key, asker.instance.public_key_size,
                      err);
    if (rc < 0)
        return rc;
    if (seen_add(rq->server->exchange->seen, token.instance_id, token.id, now_s) < 0)
        return err_set(err, -EACCES, "the token was used before");
    *ret = (struct api_principal){ .kind = API_INSTANCE,
                                   .id = asker.instance.id,
                                   .org_id = asker.instance.org_id };
    return 0;
}

/* ---- waiting ---- */

struct orders_read {
    const char *org_id, *instance_id;
    int64_t after, number;
    json_t *list;
};

static int orders_read_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct orders_read *o = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx,
        "SELECT o.number, o.kind, o.reason FROM instance_orders o JOIN instances i ON i.id = "
        "o.instance_id "
        "WHERE i.org_id = $1 AND o.instance_id = $2 AND o.number > $3 ORDER BY o.number LIMIT $4",
        STORE_ARGS(store_text(o->org_id), store_text(o->instance_id), store_int(o->after),
                   store_int(EXCHANGE_ORDERS_MAX)),
        &rows, err);

    json_array_clear(o->list);
    o->number = o->after;
    while (rc == 0 && (rc = store_rows_next(rows, err)) > 0) {
        o->number = store_column_int(rows, 0);
        rc = json_array_append_new(
            o->list, json_pack("{s:I,s:s,s:s}", "number", (json_int_t)o->number, "kind",
                               store_column_text(rows, 1), "reason", store_column_text(rows, 2)));
        if (rc < 0)
            rc = -ENOMEM;
    }
    return MIN(rc, 0);
}

static int64_t query_number(const struct api_request *rq, const char *name, int64_t max)
{
    const char *text = api_query(rq, name);
    char *end;
    long long number;

    if (!text)
        return 0;
    errno = 0;
    number = strtoll(text, &end, 10);
    return errno || *end || end == text || number < 0 || number > max ? -EINVAL : number;
}

/* Of the request; its signature was verified when it came. */
static int own_token(struct api_request *rq, struct instance_token *ret)
{
    const char *credential = api_header(rq, "Authorization");
    struct err err = { "" };

    credential = credential ? strchr(credential, ' ') : NULL;
    if (!credential || token_parse(credential + 1, strlen(credential + 1), ret, &err) < 0)
        return api_problem(rq, 401, "not-authenticated", "there is no token of an instance");
    return 0;
}

static int orders_answer(struct api_request *rq, const struct orders_read *o,
                         struct api_response *ret)
{
    struct instance_token token = { "" };
    struct err err = { "" };
    char *text, *jws = NULL;
    json_t *payload;
    int rc = own_token(rq, &token);

    if (rc < 0)
        return rc;
    /* after: as it came. Who changed it on the way cannot have the answer taken for that to another question. */
    payload = json_pack("{s:s,s:I,s:I,s:I,s:O,s:s}", "instance", rq->who.id, "time",
                        (json_int_t)server_now_s(rq->server), "after", (json_int_t)o->after,
                        "number", (json_int_t)o->number, "orders", o->list, "wait", token.id);
    text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
    json_decref(payload);
    rc = text ? ca_sign(rq->server->ca, EXCHANGE_ANSWER_TYPE, text, &jws, &err) : -ENOMEM;
    free(text);
    if (rc < 0)
        return api_problem_errno(rq, rc, "orders", &err);
    ret->status = 200;
    ret->body = json_pack("{s:s}", "answer", jws);
    free(jws);
    return ret->body ? 0 : -ENOMEM;
}

static int get_orders(struct api_request *rq, struct api_response *ret)
{
    struct orders_read o = { .org_id = rq->who.org_id,
                             .instance_id = rq->who.id,
                             .after = query_number(rq, "after", INT64_MAX) };
    int64_t wait_s = query_number(rq, "wait_s", EXCHANGE_WAIT_MAX_S);
    const char *instance = api_query(rq, "instance");
    char key[KEY_SIZE];
    struct err err = { "" };
    int rc;

    if (o.after < 0 || wait_s < 0)
        return api_problem(rq, 400, "invalid-query",
                           "after: a number; wait_s: 0 to %u are expected", EXCHANGE_WAIT_MAX_S);
    if (!instance || strcmp(instance, rq->who.id) != 0)
        return api_problem(rq, 403, "forbidden", "the token is of another instance");
    o.list = json_array();
    rc = o.list ? store_read(rq->server->store, orders_read_in, &o, &err) : -ENOMEM;
    if (rc < 0) {
        json_decref(o.list);
        return api_problem_errno(rq, rc, "orders", &err);
    }
    rc = 0;
    if (json_array_size(o.list) == 0 && wait_s > 0) {
        key_of(rq->who.id, key);
        rc = api_park(rq, key, (uint32_t)wait_s * 1000);
    }
    if (rc == 0)
        rc = orders_answer(rq, &o, ret);
    json_decref(o.list);
    return rc;
}

/* ---- the end ---- */

struct end {
    struct api_request *rq;
    int64_t exit_status;
    const char *reason;
    int64_t now_ms;
    uint8_t token_sha256[EXCHANGE_NONCE_SIZE];
};

static int end_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct end *e = arg;
    struct instance_row instance;
    struct audit_entry entry = { .org_id = e->rq->who.org_id,
                                 .actor = e->rq->who.id,
                                 .action = "instance.end",
                                 .object = e->rq->who.id,
                                 .decision = "done",
                                 .request_id = e->rq->request_id };
    int rc = nonce_use(tx, e->token_sha256, e->now_ms + 2000 * EXCHANGE_TOKEN_LIFE_S, err);

    if (rc == -EEXIST) /* at whichever server */
        return api_problem(e->rq, 401, "not-authenticated", "the token was used before");
    if (rc >= 0)
        rc = instance_read(tx, e->rq->who.id, &instance, err);
    if (rc < 0 || strcmp(instance.state, "stopped") == 0)
        return rc;
    rc = store_exec(tx,
                    "UPDATE instances SET exit_status = $1, lease_until_ms = $2, seen_ms = $2 "
                    "WHERE org_id = $3 AND id = $4",
                    STORE_ARGS(store_int(e->exit_status), store_int(e->now_ms),
                               store_text(instance.org_id), store_text(instance.id)),
                    err);
    if (rc >= 0)
        rc = instance_state_set(tx, instance.org_id, instance.id, e->now_ms,
                                strcmp(instance.state, "revoked") == 0 ? "revoked" : "stopped",
                                e->reason, err);
    if (rc == 0)
        rc = ca_revoke(tx, instance.org_id, instance.id, e->now_ms, err);
    if (rc < 0)
        return rc;
    entry.detail =
        json_pack("{s:I,s:s}", "exit_status", (json_int_t)e->exit_status, "reason", e->reason);
    rc = audit_append(tx, &entry, err);
    json_decref(entry.detail);
    return rc;
}

static int post_end(struct api_request *rq, struct api_response *ret)
{
    static const char *const reasons[] = { "exited", "stopped", "revoked", "lease" };
    const char *instance = NULL;
    struct end e = { .rq = rq, .now_ms = server_now_ms(rq->server) };
    const struct api_member members[] = {
        { "instance", API_STRING, true, &instance, 1, 64 },
        { "exit_status", API_INT, true, &e.exit_status, -255, 255 },
        { "reason", API_STRING, true, &e.reason, 1, 16 },
    };
    struct err err = { "" };
    struct instance_token token = { "" };
    struct sha256 ctx;
    bool known = false;
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = own_token(rq, &token);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < ARRAY_COUNT(reasons); i++)
        known |= strcmp(e.reason, reasons[i]) == 0;
    if (!known)
        return api_problem(rq, 400, "invalid-member",
                           "reason: exited, stopped, revoked or lease is expected");
    if (strcmp(instance, rq->who.id) != 0)
        return api_problem(rq, 403, "forbidden", "the token is of another instance");
    if (token.exit_status != e.exit_status || strcmp(token.reason, e.reason) != 0)
        return api_problem(rq, 403, "forbidden", "the token is of another end");
    sha256_init(&ctx);
    sha256_update(&ctx, token.instance_id, strlen(token.instance_id) + 1);
    sha256_update(&ctx, token.id, strlen(token.id));
    sha256_final(&ctx, e.token_sha256);
    rc = store_write(rq->server->store, end_in, &e, &err);
    ret->status = 204;
    return row_result(rq, rc, "end", &err);
}

/* ---- nonce and evidence ---- */

static int post_nonce(struct api_request *rq, struct api_response *ret)
{
    char nonce[EXCHANGE_NONCE_TEXT_SIZE];
    int64_t now_s = server_now_s(rq->server);
    struct err err = { "" };
    int rc = api_body_read(rq, NULL, 0);

    if (rc < 0)
        return rc;
    rc = nonce_make(rq->server, now_s, nonce, &err);
    if (rc < 0)
        return api_problem_errno(rq, rc, "nonce", &err);
    ret->status = 200;
    ret->body = json_pack("{s:s,s:o}", "nonce", nonce, "expires",
                          api_time((now_s + EXCHANGE_NONCE_LIFE_S) * 1000));
    return ret->body ? 0 : -ENOMEM;
}

static int evidence_handle(struct api_request *rq, struct evidence_request *request,
                           struct api_response *ret)
{
    struct refusal refusal = { NULL };
    struct err err = { "" };
    int rc = evidence_request_decode(rq->body, request, &err);

    if (rc == -EINVAL)
        return api_problem(rq, 400, "invalid-member", "%s", err.text);
    if (rc < 0)
        return rc;
    rc = nonce_check(rq->server, request->nonce, server_now_s(rq->server), &err);
    if (rc == -EACCES) {
        refusal_set(&refusal, "nonce-unknown", "NONCE", "%s", err.text);
        snprintf(refusal.fix, sizeof refusal.fix, "ask for a new nonce for each evidence");
        return refusal_answer(rq, request->nonce_text, &refusal);
    }
    if (rc < 0)
        return api_problem_errno(rq, rc, "nonce", &err);
    return request->purpose == PURPOSE_NODE ? exchange_admit_node(rq, request, ret)
                                            : exchange_admit(rq, request, ret);
}

static int post_evidence(struct api_request *rq, struct api_response *ret)
{
    struct evidence_request request;
    int rc = evidence_handle(rq, &request, ret);

    evidence_request_done(&request);
    return rc;
}

const struct api_route exchange_routes[] = {
    { "POST", "/v1/exchange/end", post_end, 0, API_FOR_INSTANCE, 4096 },
    { "POST", "/v1/exchange/evidence", post_evidence, 0, API_PUBLIC, EXCHANGE_EVIDENCE_BODY_MAX },
    { "POST", "/v1/exchange/nonce", post_nonce, 0, API_PUBLIC, 64 },
    { "GET", "/v1/exchange/orders", get_orders, 0, API_FOR_INSTANCE, 0 },
};
const unsigned exchange_route_count = ARRAY_COUNT(exchange_routes);
