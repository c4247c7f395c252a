/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche instance`: runs of builds on nodes. Relying party side. */
#include <string.h>

#include "cli/commands.h"
#include "cli/instance.h"
#include "cli/remote.h"

static const struct table_column g_columns[] = {
    { "ID", "id", TABLE_TEXT },
    { "APP", "app_name", TABLE_TEXT },
    { "NODE", "node_name", TABLE_TEXT },
    { "STATE", "state", TABLE_TEXT },
    { "TCB", "tcb_status", TABLE_TEXT },
    { "EMULATED", "emulated", TABLE_TEXT },
    { "LEASE", "lease_until", TABLE_AGE },
    { "SEEN", "seen", TABLE_AGE },
    { "REASON", "reason", TABLE_TEXT },
};
static const struct table_column g_history_columns[] = {
    { "TIME", "time", TABLE_TEXT },
    { "STATE", "state", TABLE_TEXT },
    { "EVIDENCE", "evidence_sha256", TABLE_SHORT },
    { "REASON", "reason", TABLE_TEXT },
};
static const struct cli_option g_start_options[] = {
    { "build", "VERSION", "version or id; else the newest that is allowed", false },
    { "node", "NODE", "else the ready one with the most room", false },
    { "replace", NULL, "of an app that is single: the instance that there is is stopped", false },
};
static const struct cli_option g_list_options[] = {
    { "app", "APP", "of this app alone", false },
    { "node", "NODE", "on this node alone", false },
    { "state", "STATE", "running, unreachable, stopped, refused, ...", false },
};
static const struct cli_option g_reason[] = {
    { "reason", "TEXT", "for the log and for the instance's owner", false },
};

static int start(struct cli_call *call)
{
    json_t *body = json_pack("{s:s}", "app", call->arguments[0]);
    int rc = body_text(body, call, "build", "build");

    if (rc == 0)
        rc = body_text(body, call, "node", "node");
    if (rc == 0 && command_option(call, "replace"))
        rc = json_object_set_new(body, "replace", json_true());
    if (rc < 0) {
        json_decref(body);
        return command_usage(call, "an argument is no text");
    }
    return remote_show(call, "POST", "/v1/instances", body, NULL);
}

/* id -> name of all objects of a list. */
static int names_read(struct remote *r, const char *path, json_t **ret)
{
    json_t *items, *item;
    size_t i;
    int rc = client_list(r->client, path, &items, &r->err);

    if (rc < 0)
        return rc;
    *ret = json_object();
    json_array_foreach(items, i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));

        if (id)
            json_object_set(*ret, id, json_object_get(item, "name"));
    }
    json_decref(items);
    return 0;
}

static void name_set(json_t *item, const char *member, const char *name, const json_t *names)
{
    const char *id = json_string_value(json_object_get(item, member));
    json_t *found = id ? json_object_get(names, id) : NULL;

    json_object_set(item, name, found ? found : json_object_get(item, member));
}

int instances_name(struct remote *r, json_t *items)
{
    json_t *apps = NULL, *nodes = NULL, *item;
    size_t i;
    int rc = names_read(r, "/v1/apps", &apps);

    if (rc == 0)
        rc = names_read(r, "/v1/nodes", &nodes);
    json_array_foreach(items, i, item)
    {
        name_set(item, "app", "app_name", apps);
        name_set(item, "node", "node_name", nodes);
    }
    json_decref(apps);
    json_decref(nodes);
    return rc;
}

int instances_list(struct remote *r, const char *path, json_t **ret)
{
    json_t *items = NULL;
    int rc = client_list(r->client, path, &items, &r->err);

    if (rc == 0)
        rc = instances_name(r, items);
    if (rc < 0)
        json_decref(items);
    else
        *ret = items;
    return rc;
}

static int list(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE] = "/v1/instances";
    struct remote r;
    json_t *items = NULL;
    int rc, status = CLI_EXIT_OK;

    remote_query_add(path, "app", command_option(call, "app"));
    remote_query_add(path, "node", command_option(call, "node"));
    remote_query_add(path, "state", command_option(call, "state"));
    rc = remote_open(&r, call);
    if (rc == 0)
        rc = instances_list(&r, path, &items);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(items, stdout);
    else
        table_print(items, g_columns, ARRAY_COUNT(g_columns), "instances", stdout);
    json_decref(items);
    remote_done(&r);
    return status;
}

static const struct table_column g_forecast_columns[] = {
    { "INSTANCE", "instance", TABLE_TEXT }, { "APP", "app_name", TABLE_TEXT },
    { "NODE", "node_name", TABLE_TEXT },    { "TCB", "tcb_status", TABLE_TEXT },
    { "FALLS", "until", TABLE_AGE },        { "AT", "until", TABLE_TEXT },
    { "REASON", "reason", TABLE_TEXT },
};
static const struct cli_option g_forecast_options[] = {
    { "until", "TIME", "until then; else 400 days: 2030-01-31 or +30d", false },
    { "patches", NULL, "only what an update of the platform's firmware prevents", false },
};

/* "2 nodes need a patch: rack-7 before 2027-05-13, ..." Sooner ones come first. */
static void print_patches(const json_t *items)
{
    json_t *nodes = json_object(), *item;
    const char *name;
    size_t i;

    json_array_foreach((json_t *)items, i, item)
    {
        name = json_string_value(json_object_get(item, "node_name"));
        if (!json_is_object(json_object_get(item, "recovery")))
            continue;
        name = name ? name : "(started by hand)";
        if (!json_object_get(nodes, name))
            json_object_set(nodes, name, json_object_get(item, "until"));
    }
    i = json_object_size(nodes);
    if (i)
        printf("\n%zu %s a patch: update firmware and microcode, then let its instances renew\n", i,
               i == 1 ? "node needs" : "nodes need");
    json_object_foreach(nodes, name, item)
    {
        char text[2][96];
        json_t *text_json = json_string(name);

        printf("  %s before %s\n", table_text(text_json, text[0], 96),
               table_text(item, text[1], 96));
        json_decref(text_json);
    }
    json_decref(nodes);
}

static int forecast(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE] = "/v1/fleet/forecast";
    struct remote r;
    json_t *items = NULL, *times = json_object();
    struct err err = { 0 };
    int status = CLI_EXIT_OK, rc = body_time(times, call, "until", "until", &err);

    if (rc < 0) {
        json_decref(times);
        return command_usage(call, "%s", err.text);
    }
    remote_query_add(path, "until", json_string_value(json_object_get(times, "until")));
    remote_query_add(path, "cause", command_option(call, "patches") ? "tcb-recovery" : NULL);
    rc = remote_open(&r, call);
    if (rc == 0)
        rc = instances_list(&r, path, &items);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else if (call->is_json) {
        table_json_print(items, stdout);
    } else {
        table_print(items, g_forecast_columns, ARRAY_COUNT(g_forecast_columns),
                    "instances that stop being accepted", stdout);
        print_patches(items);
    }
    json_decref(items);
    json_decref(times);
    remote_done(&r);
    return status;
}

static int show(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "GET", remote_path(path, "/v1/instances/{}", call->arguments[0]), NULL,
                       NULL);
}

static int history(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_list(call, remote_path(path, "/v1/instances/{}/history", call->arguments[0]),
                       REMOTE_TABLE(g_history_columns, "history"));
}

static int stop(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    json_t *body = json_object();

    if (body_text(body, call, "reason", "reason") < 0) {
        json_decref(body);
        return command_usage(call, "the reason is no text");
    }
    return remote_show(call, "POST", remote_path(path, "/v1/instances/{}/stop", call->arguments[0]),
                       body, NULL);
}

static int revoke(struct cli_call *call)
{
    return revoke_run(call, "instance", call->arguments[0]);
}

static const struct cli_verb g_verbs[] = {
    { "start", "APP", "run an app on a node", start, 1, 1, CLI_OPTIONS(g_start_options) },
    { "list", "", "instances", list, 0, 0, CLI_OPTIONS(g_list_options) },
    { "show", "INSTANCE", "one instance: state, evidence's appraisal, lease", show, 1, 1, NULL, 0 },
    { "history", "INSTANCE", "what it went through", history, 1, 1, NULL, 0 },
    { "forecast", "", "which instances stop being accepted, and when", forecast, 0, 0,
      CLI_OPTIONS(g_forecast_options) },
    { "stop", "INSTANCE", "stop it: SIGTERM, grace, SIGKILL", stop, 1, 1, CLI_OPTIONS(g_reason) },
    { "revoke", "INSTANCE", "stop it and give it no keys any more", revoke, 1, 1,
      CLI_OPTIONS(g_reason) },
};

const struct cli_command instance_command = {
    "instance", "instances: attested runs of apps",
    "An instance is one run of a build on a node. It gets its certificate and secrets after its "
    "evidence has\n"
    "been accepted, and again with fresh evidence before its lease ends.",
    CLI_VERBS(g_verbs)
};
