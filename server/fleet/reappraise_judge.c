/* SPDX-License-Identifier: Apache-2.0 */
/* Re-appraisal, the threads that read and judge: one short read a batch, one thread at a time; judging holds nothing of the store. They give way to those that serve. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/exchange/exchange.h"
#include "server/fleet/reappraise.h"
#include "server/model/row.h"

#define NICENESS 4
#define CONTEXT_COUNT 32u
#define FAILURES_LOGGED 3u /* of a batch */

/* What evidence of one build is judged by, read once a round: what changes meanwhile starts another round. */
struct context {
    char app_id[ID_SIZE], build_id[ID_SIZE]; /* "": free */
    struct policy_ref policy;
    struct build_row build;
    bool is_good; /* the build may run */
    char why[REASON_SIZE];
};
struct judge {
    struct round *round;
    struct stored_list list;
    struct appraisal appraisal;
    struct context contexts[CONTEXT_COUNT];
};

/* ---- reading ---- */

static int list_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct judge *j = arg;

    stored_list_done(&j->list); /* of a try before this one */
    return stored_list_read(tx, j->round->org_id, j->round->after, &j->list, err);
}

/* returns: whether there is something to judge. */
static bool list_next(struct judge *j)
{
    struct round *r = j->round;
    struct err err = { "" };
    int rc = 0;

    pthread_mutex_lock(&r->reading);
    j->list.count = 0;
    while (rc >= 0 && j->list.count == 0 && !r->is_end && !round_is_over(r)) {
        rc = store_read(r->fleet->server->store, list_in, j, &err);
        if (rc >= 0) {
            memcpy(r->after, j->list.last, sizeof r->after);
            r->is_end = j->list.is_end;
        }
    }
    pthread_mutex_unlock(&r->reading);
    if (rc < 0)
        round_fail(r, rc, &err);
    return rc >= 0 && j->list.count > 0;
}

/* ---- judging ---- */

struct context_read {
    struct round *round;
    const struct stored *stored;
    struct context *ret;
};

static int context_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct context_read *read = arg;
    struct context *c = read->ret;
    const struct stored *s = read->stored;
    struct server *server = read->round->fleet->server;
    struct err why = { "" };
    int rc;

    policy_unref(&c->policy);
    rc = build_read(server, tx, s->org_id, s->build_id, &c->build, err);
    if (rc == 0)
        rc = policy_get(server, tx, s->org_id, s->app_id, &c->policy, err);
    if (rc < 0)
        return rc;
    rc = build_check(server, tx, &c->build, read->round->now_ms, &why);
    c->is_good = rc == 0;
    snprintf(c->why, sizeof c->why, "%.299s", why.text);
    return rc == -EACCES ? 0 : rc;
}

static int context_find(struct judge *j, const struct stored *s, struct context **ret,
                        struct err *err)
{
    uint32_t hash = 0;
    struct context *c;
    struct context_read read = { .round = j->round, .stored = s };
    int rc;

    for (const char *p = s->build_id; *p; p++)
        hash = hash * 31 + (uint8_t)*p;
    c = &j->contexts[hash % CONTEXT_COUNT];
    if (strcmp(c->build_id, s->build_id) != 0 || strcmp(c->app_id, s->app_id) != 0) {
        c->build_id[0] = c->app_id[0] = 0;
        read.ret = c;
        rc = store_read(j->round->fleet->server->store, context_in, &read, err);
        if (rc < 0)
            return rc;
        memcpy(c->build_id, s->build_id, sizeof c->build_id);
        memcpy(c->app_id, s->app_id, sizeof c->app_id);
    }
    *ret = c;
    return 0;
}

static int judge_one(struct judge *j, const struct stored *s, struct judged *ret, struct err *err)
{
    struct appraisal *a = &j->appraisal;
    const struct refusal *why = &a->refusal;
    struct context *c;
    int rc = context_find(j, s, &c, err);

    if (rc == 0)
        rc = stored_judge(j->round->fleet->server->exchange, s, c->policy.policy, &c->build,
                          j->round->now_ms, a, err);
    if (rc < 0)
        return rc;
    if (!c->is_good)
        refusal_set(&a->refusal, "build-not-allowed", "BUILD_STATE", "%s", c->why);
    ret->has_fallen = why->code != NULL;
    snprintf(ret->reason, sizeof ret->reason, "%.60s: %.230s", why->step, why->detail);
    row_text_trim(ret->reason);
    memcpy(ret->tcb_status, a->tcb_status, sizeof ret->tcb_status);
    ret->valid_until_ms = a->valid_until_ms;
    ret->is_changed = ret->has_fallen || s->has_fallen ||
                      strcmp(ret->tcb_status, s->tcb_status) != 0 ||
                      ret->valid_until_ms != s->valid_until_ms;
    return ret->is_changed ? verifier_result_json(&a->result, j->round->now_ms / 1000, &ret->ear)
                           : 0;
}

static void failure_log(struct judge *j, struct batch *b, const struct stored *s,
                        const struct err *why)
{
    if (b->failed++ < FAILURES_LOGGED)
        server_log(j->round->fleet->server, "warning", "evidence could not be judged again",
                   "instance", s->id, "why", why->text, NULL);
}

static void list_judge(struct judge *j, struct batch *b)
{
    for (unsigned i = 0; i < j->list.count; i++) {
        const struct stored *s = &j->list.items[i];
        struct judged *judged = &b->judged[b->count++];
        struct err why = { "" };

        *judged = (struct judged){ .evidence_ms = s->evidence_ms };
        memcpy(judged->id, s->id, sizeof judged->id);
        memcpy(judged->org_id, s->org_id, sizeof judged->org_id);
        if (judge_one(j, s, judged, &why) < 0) {
            judged->is_changed = false;
            failure_log(j, b, s, &why);
        }
    }
}

void *reappraise_judge(void *round)
{
    struct round *r = round;
    struct judge *j = calloc(1, sizeof *j);
    struct err err = { "" };

    /* Linux: of this thread alone. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    if (!j)
        round_fail(r, err_set_errno(&err, -ENOMEM, "evidence"), &err);
    else
        j->round = r;
    while (j && list_next(j)) {
        struct batch *b = calloc(1, sizeof *b);

        if (b)
            list_judge(j, b);
        else
            round_fail(r, err_set_errno(&err, -ENOMEM, "evidence"), &err);
        stored_list_done(&j->list);
        if (b)
            round_queue(r, b);
    }
    for (unsigned i = 0; j && i < CONTEXT_COUNT; i++)
        policy_unref(&j->contexts[i].policy);
    free(j);
    round_queue(r, NULL);
    return NULL;
}
