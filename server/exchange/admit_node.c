/* SPDX-License-Identifier: Apache-2.0 */
/* A node's evidence about its platform: what it runs on goes into the node's row, nothing is released. The node's own token says which node it is. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/auth/auth.h"
#include "server/ca/ca.h"
#include "server/exchange/internal.h"
#include "server/model/row.h"

struct node_admission {
    struct api_request *rq;
    struct evidence_request *request;
    struct auth_who who;
    int64_t now_ms;
    struct policy_ref policy;
    struct appraisal *appraisal;
    struct refusal refusal;
    char *ear, *evidence;
    size_t evidence_size;
};

static int policy_read_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct node_admission *n = arg;

    return policy_get(n->rq->server, tx, n->who.org_id, NULL, &n->policy, err);
}

static int tell(struct store_tx *tx, struct node_admission *n, struct err *err)
{
    bool refused = n->refusal.code != NULL;
    struct audit_entry entry = { .org_id = n->who.org_id,
                                 .actor = n->who.id,
                                 .action = "node.attest",
                                 .object = n->who.id,
                                 .decision = refused ? "refused" : "allowed",
                                 .evidence_sha256 = n->request->evidence_sha256,
                                 .request_id = n->rq->request_id };
    json_t *data = json_pack("{s:s,s:s?,s:s?}", "tee", n->appraisal->tee, "tcb_status",
                             n->appraisal->tcb_status[0] ? n->appraisal->tcb_status : NULL, "step",
                             refused ? n->refusal.step : NULL);
    int rc = data ? event_append(tx, n->who.org_id, refused ? "node.refused" : "node.attested",
                                 n->who.id, data, err)
                  : -ENOMEM;

    entry.detail = data;
    if (rc == 0)
        rc = audit_append(tx, &entry, err);
    json_decref(data);
    return rc;
}

static int node_write_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct node_admission *n = arg;
    const struct appraisal *p = n->appraisal;
    int rc =
        nonce_use(tx, n->request->nonce, n->now_ms + (EXCHANGE_NONCE_LIFE_S + 10) * 1000ll, err);

    if (rc == -EEXIST) {
        n->refusal = (struct refusal){ NULL };
        refusal_set(&n->refusal, "nonce-used", "NONCE", "the nonce was used before");
        return -ECANCELED;
    }
    if (rc == 0)
        rc = revocation_find(tx, n->who.org_id, "", "", "", n->who.id, p->platform_id, &n->refusal,
                             err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "UPDATE nodes SET tee = $1, is_emulated = $2, platform_id = $3, tcb = $4, "
                    "evidence = $5, appraisal = $6, seen_ms = $7, "
                    "version = version + 1 WHERE org_id = $8 AND id = $9",
                    STORE_ARGS(store_text(p->tee), store_int(p->is_emulated),
                               store_text(p->platform_id[0] ? p->platform_id : NULL),
                               store_text(p->tcb_status[0] ? p->tcb_status : NULL),
                               store_blob(n->evidence, n->evidence_size), store_text(n->ear),
                               store_int(n->now_ms), store_text(n->who.org_id),
                               store_text(n->who.id)),
                    err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : tell(tx, n, err);
}

static int judge(struct node_admission *n, struct err *err)
{
    struct evidence_request *r = n->request;
    struct exchange *exchange = n->rq->server->exchange;
    struct collateral_ref collateral;
    uint8_t binding[64];
    char *stapled = NULL;
    size_t stapled_size = 0;
    struct appraise_input input = { .evidence = r->evidence,
                                    .policy = n->policy.policy,
                                    .report_data = binding,
                                    .now_s = n->now_ms / 1000,
                                    .evidence_time_s = n->now_ms / 1000 };
    struct collateral_wish wish = { .evidence = r->evidence, .report_data = binding };
    int rc = stapled_encode(r->cmw, r->collateral, &stapled, &stapled_size);

    if (rc == -ENOMEM)
        return rc;
    evidence_request_binding(r, binding);
    wish.stapled = (struct verifier_bytes){ (const uint8_t *)stapled, stapled_size };
    rc = collateral_find(exchange, &wish, &collateral, err);
    free(stapled);
    if (rc < 0)
        return rc;
    input.collateral = collateral.collateral;
    input.collateral_why = collateral.why;
    rc = appraise(exchange, &input, n->appraisal, err);
    collateral_unref(&collateral);
    n->refusal = n->appraisal->refusal;
    if (rc == 0)
        rc = verifier_result_json(&n->appraisal->result, n->now_ms / 1000, &n->ear);
    if (rc == 0)
        rc = cmw_encode_json(r->cmw, &n->evidence, &n->evidence_size);
    return rc;
}

static int answer(struct node_admission *n, struct api_response *ret, struct err *err)
{
    char *result = NULL, *text, *jws = NULL;
    json_t *payload;
    int rc = ca_sign(n->rq->server->ca, EXCHANGE_RESULT_TYPE, n->ear, &result, err);

    if (rc < 0)
        return rc;
    payload = json_pack("{s:s,s:s,s:I,s:s}", "nonce", n->request->nonce_text, "node", n->who.id,
                        "time", (json_int_t)(n->now_ms / 1000), "result", result);
    free(result);
    text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
    json_decref(payload);
    rc = text ? ca_sign(n->rq->server->ca, EXCHANGE_ANSWER_TYPE, text, &jws, err) : -ENOMEM;
    free(text);
    if (rc < 0)
        return rc;
    ret->status = 200;
    ret->body = json_pack("{s:s}", "answer", jws);
    free(jws);
    return ret->body ? 0 : -ENOMEM;
}

static int who_asks(struct node_admission *n)
{
    const char *authorization = api_header(n->rq, "Authorization");
    struct err err = { "" };

    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0 ||
        auth_bearer(n->rq->server, authorization + 7, &n->who, &err) < 0 || n->who.kind != API_NODE)
        return api_problem(n->rq, 401, "not-authenticated", "a node's token is needed");
    if (strcmp(n->who.id, n->request->node_id) != 0)
        return api_problem(n->rq, 403, "forbidden", "the token is of another node");
    return 0;
}

static int admit(struct node_admission *n, struct api_response *ret)
{
    struct server *server = n->rq->server;
    struct err err = { "" };
    int rc = who_asks(n);

    if (rc < 0)
        return rc;
    rc = store_read(server->store, policy_read_in, n, &err);
    if (rc == 0)
        rc = judge(n, &err);
    if (rc == 0 && (!n->refusal.code || appraisal_is_authentic(n->appraisal))) {
        rc = store_write(server->store, node_write_in, n, &err);
        events_wake(server->events);
    }
    if (rc == -ECANCELED || (rc >= 0 && n->refusal.code))
        return refusal_answer(n->rq, n->request->nonce_text, &n->refusal);
    if (rc >= 0)
        rc = answer(n, ret, &err);
    return rc < 0 ? api_problem_errno(n->rq, rc, "node evidence", &err) : 0;
}

int exchange_admit_node(struct api_request *rq, struct evidence_request *request,
                        struct api_response *ret)
{
    struct node_admission n = { .rq = rq,
                                .request = request,
                                .now_ms = server_now_ms(rq->server),
                                .appraisal = calloc(1, sizeof(struct appraisal)) };
    int rc = n.appraisal ? admit(&n, ret) : -ENOMEM;

    policy_unref(&n.policy);
    free(n.appraisal);
    free(n.ear);
    free(n.evidence);
    return rc;
}
