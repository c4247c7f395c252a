/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the roster. Relying party. docs/approvals.md. */
#include "server/model/roster_change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/model/list.h"
#include "server/store/id.h"

struct change {
    char id[32], action[16], key_id[32], state[16], created_by[32];
    int64_t needed, roster_version, created_ms;
    char *statement;
};

static void change_done(struct change *change)
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

static int make_statement(const struct roster *roster, const struct change *change, char **ret)
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

static int change_insert(struct api_request *rq, struct store_tx *tx, const struct roster *roster,
                         struct change *change, struct err *err)
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

static int change_decode(const struct store_rows *rows, struct change *ret)
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

static int change_read(struct api_request *rq, struct store_tx *tx, const char *id,
                       struct change *ret, struct err *err)
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

static json_t *change_json(const struct change *c)
{
    return json_pack("{s:s,s:s,s:s?,s:o,s:I,s:s,s:o,s:s}", "id", c->id, "action", c->action, "key",
                     c->key_id[0] ? c->key_id : NULL, "approvals_needed",
                     c->needed ? json_integer(c->needed) : json_null(), "roster_version",
                     (json_int_t)c->roster_version, "state", c->state, "created",
                     api_time(c->created_ms), "created_by", c->created_by);
}

/* An open change's statement is made again: the stored one only says what was signed then. */
static int change_check(const struct roster *roster, const struct change *change, struct err *err)
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

static int change_answer(struct api_request *rq, struct store_tx *tx, const struct roster *roster,
                         const struct change *change, unsigned *ret_given, json_t **ret,
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
    CLEANUP(change_done)
    struct change change = { 0 };
    unsigned given;
    int rc = change_read(rq, tx, rq->params[0], &change, err);

    if (rc >= 0)
        rc = roster_read(rq->server, tx, rq->who.org_id, &roster, err);
    if (rc >= 0)
        rc = change_check(&roster, &change, err);
    return rc < 0 ? rc : change_answer(rq, tx, &roster, &change, &given, ret, err);
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
    CLEANUP(change_done)
    struct change change = { 0 };
    unsigned given;
    int rc = change_decode(rows, &change);

    return rc < 0 ? rc : change_answer(l->rq, tx, l->arg, &change, &given, ret, err);
}

int roster_change_list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of changes = { "changes", .query = list_query, .item = list_item };
    CLEANUP(roster_done)
    struct roster roster = { 0 };

    return list_answer(rq, &changes, &roster, ret);
}

/* ---- making a change ---- */

/* Writes the roster's digest and next version; what was open against the old one is stale. */
static int roster_write(struct api_request *rq, struct store_tx *tx, struct roster *roster,
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

static int key_state_write(struct api_request *rq, struct store_tx *tx, struct roster_key *key,
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

/* Whether the roster could make this change; sets the problem when not. */
static int change_decode_action(struct api_request *rq, const struct roster *roster,
                                const struct change *change)
{
    const struct roster_key *key = change->key_id[0] ? roster_find(roster, change->key_id) : NULL;
    bool adds = strcmp(change->action, "add-key") == 0;
    bool retires = strcmp(change->action, "retire-key") == 0;
    bool revokes = strcmp(change->action, "revoke-key") == 0;

    if (strcmp(change->action, "set-needed") == 0) {
        if (change->needed < 1 || change->needed > roster_approvers(roster))
            return api_problem(rq, 409, "roster-too-small",
                               "%lld approvals cannot be asked for: the roster has %u approvers",
                               (long long)change->needed, roster_approvers(roster));
        return 0;
    }
    if (!adds && !retires && !revokes)
        return api_problem(rq, 400, "invalid-member",
                           "action is not add-key, retire-key, revoke-key or set-needed");
    if (!key)
        return api_problem(rq, 404, "not-found", "there is no approver key %s", change->key_id);
    if (strcmp(key->state, adds ? "proposed" : "active") != 0 &&
        !(revokes && strcmp(key->state, "retired") == 0))
        return api_problem(rq, 409, "key-state", "the key %s is %s", key->name, key->state);
    if (adds || strcmp(key->state, "active") != 0)
        return 0;
    struct roster left = *roster; /* without the key */
    struct roster_key keys[ROSTER_KEY_COUNT_MAX];

    memcpy(keys, roster->keys, roster->count * sizeof *keys);
    left.keys = keys;
    row_copy(keys[key - roster->keys].state, sizeof keys->state, "retired");
    if (roster_approvers(&left) < roster->org.approvals_needed)
        return api_problem(
            rq, 409, "roster-too-small",
            "without the key %s there are %u approvers, and %lld approvals are asked "
            "for: ask for fewer first (set-needed), or add another approver's key",
            key->name, roster_approvers(&left), (long long)roster->org.approvals_needed);
    return 0;
}

static int change_perform(struct api_request *rq, struct store_tx *tx, struct roster *roster,
                          struct change *change, struct err *err)
{
    int rc = change_decode_action(rq, roster, change);

    if (rc < 0)
        return rc;
    if (change->key_id[0]) {
        const char *state = strcmp(change->action, "add-key") == 0      ? "active"
                            : strcmp(change->action, "retire-key") == 0 ? "retired"
                                                                        : "revoked";

        rc = key_state_write(rq, tx, (struct roster_key *)roster_find(roster, change->key_id),
                             state, err);
    } else {
        roster->org.approvals_needed = change->needed;
    }
    if (rc >= 0)
        rc = roster_write(rq, tx, roster, change->id, err);
    if (rc >= 0)
        row_copy(change->state, sizeof change->state, "done");
    return rc;
}

int roster_change_approve(struct api_request *rq, struct store_tx *tx, json_t **ret,
                          struct err *err)
{
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    CLEANUP(change_done)
    struct change change = { 0 };
    const struct roster_key *key;
    unsigned given;
    int rc = change_read(rq, tx, rq->params[0], &change, err);

    if (rc >= 0)
        rc = roster_read(rq->server, tx, rq->who.org_id, &roster, err);
    if (rc < 0)
        return rc;
    if (strcmp(change.state, "open") != 0)
        return api_problem(rq, 409, "change-closed", "the change %s is %s", change.id,
                           change.state);
    rc = change_check(&roster, &change, err);
    if (rc >= 0)
        rc = approval_add(rq, tx, &roster, change.id, change.statement, &key, err);
    char key_id[32], user_id[32];

    if (rc >= 0) {
        row_copy(key_id, sizeof key_id, key->id);
        row_copy(user_id, sizeof user_id, key->user_id);
        rc = change_answer(rq, tx, &roster, &change, &given, ret, err);
    }
    if (rc < 0)
        return rc;
    if (approval_is_enough(&roster, given))
        rc = change_perform(rq, tx, &roster, &change, err);
    if (rc >= 0) {
        json_object_set_new(*ret, "state", json_string(change.state));
        rc = row_tell(rq, tx, "roster.approve", "roster.approved", change.id,
                      json_pack("{s:s,s:s,s:s,s:s}", "key", key_id, "user", user_id, "statement",
                                change.statement, "state", change.state),
                      err);
    }
    if (rc < 0)
        json_decref(TAKE_PTR(*ret));
    return rc;
}

int roster_change_propose(struct api_request *rq, struct store_tx *tx, json_t **ret,
                          struct err *err)
{
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    CLEANUP(change_done)
    struct change change = { 0 };
    unsigned given;
    int rc = roster_read(rq->server, tx, rq->who.org_id, &roster, err);

    if (rc < 0)
        return rc;
    row_copy(change.action, sizeof change.action,
             json_string_value(json_object_get(rq->body, "action")));
    row_copy(change.key_id, sizeof change.key_id,
             json_string_value(json_object_get(rq->body, "key")));
    change.needed = json_integer_value(json_object_get(rq->body, "approvals_needed"));
    if ((strcmp(change.action, "set-needed") == 0) != (change.needed != 0) ||
        (change.needed != 0) == (change.key_id[0] != 0))
        return api_problem(rq, 400, "invalid-member",
                           "approvals_needed comes with set-needed, key with all others");
    rc = change_decode_action(rq, &roster, &change);
    if (rc >= 0)
        rc = change_insert(rq, tx, &roster, &change, err);
    if (rc >= 0)
        rc = change_answer(rq, tx, &roster, &change, &given, ret, err);
    if (rc < 0)
        return rc;
    return row_tell(rq, tx, "roster.propose", "roster.proposed", change.id,
                    json_pack("{s:s,s:s}", "action", change.action, "statement", change.statement),
                    err);
}

/* ---- enrolment ---- */

/* The user behind user or token. */
static int read_user(struct api_request *rq, struct store_tx *tx, char ret[32], struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;

    if (rq->who.kind == API_USER) {
        row_copy(ret, 32, rq->who.id);
        return 0;
    }
    int rc = store_query(
        tx, "SELECT owner_id FROM tokens WHERE org_id = $1 AND id = $2 AND kind = 'api'",
        STORE_ARGS(store_text(rq->who.org_id), store_text(rq->who.id)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc == 0)
        return api_problem(rq, 403, "forbidden", "approver keys are users'");
    if (rc > 0)
        row_copy(ret, 32, store_column_text(rows, 0));
    return rc < 0 ? rc : 0;
}

static int check_proof(struct api_request *rq, const struct roster_key *key)
{
    const char *text = json_string_value(json_object_get(rq->body, "proof"));
    uint8_t message[128], signature[APPROVAL_SIGNATURE_SIZE];
    int size = snprintf((char *)message, sizeof message, "cloche-key-1\n%s\n%s\n", rq->who.org_id,
                        key->user_id);

    if (!text || approval_unbase64(text, signature, sizeof signature) < 0 ||
        size + sizeof key->public_key > sizeof message)
        return api_problem(rq, 400, "invalid-member", "proof is not 64 bytes in base64url");
    memcpy(message + size, key->public_key, sizeof key->public_key);
    if (approval_signature_verify(key->public_key, message, size + sizeof key->public_key,
                                  signature) == 0)
        return 0;
    int rc = api_problem(rq, 403, "signature-wrong",
                         "the proof is not this key's signature over organisation, user and key");

    api_problem_set(rq, "step", json_string("key-proof"));
    return rc;
}

static int key_insert(struct api_request *rq, struct store_tx *tx, const struct roster_key *key,
                      struct err *err)
{
    int rc = store_exec(
        tx,
        "INSERT INTO approver_keys (id, org_id, user_id, name, public_key, state, created_ms, "
        "changed_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        STORE_ARGS(store_text(key->id), store_text(rq->who.org_id), store_text(key->user_id),
                   store_text(key->name), store_blob(key->public_key, sizeof key->public_key),
                   store_text(key->state), store_int(key->created_ms)),
        err);
    if (rc == -EEXIST)
        return api_problem(rq, 409, "already-exists", "this key is enrolled already");
    return rc < 0 ? rc : 0;
}

/* The first key comes at once; others with the change that the roster approves. */
static int key_enter(struct api_request *rq, struct store_tx *tx, struct roster *roster,
                     struct roster_key *key, json_t *out, struct err *err)
{
    CLEANUP(change_done)
    struct change change = { .action = "add-key" };

    if (roster_approvers(roster) == 0 && roster->org.roster_version == 0) {
        int rc = key_state_write(rq, tx, key, "active", err);

        json_object_set_new(out, "state", json_string("active"));
        return rc < 0 ? rc : roster_write(rq, tx, roster, "", err);
    }
    row_copy(change.key_id, sizeof change.key_id, key->id);
    int rc = change_insert(rq, tx, roster, &change, err);

    json_object_set_new(out, "change", json_string(change.id));
    return rc;
}

int roster_enrol(struct api_request *rq, struct store_tx *tx, json_t **ret, struct err *err)
{
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    struct roster_key key = { .created_ms = server_now_ms(rq->server), .state = "proposed" };
    const char *text = json_string_value(json_object_get(rq->body, "public_key"));
    int rc = read_user(rq, tx, key.user_id, err);

    if (rc < 0)
        return rc;
    if (!text || approval_unbase64(text, key.public_key, sizeof key.public_key) < 0)
        return api_problem(rq, 400, "invalid-member", "public_key is not 32 bytes in base64url");
    row_copy(key.name, sizeof key.name, json_string_value(json_object_get(rq->body, "name")));
    rc = check_proof(rq, &key);
    if (rc >= 0)
        rc = roster_read(rq->server, tx, rq->who.org_id, &roster, err);
    if (rc < 0)
        return rc;
    if (roster.count == ROSTER_KEY_COUNT_MAX)
        return api_problem(rq, 409, "too-many", "the organisation has %u approver keys",
                           ROSTER_KEY_COUNT_MAX);
    id_make("key", key.id);
    rc = key_insert(rq, tx, &key, err);
    if (rc < 0)
        return rc;
    roster.keys[roster.count++] = key;
    roster_sort(&roster);
    json_t *out = roster_key_json(&key);

    rc = key_enter(rq, tx, &roster, (struct roster_key *)roster_find(&roster, key.id), out, err);
    if (rc >= 0)
        rc = row_tell(rq, tx, "key.enrol", "key.enrolled", key.id, json_incref(out), err);
    if (rc < 0) {
        json_decref(out);
        return rc;
    }
    *ret = out;
    return 0;
}
