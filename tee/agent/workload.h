/* SPDX-License-Identifier: Apache-2.0 */
/* The workload: its start as the image's user, and its end. Trusted; hosted. */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "tee/agent/handover.h"

/*
 * Starts the workload as leader of a session of its own, with the signal mask `mask`. It becomes the user, then is
 * looked up in PATH and executed. What goes wrong is said in one line.
 * returns: its process id; else the negated status that the agent is to end with (AGENT_STATUS_*).
 */
MUST_CHECK pid_t workload_start(const struct handover *h, const sigset_t *mask);
/* The exit status for a wait(2) status: the program's own, or 128 and the signal's number. */
int workload_status(int wait_status);
