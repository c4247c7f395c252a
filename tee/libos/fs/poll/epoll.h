/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll inside the enclave. Trusted.
 *
 * An entry (struct epoll_item) sits in the queues of its file; a wake of one of them puts the entry into its epoll's
 * ready list, so that epoll_wait looks only at files that announced something. Host descriptors are in a set of the
 * host's own (OCALL events_*), one for each epoll, with the program's own modes (edge, one-shot, exclusive), so the host's
 * answer is what the program is told: a hint, of which the events that an entry asks for are taken. Waiting costs one exit
 * however many descriptors there are.
 *
 * Locks: g_links (which files and epolls are tied; adding and removing) > epoll->lock (entries, scanning; outer
 * epoll before the one nested in it) > waitq.lock > epoll->ready_lock.
 */
#pragma once

#include <linux/eventpoll.h>

#include "abi/ocall.h"
#include "tee/libos/fs/poll/poll.h"

#define EPOLL_ITEMS_MAX 65536u
#define EPOLL_DEPTH_MAX 5u
#define EPOLL_ITEM_WAITERS 2u
#define EPOLL_OWNER_NONE UINT32_MAX /* nobody can be it */
/* Bits of epoll_event.events that are not readiness. */
#define EPOLL_FLAGS (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)

struct epoll;

/* More waiters than fit into an item (an epoll of an epoll, a socket with many queues). */
struct epoll_waiters {
    struct epoll_waiters *next;
    struct waiter waiter;
};

struct epoll_item {
    struct epoll *ep;
    struct file *file; /* not counted: epoll_file_gone removes the item first */
    int fd;            /* as given to epoll_ctl: part of the key */
    uint32_t events;   /* EPOLL* asked for; without EPOLLIN..: disabled by EPOLLONESHOT */
    uint64_t data;
    struct epoll_item *hash_next;
    struct epoll_item *file_next; /* items of the same file, under g_links */
    struct epoll_item *ready_prev, *ready_next;
    bool is_ready; /* in ep->ready, under ready_lock */
    int error;     /* 0, or why registering failed */
    unsigned waiter_count;
    struct waiter waiters[EPOLL_ITEM_WAITERS];
    struct epoll_waiters *more;
    uint32_t host_first;   /* entries of ep->hosts that are this item's: index + 1, 0 = none */
    uint32_t host_revents; /* what the host said last, not yet reported */
    uint32_t host_turn;    /* when it said that */
};

/* One host descriptor of one item. */
struct epoll_host {
    struct epoll_item *item; /* NULL: free */
    int32_t host_fd;
    int32_t own_fd;      /* a duplicate, because the set has host_fd for another item; -1 */
    uint32_t generation; /* moved when it becomes free: answers about earlier users are dropped */
    uint32_t next;       /* of the item, or free: index + 1 */
    uint16_t events;     /* that the file can have from it */
    bool is_stale;       /* while the item is registered anew */
};

struct epoll {
    struct mutex lock;
    struct epoll_item **buckets;
    unsigned bucket_count, item_count;
    struct spin ready_lock;
    struct epoll_item *ready_first, *ready_last;
    unsigned ready_count;
    struct waitq wait;    /* threads in epoll_wait */
    struct waitq pollers; /* who polls the epoll itself */
    int32_t host_set;     /* the host's descriptor of its set; -1 = none yet; atomic, set once */
    struct epoll_host *hosts;
    uint32_t host_space, host_free; /* host_free: index + 1 */
    uint32_t host_count;            /* used ones; atomic */
    uint32_t
        host_owner; /* slot + 1 of the thread that sleeps on the set; EPOLL_OWNER_NONE; atomic */
    uint32_t host_turn;    /* counts answers of the host */
    uint32_t inside_turns; /* calls that found something without the host */
    struct file *file;     /* not counted */
};

/* What ties a file to its entries; file->epoll_watch points to queue. */
struct epoll_file {
    struct waitq queue; /* unused by wakers */
    struct epoll_item *items;
};

extern const struct file_ops g_epoll_ops;
extern struct mutex g_epoll_links;

/* epoll_item.c; all under g_epoll_links and ep->lock. */
struct epoll_item *epoll_item_find(struct epoll *ep, const struct file *f, int fd);
MUST_CHECK int epoll_item_add(struct epoll *ep, struct file *f, int fd,
                              const struct epoll_event *ev);
MUST_CHECK int epoll_item_change(struct epoll_item *item, const struct epoll_event *ev);
/* is_closing: the file goes away, and with it what the host knows of it. */
void epoll_item_remove(struct epoll_item *item, bool is_closing);
/* What an item's file is ready for, of what it asks for. Takes host_revents. *ret_is_inside: some of it is known
 * without the host. */
uint32_t epoll_item_poll(struct epoll_item *item, bool *ret_is_inside);
/* Puts the item at the end of the ready list. returns: false when it was there. */
bool epoll_ready_add(struct epoll_item *item);
void epoll_ready_remove(struct epoll_item *item);
/* Announces that the ready list is not empty. */
void epoll_announce(struct epoll *ep);

/* ---- epoll_host.c; under ep->lock unless said otherwise ---- */

/* Makes the host's set. returns: 0 or -EMFILE, -ENOMEM. */
MUST_CHECK int epoll_host_set_make(struct epoll *ep);
/* Adds a host descriptor of the item, or changes what is asked of it. returns: 0; -EPERM the host cannot watch it;
 * -EMFILE, -ENOMEM, -ENOSPC. */
MUST_CHECK int epoll_host_add(struct epoll_item *item, int host_fd, uint16_t events);
/* Around a new registration: what is not added again in between goes. is_closing: the host forgets by itself. */
void epoll_host_begin(struct epoll_item *item);
void epoll_host_end(struct epoll_item *item, bool is_closing);
/* Puts the entries that the host reports (any bit may be hostile) into the ready list. */
void epoll_host_merge(struct epoll *ep, const struct ocall_event *got, int count);
/* How the calling thread is woken while it sleeps on the set; no lock. */
enum ocall_event_wake epoll_host_claim(struct epoll *ep);
/* The host did not take the new owner; again: it was not asked. */
void epoll_host_disclaim(struct epoll *ep, bool again);

/* epoll_wait.c: up to `count` (> 0) events. returns: count; -ERESTARTSYS; -ENOMEM. */
MUST_CHECK int epoll_wait_events(struct epoll *ep, struct epoll_event *events, unsigned count,
                                 uint64_t deadline_ns);
/* Readiness of the epoll itself, for whoever polls it. */
uint32_t epoll_poll(struct file *f, struct poll_table *pt);
