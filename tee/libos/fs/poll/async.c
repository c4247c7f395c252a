/* SPDX-License-Identifier: Apache-2.0 */
/*
 * O_ASYNC: files that send a signal when they become ready. Trusted. A waiter in each queue of the file notes what woke it
 * (signal/sigio.h). A file over a host descriptor is an entry of an epoll of the library OS's own, edge-triggered, on which
 * a thread of the library OS's own sleeps: what the host does not tell it, nobody hears.
 */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/poll/epoll.h"
#include "tee/libos/signal/sigio.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/task/group.h"
#include "tee/libos/task/task.h"

#define WAITERS_MAX 4u
#define HOST_EVENTS 16u
#define ITEM_FD (-1) /* entries have a key of their own in the epoll, as if of a descriptor */

struct file_async {
    struct sigio *io;
    struct waiter waiters[WAITERS_MAX];
    unsigned waiter_count;
    bool is_on, has_host, has_item;
    bool
        skips_room; /* it could be written to when it was added: the host's first answer says no more */
    uint64_t number;         /* what the epoll knows it by */
    struct file_async *next; /* of those with an item */
};

/* lock guards all below, file->async and what it points to; above g_epoll_links. */
static struct {
    struct mutex lock;
    struct epoll *ep; /* set once, with its thread */
    struct file_async *with_item;
    uint64_t last_number;
} g_async;

static int get(struct file *f, struct file_async **ret)
{
    struct file_async *a = f->async;
    int rc;

    if (!a) {
        a = mem_zalloc(sizeof *a);
        if (!a)
            return -ENOMEM;
        rc = sigio_new(&a->io);
        if (rc < 0) {
            mem_free(a);
            return rc;
        }
        __atomic_store_n(&f->async, a, __ATOMIC_RELEASE);
    }
    *ret = a;
    return 0;
}

/* ---- the host's ---- */

static void note_host(uint64_t number, uint32_t events)
{
    struct file_async *a;

    mutex_lock(&g_async.lock);
    for (a = g_async.with_item; a && a->number != number; a = a->next)
        ;
    if (a) {
        /* An edge of anything tells all that is so: room that was there before is no news. */
        if (a->skips_room || (events & (POLLIN | POLLPRI)))
            events &= ~(uint32_t)(POLLOUT | POLLWRNORM);
        a->skips_room = false;
        if (events)
            sigio_note(a->io, events);
    }
    mutex_unlock(&g_async.lock);
}

static void serve(void *arg)
{
    struct epoll_event events[HOST_EVENTS];

    for (;;) {
        int n = epoll_wait_events(arg, events, HOST_EVENTS, WAIT_FOREVER);

        if (n == -ERESTARTSYS && thread_must_die())
            return;
        for (int i = 0; i < n; i++)
            note_host(events[i].data, events[i].events);
        sigio_flush();
    }
}

static int start_service(void)
{
    struct epoll *ep;
    int rc;

    if (g_async.ep)
        return 0;
    ep = mem_zalloc(sizeof *ep);
    if (!ep)
        return -ENOMEM;
    ep->host_set = -1;
    rc = thread_start_kernel(serve, ep, "sigio");
    if (rc < 0)
        mem_free(ep);
    else
        g_async.ep = ep;
    return rc;
}

static int add_item(struct file *f, struct file_async *a)
{
    struct epoll_event ev = { .events = EPOLLET | POLLIN | POLLOUT | POLLPRI };
    int rc = start_service();

    if (rc < 0)
        return rc;
    a->skips_room = (file_poll(f) & POLLOUT) != 0;
    a->number = ev.data = ++g_async.last_number;
    mutex_lock(&g_epoll_links);
    mutex_lock(&g_async.ep->lock);
    rc = epoll_item_add(g_async.ep, f, ITEM_FD, &ev);
    mutex_unlock(&g_async.ep->lock);
    mutex_unlock(&g_epoll_links);
    if (rc < 0)
        return rc;
    a->has_item = true;
    a->next = g_async.with_item;
    g_async.with_item = a;
    return 0;
}

static void forget_item(struct file_async *a)
{
    struct file_async **at = &g_async.with_item;

    if (!a->has_item)
        return;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    a->has_item = false;
}

static void remove_item(struct file *f, struct file_async *a)
{
    struct epoll_item *item;

    if (!a->has_item)
        return;
    mutex_lock(&g_epoll_links);
    mutex_lock(&g_async.ep->lock);
    item = epoll_item_find(g_async.ep, f, ITEM_FD);
    if (item)
        epoll_item_remove(item, false);
    mutex_unlock(&g_async.ep->lock);
    mutex_unlock(&g_epoll_links);
    forget_item(a);
}

/* ---- the queues inside ---- */

/* A queue was woken; its lock is held. */
static void on_wake(struct waiter *w, uint32_t key)
{
    struct file_async *a = w->arg;

    sigio_note(a->io, key ? key : POLLIN);
}

struct async_table {
    struct poll_table table;
    struct file_async *async;
};

static void table_add(struct poll_table *pt, struct waitq *q)
{
    struct file_async *a = CONTAINER_OF(pt, struct async_table, table)->async;
    struct waiter *w;

    if (a->waiter_count == WAITERS_MAX)
        return;
    w = &a->waiters[a->waiter_count++];
    waiter_init_fn(w, on_wake, a);
    waitq_add(q, w);
}

static void table_add_host(struct poll_table *pt, int host_fd UNUSED, uint16_t events UNUSED)
{
    CONTAINER_OF(pt, struct async_table, table)->async->has_host = true;
}

static void leave_queues(struct file_async *a)
{
    while (a->waiter_count)
        waitq_remove(&a->waiters[--a->waiter_count]);
}

/* Registers with the file's queues, or with the host when it has a part in them. */
static int watch(struct file *f, struct file_async *a)
{
    struct async_table t = { .table = { .add = table_add, .add_host = table_add_host },
                             .async = a };

    leave_queues(a);
    a->has_host = false;
    (void)f->ops->poll(f, &t.table);
    if (a->has_host)
        leave_queues(a);
    if (a->has_host && !a->has_item)
        return add_item(f, a);
    if (!a->has_host)
        remove_item(f, a);
    return 0;
}

static void stop(struct file *f, struct file_async *a)
{
    sigio_set_fd(a->io, -1);
    leave_queues(a);
    remove_item(f, a);
    a->is_on = false;
}

int file_async_set(struct file *f, int fd, bool on)
{
    struct file_async *a;
    int rc = 0;

    mutex_lock(&g_async.lock);
    if (on || f->async)
        rc = get(f, &a);
    if (rc == 0 && on) {
        sigio_set_fd(a->io, fd);
        a->is_on = true;
        rc = watch(f, a);
        if (rc < 0)
            stop(f, a);
    } else if (rc == 0 && f->async) {
        stop(f, a);
    }
    if (rc == 0) {
        if (on)
            __atomic_or_fetch(&f->flags, FASYNC, __ATOMIC_RELAXED);
        else
            __atomic_and_fetch(&f->flags, ~(uint32_t)FASYNC, __ATOMIC_RELAXED);
    }
    mutex_unlock(&g_async.lock);
    return rc;
}

void file_async_changed(struct file *f)
{
    if (LIKELY(!__atomic_load_n(&f->async, __ATOMIC_ACQUIRE)))
        return;
    mutex_lock(&g_async.lock);
    if (f->async->is_on && watch(f, f->async) < 0)
        stop(f, f->async); /* out of memory, or of the host's descriptors */
    mutex_unlock(&g_async.lock);
}

void file_async_gone(struct file *f)
{
    struct file_async *a = f->async;

    mutex_lock(&g_async.lock);
    forget_item(a); /* epoll_file_gone() has removed it */
    f->async = NULL;
    mutex_unlock(&g_async.lock);
    leave_queues(a);
    sigio_end(a->io);
    mem_free(a);
}

/* ---- what fcntl sets ---- */

static bool owner_exists(int32_t kind, int32_t id)
{
    struct thread *t = kind == F_OWNER_PGRP ? NULL : thread_find(id);
    struct process *p = kind == F_OWNER_PGRP ? NULL : process_find(id);

    thread_unref(t);
    process_unref(p);
    return t || p || (kind == F_OWNER_PGRP && group_signal(id, 0, NULL) == 0);
}

int file_owner_set(struct file *f, int32_t kind, int32_t id)
{
    const struct cred *c = process_cred();
    struct sigio_owner owner = { .kind = kind, .id = id, .uid = c->ruid, .euid = c->euid };
    struct file_async *a;
    int rc;

    if (id && !owner_exists(kind, id))
        return -ESRCH;
    mutex_lock(&g_async.lock);
    rc = get(f, &a);
    if (rc == 0)
        sigio_set_owner(a->io, &owner);
    mutex_unlock(&g_async.lock);
    return rc;
}

int32_t file_owner_get(struct file *f, int32_t *ret_kind)
{
    struct sigio_owner owner = { .kind = F_OWNER_PID };

    mutex_lock(&g_async.lock);
    if (f->async)
        owner = sigio_get_owner(f->async->io);
    mutex_unlock(&g_async.lock);
    *ret_kind = owner.id ? owner.kind : F_OWNER_PID;
    return owner.id && owner_exists(owner.kind, owner.id) ? owner.id : 0;
}

int file_plain_owner_set(struct file *f, int32_t owner)
{
    if (owner == INT32_MIN)
        return -EINVAL;
    return owner < 0 ? file_owner_set(f, F_OWNER_PGRP, -owner)
                     : file_owner_set(f, F_OWNER_PID, owner);
}

int32_t file_plain_owner_get(struct file *f)
{
    int32_t kind, id = file_owner_get(f, &kind);

    return kind == F_OWNER_PGRP ? -id : id;
}

int file_signal_set(struct file *f, int signo)
{
    struct file_async *a;
    int rc = 0;

    mutex_lock(&g_async.lock);
    if (signo || f->async)
        rc = get(f, &a);
    if (rc == 0 && f->async)
        sigio_set_signal(a->io, signo);
    mutex_unlock(&g_async.lock);
    return rc;
}

int file_signal_get(struct file *f)
{
    int signo;

    mutex_lock(&g_async.lock);
    signo = f->async ? sigio_get_signal(f->async->io) : 0;
    mutex_unlock(&g_async.lock);
    return signo;
}
