/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's evidence about its platform: what it runs on goes into the node's row, nothing is released. The node's own token says which node it is, its key what the evidence is about; key and platform stay those of its
 * first accepted evidence. Relying party; all of it is hostile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/auth/auth.h"
#include "server/ca/ca.h"
#include "server/config.h"
#include "server/exchange/internal.h"
#include "server/model/node.h"

struct node_admission {
    struct api_request *rq;
    struct evidence_request *request;
    struct auth_who who;
    int64_t now_ms;
    /* read */
    struct policy_ref policy;
    struct node_row node;
    uint8_t key[EXCHANGE_SPKI_SIZE_MAX]; /* that it joined with, or had first */
    size_t key_size;                     /* 0: none yet */
    bool key_is_taken;                   /* the request's key is another node's */
    /* judged */
    struct appraisal *appraisal;
    struct refusal refusal;
    bool is_about_node; /* what the evidence says is about this node, accepted or not */
    char *ear, *evidence, *stapled;
    size_t evidence_size, stapled_size;
    uint8_t stapled_sha256[32];
    int64_t until_ms;
};

/* ---- what is known of the node ---- */

static int keys_read(struct store_tx *tx, struct node_admission *n, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int64_t others;
    const void *key;
    size_t size;
    int rc = store_query(tx, "SELECT public_key FROM nodes WHERE org_id = $1 AND id = $2",
                         STORE_ARGS(store_text(n->who.org_id), store_text(n->who.id)), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    key = store_column_blob(rows, 0, &size);
    n->key_size = MIN(size, sizeof n->key);
    if (n->key_size)
        memcpy(n->key, key, n->key_size);
    rc = store_get_int(
        tx, "SELECT COUNT(*) FROM nodes WHERE org_id = $1 AND id <> $2 AND public_key = $3",
        STORE_ARGS(store_text(n->who.org_id), store_text(n->who.id),
                   store_blob(n->request->spki, n->request->spki_size)),
        &others, err);
    n->key_is_taken = others > 0;
    return rc;
}

static int context_read_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct node_admission *n = arg;
    int rc;

    policy_unref(&n->policy);
    rc = policy_get(n->rq->server, tx, n->who.org_id, NULL, &n->policy, err);
    if (rc == 0)
        rc = node_read(tx, n->who.org_id, n->who.id, &n->node, err);
    return rc < 0 ? rc : keys_read(tx, n, err);
}

/* ---- judging ---- */

static void refuse(struct node_admission *n, const char *step, const char *detail, const char *fix)
{
    if (n->refusal.code)
        return;
    refusal_set(&n->refusal, "attestation-refused", step, "%s", detail);
    snprintf(n->refusal.fix, sizeof n->refusal.fix, "%s", fix);
}

static bool key_check(struct node_admission *n)
{
    const struct evidence_request *r = n->request;
    bool is_same = n->key_size == 0 ||
                   (n->key_size == r->spki_size && memcmp(n->key, r->spki, n->key_size) == 0);

    if (n->key_is_taken)
        refuse(n, "NODE_KEY", "this key is another node's",
               "each node shows evidence about its own key: join again with a new one");
    else if (!is_same)
        refuse(n, "NODE_KEY", "the key is not the one that this node joined with",
               "join it again, as a new node");
    return is_same && !n->key_is_taken;
}

/* A node does not move: another platform is another node. */
static bool platform_check(struct node_admission *n)
{
    const char *was = n->node.platform_id, *is = n->appraisal->platform_id;

    if (!n->node.attested_ms || !was[0] || strcmp(was, is) == 0)
        return true;
    if (n->refusal.code)
        return false;
    refuse(n, "NODE_PLATFORM", "the evidence is of another platform than this node's",
           "join the other machine as a node of its own");
    snprintf(n->refusal.expected, sizeof n->refusal.expected, "%.159s", was);
    snprintf(n->refusal.actual, sizeof n->refusal.actual, "%s", is[0] ? is : "unknown");
    return false;
}

/* Which enclaves may ask for a node: those of the configuration, else any, since what is taken from the evidence is the platform's and not the enclave's. */
static void enclave_check(struct node_admission *n)
{
    const struct server_config *config = n->rq->server->config;
    const struct verifier_result *r = &n->appraisal->result;
    char hex[65];

    if (config->node_mrenclave_count == 0 || n->refusal.code)
        return;
    for (unsigned i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", r->sgx.mrenclave[i]);
    for (unsigned i = 0; r->tee == VERIFIER_TEE_SGX && i < config->node_mrenclave_count; i++)
        if (strcmp(config->node_mrenclaves[i], hex) == 0)
            return;
    refuse(n, "NODE_MRENCLAVE", "this enclave may not speak for a node",
           "name it in node_mrenclaves: `cloche node measurement` prints it");
    snprintf(n->refusal.actual, sizeof n->refusal.actual, "%s",
             r->tee == VERIFIER_TEE_SGX ? hex : n->appraisal->tee);
}

static int pack(struct node_admission *n)
{
    const struct evidence_request *r = n->request;
    int rc = evidence_encode(r, &n->evidence, &n->evidence_size);

    if (rc < 0)
        return rc;
    rc = stapled_encode(r->cmw, r->collateral, &n->stapled, &n->stapled_size);
    if (rc == 0)
        sha256_digest(n->stapled, n->stapled_size, n->stapled_sha256);
    return rc == -ENOMEM ? rc : 0;
}

static int judge(struct node_admission *n, struct err *err)
{
    struct exchange *exchange = n->rq->server->exchange;
    struct collateral_ref collateral;
    uint8_t binding[64];
    struct appraise_input input = { .evidence = n->request->evidence,
                                    .policy = n->policy.policy,
                                    .report_data = binding,
                                    .now_s = n->now_ms / 1000,
                                    .evidence_time_s = n->now_ms / 1000 };
    struct collateral_wish wish = { .evidence = n->request->evidence, .report_data = binding };
    int64_t good_ms = n->rq->server->config->node_evidence_s * 1000ll;
    int rc = pack(n);

    if (rc < 0)
        return rc;
    evidence_request_binding(n->request, binding);
    wish.stapled = (struct verifier_bytes){ (const uint8_t *)n->stapled, n->stapled_size };
    rc = collateral_find(exchange, &wish, &collateral, err);
    if (rc < 0)
        return rc;
    input.collateral = collateral.collateral;
    input.collateral_why = collateral.why;
    rc = appraise(exchange, &input, n->appraisal, err);
    collateral_unref(&collateral);
    if (rc < 0)
        return rc;
    n->refusal = n->appraisal->refusal;
    n->is_about_node = appraisal_is_bound(n->appraisal);
    n->is_about_node &= key_check(n);
    n->is_about_node &= platform_check(n);
    enclave_check(n);
    n->until_ms = n->now_ms + good_ms;
    if (n->appraisal->valid_until_ms > 0)
        n->until_ms = MIN(n->until_ms, n->appraisal->valid_until_ms);
    return verifier_result_json(&n->appraisal->result, n->now_ms / 1000, &n->ear);
}

/* ---- writing ---- */

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
    json_t *data = json_pack("{s:s,s:b,s:s*,s:s*}", "tee", n->appraisal->tee, "emulated",
                             n->appraisal->is_emulated, "tcb_status",
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

/* What the evidence says, into the row. */
static int claims_write(struct store_tx *tx, struct node_admission *n, struct err *err)
{
    const struct appraisal *p = n->appraisal;
    bool accepted = n->refusal.code == NULL;
    int rc = n->stapled
                 ? stapled_keep(tx, n->stapled, n->stapled_size, n->stapled_sha256, n->now_ms, err)
                 : 0;

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "UPDATE nodes SET tee = $1, is_emulated = $2, platform_id = COALESCE($3, platform_id), "
        "tcb = $4, evidence = $5, stapled_sha256 = $6, appraisal = $7, "
        "public_key = COALESCE($8, public_key), attested_ms = COALESCE($9, attested_ms), "
        "evidence_until_ms = COALESCE($10, evidence_until_ms), evidence_ms = $11 "
        "WHERE org_id = $12 AND id = $13",
        STORE_ARGS(store_text(p->tee), store_int(p->is_emulated),
                   store_text(p->platform_id[0] ? p->platform_id : NULL),
                   store_text(p->tcb_status[0] ? p->tcb_status : NULL),
                   store_blob(n->evidence, n->evidence_size),
                   n->stapled ? store_blob(n->stapled_sha256, 32) : store_null(),
                   store_text(n->ear),
                   accepted ? store_blob(n->request->spki, n->request->spki_size) : store_null(),
                   accepted ? store_int(n->now_ms) : store_null(),
                   accepted ? store_int(n->until_ms) : store_null(), store_int(n->now_ms),
                   store_text(n->who.org_id), store_text(n->who.id)),
        err);
    return MIN(rc, 0);
}

static int state_write(struct store_tx *tx, struct node_admission *n, struct err *err)
{
    struct node_row was, is;
    int rc = store_exec(
        tx,
        "UPDATE nodes SET judged_ms = $1, seen_ms = $1, is_attest_wanted = 0, "
        "version = version + 1 WHERE org_id = $2 AND id = $3",
        STORE_ARGS(store_int(n->now_ms), store_text(n->who.org_id), store_text(n->who.id)), err);

    if (rc >= 0)
        rc = node_read(tx, n->who.org_id, n->who.id, &was, err);
    if (rc < 0)
        return rc;
    is = was;
    is.refusal[0] = 0;
    if (n->refusal.code)
        snprintf(is.refusal, sizeof is.refusal, "%.60s: %.230s", n->refusal.step,
                 n->refusal.detail);
    node_settle(n->rq->server, &is, n->now_ms);
    rc = node_settled_write(tx, &was, &is, err);
    return MIN(rc, 0);
}

static int node_write_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct node_admission *n = arg;
    struct refusal before = n->refusal;
    int rc =
        nonce_use(tx, n->request->nonce, n->now_ms + (EXCHANGE_NONCE_LIFE_S + 10) * 1000ll, err);

    if (rc == -EEXIST) {
        n->refusal = (struct refusal){ NULL };
        refusal_set(&n->refusal, "nonce-used", "NONCE", "the nonce was used before");
        return -ECANCELED;
    }
    if (rc == 0 && !before.code)
        rc = revocation_find(n->rq->server, tx, n->who.org_id, "", "", "", n->who.id,
                             n->appraisal->platform_id, &n->refusal, err);
    if (rc >= 0 && n->is_about_node)
        rc = claims_write(tx, n, err);
    if (rc >= 0)
        rc = state_write(tx, n, err);
    if (rc >= 0)
        rc = tell(tx, n, err);
    return MIN(rc, 0);
}

/* ---- the whole ---- */

static int answer(struct node_admission *n, struct api_response *ret, struct err *err)
{
    char *result = NULL, *text, *jws = NULL;
    json_t *payload;
    int rc = ca_sign(n->rq->server->ca, EXCHANGE_RESULT_TYPE, n->ear, &result, err);

    if (rc < 0)
        return rc;
    payload = json_pack("{s:s,s:s,s:I,s:I,s:s}", "nonce", n->request->nonce_text, "node", n->who.id,
                        "time", (json_int_t)(n->now_ms / 1000), "until",
                        (json_int_t)(n->until_ms / 1000), "result", result);
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
    rc = store_read(server->store, context_read_in, n, &err);
    if (rc == 0)
        rc = judge(n, &err);
    if (rc == 0) {
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
    free(n.stapled);
    return rc;
}
