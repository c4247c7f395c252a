/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's engine PostgreSQL (libpq). Relying party. Writers of all servers take one advisory lock for the transaction, as SQLite's take the file's: so they see each other's
 * work, the audit log's numbers have no gaps, and nothing has to be tried again but after a lost connection. Readers have a snapshot.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/postgres.h"

/* "cloche" in ASCII: the writers' lock. */
#define BEGIN_WRITE                                                                                \
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(109304560609381)"
#define BEGIN_READ "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

struct postgres_rows {
    struct store_rows base;
    PGresult *result;
    int row;         /* the present one; -1 before the first */
    uint8_t **blobs; /* of the present row by column, decoded when asked for */
};

static struct postgres_connection *of(struct store_connection *c)
{
    return CONTAINER_OF(c, struct postgres_connection, base);
}

static const struct postgres_rows *rows_of(const struct store_rows *rows)
{
    return CONTAINER_OF(rows, struct postgres_rows, base);
}

/* ---- opening ---- */

static void ignore_notice(void *arg, const PGresult *result)
{
}

static void postgres_close(struct store_connection *connection)
{
    struct postgres_connection *c = of(connection);

    for (unsigned i = 0; i < ARRAY_COUNT(c->statements); i++)
        free(c->statements[i].key);
    PQfinish(c->link);
    free(c);
}

static int set_up(struct postgres_connection *c, struct err *err)
{
    /* A server that hangs in a transaction must not hold the writers' lock for ever. */
    int rc = postgres_command(c,
                              "SET client_encoding = 'UTF8'; SET bytea_output = 'hex';"
                              "SET synchronous_commit = 'on'; SET statement_timeout = '60s';"
                              "SET lock_timeout = '5s';"
                              "SET idle_in_transaction_session_timeout = '60s'",
                              err);

    if (rc == 0 && PQserverVersion(c->link) < 120000)
        rc = err_set(err, -EINVAL, "PostgreSQL 12 or newer is needed");
    return rc;
}

static int postgres_open(const char *url, bool is_writer, struct store_connection **ret,
                         struct err *err)
{
    struct postgres_connection *c = calloc(1, sizeof *c);
    char line[256];
    int rc;

    if (!c)
        return err_set_errno(err, -ENOMEM, "store");
    c->base.ops = &store_postgres_ops;
    c->base.is_writer = is_writer;
    c->link = PQconnectdb(url);
    if (PQstatus(c->link) == CONNECTION_OK) {
        PQsetNoticeReceiver(c->link, ignore_notice, NULL);
        rc = set_up(c, err);
    } else { /* libpq's text names host and user, never the password */
        snprintf(line, sizeof line, "%s", PQerrorMessage(c->link));
        line[strcspn(line, "\n")] = 0;
        rc = err_set(err, -EIO, "%s", line);
    }
    if (rc < 0) {
        postgres_close(&c->base);
        return rc == -EAGAIN ? -EIO : rc;
    }
    *ret = &c->base;
    return 0;
}

/* ---- transactions ---- */

static void postgres_rollback(struct store_connection *c)
{
    unsigned state = c->state;
    struct err err;

    if (PQtransactionStatus(of(c)->link) != PQTRANS_IDLE &&
        postgres_command(of(c), "ROLLBACK", &err) < 0)
        state |= STORE_LOST;
    c->state = state;
}

static int postgres_begin(struct store_connection *c, struct err *err)
{
    int rc;

    c->state = STORE_FINE;
    rc = postgres_command(of(c), c->is_writer ? BEGIN_WRITE : BEGIN_READ, err);
    if (rc < 0) /* it has begun, and did not get the lock */
        postgres_rollback(c);
    return rc;
}

static int postgres_commit(struct store_connection *c, struct err *err)
{
    PGresult *result = PQexec(of(c)->link, "COMMIT");
    bool is_done =
        PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(result), "COMMIT") == 0;
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    int rc = 0;

    if (!is_done) {
        bool is_retry = state && strcmp(state, "40001") == 0;
        bool is_lost = PQstatus(of(c)->link) == CONNECTION_BAD;

        c->state |= STORE_FAILED | (is_lost ? STORE_LOST : 0);
        rc = err_set(err, is_retry ? -EAGAIN : -EIO, "%s",
                     is_lost
                         ? "the connection was lost in COMMIT: whether it is written is not known"
                         : "COMMIT was refused");
    }
    PQclear(result);
    if (!is_done)
        postgres_rollback(c);
    return rc;
}

static int postgres_savepoint(struct store_connection *c, struct err *err)
{
    return postgres_command(of(c), "SAVEPOINT one", err);
}

static int postgres_release(struct store_connection *c, struct err *err)
{
    return postgres_command(of(c), "RELEASE one", err);
}

static int postgres_rollback_to(struct store_connection *c, struct err *err)
{
    return postgres_command(of(c), "ROLLBACK TO one", err);
}

static int postgres_script(struct store_connection *c, const char *sql, struct err *err)
{
    return postgres_command(of(c), sql, err);
}

/* ---- statements ---- */

static int postgres_exec(struct store_connection *c, const char *sql, struct store_args args,
                         struct err *err)
{
    PGresult *result;
    int rc = postgres_run(of(c), sql, args, &result, err);

    if (rc < 0)
        return rc;
    rc = strncmp(sql, "SELECT", 6) == 0 ? 0 : (int)strtol(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return rc;
}

static int postgres_query(struct store_connection *c, const char *sql, struct store_args args,
                          struct store_rows **ret, struct err *err)
{
    struct postgres_rows *rows = calloc(1, sizeof *rows);
    int rc;

    if (!rows)
        return err_set_errno(err, -ENOMEM, "store");
    rc = postgres_run(of(c), sql, args, &rows->result, err);
    if (rc == 0) {
        rows->blobs = calloc((size_t)PQnfields(rows->result) + 1, sizeof *rows->blobs);
        if (!rows->blobs) {
            PQclear(rows->result);
            rc = err_set_errno(err, -ENOMEM, "store");
        }
    }
    if (rc < 0) {
        free(rows);
        return rc;
    }
    rows->base.connection = c;
    rows->row = -1;
    *ret = &rows->base;
    return 0;
}

static void drop_blobs(struct postgres_rows *rows)
{
    for (int i = 0; i < PQnfields(rows->result); i++) {
        free(rows->blobs[i]);
        rows->blobs[i] = NULL;
    }
}

static int postgres_rows_next(struct store_rows *base, struct err *err)
{
    struct postgres_rows *rows = CONTAINER_OF(base, struct postgres_rows, base);

    drop_blobs(rows);
    if (rows->row + 1 >= PQntuples(rows->result))
        return 0;
    rows->row++;
    return 1;
}

static void postgres_rows_free(struct store_rows *base)
{
    struct postgres_rows *rows = CONTAINER_OF(base, struct postgres_rows, base);

    drop_blobs(rows);
    free(rows->blobs);
    PQclear(rows->result);
    free(rows);
}

static bool postgres_is_null(const struct store_rows *base, unsigned column)
{
    const struct postgres_rows *rows = rows_of(base);

    return (int)column >= PQnfields(rows->result) ||
           PQgetisnull(rows->result, rows->row, (int)column);
}

static const char *postgres_column_text(const struct store_rows *base, unsigned column)
{
    const struct postgres_rows *rows = rows_of(base);

    return postgres_is_null(base, column) ? NULL : PQgetvalue(rows->result, rows->row, (int)column);
}

static int64_t postgres_column_int(const struct store_rows *base, unsigned column)
{
    const char *text = postgres_column_text(base, column);

    if (!text)
        return 0;
    return text[0] == 't' ? 1 : strtoll(text, NULL, 10); /* "t": a comparison */
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* "\x" and two digits for each byte, as the server was told to write them. */
static const void *postgres_column_blob(const struct store_rows *base, unsigned column,
                                        size_t *ret_size)
{
    const struct postgres_rows *rows = rows_of(base);
    const char *text = postgres_column_text(base, column);
    size_t size;

    *ret_size = 0;
    if (!text)
        return NULL;
    size = (size_t)PQgetlength(rows->result, rows->row, (int)column);
    if (size < 2 || text[0] != '\\' || text[1] != 'x') { /* a text, taken as bytes */
        *ret_size = size;
        return text;
    }
    size = size / 2 - 1;
    if (!rows->blobs[column]) {
        rows->blobs[column] = malloc(size + 1);
        if (!rows->blobs[column])
            return NULL;
        for (size_t i = 0; i < size; i++)
            rows->blobs[column][i] =
                (uint8_t)(hex_value(text[2 + 2 * i]) << 4 | hex_value(text[3 + 2 * i]));
    }
    *ret_size = size;
    return rows->blobs[column];
}

static unsigned postgres_column_count(const struct store_rows *base)
{
    return (unsigned)PQnfields(rows_of(base)->result);
}

static const char *postgres_column_name(const struct store_rows *base, unsigned column)
{
    return PQfname(rows_of(base)->result, (int)column);
}

static enum store_value_kind postgres_column_kind(const struct store_rows *base, unsigned column)
{
    if (postgres_is_null(base, column))
        return STORE_NULL;
    switch (PQftype(rows_of(base)->result, (int)column)) {
    case POSTGRES_OID_INT8:
        return STORE_INT;
    case POSTGRES_OID_BYTEA:
        return STORE_BLOB;
    default:
        return STORE_TEXT;
    }
}

const struct store_ops store_postgres_ops = {
    .name = "postgresql",
    .open = postgres_open,
    .close = postgres_close,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .savepoint = postgres_savepoint,
    .release = postgres_release,
    .rollback_to = postgres_rollback_to,
    .script = postgres_script,
    .exec = postgres_exec,
    .query = postgres_query,
    .rows_next = postgres_rows_next,
    .rows_free = postgres_rows_free,
    .is_null = postgres_is_null,
    .column_int = postgres_column_int,
    .column_text = postgres_column_text,
    .column_blob = postgres_column_blob,
    .column_count = postgres_column_count,
    .column_name = postgres_column_name,
    .column_kind = postgres_column_kind,
};
