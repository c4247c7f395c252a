/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche audit`: the control plane's record of who did what. Relying party side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/audit_verify.h"
#include "cli/commands.h"
#include "cli/remote.h"

static const struct table_column g_columns[] = {
    { "NUMBER", "number", TABLE_TEXT },       { "TIME", "time", TABLE_TEXT },
    { "ACTOR", "entry/actor", TABLE_TEXT },   { "ACTION", "entry/action", TABLE_TEXT },
    { "OBJECT", "entry/object", TABLE_TEXT }, { "DECISION", "entry/decision", TABLE_TEXT },
    { "DETAIL", "entry/detail", TABLE_TEXT },
};
static const struct cli_option g_list_options[] = {
    { "action", "ACTION", "of this action alone, as secret.release", false },
    { "object", "ID", "about this object alone", false },
    { "actor", "ID", "by this user, token or instance alone", false },
};
static const struct cli_option g_export_options[] = {
    { "output", "FILE", "where to write; else standard output", false },
};

static int list(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE] = "/v1/audit";

    remote_query_add(path, "action", command_option(call, "action"));
    remote_query_add(path, "object", command_option(call, "object"));
    remote_query_add(path, "actor", command_option(call, "actor"));
    return remote_list(call, path, REMOTE_TABLE(g_columns, "entries"));
}

/* Writes all lines; each request gives as many as the server likes. */
static int write_lines(struct remote *r, FILE *out)
{
    unsigned long long from = 0;

    for (;;) {
        unsigned long long lines = 0;
        char path[128];
        char *text;
        size_t size;
        bool is_written;
        int rc;

        snprintf(path, sizeof path, "/v1/audit/export?from=%llu", from);
        rc = client_text(r->client, path, &text, &size, &r->err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < size; i++)
            lines += text[i] == '\n';
        is_written = fwrite(text, 1, size, out) == size;
        free(text);
        if (!is_written)
            return err_set_errno(&r->err, -errno, "cannot write the log");
        if (lines == 0)
            return 0;
        from += lines;
    }
}

static int export(struct cli_call *call)
{
    const char *path = command_option(call, "output");
    struct remote r;
    FILE *out = stdout;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0 && path) {
        out = fopen(path, "we");
        rc = out ? 0 : err_set_errno(&r.err, -errno, "cannot write %s", path);
    }
    if (rc == 0)
        rc = write_lines(&r, out);
    if (out && out != stdout && fclose(out) != 0 && rc == 0)
        rc = err_set_errno(&r.err, -errno, "cannot write %s", path);
    if (rc < 0)
        status = remote_fail(&r, rc);
    remote_done(&r);
    return status;
}

static int checkpoint(struct cli_call *call)
{
    return remote_show(call, "GET", "/v1/audit/checkpoint", NULL, NULL);
}

static void print_report(const json_t *report)
{
    static const struct table_column builds[] = {
        { "BUILD", "id", TABLE_TEXT },
        { "VERSION", "version", TABLE_TEXT },
        { "STATE", "state", TABLE_TEXT },
        { "APP DIGEST", "app_digest", TABLE_TEXT },
        { "INSTANCES", "instances", TABLE_TEXT },
    };
    static const struct table_column instances[] = {
        { "INSTANCE", "id", TABLE_TEXT },     { "BUILD", "build", TABLE_TEXT },
        { "NODE", "node", TABLE_TEXT },       { "STATE", "state", TABLE_TEXT },
        { "TCB", "tcb_status", TABLE_TEXT },  { "EMULATED", "emulated", TABLE_TEXT },
        { "CREATED", "created", TABLE_TEXT },
    };
    static const struct table_column history[] = {
        { "INSTANCE", "instance", TABLE_TEXT }, { "TIME", "time", TABLE_TEXT },
        { "STATE", "state", TABLE_TEXT },       { "EVIDENCE", "evidence_sha256", TABLE_SHORT },
        { "REASON", "reason", TABLE_TEXT },
    };
    static const struct table_column releases[] = {
        { "ENTRY", "number", TABLE_TEXT },  { "TIME", "time", TABLE_TEXT },
        { "SECRET", "secret", TABLE_TEXT }, { "VERSION", "version", TABLE_TEXT },
        { "TO", "instance", TABLE_TEXT },   { "DECISION", "decision", TABLE_TEXT },
    };
    const struct {
        const char *member, *title;
        struct remote_table table;
    } parts[] = {
        { "builds", "Builds", REMOTE_TABLE(builds, "builds") },
        { "instances", "What ran where", REMOTE_TABLE(instances, "instances") },
        { "history", "On what evidence", REMOTE_TABLE(history, "history") },
        { "releases", "Which secrets were released to whom", REMOTE_TABLE(releases, "releases") },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++) {
        printf("%s%s\n", i ? "\n" : "", parts[i].title);
        table_print(json_object_get(report, parts[i].member), parts[i].table.columns,
                    parts[i].table.count, parts[i].table.what, stdout);
    }
}

/* Parts of which the report has the first page alone are asked for whole. */
static int complete_report(struct remote *r, const char *app, json_t *report)
{
    static const char *const parts[] = { "builds", "instances", "history", "releases" };
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < ARRAY_COUNT(parts); i++) {
        char path[REMOTE_PATH_SIZE];
        json_t *items = NULL;

        if (!json_is_string(json_object_get(json_object_get(report, "next"), parts[i])))
            continue;
        remote_path(path, "/v1/audit/report/{}", parts[i]);
        remote_query_add(path, "app", app);
        rc = client_list(r->client, path, &items, &r->err);
        if (rc == 0 && json_object_set_new(report, parts[i], items) < 0)
            rc = -ENOMEM;
    }
    json_object_del(report, "next");
    return rc;
}

static int report(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE] = "/v1/audit/report";
    struct remote r;
    json_t *answer = NULL;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    remote_query_add(path, "app", call->arguments[0]);
    if (rc == 0)
        rc = remote_call(&r, "GET", path, NULL, &answer);
    if (rc == 0)
        rc = complete_report(&r, call->arguments[0], answer);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(answer, stdout);
    else
        print_report(answer);
    json_decref(answer);
    remote_done(&r);
    return status;
}

static int integrity(struct cli_call *call)
{
    struct remote r;
    json_t *answer = NULL, *forged;
    static const struct table_column columns[] = {
        { "TABLE", "table", TABLE_TEXT },
        { "ID", "id", TABLE_TEXT },
        { "WHAT", "what", TABLE_TEXT },
    };
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = remote_call(&r, "GET", "/v1/integrity", NULL, &answer);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else {
        forged = json_object_get(answer, "forged");
        if (json_array_size(forged))
            status = CLI_EXIT_REFUSED;
        if (call->is_json)
            table_json_print(answer, stdout);
        else
            printf("%lld rows checked\n",
                   (long long)json_integer_value(json_object_get(answer, "checked")));
        if (!call->is_json)
            table_print(forged, columns, ARRAY_COUNT(columns), "forged rows", stdout);
    }
    json_decref(answer);
    remote_done(&r);
    return status;
}

static const struct cli_verb g_verbs[] = {
    { "list", "", "entries", list, 0, 0, CLI_OPTIONS(g_list_options) },
    { "export", "", "the whole log as JSON lines; of other organisations' entries the hashes",
      export, 0, 0, CLI_OPTIONS(g_export_options) },
    { "checkpoint", "", "the log's signed head", checkpoint, 0, 0, NULL, 0 },
    { "verify", "", "check the whole log, and that it goes on from what was seen last time",
      audit_verify_run, 0, 0, audit_verify_options, 3 },
    { "report", "APP", "for an auditor: builds, what ran where on what evidence, secrets released",
      report, 1, 1, NULL, 0 },
    { "integrity", "", "whether rows of the server's database were forged", integrity, 0, 0, NULL,
      0 },
};

const struct cli_command audit_command = {
    "audit", "the record of who did what",
    "The log is append-only: a Merkle tree (RFC 6962) whose head the server signs. `verify` "
    "computes the tree\n"
    "anew from the entries, compares it with the signed head and with the one that it remembers "
    "from last\n"
    "time in ~/.config/cloche/audit-CONTEXT.json; status 3 when it does not hold.",
    CLI_VERBS(g_verbs)
};
