/* SPDX-License-Identifier: Apache-2.0 */
/* See exchange.h. Trusted; hosted. */
#include "tee/agent/server/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "abi/exchange.h"
#include "attest/base64url.h"
#include "attest/cmw.h"
#include "attest/tsm_blobs.h"
#include "tee/agent/evidence.h"
#include "tee/agent/server/wipe.h"

#define PATH_SIZE 256u
#define TOKEN_SIZE 2048u
#define TEXT_MAX 256u

struct nonce {
    char text[64]; /* base64url */
    uint8_t bytes[EXCHANGE_NONCE_SIZE];
};

/* One run of nonce, evidence, answer with one server. */
struct round {
    struct exchange *x;
    const char *server;
    const char *purpose;
    bool is_running;
    struct nonce nonce;
    /* Before there was evidence over this nonce: what answers it was made later. */
    uint64_t asked_ms;
    uint64_t asked_ns; /* of the monotonic clock */
};

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static bool id_is_valid(const char *id)
{
    size_t len = strlen(id);

    return len > 0 && len < ANSWER_ID_SIZE &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

int exchange_new(const struct exchange_config *config, int cancel_fd, struct exchange *ret)
{
    int rc;

    *ret = (struct exchange){ .evidence_tree = config->evidence_tree,
                              .own_count = config->server_count,
                              .server_count = config->server_count };
    memcpy(ret->app_digest, config->app_digest, sizeof ret->app_digest);
    for (unsigned i = 0; i < config->server_count; i++)
        memcpy(ret->servers[i], config->servers[i], ANSWER_SERVER_SIZE);
    if (config->instance && id_is_valid(config->instance))
        snprintf(ret->instance, sizeof ret->instance, "%s", config->instance);
    pin_init(&ret->pins, config->ca_key_sha256);
    rc = jose_key_new(&ret->key);
    if (rc == 0)
        rc = http_new(&ret->pins, cancel_fd, &ret->http);
    if (rc < 0)
        jose_key_done(&ret->key);
    return rc;
}

void exchange_done(struct exchange *x)
{
    jose_key_done(&x->key);
    http_done(&x->http);
}

/* ---- requests ---- */

/* A status that is no success: what the server says about it. returns: -EACCES for 403; -EREMOTEIO. */
static int status_fail(const struct round *r, const struct http_answer *a,
                       struct answer_refusal *refusal, struct err *err)
{
    struct answer_question q = { .pins = &r->x->pins, .nonce = r->nonce.text, .instance = "" };
    char line[ERR_TEXT_SIZE - 64];

    answer_refusal_parse(&q, a->body, a->size, refusal);
    answer_refusal_print(refusal, line, sizeof line);
    if (a->status == 403)
        return err_set(err, -EACCES, "%s", line);
    return err_set(err, -EREMOTEIO, "it answered with status %u: %s", a->status, line);
}

static int post(const struct round *r, const char *path, const char *body,
                const char *authorization, struct http_answer *ret, struct err *err)
{
    struct http_request request = { .server = r->server,
                                    .method = "POST",
                                    .path = path,
                                    .authorization = authorization,
                                    .body = body,
                                    .end_ms = lease_clock_ms() + EXCHANGE_REQUEST_MS };

    return http_perform(&r->x->http, &request, ret, err);
}

/* ---- the nonce ---- */

static bool nonce_is_old(const struct exchange *x, const uint8_t *nonce)
{
    unsigned kept = MIN(x->nonce_count, EXCHANGE_NONCES_KEPT);

    for (unsigned i = 0; i < kept; i++)
        if (memcmp(x->nonces[i], nonce, EXCHANGE_NONCE_SIZE) == 0)
            return true;
    return false;
}

static int nonce_read(struct round *r, const struct http_answer *a, struct err *err)
{
    CLEANUP(json_freep)
    json_t *top = json_loadb(a->body, a->size, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(top, "nonce"));
    struct exchange *x = r->x;

    if (!text || strlen(text) >= sizeof r->nonce.text ||
        base64url_decoded_size(strlen(text)) != EXCHANGE_NONCE_SIZE ||
        base64url_decode(text, strlen(text), r->nonce.bytes) < 0)
        return err_set(err, -EPROTO, "it gave no proper nonce");
    if (nonce_is_old(x, r->nonce.bytes))
        return err_set(err, -EBADMSG, "it gave a nonce again that was used before");
    memcpy(x->nonces[x->nonce_count++ % EXCHANGE_NONCES_KEPT], r->nonce.bytes, EXCHANGE_NONCE_SIZE);
    snprintf(r->nonce.text, sizeof r->nonce.text, "%s", text);
    return 0;
}

static int nonce_get(struct round *r, struct err *err)
{
    struct answer_refusal refusal;
    struct http_answer a = { 0 };
    int rc = post(r, "/v1/exchange/nonce", "{}", NULL, &a, err);

    if (rc == 0 && a.status != 200) {
        rc = status_fail(r, &a, &refusal, err);
        if (rc == -EACCES) /* nothing was shown yet that could be refused */
            rc = -EREMOTEIO;
    } else if (rc == 0) {
        rc = nonce_read(r, &a, err);
    }
    http_answer_done(&a);
    return rc;
}

/* ---- evidence ---- */

static int report_data_make(const struct round *r, uint8_t ret[EVIDENCE_REPORT_DATA_SIZE])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    const struct jose_key *key = &r->x->key;
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha512(), NULL) == 1 &&
              EVP_DigestUpdate(md, EXCHANGE_BINDING, sizeof EXCHANGE_BINDING) == 1 &&
              EVP_DigestUpdate(md, r->purpose, strlen(r->purpose) + 1) == 1 &&
              EVP_DigestUpdate(md, r->nonce.bytes, EXCHANGE_NONCE_SIZE) == 1 &&
              EVP_DigestUpdate(md, key->spki, key->spki_size) == 1 &&
              EVP_DigestFinal_ex(md, ret, NULL) == 1;

    EVP_MD_CTX_free(md);
    return ok ? 0 : -EIO;
}

/* Evidence and its collateral as a CMW, JSON text for free(). */
static int evidence_wrap(const struct evidence *e, char **ret, struct err *err)
{
    struct tsm_blobs blobs = { .out = (uint8_t *)e->outblob,
                               .out_size = e->outblob_size,
                               .aux = e->auxblob_size ? (uint8_t *)e->auxblob : NULL,
                               .aux_size = e->auxblob_size };
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    size_t size;
    int rc;

    snprintf(blobs.provider, sizeof blobs.provider, "%s", e->provider);
    rc = tsm_blobs_wrap(&blobs, &cmw, err);
    return rc < 0 ? rc : cmw_encode_json(cmw, ret, &size);
}

static int evidence_make(const struct round *r, char **ret, struct err *err)
{
    uint8_t data[EVIDENCE_REPORT_DATA_SIZE];
    struct evidence e;
    int rc = report_data_make(r, data);

    if (rc < 0)
        return rc;
    rc = evidence_get(r->x->evidence_tree, data, EXCHANGE_EVIDENCE_MS, &e);
    if (rc < 0)
        return err_set_errno(err, rc, "the platform gives no evidence");
    rc = evidence_wrap(&e, ret, err);
    evidence_done(&e);
    return rc;
}

static char *spki_text(const struct jose_key *key)
{
    struct buffer b;
    uint8_t *text = NULL;
    size_t size;

    buffer_init(&b, 4 * JOSE_SPKI_SIZE_MAX);
    base64url_add(&b, key->spki, key->spki_size);
    if (buffer_take(&b, &text, &size) < 0)
        text = NULL;
    buffer_done(&b);
    return (char *)text;
}

/* The request's body, for free(); NULL: no memory. */
static char *request_make(const struct round *r, const char *cmw)
{
    const struct exchange *x = r->x;
    CLEANUP(wipe_freep)
    char *key = spki_text(&x->key);
    CLEANUP(json_freep)
    json_t *top = json_pack("{s:s,s:s,s:s,s:o,s:s,s:{s:s},s:{s:s}}", "nonce", r->nonce.text,
                            "purpose", r->purpose, "public_key", key ? key : "", "evidence",
                            json_loads(cmw, JSON_REJECT_DUPLICATES, NULL), "app_digest",
                            x->app_digest, "have", "secrets", x->secrets_version, "status",
                            "workload", r->is_running ? "running" : "none");

    if (!key || !top)
        return NULL;
    if (x->instance[0] && json_object_set_new(top, "instance", json_string(x->instance)) < 0)
        return NULL;
    return json_dumps(top, JSON_COMPACT);
}

/* ---- the answer ---- */

static unsigned server_find(const struct exchange *x, const char *server)
{
    unsigned i = 0;

    while (i < x->server_count && strcmp(x->servers[i], server) != 0)
        i++;
    return i;
}

static void server_add(struct exchange *x, const char *server)
{
    if (x->server_count < EXCHANGE_SERVERS_MAX && server_find(x, server) == x->server_count)
        snprintf(x->servers[x->server_count++], ANSWER_SERVER_SIZE, "%s", server);
}

/* The descriptor's, those of the answer, and the one that gave it. */
static void servers_take(struct exchange *x, const struct answer *a)
{
    char current[ANSWER_SERVER_SIZE];

    memcpy(current, x->servers[x->server_index], sizeof current);
    x->server_count = x->own_count;
    server_add(x, current);
    for (unsigned i = 0; i < a->server_count; i++)
        server_add(x, a->servers[i]);
    x->server_index = server_find(x, current);
}

static int answer_take(struct round *r, const struct http_answer *a, struct answer *ret,
                       struct err *err)
{
    struct exchange *x = r->x;
    bool is_renewal = strcmp(r->purpose, EXCHANGE_PURPOSE_RENEW) == 0;
    struct answer_question q = { .pins = &x->pins,
                                 .key = &x->key,
                                 .nonce = r->nonce.text,
                                 .instance = is_renewal ? x->instance : "" };
    int rc = answer_parse(&q, a->body, a->size, ret, err);

    if (rc < 0)
        return rc == -EINVAL || rc == -E2BIG ? -EBADMSG : rc;
    rc = wall_bound_make(ret->time_ms, ret->time_width_ms, r->asked_ns, wall_clock_ns(), &x->wall);
    if (rc == 0)
        rc = lease_take(&x->lease, &ret->terms, r->asked_ms, lease_clock_ms());
    if (rc == -ESTALE)
        rc = err_set(err, -EBADMSG, "the answer is an old one: its time has passed");
    else if (rc < 0)
        rc = err_set(err, -EBADMSG, "its time or lease makes no sense");
    if (rc == 0 && pin_replace_roots(&x->pins, ret->roots) < 0)
        rc = err_set(err, -EBADMSG, "the roots are malformed");
    if (rc < 0) {
        answer_done(ret);
        return rc;
    }
    memcpy(x->instance, ret->instance, sizeof x->instance);
    memcpy(x->secrets_version, ret->secrets_version, sizeof x->secrets_version);
    servers_take(x, ret);
    return 0;
}

static int round_run(struct round *r, struct answer *ret, struct answer_refusal *refusal,
                     struct err *err)
{
    CLEANUP(wipe_freep)
    char *cmw = NULL, *body = NULL;
    struct http_answer a = { 0 };
    int rc = nonce_get(r, err);

    r->asked_ms = lease_clock_ms();
    r->asked_ns = wall_clock_ns();
    if (rc == 0)
        rc = evidence_make(r, &cmw, err);
    if (rc < 0)
        return rc;
    body = request_make(r, cmw);
    if (!body)
        return -ENOMEM;
    rc = post(r, "/v1/exchange/evidence", body, NULL, &a, err);
    if (rc == 0 && a.status == 200)
        rc = answer_take(r, &a, ret, err);
    else if (rc == 0)
        rc = status_fail(r, &a, refusal, err);
    http_answer_done(&a);
    return rc;
}

/* What is known after one server more: that somebody else answered tells more than that nobody did. */
static int worse(int before, int now)
{
    return before == 0 || now == -EBADMSG ? now : before;
}

int exchange_attest(struct exchange *x, const char *purpose, bool is_running, struct answer *ret,
                    struct answer_refusal *ret_refusal, struct err *err)
{
    unsigned first = x->server_index;
    struct err one;
    int rc = 0;

    for (unsigned i = 0; i < x->server_count; i++) {
        struct round r = { .x = x, .purpose = purpose, .is_running = is_running };
        int round_rc;

        one.text[0] = 0;
        x->server_index = (first + i) % x->server_count;
        r.server = x->servers[x->server_index];
        round_rc = round_run(&r, ret, ret_refusal, &one);
        if (round_rc == 0 || round_rc == -ECANCELED)
            return round_rc;
        if (rc == 0 || worse(rc, round_rc) == round_rc) {
            *err = one;
            if (round_rc != -EACCES && round_rc != -ENODEV)
                err_wrap(err, round_rc, "%s", r.server);
        }
        rc = worse(rc, round_rc);
        if (round_rc == -EACCES || round_rc == -ENODEV)
            return round_rc;
    }
    x->server_index = first;
    return rc;
}

/* ---- tokens, orders, end ---- */

static int random_text(char ret[33])
{
    uint8_t bytes[16];

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -EIO;
    for (unsigned i = 0; i < sizeof bytes; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* "Cloche-Instance JWT", for free(). jti: 33 bytes. */
/* said: what the token says besides, or NULL. */
static int authorize(const struct exchange *x, const char *audience, json_t *said, char *jti,
                     char **ret)
{
    CLEANUP(wipe_freep)
    char *token = NULL;
    CLEANUP(json_freep)
    json_t *claims = NULL;
    int rc = random_text(jti);

    if (rc < 0)
        return rc;
    claims = json_pack("{s:s,s:s,s:I,s:s}", "iss", x->instance, "aud", audience, "iat",
                       (json_int_t)lease_time_s(&x->lease, lease_clock_ms()), "jti", jti);
    rc = claims && (!said || json_object_update(claims, said) == 0) ? 0 : -ENOMEM;
    if (rc == 0)
        rc = jose_token_make(&x->key, claims, &token);
    if (rc < 0)
        return rc;
    *ret = malloc(TOKEN_SIZE);
    if (!*ret)
        return -ENOMEM;
    if (snprintf(*ret, TOKEN_SIZE, EXCHANGE_SCHEME " %s", token) < (int)TOKEN_SIZE)
        return 0;
    wipe_free(TAKE_PTR(*ret));
    return -EMSGSIZE;
}

int exchange_orders(struct exchange *x, unsigned wait_s, struct answer_orders *ret, struct err *err)
{
    struct round r = { .x = x, .server = x->servers[x->server_index] };
    struct answer_question q = { .pins = &x->pins,
                                 .instance = x->instance,
                                 .after = x->orders_after };
    CLEANUP(wipe_freep)
    char *authorization = NULL;
    struct answer_refusal refusal;
    struct http_answer a = { 0 };
    struct http_request request = { .server = r.server, .method = "GET" };
    char path[PATH_SIZE], jti[33];
    int rc = authorize(x, EXCHANGE_AUDIENCE_ORDERS, NULL, jti, &authorization);

    if (rc < 0)
        return rc;
    wait_s = MIN(wait_s, EXCHANGE_WAIT_MAX_S);
    snprintf(path, sizeof path, "/v1/exchange/orders?instance=%s&after=%llu&wait_s=%u", x->instance,
             (unsigned long long)x->orders_after, wait_s);
    request.path = path;
    request.authorization = authorization;
    request.end_ms = lease_clock_ms() + wait_s * 1000 + EXCHANGE_REQUEST_MS;
    r.asked_ms = lease_clock_ms();
    rc = http_perform(&x->http, &request, &a, err);
    if (rc == 0 && a.status != 200) {
        rc = status_fail(&r, &a, &refusal, err);
        if (a.status == 401)
            rc = -EKEYEXPIRED;
        else if (rc == -EACCES) /* not a refusal of the evidence */
            rc = -EREMOTEIO;
    } else if (rc == 0) {
        rc = answer_orders_parse(&q, jti, a.body, a.size, ret, err);
        if (rc == 0 && lease_time_check(&x->lease, ret->time_s, r.asked_ms) < 0)
            rc = err_set(err, -EBADMSG, "the orders are old ones");
    }
    http_answer_done(&a);
    if (rc == 0)
        x->orders_after = MAX(x->orders_after, ret->number);
    else if (rc != -ECANCELED)
        x->server_index = (x->server_index + 1) % x->server_count;
    return rc;
}

static int end_at(struct exchange *x, const char *server, json_t *said, const char *body,
                  uint64_t end_ms, struct err *err)
{
    CLEANUP(wipe_freep)
    char *authorization = NULL;
    struct http_request request = { .server = server,
                                    .method = "POST",
                                    .path = "/v1/exchange/end",
                                    .body = body,
                                    .end_ms = end_ms };
    struct http_answer a = { 0 };
    char jti[33];
    int rc = authorize(x, EXCHANGE_AUDIENCE_END, said, jti, &authorization);

    if (rc < 0)
        return rc;
    request.authorization = authorization;
    rc = http_perform(&x->http, &request, &a, err);
    if (rc == 0 && a.status != 204)
        rc = err_set(err, -EREMOTEIO, "it answered with status %u", a.status);
    http_answer_done(&a);
    return rc;
}

int exchange_end(struct exchange *x, int status, const char *reason, struct err *err)
{
    uint64_t end_ms = lease_clock_ms() + EXCHANGE_END_MS;
    CLEANUP(json_freep)
    json_t *top = json_pack("{s:s,s:i,s:s}", "instance", x->instance, "exit_status", status,
                            "reason", reason);
    CLEANUP(wipe_freep)
    char *body = top ? json_dumps(top, JSON_COMPACT) : NULL;
    int rc = body ? -EHOSTUNREACH : -ENOMEM;

    x->http.cancel_fd = -1;
    for (unsigned i = 0; body && i < x->server_count && rc < 0 && lease_clock_ms() < end_ms; i++) {
        struct err one = { 0 };

        rc =
            end_at(x, x->servers[(x->server_index + i) % x->server_count], top, body, end_ms, &one);
        if (i == 0) /* the one that answered last: what is wrong there tells most */
            *err = one;
    }
    return rc;
}
