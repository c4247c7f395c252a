/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an attested receiver gets: its secrets' values, templates filled in, each release and each refusal in the audit log; and the tag of all of it. Relying party.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/ct.h"
#include "server/audit/audit.h"
#include "server/crypto/keys.h"
#include "server/model/row.h"
#include "server/secret/delivery.h"
#include "server/secret/row.h"
#include "server/secret/template.h"

struct release {
    struct server *server;
    struct store_tx *tx;
    const struct secret_receiver *to;
    json_t *list; /* what is released; values in base64 */
    bool is_audited;
};

/* ---- values ---- */

static int copy_text(const char *text, uint8_t **ret, size_t *ret_size)
{
    size_t size = text ? strlen(text) : 0;
    uint8_t *copy = malloc(size + 1);

    if (!copy)
        return -ENOMEM;
    if (size > 0)
        memcpy(copy, text, size);
    copy[size] = 0;
    *ret = copy;
    *ret_size = size;
    return 0;
}

/* Puts the member `field` of the JSON object that the value is in its place. */
static int pick_field(const char *field, uint8_t **value, size_t *size, struct err *err)
{
    json_t *json = json_loadb((const char *)*value, *size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *member = json_object_get(json, field);
    char number[32];
    const char *text = json_string_value(member);
    uint8_t *picked;
    size_t picked_size;
    int rc = -ENOENT;

    if (json_is_integer(member)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(member));
        text = number;
    }
    if (text)
        rc = copy_text(text, &picked, &picked_size);
    secret_list_free(json);
    ct_wipe(number, sizeof number);
    if (rc < 0)
        return err_set(err, rc, "it has no member \"%s\" that is a text or an integer", field);
    secret_free(*value, *size);
    *value = picked;
    *size = picked_size;
    return 0;
}

/* Another secret, for a template: the receiver must be allowed to have that one too. */
static int find_secret(struct release *r, const struct template_element *element, uint8_t **ret,
                       size_t *ret_size, struct err *err)
{
    struct secret_row row;
    int rc = secret_row_read(r->server, r->tx, r->to->org_id, element->name, &row, err);

    if (rc < 0)
        return rc;
    if (!secret_row_is_bound(&row, r->to->app_id, r->to->build_id))
        rc = err_set(err, -ENOENT, "it is not bound to this app");
    else if (secret_row_is_template(&row))
        rc = err_set(err, -ENOENT, "it is a template itself");
    else
        rc = conditions_meet(row.conditions, r->to, err);
    if (rc == 0)
        rc = secret_value_read(r->server, r->tx, &row, ret, ret_size, err);
    secret_row_done(&row);
    if (rc == 0 && element->field[0]) {
        rc = pick_field(element->field, ret, ret_size, err);
        if (rc < 0)
            secret_free(*ret, *ret_size);
    }
    return rc;
}

static int find_element(void *arg, const struct template_element *element, uint8_t **ret,
                        size_t *ret_size, struct err *err)
{
    struct release *r = arg;
    uint8_t *value = NULL;
    size_t size = 0;
    int rc;

    switch (element->kind) {
    case TEMPLATE_CERTIFICATE:
        rc = copy_text(r->to->certificate_pem, &value, &size);
        break;
    case TEMPLATE_APP_ID:
        rc = copy_text(r->to->app_id, &value, &size);
        break;
    case TEMPLATE_BUILD_ID:
        rc = copy_text(r->to->build_id, &value, &size);
        break;
    case TEMPLATE_INSTANCE_ID:
        rc = copy_text(r->to->instance_id, &value, &size);
        break;
    default:
        rc = find_secret(r, element, &value, &size, err);
        if (rc < 0)
            return err_wrap(err, rc, "template: secret %s", element->name);
    }
    if (rc < 0)
        return err_set_errno(err, rc, "template");
    *ret = value;
    *ret_size = size;
    return 0;
}

/* The value as it is delivered. */
static int make_value(struct release *r, const struct secret_row *row, uint8_t **ret,
                      size_t *ret_size, struct err *err)
{
    uint8_t *value, *filled;
    size_t size, filled_size;
    int rc = secret_value_read(r->server, r->tx, row, &value, &size, err);

    if (rc < 0)
        return rc;
    if (secret_row_is_template(row)) {
        rc = template_fill((const char *)value, size, find_element, r, &filled, &filled_size, err);
        secret_free(value, size);
        if (rc < 0)
            return rc;
        value = filled;
        size = filled_size;
    }
    rc = delivery_value_check(json_object_get(row->delivery, "deliver"), value, size, err);
    if (rc < 0) {
        secret_free(value, size);
        return rc;
    }
    *ret = value;
    *ret_size = size;
    return 0;
}

/* ---- the list ---- */

static int add_to_list(struct release *r, const struct secret_row *row, const uint8_t *value,
                       size_t size)
{
    size_t text_size = (size + 2) / 3 * 4 + 1;
    uint8_t *text = malloc(text_size);
    json_t *item = NULL;
    int rc = -ENOMEM;

    if (text) {
        EVP_EncodeBlock(text, value, (int)size);
        item = json_pack("{s:s, s:I, s:O, s:s}", "name", row->name, "version",
                         (json_int_t)row->version, "deliver",
                         json_object_get(row->delivery, "deliver"), "value", (const char *)text);
    }
    if (item && json_array_append_new(r->list, item) == 0)
        rc = 0;
    secret_free(text, text ? text_size : 0);
    return rc;
}

static int audit(struct release *r, const struct secret_row *row, const char *refusal,
                 struct err *err)
{
    json_t *detail =
        json_pack("{s:s, s:s, s:s, s:I, s:s*, s:s*}", "secret", row->name, "app", r->to->app_id,
                  "build", r->to->build_id ? r->to->build_id : "", "version",
                  (json_int_t)row->version, "instance", r->to->instance_id, "reason", refusal);
    struct audit_entry entry = { .org_id = r->to->org_id,
                                 .actor = r->to->instance_id ? r->to->instance_id : "server",
                                 .action = "secret.release",
                                 .object = row->id,
                                 .decision = refusal ? "refused" : "allowed",
                                 .evidence_sha256 = r->to->evidence_sha256,
                                 .detail = detail };
    int rc = detail ? audit_append(r->tx, &entry, err) : -EIO;

    json_decref(detail);
    return rc;
}

/* One secret: into the list, or refused with its reason. returns: 0; -EBADMSG, -EIO for all. */
static int release_one(struct release *r, const char *id, struct err *err)
{
    struct secret_row row;
    struct err why = { "" };
    uint8_t *value;
    size_t size;
    int rc = secret_row_read(r->server, r->tx, r->to->org_id, id, &row, err);

    if (rc < 0)
        return rc;
    if (!secret_row_is_bound(&row, r->to->app_id, r->to->build_id) ||
        json_object_get(json_object_get(row.delivery, "deliver"), "none")) {
        secret_row_done(&row);
        return 0;
    }
    rc = conditions_meet(row.conditions, r->to, &why);
    if (rc == 0)
        rc = make_value(r, &row, &value, &size, &why);
    if (rc == 0) {
        rc = add_to_list(r, &row, value, size);
        secret_free(value, size);
        if (rc == 0 && r->is_audited)
            rc = audit(r, &row, NULL, err);
    } else if (rc == -EBADMSG || rc == -EIO || rc == -ENOMEM) {
        err_set(err, rc, "%s", why.text);
    } else {
        rc = r->is_audited ? audit(r, &row, why.text, err) : 0;
    }
    secret_row_done(&row);
    return rc;
}

/* Ids of all that may concern the receiver. returns: count; -EBADMSG too many; -EIO. */
static int list_ids(struct release *r, char (*ret)[32], struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    unsigned count = 0;
    int rc =
        store_query(r->tx,
                    "SELECT DISTINCT s.id FROM secrets s JOIN secret_bindings b ON "
                    "b.secret_id = s.id WHERE s.org_id = $1 AND b.app_id = $2 ORDER BY s.id",
                    STORE_ARGS(store_text(r->to->org_id), store_text(r->to->app_id)), &rows, err);

    if (rc < 0)
        return rc;
    while ((rc = store_rows_next(rows, err)) > 0) {
        if (count == SECRETS_PER_APP_MAX)
            return err_set(err, -EBADMSG, "more than %u secrets for one app", SECRETS_PER_APP_MAX);
        row_copy(ret[count++], 32, store_column_text(rows, 0));
    }
    return rc < 0 ? rc : (int)count;
}

static int collect(struct server *server, struct store_tx *tx, const struct secret_receiver *to,
                   bool is_audited, json_t **ret, struct err *err)
{
    struct release r = { server, tx, to, json_array(), is_audited };
    char ids[SECRETS_PER_APP_MAX][32];
    int count = r.list ? list_ids(&r, ids, err) : -ENOMEM, rc = MIN(count, 0);

    for (int i = 0; i < count && rc == 0; i++)
        rc = release_one(&r, ids[i], err);
    if (rc < 0) {
        secret_list_free(r.list);
        return err_wrap(err, rc == -EBADMSG ? rc : -EIO, "secrets");
    }
    *ret = r.list;
    return 0;
}

int secret_release(struct server *server, struct store_tx *tx, const struct secret_receiver *to,
                   json_t **ret, struct err *err)
{
    return collect(server, tx, to, true, ret, err);
}

int secret_tag(struct server *server, struct store_tx *tx, const struct secret_receiver *to,
               char ret[SECRET_TAG_SIZE], struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    json_t *list;
    char *text;
    int rc = collect(server, tx, to, false, &list, err);

    if (rc < 0)
        return rc;
    if (json_array_size(list) == 0) { /* as those who have none say it */
        secret_list_free(list);
        ret[0] = 0;
        return 0;
    }
    text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
    secret_list_free(list);
    if (!text)
        return err_set_errno(err, -EIO, "secrets");
    /* With a key: the tag lies in the store and says nothing about values that could be guessed. */
    rc = keys_mac(server->keys, to->org_id, "secret-tag", text, strlen(text), mac, err);
    secret_free(text, strlen(text));
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < sizeof mac; i++)
        snprintf(ret + 2 * i, 3, "%02x", mac[i]);
    return 0;
}

/* Overwrites texts in place: jansson lends its own buffers. */
static void wipe(json_t *json)
{
    json_t *item;
    const char *key;
    size_t index;

    if (json_is_string(json))
        ct_wipe((void *)(uintptr_t)json_string_value(json), json_string_length(json));
    json_array_foreach(json, index, item) wipe(item);
    json_object_foreach(json, key, item)
    {
        if (strcmp(key, "deliver") != 0) /* shared with the row, not secret */
            wipe(item);
    }
}

void secret_list_free(json_t *list)
{
    wipe(list);
    json_decref(list);
}
