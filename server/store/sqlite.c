/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's engine SQLite: WAL, synchronous=FULL. Relying party. One connection writes (writer.c), each reader has its own; statements stay prepared.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/store/backend.h"
#include "server/store/sqlite_alone.h"

#define BUSY_TIMEOUT_MS 5000
#define STATEMENTS_MAX 512u /* prepared ones kept by a connection; a power of two */

struct statement {
    char *sql;
    sqlite3_stmt *handle;
    bool is_busy; /* rows of it are being read */
    bool is_kept; /* in the connection's table */
};
struct sqlite_connection {
    struct store_connection base;
    sqlite3 *db;
    int lock_fd; /* the shared lock of the lock file; -1: the VFS has it exclusively */
    unsigned statement_count;
    struct statement *statements[2 * STATEMENTS_MAX]; /* by hash of the text, open addressing */
};
struct sqlite_rows {
    struct store_rows base;
    struct statement *statement;
    int pending; /* of the first step, made by query: SQLITE_ROW, SQLITE_DONE; 0: used */
};

static struct sqlite_connection *of(struct store_connection *c)
{
    return CONTAINER_OF(c, struct sqlite_connection, base);
}

static const struct sqlite_rows *rows_of(const struct store_rows *rows)
{
    return CONTAINER_OF(rows, struct sqlite_rows, base);
}

/* The errno of what SQLite said, with its words; notes what it means for the transaction. */
static int fail(struct sqlite_connection *c, int code, struct err *err)
{
    int extended = sqlite3_extended_errcode(c->db), rc = -EIO;

    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
            extended == SQLITE_CONSTRAINT_ROWID)
            return err_set(err, -EEXIST, "%s", sqlite3_errmsg(c->db));
        if (extended == SQLITE_CONSTRAINT_FOREIGNKEY)
            return err_set(err, -ENOLINK, "%s", sqlite3_errmsg(c->db));
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        c->base.state |= STORE_RETRY;
        rc = -EAGAIN;
        break;
    case SQLITE_READONLY:
        rc = c->base.is_writer ? -EIO : -EROFS;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        rc = -EBADMSG;
        break;
    case SQLITE_FULL:
        rc = -ENOSPC;
        break;
    default:
        break;
    }
    if (rc != -EROFS)
        c->base.state |= STORE_FAILED;
    if (c->base.state & STORE_FAILED && sqlite3_get_autocommit(c->db))
        c->base.state |= STORE_LOST;
    return err_set(err, rc, "%s", sqlite3_errmsg(c->db));
}

static int run(struct sqlite_connection *c, const char *sql, struct err *err)
{
    int code = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? 0 : fail(c, code, err);
}

/* ---- opening ---- */

/* SQLite would make the file with the umask's mode: it is made here, for its owner only. */
static int make_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_set_errno(err, -errno, "cannot open %s", path);
    close(fd);
    return 0;
}

static int set_up(struct sqlite_connection *c, struct err *err)
{
    int rc;

    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, BUSY_TIMEOUT_MS);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_limit(c->db, SQLITE_LIMIT_ATTACHED, 0);
    /* secure_delete: a destroyed secret leaves no trace in free pages. */
    rc =
        run(c,
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
            "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON;"
            "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192; PRAGMA journal_size_limit=67108864",
            err);
    if (rc >= 0 && !c->base.is_writer)
        rc = run(c, "PRAGMA query_only=ON", err);
    if (rc >= 0) /* reads the first page: a file of something else shows now */
        rc = run(c, "SELECT count(*) FROM sqlite_schema", err);
    return rc;
}

static void sqlite_close(struct store_connection *connection)
{
    struct sqlite_connection *c = of(connection);

    for (unsigned i = 0; i < ARRAY_COUNT(c->statements); i++)
        if (c->statements[i]) {
            sqlite3_finalize(c->statements[i]->handle);
            free(c->statements[i]->sql);
            free(c->statements[i]);
        }
    sqlite3_close(c->db);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    free(c);
}

/* Opens the database, shared with other processes where its folder takes shared mappings, else for this one alone. */
static int open_file(struct sqlite_connection *c, const char *path, struct err *err)
{
    bool is_alone = false;
    int rc = sqlite_alone_ask(path, &is_alone, &c->lock_fd, err), code;

    if (rc == 0 && is_alone && sqlite_alone_register() < 0)
        rc = err_set_errno(err, -ENOMEM, "store");
    if (rc < 0)
        return rc;
    code = sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                           is_alone ? SQLITE_ALONE_VFS : NULL);
    if (code == SQLITE_BUSY)
        return err_set(err, -EBUSY,
                       "%s: another server, or another command of it, has it open; in an enclave "
                       "only one at a time can",
                       path);
    if (code != SQLITE_OK || !c->db)
        return err_set(err, -EIO, "cannot open %s: %s", path, sqlite3_errstr(code));
    return 0;
}

static int sqlite_open(const char *url, bool is_writer, struct store_connection **ret,
                       struct err *err)
{
    const char *path = url + strlen("sqlite:");
    struct sqlite_connection *c;
    int rc = 0;

    if (!path[0] || path[0] == ':')
        return err_set(err, -EINVAL, "the store's URL names no file");
    if (is_writer)
        rc = make_file(path, err);
    if (rc < 0)
        return rc;
    c = calloc(1, sizeof *c);
    if (!c)
        return err_set_errno(err, -ENOMEM, "store");
    c->base.ops = &store_sqlite_ops;
    c->base.is_writer = is_writer;
    c->lock_fd = -1;
    rc = open_file(c, path, err);
    if (rc < 0) {
        sqlite_close(&c->base);
        return rc;
    }
    rc = set_up(c, err);
    if (rc < 0) {
        sqlite_close(&c->base);
        return err_wrap(err, rc, "%s", path);
    }
    *ret = &c->base;
    return 0;
}

/* ---- transactions ---- */

static int sqlite_begin(struct store_connection *c, struct err *err)
{
    c->state = STORE_FINE;
    return run(of(c), c->is_writer ? "BEGIN IMMEDIATE" : "BEGIN", err);
}

static void sqlite_rollback(struct store_connection *c)
{
    if (!sqlite3_get_autocommit(of(c)->db) &&
        sqlite3_exec(of(c)->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
        c->state |= STORE_LOST;
}

static int sqlite_commit(struct store_connection *c, struct err *err)
{
    int rc = run(of(c), "COMMIT", err);

    if (rc < 0)
        sqlite_rollback(c);
    return rc;
}

static int sqlite_savepoint(struct store_connection *c, struct err *err)
{
    return run(of(c), "SAVEPOINT one", err);
}

static int sqlite_release(struct store_connection *c, struct err *err)
{
    return run(of(c), "RELEASE one", err);
}

static int sqlite_rollback_to(struct store_connection *c, struct err *err)
{
    return run(of(c), "ROLLBACK TO one", err);
}

static int sqlite_script(struct store_connection *c, const char *sql, struct err *err)
{
    return run(of(c), sql, err);
}

/* ---- statements ---- */

static uint32_t hash(const char *text)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 16777619u;
    return h;
}

static int new_statement(struct sqlite_connection *c, const char *sql, struct statement **ret,
                         struct err *err)
{
    struct statement *s = calloc(1, sizeof *s);
    const char *rest = "";
    int code;

    if (!s)
        return err_set_errno(err, -ENOMEM, "store");
    code = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->handle, &rest);
    if (code != SQLITE_OK || !s->handle || rest[strspn(rest, " ;\n")]) {
        int rc = code == SQLITE_OK ? err_set(err, -EIO, "not one statement") : fail(c, code, err);

        c->base.state |= STORE_FAILED;
        sqlite3_finalize(s->handle);
        free(s);
        return err_wrap(err, rc, "%s", sql);
    }
    *ret = s;
    return 0;
}

/* A prepared statement that nobody is reading from; give_statement afterwards. */
static int take_statement(struct sqlite_connection *c, const char *sql, struct statement **ret,
                          struct err *err)
{
    unsigned i = hash(sql) & (ARRAY_COUNT(c->statements) - 1);
    struct statement *s;
    int rc;

    while (c->statements[i] && strcmp(c->statements[i]->sql, sql) != 0)
        i = (i + 1) & (ARRAY_COUNT(c->statements) - 1);
    s = c->statements[i];
    if (!s || s->is_busy) {
        bool is_new = !s;

        rc = new_statement(c, sql, &s, err);
        if (rc < 0)
            return rc;
        if (is_new && c->statement_count < STATEMENTS_MAX && (s->sql = strdup(sql))) {
            s->is_kept = true;
            c->statements[i] = s;
            c->statement_count++;
        }
    }
    s->is_busy = true;
    *ret = s;
    return 0;
}

static void give_statement(struct statement *s)
{
    sqlite3_reset(s->handle);
    sqlite3_clear_bindings(s->handle);
    s->is_busy = false;
    if (s->is_kept)
        return;
    sqlite3_finalize(s->handle);
    free(s->sql);
    free(s);
}

/* lifetime: SQLITE_STATIC, the value stays until the statement is over; SQLITE_TRANSIENT, it is copied. */
static int bind_one(sqlite3_stmt *handle, int index, const struct store_value *v,
                    sqlite3_destructor_type lifetime)
{
    const void *data = v->data ? v->data : "";

    switch (v->kind) {
    case STORE_INT:
        return sqlite3_bind_int64(handle, index, v->number);
    case STORE_TEXT:
        return sqlite3_bind_text64(handle, index, data, v->size, lifetime, SQLITE_UTF8);
    case STORE_BLOB:
        return sqlite3_bind_blob64(handle, index, data, v->size, lifetime);
    default:
        return sqlite3_bind_null(handle, index);
    }
}

static int bind(struct sqlite_connection *c, struct statement *s, struct store_args args,
                sqlite3_destructor_type lifetime, struct err *err)
{
    char name[16];

    if ((unsigned)sqlite3_bind_parameter_count(s->handle) != args.count) {
        c->base.state |= STORE_FAILED;
        return err_set(err, -EIO, "%u values for %d parameters: %s", args.count,
                       sqlite3_bind_parameter_count(s->handle), sqlite3_sql(s->handle));
    }
    for (unsigned i = 0; i < args.count; i++) {
        int index, code;

        snprintf(name, sizeof name, "$%u", i + 1);
        index = sqlite3_bind_parameter_index(s->handle, name);
        if (index == 0) {
            c->base.state |= STORE_FAILED;
            return err_set(err, -EIO, "no parameter %s: %s", name, sqlite3_sql(s->handle));
        }
        code = bind_one(s->handle, index, &args.values[i], lifetime);
        if (code != SQLITE_OK)
            return fail(c, code, err);
    }
    return 0;
}

/* Takes, binds and makes the first step. returns: SQLITE_ROW or SQLITE_DONE, then give_statement; a negative errno. */
static int start(struct sqlite_connection *c, const char *sql, struct store_args args,
                 sqlite3_destructor_type lifetime, struct statement **ret, struct err *err)
{
    struct statement *s;
    int code, rc = take_statement(c, sql, &s, err);

    if (rc < 0)
        return rc;
    rc = bind(c, s, args, lifetime, err);
    if (rc >= 0) {
        code = sqlite3_step(s->handle);
        rc = code == SQLITE_ROW || code == SQLITE_DONE ? code : fail(c, code, err);
    }
    if (rc < 0) {
        give_statement(s);
        return rc;
    }
    *ret = s;
    return rc;
}

static int sqlite_exec(struct store_connection *connection, const char *sql, struct store_args args,
                       struct err *err)
{
    struct sqlite_connection *c = of(connection);
    struct statement *s;
    bool is_change;
    int rc = start(c, sql, args, SQLITE_STATIC, &s, err);

    if (rc < 0)
        return rc;
    is_change = !sqlite3_stmt_readonly(s->handle);
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(s->handle);
    rc = rc == SQLITE_DONE ? 0 : fail(c, rc, err);
    if (rc == 0 && is_change)
        rc = sqlite3_changes(c->db);
    give_statement(s);
    return rc;
}

static int sqlite_query(struct store_connection *connection, const char *sql,
                        struct store_args args, struct store_rows **ret, struct err *err)
{
    struct sqlite_rows *rows = calloc(1, sizeof *rows);
    int rc;

    if (!rows)
        return err_set_errno(err, -ENOMEM, "store");
    /* Its steps come after this call, the values are borrowed for the call alone. */
    rc = start(of(connection), sql, args, SQLITE_TRANSIENT, &rows->statement, err);
    if (rc < 0) {
        free(rows);
        return rc;
    }
    rows->base.connection = connection;
    rows->pending = rc;
    *ret = &rows->base;
    return 0;
}

static int sqlite_rows_next(struct store_rows *base, struct err *err)
{
    struct sqlite_rows *rows = CONTAINER_OF(base, struct sqlite_rows, base);
    int code = rows->pending;

    if (code == SQLITE_DONE)
        return 0;
    rows->pending = 0;
    if (code == 0)
        code = sqlite3_step(rows->statement->handle);
    if (code == SQLITE_ROW)
        return 1;
    rows->pending = SQLITE_DONE;
    return code == SQLITE_DONE ? 0 : fail(of(base->connection), code, err);
}

static void sqlite_rows_free(struct store_rows *base)
{
    struct sqlite_rows *rows = CONTAINER_OF(base, struct sqlite_rows, base);

    give_statement(rows->statement);
    free(rows);
}

static bool sqlite_is_null(const struct store_rows *rows, unsigned column)
{
    return sqlite3_column_type(rows_of(rows)->statement->handle, (int)column) == SQLITE_NULL;
}

static int64_t sqlite_column_int(const struct store_rows *rows, unsigned column)
{
    return sqlite3_column_int64(rows_of(rows)->statement->handle, (int)column);
}

static const char *sqlite_column_text(const struct store_rows *rows, unsigned column)
{
    return (const char *)sqlite3_column_text(rows_of(rows)->statement->handle, (int)column);
}

static const void *sqlite_column_blob(const struct store_rows *rows, unsigned column,
                                      size_t *ret_size)
{
    sqlite3_stmt *handle = rows_of(rows)->statement->handle;
    const void *data = sqlite3_column_blob(handle, (int)column);

    *ret_size = (size_t)sqlite3_column_bytes(handle, (int)column);
    if (!data && sqlite3_column_type(handle, (int)column) != SQLITE_NULL)
        return ""; /* empty, which SQLite tells as NULL */
    return data;
}

static unsigned sqlite_column_count(const struct store_rows *rows)
{
    return (unsigned)sqlite3_column_count(rows_of(rows)->statement->handle);
}

static const char *sqlite_column_name(const struct store_rows *rows, unsigned column)
{
    return sqlite3_column_name(rows_of(rows)->statement->handle, (int)column);
}

static enum store_value_kind sqlite_column_kind(const struct store_rows *rows, unsigned column)
{
    switch (sqlite3_column_type(rows_of(rows)->statement->handle, (int)column)) {
    case SQLITE_INTEGER:
        return STORE_INT;
    case SQLITE_BLOB:
        return STORE_BLOB;
    case SQLITE_NULL:
        return STORE_NULL;
    default:
        return STORE_TEXT;
    }
}

const struct store_ops store_sqlite_ops = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .savepoint = sqlite_savepoint,
    .release = sqlite_release,
    .rollback_to = sqlite_rollback_to,
    .script = sqlite_script,
    .exec = sqlite_exec,
    .query = sqlite_query,
    .rows_next = sqlite_rows_next,
    .rows_free = sqlite_rows_free,
    .is_null = sqlite_is_null,
    .column_int = sqlite_column_int,
    .column_text = sqlite_column_text,
    .column_blob = sqlite_column_blob,
    .column_count = sqlite_column_count,
    .column_name = sqlite_column_name,
    .column_kind = sqlite_column_kind,
};
