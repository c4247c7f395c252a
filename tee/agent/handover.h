/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent was told to run (abi/agent.h). Trusted; hosted. */
#pragma once

#include "lib/defs.h"

#define HANDOVER_GROUPS_MAX 256u

struct handover {
    uint32_t uid, gid;
    uint32_t group_count;
    uint32_t groups[HANDOVER_GROUPS_MAX];
    const char *workdir; /* "": stay */
    const char *server;  /* enum agent_server_word, or "" */
    char *const *args;   /* the workload's, NULL-ended, at least one */
};

/* Strings stay argv's. returns: 0; -EINVAL it is not what the library OS gives. */
MUST_CHECK int handover_parse(int argc, char *const argv[], struct handover *ret);
