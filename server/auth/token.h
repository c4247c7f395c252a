/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens: sessions, API tokens, nodes' tokens and tokens to join with. 256 random bits, of which the store has the SHA-256; each row has a mac over what it may do. Relying party.
 */
#pragma once

#include "server/server.h"
#include "server/store/id.h"
#include "server/store/store.h"

#define TOKEN_TEXT_SIZE 50u /* "clo_", a letter, '_', 43 digits of base64url, NUL */
#define TOKEN_NAME_LEN_MAX 64u

struct token_row {
    char id[ID_SIZE], org_id[ID_SIZE], owner_id[ID_SIZE];
    char kind[16]; /* "session", "api", "node", "join" */
    char name[4 * TOKEN_NAME_LEN_MAX + 1];
    uint8_t hash[32];
    unsigned roles;
    int64_t created_ms, expires_ms; /* expires: 0 never (nodes) */
    int64_t used_ms, revoked_ms;    /* 0: not */
};

/* Makes a token: sets id, hash and created_ms of *row, whose other members the caller has set; the text is told this once. returns: 0; -EIO. */
MUST_CHECK int token_add(struct server *server, struct store_tx *tx, struct token_row *row,
                         char ret_text[TOKEN_TEXT_SIZE], struct err *err);
/* By its text. returns: 0, also when revoked or expired; -ENOENT; -EBADMSG forged; -EIO. */
MUST_CHECK int token_find(struct server *server, struct store_tx *tx, const char *text,
                          struct token_row *ret, struct err *err);
MUST_CHECK int token_read(struct server *server, struct store_tx *tx, const char *org_id,
                          const char *id, struct token_row *ret, struct err *err);
/* returns: 0, also when it was revoked before; -ENOENT; -EIO. */
MUST_CHECK int token_revoke(struct server *server, struct store_tx *tx, const char *org_id,
                            const char *id, struct err *err);
/* All sessions and API tokens of a user, but `except` (id or NULL). returns: 0; -EIO. */
MUST_CHECK int token_revoke_all(struct server *server, struct store_tx *tx, const char *org_id,
                                const char *owner_id, const char *except, struct err *err);
/* Whether it may be used at now_ms. */
static inline bool token_is_good(const struct token_row *row, int64_t now_ms)
{
    return row->revoked_ms == 0 && (row->expires_ms == 0 || now_ms < row->expires_ms);
}
