/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche user` and `cloche token`: who may do what in the organisation. Relying party side. */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/table.h"

static const struct table_column g_user_columns[] = {
    { "NAME", "name", TABLE_TEXT },        { "ID", "id", TABLE_TEXT },
    { "ROLES", "roles", TABLE_TEXT },      { "EMAIL", "email", TABLE_TEXT },
    { "DISABLED", "disabled", TABLE_AGE }, { "CREATED", "created", TABLE_AGE },
};
static const struct table_column g_token_columns[] = {
    { "NAME", "name", TABLE_TEXT },   { "ID", "id", TABLE_TEXT },
    { "ROLES", "roles", TABLE_TEXT }, { "EXPIRES", "expires", TABLE_AGE },
    { "USED", "used", TABLE_AGE },    { "REVOKED", "revoked", TABLE_AGE },
};
static const struct cli_option g_create_options[] = {
    { "role", "ROLE", "owner, approver, operator, auditor or reader", true, true },
    { "email", "ADDRESS", "of the user", false },
    { "password-file", "FILE", "the first password (\"-\": standard input); else it is asked for",
      false },
};
static const struct cli_option g_set_options[] = {
    { "role", "ROLE", "all roles that the user has from now on", true },
    { "disabled", "yes|no", "a disabled user cannot log in", false },
};
static const struct cli_option g_token_options[] = {
    { "role", "ROLE", "of yours; else all that you have", true },
    { "lifetime", "TIME", "30d", false },
};

static int user_create(struct cli_call *call)
{
    json_t *body = json_pack("{s:s}", "name", call->arguments[0]);
    struct err err = { 0 };
    char *password = NULL;
    int rc = body_texts(body, call, "role", "roles");

    if (rc == 0)
        rc = body_text(body, call, "email", "email");
    if (rc == 0)
        rc = ask_secret(command_option(call, "password-file"), "password of the new user",
                        &password, &err);
    if (rc == 0)
        rc = json_object_set_new(body, "password", json_string(password));
    ask_free(password);
    if (rc < 0) {
        json_decref(body);
        return rc == -EINVAL ? command_usage(call, "%s", err.text) : cli_fail(&err, rc);
    }
    return remote_show(call, "POST", "/v1/users", body, NULL);
}

static int user_list(struct cli_call *call)
{
    return remote_list(call, "/v1/users", REMOTE_TABLE(g_user_columns, "users"));
}

static int user_show(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "GET",
                       call->argument_count ? remote_path(path, "/v1/users/{}", call->arguments[0])
                                            : "/v1/me",
                       NULL, NULL);
}

static int user_set(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    json_t *body = json_object();
    struct err err = { 0 };
    int rc = body_texts(body, call, "role", "roles");

    if (rc == 0)
        rc = body_bool(body, call, "disabled", "disabled", &err);
    if (rc == 0 && json_object_size(body) == 0)
        rc = err_set(&err, -EINVAL, "nothing is to be set");
    if (rc < 0) {
        json_decref(body);
        return command_usage(call, "%s", err.text);
    }
    return remote_show(call, "PATCH", remote_path(path, "/v1/users/{}", call->arguments[0]), body,
                       NULL);
}

/* A body with one's password under `member`. returns: the body; NULL: status says what to return. */
static json_t *password_body(struct cli_call *call, const char *member, int *ret_status)
{
    struct err err = { 0 };
    json_t *body = NULL;
    char *password = NULL;
    int rc = ask_secret(command_option(call, "password-file"), "your password", &password, &err);

    if (rc == 0)
        body = json_pack("{s:s}", member, password);
    ask_free(password);
    if (!body)
        *ret_status = rc < 0 ? cli_fail(&err, rc) : command_usage(call, "the password is no text");
    return body;
}

static int user_password(struct cli_call *call)
{
    struct err err = { 0 };
    char *password = NULL;
    int status = CLI_EXIT_OK, rc;
    json_t *body = password_body(call, "old", &status);

    if (!body)
        return status;
    rc = ask_secret(command_option(call, "new-file"), "the new password", &password, &err);
    if (rc == 0 && json_object_set_new(body, "new", json_string(password)) < 0)
        rc = err_set(&err, -EINVAL, "the new password is no text");
    ask_free(password);
    if (rc < 0) {
        json_decref(body);
        return cli_fail(&err, rc);
    }
    return remote_show(call, "POST", "/v1/me/password", body, "changed");
}

static int user_totp(struct cli_call *call)
{
    const char *step = call->arguments[0];
    int status = CLI_EXIT_OK;
    json_t *body;

    if (strcmp(step, "confirm") == 0 && call->argument_count == 2)
        return remote_show(call, "POST", "/v1/me/totp/confirm",
                           json_pack("{s:s}", "code", call->arguments[1]),
                           "from now on a code is needed besides the password");
    if (call->argument_count == 2 || (strcmp(step, "enrol") != 0 && strcmp(step, "remove") != 0))
        return command_usage(call, "enrol, confirm CODE or remove is expected");
    body = password_body(call, "password", &status);
    if (!body)
        return status;
    return step[0] == 'e' ? remote_show(call, "POST", "/v1/me/totp", body, NULL)
                          : remote_show(call, "POST", "/v1/me/totp/remove", body, "removed");
}

static const struct cli_option g_password_options[] = {
    { "password-file", "FILE", "your password (\"-\": standard input); else it is asked for",
      false },
    { "new-file", "FILE", "the new one; else it is asked for", false },
};

static const struct cli_verb g_user_verbs[] = {
    { "create", "NAME", "a new user", user_create, 1, 1, CLI_OPTIONS(g_create_options) },
    { "list", "", "users of the organisation", user_list, 0, 0, NULL, 0 },
    { "show", "[USER-ID]", "one user; without an id, you", user_show, 0, 1, NULL, 0 },
    { "set", "USER-ID", "change a user", user_set, 1, 1, CLI_OPTIONS(g_set_options) },
    { "password", "", "change your password", user_password, 0, 0,
      CLI_OPTIONS(g_password_options) },
    { "totp", "enrol|confirm|remove [CODE]",
      "one-time codes as a second factor: enrol, then confirm", user_totp, 1, 2, g_password_options,
      1 },
};
const struct cli_command user_command = {
    "user", "users of the organisation and their roles",
    "Roles: owner (everything), approver (approves with a key), operator (nodes, instances, "
    "rollouts),\n"
    "auditor (reads everything, and the audit log), reader (sees objects).",
    CLI_VERBS(g_user_verbs)
};

/* The token is shown once; alone on standard output, so that it can go into a file. */
static int token_create(struct cli_call *call)
{
    json_t *body = json_pack("{s:s}", "name", call->arguments[0]), *answer = NULL;
    struct remote r;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = body_texts(body, call, "role", "roles");
    if (rc == 0)
        rc = body_seconds(body, call, "lifetime", "lifetime_s", 60, 366 * 86400, &r.err);
    if (rc == 0)
        rc = remote_call(&r, "POST", "/v1/tokens", json_incref(body), &answer);
    json_decref(body);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else if (call->is_json) {
        table_json_print(answer, stdout);
    } else {
        char token[256];

        printf("%s\n", table_text(json_object_get(answer, "token"), token, sizeof token));
        fprintf(stderr, "the token is not shown again\n");
    }
    json_decref(answer);
    remote_done(&r);
    return status;
}

static int token_list(struct cli_call *call)
{
    return remote_list(call, "/v1/tokens", REMOTE_TABLE(g_token_columns, "tokens"));
}

static int token_revoke(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "DELETE", remote_path(path, "/v1/tokens/{}", call->arguments[0]), NULL,
                       "revoked");
}

static const struct cli_verb g_token_verbs[] = {
    { "create", "NAME", "make a token and print it once", token_create, 1, 1,
      CLI_OPTIONS(g_token_options) },
    { "list", "", "tokens", token_list, 0, 0, NULL, 0 },
    { "revoke", "TOKEN-ID", "it is good for nothing any more", token_revoke, 1, 1, NULL, 0 },
};
const struct cli_command token_command = { "token", "tokens for programs that use the API", NULL,
                                           CLI_VERBS(g_token_verbs) };
