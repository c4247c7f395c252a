/* SPDX-License-Identifier: Apache-2.0 */
/* A new empty store for a test. */
#include "tests/unit/server/fixture.h"

#include <ftw.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static char g_folder[64], g_url[256], g_passphrase[128];

const char *fixture_folder(void)
{
    if (!g_folder[0]) {
        snprintf(g_folder, sizeof g_folder, "/tmp/cloche-store-XXXXXX");
        CHECK(mkdtemp(g_folder));
    }
    return g_folder;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

void fixture_done(void)
{
    if (g_folder[0])
        nftw(g_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    g_folder[0] = 0;
}

bool fixture_is_postgresql(void)
{
    return getenv("CLOCHE_TEST_POSTGRESQL") != NULL;
}

const char *fixture_url(void)
{
    static unsigned count;
    const char *server = getenv("CLOCHE_TEST_POSTGRESQL");
    char sql[64];
    PGconn *connection;
    PGresult *result;

    count++;
    if (!server) {
        snprintf(g_url, sizeof g_url, "sqlite:%s/%u.db", fixture_folder(), count);
        return g_url;
    }
    snprintf(g_url, sizeof g_url, "postgresql:///postgres?host=%s&user=root", server);
    connection = PQconnectdb(g_url);
    CHECK(PQstatus(connection) == CONNECTION_OK);
    snprintf(sql, sizeof sql, "CREATE SCHEMA test_%d_%u", (int)getpid(), count);
    result = PQexec(connection, sql);
    CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(connection);
    snprintf(g_url, sizeof g_url,
             "postgresql:///postgres?host=%s&user=root&options=-csearch_path%%3Dtest_%d_%u", server,
             (int)getpid(), count);
    return g_url;
}

struct store *fixture_store(void)
{
    struct store *store;
    struct err err = { "" };
    int rc = store_open(fixture_url(), &store, &err);

    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    CHECK(rc == 0);
    return store;
}

struct keys_source fixture_passphrase(const char *passphrase)
{
    FILE *file;

    snprintf(g_passphrase, sizeof g_passphrase, "%s/passphrase", fixture_folder());
    file = fopen(g_passphrase, "w");
    CHECK(file && fprintf(file, "%s\nmore\n", passphrase) > 0 && fclose(file) == 0);
    return (struct keys_source){ KEYS_PASSPHRASE_FILE, g_passphrase };
}

struct keys *fixture_keys(struct store *store, const char *passphrase)
{
    struct keys_source source = fixture_passphrase(passphrase);
    struct err err = { "" };
    struct keys *keys;
    int rc = keys_open(store, &source, &keys, &err);

    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    CHECK(rc == 0);
    return keys;
}

struct statement {
    const char *sql;
    struct store_args args;
    int64_t value;
};

static int exec_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct statement *s = arg;

    return store_exec(tx, s->sql, s->args, err);
}

int fixture_exec(struct store *store, const char *sql, struct store_args args)
{
    struct statement s = { sql, args, 0 };
    struct err err = { "" };
    int rc = store_write(store, exec_in, &s, &err);

    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    return rc;
}

static int int_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct statement *s = arg;

    return store_get_int(tx, s->sql, s->args, &s->value, err);
}

int64_t fixture_int(struct store *store, const char *sql, struct store_args args)
{
    struct statement s = { sql, args, 0 };
    struct err err = { "" };
    int rc = store_read(store, int_in, &s, &err);

    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    CHECK(rc == 0);
    return s.value;
}
