/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche ca`: the control plane's certificate authority. Relying party side. */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/file.h"
#include "cli/pin.h"
#include "cli/remote.h"

#define CHAIN_SIZE_MAX 65536u

static void authorities_print(const json_t *ca)
{
    static const struct table_column columns[] = {
        { "ID", "id", TABLE_TEXT },          { "KIND", "kind", TABLE_TEXT },
        { "STATE", "state", TABLE_TEXT },    { "OWN", "own", TABLE_TEXT },
        { "EXPIRES", "expires", TABLE_AGE }, { "PIN", "pin", TABLE_TEXT },
    };
    char text[256];

    printf("trust domain  %s\n\n",
           table_text(json_object_get(ca, "trust_domain"), text, sizeof text));
    table_print(json_object_get(ca, "authorities"), columns, ARRAY_COUNT(columns), "authorities",
                stdout);
}

static int show(struct cli_call *call)
{
    struct remote r;
    json_t *ca = NULL;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = remote_call(&r, "GET", "/v1/ca", NULL, &ca);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(ca, stdout);
    else
        authorities_print(ca);
    json_decref(ca);
    remote_done(&r);
    return status;
}

static void roots_json_print(const char *pem, size_t size, const char *pin)
{
    json_t *j = json_pack("{s:s%,s:s?}", "certificates", pem, size, "pin", pin);

    table_json_print(j, stdout);
    json_decref(j);
}

static int roots(struct cli_call *call)
{
    struct remote r;
    char *pem = NULL, pin[65];
    size_t size;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = client_text(r.client, "/v1/ca/roots", &pem, &size, &r.err);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else {
        bool is_known = pin_of_pem(pem, pin);

        if (call->is_json)
            roots_json_print(pem, size, is_known ? pin : NULL);
        else
            fwrite(pem, 1, size, stdout);
        if (is_known && !call->is_json)
            fprintf(stderr, "pin of the current root's key: %s\n", pin);
    }
    free(pem);
    remote_done(&r);
    return status;
}

static int rotate(struct cli_call *call)
{
    static const char *const steps[] = { "prepare", "switch", "retire" };

    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++)
        if (strcmp(call->arguments[0], steps[i]) == 0)
            return remote_show(call, "POST", "/v1/ca/rotation",
                               json_pack("{s:s}", "step", steps[i]), NULL);
    return command_usage(call, "prepare, switch or retire is expected");
}

static int request(struct cli_call *call)
{
    return remote_show(call, "POST", "/v1/ca/intermediates", NULL, NULL);
}

static int accept_chain(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    struct file_bytes file;
    struct err err = { 0 };
    json_t *body;
    int rc = file_bytes_read(call->arguments[1], CHAIN_SIZE_MAX, &file, &err);

    if (rc < 0)
        return cli_fail(&err, rc);
    body = json_pack("{s:s%}", "chain", (char *)file.data, file.size);
    file_bytes_done(&file);
    if (!body)
        return command_usage(call, "%s is no PEM", call->arguments[1]);
    return remote_show(
        call, "PUT", remote_path(path, "/v1/ca/intermediates/{}", call->arguments[0]), body, NULL);
}

static int drop(struct cli_call *call)
{
    return remote_show(call, "DELETE", "/v1/ca/intermediate", NULL, NULL);
}

static const struct cli_verb g_verbs[] = {
    { "show", "", "the authorities", show, 0, 0, NULL, 0 },
    { "roots", "", "root certificates, current first, as PEM", roots, 0, 0, NULL, 0 },
    { "rotate", "prepare|switch|retire", "one step of a rotation without outage", rotate, 1, 1,
      NULL, 0 },
    { "request", "", "a request for an intermediate of your own, for your CA to sign", request, 0,
      0, NULL, 0 },
    { "accept", "AUTHORITY FILE", "take the certificate that your CA made, with its issuers",
      accept_chain, 2, 2, NULL, 0 },
    { "drop", "", "back to the server's intermediate", drop, 0, 0, NULL, 0 },
};

const struct cli_command ca_command = { "ca", "the control plane's certificate authority", NULL,
                                        CLI_VERBS(g_verbs) };
