/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idempotency keys: the first answer to a request is kept, sealed, for a day, and given again to the same request of the same caller; another request with the key is
 * refused. Relying party.
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
#define KEPT_MS (24 * 3600 * 1000ll)
#define ANSWER_SIZE_MAX (256u << 10)

struct kept {
    struct request *r;
    uint8_t *answer; /* sealed, as stored; for free() */
    size_t answer_size;
    uint8_t hash[SHA256_SIZE];
    int64_t status;
    bool is_there;
};

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

/* ---- those in work on this server ---- */

static bool is_same_key(const struct request *a, const struct request *b)
{
    return strcmp(a->idempotency_key, b->idempotency_key) == 0 &&
           strcmp(a->who.id, b->who.id) == 0 && strcmp(a->who.org_id, b->who.org_id) == 0;
}

static bool work_add(struct request *r)
{
    bool is_first = true;

    pthread_mutex_lock(&r->http->idempotency_lock);
    for (struct request *o = r->http->idempotency_first; o && is_first; o = o->idempotency_next)
        is_first = !is_same_key(o, r);
    if (is_first) {
        r->idempotency_next = r->http->idempotency_first;
        r->http->idempotency_first = r;
    }
    pthread_mutex_unlock(&r->http->idempotency_lock);
    return is_first;
}

static void work_remove(struct request *r)
{
    pthread_mutex_lock(&r->http->idempotency_lock);
    for (struct request **link = &r->http->idempotency_first; *link;
         link = &(*link)->idempotency_next)
        if (*link == r) {
            *link = r->idempotency_next;
            break;
        }
    pthread_mutex_unlock(&r->http->idempotency_lock);
}

/* ---- what is kept ---- */

static int kept_read(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct kept *k = arg;
    const void *data;
    size_t size;
    int rc = store_query(tx,
                         "SELECT request_sha256, status, answer FROM idempotency WHERE org_id = $1 "
                         "AND actor = $2 AND key = $3 AND created_ms > $4",
                         STORE_ARGS(store_text(k->r->who.org_id), store_text(k->r->who.id),
                                    store_text(k->r->idempotency_key),
                                    store_int(server_now_ms(k->r->rq.server) - KEPT_MS)),
                         &rows, err);

    free(k->answer);
    k->answer = NULL;
    k->is_there = false;
    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc;
    data = store_column_blob(rows, 0, &size);
    if (size != sizeof k->hash)
        return -EBADMSG;
    memcpy(k->hash, data, size);
    k->status = store_column_int(rows, 1);
    data = store_column_blob(rows, 2, &k->answer_size);
    k->answer = malloc(k->answer_size + 1);
    if (!k->answer)
        return -ENOMEM;
    memcpy(k->answer, data, k->answer_size);
    k->is_there = true;
    return 0;
}

static int kept_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct kept *k = arg;

    return store_exec(
        tx,
        "INSERT INTO idempotency (org_id, actor, key, request_sha256, status, answer, created_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org_id, actor, key) DO UPDATE SET "
        "request_sha256 = $4, status = $5, answer = $6, created_ms = $7",
        STORE_ARGS(store_text(k->r->who.org_id), store_text(k->r->who.id),
                   store_text(k->r->idempotency_key),
                   store_blob(k->r->idempotency_hash, sizeof k->r->idempotency_hash),
                   store_int(k->status), store_blob(k->answer, k->answer_size),
                   store_int(server_now_ms(k->r->rq.server))),
        err);
}

/* The answer of then becomes this one's. */
static int kept_answer(struct kept *k, struct err *err)
{
    struct request *r = k->r;
    const char *text, *etag, *location;
    uint8_t *plain = NULL;
    size_t plain_size = 0;
    json_t *answer;
    int rc = keys_unseal(r->rq.server->keys, r->who.org_id, "idempotency", k->answer,
                         k->answer_size, &plain, &plain_size, err);

    if (rc < 0)
        return rc;
    answer = json_loadb((const char *)plain, plain_size, 0, NULL);
    secret_free(plain, plain_size);
    if (json_unpack(answer, "{s:s, s:s, s:s}", "text", &text, "etag", &etag, "location",
                    &location) < 0) {
        json_decref(answer);
        return -EBADMSG;
    }
    r->status = (int)k->status;
    r->answer_size = strlen(text);
    r->answer = r->answer_size ? strdup(text) : NULL;
    snprintf(r->etag, sizeof r->etag, "%s", etag);
    snprintf(r->location, sizeof r->location, "%s", location);
    json_decref(answer);
    return r->answer || !r->answer_size ? 1 : -ENOMEM;
}

static int kept_find(struct request *r)
{
    struct kept k = { .r = r };
    struct err err = { "" };
    int rc = store_read(r->rq.server->store, kept_read, &k, &err);

    if (rc == 0 && k.is_there)
        rc = ct_equal(k.hash, r->idempotency_hash, sizeof k.hash)
                 ? kept_answer(&k, &err)
                 : api_problem(&r->rq, 422, "idempotency-key-reused",
                               "this Idempotency-Key was used with another request");
    free(k.answer);
    return rc < 0 ? api_problem_errno(&r->rq, rc, "idempotency", &err) : rc;
}

int idempotency_begin(struct request *r)
{
    const char *key = api_header(&r->rq, "Idempotency-Key");
    struct err err = { "" };
    int rc;

    if (!key || !(r->route->flags & API_IDEMPOTENT) || !r->who.org_id[0])
        return 0;
    if (!key[0] || strlen(key) > KEY_LEN_MAX)
        return api_problem(&r->rq, 400, "bad-headers",
                           "Idempotency-Key is not of 1 to %u characters", KEY_LEN_MAX);
    r->idempotency_key = key;
    rc = request_hash(r, &err);
    if (rc < 0)
        return api_problem_errno(&r->rq, rc, "idempotency", &err);
    if (!work_add(r)) {
        r->idempotency_key = NULL;
        r->retry_after_s = 1;
        return api_problem(&r->rq, 409, "idempotency-key-in-use",
                           "a request with this Idempotency-Key is being answered");
    }
    rc = kept_find(r);
    if (rc != 0) {
        work_remove(r);
        r->idempotency_key = NULL;
    }
    return rc;
}

static int answer_keep(struct request *r, struct err *err)
{
    struct kept k = { .r = r, .status = r->status };
    char *text;
    json_t *answer;
    int rc;

    if (r->status < 200 || r->status > 299 || r->answer_size > ANSWER_SIZE_MAX)
        return 0;
    answer = json_pack("{s:s%, s:s, s:s}", "text", r->answer ? r->answer : "", r->answer_size,
                       "etag", r->etag, "location", r->location);
    text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    if (!text)
        return -ENOMEM;
    rc = keys_seal(r->rq.server->keys, r->who.org_id, "idempotency", text, strlen(text), &k.answer,
                   &k.answer_size, err);
    ct_wipe(text, strlen(text));
    free(text);
    if (rc == 0)
        rc = store_write(r->rq.server->store, kept_write, &k, err);
    free(k.answer);
    return rc;
}

void idempotency_end(struct request *r)
{
    struct err err = { "" };
    int rc;

    if (!r->idempotency_key)
        return;
    rc = answer_keep(r, &err);
    /* What was done is done: the client hears of it whether or not its answer can be kept. */
    if (rc < 0)
        server_log(r->rq.server, "warning", "an answer could not be kept", "request", r->id,
                   "error", err.text, NULL);
    work_remove(r);
}
