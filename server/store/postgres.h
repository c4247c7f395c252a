/* SPDX-License-Identifier: Apache-2.0 */
/* The engine PostgreSQL's own parts. Relying party; internal to server/store. */
#pragma once

#include "server/store/backend.h"

#define POSTGRES_STATEMENTS_MAX 512u /* prepared ones kept by a connection; a power of two */
#define POSTGRES_ARGS_MAX 64u
/* Types, by PostgreSQL's own numbers. */
#define POSTGRES_OID_BYTEA 17u
#define POSTGRES_OID_INT8 20u
#define POSTGRES_OID_TEXT 25u

struct pg_conn;
struct pg_result;

struct postgres_statement {
    char *key; /* kinds of the arguments, one character each, ' ', the text */
    unsigned number;
};
struct postgres_connection {
    struct store_connection base;
    struct pg_conn *link; /* PGconn */
    unsigned statement_count;
    struct postgres_statement
        statements[2 * POSTGRES_STATEMENTS_MAX]; /* by hash, open addressing */
};

/* Runs a statement with its arguments, prepared when there is room. *ret for PQclear. returns: 0; -EEXIST, -ENOLINK, -EROFS, -EAGAIN, -EIO. */
MUST_CHECK int postgres_run(struct postgres_connection *c, const char *sql, struct store_args args,
                            struct pg_result **ret, struct err *err);
/* The same for this program's own text without arguments, one or several statements. */
MUST_CHECK int postgres_command(struct postgres_connection *c, const char *sql, struct err *err);
