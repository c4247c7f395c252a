/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche rollout`: a new build takes an old one's place until a date. Relying party side. */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/remote.h"

static const struct table_column g_columns[] = {
    { "ID", "id", TABLE_TEXT },
    { "APP", "app", TABLE_TEXT },
    { "NEW", "build", TABLE_TEXT },
    { "OLD", "old_build", TABLE_TEXT },
    { "FROM", "deprecated_from", TABLE_AGE },
    { "END", "end", TABLE_AGE },
    { "STATE", "state", TABLE_TEXT },
};
static const struct table_column g_instance_columns[] = {
    { "INSTANCE", "id", TABLE_TEXT },   { "BUILD", "build", TABLE_TEXT },
    { "NODE", "node", TABLE_TEXT },     { "STATE", "state", TABLE_TEXT },
    { "WANTED", "wanted", TABLE_TEXT },
};
static const struct cli_option g_start_options[] = {
    { "new", "BUILD", "version or id of the build that comes", false, true },
    { "old", "BUILD", "version or id of the build that goes", false, true },
    { "from", "TIME", "when the old one is deprecated; else now", false },
    { "end", "TIME", "when what is left of the old one is stopped: 2030-01-31 or +7d", false,
      true },
};

static int start(struct cli_call *call)
{
    json_t *body = json_pack("{s:s}", "app", call->arguments[0]);
    struct err err = { 0 };
    int rc = body_text(body, call, "new", "build");

    if (rc == 0)
        rc = body_text(body, call, "old", "old_build");
    if (rc == 0)
        rc = body_time(body, call, "from", "deprecated_from", &err);
    if (rc == 0)
        rc = body_time(body, call, "end", "end", &err);
    if (rc < 0) {
        json_decref(body);
        return command_usage(call, "%s", err.text[0] ? err.text : "an argument is no text");
    }
    return remote_show(call, "POST", "/v1/rollouts", body, NULL);
}

static int list(struct cli_call *call)
{
    return remote_list(call, "/v1/rollouts", REMOTE_TABLE(g_columns, "rollouts"));
}

static int status(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    struct remote r;
    json_t *rollout = NULL;
    int result = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = remote_call(&r, "GET", remote_path(path, "/v1/rollouts/{}", call->arguments[0]), NULL,
                         &rollout);
    if (rc < 0) {
        result = remote_fail(&r, rc);
    } else if (call->is_json) {
        table_json_print(rollout, stdout);
    } else {
        json_t *instances = json_incref(json_object_get(rollout, "instances"));

        json_object_del(rollout, "instances");
        table_object_print(rollout, stdout);
        putchar('\n');
        table_print(instances, g_instance_columns, ARRAY_COUNT(g_instance_columns), "instances",
                    stdout);
        json_decref(instances);
    }
    json_decref(rollout);
    remote_done(&r);
    return result;
}

static int finish(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "POST", remote_path(path, "/v1/rollouts/{}/force", call->arguments[0]),
                       NULL, NULL);
}

static int cancel(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "POST",
                       remote_path(path, "/v1/rollouts/{}/cancel", call->arguments[0]), NULL, NULL);
}

static const struct cli_verb g_verbs[] = {
    { "start", "APP", "a new build takes an old one's place", start, 1, 1,
      CLI_OPTIONS(g_start_options) },
    { "list", "", "rollouts", list, 0, 0, NULL, 0 },
    { "status", "ROLLOUT", "what runs of both builds, and what is left", status, 1, 1, NULL, 0 },
    { "finish", "ROLLOUT", "its end is now: what is left of the old build is stopped", finish, 1, 1,
      NULL, 0 },
    { "cancel", "ROLLOUT", "the old build is allowed again, without an end", cancel, 1, 1, NULL,
      0 },
};

const struct cli_command rollout_command = { "rollout", "rollouts: from one build to the next",
                                             NULL, CLI_VERBS(g_verbs) };
