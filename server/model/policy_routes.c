/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of policies: make, list, show, versions, put in force. Relying party; requests are hostile. The dry run is policy_try.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/fleet/fleet.h"
#include "server/model/list.h"
#include "server/model/org.h"
#include "server/model/policy_try.h"
#include "server/model/routes.h"
#include "server/store/id.h"

struct op {
    struct api_request *rq;
    const char *name;
    char *text; /* canonical */
    int64_t version;
    bool has_default, is_default, is_changed;
    struct policy_row row;
    json_t *out;
    char id[ID_SIZE];
};

static void op_done(struct op *op)
{
    free(op->text);
    json_decref(op->out);
}

static void set_out(struct op *op, json_t *j)
{
    json_decref(op->out);
    op->out = j;
}

static int refuse_policy(struct api_request *rq, int rc, const struct err *err)
{
    if (rc != -EINVAL && rc != -E2BIG)
        return rc;
    rc = api_problem(rq, 400, "policy-invalid", "%s",
                     err->text[0] ? err->text : "the policy is too large");
    api_problem_set(rq, "step", json_string("policy-parse"));
    api_problem_set(rq, "fix",
                    json_string("docs/policy.md and verifier/policy/schema.json say what "
                                "a policy may have; try it with: cloche policy check"));
    return rc;
}

int policy_body_text(struct api_request *rq, json_t *object, const char *text, char **ret)
{
    struct verifier_policy *policy = NULL;
    struct err err = { 0 };
    char *whole = NULL;

    if (!object == !text)
        return api_problem(rq, 400, "invalid-member", "one of policy and text is expected");
    if (object) {
        whole = row_canonical(object);
        if (!whole)
            return -ENOMEM;
        text = whole;
    }
    int rc = verifier_policy_new(text, strlen(text), &policy, &err);

    verifier_policy_free(policy);
    if (rc == 0 && !whole) {
        json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

        whole = j ? row_canonical(j) : NULL;
        json_decref(j);
        rc = whole ? 0 : -EINVAL;
    }
    if (rc < 0) {
        free(whole);
        return refuse_policy(rq, rc, &err);
    }
    *ret = whole;
    return 0;
}

static json_t *object_of(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);

    return j ? j : json_null();
}

static json_t *apps_of(struct store_tx *tx, const struct policy_row *p, struct err *err,
                       int *ret_rc)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    json_t *list = json_array();
    int rc = store_query(tx,
                         "SELECT id FROM apps WHERE org_id = $1 AND policy_id = $2 ORDER BY id "
                         "LIMIT 1000",
                         STORE_ARGS(store_text(p->org_id), store_text(p->id)), &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0)
        json_array_append_new(list, json_string(store_column_text(rows, 0)));
    *ret_rc = rc;
    return list;
}

static int row_json(struct api_request *rq, struct store_tx *tx, const struct policy_row *p,
                    json_t **ret, struct err *err)
{
    struct org_row org;
    int64_t newest;
    int rc = org_read(rq->server, tx, p->org_id, &org, err);

    if (rc >= 0)
        rc = policy_newest(tx, p, &newest, err);
    if (rc < 0)
        return rc;
    json_t *apps = apps_of(tx, p, err, &rc);

    if (rc < 0) {
        json_decref(apps);
        return rc;
    }
    *ret = json_pack("{s:s,s:s,s:o,s:I,s:b,s:o,s:o}", "id", p->id, "name", p->name, "version",
                     p->version ? json_integer(p->version) : json_null(), "newest",
                     (json_int_t)newest, "default", strcmp(org.default_policy_id, p->id) == 0,
                     "apps", apps, "created", api_time(p->created_ms));
    return 0;
}

/* ---- make ---- */

static int insert_version(struct op *op, struct store_tx *tx, int64_t version, struct err *err)
{
    struct policy_version v = { .version = version,
                                .created_ms = server_now_ms(op->rq->server),
                                .text = op->text };

    row_copy(v.created_by, sizeof v.created_by, op->rq->who.id);
    return policy_version_insert(op->rq->server, tx, &op->row, &v, err);
}

static int create_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    int64_t now_ms = server_now_ms(op->rq->server);
    json_t *out = NULL;

    op->row = (struct policy_row){ .created_ms = now_ms, .changed_ms = now_ms };
    row_copy(op->row.id, sizeof op->row.id, op->id);
    row_copy(op->row.org_id, sizeof op->row.org_id, op->rq->who.org_id);
    row_copy(op->row.name, sizeof op->row.name, op->name);
    int rc = policy_row_insert(op->rq->server, tx, &op->row, err);

    if (rc == -EEXIST)
        return api_problem(op->rq, 409, "already-exists", "there is a policy %s already", op->name);
    if (rc >= 0)
        rc = insert_version(op, tx, 1, err);
    if (rc >= 0)
        rc = row_json(op->rq, tx, &op->row, &out, err);
    if (rc < 0)
        return rc;
    set_out(op, out);
    return row_tell(op->rq, tx, "policy.create", "policy.created", op->id,
                    json_pack("{s:s,s:o}", "name", op->name, "policy", object_of(op->text)), err);
}

static int create_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    snprintf(ret->location, sizeof ret->location, "/v1/policies/%s", op->id);
    return row_answer(ret, 201, op->row.changed_ms, TAKE_PTR(op->out));
}

static int create(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    json_t *object = NULL;
    const char *text = NULL;
    const struct api_member members[] = {
        { "name", API_STRING, true, &op.name, 1, 63 },
        { "policy", API_OBJECT, false, &object },
        { "text", API_STRING, false, &text, 1, VERIFIER_POLICY_SIZE_MAX },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0)
        rc = row_name_check(rq, "name", op.name);
    if (rc >= 0)
        rc = policy_body_text(rq, object, text, &op.text);
    if (rc < 0)
        return rc;
    id_make("pol", op.id);
    return row_write_answer(rq, create_tx, create_answer, &op, "policy", ret);
}

/* ---- show and list ---- */

static int show_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    CLEANUP(policy_version_done)
    struct policy_version version = { 0 };
    json_t *out = NULL;
    int rc = policy_lookup(op->rq, tx, op->rq->params[0], &op->row, err);

    if (rc >= 0 && op->row.version)
        rc = policy_version_read(op->rq->server, tx, &op->row, op->row.version, &version, err);
    if (rc >= 0)
        rc = row_json(op->rq, tx, &op->row, &out, err);
    if (rc < 0)
        return rc;
    if (version.text)
        json_object_set_new(out, "policy", object_of(version.text));
    set_out(op, out);
    return 0;
}

static int show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    int rc = row_read(rq, show_tx, &op, "policy");

    return rc < 0 ? rc : row_answer(ret, 200, op.row.changed_ms, TAKE_PTR(op.out));
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    struct policy_row row;
    int rc = policy_row_decode(l->rq->server, rows, &row, err);

    return rc < 0 ? rc : row_json(l->rq, tx, &row, ret, err);
}

static int list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of policies = {
        "policies",
        "SELECT " POLICY_COLUMNS " WHERE p.org_id = $1 AND p.id > $2 ORDER BY p.id LIMIT $3",
        .item = list_item,
    };

    return list_answer(rq, &policies, NULL, ret);
}

/* ---- versions ---- */

static json_t *version_json(const struct policy_row *row, const struct policy_version *v)
{
    return json_pack("{s:I,s:b,s:o,s:s,s:o}", "version", (json_int_t)v->version, "in_force",
                     v->version == row->version, "created", api_time(v->created_ms), "created_by",
                     v->created_by, "policy", object_of(v->text));
}

static int versions_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    int64_t version;
    int rc = policy_lookup(op->rq, tx, op->rq->params[0], &op->row, err);

    if (rc >= 0)
        rc = policy_newest(tx, &op->row, &version, err);
    set_out(op, json_pack("{s:[],s:n}", "items", "next"));
    for (int count = 0; rc >= 0 && version > 0 && count < 100; version--, count++) {
        CLEANUP(policy_version_done)
        struct policy_version v = { 0 };

        rc = policy_version_read(op->rq->server, tx, &op->row, version, &v, err);
        if (rc == -ENOENT)
            rc = err_set(err, -EBADMSG, "version %lld of policy %s is missing in the store",
                         (long long)version, op->row.name);
        if (rc >= 0)
            json_array_append_new(json_object_get(op->out, "items"), version_json(&op->row, &v));
    }
    return rc;
}

static int versions(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    int rc = row_read(rq, versions_tx, &op, "policy");

    return rc < 0 ? rc : row_answer(ret, 200, 0, TAKE_PTR(op.out));
}

static int add_version_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    json_t *changes = NULL;
    int64_t newest;
    int rc = policy_lookup(op->rq, tx, op->rq->params[0], &op->row, err);

    if (rc >= 0)
        rc = policy_newest(tx, &op->row, &newest, err);
    if (rc >= 0 && newest >= POLICY_VERSION_COUNT_MAX)
        rc = api_problem(op->rq, 409, "too-many", "policy %s has %d versions", op->row.name,
                         POLICY_VERSION_COUNT_MAX);
    if (rc >= 0)
        rc = insert_version(op, tx, newest + 1, err);
    if (rc >= 0)
        rc = policy_changes(op->rq->server, tx, &op->row, op->text, &changes, err);
    if (rc < 0)
        return rc;
    struct policy_version v = { .version = newest + 1,
                                .created_ms = server_now_ms(op->rq->server),
                                .text = op->text };

    row_copy(v.created_by, sizeof v.created_by, op->rq->who.id);
    set_out(op, version_json(&op->row, &v));
    json_object_set(op->out, "changes", changes);
    return row_tell(op->rq, tx, "policy.version", "policy.version-added", op->row.id,
                    json_pack("{s:I,s:o,s:o}", "version", (json_int_t)v.version, "changes", changes,
                              "policy", object_of(op->text)),
                    err);
}

static int add_version_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, 201, 0, TAKE_PTR(op->out));
}

static int add_version(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    json_t *object = NULL;
    const char *text = NULL;
    const struct api_member members[] = {
        { "policy", API_OBJECT, false, &object },
        { "text", API_STRING, false, &text, 1, VERIFIER_POLICY_SIZE_MAX },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0)
        rc = policy_body_text(rq, object, text, &op.text);
    return rc < 0 ? rc
                  : row_write_answer(rq, add_version_tx, add_version_answer, &op, "policy", ret);
}

/* ---- put in force ---- */

static int set_default(struct op *op, struct store_tx *tx, struct err *err)
{
    struct org_row org;
    int rc = org_read(op->rq->server, tx, op->rq->who.org_id, &org, err);
    bool is_now = rc >= 0 && strcmp(org.default_policy_id, op->row.id) == 0;

    if (rc < 0 || is_now == op->is_default)
        return rc;
    if (op->is_default && op->row.version == 0)
        return api_problem(op->rq, 409, "policy-not-in-force",
                           "no version of policy %s is in force yet", op->row.name);
    row_copy(org.default_policy_id, sizeof org.default_policy_id, op->is_default ? op->row.id : "");
    op->is_changed = true;
    return org_write(op->rq->server, tx, &org, err);
}

static int change_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct api_request *rq = op->rq;
    CLEANUP(policy_version_done)
    struct policy_version version = { 0 };
    json_t *out = NULL;
    int rc = policy_lookup(rq, tx, rq->params[0], &op->row, err);

    op->is_changed = false;
    if (rc >= 0)
        rc = row_version_check(rq, op->row.changed_ms);
    if (rc >= 0 && op->version) {
        rc = policy_version_read(rq->server, tx, &op->row, op->version, &version, err);
        if (rc == -ENOENT)
            return api_problem(rq, 404, "not-found", "policy %s has no version %lld", op->row.name,
                               (long long)op->version);
        op->is_changed = op->version != op->row.version;
        op->row.version = op->version;
        if (rc >= 0)
            rc = policy_row_update(rq->server, tx, &op->row, err);
    }
    if (rc >= 0 && op->has_default)
        rc = set_default(op, tx, err);
    if (rc >= 0)
        rc = row_json(rq, tx, &op->row, &out, err);
    if (rc < 0)
        return rc;
    set_out(op, out);
    return row_tell(rq, tx, "policy.change", "policy.changed", op->row.id, json_incref(out), err);
}

static int change_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, 200, op->row.changed_ms, TAKE_PTR(op->out));
}

static int change(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    const struct api_member members[] = {
        { "version", API_INT, false, &op.version, 1, POLICY_VERSION_COUNT_MAX },
        { "default", API_BOOL, false, &op.is_default },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    op.has_default = json_object_get(rq->body, "default") != NULL;
    if (!op.version && !op.has_default)
        return api_problem(rq, 400, "invalid-member", "version or default is expected");
    rc = row_write_answer(rq, change_tx, change_answer, &op, "policy", ret);
    if (rc == 0 && op.is_changed && rq->server->fleet)
        fleet_reappraise(rq->server->fleet, rq->who.org_id);
    return rc;
}

const struct api_route policy_routes[] = {
    { "GET", "/v1/policies", list, .flags = API_ANY_ROLE },
    { "POST", "/v1/policies", create, API_OWNER, API_IDEMPOTENT },
    { "GET", "/v1/policies/{policy}", show, .flags = API_ANY_ROLE },
    { "PATCH", "/v1/policies/{policy}", change, API_OWNER, API_IDEMPOTENT },
    { "POST", "/v1/policies/{policy}/try", policy_try, API_OWNER | API_AUDITOR | API_OPERATOR, 0 },
    { "GET", "/v1/policies/{policy}/versions", versions, .flags = API_ANY_ROLE },
    { "POST", "/v1/policies/{policy}/versions", add_version, API_OWNER, API_IDEMPOTENT },
};
const unsigned policy_route_count = ARRAY_COUNT(policy_routes);
