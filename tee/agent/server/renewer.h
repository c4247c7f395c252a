/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that talks with the server while the workload runs: waits for orders, renews with fresh evidence, tries again. It owns the exchange and shares nothing: what
 * comes of it goes to the main thread as messages through a pipe. Trusted; hosted.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "tee/agent/server/exchange.h"

enum renewer_kind {
    RENEWER_GRANT,  /* a new answer */
    RENEWER_STOP,   /* the server's order */
    RENEWER_REVOKE, /* the server's order, or its final refusal */
    RENEWER_DONE,   /* the end was reported, or could not be: the last message */
};

struct renewer_message {
    enum renewer_kind kind;
    struct answer *answer; /* of a grant: answer_done and wipe_free */
    struct lease lease;    /* of a grant */
    char reason[ANSWER_TEXT_SIZE];
};

struct renewer {
    struct exchange *exchange; /* borrowed; nobody else uses it while the thread runs */
    int message_fd; /* the main thread reads a struct renewer_message * at a time; wipe_free */
    int write_fd;
    int cancel_fd; /* readable once the thread is to end */
    atomic_bool is_ending;
    int exit_status;        /* with is_ending */
    const char *end_reason; /* with is_ending: "exited", "stopped", "revoked", "lease" */
    pthread_t thread;
};

/* An eventfd, for exchange_new. returns: 0; -errno. */
MUST_CHECK int renewer_init(struct renewer *r);
MUST_CHECK int renewer_start(struct renewer *r, struct exchange *exchange);
/* Tells the thread to report the end and to finish: RENEWER_DONE follows. */
void renewer_end(struct renewer *r, int exit_status, const char *reason);
/* The next message, for wipe_free; NULL: none now. */
struct renewer_message *renewer_next(struct renewer *r);
