/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll inside the enclave. Trusted.
 *
 * An entry (struct epoll_item) sits in the queues of its file; a wake of one of them puts the entry into its epoll's
 * ready list, so that epoll_wait looks only at files that announced something. Host descriptors cannot
 * announce anything: their entries are kept in one array that a single OCALL polls, where the thread must leave
 * the enclave anyway.
 *
 * Edge-triggered entries on host descriptors: an event is reported once, and again after the file said by
 * poll_host_rearm that the program has read or filled it.
 *
 * Locks: g_links (which files and epolls are tied; adding and removing) > epoll->lock (entries, scanning; outer
 * epoll before the one nested in it) > waitq.lock > epoll->ready_lock.
 */
#pragma once

#include <linux/eventpoll.h>

#include "tee/libos/fs/poll/poll.h"

#define EPOLL_ITEMS_MAX 65536u
#define EPOLL_DEPTH_MAX 5u
#define EPOLL_ITEM_WAITERS 2u
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
    bool failed;   /* out of memory while registering */
    unsigned waiter_count;
    struct waiter waiters[EPOLL_ITEM_WAITERS];
    struct epoll_waiters *more;
    unsigned host_count;   /* entries of ep->hosts that are this item's */
    uint32_t host_revents; /* what the host said last, not yet reported */
    uint32_t host_armed;   /* edge-triggered: events that may be reported */
};

/* One host descriptor of one item. */
struct epoll_host {
    struct epoll_item *item;
    int32_t host_fd;
    uint16_t events;
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
    struct epoll_host *hosts;
    unsigned host_count, host_space;
    uint32_t host_version;  /* moved by each change of hosts */
    uint32_t host_sleepers; /* threads asleep on hosts; under lock */
    struct file *file;      /* not counted */
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
void epoll_item_remove(struct epoll_item *item);
/* What an item's file is ready for, of what it asks for. Takes host_revents. *ret_is_inside: some of it is known
 * without the host. */
uint32_t epoll_item_poll(struct epoll_item *item, bool *ret_is_inside);
/* Puts the item at the end of the ready list. returns: false when it was there. */
bool epoll_ready_add(struct epoll_item *item);
void epoll_ready_remove(struct epoll_item *item);
/* Announces that the ready list is not empty. */
void epoll_announce(struct epoll *ep);

/* epoll_wait.c: up to `count` (> 0) events. returns: count; -ERESTARTSYS; -ENOMEM. */
MUST_CHECK int epoll_wait_events(struct epoll *ep, struct epoll_event *events, unsigned count,
                                 uint64_t deadline_ns);
/* Readiness of the epoll itself, for whoever polls it. */
uint32_t epoll_poll(struct file *f, struct poll_table *pt);
