/* SPDX-License-Identifier: Apache-2.0 */
/* Users of an organisation. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/auth/password.h"
#include "server/auth/routes.h"
#include "server/auth/token.h"
#include "server/auth/user.h"
#include "server/model/list.h"
#include "server/model/row.h"

struct users {
    struct api_request *rq;
    struct user_row user;
    json_t *roles;
    const char *email, *password;
    unsigned new_roles;
    bool has_disabled, is_disabled;
    char encoded[USER_PASSWORD_SIZE];
};

static int users_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                      json_t **ret, struct err *err)
{
    struct user_row user;
    int rc =
        user_read(l->rq->server, tx, l->rq->who.org_id, store_column_text(rows, 0), &user, err);

    if (rc == 0)
        *ret = user_json(&user);
    return rc == -EBADMSG ? 0 : rc; /* as if it were not there; it was logged */
}

static int users_get(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of users = {
        "users",
        "SELECT id FROM users WHERE org_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        .item = users_item,
    };

    return list_answer(rq, &users, NULL, ret);
}

/* ---- one ---- */

/* By id or name. */
static int user_get_row(struct users *u, struct store_tx *tx, struct err *err)
{
    const char *key = u->rq->params[0];

    return id_is_valid("usr", key)
               ? user_read(u->rq->server, tx, u->rq->who.org_id, key, &u->user, err)
               : user_find(u->rq->server, tx, u->rq->who.org_id, key, &u->user, err);
}

static int user_show_read(struct store_tx *tx, void *arg, struct err *err)
{
    return user_get_row(arg, tx, err);
}

static int user_answer(struct users *u, struct api_response *ret, int status)
{
    return row_answer(ret, status, u->user.version, user_json(&u->user));
}

static int user_get(struct api_request *rq, struct api_response *ret)
{
    struct users u = { .rq = rq };
    int rc = row_read(rq, user_show_read, &u, "user");

    return rc < 0 ? rc : user_answer(&u, ret, 200);
}

static int roles_read(struct users *u)
{
    if (!u->roles || roles_parse(u->roles, &u->new_roles) == 0)
        return 0;
    (void)api_problem(u->rq, 400, "invalid-member", "the body's member roles is wrong");
    api_problem_set(u->rq, "member", json_string("/roles"));
    api_problem_set(u->rq, "expected",
                    json_string("names out of reader, auditor, operator, approver, owner"));
    return -EPROTO;
}

static int password_encode(struct users *u)
{
    struct err err = { "" };
    int rc = u->password ? password_hash(u->password, u->encoded) : 0;

    return rc < 0 ? api_problem_errno(u->rq, rc, "password", &err) : 0;
}

/* ---- adding ---- */

static int user_add_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct users *u = arg;
    int rc = user_add(u->rq->server, tx, &u->user, err);

    return rc < 0 ? rc
                  : row_tell(u->rq, tx, "user.create", "user.created", u->user.id,
                             json_pack("{s:s, s:o}", "name", u->user.name, "roles",
                                       roles_json(u->user.roles)),
                             err);
}

static int user_add_answer(void *arg, struct api_response *ret)
{
    struct users *u = arg;

    snprintf(ret->location, sizeof ret->location, "/v1/users/%s", u->user.id);
    return user_answer(u, ret, 201);
}

static int users_post(struct api_request *rq, struct api_response *ret)
{
    struct users u = { .rq = rq };
    const char *name = NULL, *issuer = NULL, *subject = NULL;
    const struct api_member members[] = {
        { "email", API_STRING, false, &u.email, 3, 250 },
        { "name", API_STRING, true, &name, 1, USER_NAME_LEN_MAX },
        { "oidc_issuer", API_STRING, false, &issuer, 1, 250 },
        { "oidc_subject", API_STRING, false, &subject, 1, 250 },
        { "password", API_STRING, false, &u.password, PASSWORD_LEN_MIN, PASSWORD_LEN_MAX },
        { "roles", API_ARRAY, true, &u.roles, 1, 5 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = row_name_check(rq, "name", name);
    if (rc == 0)
        rc = roles_read(&u);
    if (rc == 0 && (!issuer != !subject || (!u.password && !issuer)))
        rc = api_problem(rq, 400, "invalid-member",
                         "a password, or oidc_issuer and oidc_subject, are expected");
    if (rc == 0)
        rc = password_encode(&u);
    if (rc < 0)
        return rc;
    u.user.roles = u.new_roles;
    memcpy(u.user.password, u.encoded, sizeof u.user.password);
    row_copy(u.user.org_id, sizeof u.user.org_id, rq->who.org_id);
    row_copy(u.user.name, sizeof u.user.name, name);
    row_copy(u.user.email, sizeof u.user.email, u.email);
    row_copy(u.user.oidc_issuer, sizeof u.user.oidc_issuer, issuer);
    row_copy(u.user.oidc_subject, sizeof u.user.oidc_subject, subject);
    return row_write_answer(rq, user_add_write, user_add_answer, &u, "user", ret);
}

/* ---- changing ---- */

/* An organisation keeps an owner who can log in. */
static int owner_check(struct users *u, struct store_tx *tx, const struct user_row *was,
                       struct err *err)
{
    int64_t others;
    int rc;

    if (!(was->roles & API_OWNER) || was->disabled_ms ||
        ((u->user.roles & API_OWNER) && !u->user.disabled_ms))
        return 0;
    rc = store_get_int(
        tx,
        "SELECT COUNT(*) FROM users WHERE org_id = $1 AND id <> $2 AND disabled_ms "
        "IS NULL AND roles >= $3",
        STORE_ARGS(store_text(was->org_id), store_text(was->id), store_int(API_OWNER)), &others,
        err);
    if (rc == 0 && others == 0)
        rc = api_problem(u->rq, 409, "last-owner", "this is the organisation's last owner");
    return rc;
}

static int user_change_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct users *u = arg;
    struct user_row was;
    int rc = user_get_row(u, tx, err);

    if (rc == 0)
        rc = row_version_check(u->rq, u->user.version);
    if (rc < 0)
        return rc;
    was = u->user;
    if (u->roles)
        u->user.roles = u->new_roles;
    if (u->email)
        row_copy(u->user.email, sizeof u->user.email, u->email);
    if (u->password) {
        memcpy(u->user.password, u->encoded, sizeof u->user.password);
        u->user.failures = u->user.locked_until_ms = 0;
    }
    if (u->has_disabled)
        u->user.disabled_ms = !u->is_disabled       ? 0
                              : u->user.disabled_ms ? u->user.disabled_ms
                                                    : server_now_ms(u->rq->server);
    rc = owner_check(u, tx, &was, err);
    if (rc == 0)
        rc = user_write(u->rq->server, tx, &u->user, err);
    if (rc == 0 && (u->password || u->user.disabled_ms))
        rc = token_revoke_all(u->rq->server, tx, u->user.org_id, u->user.id, NULL, err);
    return rc < 0 ? rc
                  : row_tell(u->rq, tx, "user.change", "user.changed", u->user.id,
                             json_pack("{s:o, s:b, s:b}", "roles", roles_json(u->user.roles),
                                       "disabled", u->user.disabled_ms != 0, "password_reset",
                                       u->password != NULL),
                             err);
}

static int user_change_answer(void *arg, struct api_response *ret)
{
    return user_answer(arg, ret, 200);
}

static int user_patch(struct api_request *rq, struct api_response *ret)
{
    struct users u = { .rq = rq };
    const struct api_member members[] = {
        { "disabled", API_BOOL, false, &u.is_disabled },
        { "email", API_STRING, false, &u.email, 3, 250 },
        { "password", API_STRING, false, &u.password, PASSWORD_LEN_MIN, PASSWORD_LEN_MAX },
        { "roles", API_ARRAY, false, &u.roles, 1, 5 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    u.has_disabled = json_object_get(rq->body, "disabled") != NULL;
    if (rc == 0)
        rc = roles_read(&u);
    if (rc == 0)
        rc = password_encode(&u);
    return rc < 0 ? rc
                  : row_write_answer(rq, user_change_write, user_change_answer, &u, "user", ret);
}

const struct api_route user_routes[] = {
    { "GET", "/v1/users", users_get, 0, API_ANY_ROLE, 0 },
    { "POST", "/v1/users", users_post, API_OWNER, API_IDEMPOTENT, 8192 },
    { "GET", "/v1/users/{user}", user_get, 0, API_ANY_ROLE, 0 },
    { "PATCH", "/v1/users/{user}", user_patch, API_OWNER, API_IDEMPOTENT, 8192 },
};
const unsigned user_route_count = ARRAY_COUNT(user_routes);
