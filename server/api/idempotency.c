/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idempotency keys: an answer is kept, sealed, for a day, and given again to the same request of the same caller; another request with the key is refused. It is written
 * by the transaction that does what it tells of, so that neither is ever there without the other, whoever dies, and however many servers get the key at once. Relying party.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "lib/digest.h"
#include "server/api/request.h"
#include "server/crypto/keys.h"

#define KEY_LEN_MAX 128u
#define CONTEXT_SIZE 320u
#define KEPT_MS (24 * 3600 * 1000ll)

static void part_add(struct sha256 *ctx, const void *data, size_t size)
{
    uint64_t length = size;

    sha256_update(ctx, &length, sizeof length);
    sha256_update(ctx, data, size);
}

/* With a key: a body may hold what could be guessed (a password, a secret), and the hash lies in the store. */
static int request_hash(struct request *r, struct err *err)
{
    const char *query = "", *uri = r->path;
    uint8_t digest[SHA256_SIZE];
    struct sha256 ctx;

    sha256_init(&ctx);
    part_add(&ctx, r->rq.method, strlen(r->rq.method));
    part_add(&ctx, uri, strlen(uri));
    for (unsigned i = 0; i < r->uri.query_count; i++) {
        part_add(&ctx, r->uri.query[i].name, strlen(r->uri.query[i].name));
        part_add(&ctx, r->uri.query[i].value, strlen(r->uri.query[i].value));
    }
    query = r->rq.if_match ? r->rq.if_match : "";
    part_add(&ctx, query, strlen(query));
    part_add(&ctx, r->body, r->body_size);
    sha256_final(&ctx, digest);
    return keys_mac(r->rq.server->keys, r->who.org_id, "idempotency", digest, sizeof digest,
                    r->idempotency_hash, err);
}

/* What an answer is sealed for: no row of the table opens in another's place. */
static void make_context(const struct request *r, char ret[CONTEXT_SIZE])
{
    size_t len = 0;

    for (unsigned i = 0; i < sizeof r->idempotency_hash; i++)
        len += (size_t)snprintf(ret + len, CONTEXT_SIZE - len, "%02x", r->idempotency_hash[i]);
    snprintf(ret + len, CONTEXT_SIZE - len, " idempotency %s %s", r->who.id, r->idempotency_key);
}

static void response_clear(struct api_response *response)
{
    json_decref(response->body);
    free(response->text);
    *response = (struct api_response){ .status = 0 };
}

/* ---- what is kept ---- */

/* returns: 1 with *ret; a negative errno. */
static int answer_decode(struct request *r, const void *sealed, size_t sealed_size,
                         struct api_response *ret, struct err *err)
{
    const char *etag, *location;
    char context[CONTEXT_SIZE];
    uint8_t *plain = NULL;
    size_t plain_size = 0;
    json_t *kept, *body = NULL;
    int rc;

    make_context(r, context);
    rc = keys_unseal(r->rq.server->keys, r->who.org_id, context, sealed, sealed_size, &plain,
                     &plain_size, err);
    if (rc < 0)
        return rc;
    kept = json_loadb((const char *)plain, plain_size, 0, NULL);
    secret_free(plain, plain_size);
    if (json_unpack(kept, "{s:i, s?O, s:s, s:s}", "status", &ret->status, "body", &body, "etag",
                    &etag, "location", &location) < 0) {
        json_decref(kept);
        return err_set(err, -EBADMSG, "a kept answer is none");
    }
    ret->body = body;
    snprintf(ret->etag, sizeof ret->etag, "%s", etag);
    snprintf(ret->location, sizeof ret->location, "%s", location);
    json_decref(kept);
    return 1;
}

/* returns: 1 with *ret, the answer of then; 0 there is none; -EPROTO another request has the key; errno. */
static int answer_find(struct request *r, struct store_tx *tx, struct api_response *ret,
                       struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    const void *data;
    size_t size;
    int rc = store_query(tx,
                         "SELECT request_sha256, answer FROM idempotency WHERE org_id = $1 "
                         "AND actor = $2 AND key = $3 AND created_ms > $4",
                         STORE_ARGS(store_text(r->who.org_id), store_text(r->who.id),
                                    store_text(r->idempotency_key),
                                    store_int(server_now_ms(r->rq.server) - KEPT_MS)),
                         &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc;
    data = store_column_blob(rows, 0, &size);
    if (size != sizeof r->idempotency_hash)
        return err_set(err, -EBADMSG, "idempotency was changed");
    if (!ct_equal(data, r->idempotency_hash, size))
        return api_problem(&r->rq, 422, "idempotency-key-reused",
                           "this Idempotency-Key was used with another request");
    data = store_column_blob(rows, 1, &size);
    return answer_decode(r, data, size, ret, err);
}

static int answer_keep(struct request *r, struct store_tx *tx, const struct api_response *response,
                       struct err *err)
{
    json_t *kept =
        json_pack("{s:i, s:O*, s:s, s:s}", "status", response->status, "body", response->body,
                  "etag", response->etag, "location", response->location);
    char *text = kept ? json_dumps(kept, JSON_COMPACT) : NULL, context[CONTEXT_SIZE];
    uint8_t *sealed = NULL;
    size_t sealed_size = 0;
    int rc;

    json_decref(kept);
    if (!text)
        return err_set_errno(err, -ENOMEM, "idempotency");
    make_context(r, context);
    rc = keys_seal(r->rq.server->keys, r->who.org_id, context, text, strlen(text), &sealed,
                   &sealed_size, err);
    ct_wipe(text, strlen(text));
    free(text);
    if (rc == 0)
        rc = store_exec(
            tx,
            "INSERT INTO idempotency (org_id, actor, key, request_sha256, answer, created_ms) "
            "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, actor, key) DO UPDATE SET "
            "request_sha256 = $4, answer = $5, created_ms = $6",
            STORE_ARGS(store_text(r->who.org_id), store_text(r->who.id),
                       store_text(r->idempotency_key),
                       store_blob(r->idempotency_hash, sizeof r->idempotency_hash),
                       store_blob(sealed, sealed_size), store_int(server_now_ms(r->rq.server))),
            err);
    free(sealed);
    return rc;
}

/* ---- a write with its answer ---- */

struct write {
    struct request *r;
    store_tx_fn *fn;
    api_answer_fn *answer;
    void *arg;
    struct api_response *ret;
};

/* Writers of all servers come one after the other: who finds no answer here is the first. */
static int write_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct write *w = arg;
    int rc = 0;

    response_clear(w->ret); /* of a run before */
    if (w->r->idempotency_key)
        rc = answer_find(w->r, tx, w->ret, err);
    if (rc != 0)
        return rc;
    rc = w->fn(tx, w->arg, err);
    if (rc >= 0)
        rc = w->answer(w->arg, w->ret);
    if (rc >= 0 && w->r->idempotency_key)
        rc = answer_keep(w->r, tx, w->ret, err);
    return rc;
}

int api_write(struct api_request *rq, store_tx_fn *fn, api_answer_fn *answer, void *arg,
              struct api_response *ret, struct err *err)
{
    struct write w = { request_of(rq), fn, answer, arg, ret };
    int rc = store_write(rq->server->store, write_in, &w, err);

    /* The connection may have been lost in the commit: with a key it can be asked whether that is done. */
    if (rc == -EIO && w.r->idempotency_key)
        rc = store_write(rq->server->store, write_in, &w, err);
    w.r->is_answer_kept = true;
    return MIN(rc, 0);
}

/* ---- before the handler ---- */

struct find {
    struct request *r;
    struct api_response *ret;
};

static int find_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct find *f = arg;

    response_clear(f->ret);
    return answer_find(f->r, tx, f->ret, err);
}

int idempotency_find(struct request *r, struct api_response *ret)
{
    const char *key = api_header(&r->rq, "Idempotency-Key");
    struct find find = { r, ret };
    struct err err = { "" };
    int rc;

    if (!key || !(r->route->flags & API_IDEMPOTENT) || !r->who.org_id[0])
        return 0;
    if (!key[0] || strlen(key) > KEY_LEN_MAX)
        return api_problem(&r->rq, 400, "bad-headers",
                           "Idempotency-Key is not of 1 to %u characters", KEY_LEN_MAX);
    r->idempotency_key = key;
    rc = request_hash(r, &err);
    if (rc == 0) /* what the handler checks may be otherwise by now */
        rc = store_read(r->rq.server->store, find_in, &find, &err);
    return rc < 0 && rc != -EPROTO ? api_problem_errno(&r->rq, rc, "idempotency", &err) : rc;
}
