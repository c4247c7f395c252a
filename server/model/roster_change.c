/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the roster: proposed, approved, made. Relying party. docs/approvals.md. */
#include <errno.h>
#include <string.h>

#include "server/model/roster_change_row.h"

/* Whether the roster could make this change; sets the problem when not. */
static int change_decode_action(struct api_request *rq, const struct roster *roster,
                                const struct roster_change *change)
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
                          struct roster_change *change, struct err *err)
{
    int rc = change_decode_action(rq, roster, change);

    if (rc < 0)
        return rc;
    if (change->key_id[0]) {
        const char *state = strcmp(change->action, "add-key") == 0      ? "active"
                            : strcmp(change->action, "retire-key") == 0 ? "retired"
                                                                        : "revoked";

        rc = roster_key_state_write(
            rq, tx, (struct roster_key *)roster_find(roster, change->key_id), state, err);
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
    CLEANUP(roster_change_done)
    struct roster_change change = { 0 };
    const struct roster_key *key;
    unsigned given;
    int rc = roster_change_read(rq, tx, rq->params[0], &change, err);

    if (rc >= 0)
        rc = roster_read(rq->server, tx, rq->who.org_id, &roster, err);
    if (rc < 0)
        return rc;
    if (strcmp(change.state, "open") != 0)
        return api_problem(rq, 409, "change-closed", "the change %s is %s", change.id,
                           change.state);
    rc = roster_change_check(&roster, &change, err);
    if (rc >= 0)
        rc = approval_add(rq, tx, &roster, change.id, change.statement, &key, err);
    char key_id[32], user_id[32];

    if (rc >= 0) {
        row_copy(key_id, sizeof key_id, key->id);
        row_copy(user_id, sizeof user_id, key->user_id);
        rc = roster_change_answer(rq, tx, &roster, &change, &given, ret, err);
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
    CLEANUP(roster_change_done)
    struct roster_change change = { 0 };
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
        rc = roster_change_insert(rq, tx, &roster, &change, err);
    if (rc >= 0)
        rc = roster_change_answer(rq, tx, &roster, &change, &given, ret, err);
    if (rc < 0)
        return rc;
    return row_tell(rq, tx, "roster.propose", "roster.proposed", change.id,
                    json_pack("{s:s,s:s}", "action", change.action, "statement", change.statement),
                    err);
}
