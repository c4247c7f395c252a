/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revocation of an instance, a build, a node, a platform or an app, for good: the row that refuses every renewal is written first, and with it the first instances are told; the others
 * follow in transactions of their own, so that no revocation holds up the store. Relying party.
 */
#include "server/exchange/revoke.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/auth/token.h"
#include "server/ca/ca.h"
#include "server/exchange/exchange.h"
#include "server/exchange/internal.h"
#include "server/model/app.h"
#include "server/model/list.h"
#include "server/model/revocation.h"
#include "server/model/row.h"

#define BATCH 500u

struct revoke {
    struct api_request *rq;
    const char *kind, *object, *reason;
    char id[80]; /* of the object */
    int64_t now_ms;
    unsigned told; /* in this transaction */
};

/* Living instances that the revocation meets. */
static const char *targets_statement(const char *kind)
{
#define LIVING                                                                                     \
    "state IN ('requested', 'starting', 'running', 'unreachable', 'stopping') ORDER BY id LIMIT "  \
    "$3"
    if (strcmp(kind, "instance") == 0)
        return "SELECT id FROM instances WHERE org_id = $1 AND id = $2 AND " LIVING;
    if (strcmp(kind, "build") == 0)
        return "SELECT id FROM instances WHERE org_id = $1 AND build_id = $2 AND " LIVING;
    if (strcmp(kind, "node") == 0)
        return "SELECT id FROM instances WHERE org_id = $1 AND node_id = $2 AND " LIVING;
    if (strcmp(kind, "platform") == 0)
        return "SELECT id FROM instances WHERE org_id = $1 AND platform_id = $2 AND " LIVING;
    return "SELECT id FROM instances WHERE org_id = $1 AND app_id = $2 AND " LIVING;
#undef LIVING
}

/* Those that are over may have certificates that are not; only ones of living instances are taken back one by one. */
static const char *ended_statement(const char *kind)
{
#define ENDED " AND state IN ('stopped', 'refused'))"
#define TAKE_BACK                                                                                  \
    "UPDATE certificates SET revoked_ms = $3 WHERE org_id = $1 AND revoked_ms IS NULL AND "        \
    "until_ms > $3 AND instance_id IN (SELECT id FROM instances WHERE org_id = $1 AND "
    if (strcmp(kind, "instance") == 0)
        return TAKE_BACK "id = $2" ENDED;
    if (strcmp(kind, "build") == 0)
        return TAKE_BACK "build_id = $2" ENDED;
    if (strcmp(kind, "node") == 0)
        return TAKE_BACK "node_id = $2" ENDED;
    if (strcmp(kind, "platform") == 0)
        return TAKE_BACK "platform_id = $2" ENDED;
    return TAKE_BACK "app_id = $2" ENDED;
#undef TAKE_BACK
#undef ENDED
}

static int instance_tell(struct store_tx *tx, struct revoke *r, const char *id, struct err *err)
{
    const char *org_id = r->rq->who.org_id;
    char reason[300];
    int rc;

    snprintf(reason, sizeof reason, "%s revoked: %s", r->kind, r->reason);
    row_text_trim(reason);
    rc = store_exec(tx, "UPDATE instances SET wanted = 'stop' WHERE org_id = $1 AND id = $2",
                    STORE_ARGS(store_text(org_id), store_text(id)), err);
    if (rc >= 0)
        rc = instance_state_set(tx, org_id, id, r->now_ms, "revoked", reason, err);
    if (rc == 0)
        rc = ca_revoke(tx, org_id, id, r->now_ms, err);
    return rc < 0 ? rc : exchange_order(tx, id, "revoke", reason, err);
}

static int batch_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct revoke *r = arg;
    char ids[BATCH][ID_SIZE];
    unsigned count = 0;
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx, targets_statement(r->kind),
        STORE_ARGS(store_text(r->rq->who.org_id), store_text(r->id), store_int(BATCH)), &rows, err);

    while (rc == 0 && count < BATCH && (rc = store_rows_next(rows, err)) > 0) {
        row_copy(ids[count++], ID_SIZE, store_column_text(rows, 0));
        rc = 0;
    }
    store_rows_free(rows);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = instance_tell(tx, r, ids[i], err);
    r->told = count;
    return rc;
}

/* Nodes are known by their names, too. */
static int node_name_resolve(struct store_tx *tx, struct revoke *r, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc =
        store_query(tx, "SELECT id FROM nodes WHERE org_id = $1 AND (id = $2 OR name = $2) LIMIT 1",
                    STORE_ARGS(store_text(r->rq->who.org_id), store_text(r->object)), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc > 0)
        row_copy(r->id, sizeof r->id, store_column_text(rows, 0));
    return MIN(rc, 0);
}

/* 16 bytes of PPID, or 8 to 39 of a chip id, in hex as instances show it: one that was never seen may be revoked ahead. */
static bool is_platform_id(const char *text)
{
    size_t len = strlen(text);

    return len >= 16 && len <= 78 && len % 2 == 0 && strspn(text, "0123456789abcdef") == len;
}

/* The object is the organisation's; builds and apps keep their own mark. */
static int object_revoke(struct store_tx *tx, struct revoke *r, struct err *err)
{
    struct server *server = r->rq->server;
    const char *org_id = r->rq->who.org_id;
    int64_t count;
    int rc;

    snprintf(r->id, sizeof r->id, "%s", r->object);
    if (strcmp(r->kind, "app") == 0) {
        char id[32];

        rc = app_find_id(tx, org_id, r->object, id, err);
        if (rc == 0)
            snprintf(r->id, sizeof r->id, "%s", id);
        return rc < 0 ? rc : app_revoke(server, tx, org_id, r->id, err);
    }
    if (strcmp(r->kind, "build") == 0)
        return build_revoke(server, tx, org_id, r->id, err);
    if (strcmp(r->kind, "platform") == 0)
        return 0;
    if (strcmp(r->kind, "node") == 0) {
        rc = node_name_resolve(tx, r, err);
        if (rc < 0)
            return rc;
    }
    rc = store_get_int(tx,
                       strcmp(r->kind, "node") == 0
                           ? "SELECT COUNT(*) FROM nodes WHERE org_id = $1 AND id = $2"
                           : "SELECT COUNT(*) FROM instances WHERE org_id = $1 AND id = $2",
                       STORE_ARGS(store_text(org_id), store_text(r->id)), &count, err);
    if (rc == 0 && count == 0)
        return err_set(err, -ENOENT, "no such %s", r->kind);
    if (rc == 0 && strcmp(r->kind, "node") == 0) {
        rc = store_exec(tx,
                        "UPDATE nodes SET state = 'revoked', version = version + 1 WHERE org_id = "
                        "$1 AND id = $2",
                        STORE_ARGS(store_text(org_id), store_text(r->id)), err);
        if (rc >= 0)
            rc = token_revoke_all(server, tx, org_id, r->id, NULL, err);
    }
    return MIN(rc, 0);
}

static int revoke_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct revoke *r = arg;
    char event[32];
    int rc = object_revoke(tx, r, err);
    const struct revocation revocation = { r->rq->who.org_id, r->kind,       r->id,
                                           r->reason,         r->rq->who.id, r->now_ms };

    if (rc == 0)
        rc = revocation_add(r->rq->server, tx, &revocation, err);
    if (rc >= 0)
        rc = store_exec(
            tx, ended_statement(r->kind),
            STORE_ARGS(store_text(r->rq->who.org_id), store_text(r->id), store_int(r->now_ms)),
            err);
    if (rc >= 0)
        rc = batch_in(tx, r, err);
    if (rc < 0)
        return rc;
    snprintf(event, sizeof event, "%s.revoked", r->kind);
    return row_tell(r->rq, tx, "revocation.add", strcmp(r->kind, "instance") == 0 ? NULL : event,
                    r->id, json_pack("{s:s,s:s}", "kind", r->kind, "reason", r->reason), err);
}

int revocations_post(struct api_request *rq, struct api_response *ret)
{
    static const char *const kinds[] = { "instance", "build", "node", "platform", "app" };
    struct revoke r = { .rq = rq, .now_ms = server_now_ms(rq->server) };
    const struct api_member members[] = {
        { "kind", API_STRING, true, &r.kind, 1, 16 },
        { "object", API_STRING, true, &r.object, 1, sizeof r.id - 1 },
        { "reason", API_STRING, true, &r.reason, 1, 200 },
    };
    struct err err = { "" };
    unsigned told;
    bool known = false;
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++)
        known |= strcmp(r.kind, kinds[i]) == 0;
    if (!known)
        return api_problem(rq, 400, "invalid-member",
                           "kind: instance, build, node, platform or app is expected");
    if (strlen(r.object) >= sizeof r.id)
        return api_problem(rq, 400, "invalid-member", "object: at most %zu bytes are expected",
                           sizeof r.id - 1);
    if (strcmp(r.kind, "platform") == 0 && !is_platform_id(r.object))
        return api_problem(rq, 400, "invalid-member",
                           "object: the `platform` of an instance is expected, in lower case");
    rc = store_write(rq->server->store, revoke_in, &r, &err);
    told = r.told;
    while (rc >= 0 && r.told == BATCH) {
        rc = store_write(rq->server->store, batch_in, &r, &err);
        told += r.told;
    }
    if (rc == -ENOSPC)
        return api_problem(rq, 409, "too-many", "%s", err.text);
    if (rc < 0)
        return row_result(rq, rc, "revocation", &err);
    ret->status = 201;
    ret->body = json_pack("{s:s,s:s,s:s,s:o,s:i}", "kind", r.kind, "object", r.id, "reason",
                          r.reason, "time", api_time(r.now_ms), "instances", (int)told);
    return ret->body ? 0 : -ENOMEM;
}

/* ---- list ---- */

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    const char *kind = store_column_text(rows, 0), *object = store_column_text(rows, 1);

    *ret = json_pack("{s:o,s:s,s:s,s:s?,s:s,s:o}", "id", json_sprintf("%s:%s", kind, object),
                     "kind", kind, "object", object, "reason", store_column_text(rows, 2), "by",
                     store_column_text(rows, 3), "time", api_time(store_column_int(rows, 4)));
    return *ret ? 0 : -ENOMEM;
}

int revocations_get(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of revocations = {
        "revocations",
        "SELECT kind, object, reason, created_by, created_ms FROM revocations "
        "WHERE org_id = $1 AND kind || ':' || object > $2 ORDER BY kind || ':' || object LIMIT $3",
        .item = list_item,
    };

    return list_answer(rq, &revocations, NULL, ret);
}
