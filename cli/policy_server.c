/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche policy` at the control plane: versions of a policy, what one would change, putting it in force. Relying party side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/file.h"
#include "cli/remote.h"

#define POLICY_SIZE_MAX 262144u

static const struct table_column g_columns[] = {
    { "NAME", "name", TABLE_TEXT },        { "ID", "id", TABLE_TEXT },
    { "IN FORCE", "version", TABLE_TEXT }, { "NEWEST", "newest", TABLE_TEXT },
    { "DEFAULT", "default", TABLE_TEXT },  { "APPS", "apps", TABLE_COUNT },
    { "CREATED", "created", TABLE_AGE },
};
static const struct table_column g_version_columns[] = {
    { "VERSION", "version", TABLE_TEXT },
    { "IN FORCE", "in_force", TABLE_TEXT },
    { "CREATED", "created", TABLE_AGE },
    { "BY", "created_by", TABLE_TEXT },
};
static const struct table_column g_change_columns[] = {
    { "EFFECT", "effect", TABLE_TEXT },
    { "MEMBER", "member", TABLE_TEXT },
    { "WHAT", "text", TABLE_TEXT },
};
static const struct table_column g_tried_columns[] = {
    { "INSTANCE", "id", TABLE_TEXT },  { "APP", "app", TABLE_TEXT },
    { "NOW", "now", TABLE_TEXT },      { "THEN", "then", TABLE_TEXT },
    { "STEP", "step", TABLE_TEXT },    { "EXPECTED", "expected", TABLE_TEXT },
    { "FOUND", "actual", TABLE_TEXT }, { "FALLS", "until", TABLE_AGE },
};
static const struct cli_option g_try_options[] = {
    { "version", "NUMBER", "this version; else the newest", false },
    { "file", "FILE", "a policy that is not at the server yet", false },
    { "at", "TIME", "judge as of this time: 2030-01-31 or +30d", false },
};
static const struct cli_option g_activate_options[] = {
    { "version", "NUMBER", "else the newest", false },
    { "default", NULL, "also for all apps without a policy of their own", false },
};

/* Adds the text of a policy file. */
static int add_text(json_t *body, const char *path, struct err *err)
{
    struct file_bytes file;
    int rc = file_bytes_read(path, POLICY_SIZE_MAX, &file, err);

    if (rc < 0)
        return rc;
    if (json_object_set_new(body, "text", json_stringn((char *)file.data, file.size)) < 0)
        rc = err_set(err, -EBADMSG, "%s is no text", path);
    file_bytes_done(&file);
    return rc;
}

static int list(struct cli_call *call)
{
    return remote_list(call, "/v1/policies", REMOTE_TABLE(g_columns, "policies"));
}

static int show(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, "GET", remote_path(path, "/v1/policies/{}", call->arguments[0]), NULL,
                       NULL);
}

/* A new version; of a policy that is not there yet, its first. */
static int push_text(struct remote *r, const char *name, const char *file, json_t **ret)
{
    char path[REMOTE_PATH_SIZE];
    json_t *body = json_object();
    const json_t *problem;
    int rc = add_text(body, file, &r->err);

    if (rc < 0) {
        json_decref(body);
        return rc;
    }
    rc = remote_call(r, "POST", remote_path(path, "/v1/policies/{}/versions", name),
                     json_incref(body), ret);
    problem = client_problem(r->client);
    if (rc == -EPROTO && json_integer_value(json_object_get(problem, "status")) == 404 &&
        json_object_set_new(body, "name", json_string(name)) == 0)
        rc = remote_call(r, "POST", "/v1/policies", json_incref(body), ret);
    json_decref(body);
    return rc;
}

static int push(struct cli_call *call)
{
    struct remote r;
    json_t *version = NULL;
    char text[32];
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = push_text(&r, call->arguments[0], call->arguments[1], &version);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else if (call->is_json) {
        table_json_print(version, stdout);
    } else {
        const json_t *changes = json_object_get(version, "changes");
        const json_t *number = json_object_get(version, "newest");

        printf("version %s of %s, not in force yet: `cloche policy dry-run %s` says what it would "
               "change\n",
               table_text(number ? number : json_object_get(version, "version"), text, sizeof text),
               call->arguments[0], call->arguments[0]);
        if (json_array_size(changes))
            table_print(changes, g_change_columns, ARRAY_COUNT(g_change_columns), "changes",
                        stdout);
    }
    json_decref(version);
    remote_done(&r);
    return status;
}

static int versions(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];

    return remote_list(call, remote_path(path, "/v1/policies/{}/versions", call->arguments[0]),
                       REMOTE_TABLE(g_version_columns, "versions"));
}

/* Counts and changes are of the whole; instances come in pages. */
static int try_all(struct remote *r, const char *path, json_t *body, json_t **ret)
{
    json_t *page, *all = NULL;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < CLIENT_PAGES_MAX; i++) {
        json_t *next;

        rc = remote_call(r, "POST", path, json_incref(body), &page);
        if (rc < 0)
            break;
        next = json_object_get(page, "next");
        json_object_set(body, "after", next);
        if (!json_is_string(next))
            i = CLIENT_PAGES_MAX;
        if (all) {
            json_array_extend(json_object_get(all, "instances"),
                              json_object_get(page, "instances"));
            json_decref(page);
        } else {
            all = page;
        }
    }
    if (rc < 0)
        json_decref(all);
    else
        *ret = all;
    return rc;
}

static void print_tried(const json_t *tried)
{
    static const struct {
        const char *member, *text;
    } counts[] = { { "accepted", "would be accepted" },
                   { "refused", "would be refused" },
                   { "newly_refused", "of them are accepted now" },
                   { "newly_accepted", "would be accepted that are refused now" },
                   { "unjudged", "cannot be judged" } };
    const json_t *changes = json_object_get(tried, "changes");

    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++)
        printf("%6lld %s\n",
               (long long)json_integer_value(json_object_get(tried, counts[i].member)),
               counts[i].text);
    if (json_array_size(changes)) {
        putchar('\n');
        table_print(changes, g_change_columns, ARRAY_COUNT(g_change_columns), "changes", stdout);
    }
    putchar('\n');
    table_print(json_object_get(tried, "instances"), g_tried_columns, ARRAY_COUNT(g_tried_columns),
                "instances", stdout);
}

static int dry_run(struct cli_call *call)
{
    const char *file = command_option(call, "file");
    char path[REMOTE_PATH_SIZE];
    struct remote r;
    json_t *body = json_object(), *tried = NULL;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = body_number(body, call, "version", "version", 1, INT32_MAX, &r.err);
    if (rc == 0)
        rc = body_time(body, call, "at", "at", &r.err);
    if (rc == 0 && file)
        rc = add_text(body, file, &r.err);
    if (rc == 0)
        rc =
            try_all(&r, remote_path(path, "/v1/policies/{}/try", call->arguments[0]), body, &tried);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(tried, stdout);
    else
        print_tried(tried);
    if (rc == 0 && json_integer_value(json_object_get(tried, "newly_refused")) > 0)
        status = CLI_EXIT_REFUSED;
    json_decref(body);
    json_decref(tried);
    remote_done(&r);
    return status;
}

static int activate(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    struct remote r;
    json_t *body = json_object(), *policy = NULL;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    remote_path(path, "/v1/policies/{}", call->arguments[0]);
    if (rc == 0)
        rc = body_number(body, call, "version", "version", 1, INT32_MAX, &r.err);
    if (rc == 0 && !json_object_get(body, "version")) {
        rc = remote_call(&r, "GET", path, NULL, &policy);
        if (rc == 0)
            json_object_set(body, "version", json_object_get(policy, "newest"));
        json_decref(TAKE_PTR(policy));
    }
    if (rc == 0 && command_option(call, "default"))
        json_object_set_new(body, "default", json_true());
    if (rc == 0)
        rc = remote_call(&r, "PATCH", path, json_incref(body), &policy);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(policy, stdout);
    else
        printf("version %lld of %s is in force; instances that no longer fit are told to renew\n",
               (long long)json_integer_value(json_object_get(policy, "version")),
               call->arguments[0]);
    json_decref(body);
    json_decref(policy);
    remote_done(&r);
    return status;
}

static const struct cli_verb g_verbs[] = {
    { "list", "", "policies", list, 0, 0, NULL, 0 },
    { "show", "POLICY", "one policy, with the text in force", show, 1, 1, NULL, 0 },
    { "push", "NAME FILE", "keep a new version, not in force yet", push, 2, 2, NULL, 0 },
    { "versions", "POLICY", "all versions", versions, 1, 1, NULL, 0 },
    { "dry-run", "POLICY", "which instances would fall, why and when; status 3 when some would",
      dry_run, 1, 1, CLI_OPTIONS(g_try_options) },
    { "activate", "POLICY", "put a version in force", activate, 1, 1,
      CLI_OPTIONS(g_activate_options) },
};

const struct cli_command policy_command = { "policy", "appraisal policies at the control plane",
                                            "(`cloche policy check|diff|try` work on files, "
                                            "without a server: `cloche policy --help` shows both.)",
                                            CLI_VERBS(g_verbs) };
