/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How process 1 in the TEE, the agent, is found and told what to run. Shared: the builder puts it into the image, the
 * library OS starts it. Its arguments come from the measured descriptor, and what follows AGENT_ARG_PROGRAM from the
 * host only where the descriptor lets it. Its environment is the workload's.
 */
#pragma once

/* Reserved in every image: the builder refuses a source that has the folder. */
#define AGENT_FOLDER "/.cloche"
#define AGENT_PATH AGENT_FOLDER "/agent"

enum agent_arg {
    AGENT_ARG_SELF,
    AGENT_ARG_UID,     /* decimal */
    AGENT_ARG_GID,     /* decimal */
    AGENT_ARG_GROUPS,  /* decimal, separated by ','; "" none */
    AGENT_ARG_WORKDIR, /* "": where it is */
    AGENT_ARG_PROGRAM, /* the workload's first argument; more may follow */
};

/* What the enclave ends with when there is no workload whose status could be told. */
#define AGENT_STATUS_SETUP 125      /* the enclave or the agent could not be set up */
#define AGENT_STATUS_CANNOT_RUN 126 /* the program is there and cannot be started */
#define AGENT_STATUS_NOT_FOUND 127  /* no such program */
