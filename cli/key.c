/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche key`: the keys that approvals are signed with, here and in the organisation's roster. Relying party side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/keyring.h"
#include "cli/remote.h"

static const struct table_column g_columns[] = {
    { "NAME", "name", TABLE_TEXT },
    { "ID", "id", TABLE_TEXT },
    { "PUBLIC KEY", "public_key", TABLE_TEXT },
    { "STATE", "state", TABLE_TEXT },
    { "USER", "user", TABLE_TEXT },
    { "HERE", "here", TABLE_TEXT },
};
static const struct cli_option g_create_options[] = {
    { "passphrase", NULL, "ask for a passphrase for the key's file", false },
    { "passphrase-file", "FILE", "take it from a file (\"-\": standard input)", false },
};
static const struct cli_option g_enrol_options[] = {
    { "passphrase-file", "FILE", "of the key; else it is asked for", false },
};

static int create(struct cli_call *call)
{
    const char *file = command_option(call, "passphrase-file");
    struct keyring_key key;
    struct err err = { 0 };
    char *passphrase = NULL;
    int rc = 0;

    if (file || command_option(call, "passphrase"))
        rc = ask_secret(file, "passphrase of the new key", &passphrase, &err);
    if (rc == 0)
        rc = keyring_create(call->arguments[0], passphrase, &key, &err);
    ask_free(passphrase);
    if (rc == -EINVAL)
        return command_usage(call, "%s", err.text);
    if (rc < 0)
        return cli_fail(&err, rc);
    if (call->is_json)
        printf("{\"name\": \"%s\", \"public_key\": \"%s\"}\n", call->arguments[0], key.public_text);
    else
        printf("made the key %s, %s\nnow: cloche key enrol %s\n", call->arguments[0],
               key.public_text, call->arguments[0]);
    keyring_done(&key);
    return CLI_EXIT_OK;
}

static int add_local(void *arg, const char *name)
{
    json_t *list = arg;
    struct err err = { 0 };
    char text[44];

    if (keyring_public(name, text, &err) == 0)
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "name", name, "public_key", text,
                                              "state", "not enrolled", "here", name));
    return 0;
}

/* Says of each key of the roster whether it is here, and adds those that are only here. */
static void merge(json_t *roster, const json_t *local)
{
    json_t *mine, *key;
    size_t i, k;

    json_array_foreach((json_t *)local, i, mine)
    {
        bool is_enrolled = false;

        json_array_foreach(roster, k, key) if (json_equal(json_object_get(key, "public_key"),
                                                          json_object_get(mine, "public_key")))
        {
            json_object_set(key, "here", json_object_get(mine, "name"));
            is_enrolled = true;
        }
        if (!is_enrolled)
            json_array_append(roster, mine);
    }
}

static int list(struct cli_call *call)
{
    json_t *local = json_array(), *all = NULL;
    struct remote r = { 0 };
    int rc = keyring_each(add_local, local, &r.err), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = remote_open(&r, call);
    if (rc == -ENOENT && !call->context) /* not logged in: those that are here */
        all = json_incref(local), rc = 0;
    else if (rc == 0)
        rc = client_list(r.client, "/v1/keys", &all, &r.err);
    if (rc < 0) {
        r.call = call;
        status = remote_fail(&r, rc);
    } else {
        if (all != local)
            merge(all, local);
        if (call->is_json)
            table_json_print(all, stdout);
        else
            table_print(all, g_columns, ARRAY_COUNT(g_columns), "keys", stdout);
    }
    json_decref(local);
    json_decref(all);
    remote_done(&r);
    return status;
}

/* "cloche-key-1\n" organisation "\n" user "\n" public key: the proof that who enrols it has it. */
static int make_proof(struct remote *r, const struct keyring_key *key, char **ret)
{
    json_t *me;
    char text[512];
    const char *org, *user;
    int len, rc = remote_call(r, "GET", "/v1/me", NULL, &me);

    if (rc < 0)
        return rc;
    org = json_string_value(table_member(me, "org/id"));
    user = json_string_value(table_member(me, "id"));
    if (!org || !user) {
        json_decref(me);
        return err_set(&r->err, -EBADMSG, "the server does not say who you are");
    }
    len = snprintf(text, sizeof text - KEYRING_PUBLIC_SIZE, "cloche-key-1\n%s\n%s\n", org, user);
    json_decref(me);
    if (len >= (int)(sizeof text - KEYRING_PUBLIC_SIZE))
        return err_set(&r->err, -EBADMSG, "the server's ids are too long");
    memcpy(text + len, key->public_key, KEYRING_PUBLIC_SIZE);
    return keyring_sign(key, text, (size_t)len + KEYRING_PUBLIC_SIZE, ret, &r->err);
}

static int enrol(struct cli_call *call)
{
    const char *name = call->arguments[0];
    struct keyring_key key = { 0 };
    struct remote r;
    json_t *answer = NULL;
    char *proof = NULL;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = keyring_open(name, command_option(call, "passphrase-file"), &key, &r.err);
    if (rc == 0)
        rc = make_proof(&r, &key, &proof);
    if (rc == 0)
        rc = remote_call(
            &r, "POST", "/v1/keys",
            json_pack("{s:s,s:s,s:s}", "name", name, "public_key", key.public_text, "proof", proof),
            &answer);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else if (call->is_json) {
        table_json_print(answer, stdout);
    } else {
        const char *change = json_string_value(json_object_get(answer, "change"));

        printf("enrolled %s\n", name);
        if (change)
            printf("it counts when the present approvers agree: cloche approve %s\n", change);
    }
    json_decref(answer);
    free(proof);
    keyring_done(&key);
    remote_done(&r);
    return status;
}

static int change_roster(struct cli_call *call, json_t *body)
{
    return remote_show(call, "POST", "/v1/roster/changes", body, NULL);
}

static int retire(struct cli_call *call)
{
    return change_roster(call,
                         json_pack("{s:s,s:s}", "action", "retire-key", "key", call->arguments[0]));
}

static int revoke(struct cli_call *call)
{
    return change_roster(call,
                         json_pack("{s:s,s:s}", "action", "revoke-key", "key", call->arguments[0]));
}

static int need(struct cli_call *call)
{
    char *end;
    long count = strtol(call->arguments[0], &end, 10);

    if (*end || count < 1 || count > 100)
        return command_usage(call, "a number from 1 to 100 is expected");
    return change_roster(
        call, json_pack("{s:s,s:i}", "action", "set-needed", "approvals_needed", (int)count));
}

static int roster(struct cli_call *call)
{
    return remote_show(call, "GET", "/v1/roster", NULL, NULL);
}

static const struct table_column g_change_columns[] = {
    { "ID", "id", TABLE_TEXT },          { "ACTION", "action", TABLE_TEXT },
    { "KEY", "key", TABLE_TEXT },        { "NEEDED", "needed", TABLE_TEXT },
    { "GIVEN", "given", TABLE_TEXT },    { "STATE", "state", TABLE_TEXT },
    { "CREATED", "created", TABLE_AGE },
};

static int changes(struct cli_call *call)
{
    return remote_list(call, "/v1/roster/changes", REMOTE_TABLE(g_change_columns, "changes"));
}

static const struct cli_verb g_verbs[] = {
    { "create", "NAME", "make a key on this machine", create, 1, 1, CLI_OPTIONS(g_create_options) },
    { "list", "", "keys here and in the organisation's roster", list, 0, 0, NULL, 0 },
    { "enrol", "NAME", "put the key into the roster of those who approve", enrol, 1, 1,
      CLI_OPTIONS(g_enrol_options) },
    { "retire", "KEY-ID", "propose that a key leaves the roster; what it approved stays", retire, 1,
      1, NULL, 0 },
    { "revoke", "KEY-ID", "propose that a key leaves, and its approvals with it", revoke, 1, 1,
      NULL, 0 },
    { "need", "COUNT", "propose how many approvers must agree", need, 1, 1, NULL, 0 },
    { "roster", "", "who approves, and how many must", roster, 0, 0, NULL, 0 },
    { "changes", "", "proposed changes of the roster", changes, 0, 0, NULL, 0 },
};

const struct cli_command key_command = { "key", "keys that approve builds",
                                         "A build may run when enough approvers have signed "
                                         "exactly it with keys that only they hold. A key is\n"
                                         "an Ed25519 key in ~/.config/cloche/keys, readable by you "
                                         "alone. Changes of the roster are approved\n"
                                         "by the present roster: cloche approve CHANGE-ID.",
                                         CLI_VERBS(g_verbs) };
