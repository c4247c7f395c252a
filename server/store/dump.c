/* SPDX-License-Identifier: Apache-2.0 */
/* All rows of a store as JSON lines. Relying party. */
#include "server/store/dump.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/store/backend.h"
#include "server/store/dump_part.h"

struct dump {
    FILE *out;
    EVP_MD_CTX *digest;
    int64_t rows;
};

bool dump_has_table(const struct store_table *table, int64_t version)
{
    return strcmp(table->name, "nonces") != 0 && strcmp(table->name, "idempotency") != 0 &&
           store_table_is_in(table, version);
}

/* Takes the line over. */
static int write_line(struct dump *d, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    int rc = -EIO;

    json_decref(line);
    if (text && fputs(text, d->out) >= 0 && fputc('\n', d->out) != EOF &&
        EVP_DigestUpdate(d->digest, text, strlen(text)) == 1 &&
        EVP_DigestUpdate(d->digest, "\n", 1) == 1)
        rc = 0;
    free(text);
    return rc;
}

static json_t *encode_blob(const void *data, size_t size)
{
    uint8_t *text = malloc((size + 2) / 3 * 4 + 1);
    json_t *json = NULL;

    if (text) {
        text[0] = 0; /* of nothing, EVP_EncodeBlock writes nothing */
        EVP_EncodeBlock(text, data, (int)size);
        json = json_pack("{s:s}", "b", (const char *)text);
    }
    free(text);
    return json;
}

static json_t *encode_column(const struct store_rows *rows, unsigned column)
{
    const void *data;
    size_t size;

    switch (store_column_kind(rows, column)) {
    case STORE_INT:
        return json_integer(store_column_int(rows, column));
    case STORE_TEXT:
        return json_string(store_column_text(rows, column));
    case STORE_BLOB:
        data = store_column_blob(rows, column, &size);
        return data ? encode_blob(data, size) : NULL;
    default:
        return json_null();
    }
}

json_t *dump_columns(const struct store_rows *rows)
{
    json_t *names = json_array();

    for (unsigned i = 0; names && i < store_column_count(rows); i++)
        json_array_append_new(names, json_string(store_column_name(rows, i)));
    return names;
}

static int dump_table(struct dump *d, struct store_tx *tx, const char *table, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    char sql[128];
    int rc;

    snprintf(sql, sizeof sql, "SELECT * FROM %s", table);
    rc = store_query(tx, sql, STORE_NO_ARGS, &rows, err);
    if (rc == 0)
        rc = write_line(d, json_pack("{s:s, s:o}", "table", table, "columns", dump_columns(rows)));
    while (rc == 0 && (rc = store_rows_next(rows, err)) > 0) {
        json_t *row = json_array();

        rc = 0;
        for (unsigned i = 0; i < store_column_count(rows) && rc == 0; i++)
            rc = json_array_append_new(row, encode_column(rows, i)); /* refuses NULL */
        rc = rc < 0 ? (json_decref(row), -EIO) : write_line(d, row);
        d->rows++;
    }
    return rc < 0 ? err_wrap(err, rc, "table %s", table) : 0;
}

static int dump_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct dump *d = arg;
    int rc = 0;

    if (fseek(d->out, 0, SEEK_SET) < 0 || ftruncate(fileno(d->out), 0) < 0 ||
        EVP_DigestInit_ex(d->digest, EVP_sha256(), NULL) != 1)
        return err_set_errno(err, -EIO, "cannot write from the file's beginning");
    d->rows = 0;
    rc = write_line(d, json_pack("{s:s, s:I}", "format", DUMP_FORMAT, "schema",
                                 (json_int_t)store_migration_count));
    for (unsigned i = 0; store_tables[i].name && rc == 0; i++)
        if (dump_has_table(&store_tables[i], store_migration_count))
            rc = dump_table(d, tx, store_tables[i].name, err);
    if (rc == 0)
        rc = write_line(d, json_pack("{s:b, s:I}", "end", 1, "rows", (json_int_t)d->rows));
    return rc;
}

int store_dump(struct store *store, FILE *out, int64_t *ret_rows, uint8_t ret_sha256[32],
               struct err *err)
{
    struct dump d = { .out = out, .digest = EVP_MD_CTX_new() };
    int rc = d.digest ? store_read(store, dump_in, &d, err) : -ENOMEM;

    if (rc == 0 && EVP_DigestFinal_ex(d.digest, ret_sha256, NULL) != 1)
        rc = -EIO;
    EVP_MD_CTX_free(d.digest);
    if (rc < 0)
        return err_wrap(err, rc, "backup");
    *ret_rows = d.rows;
    return 0;
}
