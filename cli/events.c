/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche events` and `cloche top`: what happens, as it happens. Relying party side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/instance.h"
#include "cli/remote.h"

/* ---- events ---- */

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

/* ---- top ---- */

static const struct table_column g_top_columns[] = {
    { "ID", "id", TABLE_TEXT },          { "APP", "app_name", TABLE_TEXT },
    { "NODE", "node_name", TABLE_TEXT }, { "STATE", "state", TABLE_TEXT },
    { "TCB", "tcb_status", TABLE_TEXT }, { "LEASE", "lease_until", TABLE_AGE },
    { "SEEN", "seen", TABLE_AGE },       { "REASON", "reason", TABLE_TEXT },
};
static const struct cli_option g_top_options[] = {
    { "interval", "TIME", "between two views; 2s", false },
    { "once", NULL, "one view, then end", false },
    { "all", NULL, "also instances that have ended", false },
};

static bool has_ended(const json_t *instance)
{
    static const char *const states[] = { "stopped", "refused", "revoked" };
    const char *state = json_string_value(json_object_get(instance, "state"));

    for (unsigned i = 0; state && i < ARRAY_COUNT(states); i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

/* "7 instances: 5 running, 1 unreachable, 1 refused" */
static void print_counts(const json_t *items)
{
    json_t *counts = json_object(), *item;
    const char *state;
    size_t i;

    json_array_foreach((json_t *)items, i, item)
    {
        state = json_string_value(json_object_get(item, "state"));
        if (state)
            json_object_set_new(
                counts, state,
                json_integer(json_integer_value(json_object_get(counts, state)) + 1));
    }
    printf("%zu instances", json_array_size(items));
    i = 0;
    json_object_foreach(counts, state, item)
        printf("%s%lld %s", i++ ? ", " : ": ", (long long)json_integer_value(item), state);
    printf("\n\n");
    json_decref(counts);
}

/* As many rows as the terminal shows. */
static void cut_to_terminal(json_t *items)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 8)
        return;
    while (json_array_size(items) > (size_t)size.ws_row - 5)
        json_array_remove(items, json_array_size(items) - 1);
}

static int view(struct remote *r, bool is_live)
{
    json_t *items;
    int rc = instances_list(r, "/v1/instances", &items);

    if (rc < 0)
        return rc;
    if (!command_option(r->call, "all"))
        for (size_t i = json_array_size(items); i-- > 0;)
            if (has_ended(json_array_get(items, i)))
                json_array_remove(items, i);
    if (r->call->is_json) {
        json_dumpf(items, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        if (is_live)
            printf("\033[H\033[J");
        print_counts(items);
        if (is_live)
            cut_to_terminal(items);
        table_print(items, g_top_columns, ARRAY_COUNT(g_top_columns), "instances", stdout);
    }
    fflush(stdout);
    json_decref(items);
    return 0;
}

static int top(struct cli_call *call)
{
    struct remote r;
    int64_t interval_s = 2;
    bool is_once = command_option(call, "once") != NULL;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = command_seconds(call, "interval", 1, 3600, &interval_s, &r.err);
    while (rc == 0) {
        rc = view(&r, !is_once && isatty(STDOUT_FILENO));
        if (is_once)
            break;
        nanosleep(&(struct timespec){ .tv_sec = interval_s }, NULL);
    }
    if (rc < 0)
        status = remote_fail(&r, rc);
    remote_done(&r);
    return status;
}

static const struct cli_verb g_top_verbs[] = {
    { "", "", "", top, 0, 0, CLI_OPTIONS(g_top_options) },
};
const struct cli_command top_command = { "top", "a live view of the instances", "Ends with Ctrl-C.",
                                         CLI_VERBS(g_top_verbs) };
