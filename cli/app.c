/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche app`: apps of the organisation. Relying party side. */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/remote.h"

static const struct table_column g_columns[] = {
    { "NAME", "name", TABLE_TEXT },      { "ID", "id", TABLE_TEXT },
    { "LEASE", "lease_s", TABLE_TEXT },  { "SINGLE", "single", TABLE_TEXT },
    { "POLICY", "policy", TABLE_TEXT },  { "REVOKED", "revoked", TABLE_AGE },
    { "CREATED", "created", TABLE_AGE },
};

static const struct cli_option g_settings[] = {
    { "dns-name", "NAME", "a name in its certificates; \"\" alone: none", true },
    { "lease", "TIME", "how long keys may be used without asking anew: 60s to 24h", false },
    { "certificate", "TIME", "lifetime of certificates: 10m to 24h", false },
    { "grace", "TIME", "between SIGTERM and SIGKILL when it is stopped", false },
    { "single", "yes|no", "at most one instance at a time", false },
    { "policy", "NAME", "its own appraisal policy; \"\": the organisation's", false },
};
static const struct cli_option g_reason[] = {
    { "reason", "TEXT", "for the log and for the instances' owners", false },
};

static int add_settings(json_t *body, const struct cli_call *call, struct err *err)
{
    const char *policy = command_option(call, "policy");
    int rc = body_texts(body, call, "dns-name", "dns_names");

    if (rc == 0)
        rc = body_seconds(body, call, "lease", "lease_s", 60, 86400, err);
    if (rc == 0)
        rc = body_seconds(body, call, "certificate", "certificate_s", 600, 86400, err);
    if (rc == 0)
        rc = body_seconds(body, call, "grace", "grace_s", 0, 600, err);
    if (rc == 0)
        rc = body_bool(body, call, "single", "single", err);
    if (rc == 0 && policy && policy[0])
        rc = body_text(body, call, "policy", "policy");
    else if (rc == 0 && policy)
        json_object_set_new(body, "policy", json_null());
    return rc;
}

static int create(struct cli_call *call)
{
    json_t *body = json_pack("{s:s}", "name", call->arguments[0]);
    struct err err = { 0 };
    int rc = body ? add_settings(body, call, &err) : -EINVAL;

    if (rc < 0) {
        json_decref(body);
        return command_usage(call, "%s", err.text[0] ? err.text : "the name is no text");
    }
    return remote_show(call, "POST", "/v1/apps", body, NULL);
}

static int list(struct cli_call *call)
{
    return remote_list(call, "/v1/apps", REMOTE_TABLE(g_columns, "apps"));
}

static int show(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "GET", remote_path(path, "/v1/apps/{}", call->arguments[0]), NULL,
                       NULL);
}

static int set(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    json_t *body = json_object();
    struct err err = { 0 };
    int rc = add_settings(body, call, &err);

    if (rc == 0 && json_object_size(body) == 0)
        rc = err_set(&err, -EINVAL, "nothing is to be set");
    if (rc < 0) {
        json_decref(body);
        return command_usage(call, "%s", err.text);
    }
    return remote_show(call, "PATCH", remote_path(path, "/v1/apps/{}", call->arguments[0]), body,
                       NULL);
}

static int revoke(struct cli_call *call)
{
    return revoke_run(call, "app", call->arguments[0]);
}

static const struct cli_verb g_verbs[] = {
    { "create", "NAME", "register an app", create, 1, 1, CLI_OPTIONS(g_settings) },
    { "list", "", "all apps", list, 0, 0, NULL, 0 },
    { "show", "APP", "one app", show, 1, 1, NULL, 0 },
    { "set", "APP", "change its settings", set, 1, 1, CLI_OPTIONS(g_settings) },
    { "revoke", "APP", "stop all its instances and give it no keys any more", revoke, 1, 1,
      CLI_OPTIONS(g_reason) },
};

const struct cli_command app_command = {
    "app", "apps: what is run, for whom",
    "An app is what your organisation runs: a name, its DNS names, how long its instances may use "
    "keys\n"
    "without proving anew what they are. APP is its name or its id.",
    CLI_VERBS(g_verbs)
};
