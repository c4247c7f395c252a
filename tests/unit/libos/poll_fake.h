/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hosted stand-in for what pipes, readiness and sockets need of the enclave and of the rest of the library OS:
 * threads of the test program as its threads, sockets and descriptors of the machine as the host. Tests only.
 */
#pragma once

#include "lib/defs.h"

/* Descriptors of the library OS begin here; smaller ones are the test program's own. */
#define POLL_FAKE_FD_FIRST 600
#define POLL_FAKE_FD_COUNT 4096

/* The machine's descriptors that stand in for the host's are moved up to here: the cases close the lower ones. */
#define POLL_FAKE_HOST_FD_FIRST 256
int poll_fake_move_fd(int fd);

/* Makes the calling thread known; every entry into the library OS calls it. */
void poll_fake_enter(void);
/* Closes all descriptors of the library OS. */
void poll_fake_close_all(void);
/* A named pipe or regular path opened for the library OS, as open(2) does. Negative errno. */
int poll_fake_open_fifo(const char *path, int flags);
/* What the host lies about from now on. */
enum poll_fake_lie {
    POLL_FAKE_HONEST,
    POLL_FAKE_LIE_NAME,  /* addresses are of no family */
    POLL_FAKE_LIE_ERROR, /* SO_ERROR is out of range */
    POLL_FAKE_LIE_READY, /* every descriptor is ready for everything */
};
extern enum poll_fake_lie g_poll_fake_lie;
/* Calls to the host since the start. */
extern unsigned long g_poll_fake_ocalls;
/* Blocks of memory that are allocated now. */
extern long g_poll_fake_blocks;
