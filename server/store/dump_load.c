/* SPDX-License-Identifier: Apache-2.0 */
/* Rows from JSON lines into an empty store. Relying party; the lines are hostile: names of tables and columns are compared with the store's own, never used. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/backend.h"
#include "server/store/dump.h"
#include "server/store/dump_part.h"

#define COLUMNS_MAX 64u
#define SQL_SIZE 4096u

struct load {
    FILE *file;
    EVP_MD_CTX *digest;
    char *line; /* the present one, with its end */
    size_t capacity;
    int64_t rows, number; /* number: of the line, for people */
    char sql[SQL_SIZE];   /* of the present table; "" before the first */
    unsigned columns;
    int64_t version; /* of the schema */
    unsigned table;  /* the next one's index in store_tables */
    bool is_ended;
};

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static int bad(const struct load *l, struct err *err, const char *why)
{
    return err_set(err, -EBADMSG, "line %lld of the backup: %s", (long long)l->number, why);
}

/* ---- one value ---- */

static int decode_blob(const json_t *json, uint8_t **ret, size_t *ret_size)
{
    const char *text = json_string_value(json_object_get(json, "b"));
    size_t len = text ? strlen(text) : 1;
    int size;

    if (len % 4 || len > DUMP_LINE_SIZE_MAX || json_object_size(json) != 1)
        return -EBADMSG;
    *ret = malloc(len / 4 * 3 + 1);
    if (!*ret)
        return -ENOMEM;
    size = len ? EVP_DecodeBlock(*ret, (const uint8_t *)text, (int)len) : 0;
    if (size < 0) {
        free(*ret);
        *ret = NULL;
        return -EBADMSG;
    }
    for (size_t i = len; i > 0 && text[i - 1] == '=' && size > 0; i--)
        size--;
    *ret_size = (size_t)size;
    return 0;
}

/* blob: for free(), or NULL. */
static int decode_value(const json_t *json, struct store_value *ret, uint8_t **blob)
{
    size_t size;
    int rc = 0;

    *blob = NULL;
    if (json_is_null(json)) {
        *ret = store_null();
    } else if (json_is_integer(json)) {
        *ret = store_int(json_integer_value(json));
    } else if (json_is_string(json)) {
        *ret = store_text(json_string_value(json));
    } else if (json_is_object(json)) {
        rc = decode_blob(json, blob, &size);
        if (rc == 0)
            *ret = store_blob(*blob, size);
    } else {
        rc = -EBADMSG;
    }
    return rc;
}

/* ---- lines ---- */

static int load_row(struct load *l, struct store_tx *tx, const json_t *row, struct err *err)
{
    struct store_value values[COLUMNS_MAX];
    uint8_t *blobs[COLUMNS_MAX] = { NULL };
    int rc = 0;

    if (!l->sql[0] || json_array_size(row) != l->columns)
        return bad(l, err, "a row that fits no table");
    for (unsigned i = 0; i < l->columns && rc == 0; i++)
        rc = decode_value(json_array_get(row, i), &values[i], &blobs[i]);
    if (rc == 0)
        rc = store_exec(tx, l->sql, (struct store_args){ values, l->columns }, err);
    else
        bad(l, err, "a value that is none");
    for (unsigned i = 0; i < l->columns; i++)
        free(blobs[i]);
    l->rows++;
    if (rc == -EEXIST || rc == -ENOLINK)
        return err_wrap(err, -EBADMSG, "line %lld of the backup", (long long)l->number);
    return rc < 0 ? rc : 0;
}

/* "INSERT INTO table (a, b) VALUES ($1, $2)", of the store's own names. */
static void make_insert(struct load *l, const char *table, const struct store_rows *rows)
{
    size_t at = (size_t)snprintf(l->sql, SQL_SIZE, "INSERT INTO %s (", table);

    for (unsigned i = 0; i < l->columns && at < SQL_SIZE; i++)
        at += (size_t)snprintf(l->sql + at, SQL_SIZE - at, "%s%s", i ? ", " : "",
                               store_column_name(rows, i));
    for (unsigned i = 0; i < l->columns && at < SQL_SIZE; i++)
        at += (size_t)snprintf(l->sql + at, SQL_SIZE - at, "%s$%u", i ? ", " : ") VALUES (", i + 1);
    if (at + 2 <= SQL_SIZE)
        snprintf(l->sql + at, SQL_SIZE - at, ")");
    else
        l->sql[0] = 0;
}

/* To the next one that a dump of this version has, or to the end. */
static void skip_tables(struct load *l)
{
    while (store_tables[l->table].name && !dump_has_table(&store_tables[l->table], l->version))
        l->table++;
}

static int load_table(struct load *l, struct store_tx *tx, const json_t *line, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    CLEANUP(json_freep)
    json_t *columns = NULL;
    const char *name = json_string_value(json_object_get(line, "table")), *table;
    char sql[128];
    int rc;

    skip_tables(l);
    table = store_tables[l->table].name;
    if (!table || !name || strcmp(name, table) != 0)
        return bad(l, err, "a table that does not come next");
    l->table++;
    snprintf(sql, sizeof sql, "SELECT * FROM %s WHERE 1 = 0", table);
    rc = store_query(tx, sql, STORE_NO_ARGS, &rows, err);
    if (rc < 0)
        return rc;
    columns = dump_columns(rows);
    if (!json_equal(columns, json_object_get(line, "columns")))
        return bad(l, err, "a table with other columns");
    l->columns = store_column_count(rows);
    if (l->columns <= COLUMNS_MAX)
        make_insert(l, table, rows);
    return l->columns <= COLUMNS_MAX && l->sql[0] ? 0
                                                  : bad(l, err, "a table with too many columns");
}

/* All rows of tables that a dump may have: those that migrations made. */
static int clear(struct load *l, struct store_tx *tx, struct err *err)
{
    unsigned count = 0;
    char sql[128];
    int rc = 0;

    while (store_tables[count].name)
        count++;
    while (count-- > 0 && rc >= 0) { /* what refers before what is referred to */
        if (!store_table_is_in(&store_tables[count], l->version))
            continue;
        snprintf(sql, sizeof sql, "DELETE FROM %s", store_tables[count].name);
        rc = store_exec(tx, sql, STORE_NO_ARGS, err);
    }
    return MIN(rc, 0);
}

static int load_head(struct load *l, struct store_tx *tx, const json_t *line, struct err *err)
{
    const char *format = json_string_value(json_object_get(line, "format"));
    json_int_t schema = json_integer_value(json_object_get(line, "schema"));
    int rc;

    if (!format || strcmp(format, DUMP_FORMAT) != 0)
        return bad(l, err, "not a backup of cloched");
    if (schema < 1)
        return bad(l, err, "no version of the schema");
    if (schema > store_migration_count)
        return err_set(err, -EPROTONOSUPPORT,
                       "the backup has schema version %lld, this program knows up to %u: restore "
                       "with the newer program",
                       (long long)schema, store_migration_count);
    l->version = schema;
    rc = store_schema_make(tx->connection, schema, err);
    return rc < 0 ? rc : clear(l, tx, err);
}

static int load_line(struct load *l, struct store_tx *tx, const json_t *line, struct err *err)
{
    if (l->number == 1)
        return load_head(l, tx, line, err);
    if (json_is_array(line))
        return load_row(l, tx, line, err);
    if (json_object_get(line, "table"))
        return load_table(l, tx, line, err);
    if (!json_is_true(json_object_get(line, "end")) ||
        json_integer_value(json_object_get(line, "rows")) != l->rows)
        return bad(l, err, "neither a row, nor a table, nor the end");
    l->is_ended = true;
    return 0;
}

/* The next line, up to DUMP_LINE_SIZE_MAX bytes. returns: bytes; 0 the file's end, no line's end, or too long; -ENOMEM. */
static ssize_t read_bytes(struct load *l)
{
    size_t size = 0;
    int c;

    while ((c = getc_unlocked(l->file)) != EOF && size < DUMP_LINE_SIZE_MAX) {
        if (size == l->capacity) {
            size_t capacity = MAX(2 * l->capacity, (size_t)4096);
            char *bigger = realloc(l->line, capacity);

            if (!bigger)
                return -ENOMEM;
            l->line = bigger;
            l->capacity = capacity;
        }
        l->line[size++] = (char)c;
        if (c == '\n')
            return (ssize_t)size;
    }
    return 0;
}

/* returns: 0 with a line; -EBADMSG the end too early, or a line too long. */
static int read_line(struct load *l, json_t **ret, struct err *err)
{
    ssize_t size = read_bytes(l);

    l->number++;
    if (size < 0)
        return err_set_errno(err, (int)size, "backup");
    if (size == 0)
        return bad(l, err, "it ends too early, or is too long");
    if (EVP_DigestUpdate(l->digest, l->line, (size_t)size) != 1)
        return -EIO;
    *ret = json_loadb(l->line, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
    return *ret ? 0 : bad(l, err, "not JSON");
}

static int check_empty(struct store_tx *tx, struct err *err)
{
    int64_t count;
    int rc = store_get_int(tx,
                           "SELECT (SELECT count(*) FROM settings) + (SELECT count(*) FROM orgs) + "
                           "(SELECT count(*) FROM audit_entries)",
                           STORE_NO_ARGS, &count, err);

    if (rc == 0 && count > 0)
        rc = err_set(err, -EEXIST, "the store is not empty: restore into a new one");
    return rc;
}

static int load_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct load *l = arg;
    int rc = check_empty(tx, err);

    rewind(l->file);
    l->rows = l->number = 0;
    l->table = 0;
    l->version = store_migration_count;
    l->sql[0] = 0;
    l->is_ended = false;
    if (rc == 0 && EVP_DigestInit_ex(l->digest, EVP_sha256(), NULL) != 1)
        rc = -EIO;
    while (rc == 0 && !l->is_ended) {
        CLEANUP(json_freep)
        json_t *line = NULL;

        rc = read_line(l, &line, err);
        if (rc == 0)
            rc = load_line(l, tx, line, err);
    }
    skip_tables(l);
    if (rc == 0 && store_tables[l->table].name)
        rc = bad(l, err, "tables are missing");
    return rc == 0 ? store_schema_upgrade(tx->connection, err) : rc;
}

int store_load(struct store *store, FILE *file, int64_t *ret_rows, uint8_t ret_sha256[32],
               long *ret_end, struct err *err)
{
    struct load l = { .file = file, .digest = EVP_MD_CTX_new() };
    int rc = l.digest ? store_write(store, load_in, &l, err) : -ENOMEM;

    if (rc == 0 && EVP_DigestFinal_ex(l.digest, ret_sha256, NULL) != 1)
        rc = -EIO;
    EVP_MD_CTX_free(l.digest);
    free(l.line);
    if (rc < 0)
        return rc;
    *ret_rows = l.rows;
    *ret_end = ftell(file);
    return 0;
}

static int clear_in(struct store_tx *tx, void *arg, struct err *err)
{
    return store_schema_make(tx->connection, store_migration_count, err);
}

int store_clear(struct store *store, struct err *err)
{
    return store_write(store, clear_in, NULL, err);
}
