/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that speak with the control plane. Relying party side. */
#include "cli/remote.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/contexts.h"

int remote_open(struct remote *r, struct cli_call *call)
{
    *r = (struct remote){ .call = call };
    return client_open(call->context, &r->client, &r->err);
}

void remote_done(struct remote *r)
{
    client_close(r->client);
    r->client = NULL;
}

/* The words to type when the server does not know the token any more. */
static void print_login(const char *name)
{
    struct err err = { "" };
    json_t *context = NULL;
    const char *url, *user;

    if (contexts_find(name, &context, &err) < 0)
        return;
    url = json_string_value(json_object_get(context, "url"));
    user = json_string_value(json_object_get(context, "user"));
    if (url)
        fprintf(stderr, "`cloche login --user %s%s%s %s` logs in again.\n", user ? user : "NAME",
                name ? " --name " : "", name ? name : "", url);
    json_decref(context);
}

int remote_fail(struct remote *r, int rc)
{
    const json_t *problem = r->client ? client_problem(r->client) : NULL;
    bool is_problem = problem && (rc == -EPROTO || rc == -EACCES);
    int status = CLI_EXIT_FAILED;

    if (rc == -EBADMSG ||
        (is_problem && json_integer_value(json_object_get(problem, "status")) == 403))
        status = CLI_EXIT_REFUSED;
    if (rc == -EINVAL && !is_problem)
        return command_usage(r->call, "%s", r->err.text);
    if (is_problem && r->call->is_json)
        table_json_print(problem, stdout);
    fprintf(stderr, "cloche: %s%s\n", status == CLI_EXIT_REFUSED ? "refused: " : "",
            r->err.text[0] ? r->err.text : strerror(-rc));
    if (is_problem && json_integer_value(json_object_get(problem, "status")) == 401)
        print_login(r->call->context);
    return status;
}

const char *remote_path(char ret[REMOTE_PATH_SIZE], const char *template, ...)
{
    size_t len = 0;
    va_list args;

    va_start(args, template);
    for (; *template && len + 1 < REMOTE_PATH_SIZE; template ++) {
        if (template[0] == '{' && template[1] == '}') {
            client_escape(va_arg(args, const char *), ret + len, REMOTE_PATH_SIZE - len);
            len += strlen(ret + len);
            template ++;
        } else {
            ret[len++] = *template;
        }
    }
    va_end(args);
    ret[len] = 0;
    return ret;
}

void remote_query_add(char path[REMOTE_PATH_SIZE], const char *name, const char *value)
{
    size_t len = strlen(path);
    char escaped[512];

    if (value)
        snprintf(path + len, REMOTE_PATH_SIZE - len, "%c%s=%s", strchr(path, '?') ? '&' : '?', name,
                 client_escape(value, escaped, sizeof escaped));
}

int remote_call(struct remote *r, const char *method, const char *path, json_t *body,
                json_t **ret_body)
{
    struct client_answer answer;
    int rc = client_call(r->client, method, path, body, NULL, &answer, &r->err);

    json_decref(body);
    if (rc < 0)
        return rc;
    if (ret_body && !answer.body)
        rc = err_set(&r->err, -EBADMSG, "the server's answer to %s is empty", path);
    else if (ret_body)
        *ret_body = json_incref(answer.body);
    client_answer_done(&answer);
    return rc;
}

/* ---- whole verbs ---- */

int remote_show(struct cli_call *call, const char *method, const char *path, json_t *body,
                const char *say)
{
    struct client_answer answer;
    struct remote r;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = client_call(r.client, method, path, body, NULL, &answer, &r.err);
    json_decref(body);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else {
        if (call->is_json && answer.body)
            table_json_print(answer.body, stdout);
        else if (!call->is_json && say)
            printf("%s\n", say);
        else if (!call->is_json && answer.body)
            table_object_print(answer.body, stdout);
        client_answer_done(&answer);
    }
    remote_done(&r);
    return status;
}

int remote_list(struct cli_call *call, const char *path, struct remote_table table)
{
    struct remote r;
    json_t *items = NULL;
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = client_list(r.client, path, &items, &r.err);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(items, stdout);
    else
        table_print(items, table.columns, table.count, table.what, stdout);
    json_decref(items);
    remote_done(&r);
    return status;
}

/* ---- bodies ---- */

static int put(json_t *body, const char *member, json_t *value)
{
    return json_object_set_new(body, member, value) < 0 ? -ENOMEM : 0;
}

int body_text(json_t *body, const struct cli_call *call, const char *option, const char *member)
{
    const char *text = command_option(call, option);

    return text ? put(body, member, json_string(text)) : 0;
}

int body_number(json_t *body, const struct cli_call *call, const char *option, const char *member,
                int64_t min, int64_t max, struct err *err)
{
    int64_t value = 0;
    int rc = command_number(call, option, min, max, &value, err);

    return rc < 0 || !command_option(call, option) ? rc : put(body, member, json_integer(value));
}

int body_seconds(json_t *body, const struct cli_call *call, const char *option, const char *member,
                 int64_t min, int64_t max, struct err *err)
{
    int64_t value = 0;
    int rc = command_seconds(call, option, min, max, &value, err);

    return rc < 0 || !command_option(call, option) ? rc : put(body, member, json_integer(value));
}

int body_time(json_t *body, const struct cli_call *call, const char *option, const char *member,
              struct err *err)
{
    char text[32];
    int rc = command_time(call, option, text, err);

    return rc < 0 || !text[0] ? rc : put(body, member, json_string(text));
}

int body_bool(json_t *body, const struct cli_call *call, const char *option, const char *member,
              struct err *err)
{
    const char *text = command_option(call, option);

    if (!text)
        return 0;
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return err_set(err, -EINVAL, "--%s %s: yes or no is expected", option, text);
    return put(body, member, json_boolean(text[0] == 'y'));
}

int body_texts(json_t *body, const struct cli_call *call, const char *option, const char *member)
{
    json_t *list;

    if (!command_option(call, option))
        return 0;
    list = json_array();
    for (unsigned i = 0; command_option_at(call, option, i); i++)
        if (command_option_at(call, option, i)[0])
            json_array_append_new(list, json_string(command_option_at(call, option, i)));
    return put(body, member, list);
}
