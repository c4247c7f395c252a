/* SPDX-License-Identifier: Apache-2.0 */
/* The store above its engines: opening, the pool of readers, values. Relying party. */
#include "server/store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/backend.h"

#define READERS_IDLE_MAX 16u
#define READ_TRIES_MAX 3u

struct store {
    const struct store_ops *ops;
    char *url;
    struct store_writer *writer;
    pthread_mutex_t lock; /* guards what follows */
    struct store_connection *idle;
    unsigned idle_count;
};

static const struct store_ops *find_ops(const char *url)
{
    if (strncmp(url, "sqlite:", 7) == 0)
        return &store_sqlite_ops;
    if (strncmp(url, "postgresql:", 11) == 0 || strncmp(url, "postgres:", 9) == 0)
        return &store_postgres_ops;
    return NULL;
}

int store_connect(struct store *store, bool is_writer, struct store_connection **ret,
                  struct err *err)
{
    return store->ops->open(store->url, is_writer, ret, err);
}

static int open_writer(struct store *store, struct err *err)
{
    struct store_connection *connection;
    int rc = store_connect(store, true, &connection, err);

    if (rc < 0)
        return rc;
    rc = store_migrate(connection, err);
    if (rc >= 0)
        rc = store_writer_new(store, connection, &store->writer, err);
    if (rc < 0)
        store->ops->close(connection);
    return rc;
}

int store_open(const char *url, struct store **ret, struct err *err)
{
    const struct store_ops *ops = find_ops(url);
    struct store *store;
    int rc;

    if (!ops)
        return err_set(err, -EINVAL, "the store's URL begins with sqlite:/path or postgresql://");
    store = calloc(1, sizeof *store);
    if (!store)
        return err_set_errno(err, -ENOMEM, "store");
    store->ops = ops;
    pthread_mutex_init(&store->lock, NULL);
    store->url = strdup(url);
    rc = store->url ? open_writer(store, err) : -ENOMEM;
    if (rc < 0) {
        store_close(store);
        return err_wrap(err, rc, "cannot open the store");
    }
    *ret = store;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    while (store->idle) {
        struct store_connection *next = store->idle->next;

        store->ops->close(store->idle);
        store->idle = next;
    }
    store_writer_free(store->writer);
    pthread_mutex_destroy(&store->lock);
    free(store->url);
    free(store);
}

/* ---- readers ---- */

static int take_reader(struct store *store, struct store_connection **ret, bool *ret_is_fresh,
                       struct err *err)
{
    struct store_connection *connection;

    pthread_mutex_lock(&store->lock);
    connection = store->idle;
    if (connection) {
        store->idle = connection->next;
        store->idle_count--;
    }
    pthread_mutex_unlock(&store->lock);
    *ret_is_fresh = !connection;
    if (!connection)
        return store_connect(store, false, ret, err);
    *ret = connection;
    return 0;
}

static void give_reader(struct store *store, struct store_connection *connection, bool is_usable)
{
    pthread_mutex_lock(&store->lock);
    if (is_usable && store->idle_count < READERS_IDLE_MAX) {
        connection->next = store->idle;
        store->idle = connection;
        store->idle_count++;
        connection = NULL;
    }
    pthread_mutex_unlock(&store->lock);
    if (connection)
        store->ops->close(connection);
}

/* returns: what fn returned; -EAGAIN the connection was of no use, and fn has seen nothing of it or must run again. */
static int read_once(struct store *store, store_tx_fn *fn, void *arg, struct err *err)
{
    struct store_tx tx = { .store = store };
    bool is_fresh;
    int rc = take_reader(store, &tx.connection, &is_fresh, err);

    if (rc < 0)
        return rc;
    rc = store->ops->begin(tx.connection, err);
    if (rc < 0) {
        bool is_stale = !is_fresh && (tx.connection->state & STORE_LOST);

        give_reader(store, tx.connection, false);
        return is_stale ? -EAGAIN : rc;
    }
    rc = fn(&tx, arg, err);
    if (tx.connection->state & STORE_RETRY)
        rc = -EAGAIN;
    else if (tx.connection->state & STORE_FAILED && rc >= 0)
        rc = -EIO;
    store->ops->rollback(tx.connection);
    give_reader(store, tx.connection, !(tx.connection->state & STORE_LOST));
    return rc;
}

bool store_tx_writes(const struct store_tx *tx)
{
    return tx->connection->is_writer;
}

int store_read(struct store *store, store_tx_fn *fn, void *arg, struct err *err)
{
    int rc = -EAGAIN;

    for (unsigned i = 0; i < READ_TRIES_MAX + READERS_IDLE_MAX && rc == -EAGAIN; i++)
        rc = read_once(store, fn, arg, err);
    return rc;
}

int store_write(struct store *store, store_tx_fn *fn, void *arg, struct err *err)
{
    return store_writer_run(store->writer, fn, arg, err);
}

static int check_in(struct store_tx *tx, void *arg, struct err *err)
{
    int64_t version;

    return store_get_int(tx, "SELECT max(version) FROM schema_version", STORE_NO_ARGS, &version,
                         err);
}

int store_check(struct store *store, struct err *err)
{
    int rc = store_read(store, check_in, NULL, err);

    return rc < 0 ? err_wrap(err, -EIO, "store") : 0;
}

/* ---- statements ---- */

struct store_value store_null(void)
{
    return (struct store_value){ .kind = STORE_NULL };
}

struct store_value store_int(int64_t number)
{
    return (struct store_value){ .kind = STORE_INT, .number = number };
}

struct store_value store_text(const char *text)
{
    if (!text)
        return store_null();
    return (struct store_value){ .kind = STORE_TEXT, .data = text, .size = strlen(text) };
}

struct store_value store_blob(const void *data, size_t size)
{
    if (!data)
        return store_null();
    return (struct store_value){ .kind = STORE_BLOB, .data = data, .size = size };
}

int store_exec(struct store_tx *tx, const char *sql, struct store_args args, struct err *err)
{
    return tx->connection->ops->exec(tx->connection, sql, args, err);
}

int store_query(struct store_tx *tx, const char *sql, struct store_args args,
                struct store_rows **ret, struct err *err)
{
    struct store_rows *rows;
    int rc = tx->connection->ops->query(tx->connection, sql, args, &rows, err);

    if (rc < 0)
        return rc;
    tx->connection->open_rows++;
    *ret = rows;
    return 0;
}

int store_rows_next(struct store_rows *rows, struct err *err)
{
    return rows->connection->ops->rows_next(rows, err);
}

void store_rows_free(struct store_rows *rows)
{
    if (!rows)
        return;
    rows->connection->open_rows--;
    rows->connection->ops->rows_free(rows);
}

bool store_is_null(const struct store_rows *rows, unsigned column)
{
    return rows->connection->ops->is_null(rows, column);
}

int64_t store_column_int(const struct store_rows *rows, unsigned column)
{
    return rows->connection->ops->column_int(rows, column);
}

const char *store_column_text(const struct store_rows *rows, unsigned column)
{
    return rows->connection->ops->column_text(rows, column);
}

const void *store_column_blob(const struct store_rows *rows, unsigned column, size_t *ret_size)
{
    return rows->connection->ops->column_blob(rows, column, ret_size);
}

unsigned store_column_count(const struct store_rows *rows)
{
    return rows->connection->ops->column_count(rows);
}

const char *store_column_name(const struct store_rows *rows, unsigned column)
{
    return rows->connection->ops->column_name(rows, column);
}

enum store_value_kind store_column_kind(const struct store_rows *rows, unsigned column)
{
    return rows->connection->ops->column_kind(rows, column);
}

int store_get_int(struct store_tx *tx, const char *sql, struct store_args args, int64_t *ret,
                  struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, sql, args, &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, -ENOENT, "there is no such row");
    *ret = store_column_int(rows, 0);
    return 0;
}
