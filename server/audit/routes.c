/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/audit: entries, checkpoints, proofs, export. Relying party. An organisation sees its own entries; of others' the leaf's hash, so that it can check the whole tree. */
#include "server/audit/routes.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/audit/audit.h"
#include "server/audit/tree.h"
#include "server/crypto/keys.h"
#include "server/model/list.h"
#include "server/model/row.h"

#define SEE (API_AUDITOR | API_OWNER)
#define EXPORT_LINES_MAX 5000
#define FILTER_LEN_MAX 128u

static json_t *base64(const void *data, size_t size)
{
    uint8_t text[4 * ((64 + 2) / 3) + 1];

    EVP_EncodeBlock(text, data, (int)MIN(size, (size_t)64));
    return json_string((const char *)text);
}

/* A number of the query. returns: 0; -EPROTO. absent: what it is when it is not there; negative: it must be. */
static int read_number(struct api_request *rq, const char *name, int64_t absent, int64_t *ret)
{
    const char *text = api_query(rq, name);
    char *end;
    int rc;

    if (!text && absent >= 0) {
        *ret = absent;
        return 0;
    }
    errno = 0;
    *ret = text ? strtoll(text, &end, 10) : -1;
    if (text && text[0] >= '0' && text[0] <= '9' && !*end && errno == 0)
        return 0;
    rc = api_problem(rq, 400, "invalid-query", "%s is no number, or is missing", name);
    api_problem_set(rq, "member", json_string(name));
    return rc;
}

/* ---- GET /v1/audit ---- */

struct filter {
    int64_t since_ms, until_ms;
    const char *action, *object, *actor; /* "": any */
};

static json_t *encode_entry(const struct store_rows *rows)
{
    char id[24];
    size_t size;
    const void *leaf = store_column_blob(rows, 2, &size);
    const char *text = store_column_text(rows, 1);
    json_t *entry = text ? json_loads(text, 0, NULL) : NULL;

    snprintf(id, sizeof id, "%lld", (long long)store_column_int(rows, 0));
    if (!entry || size != TREE_HASH_SIZE) {
        json_decref(entry);
        return NULL;
    }
    return json_pack("{s:s, s:I, s:o, s:s, s:o, s:o}", "id", id, "number",
                     (json_int_t)store_column_int(rows, 0), "entry", entry, "text", text,
                     "leaf_hash", base64(leaf, size), "time", api_time(store_column_int(rows, 3)));
}

static int list_query(struct list *l, struct store_tx *tx, struct store_rows **ret, struct err *err)
{
    const struct filter *f = l->arg;
    int64_t after;
    int rc = list_after_number(l, -1, &after);

    if (rc < 0)
        return rc;
    return store_query(
        tx,
        "SELECT number, entry, leaf_hash, time_ms FROM audit_entries WHERE org_id = $1 AND number "
        "> $2 "
        "AND ($3 = '' OR action = $3) AND ($4 = '' OR object = $4) AND ($5 = '' OR actor = $5) AND "
        "time_ms >= $6 AND time_ms < $7 ORDER BY number LIMIT $8",
        STORE_ARGS(store_text(l->rq->who.org_id), store_int(after), store_text(f->action),
                   store_text(f->object), store_text(f->actor), store_int(f->since_ms),
                   store_int(f->until_ms), list_row_count(l)),
        ret, err);
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    *ret = encode_entry(rows);
    return *ret ? 0
                : err_set(err, -EBADMSG, "entry %lld of the audit log was changed",
                          (long long)store_column_int(rows, 0));
}

static const char *query_text(struct api_request *rq, const char *name)
{
    const char *text = api_query(rq, name);

    return text && strlen(text) <= FILTER_LEN_MAX ? text : "";
}

static int list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of entries = { "audit log", .query = list_query, .item = list_item };
    struct filter filter = { .action = query_text(rq, "action"),
                             .object = query_text(rq, "object"),
                             .actor = query_text(rq, "actor") };
    int rc = read_number(rq, "since_ms", 0, &filter.since_ms);

    if (rc == 0)
        rc = read_number(rq, "until_ms", INT64_MAX, &filter.until_ms);
    return rc < 0 ? rc : list_answer(rq, &entries, &filter, ret);
}

/* ---- GET /v1/audit/checkpoint ---- */

struct checkpoint_work {
    struct api_request *rq;
    struct audit_checkpoint checkpoint;
};

static int checkpoint_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct checkpoint_work *w = arg;

    return audit_checkpoint(tx, w->rq->server->keys, &w->checkpoint, err);
}

static int checkpoint(struct api_request *rq, struct api_response *ret)
{
    struct checkpoint_work w = { .rq = rq };
    const struct audit_checkpoint *c = &w.checkpoint;
    struct err err = { "" };
    uint8_t key[32];
    int rc = store_write(rq->server->store, checkpoint_in, &w, &err);

    if (rc >= 0)
        rc = keys_audit_public_key(rq->server->keys, key, &err);
    if (rc < 0)
        return row_result(rq, rc, "audit log", &err);
    ret->status = 200;
    ret->body =
        json_pack("{s:I, s:o, s:I, s:o, s:o}", "size", (json_int_t)c->size, "root",
                  base64(c->root, sizeof c->root), "time_ms", (json_int_t)c->time_ms, "signature",
                  base64(c->signature, sizeof c->signature), "public_key", base64(key, sizeof key));
    return ret->body ? 0 : -ENOMEM;
}

/* ---- proofs ---- */

struct proof_work {
    struct api_request *rq;
    int64_t first, second; /* entry and size; two sizes */
    uint8_t (*path)[32];
    unsigned count;
};

static int inclusion_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct proof_work *w = arg;
    int64_t count;
    int rc =
        store_get_int(tx, "SELECT count(*) FROM audit_entries WHERE org_id = $1 AND number = $2",
                      STORE_ARGS(store_text(w->rq->who.org_id), store_int(w->first)), &count, err);

    if (rc < 0)
        return rc;
    if (count == 0)
        return api_problem(w->rq, 404, "not-found", "your organisation has no entry %lld",
                           (long long)w->first);
    return audit_inclusion(tx, (uint64_t)w->first, (uint64_t)w->second, &w->path, &w->count, err);
}

static int consistency_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct proof_work *w = arg;

    return audit_consistency(tx, (uint64_t)w->first, (uint64_t)w->second, &w->path, &w->count, err);
}

static int prove(struct api_request *rq, struct api_response *ret, const char *first,
                 const char *second, store_tx_fn *fn)
{
    struct proof_work w = { .rq = rq };
    struct err err = { "" };
    json_t *path;
    int rc = read_number(rq, first, -1, &w.first);

    if (rc == 0)
        rc = read_number(rq, second, -1, &w.second);
    if (rc < 0)
        return rc;
    rc = row_result(rq, store_read(rq->server->store, fn, &w, &err), "proof", &err);
    if (rc < 0)
        return rc;
    path = json_array();
    for (unsigned i = 0; i < w.count; i++)
        json_array_append_new(path, base64(w.path[i], 32));
    free(w.path);
    ret->status = 200;
    ret->body = json_pack("{s:I, s:I, s:o}", first, (json_int_t)w.first, second,
                          (json_int_t)w.second, "path", path);
    return ret->body ? 0 : -ENOMEM;
}

static int inclusion(struct api_request *rq, struct api_response *ret)
{
    return prove(rq, ret, "entry", "size", inclusion_in);
}

static int consistency(struct api_request *rq, struct api_response *ret)
{
    return prove(rq, ret, "first", "second", consistency_in);
}

/* ---- GET /v1/audit/export: JSON lines ---- */

struct export_work {
    struct api_request *rq;
    int64_t from, limit;
    char *text;
    size_t size;
};

static int export_line(FILE *out, const struct store_rows *rows)
{
    size_t size;
    const void *leaf = store_column_blob(rows, 1, &size);
    const char *entry = store_column_text(rows, 2);
    json_t *line = json_pack("{s:I, s:s*, s:o*}", "number", (json_int_t)store_column_int(rows, 0),
                             "entry", entry, "leaf_hash", entry ? NULL : base64(leaf, size));
    int rc = line ? json_dumpf(line, out, JSON_COMPACT) : -1;

    json_decref(line);
    return rc < 0 || fputc('\n', out) == EOF ? -ENOMEM : 0;
}

static int export_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct export_work *w = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    FILE *out;
    int rc = store_query(
        tx,
        "SELECT number, leaf_hash, CASE WHEN org_id = $1 THEN entry END FROM "
        "audit_entries WHERE number >= $2 ORDER BY number LIMIT $3",
        STORE_ARGS(store_text(w->rq->who.org_id), store_int(w->from), store_int(w->limit)), &rows,
        err);

    if (rc < 0)
        return rc;
    free(w->text);
    w->text = NULL;
    out = open_memstream(&w->text, &w->size);
    if (!out)
        return -ENOMEM;
    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0)
        rc = export_line(out, rows);
    return fclose(out) == 0 ? rc : -ENOMEM;
}

static int export_lines(struct api_request *rq, struct api_response *ret)
{
    struct export_work w = { .rq = rq };
    struct err err = { "" };
    int rc = read_number(rq, "from", 0, &w.from);

    if (rc == 0)
        rc = read_number(rq, "lines", EXPORT_LINES_MAX, &w.limit);
    if (rc < 0)
        return rc;
    if (w.limit < 1 || w.limit > EXPORT_LINES_MAX)
        return api_problem(rq, 400, "invalid-query", "lines is 1 to %d", EXPORT_LINES_MAX);
    rc = row_result(rq, store_read(rq->server->store, export_in, &w, &err), "audit log", &err);
    if (rc < 0) {
        free(w.text);
        return rc;
    }
    ret->status = 200;
    ret->content_type = "application/jsonl";
    ret->text = w.text;
    ret->text_size = w.size;
    return 0;
}

const struct api_route audit_routes[] = {
    { "GET", "/v1/audit", list, SEE, 0, 0 },
    { "GET", "/v1/audit/checkpoint", checkpoint, SEE, 0, 0 },
    { "GET", "/v1/audit/consistency", consistency, SEE, 0, 0 },
    { "GET", "/v1/audit/export", export_lines, SEE, 0, 0 },
    { "GET", "/v1/audit/inclusion", inclusion, SEE, 0, 0 },
    { "GET", "/v1/audit/report", audit_report, SEE, 0, 0 },
    { "GET", "/v1/audit/report/{part}", audit_report_part, SEE, 0, 0 },
};
const unsigned audit_route_count = ARRAY_COUNT(audit_routes);
