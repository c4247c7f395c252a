/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a bearer token is. Relying party. */
#include "server/auth/auth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/auth/auth_state.h"
#include "server/auth/oidc.h"
#include "server/auth/token.h"
#include "server/auth/user.h"
#include "server/model/row.h"

#define USED_EVERY_MS 60000

int auth_open(struct server *server, struct auth **ret, struct err *err)
{
    struct auth *auth = calloc(1, sizeof *auth);
    int rc;

    if (!auth)
        return -ENOMEM;
    auth->server = server;
    pthread_mutex_init(&auth->absent_lock, NULL);
    rc = rate_new(&auth->attempts);
    if (rc == 0)
        rc = oidc_open(server, &auth->oidc, err);
    if (rc < 0) {
        auth_close(auth);
        return err_wrap(err, rc, "authentication");
    }
    *ret = auth;
    return 0;
}

void auth_close(struct auth *auth)
{
    if (!auth)
        return;
    oidc_close(auth->oidc);
    rate_free(auth->attempts);
    pthread_mutex_destroy(&auth->absent_lock);
    free(auth);
}

int auth_reload(struct auth *auth, struct err *err)
{
    return oidc_reload(auth->oidc, err);
}

struct lookup {
    struct server *server;
    const char *text;
    struct token_row token;
    struct user_row user;
    bool has_user;
};

static int lookup_read(struct store_tx *tx, void *arg, struct err *err)
{
    struct lookup *l = arg;
    int rc = token_find(l->server, tx, l->text, &l->token, err);

    l->has_user =
        rc == 0 && (strcmp(l->token.kind, "session") == 0 || strcmp(l->token.kind, "api") == 0);
    if (l->has_user)
        rc = user_read(l->server, tx, l->token.org_id, l->token.owner_id, &l->user, err);
    return rc;
}

static int used_write(struct store_tx *tx, void *arg, struct err *err)
{
    const struct lookup *l = arg;
    int rc = store_exec(tx, "UPDATE tokens SET used_ms = $1 WHERE org_id = $2 AND id = $3",
                        STORE_ARGS(store_int(l->token.used_ms), store_text(l->token.org_id),
                                   store_text(l->token.id)),
                        err);

    return rc < 0 ? rc : 0;
}

/* When it was used, to the minute: that is worth no write per request. */
static void used_note(struct lookup *l, int64_t now_ms)
{
    struct err err = { "" };

    if (now_ms - l->token.used_ms < USED_EVERY_MS)
        return;
    l->token.used_ms = now_ms;
    if (store_write(l->server->store, used_write, l, &err) < 0)
        server_log(l->server, "warning", "a token's last use was not noted", "token", l->token.id,
                   NULL);
}

static int stored_bearer(struct server *server, const char *text, struct auth_who *ret,
                         struct err *err)
{
    struct lookup l = { .server = server, .text = text };
    int64_t now_ms = server_now_ms(server);
    bool is_api;
    int rc = store_read(server->store, lookup_read, &l, err);

    if (rc == -ENOENT || rc == -EBADMSG)
        return err_set(err, -EACCES, "the token is not known");
    if (rc < 0)
        return rc;
    if (!token_is_good(&l.token, now_ms))
        return err_set(err, -EACCES,
                       l.token.revoked_ms ? "the token was revoked" : "the token has expired");
    if (l.has_user && l.user.disabled_ms)
        return err_set(err, -EACCES, "the user is disabled");
    if (!l.has_user && strcmp(l.token.kind, "node") != 0)
        return err_set(err, -EACCES, "the token is not one to authenticate with");
    is_api = strcmp(l.token.kind, "api") == 0;
    *ret = (struct auth_who){
        .kind = !l.has_user ? API_NODE
                : is_api    ? API_TOKEN
                            : API_USER,
        .roles = !l.has_user ? 0
                 : is_api    ? l.token.roles & l.user.roles
                             : l.user.roles,
        .expires_ms = l.token.expires_ms,
    };
    row_copy(ret->id, sizeof ret->id, is_api ? l.token.id : l.token.owner_id);
    row_copy(ret->org_id, sizeof ret->org_id, l.token.org_id);
    row_copy(ret->token_id, sizeof ret->token_id, l.token.id);
    row_copy(ret->user_id, sizeof ret->user_id, l.has_user ? l.user.id : "");
    used_note(&l, now_ms);
    return 0;
}

int auth_bearer(struct server *server, const char *token, struct auth_who *ret, struct err *err)
{
    if (strncmp(token, "clo_", 4) == 0 && strlen(token) == TOKEN_TEXT_SIZE - 1)
        return stored_bearer(server, token, ret, err);
    if (oidc_is_token(token))
        return oidc_bearer(server->auth->oidc, token, ret, err);
    return err_set(err, -EACCES, "the token is not known");
}
