/* SPDX-License-Identifier: Apache-2.0 */
/* Builds: the row with its mac, states, and whether instances of a build may have keys. Relying party. */
#include "server/model/build_row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/crypto/keys.h"
#include "server/model/app.h"
#include "server/model/approval.h"
#include "server/model/model_cache.h"
#include "server/model/revocation.h"

void build_full_done(struct build_full *build)
{
    free(build->descriptor);
    free(build->image);
    build->descriptor = build->image = NULL;
}

static struct store_value bytes_or_null(bool is_there, const uint8_t *bytes, size_t size)
{
    return is_there ? store_blob(bytes, size) : store_null();
}

static struct store_value time_or_null(int64_t time_ms)
{
    return time_ms ? store_int(time_ms) : store_null();
}

/* What the mac covers. The descriptor is covered by its digest; where the image lies decides nothing. */
static int build_mac(struct server *server, const struct build_full *b, uint8_t ret[KEYS_MAC_SIZE],
                     const void *verify, size_t verify_size, struct err *err)
{
    const struct build_row *row = &b->row;
    struct store_args fields =
        STORE_ARGS(store_text(row->id), store_text(row->org_id), store_text(row->app_id),
                   store_text(row->version), store_blob(row->app_digest, sizeof row->app_digest),
                   bytes_or_null(row->has_sgx, row->mrenclave, sizeof row->mrenclave),
                   bytes_or_null(row->has_sgx, row->mrsigner, sizeof row->mrsigner),
                   store_int(row->isv_prod_id), store_int(row->isv_svn),
                   bytes_or_null(row->has_snp, row->snp_measurement, sizeof row->snp_measurement),
                   bytes_or_null(row->has_tdx, row->tdx_mrtd, sizeof row->tdx_mrtd),
                   store_int(row->is_debug), store_text(row->state),
                   store_int(row->deprecated_from_ms), store_int(row->deprecated_until_ms),
                   store_text(b->proposed_by), store_int(b->created_ms), store_int(b->version));

    if (verify)
        return row_mac_verify(server, row->org_id, "builds", row->id, fields, verify, verify_size,
                              err);
    return row_mac(server, row->org_id, "builds", row->id, fields, ret, err);
}

/* returns: whether the column holds bytes; those of another size are not taken, and the mac fails. */
static bool copy_bytes(const struct store_rows *rows, unsigned column, uint8_t *dst, size_t size)
{
    size_t have;
    const void *data = store_column_blob(rows, column, &have);

    if (!data || have != size)
        return false;
    memcpy(dst, data, size);
    return true;
}

int build_full_decode(struct server *server, const struct store_rows *rows, struct build_full *ret,
                      struct err *err)
{
    CLEANUP(build_full_done)
    struct build_full b = { 0 };
    struct build_row *row = &b.row;
    size_t size;

    row_copy(row->id, sizeof row->id, store_column_text(rows, 0));
    row_copy(row->org_id, sizeof row->org_id, store_column_text(rows, 1));
    row_copy(row->app_id, sizeof row->app_id, store_column_text(rows, 2));
    row_copy(row->version, sizeof row->version, store_column_text(rows, 3));
    copy_bytes(rows, 4, row->app_digest, sizeof row->app_digest);
    row->has_sgx = copy_bytes(rows, 5, row->mrenclave, sizeof row->mrenclave) &&
                   copy_bytes(rows, 6, row->mrsigner, sizeof row->mrsigner);
    row->isv_prod_id = store_column_int(rows, 7);
    row->isv_svn = store_column_int(rows, 8);
    row->has_snp = copy_bytes(rows, 9, row->snp_measurement, sizeof row->snp_measurement);
    row->has_tdx = copy_bytes(rows, 10, row->tdx_mrtd, sizeof row->tdx_mrtd);
    row->is_debug = store_column_int(rows, 11) != 0;
    row_copy(row->state, sizeof row->state, store_column_text(rows, 14));
    row->deprecated_from_ms = store_column_int(rows, 15);
    row->deprecated_until_ms = store_column_int(rows, 16);
    row_copy(b.proposed_by, sizeof b.proposed_by, store_column_text(rows, 17));
    b.created_ms = store_column_int(rows, 18);
    b.changed_ms = store_column_int(rows, 19);
    b.version = store_column_int(rows, 20);
    const void *mac = store_column_blob(rows, 21, &size);
    int rc = build_mac(server, &b, NULL, mac ? mac : "", size, err);

    if (rc < 0)
        return rc;
    b.descriptor = strdup(store_column_text(rows, 12) ? store_column_text(rows, 12) : "");
    if (!b.descriptor)
        return -ENOMEM;
    if (store_column_text(rows, 13)) {
        b.image = strdup(store_column_text(rows, 13));
        if (!b.image)
            return -ENOMEM;
    }
    *ret = b;
    b.descriptor = b.image = NULL;
    return 0;
}

static int read_by(struct server *server, struct store_tx *tx, const char *sql,
                   struct store_args args, struct build_full *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, sql, args, &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "no such build");
    return build_full_decode(server, rows, ret, err);
}

int build_full_read(struct server *server, struct store_tx *tx, const char *org_id,
                    const char *build_id, struct build_full *ret, struct err *err)
{
    return read_by(server, tx, "SELECT " BUILD_COLUMNS " WHERE b.org_id = $1 AND b.id = $2",
                   STORE_ARGS(store_text(org_id), store_text(build_id)), ret, err);
}

int build_lookup(struct api_request *rq, struct store_tx *tx, const char *app_id, const char *by,
                 struct build_full *ret, struct err *err)
{
    int rc = read_by(
        rq->server, tx,
        "SELECT " BUILD_COLUMNS " WHERE b.org_id = $1 AND b.id = $2 "
        "AND (b.app_id = $3 OR $3 = '')",
        STORE_ARGS(store_text(rq->who.org_id), store_text(by), store_text(app_id ? app_id : "")),
        ret, err);

    if (rc == -ENOENT && app_id)
        rc = read_by(
            rq->server, tx,
            "SELECT " BUILD_COLUMNS " WHERE b.org_id = $1 AND b.app_id = $2 AND b.version = $3",
            STORE_ARGS(store_text(rq->who.org_id), store_text(app_id), store_text(by)), ret, err);
    if (rc == -ENOENT)
        return api_problem(rq, 404, "not-found", "there is no build %s%s", by,
                           app_id ? " of this app" : "");
    return rc;
}

int build_read(struct server *server, struct store_tx *tx, const char *org_id, const char *build_id,
               struct build_row *ret, struct err *err)
{
    CLEANUP(build_full_done)
    struct build_full b = { 0 };
    int rc = build_full_read(server, tx, org_id, build_id, &b, err);

    if (rc >= 0)
        *ret = b.row;
    return rc;
}

int build_full_insert(struct server *server, struct store_tx *tx, const struct build_full *b,
                      struct err *err)
{
    const struct build_row *row = &b->row;
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = build_mac(server, b, mac, NULL, 0, err);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "INSERT INTO builds (id, org_id, app_id, version, app_digest, mrenclave, mrsigner, "
        "isv_prod_id, isv_svn, snp_measurement, tdx_mrtd, is_debug, descriptor, image, state, "
        "deprecated_from_ms, deprecated_until_ms, proposed_by, created_ms, changed_ms, "
        "row_version, "
        "mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, "
        "$18, $19, $20, $21, $22)",
        STORE_ARGS(store_text(row->id), store_text(row->org_id), store_text(row->app_id),
                   store_text(row->version), store_blob(row->app_digest, sizeof row->app_digest),
                   bytes_or_null(row->has_sgx, row->mrenclave, sizeof row->mrenclave),
                   bytes_or_null(row->has_sgx, row->mrsigner, sizeof row->mrsigner),
                   store_int(row->isv_prod_id), store_int(row->isv_svn),
                   bytes_or_null(row->has_snp, row->snp_measurement, sizeof row->snp_measurement),
                   bytes_or_null(row->has_tdx, row->tdx_mrtd, sizeof row->tdx_mrtd),
                   store_int(row->is_debug), store_text(b->descriptor), store_text(b->image),
                   store_text(row->state), time_or_null(row->deprecated_from_ms),
                   time_or_null(row->deprecated_until_ms), store_text(b->proposed_by),
                   store_int(b->created_ms), store_int(b->changed_ms), store_int(b->version),
                   store_blob(mac, sizeof mac)),
        err);
    return rc < 0 ? rc : 0;
}

int build_full_update(struct server *server, struct store_tx *tx, struct build_full *b,
                      struct err *err)
{
    const struct build_row *row = &b->row;
    uint8_t mac[KEYS_MAC_SIZE];

    b->version++;
    b->changed_ms = server_now_ms(server);
    int rc = build_mac(server, b, mac, NULL, 0, err);

    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "UPDATE builds SET state = $1, deprecated_from_ms = $2, "
                    "deprecated_until_ms = $3, changed_ms = $4, row_version = $5, mac = $6 "
                    "WHERE org_id = $7 AND id = $8",
                    STORE_ARGS(store_text(row->state), time_or_null(row->deprecated_from_ms),
                               time_or_null(row->deprecated_until_ms), store_int(b->changed_ms),
                               store_int(b->version), store_blob(mac, sizeof mac),
                               store_text(row->org_id), store_text(row->id)),
                    err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

int build_revoke(struct server *server, struct store_tx *tx, const char *org_id,
                 const char *build_id, struct err *err)
{
    CLEANUP(build_full_done)
    struct build_full b = { 0 };
    int rc = build_full_read(server, tx, org_id, build_id, &b, err);

    if (rc < 0 || strcmp(b.row.state, "revoked") == 0)
        return rc;
    row_copy(b.row.state, sizeof b.row.state, "revoked");
    return build_full_update(server, tx, &b, err);
}

int build_find(struct server *server, struct store_tx *tx, const uint8_t app_digest[48],
               struct build_row *ret, unsigned max, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    unsigned count = 0;
    int rc =
        store_query(tx, "SELECT " BUILD_COLUMNS " WHERE b.app_digest = $1 ORDER BY b.id LIMIT $2",
                    STORE_ARGS(store_blob(app_digest, 48), store_int(max)), &rows, err);

    while (rc >= 0 && count < max && (rc = store_rows_next(rows, err)) > 0) {
        CLEANUP(build_full_done)
        struct build_full b = { 0 };

        rc = build_full_decode(server, rows, &b, err);
        if (rc == -EBADMSG) { /* logged; another organisation's forged row is not this one's end */
            rc = 0;
            continue;
        }
        if (rc >= 0)
            ret[count++] = b.row;
    }
    return rc < 0 ? rc : (int)count;
}

int64_t build_until_ms(const struct build_row *build)
{
    return strcmp(build->state, "deprecated") == 0 ? build->deprecated_until_ms : 0;
}

static int check_state(const struct build_row *b, int64_t now_ms, struct err *err)
{
    if (strcmp(b->state, "allowed") == 0)
        return 0;
    if (strcmp(b->state, "deprecated") == 0) {
        if (b->deprecated_until_ms && now_ms >= b->deprecated_until_ms)
            return err_set(err, -EACCES, "build %s is deprecated, and its end date has passed",
                           b->version);
        return 0;
    }
    return err_set(err, -EACCES, "build %s is %s", b->version, b->state);
}

int build_check(struct server *server, struct store_tx *tx, const struct build_row *build,
                int64_t now_ms, struct err *err)
{
    CLEANUP(app_row_done)
    struct app_row app = { 0 };
    struct build_row b;
    int rc = build_read(server, tx, build->org_id, build->id, &b, err);

    if (rc == -ENOENT)
        return err_set(err, -EACCES, "there is no build %s any more", build->id);
    if (rc >= 0 && (memcmp(b.app_digest, build->app_digest, sizeof b.app_digest) != 0 ||
                    strcmp(b.app_id, build->app_id) != 0))
        return err_set(err, -EBADMSG, "build %s changed while it was used", build->id);
    if (rc >= 0)
        rc = check_state(&b, now_ms, err);
    if (rc >= 0)
        rc = app_read(server, tx, b.app_id, &app, err);
    if (rc < 0)
        return rc == -ENOENT ? -EACCES : rc;
    if (app.is_revoked)
        return err_set(err, -EACCES, "app %s is revoked", app.name);
    if (model_is_revoked(server->model, b.id) || model_is_revoked(server->model, b.app_id))
        return err_set(err, -EBADMSG,
                       "build %s or its app was revoked, and the store has an older row",
                       b.version);
    if ((rc = revocation_is_there(server, tx, b.org_id, "app", b.app_id, err)) == 0)
        rc = revocation_is_there(server, tx, b.org_id, "build", b.id, err);
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EACCES, "build %s or its app is revoked", b.version);
    return approval_check_build(server, tx, &app, &b, err);
}
