/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How process 1 in the TEE, the agent, is found and told what to run. Shared: the builder puts it into the image, the
 * library OS starts it. Its arguments come from the measured descriptor, and what follows AGENT_ARG_PROGRAM from the
 * host only where the descriptor lets it. Its environment is the workload's.
 *
 * There are two agents (tee/agent): a small one, and one for images whose descriptor names a server, which gets certificate and secrets
 * before it starts the workload (docs/agent.md). The builder puts the right one into the image.
 */
#pragma once

/* Reserved in every image: the builder refuses a source that has the folder. */
#define AGENT_FOLDER "/.cloche"
#define AGENT_PATH AGENT_FOLDER "/agent"

/* Where the agent puts what the server gave: file systems in enclave memory, which the library OS mounts where there is a server. */
#define AGENT_RUN_FOLDER "/run/cloche"
#define AGENT_SECRETS_FOLDER "/run/secrets"
#define AGENT_DELIVERY_SIZE_MAX (32u << 20) /* bytes, of each of the two */

enum agent_arg {
    AGENT_ARG_SELF,
    AGENT_ARG_UID,     /* decimal */
    AGENT_ARG_GID,     /* decimal */
    AGENT_ARG_GROUPS,  /* decimal, separated by ','; "" none */
    AGENT_ARG_WORKDIR, /* "": where it is */
    AGENT_ARG_SERVER,  /* "" none; else enum agent_server_word, separated by single spaces */
    AGENT_ARG_PROGRAM, /* the workload's first argument; more may follow */
};

/* The words of AGENT_ARG_SERVER, all from the descriptor. */
enum agent_server_word {
    AGENT_SERVER_CA_KEY,        /* SHA-256, hexadecimal */
    AGENT_SERVER_APP_DIGEST,    /* SHA-384 of the descriptor, hexadecimal */
    AGENT_SERVER_START_LIMIT,   /* seconds */
    AGENT_SERVER_STOP_SIGNAL,   /* "SIGTERM" */
    AGENT_SERVER_RELOAD_SIGNAL, /* "SIGHUP"; "-" none */
    AGENT_SERVER_URL,           /* more may follow */
};

/* Which instance of the server's this is; the host says it, the server checks that it fits. */
#define AGENT_INSTANCE_ENV "CLOCHE_INSTANCE"

/* What the enclave ends with when there is no workload whose status could be told. */
#define AGENT_STATUS_SETUP 125      /* the enclave or the agent could not be set up */
#define AGENT_STATUS_CANNOT_RUN 126 /* the program is there and cannot be started */
#define AGENT_STATUS_NOT_FOUND 127  /* no such program */
/* The same, where the descriptor names a server. */
#define AGENT_STATUS_REFUSED                                                                       \
    31 /* the server refused; the line on stderr says which step, and what to do */
#define AGENT_STATUS_UNREACHABLE 32 /* no server answered within the descriptor's limit */
#define AGENT_STATUS_UNTRUSTED                                                                     \
    33 /* what answered is not the server that the descriptor pins, or its answer was changed */
#define AGENT_STATUS_NO_EVIDENCE 34 /* the platform gave no evidence */
#define AGENT_STATUS_DELIVERY 35    /* a secret or certificate could not be put where it belongs */
#define AGENT_STATUS_REVOKED 36     /* the server revoked the running instance */
#define AGENT_STATUS_LEASE 124      /* the lease ended while no server renewed it */
