/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche secret`: values that attested instances get. Relying party side. A value comes from a file or standard input, never from the command line, and is never printed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attest/base64url.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/remote.h"

#define VALUE_SIZE_MAX 65536u

static const struct table_column g_columns[] = {
    { "NAME", "name", TABLE_TEXT },          { "ID", "id", TABLE_TEXT },
    { "VERSION", "version", TABLE_TEXT },    { "DELIVERED AS", "deliver", TABLE_TEXT },
    { "BINDINGS", "bindings", TABLE_COUNT }, { "CHANGED", "changed", TABLE_AGE },
};
static const struct table_column g_version_columns[] = {
    { "VERSION", "version", TABLE_TEXT },    { "SOURCE", "source", TABLE_TEXT },
    { "BY", "created_by", TABLE_TEXT },      { "CREATED", "created", TABLE_AGE },
    { "DESTROYED", "destroyed", TABLE_AGE },
};

#define DELIVERY_OPTIONS                                                                           \
    { "env", "NAME", "delivered as this variable", false },                                        \
        { "path", "PATH", "delivered as this file in the instance", false },                       \
        { "mode", "OCTAL", "of the file; 0400", false },                                           \
        { "socket", NULL, "delivered over the agent's socket alone", false },                      \
        { "app", "APP", "bound to this app, or with APP/VERSION to one build of it", true },       \
        { "tee", "KIND", "only to sgx, tdx or snp", true },                                        \
        { "tcb", "STATUS", "only to platforms of this status, as UpToDate", true },                \
        { "location", "TEXT", "only to nodes that claim this location", true },                    \
    {                                                                                              \
        "emulated", "yes|no", "whether emulated platforms may have it: they protect nothing",      \
            false                                                                                  \
    }
#define VALUE_OPTIONS                                                                              \
    { "file", "FILE", "the value (\"-\", the default: standard input)", false },                   \
    {                                                                                              \
        "exact", NULL, "a line break at the value's end belongs to it", false                      \
    }
static const struct cli_option g_set_options[] = {
    VALUE_OPTIONS,
    { "template", NULL, "the value is a template (docs/secrets.md)", false },
    DELIVERY_OPTIONS,
};
static const struct cli_option g_import_options[] = {
    { "source", "NAME", "one of those that the server's administrator has named", false, true },
    { "from", "PATH", "of the value there", false, true },
    { "field", "NAME", "of the value there", false },
    DELIVERY_OPTIONS,
};
static const struct cli_option g_rotate_options[] = { VALUE_OPTIONS };

/* ---- bodies ---- */

/* The value's bytes, as base64url, from a file or standard input. */
static int add_value(json_t *body, const struct cli_call *call, struct err *err)
{
    const char *path = command_option(call, "file");
    struct file_bytes file;
    struct buffer b;
    uint8_t *text;
    size_t text_size;
    int rc = file_bytes_read(path && strcmp(path, "-") != 0 ? path : "/dev/stdin", VALUE_SIZE_MAX,
                             &file, err);

    if (rc < 0)
        return rc;
    if (!command_option(call, "exact") && file.size > 0 && file.data[file.size - 1] == '\n')
        file.size--;
    buffer_init(&b, 2 * VALUE_SIZE_MAX);
    base64url_add(&b, file.data, file.size);
    explicit_bzero(file.data, file.size);
    file_bytes_done(&file);
    rc = buffer_take(&b, &text, &text_size);
    if (rc < 0) {
        buffer_done(&b);
        return err_set_errno(err, rc, "the value");
    }
    json_object_set_new(body, "value", json_stringn((char *)text, text_size));
    explicit_bzero(text, text_size);
    free(text);
    return 0;
}

static int add_delivery(json_t *body, const struct cli_call *call, struct err *err)
{
    json_t *deliver = json_object();
    const char *env = command_option(call, "env"), *path = command_option(call, "path");
    bool is_socket = command_option(call, "socket") != NULL;
    int rc = 0;

    json_object_set_new(body, "deliver", deliver);
    if ((env != NULL) + (path != NULL) + is_socket > 1)
        return err_set(err, -EINVAL, "one of --env, --path and --socket is expected");
    if (env)
        rc = body_text(deliver, call, "env", "env");
    else if (path)
        rc = body_text(deliver, call, "path", "file");
    else
        json_object_set_new(deliver, is_socket ? "socket" : "none", json_true());
    if (rc == 0 && path)
        rc = body_text(deliver, call, "mode", "mode");
    return rc;
}

static int add_conditions(json_t *body, const struct cli_call *call, struct err *err)
{
    json_t *conditions = json_object();
    int rc = body_texts(conditions, call, "tee", "tee");

    if (rc == 0)
        rc = body_texts(conditions, call, "tcb", "tcb");
    if (rc == 0)
        rc = body_texts(conditions, call, "location", "locations");
    if (rc == 0)
        rc = body_bool(conditions, call, "emulated", "emulated", err);
    if (rc == 0 && json_object_size(conditions) > 0)
        json_object_set(body, "conditions", conditions);
    json_decref(conditions);
    return rc;
}

/* "APP" or "APP/VERSION" */
static json_t *binding(const char *text)
{
    const char *slash = strchr(text, '/');

    return slash ? json_pack("{s:s%,s:s}", "app", text, (size_t)(slash - text), "build", slash + 1)
                 : json_pack("{s:s}", "app", text);
}

static int add_bindings(json_t *body, const struct cli_call *call, struct err *err)
{
    json_t *list = json_array();

    for (unsigned i = 0; command_option_at(call, "app", i); i++) {
        json_t *one = binding(command_option_at(call, "app", i));

        if (!one) {
            json_decref(list);
            return err_set(err, -EINVAL, "--app is no text");
        }
        json_array_append_new(list, one);
    }
    json_object_set_new(body, "bindings", list);
    return 0;
}

/* Deliveries, conditions and bindings of a new secret. */
static int add_rules(json_t *body, const struct cli_call *call, struct err *err)
{
    int rc = add_delivery(body, call, err);

    if (rc == 0)
        rc = add_conditions(body, call, err);
    return rc < 0 ? rc : add_bindings(body, call, err);
}

/* ---- verbs ---- */

static int post(struct cli_call *call, const char *path, json_t *body, int rc, struct err *err)
{
    if (rc == 0)
        return remote_show(call, "POST", path, body, NULL);
    json_decref(body);
    return rc == -EINVAL ? command_usage(call, "%s", err->text[0] ? err->text : "no text")
                         : cli_fail(err, rc);
}

static int set(struct cli_call *call)
{
    json_t *body = json_pack("{s:s}", "name", call->arguments[0]);
    struct err err = { 0 };
    int rc = body ? add_rules(body, call, &err) : -EINVAL;

    if (rc == 0 && command_option(call, "template"))
        json_object_set_new(body, "template", json_true());
    if (rc == 0)
        rc = add_value(body, call, &err);
    return post(call, "/v1/secrets", body, rc, &err);
}

static int import(struct cli_call *call)
{
    json_t *body = json_pack("{s:s,s:{}}", "name", call->arguments[0], "import");
    json_t *from = json_object_get(body, "import");
    struct err err = { 0 };
    int rc = body ? add_rules(body, call, &err) : -EINVAL;

    if (rc == 0)
        rc = body_text(from, call, "source", "source");
    if (rc == 0)
        rc = body_text(from, call, "from", "path");
    if (rc == 0)
        rc = body_text(from, call, "field", "field");
    return post(call, "/v1/secrets", body, rc, &err);
}

static int rotate(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    json_t *body = json_object();
    struct err err = { 0 };
    int rc = add_value(body, call, &err);

    return post(call, remote_path(path, "/v1/secrets/{}/versions", call->arguments[0]), body, rc,
                &err);
}

static int list(struct cli_call *call)
{
    return remote_list(call, "/v1/secrets", REMOTE_TABLE(g_columns, "secrets"));
}

static int show(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "GET", remote_path(path, "/v1/secrets/{}", call->arguments[0]), NULL,
                       NULL);
}

static int versions(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_list(call, remote_path(path, "/v1/secrets/{}/versions", call->arguments[0]),
                       REMOTE_TABLE(g_version_columns, "versions"));
}

/* Whether a binding that the server shows, with ids, is the one that was typed; names were made ids before. */
static bool is_same(const json_t *a, const json_t *b)
{
    const char *build_a = json_string_value(json_object_get(a, "build"));
    const char *build_b = json_string_value(json_object_get(b, "build"));

    return json_equal(json_object_get(a, "app"), json_object_get(b, "app")) &&
           strcmp(build_a ? build_a : "", build_b ? build_b : "") == 0;
}

/* The binding with ids, so that it can be compared. */
static int resolve(struct remote *r, json_t *one)
{
    const char *app = json_string_value(json_object_get(one, "app"));
    const char *version = json_string_value(json_object_get(one, "build"));
    char path[REMOTE_PATH_SIZE];
    json_t *found = NULL, *builds = NULL, *build;
    size_t i;
    int rc = remote_call(r, "GET", remote_path(path, "/v1/apps/{}", app), NULL, &found);

    if (rc == 0 && version)
        rc = client_list(r->client, remote_path(path, "/v1/apps/{}/builds", app), &builds, &r->err);
    json_array_foreach(builds, i, build)
    {
        if (json_equal(json_object_get(build, "version"), json_object_get(one, "build"))) {
            json_object_set(one, "build", json_object_get(build, "id"));
            break;
        }
    }
    if (rc == 0)
        json_object_set(one, "app", json_object_get(found, "id"));
    json_decref(builds);
    json_decref(found);
    return rc;
}

static int change_bindings(struct cli_call *call, bool is_added)
{
    char path[REMOTE_PATH_SIZE];
    json_t *secret = NULL, *list = NULL, *one = binding(call->arguments[1]);
    struct remote r;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = one ? resolve(&r, one) : err_set(&r.err, -EINVAL, "the app is no text");
    if (rc == 0)
        rc = remote_call(&r, "GET", remote_path(path, "/v1/secrets/{}", call->arguments[0]), NULL,
                         &secret);
    if (rc == 0) {
        list = json_incref(json_object_get(secret, "bindings"));
        for (size_t i = json_array_size(list); i-- > 0;)
            if (is_same(json_array_get(list, i), one))
                json_array_remove(list, i);
        if (is_added)
            json_array_append(list, one);
        json_decref(TAKE_PTR(secret));
        rc =
            remote_call(&r, "PUT", remote_path(path, "/v1/secrets/{}/bindings", call->arguments[0]),
                        json_pack("{s:O}", "bindings", list), &secret);
    }
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(secret, stdout);
    else
        table_object_print(secret, stdout);
    json_decref(secret);
    json_decref(list);
    json_decref(one);
    remote_done(&r);
    return status;
}

static int bind_to(struct cli_call *call)
{
    return change_bindings(call, true);
}

static int unbind(struct cli_call *call)
{
    return change_bindings(call, false);
}

static int destroy(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    if (call->argument_count == 2)
        remote_path(path, "/v1/secrets/{}/versions/{}", call->arguments[0], call->arguments[1]);
    else
        remote_path(path, "/v1/secrets/{}", call->arguments[0]);
    return remote_show(call, "DELETE", path, NULL, "destroyed");
}

static const struct cli_verb g_verbs[] = {
    { "set", "NAME", "a new secret, its value from a file or standard input", set, 1, 1,
      CLI_OPTIONS(g_set_options) },
    { "import", "NAME", "a new secret from a source that the server knows", import, 1, 1,
      CLI_OPTIONS(g_import_options) },
    { "list", "", "secrets; never their values", list, 0, 0, NULL, 0 },
    { "show", "SECRET", "one secret; never its value", show, 1, 1, NULL, 0 },
    { "versions", "SECRET", "its versions", versions, 1, 1, NULL, 0 },
    { "bind", "SECRET APP[/VERSION]", "instances of the app get it", bind_to, 2, 2, NULL, 0 },
    { "unbind", "SECRET APP[/VERSION]", "they get it no more", unbind, 2, 2, NULL, 0 },
    { "rotate", "SECRET", "a new value; running instances get it within seconds", rotate, 1, 1,
      CLI_OPTIONS(g_rotate_options) },
    { "destroy", "SECRET [VERSION]", "wipe a version's value, or the secret with all of them",
      destroy, 1, 2, NULL, 0 },
};

const struct cli_command secret_command = {
    "secret", "secrets: values that attested instances get",
    "Values go in, and come out in attested instances alone: no command and no request shows one. "
    "An\n"
    "emulated platform gets a secret only with --emulated yes.",
    CLI_VERBS(g_verbs)
};
