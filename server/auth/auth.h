/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: sessions, API tokens, nodes' tokens, OIDC bearer tokens. Relying party; all that comes is hostile. Thread-safe.
 */
#pragma once

#include "server/api/api.h"
#include "server/store/id.h"

struct auth;
MUST_CHECK int auth_open(struct server *server, struct auth **ret, struct err *err);
void auth_close(struct auth *auth); /* NULL allowed */
/* Reads the file of OIDC issuers anew. On failure the old ones stay. */
MUST_CHECK int auth_reload(struct auth *auth, struct err *err);

struct auth_who {
    enum api_principal_kind kind;
    char id[ID_SIZE], org_id[ID_SIZE];
    char token_id[ID_SIZE]; /* of session, API or node token; "" for OIDC */
    char user_id[ID_SIZE];  /* whose; "" for nodes */
    unsigned roles;
    int64_t expires_ms;
};
/*
 * The holder of a bearer token, as of now: revoked and expired tokens and disabled users are nobody.
 * returns: 0; -EACCES nobody (what is wrong is in err, for the client); -EAGAIN keys of an issuer cannot be had now; -EIO.
 */
MUST_CHECK int auth_bearer(struct server *server, const char *token, struct auth_who *ret,
                           struct err *err);
