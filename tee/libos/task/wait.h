/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping: wait queues, sleeping locks, and the one function by which a thread leaves the enclave to
 * wait. Trusted.
 *
 * A waiter registers with one or more queues, checks its condition, and calls wait_sleep() until the condition
 * holds. wait_wake() marks the thread before it wakes it, so a wake between check and sleep is not
 * lost. Wakes may be spurious.
 */
#pragma once

#include "tee/enclave/lock.h"

struct thread;
struct waiter;

/* List of waiters; zero-initialised is empty. lock guards the list and is a leaf lock. */
struct waitq {
    struct spin lock;
    struct waiter *first, *last;
};

/* key: what wait_wake() passes (POLL* bits for files). Called with the queue's lock held; must not
 * sleep, and may call wait_wake() on other queues (epoll) when no cycle is possible. */
typedef void waiter_fn(struct waiter *w, uint32_t key);

struct waiter {
    struct waiter *prev, *next;
    struct waitq *queue;   /* NULL: in none */
    struct thread *thread; /* woken when fn is NULL */
    waiter_fn *fn;
    void *arg;
    bool exclusive; /* wait_wake(count) stops after `count` exclusive ones */
};

#define WAIT_FOREVER UINT64_MAX
#define WAKE_ALL UINT32_MAX

void waiter_init(struct waiter *w); /* wakes the calling thread */
void waiter_init_fn(struct waiter *w, waiter_fn *fn, void *arg);
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waiter *w); /* no-op when in no queue */
/* Wakes all non-exclusive waiters and at most `count` exclusive ones; returns how many were woken. Cheap when the queue
 * is empty (one relaxed load after a full fence). */
unsigned wait_wake(struct waitq *q, unsigned count, uint32_t key);
bool waitq_is_empty(const struct waitq *q);

/* A host descriptor to watch while asleep. */
struct wait_host {
    int32_t host_fd;
    uint16_t events;  /* POLL* */
    uint16_t revents; /* set on return */
};

/*
 * Sleeps until woken, until one of the host descriptors is ready, or the deadline (monotonic ns).
 * returns: 0 woken (maybe for nothing); -ETIMEDOUT; -ERESTARTSYS a signal is pending (only when
 * interruptible) or the thread must die.
 */
MUST_CHECK int wait_sleep(struct wait_host *hosts, unsigned count, uint64_t deadline_ns,
                          bool interruptible);

/* A set of host descriptors (ocall_events_new) to watch while asleep. */
struct ocall_event;
struct wait_events {
    int32_t set;
    uint32_t wake;              /* enum ocall_event_wake */
    struct ocall_event *events; /* of `space` entries */
    unsigned space;
    int count; /* what the host reported, or negative errno; stays as it is when the thread did not leave */
};
/* As wait_sleep, on a set. */
MUST_CHECK int wait_sleep_events(struct wait_events *e, uint64_t deadline_ns);

/* Loops until `condition` is true. rc: as wait_sleep, 0 when the condition holds. */
#define WAIT_UNTIL(rc, q, condition, deadline_ns)                                                  \
    do {                                                                                           \
        struct waiter wait_until_w_;                                                               \
        waiter_init(&wait_until_w_);                                                               \
        waitq_add((q), &wait_until_w_);                                                            \
        (rc) = 0;                                                                                  \
        while (!(condition)) {                                                                     \
            (rc) = wait_sleep(NULL, 0, (deadline_ns), true);                                       \
            if ((rc) < 0) {                                                                        \
                if (condition)                                                                     \
                    (rc) = 0;                                                                      \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
        waitq_remove(&wait_until_w_);                                                              \
    } while (0)

/*
 * Wakes that are decided under spin locks and carried out after them: between begin and end the
 * OCALLs that wake parked threads are held back. They nest (a waiter_fn that calls wait_wake): the
 * outermost end carries all of them out. The struct lives on the caller's stack.
 */
#define WAKE_BATCH_INLINE 16u
struct wake_batch {
    bool is_outermost;
    bool has_overflow; /* slots that did not fit are in `more` */
    unsigned count;
    uint32_t slots[WAKE_BATCH_INLINE];
    uint64_t more[64]; /* bit n: slot n; LIBOS_SLOT_COUNT_MAX bits */
};
void wake_batch_begin(struct wake_batch *b);
void wake_batch_end(struct wake_batch *b);
/* Wakes t: its current or next wait_sleep() returns at once. Any lock may be held between begin and end of a batch;
 * without a batch no spin lock may be. The caller makes sure that t stays. */
void thread_wake(struct thread *t);

/* Threads of the enclave that run now (are not asleep), and CPUs: decides whether spinning pays. */
void wait_set_cpu_count(unsigned count);

/* t, which has lent its slot (vfork.c), counts as asleep. */
void wait_hold_begin(struct thread *t);
void wait_hold_end(struct thread *t);

/* For the locks below, which sleep whatever is pending: until condition(arg), tested anew after each wake of q. */
void wait_sleep_for_lock(struct waitq *q, bool (*condition)(void *arg), void *arg);

/* Sleeping lock; may be held across OCALLs and program-memory accesses. Not recursive. Does not disturb
 * a pending wake of wait_sleep(). Zero-initialised is unlocked. */
struct mutex {
    uint32_t state; /* 0 free, 1 held, 2 held and somebody waits */
    struct spin lock;
    struct mutex_waiter *waiters;
};
void mutex_lock(struct mutex *m);
bool mutex_try(struct mutex *m);
void mutex_unlock(struct mutex *m);

/* Many readers or one writer; writers first. */
struct rwlock {
    struct mutex writer;
    uint32_t readers;
    struct waitq queue;
};
void rwlock_read(struct rwlock *l);
void rwlock_read_end(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_write_end(struct rwlock *l);
