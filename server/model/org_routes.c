/* SPDX-License-Identifier: Apache-2.0 */
/* GET and PATCH /v1/org: what owners set for all of their organisation. Relying party; requests are hostile. How many approve is the roster's to change (approvals.md), the default policy the policies'. */
#include <errno.h>
#include <string.h>

#include "server/model/org.h"
#include "server/model/routes.h"
#include "server/model/row.h"

struct op {
    struct api_request *rq;
    const char *title;          /* NULL: stays */
    int64_t session_s, token_s; /* 0: stays */
    struct org_row org;
};

static int show_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;

    return org_read(op->rq->server, tx, op->rq->who.org_id, &op->org, err);
}

static int answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, 200, op->org.settings.version, org_json(&op->org));
}

static int show(struct api_request *rq, struct api_response *ret)
{
    struct op op = { .rq = rq };

    return row_read_answer(rq, show_tx, answer, &op, "organisation", ret);
}

static int change_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct org_settings *s = &op->org.settings;
    int rc = show_tx(tx, op, err);

    if (rc >= 0)
        rc = row_version_check(op->rq, s->version);
    if (rc < 0)
        return rc;
    if (op->title)
        row_copy(s->title, sizeof s->title, op->title);
    if (op->session_s)
        s->session_s = op->session_s;
    if (op->token_s)
        s->token_s = op->token_s;
    s->version++;
    rc = org_write(op->rq->server, tx, &op->org, err);
    return rc < 0 ? rc
                  : row_tell(op->rq, tx, "org.change", "org.changed", op->org.id,
                             json_pack("{s:s, s:I, s:I}", "title", s->title, "session_s",
                                       (json_int_t)s->session_s, "token_s", (json_int_t)s->token_s),
                             err);
}

static int change(struct api_request *rq, struct api_response *ret)
{
    struct op op = { .rq = rq };
    const struct api_member members[] = {
        { "session_s", API_INT, false, &op.session_s, ORG_SESSION_S_MIN, ORG_SESSION_S_MAX },
        { "title", API_STRING, false, &op.title, 0, ORG_TITLE_LEN_MAX },
        { "token_s", API_INT, false, &op.token_s, ORG_TOKEN_S_MIN, ORG_TOKEN_S_MAX },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    if (op.title && strlen(op.title) > ORG_TITLE_LEN_MAX)
        return api_problem(rq, 400, "invalid-member", "title has more than %u bytes",
                           ORG_TITLE_LEN_MAX);
    return row_write_answer(rq, change_tx, answer, &op, "organisation", ret);
}

const struct api_route org_routes[] = {
    { "GET", "/v1/org", show, .flags = API_ANY_ROLE },
    { "PATCH", "/v1/org", change, API_OWNER, API_IDEMPOTENT, 4096 },
};
const unsigned org_route_count = ARRAY_COUNT(org_routes);
