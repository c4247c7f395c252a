/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: SQL in transactions, over SQLite (embedded default) or PostgreSQL. Relying party. Both backends take the same statements: parameters are
 * $1, $2, ... in the order in which they first appear, types BIGINT, TEXT and BLOB (migrations write BLOB; PostgreSQL gets BYTEA), ON CONFLICT, RETURNING. No
 * statement is ever put together from outside text.
 *
 *     static int app_rename(struct store_tx *tx, void *arg, struct err *err)
 *     {
 *         struct rename *r = arg;
 *         int rc = store_exec(tx, "UPDATE apps SET name = $1 WHERE org_id = $2 AND id = $3",
 *                             STORE_ARGS(store_text(r->name), store_text(r->org), store_text(r->id)), err);
 *         return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
 *     }
 *     rc = store_write(store, app_rename, &r, &err);
 *
 * A store may be used by any number of threads. What is in it may have been changed by whoever owns the disk or the database: what must not be
 * forged is sealed or signed by those who write it (server/crypto/keys.h), and checked when it is read.
 */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"

struct store;
struct store_tx;
struct store_rows;

/*
 * url: "sqlite:/path/to/file" (made when missing, mode 0600; WAL, synchronous=FULL, foreign keys on) or "postgresql://..." as libpq reads it.
 * Brings the schema to this program's version, one server at a time.
 * returns: 0; -EINVAL url; -EPROTONOSUPPORT the schema is newer than this program; -EBADMSG the file is damaged; errno.
 */
MUST_CHECK int store_open(const char *url, struct store **ret, struct err *err);
void store_close(struct store *store); /* NULL allowed; no transaction may be open */
/* Whether a statement can be served now. returns: 0; -EIO and why. */
MUST_CHECK int store_check(struct store *store, struct err *err);

/*
 * Runs fn in a transaction and commits it when fn returns 0 or more; else nothing of it remains. When store_write returns, what was written survives a crash of
 * process and machine. Writers are serialised or retried: fn may be called more than once, and must have no other effects than on tx and arg. Writes of
 * several threads may share one commit. fn must be short and must not wait for anything but the store.
 * returns: what fn returned; -EAGAIN others had the store for too long; -ENOSPC its disk is full; -EBADMSG it is damaged; -EIO it failed; -EEXIST a unique constraint,
 * -ENOLINK a foreign key, that fn passed on. After an error nothing of it remains, but for a connection that was lost in the commit itself, which err says.
 */
typedef int store_tx_fn(struct store_tx *tx, void *arg, struct err *err);
int store_write(struct store *store, store_tx_fn *fn, void *arg, struct err *err);
/* The same for reading: one consistent view; writing in it fails with -EROFS. */
int store_read(struct store *store, store_tx_fn *fn, void *arg, struct err *err);
/* Whether it is store_write's: then its view has what was not committed yet. */
bool store_tx_writes(const struct store_tx *tx);

/* ---- statements ---- */

enum store_value_kind { STORE_NULL, STORE_INT, STORE_TEXT, STORE_BLOB };
struct store_value {
    enum store_value_kind kind;
    int64_t number;
    const void *data; /* borrowed for the call */
    size_t size;      /* of text without NUL */
};
struct store_value store_null(void);
struct store_value store_int(int64_t number);
struct store_value store_text(const char *text); /* NULL: null */
struct store_value store_blob(const void *data, size_t size);
struct store_args {
    const struct store_value *values;
    unsigned count;
};
#define STORE_ARGS(...)                                                                            \
    ((struct store_args){ (const struct store_value[]){ __VA_ARGS__ },                             \
                          sizeof((const struct store_value[]){ __VA_ARGS__ }) /                    \
                              sizeof(struct store_value) })
#define STORE_NO_ARGS ((struct store_args){ NULL, 0 })

/* returns: rows changed; -EEXIST unique constraint; -ENOLINK foreign key; -EIO. After -EEXIST or -ENOLINK the transaction goes on. */
MUST_CHECK int store_exec(struct store_tx *tx, const char *sql, struct store_args args,
                          struct err *err);
/* Begins a query; *ret for store_rows_free, before the transaction ends. returns: 0; errors as store_exec. */
MUST_CHECK int store_query(struct store_tx *tx, const char *sql, struct store_args args,
                           struct store_rows **ret, struct err *err);
/* returns: 1 there is a row; 0 the end; -EIO. */
MUST_CHECK int store_rows_next(struct store_rows *rows, struct err *err);
void store_rows_free(struct store_rows *rows); /* NULL allowed */
static inline void store_rows_freep(struct store_rows **rows)
{
    store_rows_free(*rows);
}
/* Of the current row, by number from 0. A null is 0, NULL, size 0. Pointers are valid until the next store_rows_next. */
bool store_is_null(const struct store_rows *rows, unsigned column);
int64_t store_column_int(const struct store_rows *rows, unsigned column);
const char *store_column_text(const struct store_rows *rows, unsigned column);
const void *store_column_blob(const struct store_rows *rows, unsigned column, size_t *ret_size);
/* What a row has: columns, their names (the rows'), their kinds in the current row. */
unsigned store_column_count(const struct store_rows *rows);
const char *store_column_name(const struct store_rows *rows, unsigned column);
enum store_value_kind store_column_kind(const struct store_rows *rows, unsigned column);

/* One row's first column. returns: 0; -ENOENT no row; -EIO. */
MUST_CHECK int store_get_int(struct store_tx *tx, const char *sql, struct store_args args,
                             int64_t *ret, struct err *err);
