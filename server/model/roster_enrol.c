/* SPDX-License-Identifier: Apache-2.0 */
/* Approver keys come: the proof that somebody has the key, the first key of all, the change that brings another. Relying party. docs/approvals.md. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/model/roster_change_row.h"
#include "server/store/id.h"

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
    CLEANUP(roster_change_done)
    struct roster_change change = { .action = "add-key" };

    if (roster_approvers(roster) == 0 && roster->org.roster_version == 0) {
        int rc = roster_key_state_write(rq, tx, key, "active", err);

        json_object_set_new(out, "state", json_string("active"));
        return rc < 0 ? rc : roster_write(rq, tx, roster, "", err);
    }
    row_copy(change.key_id, sizeof change.key_id, key->id);
    int rc = roster_change_insert(rq, tx, roster, &change, err);

    json_object_set_new(out, "change", json_string(change.id));
    return rc;
}

int roster_enrol(struct api_request *rq, struct store_tx *tx, json_t **ret, struct err *err)
{
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    struct roster_key key = { .created_ms = server_now_ms(rq->server), .state = "proposed" };
    const char *text = json_string_value(json_object_get(rq->body, "public_key"));

    if (!rq->who.user_id || !rq->who.user_id[0])
        return api_problem(rq, 403, "forbidden", "approver keys are users'");
    row_copy(key.user_id, sizeof key.user_id, rq->who.user_id);
    if (!text || approval_unbase64(text, key.public_key, sizeof key.public_key) < 0)
        return api_problem(rq, 400, "invalid-member", "public_key is not 32 bytes in base64url");
    row_copy(key.name, sizeof key.name, json_string_value(json_object_get(rq->body, "name")));
    int rc = check_proof(rq, &key);

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
