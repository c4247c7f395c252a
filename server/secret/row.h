/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets in the store: rows whose mac covers name, version, delivery, conditions and bindings; values sealed for their secret and version. Relying party. Internal to
 * server/secret.
 */
#pragma once

#include "server/secret/secret.h"

#define SECRET_VALUE_SIZE_MAX (256u << 10)
#define SECRET_BINDINGS_MAX 64u
#define SECRETS_PER_APP_MAX 256u
#define SECRET_NAME_SIZE 64u /* with NUL */

struct secret_binding {
    char app_id[32], build_id[32]; /* build_id "": every build of the app */
};
struct secret_row {
    char id[32], org_id[32], name[SECRET_NAME_SIZE];
    int64_t version; /* the one in force; 0: none was given yet */
    int64_t created_ms, changed_ms;
    json_t *delivery;   /* {"deliver": {...}, "template": bool} */
    json_t *conditions; /* as conditions_check */
    struct secret_binding bindings[SECRET_BINDINGS_MAX];
    unsigned binding_count;
};
void secret_row_done(struct secret_row *row);

/* name: id or name. returns: 0; -ENOENT; -EBADMSG the row was not written by this server; -EIO. */
MUST_CHECK int secret_row_read(struct server *server, struct store_tx *tx, const char *org_id,
                               const char *name, struct secret_row *ret, struct err *err);
/* Writes row and bindings, with their mac. returns: 0; -EEXIST name; -ENOLINK an app or organisation that is not there. */
MUST_CHECK int secret_row_insert(struct server *server, struct store_tx *tx,
                                 const struct secret_row *row, struct err *err);
MUST_CHECK int secret_row_update(struct server *server, struct store_tx *tx,
                                 const struct secret_row *row, struct err *err);
/* Seals the value as version row->version. source: where it came from, without secrets. */
MUST_CHECK int secret_value_insert(struct server *server, struct store_tx *tx,
                                   const struct secret_row *row, const void *value, size_t size,
                                   const char *source, const char *created_by, struct err *err);
/* The value in force; *ret for secret_free(). returns: 0; -ENOENT none, or destroyed; -EBADMSG. */
MUST_CHECK int secret_value_read(struct server *server, struct store_tx *tx,
                                 const struct secret_row *row, uint8_t **ret, size_t *ret_size,
                                 struct err *err);
/* Whether it is bound to the app and the build. */
bool secret_row_is_bound(const struct secret_row *row, const char *app_id, const char *build_id);
bool secret_row_is_template(const struct secret_row *row);
