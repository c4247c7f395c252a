/* SPDX-License-Identifier: Apache-2.0 */
/* The words of AGENT_ARG_SERVER (abi/agent.h). Trusted; hosted. */
#pragma once

#include "tee/agent/server/exchange.h"

struct config {
    struct exchange_config exchange;
    unsigned start_limit_s;
    int stop_signal;
    int reload_signal; /* 0: none */
};

/* returns: 0; -EINVAL it is not what the library OS gives. */
MUST_CHECK int config_parse(const char *words, struct config *ret);
/* "SIGTERM", "SIGRTMIN+3". returns: the number; -EINVAL. */
MUST_CHECK int config_signal(const char *name);
