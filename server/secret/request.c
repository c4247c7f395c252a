/* SPDX-License-Identifier: Apache-2.0 */
/* What clients send about secrets. Relying party. */
#include "server/secret/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/base64url.h"
#include "lib/ct.h"
#include "server/crypto/keys.h"
#include "server/model/app.h"
#include "server/model/row.h"
#include "server/secret/delivery.h"
#include "server/secret/import.h"
#include "server/secret/template.h"

#define VALUE_LEN_MAX ((SECRET_VALUE_SIZE_MAX + 2) / 3 * 4)

void secret_request_done(struct secret_request *request)
{
    secret_free(request->bytes, request->size);
    request->bytes = NULL;
}

static int refuse(struct api_request *rq, const char *member, const struct err *err)
{
    int rc = api_problem(rq, 400, "invalid-member", "%s", err->text);

    api_problem_set(rq, "member", json_sprintf("/%s", member));
    return rc;
}

/* ---- the value ---- */

static int decode_value(struct api_request *rq, struct secret_request *request)
{
    size_t len = strlen(request->value), size = base64url_decoded_size(len);
    struct err err = { "value is not base64url" };

    request->bytes = malloc(size + 1);
    if (!request->bytes)
        return -ENOMEM;
    request->size = size;
    request->bytes[size] = 0;
    if (base64url_decode(request->value, len, request->bytes) < 0)
        return refuse(rq, "value", &err);
    /* The parsed body lives as long as the request: the value need not. */
    ct_wipe((void *)(uintptr_t)request->value, len);
    request->value = NULL;
    snprintf(request->source, sizeof request->source, "api");
    return 0;
}

static int import_value(struct api_request *rq, struct secret_request *request)
{
    struct err err = { "" };
    int rc = secret_import(rq->server, rq->who.org_id, request->import, &request->bytes,
                           &request->size, request->source, sizeof request->source, &err);

    if (rc == -EINVAL)
        return refuse(rq, "import", &err);
    if (rc == -ENOENT)
        return api_problem(rq, 404, "import-not-found", "%s", err.text);
    if (rc == -EACCES)
        return api_problem(rq, 403, "import-refused", "%s", err.text);
    return rc < 0 ? api_problem(rq, 502, "import-failed", "%s", err.text) : 0;
}

static int take_value(struct api_request *rq, struct secret_request *request)
{
    struct err err = { "one of value and import is needed" };

    if (!request->value == !request->import)
        return refuse(rq, "value", &err);
    return request->value ? decode_value(rq, request) : import_value(rq, request);
}

int secret_request_check_value(struct api_request *rq, const struct secret_row *row,
                               const struct secret_request *request)
{
    struct err err = { "" };
    int rc;

    if (secret_row_is_template(row))
        rc = template_fill((const char *)request->bytes, request->size, NULL, NULL, NULL, NULL,
                           &err);
    else
        rc = delivery_value_check(json_object_get(row->delivery, "deliver"), request->bytes,
                                  request->size, &err);
    return rc < 0 ? refuse(rq, "value", &err) : 0;
}

/* ---- bodies ---- */

static int check_words(struct api_request *rq, const struct secret_request *r)
{
    struct err err = { "" };

    if (r->deliver && delivery_check(r->deliver, &err) < 0)
        return refuse(rq, "deliver", &err);
    if (r->conditions && conditions_check(r->conditions, &err) < 0)
        return refuse(rq, "conditions", &err);
    return 0;
}

int secret_request_read(struct api_request *rq, struct secret_request *ret)
{
    struct secret_request r = { .name = NULL };
    const struct api_member members[] = {
        { "name", API_STRING, true, &r.name, 1, SECRET_NAME_SIZE - 1 },
        { "deliver", API_OBJECT, true, &r.deliver },
        { "template", API_BOOL, false, &r.is_template },
        { "conditions", API_OBJECT, false, &r.conditions },
        { "bindings", API_ARRAY, false, &r.bindings, 0, SECRET_BINDINGS_MAX },
        { "value", API_BASE64URL, false, &r.value, 0, VALUE_LEN_MAX },
        { "import", API_OBJECT, false, &r.import },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = row_name_check(rq, "name", r.name);
    if (rc == 0)
        rc = check_words(rq, &r);
    if (rc == 0)
        rc = take_value(rq, &r);
    if (rc < 0) {
        secret_request_done(&r);
        return rc;
    }
    *ret = r;
    return 0;
}

int secret_request_read_change(struct api_request *rq, struct secret_request *ret)
{
    struct secret_request r = { .name = NULL };
    const struct api_member members[] = {
        { "deliver", API_OBJECT, false, &r.deliver },
        { "conditions", API_OBJECT, false, &r.conditions },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = check_words(rq, &r);
    if (rc == 0)
        *ret = r;
    return rc;
}

int secret_request_read_value(struct api_request *rq, struct secret_request *ret)
{
    struct secret_request r = { .name = NULL };
    const struct api_member members[] = {
        { "value", API_BASE64URL, false, &r.value, 0, VALUE_LEN_MAX },
        { "import", API_OBJECT, false, &r.import },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = take_value(rq, &r);
    if (rc < 0) {
        secret_request_done(&r);
        return rc;
    }
    *ret = r;
    return 0;
}

/* ---- bindings ---- */

static int find_build(struct store_tx *tx, const char *org_id, const char *app_id, const char *by,
                      char ret[32], struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc =
        store_query(tx,
                    "SELECT id FROM builds WHERE org_id = $1 AND app_id = $2 AND (id = $3 OR "
                    "version = $3)",
                    STORE_ARGS(store_text(org_id), store_text(app_id), store_text(by)), &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc > 0)
        row_copy(ret, 32, store_column_text(rows, 0));
    return rc == 0 ? err_set(err, -ENOENT, "there is no build %s of that app", by) : MIN(rc, 0);
}

static int read_binding(struct store_tx *tx, const char *org_id, const json_t *item,
                        struct secret_binding *ret, struct err *err)
{
    const char *app = json_string_value(json_object_get(item, "app"));
    const json_t *build = json_object_get(item, "build");
    int rc;

    if (!app || (build && !json_is_string(build)) || json_object_size(item) != (build ? 2u : 1u))
        return err_set(err, -EINVAL,
                       "a binding is {\"app\": id or name, \"build\": id or version}");
    rc = app_find_id(tx, org_id, app, ret->app_id, err);
    if (rc == -ENOENT)
        return err_set(err, rc, "there is no app %s", app);
    if (rc < 0 || !build)
        return rc;
    return find_build(tx, org_id, ret->app_id, json_string_value(build), ret->build_id, err);
}

int secret_bindings_read(struct store_tx *tx, const json_t *bindings, struct secret_row *row,
                         struct err *err)
{
    const json_t *item;
    size_t index;

    row->binding_count = 0;
    memset(row->bindings, 0, sizeof row->bindings);
    if (json_array_size(bindings) > SECRET_BINDINGS_MAX)
        return err_set(err, -EINVAL, "more than %u bindings", SECRET_BINDINGS_MAX);
    json_array_foreach(bindings, index, item)
    {
        struct secret_binding *b = &row->bindings[row->binding_count];
        int rc = read_binding(tx, row->org_id, item, b, err);

        if (rc < 0)
            return rc;
        for (unsigned i = 0; i < row->binding_count; i++)
            if (memcmp(b, &row->bindings[i], sizeof *b) == 0)
                return err_set(err, -EINVAL, "bindings[%zu] is there twice", index);
        row->binding_count++;
    }
    return 0;
}
