/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche login` and `logout`: contexts of servers. Relying party side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/file.h"
#include "cli/login.h"
#include "client/contexts.h"
#include "verifier/verifier.h"

#define CA_SIZE_MAX (1u << 20)

static const struct cli_option g_login_options[] = {
    { "user", "NAME", "whose password is asked for", false },
    { "organisation", "NAME", "when the server has several", false },
    { "password-file", "FILE", "the password (\"-\": standard input); else it is asked for",
      false },
    { "totp", "CODE", "the six digits, when the user has a second factor", false },
    { "token-file", "FILE", "instead: an API token (`cloche token create`)", false },
    { "ca", "FILE", "the server's CA, PEM; else the system's CAs", false },
    { "policy", "FILE",
      "the server must run in a TEE that satisfies this policy; checked before anything is sent, "
      "now and at each later connection",
      false },
    { "name", "NAME", "of the context; else the server's host", false },
};

/* "https://host:8443/" -> "host"; a socket -> "local" */
static void name_of_url(const char *url, char ret[CONTEXTS_NAME_MAX + 1])
{
    const char *host = strstr(url, "://");
    size_t len = host ? strcspn(host + 3, ":/") : 0;

    if (!host || len == 0 || len > CONTEXTS_NAME_MAX)
        snprintf(ret, CONTEXTS_NAME_MAX + 1, "local");
    else
        snprintf(ret, CONTEXTS_NAME_MAX + 1, "%.*s", (int)len, host + 3);
}

static int add_ca(json_t *context, const char *path, struct err *err)
{
    struct file_bytes file;
    int rc = path ? file_bytes_read(path, CA_SIZE_MAX, &file, err) : 0;

    if (!path || rc < 0)
        return rc;
    if (!strstr((char *)file.data, "-----BEGIN CERTIFICATE-----") ||
        json_object_set_new(context, "ca", json_stringn((char *)file.data, file.size)) < 0)
        rc = err_set(err, -EBADMSG, "%s holds no certificate in PEM", path);
    file_bytes_done(&file);
    return rc;
}

static int add_policy(json_t *context, const char *path, struct err *err)
{
    struct file_bytes file;
    int rc = path ? file_bytes_read(path, VERIFIER_POLICY_SIZE_MAX, &file, err) : 0;

    if (!path || rc < 0)
        return rc;
    if (json_object_set_new(context, "policy", json_stringn((char *)file.data, file.size)) < 0)
        rc = err_set(err, -EBADMSG, "%s is no text", path);
    file_bytes_done(&file);
    return rc;
}

/*
 * A first connection under a policy, before there is anything to lose. Without --ca the server's own CA is taken from it: the enclave whose evidence was accepted says
 * what it is.
 */
static int meet(json_t *context, char *ret_evidence, struct err *err)
{
    struct client *client = NULL;
    char *roots = NULL;
    bool is_accepted = false;
    size_t size;
    int rc = client_new(context, &client, err);

    if (rc == 0)
        rc = client_text(client, "/v1/ca/roots", &roots, &size, err);
    if (rc == 0) {
        const char *text = client_evidence(client, &is_accepted);

        snprintf(ret_evidence, ERR_TEXT_SIZE, "%s", text ? text : "");
        if (!is_accepted)
            rc = err_set(err, -EBADMSG, "the server's evidence was not judged");
    }
    if (rc == 0 && !json_object_get(context, "ca") &&
        (!strstr(roots, "-----BEGIN CERTIFICATE-----") ||
         json_object_set_new(context, "ca", json_stringn(roots, size)) < 0))
        rc = err_set(err, -EBADMSG, "the server names no CA");
    free(roots);
    client_close(client);
    return rc;
}

int login_perform(struct login *login, json_t *context, struct err *err)
{
    struct client *client = NULL;
    struct client_answer answer = { 0 };
    json_t *body = json_pack("{s:s,s:s,s:s*,s:s*}", "name", login->user, "password",
                             login->password, "org", login->organisation, "code", login->totp);
    const char *token;
    int rc = body ? client_new(context, &client, err)
                  : err_set(err, -EINVAL, "the name or the password is no text");

    if (rc == 0)
        rc = client_call(client, "POST", "/v1/login", body, NULL, &answer, err);
    json_decref(body);
    token = json_string_value(json_object_get(answer.body, "token"));
    if (rc == 0 && !token)
        rc = err_set(err, -EBADMSG, "the server gave no token");
    if (rc == 0) {
        json_object_set(context, "token", json_object_get(answer.body, "token"));
        json_object_set_new(context, "user", json_string(login->user));
    }
    client_answer_done(&answer);
    client_close(client);
    return rc;
}

/* Says who the token is, and keeps the organisation's name in the context. */
static int check_token(json_t *context, json_t **ret_me, struct err *err)
{
    struct client *client;
    struct client_answer answer;
    int rc = client_new(context, &client, err);

    if (rc < 0)
        return rc;
    rc = client_call(client, "GET", "/v1/me", NULL, NULL, &answer, err);
    if (rc == 0) {
        *ret_me = json_incref(answer.body);
        client_answer_done(&answer);
    }
    client_close(client);
    return rc;
}

static int with_password(struct cli_call *call, json_t *context, struct err *err)
{
    struct login login = { .user = command_option(call, "user"),
                           .organisation = command_option(call, "organisation"),
                           .totp = command_option(call, "totp") };
    int rc;

    if (!login.user)
        return err_set(err, -EINVAL, "--user NAME or --token-file FILE is needed");
    rc = ask_secret(command_option(call, "password-file"), "password", &login.password, err);
    if (rc == 0)
        rc = login_perform(&login, context, err);
    ask_free(login.password);
    return rc;
}

static int with_token(json_t *context, const char *file, struct err *err)
{
    char *token;
    int rc = ask_secret(file, "token", &token, err);

    if (rc < 0)
        return rc;
    if (json_object_set_new(context, "token", json_string(token)) < 0)
        rc = err_set(err, -EINVAL, "%s holds no token", file);
    ask_free(token);
    return rc;
}

static int login(struct cli_call *call)
{
    const char *url = call->arguments[0], *token_file = command_option(call, "token-file");
    char name[CONTEXTS_NAME_MAX + 1], who[2][64], evidence[ERR_TEXT_SIZE] = "";
    json_t *context = json_pack("{s:s}", "url", url), *me = NULL;
    struct remote r = { .call = call };
    int rc = context ? add_ca(context, command_option(call, "ca"), &r.err)
                     : err_set(&r.err, -EINVAL, "the URL is no text");

    if (rc == 0)
        rc = add_policy(context, command_option(call, "policy"), &r.err);
    if (rc == 0 && json_object_get(context, "policy"))
        rc = meet(context, evidence, &r.err);
    if (rc == 0)
        rc = token_file ? with_token(context, token_file, &r.err)
                        : with_password(call, context, &r.err);
    if (rc == 0)
        rc = check_token(context, &me, &r.err);
    if (command_option(call, "name"))
        snprintf(name, sizeof name, "%.63s", command_option(call, "name"));
    else
        name_of_url(url, name);
    if (rc == 0) {
        json_object_set(context, "organisation",
                        (json_t *)table_member(me, "org/name") ?: json_null());
        rc = contexts_set(name, json_incref(context), &r.err);
    }
    json_decref(context);
    if (rc < 0)
        return remote_fail(&r, rc);
    if (call->is_json)
        table_json_print(me, stdout);
    else if (evidence[0])
        printf("the server's evidence: %s\n", evidence);
    if (!call->is_json)
        printf("logged in as %s of %s; the context is %s\n",
               table_text(table_member(me, "user/name"), who[0], 64),
               table_text(table_member(me, "org/name"), who[1], 64), name);
    json_decref(me);
    return CLI_EXIT_OK;
}

static const struct cli_verb g_login_verbs[] = {
    { "", "URL", "", login, 1, 1, CLI_OPTIONS(g_login_options) },
};
const struct cli_command login_command = { "login", "log in to a control plane",
                                           "URL is https://HOST[:PORT], or unix:/path of a server "
                                           "on this machine. The session's token is kept in\n"
                                           "~/.config/cloche/contexts.json, readable by you alone.",
                                           CLI_VERBS(g_login_verbs) };

/* The session ends at the server too; when that cannot be reached, here alone. */
static int logout(struct cli_call *call)
{
    struct remote r;
    json_t *all = NULL;
    const char *name = call->context;
    int rc = remote_open(&r, call);

    if (rc == 0 && remote_call(&r, "POST", "/v1/logout", NULL, NULL) < 0)
        fprintf(stderr, "cloche: the session could not be ended at the server: %s\n", r.err.text);
    if (rc == 0)
        rc = contexts_read(&all, &r.err);
    if (rc == 0 && !name)
        name = json_string_value(json_object_get(all, "current"));
    if (rc == 0 && name)
        rc = contexts_set(name, NULL, &r.err);
    if (rc < 0) {
        json_decref(all);
        rc = remote_fail(&r, rc);
        remote_done(&r);
        return rc;
    }
    if (!call->is_json)
        printf("logged out of %s\n", name ? name : "-");
    json_decref(all);
    remote_done(&r);
    return CLI_EXIT_OK;
}

static const struct cli_verb g_logout_verbs[] = { { "", "", "", logout, 0, 0, NULL, 0 } };
const struct cli_command logout_command = { "logout", "end the session and forget its token", NULL,
                                            CLI_VERBS(g_logout_verbs) };
