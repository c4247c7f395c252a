/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: process 1 in the TEE. It starts the workload, forwards signals to it, reaps whatever ends, and ends with
 * the workload's status, at which the enclave ends. Trusted; hosted (an ordinary static program).
 */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/agent.h"
#include "tee/agent/handover.h"
#include "tee/agent/say.h"
#include "tee/agent/server/server.h"
#include "tee/agent/signals.h"
#include "tee/agent/workload.h"

/* Reaps all that have ended. Ends the agent when the workload is among them. */
static void reap(pid_t workload)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) != 0) {
        if (pid == workload)
            _exit(workload_status(status));
        if (pid < 0 && errno == ECHILD)
            _exit(AGENT_STATUS_SETUP); /* the workload was lost: never silently go on without it */
    }
}

int main(int argc, char *argv[])
{
    static struct handover handover;
    sigset_t mask;
    pid_t workload;

    if (handover_parse(argc, argv, &handover) < 0) {
        say("cannot start: the agent is started by the library OS only", NULL);
        return AGENT_STATUS_SETUP;
    }
    signals_block(&mask);
    if (handover.server[0])
        _exit(server_run(&handover, &mask));
    workload = workload_start(&handover, &mask);
    if (workload < 0)
        _exit(-workload);
    for (;;) {
        int signo = signals_next();

        if (signals_is_forwarded(signo))
            kill(workload, signo);
        else if (signo == SIGCHLD)
            reap(workload);
    }
}
