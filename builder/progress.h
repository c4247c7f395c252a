/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line on a terminal that says what is being done and how far it is; nothing elsewhere. Relying
 * party. All functions accept NULL.
 */
#pragma once

#include "lib/defs.h"

struct progress {
    bool shown; /* standard error is a terminal, and messages are wanted */
    const char *step;
    uint64_t done, total; /* of the step, bytes; total 0: not known */
    uint64_t last_ms;     /* when the line was written */
};

void progress_init(struct progress *p, bool wanted);
/* Starts a step; the text stays the caller's. */
void progress_step(struct progress *p, const char *step, uint64_t total);
void progress_add(struct progress *p, uint64_t size);
/* Clears the line. */
void progress_done(struct progress *p);
