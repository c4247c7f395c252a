/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche org`: what holds for all of the organisation. Relying party side. */
#include <errno.h>

#include "cli/commands.h"
#include "cli/remote.h"

static const struct cli_option g_set_options[] = {
    { "title", "TEXT", "its name for people; \"\": none", false },
    { "session", "TIME", "how long a login lasts: 5m to 7d", false },
    { "token-lifetime", "TIME", "how long an API token may last: 1h to 366d", false },
};

static int show(struct cli_call *call)
{
    return remote_show(call, "GET", "/v1/org", NULL, NULL);
}

static int set(struct cli_call *call)
{
    json_t *body = json_object();
    struct err err = { 0 };
    int rc = body_text(body, call, "title", "title");

    if (rc == 0)
        rc = body_seconds(body, call, "session", "session_s", 300, 7 * 86400, &err);
    if (rc == 0)
        rc = body_seconds(body, call, "token-lifetime", "token_s", 3600, 366 * 86400, &err);
    if (rc == 0 && json_object_size(body) == 0)
        rc = err_set(&err, -EINVAL, "nothing is to be set");
    if (rc < 0) {
        json_decref(body);
        return command_usage(call, "%s", err.text);
    }
    return remote_show(call, "PATCH", "/v1/org", body, NULL);
}

static const struct cli_verb g_verbs[] = {
    { "show", "", "name, approvals that are needed, settings", show, 0, 0, NULL, 0 },
    { "set", "", "change settings", set, 0, 0, CLI_OPTIONS(g_set_options) },
};

const struct cli_command org_command = {
    "org", "the organisation and its settings",
    "How many approvals are needed: `cloche key needed`. The policy that holds where an app has "
    "none: `cloche policy`.",
    CLI_VERBS(g_verbs)
};
