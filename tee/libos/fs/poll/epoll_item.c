/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of an epoll: registration with the queues of their files, the ready list, disappearance. Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/epoll.h"
#include "tee/libos/net/socket.h"

#define BUCKETS_FIRST 8u

struct mutex g_epoll_links;

/* ---- the table of entries ---- */

static unsigned hash(const struct file *f, int fd, unsigned buckets)
{
    uint64_t h = ((uintptr_t)f >> 4) * 0x9e3779b97f4a7c15ull +
                 (uint64_t)(uint32_t)fd * 0xff51afd7ed558ccdull;

    return (unsigned)(h >> 32) & (buckets - 1);
}

struct epoll_item *epoll_item_find(struct epoll *ep, const struct file *f, int fd)
{
    if (!ep->bucket_count)
        return NULL;
    struct epoll_item *item = ep->buckets[hash(f, fd, ep->bucket_count)];
    while (item && (item->file != f || item->fd != fd))
        item = item->hash_next;
    return item;
}

static int grow_table(struct epoll *ep)
{
    unsigned count = ep->bucket_count ? ep->bucket_count * 2 : BUCKETS_FIRST;
    struct epoll_item **buckets = mem_calloc(count, sizeof(struct epoll_item *));

    if (!buckets)
        return -ENOMEM;
    for (unsigned i = 0; i < ep->bucket_count; i++) {
        while (ep->buckets[i]) {
            struct epoll_item *item = ep->buckets[i];
            unsigned to = hash(item->file, item->fd, count);

            ep->buckets[i] = item->hash_next;
            item->hash_next = buckets[to];
            buckets[to] = item;
        }
    }
    mem_free(ep->buckets);
    ep->buckets = buckets;
    ep->bucket_count = count;
    return 0;
}

static void remove_from_table(struct epoll_item *item)
{
    struct epoll *ep = item->ep;
    struct epoll_item **p = &ep->buckets[hash(item->file, item->fd, ep->bucket_count)];

    while (*p != item)
        p = &(*p)->hash_next;
    *p = item->hash_next;
    ep->item_count--;
}

/* ---- the ready list ---- */

bool epoll_ready_add(struct epoll_item *item)
{
    struct epoll *ep = item->ep;

    spin_lock(&ep->ready_lock);
    if (item->is_ready) {
        spin_unlock(&ep->ready_lock);
        return false;
    }
    item->is_ready = true;
    item->ready_next = NULL;
    item->ready_prev = ep->ready_last;
    if (ep->ready_last)
        ep->ready_last->ready_next = item;
    else
        ep->ready_first = item;
    ep->ready_last = item;
    __atomic_store_n(&ep->ready_count, ep->ready_count + 1, __ATOMIC_RELAXED);
    spin_unlock(&ep->ready_lock);
    return true;
}

void epoll_ready_remove(struct epoll_item *item)
{
    struct epoll *ep = item->ep;

    spin_lock(&ep->ready_lock);
    if (item->is_ready) {
        item->is_ready = false;
        if (item->ready_prev)
            item->ready_prev->ready_next = item->ready_next;
        else
            ep->ready_first = item->ready_next;
        if (item->ready_next)
            item->ready_next->ready_prev = item->ready_prev;
        else
            ep->ready_last = item->ready_prev;
        __atomic_store_n(&ep->ready_count, ep->ready_count - 1, __ATOMIC_RELAXED);
    }
    spin_unlock(&ep->ready_lock);
}

void epoll_announce(struct epoll *ep)
{
    wait_wake(&ep->wait, 1, POLLIN);
    wait_wake(&ep->pollers, WAKE_ALL, POLLIN);
}

/* A queue of the item's file was woken. Called with that queue's lock held. */
static void on_wake(struct waiter *w, uint32_t key)
{
    struct epoll_item *item = w->arg;
    uint32_t asked = __atomic_load_n(&item->events, __ATOMIC_RELAXED);

    if (!(asked & ~EPOLL_FLAGS))
        return;
    if (key && !(key & asked))
        return;
    if (epoll_ready_add(item))
        epoll_announce(item->ep);
}

/* ---- registration ---- */

struct item_table {
    struct poll_table table;
    struct epoll_item *item;
};

static void table_add(struct poll_table *pt, struct waitq *q)
{
    struct epoll_item *item = CONTAINER_OF(pt, struct item_table, table)->item;
    struct waiter *w;

    if (item->waiter_count < EPOLL_ITEM_WAITERS) {
        w = &item->waiters[item->waiter_count++];
    } else {
        struct epoll_waiters *more = mem_zalloc(sizeof *more);

        if (!more) {
            item->error = -ENOMEM;
            return;
        }
        more->next = item->more;
        item->more = more;
        w = &more->waiter;
    }
    waiter_init_fn(w, on_wake, item);
    w->exclusive = (item->events & EPOLLEXCLUSIVE) != 0;
    waitq_add(q, w);
}

static void table_add_host(struct poll_table *pt, int host_fd, uint16_t events)
{
    struct epoll_item *item = CONTAINER_OF(pt, struct item_table, table)->item;
    int rc = item->error ? item->error : epoll_host_add(item, host_fd, events);

    if (rc < 0)
        item->error = rc;
}

static void leave_queues(struct epoll_item *item)
{
    for (unsigned i = 0; i < item->waiter_count; i++)
        waitq_remove(&item->waiters[i]);
    item->waiter_count = 0;
    while (item->more) {
        struct epoll_waiters *more = item->more;

        item->more = more->next;
        waitq_remove(&more->waiter);
        mem_free(more);
    }
}

static uint32_t item_mask(const struct epoll_item *item)
{
    return item->events & ~EPOLL_FLAGS;
}

/* Registers with the file's queues and the host; the item becomes ready at once when the file is. */
static int register_item(struct epoll_item *item)
{
    struct item_table t = { .table = { .add = table_add, .add_host = table_add_host },
                            .item = item };
    uint32_t bits;

    leave_queues(item);
    item->error = 0;
    epoll_host_begin(item);
    bits = item->file->ops->poll(item->file, &t.table);
    if (item->error)
        epoll_host_begin(item);
    epoll_host_end(item, false);
    if (item->error) {
        leave_queues(item);
        return item->error;
    }
    if (bits & item_mask(item)) {
        if (epoll_ready_add(item))
            epoll_announce(item->ep);
    }
    return 0;
}

/* No host descriptors: those come from host_revents. */
static void ignore_host(struct poll_table *pt UNUSED, int host_fd UNUSED, uint16_t events UNUSED)
{
}

uint32_t epoll_item_poll(struct epoll_item *item, bool *ret_is_inside)
{
    struct poll_table t = { .add_host = ignore_host };
    uint32_t mask = item_mask(item);
    uint32_t host = item->host_revents;
    uint32_t bits;

    item->host_revents = 0;
    *ret_is_inside = false;
    if (!mask)
        return 0;
    /* A level that did not fit into an earlier answer may have changed; the host says so again. */
    if (!(item->events & (EPOLLET | EPOLLONESHOT)) && item->host_turn != item->ep->host_turn)
        host = 0;
    bits = item->file->ops->poll(item->file, &t);
    *ret_is_inside = (bits & mask) != 0;
    return (bits | host) & mask;
}

/* ---- what epoll_ctl does ---- */

static int link_to_file(struct epoll_item *item)
{
    struct file *f = item->file;
    struct epoll_file *link;

    if (!f->epoll_watch) {
        link = mem_zalloc(sizeof *link);
        if (!link)
            return -ENOMEM;
        __atomic_store_n(&f->epoll_watch, &link->queue, __ATOMIC_RELEASE);
    }
    link = CONTAINER_OF(f->epoll_watch, struct epoll_file, queue);
    item->file_next = link->items;
    link->items = item;
    return 0;
}

static void unlink_from_file(struct epoll_item *item)
{
    struct epoll_file *link = CONTAINER_OF(item->file->epoll_watch, struct epoll_file, queue);
    struct epoll_item **p = &link->items;

    while (*p != item)
        p = &(*p)->file_next;
    *p = item->file_next;
}

int epoll_item_add(struct epoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
    if (ep->item_count >= EPOLL_ITEMS_MAX)
        return -ENOSPC;
    if (ep->item_count >= ep->bucket_count) {
        int rc = grow_table(ep);
        if (rc < 0)
            return rc;
    }
    struct epoll_item *item = mem_zalloc(sizeof *item);
    if (!item)
        return -ENOMEM;
    item->ep = ep;
    item->file = f;
    item->fd = fd;
    item->events = ev->events;
    item->data = ev->data;
    int rc = link_to_file(item);
    if (rc < 0) {
        mem_free(item);
        return rc;
    }
    unsigned bucket = hash(f, fd, ep->bucket_count);
    item->hash_next = ep->buckets[bucket];
    ep->buckets[bucket] = item;
    ep->item_count++;
    rc = register_item(item);
    if (rc < 0)
        epoll_item_remove(item, false);
    return rc;
}

int epoll_item_change(struct epoll_item *item, const struct epoll_event *ev)
{
    __atomic_store_n(&item->events, ev->events, __ATOMIC_RELAXED);
    item->data = ev->data;
    return register_item(item);
}

void epoll_item_remove(struct epoll_item *item, bool is_closing)
{
    leave_queues(item);
    epoll_host_begin(item);
    epoll_host_end(item, is_closing);
    epoll_ready_remove(item);
    remove_from_table(item);
    unlink_from_file(item);
    mem_free(item);
}

/* ---- what files say ---- */

void epoll_file_gone(struct file *f)
{
    if (!f->epoll_watch)
        return;
    /* A socket's host descriptor is closed next, and the host takes it out of its sets. */
    bool is_closing = sock_of(f) != NULL;

    mutex_lock(&g_epoll_links);
    struct epoll_file *link = CONTAINER_OF(f->epoll_watch, struct epoll_file, queue);
    while (link->items) {
        struct epoll *ep = link->items->ep;

        mutex_lock(&ep->lock);
        epoll_item_remove(link->items, is_closing);
        mutex_unlock(&ep->lock);
    }
    f->epoll_watch = NULL;
    mutex_unlock(&g_epoll_links);
    mem_free(link);
}

void poll_file_changed(struct file *f)
{
    file_async_changed(f);
    if (!__atomic_load_n(&f->epoll_watch, __ATOMIC_ACQUIRE))
        return;
    mutex_lock(&g_epoll_links);
    struct epoll_file *link = CONTAINER_OF(f->epoll_watch, struct epoll_file, queue);
    for (struct epoll_item *item = link->items; item; item = item->file_next) {
        mutex_lock(&item->ep->lock);
        int rc UNUSED =
            register_item(item); /* out of memory: the item stays without announcements */
        mutex_unlock(&item->ep->lock);
    }
    mutex_unlock(&g_epoll_links);
}
