/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/integrity: every row of the organisation's objects whose forging would matter is read as it would be used. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/model/app_row.h"
#include "server/model/approval.h"
#include "server/model/build_row.h"
#include "server/model/policy_row.h"
#include "server/model/revocation.h"
#include "server/model/rollout_row.h"
#include "server/model/routes.h"

#define FORGED_SHOWN_MAX 1000

struct op {
    struct api_request *rq;
    int64_t checked, revocations_seen;
    json_t *forged;
};

static void op_done(struct op *op)
{
    json_decref(op->forged);
}

/* Takes what reading a row returned. returns: rc, 0 instead of -EBADMSG. */
static int note(struct op *op, int rc, const char *table, const char *id, const char *what)
{
    op->checked++;
    if (rc != -EBADMSG)
        return rc;
    if (json_array_size(op->forged) < FORGED_SHOWN_MAX)
        json_array_append_new(op->forged, json_pack("{s:s,s:s,s:s}", "table", table, "id",
                                                    id ? id : "", "what", what));
    return 0;
}

static int check_apps(struct op *op, struct store_tx *tx, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT " APP_COLUMNS " WHERE a.org_id = $1 ORDER BY a.id",
                         STORE_ARGS(store_text(op->rq->who.org_id)), &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        CLEANUP(app_full_done)
        struct app_full app = { 0 };

        rc = note(op, app_full_decode(op->rq->server, rows, &app, err), "apps",
                  store_column_text(rows, 0), err->text);
    }
    return rc;
}

/* Each approval of the build, as it is judged when it counts. */
static int check_approvals(struct op *op, struct store_tx *tx, const struct roster *roster,
                           const struct build_row *build, struct err *err)
{
    CLEANUP(app_row_done)
    struct app_row app = { 0 };
    char *statement = NULL;
    json_t *list = json_array(), *item;
    unsigned count;
    size_t i;
    int rc = app_read(op->rq->server, tx, build->app_id, &app, err);

    if (rc >= 0)
        rc = approval_statement_build(&roster->org, &app, build, &statement);
    if (rc >= 0)
        rc = approval_count(op->rq->server, tx, roster, build->id, statement, &count, list, err);
    json_array_foreach(list, i, item)
    {
        const char *reason = json_string_value(json_object_get(item, "reason"));
        bool is_forged = reason && strcmp(reason, "its key was revoked") != 0;

        if (rc >= 0)
            rc = note(op, is_forged ? -EBADMSG : 0, "approvals", build->id, reason);
    }
    json_decref(list);
    free(statement);
    return rc == -EBADMSG ? 0 : rc; /* the app's row is noted with the apps */
}

static int check_builds(struct op *op, struct store_tx *tx, const struct roster *roster,
                        struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT " BUILD_COLUMNS " WHERE b.org_id = $1 ORDER BY b.id",
                         STORE_ARGS(store_text(op->rq->who.org_id)), &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        CLEANUP(build_full_done)
        struct build_full build = { 0 };

        rc = build_full_decode(op->rq->server, rows, &build, err);
        bool is_right = rc >= 0;

        rc = note(op, rc, "builds", store_column_text(rows, 0), err->text);
        if (rc >= 0 && is_right && roster->keys)
            rc = check_approvals(op, tx, roster, &build.row, err);
    }
    return rc;
}

static int check_versions(struct op *op, struct store_tx *tx, const struct policy_row *policy,
                          struct err *err)
{
    int64_t newest;
    int rc = policy_newest(tx, policy, &newest, err);

    for (int64_t number = 1; rc >= 0 && number <= newest; number++) {
        CLEANUP(policy_version_done)
        struct policy_version version = { 0 };
        char id[64];

        snprintf(id, sizeof id, "%s/%lld", policy->id, (long long)number);
        rc = policy_version_read(op->rq->server, tx, policy, number, &version, err);
        rc = note(op, rc == -ENOENT ? -EBADMSG : rc, "policy_versions", id, err->text);
    }
    return rc;
}

static int check_policies(struct op *op, struct store_tx *tx, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT " POLICY_COLUMNS " WHERE p.org_id = $1 ORDER BY p.id",
                         STORE_ARGS(store_text(op->rq->who.org_id)), &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        struct policy_row policy;

        rc = policy_row_decode(op->rq->server, rows, &policy, err);
        bool is_right = rc >= 0;

        rc = note(op, rc, "policies", store_column_text(rows, 0), err->text);
        if (rc >= 0 && is_right)
            rc = check_versions(op, tx, &policy, err);
    }
    return rc;
}

/* seen before the transaction began: a set that is shorter was put back from an old copy. */
static int check_revocations(struct op *op, struct store_tx *tx, struct err *err)
{
    const char *org_id = op->rq->who.org_id;
    int64_t count;
    int rc = note(op, revocation_check_all(op->rq->server, tx, org_id, err), "revocations", org_id,
                  err->text);

    if (rc < 0)
        return rc;
    rc = store_get_int(tx, "SELECT COUNT(*) FROM revocations WHERE org_id = $1",
                       STORE_ARGS(store_text(org_id)), &count, err);
    if (rc < 0 || count >= op->revocations_seen)
        return rc;
    return note(op, -EBADMSG, "revocations", org_id, "fewer than this server has seen");
}

static int check_rollouts(struct op *op, struct store_tx *tx, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT " ROLLOUT_COLUMNS " WHERE org_id = $1 ORDER BY id",
                         STORE_ARGS(store_text(op->rq->who.org_id)), &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        struct rollout rollout;

        rc = rollout_decode(op->rq->server, rows, &rollout, err);
        rc = note(op, rc, "rollouts", rollout.id, err->text);
    }
    return rc;
}

static int check_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    CLEANUP(roster_done)
    struct roster roster = { 0 };

    op->checked = 0;
    json_decref(op->forged);
    op->forged = json_array();
    int rc = roster_read(op->rq->server, tx, op->rq->who.org_id, &roster, err);

    rc = note(op, rc, "orgs", op->rq->who.org_id, err->text);
    if (rc >= 0)
        rc = check_apps(op, tx, err);
    if (rc >= 0)
        rc = check_builds(op, tx, &roster, err);
    if (rc >= 0)
        rc = check_revocations(op, tx, err);
    if (rc >= 0)
        rc = check_rollouts(op, tx, err);
    return rc < 0 ? rc : check_policies(op, tx, err);
}

static int check(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .revocations_seen = revocation_seen(rq->server, rq->who.org_id) };
    int rc = row_read(rq, check_tx, &op, "integrity");

    return rc < 0 ? rc
                  : row_answer(ret, 200, 0,
                               json_pack("{s:I,s:O}", "checked", (json_int_t)op.checked, "forged",
                                         op.forged));
}

const struct api_route integrity_routes[] = {
    { "GET", "/v1/integrity", check, API_OWNER | API_AUDITOR, 0 },
};
const unsigned integrity_route_count = ARRAY_COUNT(integrity_routes);
