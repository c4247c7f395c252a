/* SPDX-License-Identifier: Apache-2.0 */
/* epoll_create(2), epoll_ctl(2), epoll_wait(2) and their variants. Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/fcntl.h>
#include <linux/time_types.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/fs/poll/epoll.h"
#include "tee/libos/fs/poll/poll_set.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

#define EVENTS_INLINE 32u
#define EVENTS_MAX 65536u /* at most so many in one answer */
#define NS_PER_SEC 1000000000ull
#define EXCLUSIVE_ALLOWED                                                                          \
    (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->private_data;

    mutex_lock(&g_epoll_links);
    mutex_lock(&ep->lock);
    for (unsigned i = 0; i < ep->bucket_count; i++)
        while (ep->buckets[i])
            epoll_item_remove(ep->buckets[i], true);
    mutex_unlock(&ep->lock);
    mutex_unlock(&g_epoll_links);
    mem_free(ep->buckets);
    mem_free(ep->hosts);
    if (ep->host_set >= 0)
        (void)!ocall_close(ep->host_set);
    mem_free(ep);
}

const struct file_ops g_epoll_ops = {
    .poll = epoll_poll,
    .release = epoll_release,
};

static int64_t create(uint64_t flags)
{
    struct epoll *ep;
    struct file *f;

    if (flags & ~(uint64_t)EPOLL_CLOEXEC)
        return -EINVAL;
    ep = mem_zalloc(sizeof *ep);
    if (!ep)
        return -ENOMEM;
    ep->host_set = -1;
    int rc = file_new(&g_epoll_ops, O_RDWR, ep, &f);
    if (rc < 0) {
        mem_free(ep);
        return rc;
    }
    f->anon_name = "anon_inode:[eventpoll]";
    ep->file = f;
    return poll_fd_install(f, (flags & EPOLL_CLOEXEC) != 0);
}

SYSCALL_DEFINE(epoll_create)
{
    return (int)a <= 0 ? -EINVAL : create(0);
}

SYSCALL_DEFINE(epoll_create1)
{
    return create((uint32_t)a);
}

/* ---- epoll_ctl ---- */

/* True when `target` is reached from `from` through nested epolls within EPOLL_DEPTH_MAX, or chains get too deep.
 * Under g_links. Walks with an explicit stack. */
static bool loops(struct epoll *from, const struct epoll *target)
{
    struct {
        struct epoll *ep;
        unsigned bucket;
        struct epoll_item *item;
    } stack[EPOLL_DEPTH_MAX];
    unsigned depth = 1;

    stack[0].ep = from;
    stack[0].bucket = 0;
    stack[0].item = NULL;
    while (depth > 0) {
        struct epoll *ep = stack[depth - 1].ep;
        struct epoll_item *item = stack[depth - 1].item;

        if (ep == target)
            return true;
        item = item ? item->hash_next : NULL;
        while (!item && stack[depth - 1].bucket < ep->bucket_count)
            item = ep->buckets[stack[depth - 1].bucket++];
        if (!item) {
            depth--;
            continue;
        }
        stack[depth - 1].item = item;
        if (item->file->ops != &g_epoll_ops)
            continue;
        if (depth == EPOLL_DEPTH_MAX)
            return true;
        stack[depth].ep = item->file->private_data;
        stack[depth].bucket = 0;
        stack[depth++].item = NULL;
    }
    return false;
}

static int change(struct epoll *ep, int op, struct file *f, int fd, struct epoll_event *ev)
{
    struct epoll_item *item = epoll_item_find(ep, f, fd);

    switch (op) {
    case EPOLL_CTL_ADD:
        return item ? -EEXIST : epoll_item_add(ep, f, fd, ev);
    case EPOLL_CTL_DEL:
        if (!item)
            return -ENOENT;
        epoll_item_remove(item, false);
        return 0;
    case EPOLL_CTL_MOD:
        if (!item)
            return -ENOENT;
        if ((item->events | ev->events) & EPOLLEXCLUSIVE)
            return -EINVAL;
        return epoll_item_change(item, ev);
    default:
        return -EINVAL;
    }
}

static int ctl(struct file *epf, int op, struct file *f, int fd, struct epoll_event *ev)
{
    struct epoll *ep;
    int rc;

    if (!f->ops->poll)
        return -EPERM;
    if (epf == f || epf->ops != &g_epoll_ops)
        return -EINVAL;
    if (op != EPOLL_CTL_DEL && ev->events & EPOLLEXCLUSIVE &&
        (op == EPOLL_CTL_MOD || f->ops == &g_epoll_ops || ev->events & ~EXCLUSIVE_ALLOWED))
        return -EINVAL;
    ep = epf->private_data;
    ev->events |= EPOLLERR | EPOLLHUP; /* always told */
    mutex_lock(&g_epoll_links);
    if (op == EPOLL_CTL_ADD && f->ops == &g_epoll_ops && loops(f->private_data, ep)) {
        mutex_unlock(&g_epoll_links);
        return -ELOOP;
    }
    mutex_lock(&ep->lock);
    rc = change(ep, op, f, fd, ev);
    mutex_unlock(&ep->lock);
    mutex_unlock(&g_epoll_links);
    return rc;
}

SYSCALL_DEFINE(epoll_ctl)
{
    struct epoll_event ev = { 0 };

    if ((int)b != EPOLL_CTL_DEL) {
        int rc = USER_GET(&ev, d);
        if (rc < 0)
            return rc;
    }
    CLEANUP(file_unrefp)
    struct file *epf = fd_get((int)a);
    if (!epf)
        return -EBADF;
    CLEANUP(file_unrefp)
    struct file *target = fd_get((int)c);
    if (!target)
        return -EBADF;
    return ctl(epf, (int)b, target, (int)c, &ev);
}

/* ---- epoll_wait ---- */

static int64_t wait_into(struct epoll *ep, uintptr_t addr, struct epoll_event *events,
                         unsigned count, uint64_t deadline_ns)
{
    int n = epoll_wait_events(ep, events, count, deadline_ns);

    if (n <= 0)
        return n;
    int rc = user_copy_out(addr, events, (size_t)n * sizeof *events);
    return rc < 0 ? rc : n;
}

static int64_t wait_heap(struct epoll *ep, uintptr_t addr, unsigned count, uint64_t deadline_ns)
{
    /* No answer has more events than there are items; a program's large array costs nothing. */
    count = MIN(count, MAX(__atomic_load_n(&ep->item_count, __ATOMIC_RELAXED), EVENTS_INLINE));
    count = MIN(count, EVENTS_MAX);

    CLEANUP(mem_freep)
    struct epoll_event *events = mem_calloc(count, sizeof *events);
    if (!events)
        return -ENOMEM;
    return wait_into(ep, addr, events, count, deadline_ns);
}

static int64_t wait_small(struct epoll *ep, uintptr_t addr, unsigned count, uint64_t deadline_ns)
{
    struct epoll_event events[EVENTS_INLINE];

    return wait_into(ep, addr, events, MIN(count, EVENTS_INLINE), deadline_ns);
}

static int64_t wait_fd(int fd, uintptr_t addr, int count, uint64_t deadline_ns)
{
    CLEANUP(file_unrefp)
    struct file *f = NULL;

    if (count <= 0 || (unsigned)count > INT32_MAX / sizeof(struct epoll_event))
        return -EINVAL;
    if (!user_range_ok(addr, (unsigned)count * sizeof(struct epoll_event)))
        return -EFAULT;
    f = fd_get(fd);
    if (!f)
        return -EBADF;
    if (f->ops != &g_epoll_ops)
        return -EINVAL;
    if ((unsigned)count <= EVENTS_INLINE ||
        __atomic_load_n(&((struct epoll *)f->private_data)->item_count, __ATOMIC_RELAXED) <=
            EVENTS_INLINE)
        return wait_small(f->private_data, addr, (unsigned)count, deadline_ns);
    return wait_heap(f->private_data, addr, (unsigned)count, deadline_ns);
}

static uint64_t ms_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? WAIT_FOREVER : poll_deadline_ns((uint64_t)timeout_ms * 1000000);
}

SYSCALL_DEFINE(epoll_wait)
{
    int64_t rc = wait_fd((int)a, b, (int)c, ms_deadline((int)d));

    return rc == -ERESTARTSYS ? -EINTR : rc;
}

SYSCALL_DEFINE(epoll_pwait)
{
    int64_t rc = poll_sigmask_begin(e, f);

    if (rc < 0)
        return rc;
    return poll_sigmask_end(wait_fd((int)a, b, (int)c, ms_deadline((int)d)), -EINTR);
}

SYSCALL_DEFINE(epoll_pwait2)
{
    uint64_t deadline = WAIT_FOREVER;
    int64_t rc;

    if (d) {
        struct __kernel_timespec t;

        rc = USER_GET(&t, d);
        if (rc < 0)
            return rc;
        if (t.tv_sec < 0 || t.tv_nsec < 0 || (uint64_t)t.tv_nsec >= NS_PER_SEC)
            return -EINVAL;
        if ((uint64_t)t.tv_sec < UINT64_MAX / NS_PER_SEC / 2)
            deadline = poll_deadline_ns((uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec);
    }
    rc = poll_sigmask_begin(e, f);
    if (rc < 0)
        return rc;
    return poll_sigmask_end(wait_fd((int)a, b, (int)c, deadline), -EINTR);
}
