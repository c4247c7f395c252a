/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange from evidence to answer: read, judge without holding the store, write once, sign. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/api/events.h"
#include "server/config.h"
#include "server/exchange/admission.h"

#define TRIES_MAX 4u

void admission_done(struct admission *a)
{
    app_row_done(&a->app);
    policy_unref(&a->policy);
    collateral_unref(&a->collateral);
    secret_list_free(a->secrets);
    free(a->stapled);
    free(a->ear);
    free(a->evidence);
    free(a->issued.chain_pem);
    free(a);
}

static void admission_freep(struct admission **a)
{
    if (*a)
        admission_done(*a);
}

/* ---- judging ---- */

/* What is kept: the record alone; what was stapled, once for all who staple the same. */
static int pack(struct admission *a, struct err *err)
{
    const struct evidence_request *r = a->request;
    int rc = evidence_encode(r, &a->evidence, &a->evidence_size);

    if (rc < 0)
        return err_set_errno(err, rc, "evidence");
    rc = stapled_encode(r->cmw, r->collateral, &a->stapled, &a->stapled_size);
    if (rc == 0)
        sha256_digest(a->stapled, a->stapled_size, a->stapled_sha256);
    return rc == -ENOMEM ? rc : 0;
}

/* An instance that was placed on a node runs on that node's platform, or the node has passed it on. */
static void platform_check(struct admission *a)
{
    struct refusal *refusal = &a->appraisal.refusal;

    if (refusal->code || !a->node_platform[0] || !a->appraisal.platform_id[0] ||
        strcmp(a->node_platform, a->appraisal.platform_id) == 0)
        return;
    refusal_set(refusal, "attestation-refused", "NODE_PLATFORM",
                "the instance was placed on a node, and runs on another platform than this node's");
    snprintf(refusal->expected, sizeof refusal->expected, "%.159s", a->node_platform);
    snprintf(refusal->actual, sizeof refusal->actual, "%s", a->appraisal.platform_id);
    snprintf(refusal->fix, sizeof refusal->fix,
             "start it on that node; join the machine that it runs on as a node of its own");
}

static int judge(struct admission *a, struct err *err)
{
    uint8_t binding[64];
    struct refusal before = a->refusal;
    struct appraise_input input = { .evidence = a->request->evidence,
                                    .policy = a->policy.policy,
                                    .build = &a->build,
                                    .report_data = binding,
                                    .now_s = a->now_ms / 1000,
                                    .evidence_time_s = a->now_ms / 1000 };
    struct collateral_wish wish = { .evidence = a->request->evidence, .report_data = binding };
    int rc = pack(a, err);

    evidence_request_binding(a->request, binding);
    wish.stapled = (struct verifier_bytes){ (const uint8_t *)a->stapled, a->stapled_size };
    if (rc == 0)
        rc = collateral_find(a->exchange, &wish, &a->collateral, err);
    if (rc < 0)
        return rc;
    input.collateral = a->collateral.collateral;
    input.collateral_why = a->collateral.why;
    rc = appraise(a->exchange, &input, &a->appraisal, err);
    if (rc == 0)
        rc = verifier_result_json(&a->appraisal.result, a->now_ms / 1000, &a->ear);
    if (rc == 0)
        platform_check(a);
    if (rc == 0) /* what the evidence says of itself goes before what is recorded about the build */
        a->refusal = a->appraisal.refusal.code ? a->appraisal.refusal : before;
    return rc;
}

/* ---- lease and certificate ---- */

static int64_t until_limit(const struct admission *a, int64_t until_ms)
{
    if (strcmp(a->build.state, "deprecated") == 0 && a->build.deprecated_until_ms > 0)
        until_ms = MIN(until_ms, a->build.deprecated_until_ms);
    if (a->appraisal.valid_until_ms > 0)
        until_ms = MIN(until_ms, a->appraisal.valid_until_ms);
    return until_ms;
}

static unsigned dns_names_get(const json_t *settings, const char *names[CA_DNS_NAMES_MAX])
{
    const json_t *list = json_object_get(settings, "dns_names");
    unsigned count = 0;

    for (size_t i = 0; i < json_array_size(list) && count < CA_DNS_NAMES_MAX; i++)
        if (json_string_value(json_array_get(list, i)))
            names[count++] = json_string_value(json_array_get(list, i));
    return count;
}

static int certify(struct admission *a, struct err *err)
{
    const char *names[CA_DNS_NAMES_MAX];
    json_t *settings = json_loads(a->app.settings, JSON_REJECT_DUPLICATES, NULL);
    int64_t life_s =
        MIN(MAX(a->app.certificate_s, (int64_t)CA_LIFETIME_MIN_S), (int64_t)CA_LIFETIME_MAX_S);
    struct ca_request request = { .org_id = a->app.org_id,
                                  .public_key = a->request->key,
                                  .spiffe_path = a->spiffe_path,
                                  .dns_names = names,
                                  .dns_name_count = dns_names_get(settings, names) };
    int rc;

    snprintf(a->spiffe_path, sizeof a->spiffe_path, "/org/%s/app/%s", a->app.org_name, a->app.name);
    a->lease_until_ms = until_limit(a, a->now_ms + a->app.lease_s * 1000);
    life_s = (until_limit(a, a->now_ms + life_s * 1000) - a->now_ms) / 1000;
    request.lifetime_s = (uint32_t)MAX(life_s, (int64_t)CA_LIFETIME_MIN_S);
    rc = ca_issue(a->server->ca, &request, &a->issued, err);
    json_decref(settings);
    return rc;
}

/* ---- the answer ---- */

static char *secrets_encrypt(struct admission *a, struct err *err)
{
    json_t *plain;
    char *text, *jwe = NULL;
    size_t size;

    plain = json_pack("{s:s,s:O}", "nonce", a->request->nonce_text, "secrets", a->secrets);
    text = plain ? json_dumps(plain, JSON_COMPACT) : NULL;
    json_decref(plain);
    size = text ? strlen(text) : 0;
    if (text && jwe_make(a->request->key, text, size, &jwe, err) < 0)
        jwe = NULL;
    secret_free(text, size);
    secret_list_free(TAKE_PTR(a->secrets));
    return jwe;
}

/* EAR with what binds it to this exchange, as a JWT. */
static char *result_sign(struct admission *a, const char *spiffe_id, struct err *err)
{
    json_t *ear = json_loads(a->ear, 0, NULL);
    char *text, *jws = NULL;

    if (!ear)
        return NULL;
    json_object_set_new(ear, "iat", json_integer(a->now_ms / 1000));
    json_object_set_new(ear, "exp", json_integer(a->lease_until_ms / 1000));
    json_object_set_new(ear, "sub", json_string(spiffe_id));
    json_object_set_new(ear, "eat_nonce", json_string(a->request->nonce_text));
    text = json_dumps(ear, JSON_COMPACT);
    if (text && ca_sign(a->server->ca, EXCHANGE_RESULT_TYPE, text, &jws, err) < 0)
        jws = NULL;
    free(text);
    json_decref(ear);
    return jws;
}

/* Each certificate of PEM text as a string of its own. */
static json_t *pem_list(const char *pem)
{
    static const char end[] = "-----END CERTIFICATE-----\n";
    json_t *list = json_array();
    const char *p = pem, *q;

    while (p && (q = strstr(p, end))) {
        q += sizeof end - 1;
        json_array_append_new(list, json_stringn(p, (size_t)(q - p)));
        p = q;
    }
    return list;
}

static json_t *servers_list(const struct server_config *config)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < config->url_count; i++)
        json_array_append_new(list, json_string(config->urls[i]));
    return list;
}

static json_int_t grace_of(const struct app_row *app)
{
    json_t *settings = json_loads(app->settings, JSON_REJECT_DUPLICATES, NULL);
    json_int_t grace = json_integer_value(json_object_get(settings, "grace_s"));

    json_decref(settings);
    return grace;
}

static int sign_to(struct server *server, json_t *payload, struct api_response *ret,
                   struct err *err)
{
    char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL, *jws;
    int rc = text ? ca_sign(server->ca, EXCHANGE_ANSWER_TYPE, text, &jws, err) : -ENOMEM;

    free(text);
    if (rc < 0)
        return rc;
    ret->status = 200;
    ret->body = json_pack("{s:s}", "answer", jws);
    free(jws);
    return ret->body ? 0 : -ENOMEM;
}

int admission_answer(struct admission *a, struct api_response *ret, struct err *err)
{
    const struct server_config *config = a->server->config;
    char spiffe_id[ADMISSION_PATH_SIZE + 300];
    char *roots = ca_org_roots_pem(a->server->ca, a->app.org_id);
    char *secrets = NULL, *result;
    int64_t now_s = a->now_ms / 1000, until_s = a->lease_until_ms / 1000;
    bool has_secrets = a->secrets != NULL;
    json_t *payload = NULL;
    int rc = -EIO;

    snprintf(spiffe_id, sizeof spiffe_id, "spiffe://%s%s",
             config->trust_domain ? config->trust_domain : "cloche.local", a->spiffe_path);
    if (has_secrets)
        secrets = secrets_encrypt(a, err);
    result = result_sign(a, spiffe_id, err);
    if (roots && result && (secrets || !has_secrets))
        payload = json_pack("{s:s,s:s,s:I,s:I,s:s,s:o,s:o,s:s,s:{s:I,s:I},s:I,s:I,s:s?,s:s,s:o}",
                            "nonce", a->request->nonce_text, "instance", a->instance_id, "time",
                            (json_int_t)now_s, "time_ms", (json_int_t)a->now_ms, "result", result,
                            "certificates", pem_list(a->issued.chain_pem), "roots", pem_list(roots),
                            "spiffe_id", spiffe_id, "lease", "until", (json_int_t)until_s,
                            "renew_after", (json_int_t)(now_s + (until_s - now_s) / 2), "grace_s",
                            grace_of(&a->app), "fence", (json_int_t)a->fence, "secrets", secrets,
                            "secrets_version", a->secrets_tag, "servers", servers_list(config));
    if (payload)
        rc = sign_to(a->server, payload, ret, err);
    json_decref(payload);
    free(roots);
    free(secrets);
    free(result);
    return rc;
}

/* ---- the whole ---- */

static int failed(struct admission *a, int rc, const struct err *err)
{
    server_log(a->server, "error", "an exchange failed", "request", a->rq->request_id, "why",
               err->text, NULL);
    return api_problem_errno(a->rq, rc, "exchange", err);
}

/* Evidence of this nonce and key that was refused is on record; what anyone can send, rubbish or somebody else's quote, is not. */
static int refuse(struct admission *a)
{
    struct refusal refusal = a->refusal;
    struct err err = { "" };
    int rc;

    server_log(a->server, "info", "evidence refused", "request", a->rq->request_id, "code",
               refusal.code, "step", refusal.step, "instance", a->instance_id, NULL);
    if (a->has_app && appraisal_is_bound(&a->appraisal)) {
        rc = store_write(a->server->store, admission_write_refused, a, &err);
        if (rc < 0)
            server_log(a->server, "error", "a refusal could not be written", "why", err.text, NULL);
        events_wake(a->server->events);
    }
    return refusal_answer(a->rq, a->request->nonce_text, &refusal);
}

static void instance_name(struct admission *a)
{
    a->is_new = !a->instance.id[0];
    if (a->is_new)
        id_make("ins", a->instance_id);
    else
        memcpy(a->instance_id, a->instance.id, sizeof a->instance_id);
}

/* *ret_again: what it was judged by has changed meanwhile; nothing was written or answered. */
static int admit_once(struct api_request *rq, struct evidence_request *request,
                      struct api_response *ret, bool *ret_again)
{
    CLEANUP(admission_freep)
    struct admission *a = calloc(1, sizeof *a);
    struct err err = { "" };
    int rc;

    *ret_again = false;
    if (!a)
        return -ENOMEM;
    *a = (struct admission){ .rq = rq,
                             .server = rq->server,
                             .exchange = rq->server->exchange,
                             .request = request,
                             .now_ms = server_now_ms(rq->server) };
    a->epoch = __atomic_load_n(&a->exchange->epoch, __ATOMIC_SEQ_CST);
    rc = store_read(a->server->store, admission_find, a, &err);
    if (rc < 0)
        return failed(a, rc, &err);
    if (!a->has_app)
        return refuse(a);
    instance_name(a);
    rc = judge(a, &err);
    if (rc < 0)
        return failed(a, rc, &err);
    if (a->refusal.code)
        return refuse(a);
    rc = certify(a, &err);
    if (rc == 0)
        rc = store_write(a->server->store, admission_write, a, &err);
    if (rc == -ECANCELED && !a->refusal.code) {
        *ret_again = true;
        return 0;
    }
    if (rc == -ECANCELED)
        return refuse(a);
    if (rc >= 0)
        rc = admission_answer(a, ret, &err);
    if (rc < 0)
        return failed(a, rc, &err);
    events_wake(a->server->events);
    return 0;
}

int exchange_admit(struct api_request *rq, struct evidence_request *request,
                   struct api_response *ret)
{
    struct err err = { "" };
    bool again = true;
    int rc = 0;

    for (unsigned i = 0; again && i < TRIES_MAX; i++)
        rc = admit_once(rq, request, ret, &again);
    /* What evidence is judged by was changed again and again meanwhile. */
    return again ? api_problem_errno(rq, -EAGAIN, "exchange", &err) : rc;
}
