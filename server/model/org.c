/* SPDX-License-Identifier: Apache-2.0 */
/* The organisation's row and its mac. Relying party. */
#include "server/model/org.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/crypto/keys.h"
#include "server/model/revocation.h"
#include "server/model/row.h"

/* What the mac covers. default_policy_id is empty where the column is null. */
#define ORG_FIELDS(org, settings)                                                                  \
    STORE_ARGS(store_text((org)->id), store_text((org)->name), store_int((org)->approvals_needed), \
               store_int((org)->roster_version),                                                   \
               store_blob((org)->roster_sha256, sizeof(org)->roster_sha256),                       \
               store_text((org)->default_policy_id), store_text(settings))

static void text_freep(char **text)
{
    free(*text);
}

static char *settings_encode(const struct org_settings *s)
{
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I}", "title", s->title, "session_s", (json_int_t)s->session_s,
                  "token_s", (json_int_t)s->token_s, "version", (json_int_t)s->version);
    char *text = json ? row_canonical(json) : NULL;

    json_decref(json);
    return text;
}

/* Authentic; what is absent has its default. */
static int settings_decode(const char *text, struct org_settings *ret)
{
    json_int_t session_s = ORG_SESSION_S_DEFAULT, token_s = ORG_TOKEN_S_MAX, version = 1;
    json_t *json = json_loads(text ? text : "", 0, NULL);
    const char *title = "";
    int rc = json_unpack(json, "{s?s, s?I, s?I, s?I}", "title", &title, "session_s", &session_s,
                         "token_s", &token_s, "version", &version);

    if (rc == 0) {
        row_copy(ret->title, sizeof ret->title, title);
        ret->session_s = session_s;
        ret->token_s = token_s;
        ret->version = version;
    }
    json_decref(json);
    return rc < 0 ? -EBADMSG : 0;
}

json_t *org_json(const struct org_row *org)
{
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "id", org->id, "name", org->name, "title",
        org->settings.title, "approvals_needed", (json_int_t)org->approvals_needed,
        "roster_version", (json_int_t)org->roster_version, "session_s",
        (json_int_t)org->settings.session_s, "token_s", (json_int_t)org->settings.token_s);
}

int org_add(struct server *server, struct store_tx *tx, const char *org_id, const char *name,
            int64_t now_ms, struct err *err)
{
    struct org_row org = { .approvals_needed = 1 };
    uint8_t mac[KEYS_MAC_SIZE];

    if (!row_name_is_valid(name))
        return err_set(err, -EINVAL,
                       "\"%s\" is no name of an organisation: 1 to %u lower-case letters, "
                       "digits and hyphens",
                       name, ORG_NAME_LEN_MAX);
    row_copy(org.id, sizeof org.id, org_id);
    row_copy(org.name, sizeof org.name, name);
    int rc = keys_org_add(server->keys, tx, org_id, err);

    if (rc >= 0)
        rc = row_mac(server, org_id, "orgs", org_id, ORG_FIELDS(&org, "{}"), mac, err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO orgs (id, name, created_ms, settings, approvals_needed, "
                    "roster_version, roster_sha256, default_policy_id, mac) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    STORE_ARGS(store_text(org_id), store_text(name), store_int(now_ms),
                               store_text("{}"), store_int(org.approvals_needed),
                               store_int(org.roster_version),
                               store_blob(org.roster_sha256, sizeof org.roster_sha256),
                               store_null(), store_blob(mac, sizeof mac)),
                    err);
    return rc < 0 ? rc : revocation_org_add(server, tx, org_id, err);
}

int org_read(struct server *server, struct store_tx *tx, const char *org_id, struct org_row *ret,
             struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct org_row org = { 0 };
    size_t size;
    int rc = store_query(tx,
                         "SELECT name, approvals_needed, roster_version, roster_sha256, "
                         "default_policy_id, mac, settings FROM orgs WHERE id = $1",
                         STORE_ARGS(store_text(org_id)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "no organisation %s", org_id);
    row_copy(org.id, sizeof org.id, org_id);
    row_copy(org.name, sizeof org.name, store_column_text(rows, 0));
    org.approvals_needed = store_column_int(rows, 1);
    org.roster_version = store_column_int(rows, 2);
    const void *roster = store_column_blob(rows, 3, &size);

    if (size != sizeof org.roster_sha256)
        return err_set(err, -EBADMSG, "organisation %s in the store is damaged", org_id);
    memcpy(org.roster_sha256, roster, size);
    row_copy(org.default_policy_id, sizeof org.default_policy_id, store_column_text(rows, 4));
    const void *mac = store_column_blob(rows, 5, &size);

    rc = row_mac_verify(server, org_id, "orgs", org_id,
                        ORG_FIELDS(&org, store_column_text(rows, 6)), mac, size, err);
    if (rc < 0)
        return rc;
    rc = settings_decode(store_column_text(rows, 6), &org.settings);
    if (rc < 0)
        return err_set(err, rc, "the settings of organisation %s are none", org_id);
    *ret = org;
    return 0;
}

int org_write(struct server *server, struct store_tx *tx, const struct org_row *org,
              struct err *err)
{
    CLEANUP(text_freep)
    char *settings = settings_encode(&org->settings);
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = settings ? 0 : err_set_errno(err, -ENOMEM, "organisation");

    if (rc == 0)
        rc = row_mac(server, org->id, "orgs", org->id, ORG_FIELDS(org, settings), mac, err);
    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "UPDATE orgs SET approvals_needed = $1, roster_version = $2, "
        "roster_sha256 = $3, default_policy_id = $4, mac = $5, settings = $6 WHERE id = $7",
        STORE_ARGS(store_int(org->approvals_needed), store_int(org->roster_version),
                   store_blob(org->roster_sha256, sizeof org->roster_sha256),
                   store_text(org->default_policy_id[0] ? org->default_policy_id : NULL),
                   store_blob(mac, sizeof mac), store_text(settings), store_text(org->id)),
        err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}
