/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of approvals: a build's statement and signatures; approver keys; the roster and its changes. Relying party; requests are hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/model/app.h"
#include "server/model/approval.h"
#include "server/model/build_row.h"
#include "server/model/roster_change.h"
#include "server/model/routes.h"
#include "server/store/id.h"

struct op {
    struct api_request *rq;
    roster_change_fn *change;
    json_t *out;
    int status;
};

static void op_done(struct op *op)
{
    json_decref(op->out);
}

static int answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, op->status, 0, TAKE_PTR(op->out));
}

static void set_out(struct op *op, json_t *j)
{
    json_decref(op->out);
    op->out = j;
}

/* ---- builds ---- */

/* What all that follows is about. *ret_statement for free(). */
static int read_subject(struct op *op, struct store_tx *tx, struct roster *roster,
                        struct build_full *build, char **ret_statement, struct err *err)
{
    CLEANUP(app_row_done)
    struct app_row app = { 0 };
    struct server *server = op->rq->server;
    int rc = build_lookup(op->rq, tx, NULL, op->rq->params[0], build, err);

    if (rc >= 0)
        rc = app_read(server, tx, build->row.app_id, &app, err);
    if (rc >= 0)
        rc = roster_read(server, tx, op->rq->who.org_id, roster, err);
    if (rc >= 0)
        rc = approval_statement_build(&roster->org, &app, &build->row, ret_statement);
    return rc < 0 ? rc : 0;
}

static void free_text(char **text)
{
    free(*text);
}

static int build_show_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    CLEANUP(build_full_done)
    struct build_full build = { 0 };
    CLEANUP(free_text)
    char *statement = NULL;
    unsigned given;
    int rc = read_subject(op, tx, &roster, &build, &statement, err);

    set_out(op, json_object());
    if (rc >= 0)
        rc = approval_show(op->rq->server, tx, &roster, build.row.id, statement, &given, op->out,
                           err);
    if (rc >= 0)
        json_object_set_new(op->out, "state", json_string(build.row.state));
    return rc;
}

static int build_show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .status = 200 };

    return row_read_answer(rq, build_show_tx, answer, &op, "approvals", ret);
}

static int build_allow(struct op *op, struct store_tx *tx, struct build_full *build,
                       struct err *err)
{
    row_copy(build->row.state, sizeof build->row.state, "allowed");
    int rc = build_full_update(op->rq->server, tx, build, err);

    if (rc < 0)
        return rc;
    json_t *data = json_pack("{s:s,s:s}", "app", build->row.app_id, "version", build->row.version);

    rc = event_append(tx, op->rq->who.org_id, "build.allowed", build->row.id, data, err);
    json_decref(data);
    return rc;
}

static int build_approve_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct api_request *rq = op->rq;
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    CLEANUP(build_full_done)
    struct build_full build = { 0 };
    CLEANUP(free_text)
    char *statement = NULL;
    const struct roster_key *key;
    unsigned given;
    int rc = read_subject(op, tx, &roster, &build, &statement, err);

    if (rc < 0)
        return rc;
    if (strcmp(build.row.state, "revoked") == 0)
        return api_problem(rq, 409, "revoked", "build %s is revoked, for good", build.row.version);
    rc = approval_add(rq, tx, &roster, build.row.id, statement, &key, err);
    set_out(op, json_object());
    if (rc >= 0)
        rc = approval_show(rq->server, tx, &roster, build.row.id, statement, &given, op->out, err);
    if (rc >= 0 && strcmp(build.row.state, "proposed") == 0 && approval_is_enough(&roster, given))
        rc = build_allow(op, tx, &build, err);
    if (rc < 0)
        return rc;
    json_object_set_new(op->out, "state", json_string(build.row.state));
    return row_tell(rq, tx, "build.approve", "build.approved", build.row.id,
                    json_pack("{s:s,s:s,s:s,s:i,s:I,s:s}", "key", key->id, "user", key->user_id,
                              "statement", statement, "given", given, "needed",
                              (json_int_t)roster.org.approvals_needed, "state", build.row.state),
                    err);
}

static int read_approval(struct api_request *rq)
{
    const char *key, *signature;
    const struct api_member members[] = {
        { "key", API_STRING, true, &key, 1, 64 },
        { "signature", API_BASE64URL, true, &signature, 86, 86 },
    };

    return api_body_read(rq, members, ARRAY_COUNT(members));
}

static int build_approve(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .status = 200 };
    struct err err = { 0 };
    int rc = read_approval(rq);

    if (rc < 0)
        return rc;
    rc = api_write(rq, build_approve_tx, answer, &op, ret, &err);
    if (rc == -EPROTO)
        row_tell_refused(rq, "build.approve", "bld", rq->params[0]);
    return row_result(rq, rc, "approval", &err);
}

/* ---- keys and roster ---- */

static int keys_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    int rc = roster_read(op->rq->server, tx, op->rq->who.org_id, &roster, err);
    json_t *list = json_array();

    for (unsigned i = 0; rc >= 0 && i < roster.count; i++) {
        json_t *key = roster_key_json(&roster.keys[i]);

        json_array_append_new(list, key);
        rc = roster_change_find(tx, op->rq->who.org_id, roster.keys[i].id, key, err);
    }
    set_out(op, json_pack("{s:I,s:I,s:o}", "version", (json_int_t)roster.org.roster_version,
                          "needed", (json_int_t)roster.org.approvals_needed, "keys", list));
    return rc;
}

static int roster_show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .status = 200 };

    return row_read_answer(rq, keys_tx, answer, &op, "roster", ret);
}

static int keys_list(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .status = 200 };
    int rc = row_read(rq, keys_tx, &op, "keys");

    if (rc < 0)
        return rc;
    set_out(&op, json_pack("{s:O,s:n}", "items", json_object_get(op.out, "keys"), "next"));
    return answer(&op, ret);
}

static int change_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    json_t *out = NULL;
    int rc = op->change(op->rq, tx, &out, err);

    if (rc >= 0)
        set_out(op, out);
    return rc;
}

static int enrol(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .change = roster_enrol, .status = 201 };
    const char *name, *public_key, *proof;
    const struct api_member members[] = {
        { "name", API_STRING, true, &name, 1, 63 },
        { "public_key", API_BASE64URL, true, &public_key, 43, 43 },
        { "proof", API_BASE64URL, true, &proof, 86, 86 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0)
        rc = row_name_check(rq, "name", name);
    return rc < 0 ? rc : row_write_answer(rq, change_tx, answer, &op, "key", ret);
}

/* ---- changes ---- */

static int change_show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .change = roster_change_show, .status = 200 };

    return row_read_answer(rq, change_tx, answer, &op, "change", ret);
}

static int change_propose(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .change = roster_change_propose, .status = 201 };
    const char *action, *key;
    int64_t needed;
    const struct api_member members[] = {
        { "action", API_STRING, true, &action, 1, 16 },
        { "key", API_STRING, false, &key, 1, 64 },
        { "approvals_needed", API_INT, false, &needed, 1, 100 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    return rc < 0 ? rc : row_write_answer(rq, change_tx, answer, &op, "change", ret);
}

static int change_approve(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .change = roster_change_approve, .status = 200 };
    struct err err = { 0 };
    int rc = read_approval(rq);

    if (rc < 0)
        return rc;
    rc = api_write(rq, change_tx, answer, &op, ret, &err);
    if (rc == -EPROTO)
        row_tell_refused(rq, "roster.approve", "rch", rq->params[0]);
    return row_result(rq, rc, "change", &err);
}

#define APPROVERS (API_APPROVER | API_OWNER)

const struct api_route approval_routes[] = {
    { "GET", "/v1/builds/{build}/approvals", build_show, .flags = API_ANY_ROLE },
    { "POST", "/v1/builds/{build}/approvals", build_approve, APPROVERS, API_IDEMPOTENT },
    { "GET", "/v1/keys", keys_list, .flags = API_ANY_ROLE },
    { "POST", "/v1/keys", enrol, APPROVERS, API_IDEMPOTENT },
    { "GET", "/v1/roster", roster_show, .flags = API_ANY_ROLE },
    { "GET", "/v1/roster/changes", roster_change_list, .flags = API_ANY_ROLE },
    { "POST", "/v1/roster/changes", change_propose, APPROVERS, API_IDEMPOTENT },
    { "GET", "/v1/roster/changes/{change}", change_show, .flags = API_ANY_ROLE },
    { "POST", "/v1/roster/changes/{change}/approvals", change_approve, APPROVERS, API_IDEMPOTENT },
};
const unsigned approval_route_count = ARRAY_COUNT(approval_routes);
