/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes' stored evidence judged again: read in batches, judged outside of any transaction, what changed written. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/exchange/stored.h"
#include "server/model/node.h"

#define BATCH 32u

struct found {
    struct stored stored; /* id: the node's */
    int64_t judged_ms;
    bool is_judged;
    char tcb_status[48], reason[300]; /* reason "": accepted */
    int64_t valid_until_ms;
    char *ear;
};
struct round {
    struct server *server;
    const char *org_id;
    char after[ID_SIZE];
    int64_t now_ms;
    unsigned count;
    bool is_last;
    struct found found[BATCH];
    struct policy_ref policy; /* of the organisation below */
    char policy_org[ID_SIZE];
};

static int find_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct round *r = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    unsigned seen = 0;
    int rc = store_query(tx,
                         "SELECT n.id, n.org_id, n.judged_ms, n.evidence, s.content, n.evidence_ms "
                         "FROM nodes n LEFT JOIN stapled s ON s.sha256 = n.stapled_sha256 "
                         "WHERE n.org_id >= '' AND n.id > $1 AND ($2 = '' OR n.org_id = $2) AND "
                         "n.state <> 'revoked' AND n.evidence IS NOT NULL ORDER BY n.id LIMIT $3",
                         STORE_ARGS(store_text(r->after), store_text(r->org_id), store_int(BATCH)),
                         &rows, err);

    while (rc >= 0 && seen < BATCH && (rc = store_rows_next(rows, err)) > 0) {
        struct found *f = &r->found[r->count];

        *f = (struct found){ .judged_ms = store_column_int(rows, 2) };
        row_copy(f->stored.id, ID_SIZE, store_column_text(rows, 0));
        row_copy(f->stored.org_id, ID_SIZE, store_column_text(rows, 1));
        row_copy(r->after, ID_SIZE, f->stored.id);
        f->stored.evidence_ms = store_column_int(rows, 5);
        seen++;
        rc = stored_evidence_decode(rows, 3, &f->stored, err);
        if (rc == 0)
            r->count++;
        else
            stored_done(&f->stored);
        rc = rc == -ENODATA ? 0 : rc;
    }
    r->is_last = seen < BATCH;
    return MIN(rc, 0);
}

static int policy_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct round *r = arg;

    policy_unref(&r->policy);
    return policy_get(r->server, tx, r->policy_org, NULL, &r->policy, err);
}

static int judge_one(struct round *r, struct found *f, struct appraisal *a, struct err *err)
{
    int rc = 0;

    if (strcmp(r->policy_org, f->stored.org_id) != 0) {
        memcpy(r->policy_org, f->stored.org_id, ID_SIZE);
        rc = store_read(r->server->store, policy_in, r, err);
        if (rc < 0)
            r->policy_org[0] = 0;
    }
    if (rc == 0)
        rc = stored_judge(r->server->exchange, &f->stored, r->policy.policy, NULL, r->now_ms, a,
                          err);
    if (rc == 0)
        rc = verifier_result_json(&a->result, r->now_ms / 1000, &f->ear);
    if (rc < 0)
        return rc;
    if (a->refusal.code) {
        snprintf(f->reason, sizeof f->reason, "%.60s: %.230s", a->refusal.step, a->refusal.detail);
        row_text_trim(f->reason);
    }
    memcpy(f->tcb_status, a->tcb_status, sizeof f->tcb_status);
    f->valid_until_ms = a->valid_until_ms;
    f->is_judged = true;
    return 0;
}

static int tell(struct store_tx *tx, const struct node_row *node, struct err *err)
{
    json_t *detail = json_pack("{s:s,s:s,s:s*}", "state", node->state, "tcb_status", node->tcb,
                               "reason", node->refusal[0] ? node->refusal : NULL);
    const struct audit_entry entry = { .org_id = node->org_id,
                                       .actor = "server",
                                       .action = "node.change",
                                       .object = node->id,
                                       .decision = "done",
                                       .detail = detail };
    int rc =
        detail ? event_append(tx, node->org_id, "node.changed", node->id, detail, err) : -ENOMEM;

    if (rc == 0)
        rc = audit_append(tx, &entry, err);
    json_decref(detail);
    return rc;
}

/* Whether fresh evidence is wanted: it fell, or what it shows may be good again. */
static int write_one(struct store_tx *tx, const struct round *r, const struct found *f,
                     struct err *err)
{
    struct node_row was, is;
    int64_t until_ms;
    bool is_wanted;
    int rc = node_read(tx, f->stored.org_id, f->stored.id, &was, err);

    if (rc < 0 || was.judged_ms != f->judged_ms) /* it has shown other evidence meanwhile */
        return rc == -ENOENT ? 0 : rc;
    is = was;
    if (!is.refusal[0])
        row_copy(is.refusal, sizeof is.refusal, f->reason);
    row_copy(is.tcb, sizeof is.tcb, f->tcb_status);
    until_ms = f->valid_until_ms > 0 ? MIN(was.evidence_until_ms, f->valid_until_ms)
                                     : was.evidence_until_ms;
    is.evidence_until_ms = until_ms;
    is_wanted = is.refusal[0] != 0;
    node_settle(r->server, &is, r->now_ms);
    if (strcmp(was.tcb, is.tcb) == 0 && strcmp(was.refusal, is.refusal) == 0 &&
        was.evidence_until_ms == until_ms && was.is_attest_wanted == is_wanted)
        return 0;
    rc = store_exec(tx,
                    "UPDATE nodes SET tcb = $1, appraisal = $2, evidence_until_ms = $3, "
                    "is_attest_wanted = $4, version = version + 1 WHERE org_id = $5 AND id = $6",
                    STORE_ARGS(store_text(is.tcb[0] ? is.tcb : NULL), store_text(f->ear),
                               until_ms ? store_int(until_ms) : store_null(),
                               store_int(is_wanted || was.is_attest_wanted), store_text(is.org_id),
                               store_text(is.id)),
                    err);
    if (rc >= 0)
        rc = node_settled_write(tx, &was, &is, err);
    return rc < 0 ? rc : tell(tx, &is, err);
}

static int write_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct round *r = arg;
    int rc = 0;

    for (unsigned i = 0; rc >= 0 && i < r->count; i++)
        if (r->found[i].is_judged)
            rc = write_one(tx, r, &r->found[i], err);
    return rc;
}

static int batch(struct round *r, struct appraisal *a, struct err *err)
{
    int rc;

    r->count = 0;
    rc = store_read(r->server->store, find_in, r, err);
    for (unsigned i = 0; rc == 0 && i < r->count; i++) {
        struct err why = { "" };

        if (judge_one(r, &r->found[i], a, &why) < 0)
            server_log(r->server, "warning", "a node's evidence could not be judged again", "node",
                       r->found[i].stored.id, "why", why.text, NULL);
    }
    if (rc == 0 && r->count > 0) {
        rc = store_write(r->server->store, write_in, r, err);
        events_wake(r->server->events);
    }
    for (unsigned i = 0; i < r->count; i++) {
        stored_done(&r->found[i].stored);
        free(TAKE_PTR(r->found[i].ear));
    }
    return rc;
}

int exchange_nodes_reappraise(struct server *server, const char *org_id, struct err *err)
{
    struct round *r = calloc(1, sizeof *r);
    struct appraisal *a = calloc(1, sizeof *a);
    int rc = r && a ? 0 : -ENOMEM, total = 0;

    if (rc == 0) {
        r->server = server;
        r->org_id = org_id;
        r->now_ms = server_now_ms(server);
    }
    while (rc == 0) {
        rc = batch(r, a, err);
        total += (int)r->count;
        if (r->is_last)
            break;
    }
    if (r)
        policy_unref(&r->policy);
    free(r);
    free(a);
    return rc < 0 ? rc : total;
}
