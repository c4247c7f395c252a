/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes ask and tell: heartbeat, work, reports. Relying party; a node may lie: it moves states of its own instances, and nothing else. */
#include "server/model/node_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/api/events.h"
#include "server/model/node.h"

#define WAIT_MAX_S 60

struct op {
    struct api_request *rq;
    const char *tee, *software, *location;
    bool is_emulated;
    json_t *capacity, *reports;
    char *capacity_text;
    struct node_row node;
    char tag[33];
    json_t *out, *unknown;
    int64_t taken;
};

static void op_done(struct op *op)
{
    free(op->capacity_text);
    json_decref(op->out);
    json_decref(op->unknown);
}

/* The node that asks; a revoked one has nothing to say. */
static int read_self(struct op *op, struct store_tx *tx, struct err *err)
{
    int rc = node_lookup(op->rq, tx, op->rq->who.id, &op->node, err);

    if (rc >= 0 && strcmp(op->node.state, "revoked") == 0)
        return api_problem(op->rq, 403, "revoked", "the node %s is revoked", op->node.name);
    return rc;
}

static int self_tx(struct store_tx *tx, void *arg, struct err *err)
{
    return read_self(arg, tx, err);
}

int node_self(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    int rc = row_read(rq, self_tx, &op, "node");

    return rc < 0 ? rc : row_answer(ret, 200, 0, node_json(&op.node));
}

/* ---- heartbeat ---- */

static bool is_capacity(const char *name, const json_t *value)
{
    static const struct {
        const char *name;
        json_int_t max;
    } members[] = { { "instances", 100000 },
                    { "memory_size", (json_int_t)1 << 53 },
                    { "cpus", 100000 } };
    json_int_t number = json_integer_value(value);

    for (unsigned i = 0; json_is_integer(value) && i < ARRAY_COUNT(members); i++)
        if (strcmp(name, members[i].name) == 0)
            return number >= 0 && number <= members[i].max;
    return false;
}

static int check_capacity(struct api_request *rq, json_t *capacity)
{
    const char *name;
    json_t *value;

    json_object_foreach(capacity, name, value) if (!is_capacity(name, value))
    {
        int rc = api_problem(
            rq, 400, "invalid-member",
            "capacity: %.64s is not instances, memory_size or cpus with a number that can be",
            name);

        api_problem_set(rq, "member", json_sprintf("/capacity/%.64s", name));
        return rc;
    }
    return 0;
}

static int heartbeat_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct node_row *node = &op->node;
    int rc = read_self(op, tx, err);

    if (rc < 0)
        return rc;
    struct node_row is = *node;
    int64_t now_ms = server_now_ms(op->rq->server);

    /* What the node says counts only where evidence says nothing. */
    if (op->tee && !node->attested_ms) {
        row_copy(is.tee, sizeof is.tee, op->tee);
        is.is_emulated = op->is_emulated;
    }
    if (op->capacity_text)
        row_copy(is.capacity, sizeof is.capacity, op->capacity_text);
    if (op->software)
        row_copy(is.software, sizeof is.software, op->software);
    if (op->location)
        row_copy(is.location, sizeof is.location, op->location);
    bool is_changed = memcmp(&is, node, sizeof is) != 0;

    is.seen_ms = now_ms;
    node_settle(op->rq->server, &is, now_ms);
    rc = store_exec(tx,
                    "UPDATE nodes SET tee = $1, is_emulated = $2, capacity = $3, software = $4, "
                    "location = $5, seen_ms = $6, version = version + $7 "
                    "WHERE org_id = $8 AND id = $9",
                    STORE_ARGS(store_text(is.tee[0] ? is.tee : NULL), store_int(is.is_emulated),
                               store_text(is.capacity[0] ? is.capacity : NULL),
                               store_text(is.software[0] ? is.software : NULL),
                               store_text(is.location[0] ? is.location : NULL),
                               store_int(is.seen_ms), store_int(is_changed), store_text(is.org_id),
                               store_text(is.id)),
                    err);
    if (rc >= 0)
        rc = node_settled_write(tx, node, &is, err);
    if (rc < 0)
        return rc;
    *node = is;
    /* Only what is new is told: heartbeats are not news. */
    return is_changed || rc > 0
               ? row_tell(op->rq, tx, "node.change", is_changed ? "node.changed" : NULL, is.id,
                          node_json(&is), err)
               : 0;
}

int node_heartbeat(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    const struct api_member members[] = {
        { "tee", API_STRING, false, &op.tee, 3, 3 },
        { "emulated", API_BOOL, false, &op.is_emulated },
        { "capacity", API_OBJECT, false, &op.capacity },
        { "software", API_STRING, false, &op.software, 1, 64 },
        { "location", API_STRING, false, &op.location, 1, 64 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0 && op.tee && strcmp(op.tee, "sgx") != 0 && strcmp(op.tee, "tdx") != 0 &&
        strcmp(op.tee, "snp") != 0)
        rc = api_problem(rq, 400, "invalid-member", "tee is not sgx, tdx or snp");
    if (rc >= 0 && op.capacity) {
        rc = check_capacity(rq, op.capacity);
        op.capacity_text = rc >= 0 ? row_canonical(op.capacity) : NULL;
    }
    if (rc >= 0)
        rc = row_write(rq, heartbeat_tx, &op, "node");
    return rc < 0 ? rc : row_answer(ret, 200, 0, node_json(&op.node));
}

/* ---- work ---- */

static json_t *work_json(const struct store_rows *rows)
{
    size_t size;
    const uint8_t *digest = store_column_blob(rows, 7, &size);
    const char *state = store_column_text(rows, 2);
    bool is_over = strcmp(state, "refused") == 0 || strcmp(state, "revoked") == 0;
    json_t *settings = json_loads(store_column_text(rows, 9), 0, NULL);
    char hex[ROW_HEX_SIZE];
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s?,s:I}", "id", store_column_text(rows, 0),
                  "wanted", is_over ? "stop" : store_column_text(rows, 1), "state", state, "app",
                  store_column_text(rows, 3), "app_name", store_column_text(rows, 4), "build",
                  store_column_text(rows, 5), "version", store_column_text(rows, 6), "app_digest",
                  row_hex(digest, size, hex), "image", store_column_text(rows, 8), "grace_s",
                  json_integer_value(json_object_get(settings, "grace_s")));

    json_decref(settings);
    return j;
}

/* Of those that were refused or revoked, until the node has said that the process is gone. */
static int work_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    json_t *list = json_array();
    int rc = read_self(op, tx, err);

    json_decref(op->out);
    op->out =
        json_pack("{s:s,s:b,s:o}", "state", op->node.state, "attest",
                  node_attest_is_due(&op->node, server_now_ms(op->rq->server)), "instances", list);
    if (rc >= 0)
        rc = store_query(tx,
                         "SELECT i.id, i.wanted, i.state, a.id, a.name, b.id, b.version, "
                         "b.app_digest, b.image, a.settings FROM instances i "
                         "JOIN apps a ON a.id = i.app_id JOIN builds b ON b.id = i.build_id "
                         "WHERE i.org_id = $1 AND i.node_id = $2 AND (i." INSTANCE_IS_LIVE
                         " OR (i.state IN ('refused', 'revoked') AND i.exit_status IS NULL)) "
                         "ORDER BY i.id LIMIT $3",
                         STORE_ARGS(store_text(op->node.org_id), store_text(op->node.id),
                                    store_int(NODE_INSTANCE_COUNT_MAX)),
                         &rows, err);
    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0)
        json_array_append_new(list, work_json(rows));
    return rc;
}

static int make_tag(const json_t *work, char ret[33])
{
    char *text = row_canonical(work), hex[ROW_HEX_SIZE];
    uint8_t digest[32];

    if (!text)
        return -ENOMEM;
    sha256_digest(text, strlen(text), digest);
    free(text);
    snprintf(ret, 33, "%.32s", row_hex(digest, sizeof digest, hex));
    return 0;
}

static int read_wait(struct api_request *rq, uint32_t *ret_ms)
{
    const char *text = api_query(rq, "wait_s");
    char *end;

    *ret_ms = 0;
    if (!text)
        return 0;
    long value = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || value < 0 || value > WAIT_MAX_S)
        return api_problem(rq, 400, "invalid-query", "wait_s is not a number from 0 to %d",
                           WAIT_MAX_S);
    *ret_ms = (uint32_t)value * 1000;
    return 0;
}

int node_work(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    const char *after = api_query(rq, "after");
    uint32_t wait_ms;
    int rc = read_wait(rq, &wait_ms);

    if (rc >= 0)
        rc = row_read(rq, work_tx, &op, "work");
    if (rc >= 0)
        rc = make_tag(op.out, op.tag);
    if (rc < 0)
        return rc;
    if (after && strcmp(after, op.tag) == 0 && wait_ms > 0) {
        char key[64];

        snprintf(key, sizeof key, "node-work/%s", op.node.org_id);
        rc = api_park(rq, key, wait_ms);
        if (rc < 0)
            return rc;
    }
    json_object_set_new(op.out, "tag", json_string(op.tag));
    return row_answer(ret, 200, 0, TAKE_PTR(op.out));
}

/* ---- reports ---- */

struct report {
    const char *id, *process, *reason;
    int64_t exit_status; /* -1: not said */
};

static int read_report(struct api_request *rq, size_t index, json_t *item, struct report *ret)
{
    json_t *status = json_object_get(item, "exit_status");
    const char *reason = json_string_value(json_object_get(item, "reason"));
    size_t known = 2 + (status != NULL) + (json_object_get(item, "reason") != NULL);

    ret->id = json_string_value(json_object_get(item, "id"));
    ret->process = json_string_value(json_object_get(item, "process"));
    ret->reason = reason;
    ret->exit_status = status ? json_integer_value(status) : -1;
    bool is_process = ret->process &&
                      (strcmp(ret->process, "running") == 0 ||
                       strcmp(ret->process, "exited") == 0 || strcmp(ret->process, "failed") == 0);

    if (ret->id && is_process && json_object_size(item) == known &&
        (!status ||
         (json_is_integer(status) && ret->exit_status >= 0 && ret->exit_status <= 255)) &&
        (!reason ? !json_object_get(item, "reason") : strlen(reason) <= 512))
        return 0;
    int rc = api_problem(rq, 400, "invalid-member",
                         "instances: element %zu is not {id, process, exit_status, reason}", index);

    api_problem_set(rq, "member", json_sprintf("/instances/%zu", index));
    api_problem_set(
        rq, "expected",
        json_string("process: running, exited or failed; exit_status: 0 to 255; reason: "
                    "at most 512 bytes"));
    return rc;
}

static bool is_live(const char *state)
{
    static const char *const states[] = { "requested", "starting", "running", "unreachable",
                                          "stopping" };

    for (unsigned i = 0; i < ARRAY_COUNT(states); i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

/* returns: 1 taken; 0 not an instance of this node. */
static int find_state(struct op *op, struct store_tx *tx, const char *id, char state[16],
                      bool *ret_has_status, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx,
        "SELECT state, exit_status FROM instances WHERE org_id = $1 AND "
        "node_id = $2 AND id = $3",
        STORE_ARGS(store_text(op->node.org_id), store_text(op->node.id), store_text(id)), &rows,
        err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc > 0) {
        row_copy(state, 16, store_column_text(rows, 0));
        *ret_has_status = !store_is_null(rows, 1);
    }
    return rc;
}

static int report_end(struct op *op, struct store_tx *tx, const struct report *r, const char *state,
                      bool has_status, struct err *err)
{
    bool is_failed = strcmp(r->process, "failed") == 0;
    int64_t status = r->exit_status >= 0 ? r->exit_status : is_failed ? 127 : 0;
    char reason[560];
    int rc = 0;

    snprintf(reason, sizeof reason, "%s%s%s", is_failed ? "could not be started" : "exited",
             r->reason ? ": " : "", r->reason ? r->reason : "");
    row_text_trim(reason);
    if (!has_status)
        rc = store_exec(
            tx, "UPDATE instances SET exit_status = $1 WHERE org_id = $2 AND id = $3",
            STORE_ARGS(store_int(status), store_text(op->node.org_id), store_text(r->id)), err);
    if (rc < 0 || !is_live(state))
        return rc;
    rc = instance_state_write(op->rq->server, tx, op->node.org_id, r->id, "stopped", reason, err);
    if (rc >= 0)
        rc = row_tell(op->rq, tx, "instance.report", "instance.stopped", r->id,
                      json_pack("{s:s,s:I,s:s}", "node", op->node.id, "exit_status",
                                (json_int_t)status, "reason", reason),
                      err);
    return rc;
}

static int report_one(struct op *op, struct store_tx *tx, const struct report *r, struct err *err)
{
    char state[16];
    bool has_status;
    int rc = find_state(op, tx, r->id, state, &has_status, err);

    if (rc == 0)
        json_array_append_new(op->unknown, json_string(r->id));
    if (rc <= 0)
        return rc;
    op->taken++;
    if (strcmp(r->process, "running") != 0)
        return report_end(op, tx, r, state, has_status, err);
    if (strcmp(state, "requested") != 0)
        return 0;
    rc = instance_state_write(op->rq->server, tx, op->node.org_id, r->id, "starting", NULL, err);
    if (rc >= 0)
        rc = row_tell(op->rq, tx, "instance.report", "instance.starting", r->id,
                      json_pack("{s:s}", "node", op->node.id), err);
    return rc;
}

/* A node that is drained of its last instance is drained now. */
static int settle_self(struct op *op, struct store_tx *tx, struct err *err)
{
    struct node_row was, is;
    int rc = strcmp(op->node.state, "draining") == 0 ? 1 : 0;

    if (rc > 0)
        rc = node_read(tx, op->node.org_id, op->node.id, &was, err);
    if (rc < 0 || strcmp(op->node.state, "draining") != 0)
        return rc;
    is = was;
    node_settle(op->rq->server, &is, server_now_ms(op->rq->server));
    rc = node_settled_write(tx, &was, &is, err);
    return rc > 0 ? row_tell(op->rq, tx, "node.change", NULL, is.id, node_json(&is), err) : rc;
}

static int reports_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    size_t i;
    json_t *item;
    int rc = read_self(op, tx, err);

    op->taken = 0;
    json_decref(op->unknown);
    op->unknown = json_array();
    json_array_foreach(op->reports, i, item)
    {
        struct report report;

        if (rc >= 0)
            rc = read_report(op->rq, i, item, &report);
        if (rc >= 0)
            rc = report_one(op, tx, &report, err);
    }
    return rc < 0 ? rc : settle_self(op, tx, err);
}

int node_reports(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    const struct api_member members[] = {
        { "instances", API_ARRAY, true, &op.reports, 0, NODE_INSTANCE_COUNT_MAX },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0)
        rc = row_write(rq, reports_tx, &op, "reports");
    return rc < 0 ? rc
                  : row_answer(ret, 200, 0,
                               json_pack("{s:I,s:O}", "taken", (json_int_t)op.taken, "unknown",
                                         op.unknown));
}
