/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of instances on a node. Untrusted work: the enclave proves itself to the server, whatever the node does. Relying party side.
 *
 * Each instance is a process group: a keeper (a fork of the node's program) and its child, the loader. The keeper waits for the loader and writes its
 * status to a file, so that a node's program that was killed and started again finds what still runs, and how the others ended.
 * Files under FOLDER/instances: ID.json (process id and start time, image), ID.status, ID.log (what the instance writes, cut at NODE_LOG_SIZE_MAX).
 */
#pragma once

#include <sys/types.h>

#include "lib/defs.h"
#include "lib/err.h"

#define NODE_INSTANCES_MAX 256u
#define NODE_LOG_SIZE_MAX (16 << 20)
#define NODE_REASON_SIZE 256u

struct node_options {
    const char *folder;  /* absolute */
    const char *program; /* this program's path: `cloche node start-image` becomes the loader */
    const char *quote_socket; /* NULL: the machine's */
    const char *collateral;   /* NULL: none */
    int64_t images_mib;       /* what pulled images may take */
};

enum node_process { NODE_RUNNING, NODE_EXITED, NODE_FAILED };
struct node_instance {
    char id[32];
    char digest[97]; /* of the build; empty: unknown */
    enum node_process process;
    pid_t pid; /* the keeper's, and the group's */
    uint64_t start_ticks;
    int pidfd;       /* -1: it has ended */
    int exit_status; /* -1: unknown */
    char reason[NODE_REASON_SIZE];
    bool is_reported, is_named; /* the server has taken its state; the last work named it */
    bool is_stopping;
    int64_t kill_ms; /* monotonic; 0: not yet */
};

/* Starts the image at `place` for an instance of the build with this app digest (hexadecimal). returns: 0; errno, ret is then NODE_FAILED with its reason. */
int node_instance_start(const struct node_options *options, const char *id, const char *place,
                        const char *app_digest, struct node_instance *ret);
/* Those that an earlier run of the program left; returns how many. */
unsigned node_instance_adopt(const struct node_options *options, struct node_instance *ret,
                             unsigned max);
/* SIGTERM now, SIGKILL by node_instance_tick after grace_s. */
void node_instance_stop(struct node_instance *instance, unsigned grace_s, int64_t now_ms);
/* Kills what did not stop in time. returns: when it must be called again (monotonic ms); INT64_MAX: not for this. */
int64_t node_instance_tick(struct node_instance *instance, int64_t now_ms);
/* The keeper has ended (pidfd is readable): takes the status. */
void node_instance_end(const struct node_options *options, struct node_instance *instance);
/* Cuts a log that has grown too long. */
void node_instance_log_cut(const struct node_options *options,
                           const struct node_instance *instance);
/* Removes the files of one that has ended. The log stays until the next of this id. */
void node_instance_forget(const struct node_options *options, struct node_instance *instance);
