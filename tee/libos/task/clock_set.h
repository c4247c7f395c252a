/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting the wall clock: the agent's bounds (abi/evidence.h, CLOCHE_IOC_TIME), and those who wait for a time of the wall clock and must learn that it was set. Trusted.
 */
#pragma once

#include "tee/enclave/clock.h"
#include "tee/libos/task/wait.h"

/* Embedded in its owner; zero-initialised is not registered. The members are clock_set.c's. */
struct clock_watch {
    void (*fn)(void *arg);
    void *arg;
    struct clock_watch *prev, *next;
};

/* fn is called after each step of the wall clock. It may take spin locks, wake and call timer_add(), and must not call these two. */
void clock_watch_add(struct clock_watch *w, void (*fn)(void *arg), void *arg);
/* No callback of w runs any more when it returns. No-op when not registered. No lock may be held that fn takes. */
void clock_watch_remove(struct clock_watch *w);

/* clock_realtime_bind (tee/enclave/clock.h), and all who watch learn of a step. No locks held. returns: as that. */
MUST_CHECK int clock_set_bind(const struct clock_bound *bound, int64_t *ret_step_ns);
/* Counts steps; the queue is woken after each. */
uint32_t clock_set_count(void);
struct waitq *clock_set_queue(void);
