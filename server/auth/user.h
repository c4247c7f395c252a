/* SPDX-License-Identifier: Apache-2.0 */
/* A user's row. Its mac covers what decides who they are and what they may do. Relying party. */
#pragma once

#include <jansson.h>

#include "server/server.h"
#include "server/store/id.h"
#include "server/store/store.h"

#define USER_NAME_LEN_MAX 63u
#define USER_PASSWORD_SIZE 128u /* of Argon2's encoded form, with NUL */
#define USER_TOTP_SIZE 160u     /* of the sealed secret */

#define USER_TOTP_PENDING 0u /* not confirmed yet: not asked for */
#define USER_TOTP_ACTIVE 1u

struct user_row {
    char id[ID_SIZE], org_id[ID_SIZE], name[USER_NAME_LEN_MAX + 1], email[256];
    unsigned roles;
    char password[USER_PASSWORD_SIZE]; /* "": none, comes by OIDC */
    uint8_t totp[USER_TOTP_SIZE];      /* USER_TOTP_*, then the sealed secret; totp_size 0: none */
    size_t totp_size;
    char oidc_issuer[256], oidc_subject[256]; /* "": none */
    int64_t disabled_ms, totp_step, failures, locked_until_ms, created_ms, version;
};

/* returns: 0; -EEXIST the name; -EIO. */
MUST_CHECK int user_add(struct server *server, struct store_tx *tx, struct user_row *row,
                        struct err *err);
/* returns: 0; -ENOENT; -EBADMSG forged; -EIO. */
MUST_CHECK int user_read(struct server *server, struct store_tx *tx, const char *org_id,
                         const char *id, struct user_row *ret, struct err *err);
MUST_CHECK int user_find(struct server *server, struct store_tx *tx, const char *org_id,
                         const char *name, struct user_row *ret, struct err *err);
MUST_CHECK int user_find_oidc(struct server *server, struct store_tx *tx, const char *issuer,
                              const char *subject, struct user_row *ret, struct err *err);
/* Writes what may change, and counts version up. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int user_write(struct server *server, struct store_tx *tx, struct user_row *row,
                          struct err *err);
/* Only what logins change: failures, locked_until_ms, totp_step; neither version nor mac. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int user_write_login(struct store_tx *tx, const struct user_row *row, struct err *err);

/* As the API shows it: no secrets. NULL: no memory. */
json_t *user_json(const struct user_row *row);
/* ["owner", ...] */
json_t *roles_json(unsigned roles);
/* returns: 0; -EINVAL not an array of names of roles, or empty. */
MUST_CHECK int roles_parse(const json_t *list, unsigned *ret);
