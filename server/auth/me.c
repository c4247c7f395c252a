/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, their organisation, their password and one-time codes. Relying party. */
#include <errno.h>
#include <string.h>

#include "lib/ct.h"
#include "server/auth/password.h"
#include "server/auth/routes.h"
#include "server/auth/token.h"
#include "server/auth/totp.h"
#include "server/auth/user.h"
#include "server/model/org.h"
#include "server/model/row.h"

struct change {
    struct api_request *rq;
    struct user_row user;
    struct org_row org;
    const char *password_new, *code;
    const char *changed; /* for the audit log */
    int (*apply)(struct change *c, struct user_row *now,
                 struct err *err); /* to the row, in the transaction */
    char encoded[USER_PASSWORD_SIZE];
    char totp_text[TOTP_TEXT_SIZE];
};

static int self_read(struct store_tx *tx, void *arg, struct err *err)
{
    struct change *c = arg;
    int rc = org_read(c->rq->server, tx, c->rq->who.org_id, &c->org, err);

    if (rc == 0 && c->rq->who.user_id[0])
        rc = user_read(c->rq->server, tx, c->rq->who.org_id, c->rq->who.user_id, &c->user, err);
    return rc;
}

static int me_get(struct api_request *rq, struct api_response *ret)
{
    static const char *const kinds[] = { "anonymous", "user", "token", "node", "instance" };
    struct change c = { .rq = rq };
    int rc = row_read(rq, self_read, &c, "you");

    if (rc < 0)
        return rc;
    return row_answer(ret, 200, 0,
                      json_pack("{s:s, s:s, s:o, s:o, s:o}", "kind", kinds[rq->who.kind], "id",
                                rq->who.id, "org", org_json(&c.org), "roles",
                                roles_json(rq->who.roles), "user",
                                rq->who.user_id[0] ? user_json(&c.user) : json_null()));
}

/* ---- changes that a person makes to themselves, in a session ---- */

static int session_begin(struct change *c)
{
    if (c->rq->who.kind != API_USER || !c->rq->who.token_id[0])
        return api_problem(c->rq, 403, "session-needed",
                           "only a user who has logged in with a password may do this");
    return row_read(c->rq, self_read, c, "you");
}

/* The password again: whoever found an open session must not lock its owner out. */
static int password_ask(struct change *c, const char *password)
{
    struct err err = { "" };
    int rc = password_verify(c->user.password, password);

    if (rc == -EACCES)
        return api_problem(c->rq, 403, "wrong-password", "the password is wrong");
    return rc < 0 ? api_problem_errno(c->rq, rc, "password", &err) : 0;
}

/* Reads the body of what asks for the password again, and asks. */
static int password_read(struct change *c)
{
    const char *password = NULL;
    const struct api_member members[] = { { "password", API_STRING, true, &password, 1,
                                            PASSWORD_LEN_MAX } };
    int rc = api_body_read(c->rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = session_begin(c);
    return rc < 0 ? rc : password_ask(c, password);
}

/* The row as it is in the transaction; what was checked must still hold. */
static int self_again(struct store_tx *tx, struct change *c, struct user_row *ret, struct err *err)
{
    int rc = user_read(c->rq->server, tx, c->user.org_id, c->user.id, ret, err);

    if (rc == 0 && strcmp(ret->password, c->user.password) != 0)
        rc = api_problem(c->rq, 409, "changed-meanwhile", "the password was changed meanwhile");
    return rc;
}

static int change_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct change *c = arg;
    struct user_row now;
    int rc = self_again(tx, c, &now, err);

    if (rc == 0)
        rc = c->apply(c, &now, err);
    if (rc == 0)
        rc = user_write(c->rq->server, tx, &now, err);
    if (rc == 0 && c->password_new)
        rc = token_revoke_all(c->rq->server, tx, now.org_id, now.id, c->rq->who.token_id, err);
    return rc < 0 ? rc
                  : row_tell(c->rq, tx, "user.change", NULL, now.id,
                             json_pack("{s:s}", "changed", c->changed), err);
}

static int password_apply(struct change *c, struct user_row *now, struct err *err)
{
    (void)err;
    memcpy(now->password, c->encoded, sizeof now->password);
    return 0;
}

static int password_post(struct api_request *rq, struct api_response *ret)
{
    struct change c = { .rq = rq, .changed = "password", .apply = password_apply };
    const char *old = NULL;
    struct err err = { "" };
    const struct api_member members[] = {
        { "new", API_STRING, true, &c.password_new, PASSWORD_LEN_MIN, PASSWORD_LEN_MAX },
        { "old", API_STRING, true, &old, 1, PASSWORD_LEN_MAX },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = session_begin(&c);
    if (rc == 0)
        rc = password_ask(&c, old);
    if (rc == 0)
        rc = row_result(rq, password_hash(c.password_new, c.encoded), "password", &err);
    if (rc == 0)
        rc = row_write(rq, change_in, &c, "password");
    ret->status = 204;
    return rc;
}

/* ---- one-time codes ---- */

static int totp_begin_apply(struct change *c, struct user_row *now, struct err *err)
{
    if (now->totp_size && now->totp[0] == USER_TOTP_ACTIVE)
        return api_problem(c->rq, 409, "already-exists",
                           "one-time codes are in use; remove them first");
    return totp_make(c->rq->server, now, c->totp_text, err);
}

static int totp_post(struct api_request *rq, struct api_response *ret)
{
    struct change c = { .rq = rq, .changed = "totp-begin", .apply = totp_begin_apply };
    int rc = password_read(&c);

    if (rc == 0)
        rc = row_write(rq, change_in, &c, "one-time codes");
    if (rc < 0)
        return rc;
    rc = row_answer(
        ret, 201, 0,
        json_pack("{s:s, s:o}", "secret", c.totp_text, "uri",
                  json_sprintf("otpauth://totp/Cloche:%s@%s?secret=%s&issuer=Cloche&algorithm=SHA1&"
                               "digits=6&period=30",
                               c.user.name, c.org.name, c.totp_text)));
    ct_wipe(c.totp_text, sizeof c.totp_text);
    return rc;
}

static int totp_confirm_apply(struct change *c, struct user_row *now, struct err *err)
{
    if (!now->totp_size || now->totp[0] != USER_TOTP_PENDING)
        return api_problem(c->rq, 409, "nothing-to-confirm", "no secret waits for its first code");
    int rc = totp_check(c->rq->server, now, c->code, server_now_ms(c->rq->server), err);

    if (rc == -EACCES)
        return api_problem(c->rq, 403, "wrong-code", "the one-time code is wrong");
    now->totp[0] = USER_TOTP_ACTIVE;
    return rc;
}

static int totp_confirm_post(struct api_request *rq, struct api_response *ret)
{
    struct change c = { .rq = rq, .changed = "totp-confirm", .apply = totp_confirm_apply };
    const struct api_member members[] = { { "code", API_STRING, true, &c.code, 6, 6 } };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc == 0)
        rc = session_begin(&c);
    ret->status = 204;
    return rc < 0 ? rc : row_write(rq, change_in, &c, "one-time codes");
}

static int totp_remove_apply(struct change *c, struct user_row *now, struct err *err)
{
    (void)c, (void)err;
    now->totp_size = 0;
    return 0;
}

static int totp_remove_post(struct api_request *rq, struct api_response *ret)
{
    struct change c = { .rq = rq, .changed = "totp-remove", .apply = totp_remove_apply };
    int rc = password_read(&c);

    ret->status = 204;
    return rc < 0 ? rc : row_write(rq, change_in, &c, "one-time codes");
}

#define SMALL 4096
const struct api_route me_routes[] = {
    { "GET", "/v1/me", me_get, 0, API_ANY_ROLE, 0 },
    { "POST", "/v1/me/password", password_post, 0, API_ANY_ROLE, SMALL },
    { "POST", "/v1/me/totp", totp_post, 0, API_ANY_ROLE, SMALL },
    { "POST", "/v1/me/totp/confirm", totp_confirm_post, 0, API_ANY_ROLE, SMALL },
    { "POST", "/v1/me/totp/remove", totp_remove_post, 0, API_ANY_ROLE, SMALL },
};
const unsigned me_route_count = ARRAY_COUNT(me_routes);
