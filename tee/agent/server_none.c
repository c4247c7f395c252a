/* SPDX-License-Identifier: Apache-2.0 */
/* The small agent has no exchange: the builder puts the other one into images with a server. Trusted; hosted. */
#include "abi/agent.h"
#include "tee/agent/say.h"
#include "tee/agent/server/server.h"

int server_run(const struct handover *h, const sigset_t *mask)
{
    say("cannot start: the image names a server, and its agent has no exchange: seal it with this "
        "version",
        NULL);
    return AGENT_STATUS_SETUP;
}
