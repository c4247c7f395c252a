/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche build list|show|push|allow|deprecate|revoke`: builds of apps at the control plane (`cloche build SOURCE` seals one: build.c). Relying party side. */
#include "cli/builds.h"

#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/push.h"
#include "cli/remote.h"

static const struct table_column g_columns[] = {
    { "VERSION", "version", TABLE_TEXT },      { "ID", "id", TABLE_TEXT },
    { "STATE", "state", TABLE_TEXT },          { "APP DIGEST", "app_digest", TABLE_SHORT },
    { "MRENCLAVE", "mrenclave", TABLE_SHORT }, { "UNTIL", "deprecated_until", TABLE_AGE },
    { "CREATED", "created", TABLE_AGE },
};
static const struct cli_option g_push_options[] = {
    { "version", "TEXT", "of the build; else the first characters of its digest", false },
    { "image", "PLACE", "where nodes get it: an OCI reference or a path; else IMAGE's path",
      false },
};
static const struct cli_option g_deprecate_options[] = {
    { "from", "TIME", "2030-01-31 or +7d; else now", false },
    { "until", "TIME", "no instance of it runs longer", false },
};
static const struct cli_option g_revoke_options[] = {
    { "reason", "TEXT", "for the log and for the instances' owners", false },
};

/* In a list of builds, the one with this version. */
static int find_version(struct remote *r, const char *app, const char *version, char ret[64])
{
    char path[REMOTE_PATH_SIZE];
    json_t *items, *item;
    size_t i;
    int rc = client_list(r->client, remote_path(path, "/v1/apps/{}/builds", app), &items, &r->err);

    if (rc < 0)
        return rc;
    rc = -ENOENT;
    json_array_foreach(items, i, item)
    {
        const char *has = json_string_value(json_object_get(item, "version"));
        const char *id = json_string_value(json_object_get(item, "id"));

        if (has && id && strcmp(has, version) == 0 && strlen(id) < 64) {
            memcpy(ret, id, strlen(id) + 1);
            rc = 0;
        }
    }
    json_decref(items);
    return rc < 0 ? err_set(&r->err, rc, "%s has no build %s: `cloche build list %s`", app, version,
                            app)
                  : 0;
}

int builds_find(struct remote *r, const char *text, char ret[64])
{
    const char *slash = strchr(text, '/');
    char app[64];

    if (!slash) {
        if (strlen(text) >= 64)
            return err_set(&r->err, -EINVAL, "\"%.70s\" is no build", text);
        memcpy(ret, text, strlen(text) + 1);
        return 0;
    }
    if ((size_t)(slash - text) >= sizeof app)
        return err_set(&r->err, -EINVAL, "\"%.70s\" is no build", text);
    memcpy(app, text, (size_t)(slash - text));
    app[slash - text] = 0;
    return find_version(r, app, slash + 1, ret);
}

static int list(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_list(call, remote_path(path, "/v1/apps/{}/builds", call->arguments[0]),
                       REMOTE_TABLE(g_columns, "builds"));
}

/* A request about one build, whose answer is printed. */
static int ask(struct cli_call *call, const char *method, const char *template, json_t *body)
{
    char path[REMOTE_PATH_SIZE], id[64];
    struct remote r;
    json_t *answer = NULL;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = builds_find(&r, call->arguments[0], id);
    if (rc == 0)
        rc = remote_call(&r, method, remote_path(path, template, id), json_incref(body), &answer);
    json_decref(body);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(answer, stdout);
    else
        table_object_print(answer, stdout);
    json_decref(answer);
    remote_done(&r);
    return status;
}

static int show(struct cli_call *call)
{
    return ask(call, "GET", "/v1/builds/{}", NULL);
}

void builds_pushed_print(const json_t *build, bool is_json)
{
    char text[256];

    if (is_json) {
        table_json_print(build, stdout);
        return;
    }
    printf("proposed    build %s",
           table_text(json_object_get(build, "version"), text, sizeof text));
    printf(" (%s)\n", table_text(json_object_get(build, "id"), text, sizeof text));
    printf("now         cloche approve %s\n",
           table_text(json_object_get(build, "id"), text, sizeof text));
}

static int push(struct cli_call *call)
{
    struct push p = { .app = call->arguments[0],
                      .image = call->arguments[1],
                      .version = command_option(call, "version"),
                      .where = command_option(call, "image") };
    struct remote r;
    json_t *build = NULL;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = push_build(&r, &p, &build);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else
        builds_pushed_print(build, call->is_json);
    json_decref(build);
    remote_done(&r);
    return status;
}

static int deprecate(struct cli_call *call)
{
    json_t *body = json_object();
    struct err err = { 0 };
    int rc = body_time(body, call, "from", "from", &err);

    if (rc == 0)
        rc = body_time(body, call, "until", "until", &err);
    if (rc < 0) {
        json_decref(body);
        return command_usage(call, "%s", err.text);
    }
    return ask(call, "POST", "/v1/builds/{}/deprecate", body);
}

static int revoke(struct cli_call *call)
{
    char id[64];
    struct remote r;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = builds_find(&r, call->arguments[0], id);
    if (rc < 0)
        status = remote_fail(&r, rc);
    remote_done(&r);
    return rc < 0 ? status : revoke_run(call, "build", id);
}

static const struct cli_verb g_verbs[] = {
    { "list", "APP", "builds of an app", list, 1, 1, NULL, 0 },
    { "show", "BUILD", "one build, with its descriptor", show, 1, 1, NULL, 0 },
    { "push", "APP IMAGE", "propose a sealed image as a build", push, 2, 2,
      CLI_OPTIONS(g_push_options) },
    { "allow", "BUILD", "approve it with your key: the same as `cloche approve`", approve_run, 1, 1,
      approve_options, 4 },
    { "deprecate", "BUILD", "still runs, until a date", deprecate, 1, 1,
      CLI_OPTIONS(g_deprecate_options) },
    { "revoke", "BUILD", "stop its instances and give it no keys any more", revoke, 1, 1,
      CLI_OPTIONS(g_revoke_options) },
};

const struct cli_command build_command = {
    "build", "builds of apps at the control plane",
    "A build is a sealed image's identity. BUILD is an id, or APP/VERSION. (`cloche build SOURCE "
    "-o IMAGE`\n"
    "seals an image; a SOURCE with the name of a verb is written ./list.)",
    CLI_VERBS(g_verbs)
};

bool builds_is_verb(const char *word)
{
    for (unsigned i = 0; i < ARRAY_COUNT(g_verbs); i++)
        if (strcmp(g_verbs[i].name, word) == 0)
            return true;
    return false;
}
