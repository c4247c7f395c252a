/* SPDX-License-Identifier: Apache-2.0 */
/* What the objects' files share: macs over rows, names, the telling of a write. Relying party. */
#include "server/model/row.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/store/id.h"

/* Of what is left of a large detail in an event. */
#define SHORT_LEN_MAX 64u /* bytes; as JSON at most six times as many */
#define SHORT_COUNT_MAX 8u

int row_digest(struct store_args fields, uint8_t ret[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (unsigned i = 0; is_good && i < fields.count; i++) {
        const struct store_value *v = &fields.values[i];
        bool is_number = v->kind == STORE_INT;
        uint64_t size = v->kind == STORE_NULL ? 0 : is_number ? sizeof v->number : v->size;
        uint8_t head[9] = { (uint8_t)v->kind };

        memcpy(head + 1, &size, sizeof size);
        is_good =
            EVP_DigestUpdate(ctx, head, sizeof head) == 1 &&
            (size == 0 ||
             EVP_DigestUpdate(ctx, is_number ? (const void *)&v->number : v->data, size) == 1);
    }
    is_good = is_good && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return is_good ? 0 : -ENOMEM;
}

static void make_context(char *dst, size_t size, const char *table, const char *id)
{
    snprintf(dst, size, "row/%s/%s", table, id);
}

int row_mac(struct server *server, const char *org_id, const char *table, const char *id,
            struct store_args fields, uint8_t ret[32], struct err *err)
{
    char context[160];
    uint8_t digest[32];
    int rc = row_digest(fields, digest);

    if (rc < 0)
        return err_set_errno(err, rc, "row of %s", table);
    make_context(context, sizeof context, table, id);
    return keys_mac(server->keys, org_id, context, digest, sizeof digest, ret, err);
}

int row_mac_verify(struct server *server, const char *org_id, const char *table, const char *id,
                   struct store_args fields, const void *mac, size_t mac_size, struct err *err)
{
    char context[160];
    uint8_t digest[32];
    int rc = row_digest(fields, digest);

    if (rc < 0)
        return err_set_errno(err, rc, "row of %s", table);
    make_context(context, sizeof context, table, id);
    rc = keys_mac_verify(server->keys, org_id, context, digest, sizeof digest, mac, mac_size, err);
    if (rc == -EBADMSG || rc == -ENOENT) {
        server_log(server, "error", "a row of the store was not written by this server", "table",
                   table, "id", id, "org", org_id, NULL);
        return err_set(err, -EBADMSG,
                       "%s %s in the store was changed by somebody else than this server", table,
                       id);
    }
    return rc;
}

struct store_value row_column_blob(const struct store_rows *rows, unsigned column)
{
    size_t size = 0;
    const void *data = store_column_blob(rows, column, &size);

    return store_is_null(rows, column) ? store_null() : store_blob(data, size);
}

struct store_value row_column_int(const struct store_rows *rows, unsigned column)
{
    return store_is_null(rows, column) ? store_null() : store_int(store_column_int(rows, column));
}

struct store_value row_column_text(const struct store_rows *rows, unsigned column)
{
    return store_text(store_column_text(rows, column));
}

void row_text_trim(char *text)
{
    size_t len = strlen(text), more = 0;

    while (more < 3 && more + 1 < len && ((unsigned char)text[len - 1 - more] & 0xc0) == 0x80)
        more++;
    if (len == 0)
        return;
    unsigned char first = (unsigned char)text[len - 1 - more];
    size_t wanted = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;

    if (more < wanted)
        text[len - 1 - more] = 0;
}

void row_copy(char *dst, size_t size, const char *text)
{
    snprintf(dst, size, "%s", text ? text : "");
    row_text_trim(dst);
}

bool row_name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > 63 || name[0] == '-' || name[len - 1] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

int row_name_check(struct api_request *rq, const char *member, const char *name)
{
    if (row_name_is_valid(name))
        return 0;
    int rc = api_problem(rq, 400, "invalid-member",
                         "%s is no name: 1 to 63 lower-case letters, digits and hyphens", member);

    api_problem_set(rq, "member", json_sprintf("/%s", member));
    api_problem_set(rq, "expected", json_string("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"));
    return rc;
}

const char *row_hex(const uint8_t *bytes, size_t size, char dst[ROW_HEX_SIZE])
{
    dst[0] = '\0';
    for (size_t i = 0; i < size && 2 * i + 3 <= ROW_HEX_SIZE; i++)
        snprintf(dst + 2 * i, 3, "%02x", bytes[i]);
    return dst;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int row_unhex(const char *text, uint8_t *ret, size_t size)
{
    if (strlen(text) != 2 * size)
        return -EINVAL;
    for (size_t i = 0; i < 2 * size; i++)
        if (hex_digit(text[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < size; i++)
        ret[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return 0;
}

/* What an event tells of a detail: all of it, or, when it is too large for an event, its numbers and short texts; the audit entry has the rest. */
static json_t *event_data(json_t *detail)
{
    json_t *small, *value;
    const char *name;

    if (!detail || json_dumpb(detail, NULL, 0, JSON_COMPACT) <= EVENTS_DATA_SIZE_MAX)
        return json_incref(detail);
    small = json_object();
    json_object_foreach(detail, name, value)
    {
        bool is_short = json_is_string(value) ? json_string_length(value) <= SHORT_LEN_MAX
                                              : !json_is_object(value) && !json_is_array(value);

        if (is_short && json_object_size(small) < SHORT_COUNT_MAX)
            json_object_set(small, name, value);
    }
    return small;
}

int row_tell(struct api_request *rq, struct store_tx *tx, const char *action,
             const char *event_kind, const char *object, json_t *detail, struct err *err)
{
    const struct audit_entry entry = {
        .org_id = rq->who.org_id,
        .actor = rq->who.id,
        .action = action,
        .object = object,
        .decision = "done",
        .detail = detail,
        .request_id = rq->request_id,
    };
    int rc = 0;

    if (event_kind) {
        json_t *data = event_data(detail);

        rc = event_append(tx, rq->who.org_id, event_kind, object, data, err);
        json_decref(data);
    }
    if (rc >= 0)
        rc = audit_append(tx, &entry, err);
    json_decref(detail);
    return rc;
}

static int refused_tx(struct store_tx *tx, void *arg, struct err *err)
{
    return audit_append(tx, arg, err);
}

void row_tell_refused(struct api_request *rq, const char *action, const char *prefix,
                      const char *object)
{
    struct audit_entry entry = { .org_id = rq->who.org_id,
                                 .actor = rq->who.id,
                                 .action = action,
                                 .object = object,
                                 .decision = "refused",
                                 .request_id = rq->request_id };
    struct err err = { 0 };

    if (id_is_valid(prefix, object) && store_write(rq->server->store, refused_tx, &entry, &err) < 0)
        server_log(rq->server, "error", "a refusal could not be written to the audit log", "reason",
                   err.text, NULL);
}

int row_version_check(struct api_request *rq, int64_t version)
{
    char etag[32];

    snprintf(etag, sizeof etag, "%lld", (long long)version);
    if (!rq->if_match || strcmp(rq->if_match, etag) == 0)
        return 0;
    int rc = api_problem(rq, 412, "changed-meanwhile",
                         "the object was changed since it was read; read it again");

    api_problem_set(rq, "expected", json_string(rq->if_match));
    api_problem_set(rq, "actual", json_string(etag));
    return rc;
}

void row_etag_set(struct api_response *ret, int64_t version)
{
    snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)version);
}

int row_result(struct api_request *rq, int rc, const char *what, const struct err *err)
{
    if (rc >= 0)
        return 0;
    if (rc == -EPROTO)
        return rc;
    if (rc != -EBADMSG)
        return api_problem_errno(rq, rc, what, err);
    rc = api_problem(rq, 500, "record-forged", "%s: %s", what, err->text);
    api_problem_set(
        rq, "fix",
        json_string("restore the store from a backup (cloched restore), and find who changed it"));
    return rc;
}

int row_read(struct api_request *rq, store_tx_fn *fn, void *arg, const char *what)
{
    struct err err = { "" };

    return row_result(rq, store_read(rq->server->store, fn, arg, &err), what, &err);
}

int row_write(struct api_request *rq, store_tx_fn *fn, void *arg, const char *what)
{
    struct err err = { "" };

    return row_result(rq, store_write(rq->server->store, fn, arg, &err), what, &err);
}

int row_read_answer(struct api_request *rq, store_tx_fn *fn, api_answer_fn *answer, void *arg,
                    const char *what, struct api_response *ret)
{
    int rc = row_read(rq, fn, arg, what);

    return rc < 0 ? rc : answer(arg, ret);
}

int row_write_answer(struct api_request *rq, store_tx_fn *fn, api_answer_fn *answer, void *arg,
                     const char *what, struct api_response *ret)
{
    struct err err = { "" };

    return row_result(rq, api_write(rq, fn, answer, arg, ret, &err), what, &err);
}

int row_answer(struct api_response *ret, int status, int64_t version, json_t *body)
{
    ret->status = status;
    if (version > 0)
        row_etag_set(ret, version);
    ret->body = body;
    return body ? 0 : -ENOMEM;
}

char *row_canonical(const json_t *json)
{
    return json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
}

int row_is_revoked(struct store_tx *tx, const char *org_id, const char *kind, const char *object,
                   struct err *err)
{
    int64_t count;
    int rc = store_get_int(
        tx, "SELECT COUNT(*) FROM revocations WHERE org_id = $1 AND kind = $2 AND object = $3",
        STORE_ARGS(store_text(org_id), store_text(kind), store_text(object)), &count, err);

    return rc < 0 ? rc : count > 0;
}
