/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/instances: which build, which node. Relying party; requests are hostile. The other endpoints of instances are the exchange's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/model/app.h"
#include "server/model/build_row.h"
#include "server/model/node.h"
#include "server/model/routes.h"
#include "server/store/id.h"

struct op {
    struct api_request *rq;
    const char *app, *build, *node;
    bool replace;
    char id[ID_SIZE];
    json_t *out;
};

static void op_done(struct op *op)
{
    json_decref(op->out);
}

/* Whether instances of the build may have keys now; what forbids it becomes the problem. */
static int check_build(struct op *op, struct store_tx *tx, const struct build_row *build,
                       struct err *err)
{
    struct err why = { 0 };
    int rc = build_check(op->rq->server, tx, build, server_now_ms(op->rq->server), &why);

    if (rc != -EACCES) {
        *err = why;
        return rc;
    }
    rc = api_problem(op->rq, 409, "build-not-allowed", "%s", why.text);
    api_problem_set(op->rq, "step", json_string("build-check"));
    api_problem_set(op->rq, "actual", json_string(build->state));
    api_problem_set(op->rq, "fix", json_sprintf("have it approved: cloche approve %s", build->id));
    return rc;
}

/* The newest allowed one, that has its approvals. */
static int find_build(struct op *op, struct store_tx *tx, const struct app_row *app,
                      struct build_full *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT " BUILD_COLUMNS " WHERE b.org_id = $1 AND b.app_id = $2 AND "
                         "b.state = 'allowed' ORDER BY b.id DESC LIMIT 1",
                         STORE_ARGS(store_text(app->org_id), store_text(app->id)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc > 0)
        return build_full_decode(op->rq->server, rows, ret, err);
    if (rc < 0)
        return rc;
    rc = api_problem(op->rq, 409, "build-not-allowed", "no build of app %s is allowed", app->name);
    api_problem_set(op->rq, "fix",
                    json_string("propose one (cloche build push) and have it approved "
                                "(cloche approve)"));
    return rc;
}

static bool has_tee(const struct build_row *build, const char *tee)
{
    return (strcmp(tee, "sgx") == 0 && build->has_sgx) ||
           (strcmp(tee, "snp") == 0 && build->has_snp) ||
           (strcmp(tee, "tdx") == 0 && build->has_tdx);
}

/* returns: NULL the node can take one more, or why not. */
static const char *judge_node(const struct op *op, struct node_row *node,
                              const struct build_full *build)
{
    node_settle(op->rq->server, node, server_now_ms(op->rq->server));

    json_t *capacity = node->capacity[0] ? json_loads(node->capacity, 0, NULL) : NULL;
    json_t *descriptor = json_loads(build->descriptor, 0, NULL);
    json_t *instances = json_object_get(capacity, "instances");
    json_t *memory = json_object_get(capacity, "memory_size");
    bool is_full = node->instances >= NODE_INSTANCE_COUNT_MAX ||
                   (instances && node->instances >= json_integer_value(instances));
    bool is_small = memory && json_integer_value(memory) <
                                  json_integer_value(json_object_get(descriptor, "memory_size"));

    json_decref(capacity);
    json_decref(descriptor);
    if (node->refusal[0])
        return node->refusal;
    if (strcmp(node->state, "joined") == 0)
        return node->attested_ms ? "joined, and was not heard of"
                                 : "joined, and has shown no evidence of its platform";
    if (strcmp(node->state, "ready") != 0)
        return node->state;
    if (!has_tee(&build->row, node->tee))
        return "of a TEE that the build has no measurement for";
    return is_full ? "full" : is_small ? "too small for the build's memory" : NULL;
}

static int choose_node(struct op *op, struct store_tx *tx, const struct build_full *build,
                       struct node_row *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    json_t *reasons = json_object();
    bool is_found = false;
    int rc = store_query(tx, "SELECT " NODE_COLUMNS " WHERE n.org_id = $1 ORDER BY n.id",
                         STORE_ARGS(store_text(op->rq->who.org_id)), &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        struct node_row node;

        node_decode(rows, &node);
        const char *reason = judge_node(op, &node, build);

        if (reason && json_object_size(reasons) < 20)
            json_object_set_new(reasons, node.name, json_string(reason));
        if (!reason && (!is_found || node.instances < ret->instances)) {
            *ret = node;
            is_found = true;
        }
    }
    if (rc >= 0 && !is_found) {
        rc = api_problem(op->rq, 409, "no-node", "no node can take an instance of this build");
        api_problem_set(op->rq, "actual", json_incref(reasons));
        api_problem_set(op->rq, "fix", json_string("start a node (cloche node run), or name one"));
    }
    json_decref(reasons);
    return rc;
}

static int find_node(struct op *op, struct store_tx *tx, const struct build_full *build,
                     struct node_row *ret, struct err *err)
{
    if (!op->node)
        return choose_node(op, tx, build, ret, err);
    int rc = node_lookup(op->rq, tx, op->node, ret, err);

    if (rc < 0)
        return rc;
    const char *reason = judge_node(op, ret, build);

    if (!reason)
        return 0;
    return api_problem(op->rq, 409, "no-node", "the node %s is %s", ret->name, reason);
}

/* An app that is single has one instance: the old one is stopped when asked for; the fence of the exchange keeps them apart meanwhile. */
static int check_single(struct op *op, struct store_tx *tx, const struct app_row *app,
                        struct err *err)
{
    char ids[16][32];
    unsigned count = 0;
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT id FROM instances WHERE org_id = $1 AND app_id = $2 AND "
                         "wanted = 'run' AND " INSTANCE_IS_LIVE " ORDER BY id LIMIT 16",
                         STORE_ARGS(store_text(app->org_id), store_text(app->id)), &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0)
        row_copy(ids[count++], sizeof ids[0], store_column_text(rows, 0));
    store_rows_free(rows);
    if (rc >= 0 && count > 0 && !op->replace) {
        rc = api_problem(op->rq, 409, "app-single",
                         "app %s has one instance at a time, and %s is it", app->name, ids[0]);
        api_problem_set(op->rq, "fix", json_string("stop it first, or ask with replace"));
    }
    for (unsigned i = 0; rc >= 0 && i < count; i++) {
        rc = instance_stop(op->rq->server, tx, app->org_id, ids[i],
                           "another instance takes its place", err);
        if (rc >= 0)
            rc = event_append(tx, app->org_id, "instance.stopping", ids[i], NULL, err);
    }
    return rc;
}

static int insert(struct op *op, struct store_tx *tx, const struct build_row *build,
                  const struct node_row *node, struct err *err)
{
    int64_t now_ms = server_now_ms(op->rq->server);
    int rc = store_exec(tx,
                        "INSERT INTO instances (id, org_id, app_id, build_id, node_id, state, "
                        "wanted, tee, is_emulated, created_ms, changed_ms) "
                        "VALUES ($1, $2, $3, $4, $5, 'requested', 'run', $6, $7, $8, $8)",
                        STORE_ARGS(store_text(op->id), store_text(build->org_id),
                                   store_text(build->app_id), store_text(build->id),
                                   store_text(node->id), store_text(node->tee),
                                   store_int(node->is_emulated), store_int(now_ms)),
                        err);

    if (rc >= 0)
        rc =
            instance_state_write(op->rq->server, tx, build->org_id, op->id, "requested", NULL, err);
    if (rc < 0)
        return rc;
    json_decref(op->out);
    op->out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "id", op->id, "app", build->app_id,
                        "build", build->id, "node", node->id, "state", "requested", "wanted", "run",
                        "created", api_time(now_ms));
    return row_tell(op->rq, tx, "instance.create", "instance.requested", op->id,
                    json_incref(op->out), err);
}

static int create_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    CLEANUP(app_row_done)
    struct app_row app = { 0 };
    CLEANUP(build_full_done)
    struct build_full build = { 0 };
    struct node_row node;
    int rc = app_lookup(op->rq, tx, op->app, &app, err);

    if (rc < 0)
        return rc;
    if (app.is_revoked)
        return api_problem(op->rq, 409, "app-revoked", "the app %s is revoked", app.name);
    rc = op->build ? build_lookup(op->rq, tx, app.id, op->build, &build, err)
                   : find_build(op, tx, &app, &build, err);
    if (rc >= 0)
        rc = check_build(op, tx, &build.row, err);
    if (rc >= 0)
        rc = find_node(op, tx, &build, &node, err);
    if (rc >= 0 && app.is_single)
        rc = check_single(op, tx, &app, err);
    return rc < 0 ? rc : insert(op, tx, &build.row, &node, err);
}

static int create_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    snprintf(ret->location, sizeof ret->location, "/v1/instances/%s", op->id);
    return row_answer(ret, 201, 0, TAKE_PTR(op->out));
}

static int create(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    const struct api_member members[] = {
        { "app", API_STRING, true, &op.app, 1, 64 },
        { "build", API_STRING, false, &op.build, 1, 64 },
        { "node", API_STRING, false, &op.node, 1, 64 },
        { "replace", API_BOOL, false, &op.replace },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    id_make("ins", op.id);
    return row_write_answer(rq, create_tx, create_answer, &op, "instance", ret);
}

const struct api_route placement_routes[] = {
    { "POST", "/v1/instances", create, API_OWNER | API_OPERATOR, API_IDEMPOTENT },
};
const unsigned placement_route_count = ARRAY_COUNT(placement_routes);
