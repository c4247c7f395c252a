/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in the store. Relying party. */
#include "server/secret/row.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/crypto/keys.h"
#include "server/model/row.h"
#include "server/store/id.h"

#define FIELDS 6u

static void text_freep(char **text)
{
    free(*text);
}

void secret_row_done(struct secret_row *row)
{
    json_decref(row->delivery);
    json_decref(row->conditions);
    row->delivery = row->conditions = NULL;
}

bool secret_row_is_bound(const struct secret_row *row, const char *app_id, const char *build_id)
{
    for (unsigned i = 0; i < row->binding_count; i++)
        if (strcmp(row->bindings[i].app_id, app_id) == 0 &&
            (!row->bindings[i].build_id[0] ||
             (build_id && strcmp(row->bindings[i].build_id, build_id) == 0)))
            return true;
    return false;
}

bool secret_row_is_template(const struct secret_row *row)
{
    return json_is_true(json_object_get(row->delivery, "template"));
}

/* What the mac covers; texts are the columns'. */
static unsigned list_fields(const struct secret_row *row, const char *delivery,
                            const char *conditions, struct store_value *ret)
{
    unsigned count = 0;

    ret[count++] = store_text(row->name);
    ret[count++] = store_int(row->version);
    ret[count++] = store_text(delivery);
    ret[count++] = store_text(conditions);
    ret[count++] = store_int(row->created_ms);
    ret[count++] = store_int(row->changed_ms);
    for (unsigned i = 0; i < row->binding_count; i++) {
        ret[count++] = store_text(row->bindings[i].app_id);
        ret[count++] = store_text(row->bindings[i].build_id);
    }
    return count;
}

static int compare_bindings(const void *a, const void *b)
{
    const struct secret_binding *x = a, *y = b;
    int order = strcmp(x->app_id, y->app_id);

    return order ? order : strcmp(x->build_id, y->build_id);
}

/* ---- reading ---- */

static int read_bindings(struct store_tx *tx, struct secret_row *row, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT app_id, build_id FROM secret_bindings WHERE secret_id = $1",
                         STORE_ARGS(store_text(row->id)), &rows, err);

    if (rc < 0)
        return rc;
    while ((rc = store_rows_next(rows, err)) > 0) {
        struct secret_binding *b = &row->bindings[row->binding_count];

        if (row->binding_count == SECRET_BINDINGS_MAX)
            return err_set(err, -EBADMSG, "secret %s has more than %u bindings", row->id,
                           SECRET_BINDINGS_MAX);
        row_copy(b->app_id, sizeof b->app_id, store_column_text(rows, 0));
        row_copy(b->build_id, sizeof b->build_id, store_column_text(rows, 1));
        row->binding_count++;
    }
    qsort(row->bindings, row->binding_count, sizeof row->bindings[0], compare_bindings);
    return rc;
}

static int check(struct server *server, const struct store_rows *rows, const struct secret_row *row,
                 struct err *err)
{
    struct store_value fields[FIELDS + 2 * SECRET_BINDINGS_MAX];
    unsigned count =
        list_fields(row, store_column_text(rows, 3), store_column_text(rows, 4), fields);
    size_t size;
    const void *mac = store_column_blob(rows, 7, &size);

    return row_mac_verify(server, row->org_id, "secrets", row->id,
                          (struct store_args){ fields, count }, mac, size, err);
}

static json_t *parse(const char *text)
{
    return text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static int read_row(struct server *server, struct store_tx *tx, const char *org_id,
                    struct store_rows *rows, struct secret_row *row, struct err *err)
{
    int rc;

    memset(row, 0, sizeof *row);
    row_copy(row->id, sizeof row->id, store_column_text(rows, 0));
    row_copy(row->org_id, sizeof row->org_id, org_id);
    row_copy(row->name, sizeof row->name, store_column_text(rows, 1));
    row->version = store_column_int(rows, 2);
    row->created_ms = store_column_int(rows, 5);
    row->changed_ms = store_column_int(rows, 6);
    rc = read_bindings(tx, row, err);
    if (rc == 0)
        rc = check(server, rows, row, err);
    if (rc < 0)
        return rc;
    row->delivery = parse(store_column_text(rows, 3));
    row->conditions = parse(store_column_text(rows, 4));
    if (row->delivery && row->conditions)
        return 0;
    secret_row_done(row);
    return err_set(err, -EBADMSG, "secret %s is damaged", row->id);
}

int secret_row_read(struct server *server, struct store_tx *tx, const char *org_id,
                    const char *name, struct secret_row *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct secret_row row;
    int rc = store_query(tx,
                         "SELECT id, name, version, delivery, conditions, created_ms, changed_ms, "
                         "mac FROM secrets WHERE org_id = $1 AND (id = $2 OR name = $2)",
                         STORE_ARGS(store_text(org_id), store_text(name)), &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, -ENOENT, "there is no secret %s", name);
    rc = read_row(server, tx, org_id, rows, &row, err);
    if (rc == 0)
        *ret = row;
    return rc;
}

/* ---- writing ---- */

static int insert_bindings(struct store_tx *tx, const struct secret_row *row, struct err *err)
{
    for (unsigned i = 0; i < row->binding_count; i++) {
        int rc = store_exec(
            tx, "INSERT INTO secret_bindings (secret_id, app_id, build_id) VALUES ($1, $2, $3)",
            STORE_ARGS(store_text(row->id), store_text(row->bindings[i].app_id),
                       store_text(row->bindings[i].build_id)),
            err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Either statement takes the same values: id, org, name, version, delivery, conditions, created, changed, mac. */
static int write_row(struct server *server, struct store_tx *tx, const struct secret_row *given,
                     const char *sql, struct err *err)
{
    struct store_value fields[FIELDS + 2 * SECRET_BINDINGS_MAX];
    struct secret_row row = *given;
    CLEANUP(text_freep)
    char *delivery = row_canonical(row.delivery);
    CLEANUP(text_freep)
    char *conditions = row_canonical(row.conditions);
    uint8_t mac[KEYS_MAC_SIZE];
    unsigned count;
    int rc;

    if (!delivery || !conditions)
        return err_set_errno(err, -ENOMEM, "secret");
    qsort(row.bindings, row.binding_count, sizeof row.bindings[0], compare_bindings);
    count = list_fields(&row, delivery, conditions, fields);
    rc = row_mac(server, row.org_id, "secrets", row.id, (struct store_args){ fields, count }, mac,
                 err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx, sql,
                    STORE_ARGS(store_text(row.id), store_text(row.org_id), store_text(row.name),
                               store_int(row.version), store_text(delivery), store_text(conditions),
                               store_int(row.created_ms), store_int(row.changed_ms),
                               store_blob(mac, sizeof mac)),
                    err);
    if (rc < 0)
        return rc;
    return rc == 0 ? err_set(err, -ENOENT, "there is no secret %s", row.id) : 0;
}

int secret_row_insert(struct server *server, struct store_tx *tx, const struct secret_row *row,
                      struct err *err)
{
    int rc = write_row(server, tx, row,
                       "INSERT INTO secrets (id, org_id, name, version, delivery, conditions, "
                       "created_ms, changed_ms, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                       err);

    return rc < 0 ? rc : insert_bindings(tx, row, err);
}

int secret_row_update(struct server *server, struct store_tx *tx, const struct secret_row *row,
                      struct err *err)
{
    int rc =
        write_row(server, tx, row,
                  "UPDATE secrets SET name = $3, version = $4, delivery = $5, conditions = "
                  "$6, created_ms = $7, changed_ms = $8, mac = $9 WHERE id = $1 AND org_id = $2",
                  err);

    if (rc == 0)
        rc = store_exec(tx, "DELETE FROM secret_bindings WHERE secret_id = $1",
                        STORE_ARGS(store_text(row->id)), err);
    return rc < 0 ? rc : insert_bindings(tx, row, err);
}

/* ---- values ---- */

#define CONTEXT_SIZE 80u

static void make_context(const struct secret_row *row, char ret[CONTEXT_SIZE])
{
    snprintf(ret, CONTEXT_SIZE, "secret/%s/%lld", row->id, (long long)row->version);
}

int secret_value_insert(struct server *server, struct store_tx *tx, const struct secret_row *row,
                        const void *value, size_t size, const char *source, const char *created_by,
                        struct err *err)
{
    char context[CONTEXT_SIZE];
    uint8_t *sealed;
    size_t sealed_size;
    int rc;

    make_context(row, context);
    rc = keys_seal(server->keys, row->org_id, context, value, size, &sealed, &sealed_size, err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO secret_versions (secret_id, version, sealed, source, created_by, "
                    "created_ms) VALUES ($1, $2, $3, $4, $5, $6)",
                    STORE_ARGS(store_text(row->id), store_int(row->version),
                               store_blob(sealed, sealed_size), store_text(source),
                               store_text(created_by), store_int(row->changed_ms)),
                    err);
    free(sealed);
    return rc < 0 ? rc : 0;
}

int secret_value_read(struct server *server, struct store_tx *tx, const struct secret_row *row,
                      uint8_t **ret, size_t *ret_size, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    char context[CONTEXT_SIZE];
    const void *sealed;
    size_t size;
    int rc = store_query(
        tx,
        "SELECT v.sealed FROM secret_versions v JOIN secrets s ON s.id = "
        "v.secret_id WHERE s.org_id = $1 AND v.secret_id = $2 AND v.version = $3 "
        "AND v.destroyed_ms IS NULL",
        STORE_ARGS(store_text(row->org_id), store_text(row->id), store_int(row->version)), &rows,
        err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, -ENOENT, "secret %s has no value, or it was destroyed", row->name);
    sealed = store_column_blob(rows, 0, &size);
    make_context(row, context);
    return keys_unseal(server->keys, row->org_id, context, sealed, size, ret, ret_size, err);
}
