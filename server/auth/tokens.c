/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and API tokens as their owners and the organisation's owners see them. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/ct.h"
#include "server/auth/routes.h"
#include "server/auth/token.h"
#include "server/auth/user.h"
#include "server/model/list.h"
#include "server/model/org.h"
#include "server/model/row.h"

#define LIFETIME_DEFAULT_S (90 * 86400)

struct tokens {
    struct api_request *rq;
    struct token_row token;
    char text[TOKEN_TEXT_SIZE];
    int64_t lifetime_s; /* 0: as usual */
};

static json_t *token_json(const struct token_row *row)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", row->id, "kind",
                     row->kind, "owner", row->owner_id, "name", row->name, "roles",
                     roles_json(row->roles), "created", api_time(row->created_ms), "expires",
                     api_time(row->expires_ms), "used", api_time(row->used_ms), "revoked",
                     api_time(row->revoked_ms));
}

static bool is_owner(const struct api_request *rq)
{
    return (rq->who.roles & API_OWNER) != 0;
}

/* An owner sees the organisation's, others their own. */
static int tokens_query(struct list *l, struct store_tx *tx, struct store_rows **ret,
                        struct err *err)
{
    return store_query(tx,
                       "SELECT id FROM tokens WHERE org_id = $1 AND ($2 = '' OR owner_id = $2) AND "
                       "id > $3 ORDER BY id LIMIT $4",
                       STORE_ARGS(store_text(l->rq->who.org_id),
                                  store_text(is_owner(l->rq) ? "" : l->rq->who.user_id),
                                  store_text(l->page.after), list_row_count(l)),
                       ret, err);
}

static int tokens_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                       json_t **ret, struct err *err)
{
    struct token_row token;
    int rc =
        token_read(l->rq->server, tx, l->rq->who.org_id, store_column_text(rows, 0), &token, err);

    if (rc == 0)
        *ret = token_json(&token);
    return rc == -EBADMSG ? 0 : rc; /* as if it were not there; it was logged */
}

static int tokens_get(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of tokens = { "tokens", .query = tokens_query, .item = tokens_item };

    return list_answer(rq, &tokens, NULL, ret);
}

static int token_add_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct tokens *t = arg;
    struct org_row org;
    int rc = org_read(t->rq->server, tx, t->rq->who.org_id, &org, err);
    int64_t lifetime_s = t->lifetime_s;

    if (rc < 0)
        return rc;
    if (lifetime_s > org.settings.token_s)
        return api_problem(t->rq, 400, "invalid-member",
                           "lifetime_s: tokens of this organisation last %lld s at most",
                           (long long)org.settings.token_s);
    if (lifetime_s == 0)
        lifetime_s = MIN((int64_t)LIFETIME_DEFAULT_S, org.settings.token_s);
    t->token.expires_ms = server_now_ms(t->rq->server) + lifetime_s * 1000;
    rc = token_add(t->rq->server, tx, &t->token, t->text, err);

    return rc < 0 ? rc
                  : row_tell(t->rq, tx, "token.create", "token.created", t->token.id,
                             json_pack("{s:s, s:o, s:o}", "name", t->token.name, "roles",
                                       roles_json(t->token.roles), "expires",
                                       api_time(t->token.expires_ms)),
                             err);
}

static int token_add_answer(void *arg, struct api_response *ret)
{
    struct tokens *t = arg;

    ret->status = 201;
    snprintf(ret->location, sizeof ret->location, "/v1/tokens/%s", t->token.id);
    ret->body = token_json(&t->token);
    json_object_set_new(ret->body, "token", json_string(t->text));
    return ret->body ? 0 : -ENOMEM;
}

static int tokens_post(struct api_request *rq, struct api_response *ret)
{
    struct tokens t = { .rq = rq };
    const char *name = NULL;
    json_t *roles = NULL;
    const struct api_member members[] = {
        { "lifetime_s", API_INT, false, &t.lifetime_s, 60, ORG_TOKEN_S_MAX },
        { "name", API_STRING, true, &name, 1, TOKEN_NAME_LEN_MAX },
        { "roles", API_ARRAY, false, &roles, 1, 5 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    if (rq->who.kind != API_USER)
        return api_problem(rq, 403, "session-needed", "only a user makes tokens, not a token");
    t.token.roles = rq->who.roles;
    if (roles && roles_parse(roles, &t.token.roles) < 0)
        return api_problem(rq, 400, "invalid-member", "the body's member roles is wrong");
    if (t.token.roles & ~rq->who.roles)
        return api_problem(rq, 403, "not-allowed",
                           "a token cannot have roles that its maker has not");
    row_copy(t.token.kind, sizeof t.token.kind, "api");
    row_copy(t.token.org_id, sizeof t.token.org_id, rq->who.org_id);
    row_copy(t.token.owner_id, sizeof t.token.owner_id, rq->who.user_id);
    row_copy(t.token.name, sizeof t.token.name, name);
    rc = row_write_answer(rq, token_add_write, token_add_answer, &t, "token", ret);
    ct_wipe(t.text, sizeof t.text);
    return rc;
}

static int token_show_read(struct store_tx *tx, void *arg, struct err *err)
{
    struct tokens *t = arg;
    int rc = token_read(t->rq->server, tx, t->rq->who.org_id, t->rq->params[0], &t->token, err);

    if (rc == 0 && !is_owner(t->rq) && strcmp(t->token.owner_id, t->rq->who.user_id) != 0)
        rc = -ENOENT;
    return rc;
}

static int token_get(struct api_request *rq, struct api_response *ret)
{
    struct tokens t = { .rq = rq };
    int rc = row_read(rq, token_show_read, &t, "token");

    return rc < 0 ? rc : row_answer(ret, 200, 0, token_json(&t.token));
}

static int token_revoke_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct tokens *t = arg;
    int rc = token_show_read(tx, t, err);

    if (rc == 0)
        rc = token_revoke(t->rq->server, tx, t->rq->who.org_id, t->token.id, err);
    return rc < 0 ? rc
                  : row_tell(t->rq, tx, "token.revoke", "token.revoked", t->token.id, NULL, err);
}

static int gone_answer(void *arg, struct api_response *ret)
{
    ret->status = 204;
    return 0;
}

static int token_delete(struct api_request *rq, struct api_response *ret)
{
    struct tokens t = { .rq = rq };
    return row_write_answer(rq, token_revoke_write, gone_answer, &t, "token", ret);
}

const struct api_route token_routes[] = {
    { "GET", "/v1/tokens", tokens_get, 0, API_ANY_ROLE, 0 },
    { "POST", "/v1/tokens", tokens_post, 0, API_ANY_ROLE | API_IDEMPOTENT, 8192 },
    { "GET", "/v1/tokens/{token}", token_get, 0, API_ANY_ROLE, 0 },
    { "DELETE", "/v1/tokens/{token}", token_delete, 0, API_ANY_ROLE | API_IDEMPOTENT, 0 },
};
const unsigned token_route_count = ARRAY_COUNT(token_routes);
