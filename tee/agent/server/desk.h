/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's UNIX socket, where the workload asks for secrets and its certificate, and waits for new ones: HTTP/1.1, one GET a connection (docs/agent.md). Trusted; hosted. Only
 * root and the workload's user are served; what they send is bounded. One thread; nothing blocks.
 */
#pragma once

#include <poll.h>

#include "lib/defs.h"
#include "tee/agent/server/answer.h"

#define DESK_SOCKET "agent.sock"
#define DESK_CLIENTS_MAX 32u
#define DESK_REQUEST_SIZE 2048u
#define DESK_FDS_MAX (1 + DESK_CLIENTS_MAX)

/* What is handed out; NULL members: nothing any more. Borrowed, and replaced as a whole. */
struct desk_stock {
    const struct answer *answer;
    const struct secret_list *secrets;
    const char *key_pem;
    uint64_t generation; /* counts up with each replacement */
};

struct desk_client {
    int fd; /* -1: free */
    char request[DESK_REQUEST_SIZE];
    size_t request_size;
    char *out; /* answer; NULL: none yet */
    size_t out_size, out_off;
    bool is_waiting; /* for a generation over ... */
    uint64_t wait_after;
};

struct desk {
    int fd;
    uint32_t uid;
    struct desk_stock stock;
    struct desk_client clients[DESK_CLIENTS_MAX];
};

/* Makes the socket at path, for uid and gid. returns: 0; -errno. */
MUST_CHECK int desk_open(struct desk *d, const char *path, uint32_t uid, uint32_t gid);
/* Replaces what is handed out and answers those who wait. */
void desk_stock_set(struct desk *d, const struct desk_stock *stock);
/* Fills fds with DESK_FDS_MAX entries for poll. */
void desk_fds(const struct desk *d, struct pollfd fds[DESK_FDS_MAX]);
/* Serves what poll found in the same entries. */
void desk_serve(struct desk *d, const struct pollfd fds[DESK_FDS_MAX]);
