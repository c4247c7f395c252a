/* SPDX-License-Identifier: Apache-2.0 */
/* The roster: the approver keys of an organisation, held against the digest in its row. Relying party. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/model/approval.h"
#include "server/model/model_cache.h"

void roster_done(struct roster *roster)
{
    free(roster->keys);
    roster->keys = NULL;
    roster->count = 0;
}

const struct roster_key *roster_find(const struct roster *roster, const char *key_id)
{
    for (unsigned i = 0; i < roster->count; i++)
        if (strcmp(roster->keys[i].id, key_id) == 0)
            return &roster->keys[i];
    return NULL;
}

unsigned roster_approvers(const struct roster *roster)
{
    unsigned count = 0;

    for (unsigned i = 0; i < roster->count; i++) {
        bool is_first = strcmp(roster->keys[i].state, "active") == 0;

        for (unsigned k = 0; k < i && is_first; k++)
            is_first = strcmp(roster->keys[k].state, "active") != 0 ||
                       strcmp(roster->keys[k].user_id, roster->keys[i].user_id) != 0;
        count += is_first;
    }
    return count;
}

int roster_digest(const struct roster *roster, uint8_t ret[32])
{
    json_t *list = json_array();

    for (unsigned i = 0; i < roster->count; i++) {
        const struct roster_key *key = &roster->keys[i];
        char hex[ROW_HEX_SIZE];

        if (strcmp(key->state, "proposed") != 0)
            json_array_append_new(
                list, json_pack("[s,s,s,s,s]", key->id, key->user_id, key->name, key->state,
                                row_hex(key->public_key, sizeof key->public_key, hex)));
    }
    memset(ret, 0, 32);
    if (json_array_size(list) > 0) {
        char *text = row_canonical(list);

        if (!text) {
            json_decref(list);
            return -ENOMEM;
        }
        sha256_digest(text, strlen(text), ret);
        free(text);
    }
    json_decref(list);
    return 0;
}

static int read_key(const struct store_rows *rows, struct roster_key *key)
{
    size_t size;
    const void *public_key = store_column_blob(rows, 3, &size);

    row_copy(key->id, sizeof key->id, store_column_text(rows, 0));
    row_copy(key->user_id, sizeof key->user_id, store_column_text(rows, 1));
    row_copy(key->name, sizeof key->name, store_column_text(rows, 2));
    row_copy(key->state, sizeof key->state, store_column_text(rows, 4));
    key->created_ms = store_column_int(rows, 5);
    if (!public_key || size != sizeof key->public_key)
        return -EBADMSG;
    memcpy(key->public_key, public_key, size);
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct roster_key *)a)->id, ((const struct roster_key *)b)->id);
}

void roster_sort(struct roster *roster)
{
    qsort(roster->keys, roster->count, sizeof *roster->keys, compare_ids);
}

static int read_keys(struct store_tx *tx, const char *org_id, struct roster *roster,
                     struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT id, user_id, name, public_key, state, created_ms "
                         "FROM approver_keys WHERE org_id = $1 ORDER BY id LIMIT $2",
                         STORE_ARGS(store_text(org_id), store_int(ROSTER_KEY_COUNT_MAX + 1)), &rows,
                         err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        if (roster->count == ROSTER_KEY_COUNT_MAX ||
            read_key(rows, &roster->keys[roster->count]) < 0)
            return -EBADMSG;
        roster->count++;
    }
    roster_sort(roster); /* whatever order the database has for text */
    return rc;
}

int roster_read(struct server *server, struct store_tx *tx, const char *org_id, struct roster *ret,
                struct err *err)
{
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    uint8_t digest[32];
    int rc = org_read(server, tx, org_id, &roster.org, err);

    if (rc < 0)
        return rc;
    roster.keys = calloc(ROSTER_KEY_COUNT_MAX, sizeof *roster.keys);
    if (!roster.keys)
        return -ENOMEM;
    rc = read_keys(tx, org_id, &roster, err);
    if (rc >= 0)
        rc = roster_digest(&roster, digest);
    if (rc >= 0 && memcmp(digest, roster.org.roster_sha256, sizeof digest) != 0)
        rc = -EBADMSG;
    /* An older row of this server's own, put back while it runs. */
    if (rc >= 0 && roster.org.roster_version < model_roster_version(server->model, org_id))
        rc = -EBADMSG;
    if (rc == -EBADMSG) {
        server_log(server, "error", "the roster in the store was changed by somebody else", "org",
                   org_id, NULL);
        return err_set(err, rc,
                       "the roster of approver keys in the store was changed by somebody else "
                       "than this server");
    }
    if (rc < 0)
        return rc;
    *ret = roster;
    roster.keys = NULL;
    roster.count = 0;
    return 0;
}
