/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche top`: a live view of the instances that fits the terminal, whatever its size: what needs somebody comes first, lines and columns that have no room are left out. Relying party side; what the server
 * says is cleaned (table.c).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/instance.h"
#include "cli/remote.h"

#define PAGE_MAX 500 /* rows that are asked for of one state */
#define ROWS_DEFAULT 24u
#define COLUMNS_DEFAULT 80u

static const struct table_column g_columns[] = {
    { "ID", "id", TABLE_TEXT },          { "APP", "app_name", TABLE_TEXT },
    { "NODE", "node_name", TABLE_TEXT }, { "STATE", "state", TABLE_TEXT },
    { "TCB", "tcb_status", TABLE_TEXT }, { "LEASE", "lease_until", TABLE_AGE },
    { "SEEN", "seen", TABLE_AGE },       { "REASON", "reason", TABLE_TEXT },
};
static const struct cli_option g_options[] = {
    { "interval", "TIME", "between two views; 2s", false },
    { "once", NULL, "one view, then end", false },
    { "all", NULL, "also instances that have ended", false },
};
/* Those that need somebody first. */
static const char *const g_states[] = { "unreachable", "stopping", "requested", "starting",
                                        "running",     "refused",  "revoked",   "stopped" };
#define LIVING 5u

struct view {
    struct remote *r;
    bool has_terminal; /* that can be cleared */
    unsigned rows, columns;
};

/* ---- what there is ---- */

/* "7 instances: 1 unreachable, 6 running" of the server's own count. */
static int counts_print(const struct view *v, unsigned state_count, FILE *out)
{
    json_t *fleet, *counts;
    json_int_t total = 0;
    const char *between = ": ";
    int rc = remote_call(v->r, "GET", "/v1/fleet", NULL, &fleet);

    if (rc < 0)
        return rc;
    counts = json_object_get(fleet, "instances");
    for (unsigned i = 0; i < state_count; i++)
        total += json_integer_value(json_object_get(counts, g_states[i]));
    fprintf(out, "%lld instances", (long long)total);
    for (unsigned i = 0; i < state_count; i++) {
        json_int_t count = json_integer_value(json_object_get(counts, g_states[i]));

        if (count > 0) {
            fprintf(out, "%s%lld %s", between, (long long)count, g_states[i]);
            between = ", ";
        }
    }
    fputs("\n\n", out);
    json_decref(fleet);
    return 0;
}

/* The first ones, at most `room` of them. */
static int items_get(const struct view *v, unsigned state_count, size_t room, json_t **ret)
{
    json_t *items = json_array(), *page;
    int rc = items ? 0 : -ENOMEM;

    for (unsigned i = 0; rc == 0 && i < state_count && json_array_size(items) < room; i++) {
        char path[REMOTE_PATH_SIZE] = "/v1/instances", limit[16];

        snprintf(limit, sizeof limit, "%zu", MIN((size_t)PAGE_MAX, room - json_array_size(items)));
        remote_query_add(path, "state", g_states[i]);
        remote_query_add(path, "limit", limit);
        rc = remote_call(v->r, "GET", path, NULL, &page);
        if (rc == 0) {
            json_array_extend(items, json_object_get(page, "items"));
            json_decref(page);
        }
    }
    if (rc == 0)
        rc = instances_name(v->r, items);
    if (rc < 0)
        json_decref(items);
    else
        *ret = items;
    return rc;
}

/* ---- the terminal ---- */

static void size_find(struct view *v)
{
    struct winsize size = { 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){ .ws_row = ROWS_DEFAULT, .ws_col = COLUMNS_DEFAULT };
    v->rows = size.ws_row;
    v->columns = size.ws_col;
}

/* A line as far as it fits; characters in UTF-8 count as one. */
static void line_put(const char *line, size_t size, unsigned columns)
{
    unsigned shown = 0;
    size_t i = 0;

    while (i < size && (shown < columns || ((uint8_t)line[i] & 0xc0) == 0x80))
        shown += ((uint8_t)line[i++] & 0xc0) != 0x80;
    fwrite(line, 1, i, stdout);
}

/* No more lines than there are, and none after the last, which would scroll. */
static void text_put(const struct view *v, const char *text)
{
    const char *end;

    printf("\033[H\033[J");
    for (unsigned i = 0; i < v->rows && *text; i++, text = end + (*end == '\n')) {
        end = text + strcspn(text, "\n");
        if (i)
            putchar('\n');
        line_put(text, (size_t)(end - text), v->columns);
    }
    fflush(stdout);
}

/* ---- views ---- */

static int live(struct view *v)
{
    unsigned state_count = command_option(v->r->call, "all") ? ARRAY_COUNT(g_states) : LIVING;
    char *text = NULL;
    size_t size;
    json_t *items;
    FILE *out;
    int rc;

    size_find(v);
    rc = items_get(v, state_count, v->rows, &items);
    if (rc < 0)
        return rc;
    out = open_memstream(&text, &size);
    if (out) {
        rc = counts_print(v, state_count, out);
        table_print(items, g_columns, ARRAY_COUNT(g_columns), "instances", out);
        fclose(out);
    }
    if (text && rc == 0)
        text_put(v, text);
    free(text);
    json_decref(items);
    return text ? rc : -ENOMEM;
}

static bool has_ended(const json_t *instance)
{
    const char *state = json_string_value(json_object_get(instance, "state"));

    for (unsigned i = LIVING; state && i < ARRAY_COUNT(g_states); i++)
        if (strcmp(state, g_states[i]) == 0)
            return true;
    return false;
}

/* All of them, for files, pipes, programs and terminals that only print. */
static int whole(struct view *v)
{
    bool is_all = command_option(v->r->call, "all") != NULL;
    json_t *items;
    int rc = instances_list(v->r, "/v1/instances", &items);

    if (rc < 0)
        return rc;
    for (size_t i = is_all ? 0 : json_array_size(items); i-- > 0;)
        if (has_ended(json_array_get(items, i)))
            json_array_remove(items, i);
    if (v->r->call->is_json) {
        json_dumpf(items, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        rc = counts_print(v, is_all ? ARRAY_COUNT(g_states) : LIVING, stdout);
        table_print(items, g_columns, ARRAY_COUNT(g_columns), "instances", stdout);
    }
    fflush(stdout);
    json_decref(items);
    return rc;
}

/* A new size ends the wait. */
static void resized(int number)
{
}

static bool can_clear(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && term && term[0] && strcmp(term, "dumb") != 0;
}

static int top(struct cli_call *call)
{
    struct remote r;
    struct view v = { .r = &r };
    struct sigaction action = { .sa_handler = resized };
    int64_t interval_s = 2;
    bool is_once = command_option(call, "once") != NULL;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = command_seconds(call, "interval", 1, 3600, &interval_s, &r.err);
    v.has_terminal = !is_once && !call->is_json && can_clear();
    if (v.has_terminal)
        sigaction(SIGWINCH, &action, NULL);
    while (rc == 0) {
        rc = v.has_terminal ? live(&v) : whole(&v);
        if (is_once || rc < 0)
            break;
        nanosleep(&(struct timespec){ .tv_sec = interval_s }, NULL);
    }
    if (rc < 0) {
        if (v.has_terminal)
            putchar('\n');
        status = remote_fail(&r, rc);
    }
    remote_done(&r);
    return status;
}

static const struct cli_verb g_verbs[] = {
    { "", "", "", top, 0, 0, CLI_OPTIONS(g_options) },
};
const struct cli_command top_command = {
    "top", "a live view of the instances",
    "Ends with Ctrl-C. On a terminal it shows as many as fit, unreachable ones first; else all.",
    CLI_VERBS(g_verbs)
};
