/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a database engine does for the store: SQLite and PostgreSQL each fill one table of these. Internal to server/store. A connection is used by one
 * thread at a time. Every function leaves errors of statements in the connection's state:
 *   STORE_FAILED  the transaction may not be committed any more
 *   STORE_RETRY   and doing it again may help (another writer was in the way)
 *   STORE_LOST    and the engine has undone all of it, or the connection is gone
 */
#pragma once

#include "server/store/store.h"

enum store_state { STORE_FINE = 0, STORE_FAILED = 1, STORE_RETRY = 2, STORE_LOST = 4 };

/* Each engine's connection and rows begin with these. */
struct store_connection {
    const struct store_ops *ops;
    unsigned state;     /* enum store_state, a set; of the present transaction */
    unsigned open_rows; /* of the present transaction */
    bool is_writer;
    struct store_connection *next; /* in the pool */
};
struct store_rows {
    struct store_connection *connection;
};
struct store_tx {
    struct store *store;
    struct store_connection *connection;
};

struct store_ops {
    const char *name; /* "sqlite", "postgresql" */
    /* location: the URL as store_open got it. returns: 0; -EINVAL; -EBADMSG; errno. */
    int (*open)(const char *url, bool is_writer, struct store_connection **ret, struct err *err);
    void (*close)(struct store_connection *connection);
    /* Makes all writers, of all servers, wait for each other until the transaction's end. */
    int (*begin)(struct store_connection *connection, struct err *err);
    /* returns: 0 durable; -EAGAIN nothing of it remains, again; -EIO. */
    int (*commit)(struct store_connection *connection, struct err *err);
    void (*rollback)(struct store_connection *connection);
    int (*savepoint)(struct store_connection *connection, struct err *err);
    int (*release)(struct store_connection *connection, struct err *err);
    int (*rollback_to)(struct store_connection *connection, struct err *err);
    /* Several statements without parameters, from this program's own text. */
    int (*script)(struct store_connection *connection, const char *sql, struct err *err);
    int (*exec)(struct store_connection *connection, const char *sql, struct store_args args,
                struct err *err);
    int (*query)(struct store_connection *connection, const char *sql, struct store_args args,
                 struct store_rows **ret, struct err *err);
    int (*rows_next)(struct store_rows *rows, struct err *err);
    void (*rows_free)(struct store_rows *rows);
    bool (*is_null)(const struct store_rows *rows, unsigned column);
    int64_t (*column_int)(const struct store_rows *rows, unsigned column);
    const char *(*column_text)(const struct store_rows *rows, unsigned column);
    const void *(*column_blob)(const struct store_rows *rows, unsigned column, size_t *ret_size);
    unsigned (*column_count)(const struct store_rows *rows);
    const char *(*column_name)(const struct store_rows *rows, unsigned column);
    enum store_value_kind (*column_kind)(const struct store_rows *rows, unsigned column);
};
extern const struct store_ops store_sqlite_ops, store_postgres_ops;

/* The schema's changes, in order; made from migrations/NNN_name.sql at build time (embed.py). */
struct store_migration {
    int64_t version;
    const char *name;
    const char *sqlite, *postgresql;
};
extern const struct store_migration store_migrations[];
extern const unsigned store_migration_count;
/* All tables that there are or were, in the order of their making, which foreign keys allow; up to the name NULL. */
struct store_table {
    const char *name;
    int64_t since,
        until; /* made and dropped by these versions of the schema; until 0: it is there */
};
extern const struct store_table store_tables[];
bool store_table_is_in(const struct store_table *table, int64_t version);
/* Brings the schema up to date through a writer's connection. returns: 0; -EPROTONOSUPPORT; -EIO. */
MUST_CHECK int store_migrate(struct store_connection *connection, struct err *err);
/* The same within a transaction. */
MUST_CHECK int store_schema_upgrade(struct store_connection *connection, struct err *err);
/* Within a transaction on a store of the newest version: drops all tables, with what is in them, and makes those of a version as a new store of then had them. version: 1 to the newest. */
MUST_CHECK int store_schema_make(struct store_connection *connection, int64_t version,
                                 struct err *err);

/* The queue of writers; see writer.c. How long one waits for other servers and programs, with one engine's wait more: set before any thread, by tests. */
extern uint32_t store_write_wait_ms;
struct store_writer;
MUST_CHECK int store_writer_new(struct store *store, struct store_connection *connection,
                                struct store_writer **ret, struct err *err);
void store_writer_free(struct store_writer *writer);
int store_writer_run(struct store_writer *writer, store_tx_fn *fn, void *arg, struct err *err);

/* A connection like the store's others. */
MUST_CHECK int store_connect(struct store *store, bool is_writer, struct store_connection **ret,
                             struct err *err);
