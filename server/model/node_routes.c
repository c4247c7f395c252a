/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of nodes as people see them: join tokens, joining, list, show, drain, resume. Relying party; requests are hostile. Nodes' own: node_work.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/auth/token.h"
#include "server/exchange/exchange.h"
#include "server/model/list.h"
#include "server/model/node.h"
#include "server/model/node_work.h"
#include "server/model/routes.h"
#include "server/store/id.h"

#define JOIN_LIFETIME_DEFAULT_S 3600
#define JOIN_LIFETIME_MAX_S 604800
#define NODE_COUNT_MAX 10000 /* of an organisation */

struct op {
    struct api_request *rq;
    const char *name, *token, *public_key;
    uint8_t spki[EXCHANGE_KEY_SIZE_MAX];
    size_t spki_size; /* 0: it said none */
    int64_t lifetime_s;
    struct node_row node;
    char text[TOKEN_TEXT_SIZE], id[ID_SIZE];
    json_t *out;
};

static void op_done(struct op *op)
{
    json_decref(op->out);
    explicit_bzero(op->text, sizeof op->text);
}

static void set_out(struct op *op, json_t *j)
{
    json_decref(op->out);
    op->out = j;
}

/* ---- joining ---- */

static int token_create_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct token_row row = { .kind = "join" };

    row_copy(row.org_id, sizeof row.org_id, op->rq->who.org_id);
    row_copy(row.owner_id, sizeof row.owner_id, op->rq->who.id);
    row_copy(row.name, sizeof row.name, op->name);
    row.expires_ms = server_now_ms(op->rq->server) + op->lifetime_s * 1000;
    int rc = token_add(op->rq->server, tx, &row, op->text, err);

    if (rc < 0)
        return rc;
    set_out(op, json_pack("{s:s,s:s,s:o}", "id", row.id, "token", op->text, "expires",
                          api_time(row.expires_ms)));
    return row_tell(op->rq, tx, "node.token", "node.token-created", row.id,
                    json_pack("{s:s,s:o}", "name", row.name, "expires", api_time(row.expires_ms)),
                    err);
}

static int token_create_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, 201, 0, TAKE_PTR(op->out));
}

static int token_create(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .lifetime_s = JOIN_LIFETIME_DEFAULT_S };
    const struct api_member members[] = {
        { "name", API_STRING, false, &op.name, 1, 63 },
        { "lifetime_s", API_INT, false, &op.lifetime_s, 60, JOIN_LIFETIME_MAX_S },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0 && op.name)
        rc = row_name_check(rq, "name", op.name);
    return rc < 0 ? rc
                  : row_write_answer(rq, token_create_tx, token_create_answer, &op, "token", ret);
}

static int refuse_token(struct api_request *rq)
{
    int rc = api_problem(rq, 403, "join-token-invalid",
                         "this join token is unknown, used already, or expired");

    api_problem_set(rq, "fix", json_string("ask for another: cloche node token"));
    return rc;
}

static int insert_node(struct op *op, struct store_tx *tx, const struct token_row *join,
                       struct err *err)
{
    int64_t count, now_ms = server_now_ms(op->rq->server);
    const char *name = join->name[0] ? join->name : op->name;

    if (!name)
        return api_problem(op->rq, 400, "invalid-member", "name is missing");
    if (op->name && strcmp(op->name, name) != 0)
        return api_problem(op->rq, 403, "join-token-invalid",
                           "the join token is for a node of another name");
    int rc = store_get_int(tx, "SELECT COUNT(*) FROM nodes WHERE org_id = $1",
                           STORE_ARGS(store_text(join->org_id)), &count, err);

    if (rc >= 0 && count >= NODE_COUNT_MAX)
        return api_problem(op->rq, 409, "too-many", "the organisation has %d nodes",
                           NODE_COUNT_MAX);
    if (rc >= 0)
        rc = store_exec(
            tx,
            "INSERT INTO nodes (id, org_id, name, state, public_key, created_ms) "
            "VALUES ($1, $2, $3, 'joined', $4, $5)",
            STORE_ARGS(store_text(op->id), store_text(join->org_id), store_text(name),
                       op->spki_size ? store_blob(op->spki, op->spki_size) : store_null(),
                       store_int(now_ms)),
            err);
    if (rc == -EEXIST)
        return api_problem(op->rq, 409, "already-exists",
                           "there is a node %s already, or one with this public key", name);
    return rc < 0 ? rc : 0;
}

/* Who joins is nobody yet: its organisation is the token's. */
static int tell_joined(struct op *op, struct store_tx *tx, const struct token_row *join,
                       struct err *err)
{
    json_t *detail = json_pack("{s:s,s:s}", "name", op->node.name, "token", join->id);
    const struct audit_entry entry = { .org_id = join->org_id,
                                       .actor = op->id,
                                       .action = "node.join",
                                       .object = op->id,
                                       .decision = "done",
                                       .detail = detail,
                                       .request_id = op->rq->request_id };
    int rc = event_append(tx, join->org_id, "node.joined", op->id, detail, err);

    if (rc >= 0)
        rc = audit_append(tx, &entry, err);
    json_decref(detail);
    return rc;
}

static int join_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct server *server = op->rq->server;
    struct token_row join, own = { .kind = "node" };
    int rc = token_find(server, tx, op->token, &join, err);

    if (rc == -ENOENT || rc == -EBADMSG ||
        (rc >= 0 &&
         (strcmp(join.kind, "join") != 0 || !token_is_good(&join, server_now_ms(server)))))
        return refuse_token(op->rq);
    if (rc >= 0)
        rc = insert_node(op, tx, &join, err);
    if (rc >= 0)
        rc = token_revoke(server, tx, join.org_id, join.id, err);
    if (rc < 0)
        return rc;
    row_copy(own.org_id, sizeof own.org_id, join.org_id);
    row_copy(own.owner_id, sizeof own.owner_id, op->id);
    row_copy(own.name, sizeof own.name, "node");
    rc = token_add(server, tx, &own, op->text, err);
    if (rc >= 0)
        rc = node_read(tx, join.org_id, op->id, &op->node, err);
    return rc < 0 ? rc : tell_joined(op, tx, &join, err);
}

/* The key that the node's evidence will be about. */
static int read_public_key(struct op *op)
{
    if (!op->public_key || exchange_key_parse(op->public_key, op->spki, &op->spki_size) == 0)
        return 0;
    int rc = api_problem(op->rq, 400, "invalid-member",
                         "public_key is no SubjectPublicKeyInfo (DER) of P-256 in base64url");

    api_problem_set(op->rq, "member", json_string("/public_key"));
    return rc;
}

static int join(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    const struct api_member members[] = {
        { "token", API_STRING, true, &op.token, 1, 256 },
        { "name", API_STRING, false, &op.name, 1, 63 },
        { "public_key", API_STRING, false, &op.public_key, 1, 256 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0 && op.name)
        rc = row_name_check(rq, "name", op.name);
    if (rc >= 0)
        rc = read_public_key(&op);
    if (rc < 0)
        return rc;
    id_make("nod", op.id);
    rc = row_write(rq, join_tx, &op, "node");
    return rc < 0
               ? rc
               : row_answer(ret, 201, 0,
                            json_pack("{s:o,s:s}", "node", node_json(&op.node), "token", op.text));
}

/* ---- list and show ---- */

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    struct node_row node;

    node_decode(rows, &node);
    *ret = node_json(&node);
    return 0;
}

static int list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of nodes = {
        "nodes",
        "SELECT " NODE_COLUMNS " WHERE n.org_id = $1 AND n.id > $2 ORDER BY n.id LIMIT $3",
        .item = list_item,
    };

    return list_answer(rq, &nodes, NULL, ret);
}

static int show_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;

    return node_lookup(op->rq, tx, op->rq->params[0], &op->node, err);
}

static int answer_node(struct op *op, int rc, struct api_response *ret)
{
    return rc < 0 ? rc : row_answer(ret, 200, op->node.version, node_json(&op->node));
}

static int show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };

    return answer_node(&op, row_read(rq, show_tx, &op, "node"), ret);
}

/* ---- drain and resume ---- */

static int stop_all(struct op *op, struct store_tx *tx, struct err *err)
{
    char(*ids)[32] = calloc(NODE_INSTANCE_COUNT_MAX, sizeof *ids);
    struct store_rows *rows = NULL;
    unsigned count = 0;
    int rc = ids ? store_query(tx,
                               "SELECT id FROM instances WHERE org_id = $1 AND node_id = $2 AND "
                               "wanted = 'run' AND " INSTANCE_IS_LIVE " LIMIT $3",
                               STORE_ARGS(store_text(op->node.org_id), store_text(op->node.id),
                                          store_int(NODE_INSTANCE_COUNT_MAX)),
                               &rows, err)
                 : -ENOMEM;

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0)
        row_copy(ids[count++], sizeof *ids, store_column_text(rows, 0));
    store_rows_free(rows);
    for (unsigned i = 0; rc >= 0 && i < count; i++) {
        rc = instance_stop(op->rq->server, tx, op->node.org_id, ids[i], "its node is drained", err);
        if (rc >= 0)
            rc = event_append(tx, op->node.org_id, "instance.stopping", ids[i], NULL, err);
    }
    free(ids);
    return rc;
}

static int drain_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    int rc = node_lookup(op->rq, tx, op->rq->params[0], &op->node, err);

    if (rc < 0 || strcmp(op->node.state, "draining") == 0 || strcmp(op->node.state, "drained") == 0)
        return rc;
    if (strcmp(op->node.state, "revoked") == 0)
        return api_problem(op->rq, 409, "revoked", "the node %s is revoked", op->node.name);
    rc = stop_all(op, tx, err);
    if (rc >= 0)
        rc = node_state_write(tx, &op->node, op->node.instances ? "draining" : "drained", err);
    return rc < 0 ? rc
                  : row_tell(op->rq, tx, "node.drain",
                             op->node.instances ? "node.draining" : "node.drained", op->node.id,
                             NULL, err);
}

static int drain(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };

    return answer_node(&op, row_write(rq, drain_tx, &op, "node"), ret);
}

static int resume_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    int rc = node_lookup(op->rq, tx, op->rq->params[0], &op->node, err);

    if (rc < 0)
        return rc;
    if (strcmp(op->node.state, "revoked") == 0)
        return api_problem(op->rq, 409, "revoked", "the node %s is revoked", op->node.name);
    if (strcmp(op->node.state, "draining") != 0 && strcmp(op->node.state, "drained") != 0)
        return 0;
    struct node_row is = op->node;

    row_copy(is.state, sizeof is.state, "joined");
    node_settle(op->rq->server, &is, server_now_ms(op->rq->server));
    rc = node_settled_write(tx, &op->node, &is, err);
    if (rc < 0)
        return rc;
    is.version += rc;
    op->node = is;
    return row_tell(op->rq, tx, "node.resume", NULL, is.id, NULL, err);
}

static int resume(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };

    return answer_node(&op, row_write(rq, resume_tx, &op, "node"), ret);
}

/* ---- evidence, now ---- */

static int attest_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    int rc = node_lookup(op->rq, tx, op->rq->params[0], &op->node, err);

    if (rc < 0)
        return rc;
    if (strcmp(op->node.state, "revoked") == 0)
        return api_problem(op->rq, 409, "revoked", "the node %s is revoked", op->node.name);
    rc = store_exec(tx,
                    "UPDATE nodes SET is_attest_wanted = 1, version = version + 1 "
                    "WHERE org_id = $1 AND id = $2",
                    STORE_ARGS(store_text(op->node.org_id), store_text(op->node.id)), err);
    op->node.version++;
    return rc < 0 ? rc
                  : row_tell(op->rq, tx, "node.attest-ask", "node.attest-asked", op->node.id, NULL,
                             err);
}

static int attest(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };

    return answer_node(&op, row_write(rq, attest_tx, &op, "node"), ret);
}

const struct api_route node_routes[] = {
    { "GET", "/v1/node", node_self, .flags = API_FOR_NODE },
    { "POST", "/v1/node/heartbeat", node_heartbeat, .flags = API_FOR_NODE },
    { "POST", "/v1/node/reports", node_reports, .flags = API_FOR_NODE },
    { "GET", "/v1/node/work", node_work, .flags = API_FOR_NODE },
    { "GET", "/v1/nodes", list, .flags = API_ANY_ROLE },
    { "POST", "/v1/nodes/join", join, .flags = API_PUBLIC, .body_size_max = 4096 },
    { "POST", "/v1/nodes/tokens", token_create, API_OWNER | API_OPERATOR, API_IDEMPOTENT },
    { "GET", "/v1/nodes/{node}", show, .flags = API_ANY_ROLE },
    { "POST", "/v1/nodes/{node}/attest", attest, API_OWNER | API_OPERATOR, 0 },
    { "POST", "/v1/nodes/{node}/drain", drain, API_OWNER | API_OPERATOR, 0 },
    { "GET", "/v1/nodes/{node}/evidence", node_evidence, .flags = API_ANY_ROLE },
    { "POST", "/v1/nodes/{node}/resume", resume, API_OWNER | API_OPERATOR, 0 },
};
const unsigned node_route_count = ARRAY_COUNT(node_routes);
