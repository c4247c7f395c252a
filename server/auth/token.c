/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens. Relying party. */
#include "server/auth/token.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/base64url.h"
#include "lib/ct.h"
#include "lib/digest.h"
#include "server/crypto/keys.h"
#include "server/model/row.h"

#define COLUMNS                                                                                    \
    "id, org_id, owner_id, kind, name, hash, roles, created_ms, expires_ms, used_ms, revoked_ms, " \
    "mac"
#define FIELDS(row)                                                                                \
    STORE_ARGS(store_text((row)->org_id), store_text((row)->owner_id), store_text((row)->kind),    \
               store_blob((row)->hash, sizeof(row)->hash), store_int((row)->roles),                \
               store_int((row)->expires_ms), store_int((row)->revoked_ms))

static int text_make(const char *kind, char ret[TOKEN_TEXT_SIZE])
{
    uint8_t bytes[32], *digits = NULL;
    struct buffer b;
    size_t size = 0;

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -EIO;
    buffer_init(&b, 64);
    base64url_add(&b, bytes, sizeof bytes);
    ct_wipe(bytes, sizeof bytes);
    if (buffer_take(&b, &digits, &size) < 0)
        return -ENOMEM;
    snprintf(ret, TOKEN_TEXT_SIZE, "clo_%c_%s", kind[0], (const char *)digits);
    ct_wipe(digits, size);
    free(digits);
    return 0;
}

int token_add(struct server *server, struct store_tx *tx, struct token_row *row,
              char ret_text[TOKEN_TEXT_SIZE], struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = text_make(row->kind, ret_text);

    if (rc < 0)
        return rc;
    id_make("tok", row->id);
    row->created_ms = server_now_ms(server);
    row->revoked_ms = 0;
    sha256_digest(ret_text, strlen(ret_text), row->hash);
    rc = row_mac(server, row->org_id, "tokens", row->id, FIELDS(row), mac, err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO tokens (id, org_id, owner_id, kind, name, hash, roles, "
                    "created_ms, expires_ms, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    STORE_ARGS(store_text(row->id), store_text(row->org_id),
                               store_text(row->owner_id), store_text(row->kind),
                               store_text(row->name), store_blob(row->hash, sizeof row->hash),
                               store_int(row->roles), store_int(row->created_ms),
                               store_int(row->expires_ms), store_blob(mac, sizeof mac)),
                    err);
    return rc < 0 ? rc : 0;
}

static int row_take(struct server *server, struct store_rows *rows, struct token_row *ret,
                    struct err *err)
{
    struct token_row row = { .roles = (unsigned)store_column_int(rows, 6),
                             .created_ms = store_column_int(rows, 7),
                             .expires_ms = store_column_int(rows, 8),
                             .used_ms = store_column_int(rows, 9),
                             .revoked_ms = store_column_int(rows, 10) };
    const void *hash, *mac;
    size_t hash_size, mac_size;
    int rc;

    row_copy(row.id, sizeof row.id, store_column_text(rows, 0));
    row_copy(row.org_id, sizeof row.org_id, store_column_text(rows, 1));
    row_copy(row.owner_id, sizeof row.owner_id, store_column_text(rows, 2));
    row_copy(row.kind, sizeof row.kind, store_column_text(rows, 3));
    row_copy(row.name, sizeof row.name, store_column_text(rows, 4));
    hash = store_column_blob(rows, 5, &hash_size);
    if (hash_size != sizeof row.hash)
        return -EBADMSG;
    memcpy(row.hash, hash, hash_size);
    mac = store_column_blob(rows, 11, &mac_size);
    rc = row_mac_verify(server, row.org_id, "tokens", row.id, FIELDS(&row), mac, mac_size, err);
    if (rc == 0)
        *ret = row;
    return rc;
}

int token_find(struct server *server, struct store_tx *tx, const char *text, struct token_row *ret,
               struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    uint8_t hash[SHA256_SIZE];
    int rc;

    sha256_digest(text, strlen(text), hash);
    rc = store_query(tx, "SELECT " COLUMNS " FROM tokens WHERE hash = $1",
                     STORE_ARGS(store_blob(hash, sizeof hash)), &rows, err);
    if (rc == 0)
        rc = store_rows_next(rows, err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : row_take(server, rows, ret, err);
}

int token_read(struct server *server, struct store_tx *tx, const char *org_id, const char *id,
               struct token_row *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT " COLUMNS " FROM tokens WHERE org_id = $1 AND id = $2",
                         STORE_ARGS(store_text(org_id), store_text(id)), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : row_take(server, rows, ret, err);
}

int token_revoke(struct server *server, struct store_tx *tx, const char *org_id, const char *id,
                 struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    struct token_row row;
    int rc = token_read(server, tx, org_id, id, &row, err);

    if (rc < 0 || row.revoked_ms != 0)
        return rc;
    row.revoked_ms = server_now_ms(server);
    rc = row_mac(server, org_id, "tokens", id, FIELDS(&row), mac, err);
    if (rc < 0)
        return rc;
    rc = store_exec(tx, "UPDATE tokens SET revoked_ms = $1, mac = $2 WHERE org_id = $3 AND id = $4",
                    STORE_ARGS(store_int(row.revoked_ms), store_blob(mac, sizeof mac),
                               store_text(org_id), store_text(id)),
                    err);
    return rc < 0 ? rc : 0;
}

int token_revoke_all(struct server *server, struct store_tx *tx, const char *org_id,
                     const char *owner_id, const char *except, struct err *err)
{
    int rc;

    do { /* a page at a time: a query may not be open while rows of its table change */
        char ids[64][ID_SIZE];
        unsigned count = 0;
        struct store_rows *rows = NULL;

        rc = store_query(tx,
                         "SELECT id FROM tokens WHERE org_id = $1 AND owner_id = $2 AND id <> $3 "
                         "AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms = 0 OR "
                         "expires_ms > $4) LIMIT 64",
                         STORE_ARGS(store_text(org_id), store_text(owner_id),
                                    store_text(except ? except : ""),
                                    store_int(server_now_ms(server))),
                         &rows, err);
        while (rc == 0 && count < 64 && (rc = store_rows_next(rows, err)) == 1) {
            row_copy(ids[count++], ID_SIZE, store_column_text(rows, 0));
            rc = 0;
        }
        store_rows_free(rows);
        for (unsigned i = 0; rc == 0 && i < count; i++)
            rc = token_revoke(server, tx, org_id, ids[i], err);
        if (rc < 0 || count == 0)
            return rc;
    } while (true);
}
