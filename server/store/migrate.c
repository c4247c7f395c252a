/* SPDX-License-Identifier: Apache-2.0 */
/* The schema's versions: what the store has, what this program knows, the way between. Relying party. */
#include <errno.h>
#include <stdio.h>

#include "server/store/backend.h"

#define BEGIN_TRIES_MAX 12u /* each waits 5 s for who migrates, or restores, now */

static const char g_version_table[] =
    "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, name TEXT NOT NULL)";

static int read_version(struct store_connection *connection, int64_t *ret, struct err *err)
{
    struct store_tx tx = { NULL, connection };

    return store_get_int(&tx, "SELECT coalesce(max(version), 0) FROM schema_version", STORE_NO_ARGS,
                         ret, err);
}

static int apply(struct store_connection *connection, const struct store_migration *m,
                 struct err *err)
{
    struct store_tx tx = { NULL, connection };
    bool is_sqlite = connection->ops == &store_sqlite_ops;
    int rc = connection->ops->script(connection, is_sqlite ? m->sqlite : m->postgresql, err);

    if (rc < 0)
        return err_wrap(err, rc, "migration %s", m->name);
    rc = store_exec(&tx, "INSERT INTO schema_version (version, name) VALUES ($1, $2)",
                    STORE_ARGS(store_int(m->version), store_text(m->name)), err);
    return rc < 0 ? rc : 0;
}

int store_schema_upgrade(struct store_connection *connection, struct err *err)
{
    int64_t version;
    int rc = connection->ops->script(connection, g_version_table, err);

    if (rc < 0)
        return rc;
    rc = read_version(connection, &version, err);
    if (rc < 0)
        return rc;
    if (version < 0 || version > store_migration_count)
        return err_set(err, -EPROTONOSUPPORT,
                       "the store has schema version %lld, this program knows up to %u: start "
                       "the newer program, or restore a backup of before",
                       (long long)version, store_migration_count);
    for (; version < store_migration_count && rc >= 0; version++)
        rc = apply(connection, &store_migrations[version], err);
    return rc;
}

bool store_table_is_in(const struct store_table *table, int64_t version)
{
    return table->since <= version && (table->until == 0 || table->until > version);
}

int store_schema_make(struct store_connection *connection, int64_t version, struct err *err)
{
    struct store_tx tx = { NULL, connection };
    unsigned count = 0;
    char sql[128];
    int rc = 0;

    while (store_tables[count].name)
        count++;
    while (count-- > 0 && rc >= 0) { /* what refers before what is referred to */
        if (!store_table_is_in(&store_tables[count], store_migration_count))
            continue;
        snprintf(sql, sizeof sql, "DROP TABLE %s", store_tables[count].name);
        rc = connection->ops->script(connection, sql, err);
    }
    if (rc >= 0)
        rc = store_exec(&tx, "DELETE FROM schema_version", STORE_NO_ARGS, err);
    for (int64_t i = 0; i < version && rc >= 0; i++)
        rc = apply(connection, &store_migrations[i], err);
    return MIN(rc, 0);
}

int store_migrate(struct store_connection *connection, struct err *err)
{
    int rc = -EAGAIN;

    for (unsigned tries = 0; rc == -EAGAIN && tries < BEGIN_TRIES_MAX; tries++)
        rc = connection->ops->begin(connection, err);
    if (rc < 0)
        return rc;
    rc = store_schema_upgrade(connection, err);
    if (rc < 0) {
        connection->ops->rollback(connection);
        return rc;
    }
    return connection->ops->commit(connection, err);
}
