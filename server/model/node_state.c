/* SPDX-License-Identifier: Apache-2.0 */
/* What state a node is in, by evidence, time and instances, and when it is to show evidence. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/config.h"
#include "server/model/node.h"

#define BATCH 100u

static bool is_state(const struct node_row *n, const char *state)
{
    return strcmp(n->state, state) == 0;
}

void node_settle(const struct server *server, struct node_row *n, int64_t now_ms)
{
    bool is_optional = strcmp(server->config->node_evidence, "optional") == 0;
    const char *state;

    if (is_state(n, "revoked"))
        return;
    if (n->attested_ms && n->evidence_until_ms <= now_ms && !n->refusal[0])
        snprintf(n->refusal, sizeof n->refusal,
                 "EVIDENCE_AGE: its evidence has ended, and it has shown no other");
    if (is_state(n, "draining") || is_state(n, "drained"))
        state = n->instances > 0 ? "draining" : "drained";
    else if (n->refusal[0])
        state = "refused";
    else if (!n->seen_ms || (!n->attested_ms && !is_optional))
        state = "joined";
    else
        state = now_ms - n->seen_ms > NODE_SEEN_MAX_MS ? "silent" : "ready";
    row_copy(n->state, sizeof n->state, state);
}

bool node_attest_is_due(const struct node_row *n, int64_t now_ms)
{
    int64_t half = (n->evidence_until_ms - n->attested_ms) / 2;

    if (is_state(n, "revoked"))
        return false;
    if (n->is_attest_wanted || !n->judged_ms)
        return true;
    if (n->judged_ms > n->attested_ms) /* the last was refused */
        return now_ms >= n->judged_ms + NODE_ATTEST_RETRY_MS;
    return now_ms >= n->attested_ms + MAX(half, (int64_t)NODE_ATTEST_MIN_MS);
}

int node_settled_write(struct store_tx *tx, const struct node_row *was, const struct node_row *is,
                       struct err *err)
{
    char kind[32];
    json_t *data;
    int rc;

    if (strcmp(was->state, is->state) == 0 && strcmp(was->refusal, is->refusal) == 0)
        return 0;
    rc = store_exec(tx,
                    "UPDATE nodes SET state = $1, refusal = $2, version = version + 1 "
                    "WHERE org_id = $3 AND id = $4",
                    STORE_ARGS(store_text(is->state),
                               store_text(is->refusal[0] ? is->refusal : NULL),
                               store_text(is->org_id), store_text(is->id)),
                    err);
    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    snprintf(kind, sizeof kind, "node.%s", is->state);
    data =
        json_pack("{s:s,s:s*}", "state", is->state, "reason", is->refusal[0] ? is->refusal : NULL);
    rc = data ? event_append(tx, is->org_id, kind, is->id, data, err) : -ENOMEM;
    json_decref(data);
    return rc < 0 ? rc : 1;
}

/* ---- all that time has changed ---- */

struct settle {
    struct server *server;
    char after[32];
    int64_t now_ms;
    unsigned found, changed;
    struct node_row changes[BATCH];
};

/* Those whose state is not what it would be now. */
static int settle_find(struct store_tx *tx, void *arg, struct err *err)
{
    struct settle *s = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT " NODE_COLUMNS " WHERE n.org_id >= '' AND n.id > $1 AND "
                         "n.state NOT IN ('revoked', 'drained') ORDER BY n.id LIMIT $2",
                         STORE_ARGS(store_text(s->after), store_int(BATCH)), &rows, err);

    s->found = s->changed = 0;
    while (rc >= 0 && s->found < BATCH && (rc = store_rows_next(rows, err)) > 0) {
        struct node_row was, is;

        node_decode(rows, &was);
        is = was;
        node_settle(s->server, &is, s->now_ms);
        row_copy(s->after, sizeof s->after, was.id);
        s->found++;
        if (strcmp(was.state, is.state) != 0 || strcmp(was.refusal, is.refusal) != 0)
            s->changes[s->changed++] = was;
    }
    return MIN(rc, 0);
}

static int settle_tell(struct store_tx *tx, const struct node_row *node, struct err *err)
{
    json_t *detail = json_pack("{s:s,s:s*}", "state", node->state, "reason",
                               node->refusal[0] ? node->refusal : NULL);
    const struct audit_entry entry = { .org_id = node->org_id,
                                       .actor = "server",
                                       .action = "node.change",
                                       .object = node->id,
                                       .decision = "done",
                                       .detail = detail };
    int rc = detail ? audit_append(tx, &entry, err) : -ENOMEM;

    json_decref(detail);
    return rc;
}

/* Read again: a heartbeat may have come between. */
static int settle_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct settle *s = arg;
    int rc = 0;

    for (unsigned i = 0; rc >= 0 && i < s->changed; i++) {
        struct node_row was, is;

        rc = node_read(tx, s->changes[i].org_id, s->changes[i].id, &was, err);
        if (rc < 0)
            return rc;
        is = was;
        node_settle(s->server, &is, s->now_ms);
        rc = node_settled_write(tx, &was, &is, err);
        if (rc > 0)
            rc = settle_tell(tx, &is, err);
    }
    return MIN(rc, 0);
}

int node_settle_all(struct server *server, struct err *err)
{
    struct settle *s = calloc(1, sizeof *s);
    int rc = 0, total = 0;

    if (!s)
        return -ENOMEM;
    s->server = server;
    s->now_ms = server_now_ms(server);
    do {
        rc = store_read(server->store, settle_find, s, err);
        if (rc == 0 && s->changed > 0)
            rc = store_write(server->store, settle_write, s, err);
        total += (int)s->changed;
    } while (rc == 0 && s->found == BATCH);
    free(s);
    return rc < 0 ? rc : total;
}
