/* SPDX-License-Identifier: Apache-2.0 */
/* Users' rows. Relying party. */
#include "server/auth/user.h"

#include <errno.h>
#include <string.h>

#include "server/api/api.h"
#include "server/crypto/keys.h"
#include "server/model/row.h"

#define COLUMNS                                                                                    \
    "id, org_id, name, email, roles, password, totp_sealed, totp_step, oidc_issuer, "              \
    "oidc_subject, disabled_ms, failures, locked_until_ms, created_ms, version, mac"
#define FIELDS(row)                                                                                \
    STORE_ARGS(store_text((row)->org_id), store_text((row)->name), store_int((row)->roles),        \
               store_text((row)->password), store_blob((row)->totp, (row)->totp_size),             \
               store_text((row)->oidc_issuer), store_text((row)->oidc_subject),                    \
               store_int((row)->disabled_ms))

static const char *const role_names[] = { "reader", "auditor", "operator", "approver", "owner" };

static struct store_value text_or_null(const char *text)
{
    return text[0] ? store_text(text) : store_null();
}

int user_add(struct server *server, struct store_tx *tx, struct user_row *row, struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc;

    id_make("usr", row->id);
    row->created_ms = server_now_ms(server);
    row->version = 1;
    rc = row_mac(server, row->org_id, "users", row->id, FIELDS(row), mac, err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO users (id, org_id, name, email, roles, password, oidc_issuer, "
                    "oidc_subject, created_ms, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
                    "$10)",
                    STORE_ARGS(store_text(row->id), store_text(row->org_id), store_text(row->name),
                               text_or_null(row->email), store_int(row->roles),
                               text_or_null(row->password), text_or_null(row->oidc_issuer),
                               text_or_null(row->oidc_subject), store_int(row->created_ms),
                               store_blob(mac, sizeof mac)),
                    err);
    return rc < 0 ? rc : 0;
}

/* Of the query's first row. */
static int row_take(struct server *server, struct store_rows *rows, struct user_row *ret,
                    struct err *err)
{
    struct user_row row = { .totp_size = 0 };
    const void *totp, *mac;
    size_t mac_size;
    int rc = store_rows_next(rows, err);

    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    row.roles = (unsigned)store_column_int(rows, 4);
    row.totp_step = store_column_int(rows, 7);
    row.disabled_ms = store_column_int(rows, 10);
    row.failures = store_column_int(rows, 11);
    row.locked_until_ms = store_column_int(rows, 12);
    row.created_ms = store_column_int(rows, 13);
    row.version = store_column_int(rows, 14);
    row_copy(row.id, sizeof row.id, store_column_text(rows, 0));
    row_copy(row.org_id, sizeof row.org_id, store_column_text(rows, 1));
    row_copy(row.name, sizeof row.name, store_column_text(rows, 2));
    row_copy(row.email, sizeof row.email, store_column_text(rows, 3));
    row_copy(row.password, sizeof row.password, store_column_text(rows, 5));
    row_copy(row.oidc_issuer, sizeof row.oidc_issuer, store_column_text(rows, 8));
    row_copy(row.oidc_subject, sizeof row.oidc_subject, store_column_text(rows, 9));
    totp = store_column_blob(rows, 6, &row.totp_size);
    if (row.totp_size > sizeof row.totp)
        return -EBADMSG;
    if (row.totp_size)
        memcpy(row.totp, totp, row.totp_size);
    mac = store_column_blob(rows, 15, &mac_size);
    rc = row_mac_verify(server, row.org_id, "users", row.id, FIELDS(&row), mac, mac_size, err);
    if (rc == 0)
        *ret = row;
    return rc;
}

static int row_query(struct server *server, struct store_tx *tx, const char *sql,
                     const char *text_1, const char *text_2, struct user_row *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, sql, STORE_ARGS(store_text(text_1), store_text(text_2)), &rows, err);

    return rc < 0 ? rc : row_take(server, rows, ret, err);
}

int user_read(struct server *server, struct store_tx *tx, const char *org_id, const char *id,
              struct user_row *ret, struct err *err)
{
    return row_query(server, tx, "SELECT " COLUMNS " FROM users WHERE org_id = $1 AND id = $2",
                     org_id, id, ret, err);
}

int user_find(struct server *server, struct store_tx *tx, const char *org_id, const char *name,
              struct user_row *ret, struct err *err)
{
    return row_query(server, tx, "SELECT " COLUMNS " FROM users WHERE org_id = $1 AND name = $2",
                     org_id, name, ret, err);
}

int user_find_oidc(struct server *server, struct store_tx *tx, const char *issuer,
                   const char *subject, struct user_row *ret, struct err *err)
{
    return row_query(server, tx,
                     "SELECT " COLUMNS " FROM users WHERE oidc_issuer = $1 AND oidc_subject = $2",
                     issuer, subject, ret, err);
}

int user_write(struct server *server, struct store_tx *tx, struct user_row *row, struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = row_mac(server, row->org_id, "users", row->id, FIELDS(row), mac, err);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "UPDATE users SET email = $1, roles = $2, password = $3, totp_sealed = $4, totp_step = "
        "$5, disabled_ms = $6, failures = $7, locked_until_ms = $8, version = version + 1, mac = "
        "$9 WHERE org_id = $10 AND id = $11",
        STORE_ARGS(text_or_null(row->email), store_int(row->roles), text_or_null(row->password),
                   row->totp_size ? store_blob(row->totp, row->totp_size) : store_null(),
                   store_int(row->totp_step),
                   row->disabled_ms ? store_int(row->disabled_ms) : store_null(),
                   store_int(row->failures), store_int(row->locked_until_ms),
                   store_blob(mac, sizeof mac), store_text(row->org_id), store_text(row->id)),
        err);
    if (rc > 0)
        row->version++;
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

int user_write_login(struct store_tx *tx, const struct user_row *row, struct err *err)
{
    int rc = store_exec(tx,
                        "UPDATE users SET failures = $1, locked_until_ms = $2, totp_step = $3 "
                        "WHERE org_id = $4 AND id = $5",
                        STORE_ARGS(store_int(row->failures), store_int(row->locked_until_ms),
                                   store_int(row->totp_step), store_text(row->org_id),
                                   store_text(row->id)),
                        err);

    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

/* ---- JSON ---- */

json_t *roles_json(unsigned roles)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < ARRAY_COUNT(role_names); i++)
        if (roles & 1u << i)
            json_array_append_new(list, json_string(role_names[i]));
    return list;
}

int roles_parse(const json_t *list, unsigned *ret)
{
    unsigned roles = 0;
    json_t *item;
    size_t index;

    json_array_foreach(list, index, item)
    {
        const char *name = json_string_value(item);
        unsigned i = 0;

        while (name && i < ARRAY_COUNT(role_names) && strcmp(role_names[i], name) != 0)
            i++;
        if (!name || i == ARRAY_COUNT(role_names))
            return -EINVAL;
        roles |= 1u << i;
    }
    if (roles == 0)
        return -EINVAL;
    *ret = roles;
    return 0;
}

json_t *user_json(const struct user_row *row)
{
    return json_pack("{s:s, s:s, s:s?, s:o, s:b, s:b, s:s?, s:o, s:o}", "id", row->id, "name",
                     row->name, "email", row->email[0] ? row->email : NULL, "roles",
                     roles_json(row->roles), "has_password", row->password[0] != 0, "has_totp",
                     row->totp_size > 0 && row->totp[0] == USER_TOTP_ACTIVE, "oidc_issuer",
                     row->oidc_issuer[0] ? row->oidc_issuer : NULL, "created",
                     api_time(row->created_ms), "disabled", api_time(row->disabled_ms));
}
