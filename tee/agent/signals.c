/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of the agent: all blocked, taken with sigwaitinfo. Trusted; hosted. */
#include "tee/agent/signals.h"

#include <stddef.h>

void signals_block(sigset_t *ret_old)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, ret_old);
}

int signals_next(void)
{
    sigset_t all;
    int signo;

    sigfillset(&all);
    do
        signo = sigwaitinfo(&all, NULL);
    while (signo <= 0);
    return signo;
}

int signals_is_forwarded(int signo)
{
    switch (signo) {
    case SIGCHLD:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
        return 0;
    default:
        return 1;
    }
}
