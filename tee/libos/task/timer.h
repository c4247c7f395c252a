/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of the library OS: a callback at a time, on the timer service's own thread (started at first
 * use). Behind alarm, setitimer, timer_create and timerfd. Trusted.
 */
#pragma once

#include "lib/defs.h"

struct timer;

/* Runs without locks on the service's thread; may wake, send signals and call timer_add() on its own timer; must not sleep for long. */
typedef void timer_fn(struct timer *timer, void *arg);

/* Embedded in its owner; zero-initialised is not armed. The members are the service's. */
struct timer {
    uint64_t expires_ns; /* monotonic */
    timer_fn *fn;
    void *arg;
    struct timer *child, *next, *prev; /* pairing heap; prev: parent or left sibling */
    bool is_armed;
};

void timer_init(struct timer *t, timer_fn *fn, void *arg);
/* Arms t, or moves it when armed. returns: 0; -EAGAIN, -ENOMEM the service could not be started. */
MUST_CHECK int timer_add(struct timer *t, uint64_t expires_ns);
/* Disarms t, and waits until a callback of t that runs now has returned (not when called from it). No lock may be
 * held that the callback takes. returns: true when it was armed. */
bool timer_cancel(struct timer *t);
