/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche api`: any request of the REST API, for scripts. Relying party side. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/remote.h"

static const struct cli_option g_options[] = {
    { "body", NULL, "read the body, JSON, from standard input", false },
    { "if-match", "ETAG", "only if the object is still as it was read", false },
    { "all", NULL, "all pages of a list, as one array", false },
};

static int perform(struct remote *r, json_t **ret)
{
    const struct cli_call *call = r->call;
    struct client_answer answer = { 0 };
    json_t *body = NULL;
    json_error_t where;
    int rc;

    if (command_option(call, "body")) {
        body = json_loadf(stdin, JSON_REJECT_DUPLICATES, &where);
        if (!body)
            return err_set(&r->err, -EBADMSG, "standard input, line %d: %s", where.line,
                           where.text);
    }
    if (command_option(call, "all")) {
        json_decref(body);
        return client_list(r->client, call->arguments[1], ret, &r->err);
    }
    rc = client_call(r->client, call->arguments[0], call->arguments[1], body,
                     command_option(call, "if-match"), &answer, &r->err);
    json_decref(body);
    *ret = rc == 0 ? json_incref(answer.body) : NULL;
    client_answer_done(&answer);
    return rc;
}

static int api(struct cli_call *call)
{
    static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
    struct remote r;
    json_t *answer = NULL;
    bool is_method = false;
    int rc, status = CLI_EXIT_OK;

    for (unsigned i = 0; i < ARRAY_COUNT(methods); i++)
        is_method |= strcmp(call->arguments[0], methods[i]) == 0;
    if (!is_method || strncmp(call->arguments[1], "/v1/", 4) != 0)
        return command_usage(
            call, "GET, POST, PUT, PATCH or DELETE, and a path under /v1/, are expected");
    call->is_json = true;
    rc = remote_open(&r, call);
    if (rc == 0)
        rc = perform(&r, &answer);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (answer)
        table_json_print(answer, stdout);
    json_decref(answer);
    remote_done(&r);
    return status;
}

static const struct cli_verb g_verbs[] = {
    { "", "METHOD PATH", "", api, 2, 2, CLI_OPTIONS(g_options) },
};
const struct cli_command api_command = {
    "api", "any request of the REST API",
    "For scripts: `cloche api GET /v1/apps`. Prints the answer as JSON; server/api/openapi.yaml "
    "describes all\n"
    "paths. Writes carry an idempotency key and are repeated when no answer came.",
    CLI_VERBS(g_verbs)
};
