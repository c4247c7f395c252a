/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals about files (O_ASYNC): whom a file tells, and telling it. What happened is noted where the file's queues are
 * woken, under their locks; the thread that woke them sends the signals when it holds none: before it goes back to its
 * program, and before it sleeps. Trusted.
 */
#pragma once

#include "lib/defs.h"

/* F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP of fcntl(2). */
struct sigio_owner {
    int32_t kind;
    int32_t id;         /* 0: nobody */
    uint32_t uid, euid; /* of who said so */
};

struct sigio;

MUST_CHECK int sigio_new(struct sigio **ret); /* -ENOMEM */
/* Nothing more is sent. NULL is fine. */
void sigio_end(struct sigio *s);

void sigio_set_owner(struct sigio *s, const struct sigio_owner *owner);
struct sigio_owner sigio_get_owner(struct sigio *s);
/* 0: plain SIGIO, else with a siginfo of fd. */
void sigio_set_signal(struct sigio *s, int signo);
int sigio_get_signal(struct sigio *s);
/* fd: what si_fd shows; -1: nothing is sent when this returns; no lock that sending takes is held. */
void sigio_set_fd(struct sigio *s, int fd);

/* POLL* bits happened. Spin locks may be held. */
void sigio_note(struct sigio *s, uint32_t events);
/* TASK_ATTENTION_SIGIO was set for the calling thread: sends what was noted. No spin lock held. */
void sigio_flush(void);
