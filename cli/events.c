/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche events`: what happens, as it happens. Relying party side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/remote.h"

static const struct cli_option g_events_options[] = {
    { "kind", "KIND", "of this kind alone, as instance.started; \"instance.\" for all of instances",
      false },
    { "count", "N", "end after so many", false },
};

struct listen {
    const struct cli_call *call;
    const char *kind;
    int64_t count;
};

static int print_event(void *arg, const char *kind, const json_t *event)
{
    struct listen *l = arg;
    char time_text[32], object[64], data[512];
    const json_t *details;
    size_t len = l->kind ? strlen(l->kind) : 0;

    if (!event)
        return 0;
    if (l->kind && (l->kind[len - 1] == '.' ? strncmp(kind, l->kind, len) : strcmp(kind, l->kind)))
        return 0;
    if (l->call->is_json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        char clean[64];

        snprintf(clean, sizeof clean, "%.60s", kind);
        client_text_clean(clean);
        details = json_object_get(event, "data");
        printf("%s  %-24s %s  %s\n",
               table_text(json_object_get(event, "time"), time_text, sizeof time_text), clean,
               table_text(json_object_get(event, "object"), object, sizeof object),
               details && !json_is_null(details) ? table_text(details, data, sizeof data) : "");
    }
    fflush(stdout);
    return --l->count == 0;
}

static int events(struct cli_call *call)
{
    struct listen l = { .call = call, .kind = command_option(call, "kind"), .count = INT64_MAX };
    struct remote r;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0 && l.kind && !l.kind[0])
        rc = err_set(&r.err, -EINVAL, "--kind is empty");
    if (rc == 0)
        rc = command_number(call, "count", 1, 1000000, &l.count, &r.err);
    if (rc == 0)
        rc = client_events(r.client, "/v1/events", print_event, &l, &r.err);
    if (rc < 0)
        status = remote_fail(&r, rc);
    remote_done(&r);
    return status;
}

static const struct cli_verb g_events_verbs[] = {
    { "", "", "", events, 0, 0, CLI_OPTIONS(g_events_options) },
};
const struct cli_command events_command = {
    "events", "what happens to the organisation's objects, as it happens",
    "Prints a line for each event until Ctrl-C; after a lost connection it goes on where it was.",
    CLI_VERBS(g_events_verbs)
};
