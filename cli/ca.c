/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche ca`: the control plane's certificate authority. Relying party side. */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/file.h"
#include "cli/pin.h"
#include "cli/remote.h"

#define CHAIN_SIZE_MAX 65536u

static int show(struct cli_call *call)
{
    return remote_show(call, "GET", "/v1/ca", NULL, NULL);
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
        fwrite(pem, 1, size, stdout);
        if (pin_of_pem(pem, pin))
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
