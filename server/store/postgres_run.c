/* SPDX-License-Identifier: Apache-2.0 */
/* Statements on PostgreSQL: arguments, preparing, what its errors mean. Relying party. */
#include <endian.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/postgres.h"

#define KEY_SIZE 4096u

/* ---- errors ---- */

static bool state_is(const char *state, const char *wanted)
{
    return state && strcmp(state, wanted) == 0;
}

/* The errno of a failed result, with the server's words; notes what it means for the transaction. */
static int fail(struct postgres_connection *c, const PGresult *result, struct err *err)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    char line[256];

    snprintf(line, sizeof line, "%s", text ? text : PQerrorMessage(c->link));
    line[strcspn(line, "\n")] = 0;
    if (state_is(state, "23505"))
        return err_set(err, -EEXIST, "%s", line);
    if (state_is(state, "23503"))
        return err_set(err, -ENOLINK, "%s", line);
    c->base.state |= STORE_FAILED;
    if (PQstatus(c->link) == CONNECTION_BAD) {
        c->base.state |= STORE_LOST | STORE_RETRY;
        return err_set(err, -EAGAIN, "%s", line);
    }
    if (state_is(state, "25006"))
        return err_set(err, -EROFS, "%s", line);
    if (state_is(state, "40001") || state_is(state, "40P01") || state_is(state, "55P03")) {
        c->base.state |= STORE_RETRY;
        return err_set(err, -EAGAIN, "%s", line);
    }
    if (state_is(state, "53100")) /* disk_full */
        return err_set(err, -ENOSPC, "%s", line);
    return err_set(err, -EIO, "%s", line);
}

static int check(struct postgres_connection *c, PGresult *result, struct err *err)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : fail(c, result, err);
}

int postgres_command(struct postgres_connection *c, const char *sql, struct err *err)
{
    PGresult *result = PQexec(c->link, sql);
    int rc = check(c, result, err);

    PQclear(result);
    return rc;
}

/* ---- arguments: all in binary, with their types ---- */

struct arguments {
    Oid types[POSTGRES_ARGS_MAX];
    const char *values[POSTGRES_ARGS_MAX];
    int sizes[POSTGRES_ARGS_MAX], formats[POSTGRES_ARGS_MAX];
    uint64_t numbers[POSTGRES_ARGS_MAX]; /* big-endian */
    char kinds[POSTGRES_ARGS_MAX + 1];
    unsigned count;
};

static int set_arguments(struct store_args args, struct arguments *ret, struct err *err)
{
    static const Oid types[] = { [STORE_NULL] = 0,
                                 [STORE_INT] = POSTGRES_OID_INT8,
                                 [STORE_TEXT] = POSTGRES_OID_TEXT,
                                 [STORE_BLOB] = POSTGRES_OID_BYTEA };

    if (args.count > POSTGRES_ARGS_MAX)
        return err_set(err, -EIO, "more than %u arguments", POSTGRES_ARGS_MAX);
    ret->count = args.count;
    for (unsigned i = 0; i < args.count; i++) {
        const struct store_value *v = &args.values[i];

        if (v->size > INT32_MAX)
            return err_set(err, -EIO, "an argument of over 2 GiB");
        ret->types[i] = types[v->kind];
        ret->kinds[i] = "nitb"[v->kind];
        ret->formats[i] = 1;
        ret->sizes[i] = (int)v->size;
        ret->values[i] = v->kind == STORE_NULL ? NULL : v->data ? v->data : "";
        if (v->kind == STORE_INT) {
            ret->numbers[i] = htobe64((uint64_t)v->number);
            ret->values[i] = (const char *)&ret->numbers[i];
            ret->sizes[i] = sizeof ret->numbers[i];
        }
    }
    ret->kinds[args.count] = 0;
    return 0;
}

/* ---- prepared statements ---- */

static uint32_t hash(const char *text)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 16777619u;
    return h;
}

/* The number of the prepared statement; made when there is room. returns: number, from 1; 0 not prepared; as fail. */
static int prepare(struct postgres_connection *c, const char *sql, const struct arguments *a,
                   struct err *err)
{
    char key[KEY_SIZE], name[16];
    struct postgres_statement *s;
    PGresult *result;
    unsigned i;
    int rc;

    if (snprintf(key, sizeof key, "%s %s", a->kinds, sql) >= (int)sizeof key)
        return 0;
    i = hash(key) & (ARRAY_COUNT(c->statements) - 1);
    while (c->statements[i].key && strcmp(c->statements[i].key, key) != 0)
        i = (i + 1) & (ARRAY_COUNT(c->statements) - 1);
    s = &c->statements[i];
    if (s->key)
        return (int)s->number;
    if (c->statement_count == POSTGRES_STATEMENTS_MAX)
        return 0;
    snprintf(name, sizeof name, "s%u", c->statement_count + 1);
    result = PQprepare(c->link, name, sql, (int)a->count, a->types);
    rc = check(c, result, err);
    PQclear(result);
    if (rc < 0)
        return rc;
    s->key = strdup(key);
    if (!s->key)
        return 0;
    s->number = ++c->statement_count;
    return (int)s->number;
}

static int run_bare(struct postgres_connection *c, const char *sql, const struct arguments *a,
                    PGresult **ret, struct err *err)
{
    int number = prepare(c, sql, a, err), rc;
    char name[16];
    PGresult *result;

    if (number < 0)
        return number;
    snprintf(name, sizeof name, "s%d", number);
    if (number > 0)
        result = PQexecPrepared(c->link, name, (int)a->count, a->values, a->sizes, a->formats, 0);
    else
        result =
            PQexecParams(c->link, sql, (int)a->count, a->types, a->values, a->sizes, a->formats, 0);
    rc = check(c, result, err);
    if (rc < 0) {
        PQclear(result);
        return rc;
    }
    *ret = result;
    return 0;
}

/* A change may meet a constraint: then PostgreSQL gives the whole transaction up, unless there is a savepoint. */
int postgres_run(struct postgres_connection *c, const char *sql, struct store_args args,
                 PGresult **ret, struct err *err)
{
    bool is_change = c->base.is_writer && strncmp(sql, "SELECT", 6) != 0;
    struct arguments a;
    struct err other = { "" };
    int rc = set_arguments(args, &a, err), back;

    if (rc < 0) {
        c->base.state |= STORE_FAILED;
        return rc;
    }
    if (is_change)
        rc = postgres_command(c, "SAVEPOINT statement", err);
    if (rc < 0)
        return rc;
    rc = run_bare(c, sql, &a, ret, err);
    if (!is_change || (rc < 0 && rc != -EEXIST && rc != -ENOLINK))
        return rc;
    back = postgres_command(
        c, rc < 0 ? "ROLLBACK TO statement; RELEASE statement" : "RELEASE statement", &other);
    if (back < 0 && rc == 0)
        PQclear(*ret);
    if (back < 0)
        return err_set(err, back, "%s", other.text);
    return rc;
}
