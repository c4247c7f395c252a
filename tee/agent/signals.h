/* SPDX-License-Identifier: Apache-2.0 */
/* The agent takes signals one by one, without handlers. Trusted; hosted. */
#pragma once

#include <signal.h>

/* Blocks all signals; *ret_old is the mask before, which the workload is to have. */
void signals_block(sigset_t *ret_old);
/* Sleeps until a signal comes. returns: its number. */
int signals_next(void);
/* A signal that is sent on to the workload: not SIGCHLD, nor those that a fault of the agent raises. */
int signals_is_forwarded(int signo);
