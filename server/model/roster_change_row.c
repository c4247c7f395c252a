/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the roster as they are stored and shown. Relying party. docs/approvals.md. */
#include "server/model/roster_change_row.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/model/list.h"
#include "server/store/id.h"

void roster_change_done(struct roster_change *change)
{
    free(change->statement);
    change->statement = NULL;
}

json_t *roster_key_json(const struct roster_key *key)
{
    char *text = approval_base64(key->public_key, sizeof key->public_key);
    json_t *j = json_pack("{s:s,s:s,s:s,s:s?,s:s,s:n,s:o}", "id", key->id, "user", key->user_id,
                          "name", key->name, "public_key", text, "state", key->state, "change",
                          "created", api_time(key->created_ms));

    free(text);
    return j;
}

int roster_change_find(struct store_tx *tx, const char *org_id, const char *key_id, json_t *key,
                       struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT id FROM roster_changes WHERE org_id = $1 AND key_id = $2 "
                         "AND state = 'open' ORDER BY id DESC LIMIT 1",
                         STORE_ARGS(store_text(org_id), store_text(key_id)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc > 0)
        json_object_set_new(key, "change", json_string(store_column_text(rows, 0)));
    return rc < 0 ? rc : 0;
}

static int make_statement(const struct roster *roster, const struct roster_change *change,
                          char **ret)
{
    const struct roster_key *key = change->key_id[0] ? roster_find(roster, change->key_id) : NULL;
    char hex[ROW_HEX_SIZE];
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:s}", "type", "cloche-roster-1", "action",
                  change->action, "change", change->id, "org", roster->org.id, "org_name",
                  roster->org.name, "roster_version", (json_int_t)roster->org.roster_version,
                  "roster_sha256", row_hex(roster->org.roster_sha256, 32, hex));

    if (key)
        json_object_set_new(j, "key",
                            json_pack("{s:s,s:s,s:s,s:s}", "id", key->id, "user", key->user_id,
                                      "name", key->name, "public_key",
                                      row_hex(key->public_key, sizeof key->public_key, hex)));
    if (change->needed)
        json_object_set_new(j, "approvals_needed", json_integer(change->needed));
    *ret = row_canonical(j);
    json_decref(j);
    return *ret ? 0 : -ENOMEM;
}

int roster_change_insert(struct api_request *rq, struct store_tx *tx, const struct roster *roster,
                         struct roster_change *change, struct err *err)
{
    int64_t now_ms = server_now_ms(rq->server);

    id_make("rch", change->id);
    change->roster_version = roster->org.roster_version;
    change->created_ms = now_ms;
    row_copy(change->state, sizeof change->state, "open");
    row_copy(change->created_by, sizeof change->created_by, rq->who.id);
    int rc = make_statement(roster, change, &change->statement);

    if (rc < 0)
        return rc;
    rc = store_exec(
        tx,
        "INSERT INTO roster_changes (id, org_id, action, key_id, approvals_needed, roster_version, "
        "statement, state, created_by, created_ms, changed_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $9)",
        STORE_ARGS(store_text(change->id), store_text(rq->who.org_id), store_text(change->action),
                   store_text(change->key_id[0] ? change->key_id : NULL),
                   change->needed ? store_int(change->needed) : store_null(),
                   store_int(change->roster_version), store_text(change->statement),
                   store_text(rq->who.id), store_int(now_ms)),
        err);
    return rc < 0 ? rc : 0;
}

#define CHANGE_COLUMNS                                                                             \
    "id, action, key_id, approvals_needed, roster_version, statement, state, created_by, "         \
    "created_ms FROM roster_changes"

static int change_decode(const struct store_rows *rows, struct roster_change *ret)
{
    row_copy(ret->id, sizeof ret->id, store_column_text(rows, 0));
    row_copy(ret->action, sizeof ret->action, store_column_text(rows, 1));
    row_copy(ret->key_id, sizeof ret->key_id, store_column_text(rows, 2));
    ret->needed = store_column_int(rows, 3);
    ret->roster_version = store_column_int(rows, 4);
    row_copy(ret->state, sizeof ret->state, store_column_text(rows, 6));
    row_copy(ret->created_by, sizeof ret->created_by, store_column_text(rows, 7));
    ret->created_ms = store_column_int(rows, 8);
    ret->statement = strdup(store_column_text(rows, 5) ? store_column_text(rows, 5) : "");
    return ret->statement ? 0 : -ENOMEM;
}

int roster_change_read(struct api_request *rq, struct store_tx *tx, const char *id,
                       struct roster_change *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT " CHANGE_COLUMNS " WHERE org_id = $1 AND id = $2",
                         STORE_ARGS(store_text(rq->who.org_id), store_text(id)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc == 0)
        return api_problem(rq, 404, "not-found", "there is no change %s of the roster", id);
    return rc < 0 ? rc : change_decode(rows, ret);
}

static json_t *change_json(const struct roster_change *c)
{
    return json_pack("{s:s,s:s,s:s?,s:o,s:I,s:s,s:o,s:s}", "id", c->id, "action", c->action, "key",
                     c->key_id[0] ? c->key_id : NULL, "approvals_needed",
                     c->needed ? json_integer(c->needed) : json_null(), "roster_version",
                     (json_int_t)c->roster_version, "state", c->state, "created",
                     api_time(c->created_ms), "created_by", c->created_by);
}

/* An open change's statement is made again: the stored one only says what was signed then. */
int roster_change_check(const struct roster *roster, const struct roster_change *change,
                        struct err *err)
{
    char *statement = NULL;

    if (strcmp(change->state, "open") != 0)
        return 0;
    int rc = make_statement(roster, change, &statement);

    if (rc >= 0 && strcmp(statement, change->statement) != 0)
        rc = err_set(err, -EBADMSG,
                     "the change %s of the roster in the store was changed by somebody "
                     "else than this server",
                     change->id);
    free(statement);
    return rc;
}

int roster_change_answer(struct api_request *rq, struct store_tx *tx, const struct roster *roster,
                         const struct roster_change *change, unsigned *ret_given, json_t **ret,
                         struct err *err)
{
    json_t *j = change_json(change);
    int rc =
        approval_show(rq->server, tx, roster, change->id, change->statement, ret_given, j, err);

    if (rc < 0) {
        json_decref(j);
        return rc;
    }
    *ret = j;
    return 0;
}

int roster_change_show(struct api_request *rq, struct store_tx *tx, json_t **ret, struct err *err)
{
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    CLEANUP(roster_change_done)
    struct roster_change change = { 0 };
    unsigned given;
    int rc = roster_change_read(rq, tx, rq->params[0], &change, err);

    if (rc >= 0)
        rc = roster_read(rq->server, tx, rq->who.org_id, &roster, err);
    if (rc >= 0)
        rc = roster_change_check(&roster, &change, err);
    return rc < 0 ? rc : roster_change_answer(rq, tx, &roster, &change, &given, ret, err);
}

/* arg: the roster, read here. */
static int list_query(struct list *l, struct store_tx *tx, struct store_rows **ret, struct err *err)
{
    roster_done(l->arg);
    int rc = roster_read(l->rq->server, tx, l->rq->who.org_id, l->arg, err);

    return rc < 0 ? rc
                  : store_query(tx,
                                "SELECT " CHANGE_COLUMNS
                                " WHERE org_id = $1 AND id > $2 ORDER BY id LIMIT $3",
                                STORE_ARGS(store_text(l->rq->who.org_id), store_text(l->page.after),
                                           list_row_count(l)),
                                ret, err);
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    CLEANUP(roster_change_done)
    struct roster_change change = { 0 };
    unsigned given;
    int rc = change_decode(rows, &change);

    return rc < 0 ? rc : roster_change_answer(l->rq, tx, l->arg, &change, &given, ret, err);
}

int roster_change_list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of changes = { "changes", .query = list_query, .item = list_item };
    CLEANUP(roster_done)
    struct roster roster = { 0 };

    return list_answer(rq, &changes, &roster, ret);
}

/* ---- what a change writes ---- */

int roster_write(struct api_request *rq, struct store_tx *tx, struct roster *roster,
                 const char *done_id, struct err *err)
{
    int64_t now_ms = server_now_ms(rq->server);
    int rc = roster_digest(roster, roster->org.roster_sha256);

    roster->org.roster_version++;
    if (rc >= 0)
        rc = org_write(rq->server, tx, &roster->org, err);
    if (rc >= 0)
        rc = store_exec(
            tx,
            "UPDATE roster_changes SET state = 'stale', changed_ms = $1 "
            "WHERE org_id = $2 AND state = 'open' AND id <> $3",
            STORE_ARGS(store_int(now_ms), store_text(rq->who.org_id), store_text(done_id)), err);
    if (rc >= 0)
        rc = store_exec(
            tx,
            "UPDATE roster_changes SET state = 'done', changed_ms = $1 "
            "WHERE org_id = $2 AND id = $3",
            STORE_ARGS(store_int(now_ms), store_text(rq->who.org_id), store_text(done_id)), err);
    if (rc < 0)
        return rc;
    json_t *data = json_pack("{s:I,s:I}", "version", (json_int_t)roster->org.roster_version,
                             "needed", (json_int_t)roster->org.approvals_needed);

    rc = event_append(tx, rq->who.org_id, "roster.changed", roster->org.id, data, err);
    json_decref(data);
    return rc;
}

int roster_key_state_write(struct api_request *rq, struct store_tx *tx, struct roster_key *key,
                           const char *state, struct err *err)
{
    row_copy(key->state, sizeof key->state, state);
    int rc = store_exec(
        tx, "UPDATE approver_keys SET state = $1, changed_ms = $2 WHERE org_id = $3 AND id = $4",
        STORE_ARGS(store_text(state), store_int(server_now_ms(rq->server)),
                   store_text(rq->who.org_id), store_text(key->id)),
        err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}
