/* SPDX-License-Identifier: Apache-2.0 */
/* The agent of images with a server: attest, deliver, start, watch, renew, stop. Trusted; hosted. */
#pragma once

#include <signal.h>

#include "tee/agent/handover.h"

/*
 * Does all that main() does from here on, when the handover names a server. mask: the workload's. returns: the status to end with (abi/agent.h). In the small agent: says that it cannot.
 */
int server_run(const struct handover *h, const sigset_t *mask);
