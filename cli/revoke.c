/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `revoke` of everything that can be revoked. Relying party side. */
#include <string.h>

#include "cli/commands.h"
#include "cli/remote.h"

int revoke_run(struct cli_call *call, const char *kind, const char *object)
{
    const char *reason = command_option(call, "reason");
    json_t *body = json_pack("{s:s,s:s,s:s}", "kind", kind, "object", object, "reason",
                             reason ? reason : "revoked from the command line");
    char say[320];

    if (!body)
        return command_usage(call, "the name or the reason is no text");
    snprintf(say, sizeof say,
             "revoked %s %.200s: its instances are told now, and no lease is renewed", kind,
             object);
    return remote_show(call, "POST", "/v1/revocations", body, say);
}
