/* SPDX-License-Identifier: Apache-2.0 */
/* Apps: the row with its mac, and what the rest of the server asks of it. Relying party. */
#include "server/model/app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/crypto/keys.h"
#include "server/model/app_row.h"

/* What the mac covers: all but fence, which rises with each start of an app that is single. */
static int app_mac(struct server *server, const struct app_full *app, uint8_t ret[KEYS_MAC_SIZE],
                   const void *verify, size_t verify_size, struct err *err)
{
    const struct app_row *row = &app->row;
    struct store_args fields =
        STORE_ARGS(store_text(row->id), store_text(row->org_id), store_text(row->name),
                   store_text(row->settings), store_int(row->is_single), store_int(row->lease_s),
                   store_int(row->certificate_s), store_text(row->policy_id),
                   store_int(app->revoked_ms), store_int(app->created_ms), store_int(app->version));

    if (verify)
        return row_mac_verify(server, row->org_id, "apps", row->id, fields, verify, verify_size,
                              err);
    return row_mac(server, row->org_id, "apps", row->id, fields, ret, err);
}

void app_full_done(struct app_full *app)
{
    app_row_done(&app->row);
}

void app_row_done(struct app_row *app)
{
    free(app->settings);
    app->settings = NULL;
}

int app_full_decode(struct server *server, const struct store_rows *rows, struct app_full *ret,
                    struct err *err)
{
    CLEANUP(app_full_done)
    struct app_full app = { 0 };
    size_t size;

    row_copy(app.row.id, sizeof app.row.id, store_column_text(rows, 0));
    row_copy(app.row.org_id, sizeof app.row.org_id, store_column_text(rows, 1));
    row_copy(app.row.name, sizeof app.row.name, store_column_text(rows, 2));
    app.row.settings = strdup(store_column_text(rows, 3) ? store_column_text(rows, 3) : "");
    if (!app.row.settings)
        return -ENOMEM;
    app.row.is_single = store_column_int(rows, 4) != 0;
    app.row.fence = store_column_int(rows, 5);
    app.row.lease_s = store_column_int(rows, 6);
    app.row.certificate_s = store_column_int(rows, 7);
    row_copy(app.row.policy_id, sizeof app.row.policy_id, store_column_text(rows, 8));
    app.revoked_ms = store_column_int(rows, 9);
    app.created_ms = store_column_int(rows, 10);
    app.version = store_column_int(rows, 11);
    app.row.is_revoked = app.revoked_ms != 0;
    row_copy(app.row.org_name, sizeof app.row.org_name, store_column_text(rows, 13));
    const void *mac = store_column_blob(rows, 12, &size);
    int rc = app_mac(server, &app, NULL, mac ? mac : "", size, err);

    if (rc < 0)
        return rc;
    *ret = app;
    app.row.settings = NULL;
    return 0;
}

static int read_one(struct server *server, struct store_tx *tx, const char *app_id,
                    struct app_full *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT " APP_COLUMNS " WHERE a.id = $1",
                         STORE_ARGS(store_text(app_id)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "no app %s", app_id);
    return app_full_decode(server, rows, ret, err);
}

int app_full_read(struct server *server, struct store_tx *tx, const char *org_id,
                  const char *app_id, struct app_full *ret, struct err *err)
{
    struct app_full app;
    int rc = read_one(server, tx, app_id, &app, err);

    if (rc < 0)
        return rc;
    if (strcmp(app.row.org_id, org_id) != 0) {
        app_full_done(&app);
        return err_set(err, -ENOENT, "no app %s", app_id);
    }
    *ret = app;
    return 0;
}

int app_read(struct server *server, struct store_tx *tx, const char *app_id, struct app_row *ret,
             struct err *err)
{
    struct app_full app;
    int rc = read_one(server, tx, app_id, &app, err);

    if (rc < 0)
        return rc;
    *ret = app.row;
    return 0;
}

int app_full_insert(struct server *server, struct store_tx *tx, const struct app_full *app,
                    struct err *err)
{
    const struct app_row *row = &app->row;
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = app_mac(server, app, mac, NULL, 0, err);

    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO apps (id, org_id, name, settings, is_single, lease_s, "
                    "certificate_s, policy_id, revoked_ms, created_ms, version, mac) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                    STORE_ARGS(store_text(row->id), store_text(row->org_id), store_text(row->name),
                               store_text(row->settings), store_int(row->is_single),
                               store_int(row->lease_s), store_int(row->certificate_s),
                               store_text(row->policy_id[0] ? row->policy_id : NULL), store_null(),
                               store_int(app->created_ms), store_int(app->version),
                               store_blob(mac, sizeof mac)),
                    err);
    return rc < 0 ? rc : 0;
}

int app_full_update(struct server *server, struct store_tx *tx, struct app_full *app,
                    struct err *err)
{
    const struct app_row *row = &app->row;
    uint8_t mac[KEYS_MAC_SIZE];

    app->version++;
    int rc = app_mac(server, app, mac, NULL, 0, err);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "UPDATE apps SET settings = $1, is_single = $2, lease_s = $3, certificate_s = $4, "
        "policy_id = $5, revoked_ms = $6, version = $7, mac = $8 WHERE org_id = $9 AND id = $10",
        STORE_ARGS(
            store_text(row->settings), store_int(row->is_single), store_int(row->lease_s),
            store_int(row->certificate_s), store_text(row->policy_id[0] ? row->policy_id : NULL),
            app->revoked_ms ? store_int(app->revoked_ms) : store_null(), store_int(app->version),
            store_blob(mac, sizeof mac), store_text(row->org_id), store_text(row->id)),
        err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

int app_revoke(struct server *server, struct store_tx *tx, const char *org_id, const char *app_id,
               struct err *err)
{
    CLEANUP(app_full_done)
    struct app_full app = { 0 };
    int rc = app_full_read(server, tx, org_id, app_id, &app, err);

    if (rc < 0 || app.revoked_ms)
        return rc;
    app.revoked_ms = server_now_ms(server);
    return app_full_update(server, tx, &app, err);
}

int app_fence_next(struct store_tx *tx, const char *org_id, const char *app_id, int64_t *ret,
                   struct err *err)
{
    return store_get_int(
        tx, "UPDATE apps SET fence = fence + 1 WHERE org_id = $1 AND id = $2 RETURNING fence",
        STORE_ARGS(store_text(org_id), store_text(app_id)), ret, err);
}

int app_find_id(struct store_tx *tx, const char *org_id, const char *by, char ret[32],
                struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT id FROM apps WHERE org_id = $1 AND (id = $2 OR name = $2)",
                         STORE_ARGS(store_text(org_id), store_text(by)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "no app %s", by);
    row_copy(ret, 32, store_column_text(rows, 0));
    return 0;
}

int app_full_lookup(struct api_request *rq, struct store_tx *tx, const char *by,
                    struct app_full *ret, struct err *err)
{
    char id[32];
    int rc = app_find_id(tx, rq->who.org_id, by, id, err);

    if (rc >= 0)
        rc = app_full_read(rq->server, tx, rq->who.org_id, id, ret, err);
    if (rc == -ENOENT)
        return api_problem(rq, 404, "not-found", "there is no app %s", by);
    return rc;
}

int app_lookup(struct api_request *rq, struct store_tx *tx, const char *by, struct app_row *ret,
               struct err *err)
{
    struct app_full app;
    int rc = app_full_lookup(rq, tx, by, &app, err);

    if (rc < 0)
        return rc;
    *ret = app.row;
    return 0;
}
