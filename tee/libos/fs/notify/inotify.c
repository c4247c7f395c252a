/* SPDX-License-Identifier: Apache-2.0 */
/* inotify(7): instances, their watches, and reading events. fanotify is refused. Trusted. */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/notify/inotify_private.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/syscall/syscall.h"

#define MASK_FLAGS                                                                                 \
    (IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE | IN_ISDIR | IN_ONESHOT |      \
     IN_ONLYDIR)
#define MASK_KNOWN (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | MASK_FLAGS)
#define MASK_KEPT (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT)

static uint32_t g_instances; /* atomic */

/* ---- reading ---- */

/* The next event when it fits into size bytes. returns: 1; 0 none; -EINVAL it does not fit. */
static int take(struct inotify *in, size_t size, struct notify_event **ret)
{
    struct notify_event *e;
    int rc = 0;

    mutex_lock(&g_notify_lock);
    e = in->first;
    if (e && notify_event_size(e->name_size) > size) {
        rc = -EINVAL;
    } else if (e) {
        rc = 1;
        in->first = e->next;
        if (!in->first)
            in->last = NULL;
        in->bytes -= notify_event_size(e->name_size);
        __atomic_store_n(&in->count, in->count - 1, __ATOMIC_RELAXED);
        *ret = e;
    }
    mutex_unlock(&g_notify_lock);
    return rc;
}

static int64_t put_event(struct uio *u, const struct notify_event *e)
{
    static const char zeros[sizeof(struct inotify_event)];
    size_t size = notify_event_size(e->name_size), pad;
    struct inotify_event head = {
        .wd = e->wd, .mask = e->mask, .cookie = e->cookie, .len = (uint32_t)(size - sizeof head)
    };

    pad = head.len - e->name_size;
    if (uio_put(u, &head, sizeof head) != (int64_t)sizeof head ||
        (head.len && (uio_put(u, e->name, e->name_size) != (int64_t)e->name_size ||
                      uio_put(u, zeros, pad) != (int64_t)pad)))
        return -EFAULT;
    return (int64_t)size;
}

static int64_t inotify_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct inotify *in = f->private_data;
    struct notify_event *e;
    int64_t total = 0;

    for (;;) {
        int64_t rc = take(in, u->left, &e);

        if (rc > 0) {
            rc = put_event(u, e);
            mem_free(e);
        } else if (total || rc < 0) {
            return total ? total : rc;
        } else if (f->flags & O_NONBLOCK) {
            return -EAGAIN;
        } else {
            WAIT_UNTIL(rc, &in->wait, __atomic_load_n(&in->count, __ATOMIC_ACQUIRE) != 0,
                       WAIT_FOREVER);
        }
        if (rc < 0)
            return total ? total : rc;
        total += rc;
    }
}

static uint32_t inotify_poll(struct file *f, struct poll_table *pt)
{
    struct inotify *in = f->private_data;

    if (pt && pt->add) {
        poll_add(pt, &in->wait);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* registered before the look */
    }
    return __atomic_load_n(&in->count, __ATOMIC_RELAXED) ? POLLIN | POLLRDNORM : 0;
}

static int64_t inotify_ioctl(struct file *f, uint32_t request, uintptr_t arg)
{
    struct inotify *in = f->private_data;
    int bytes;

    if (request != FIONREAD)
        return -ENOTTY;
    mutex_lock(&g_notify_lock);
    bytes = (int)in->bytes;
    mutex_unlock(&g_notify_lock);
    return USER_PUT(arg, &bytes);
}

static void inotify_release(struct file *f)
{
    struct inotify *in = f->private_data;
    struct notify_event *next;

    for (;;) {
        struct inode *inode = NULL;

        mutex_lock(&g_notify_lock);
        if (in->watches)
            inode = notify_watch_remove(in->watches, false);
        mutex_unlock(&g_notify_lock);
        if (!inode)
            break;
        inode_unref(inode);
    }
    for (struct notify_event *e = in->first; e; e = next) {
        next = e->next;
        mem_free(e);
    }
    mem_free(in);
    __atomic_fetch_sub(&g_instances, 1, __ATOMIC_RELAXED);
}

static const struct file_ops g_inotify_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
    .sends_sigio = true,
};

/* ---- the calls ---- */

static int64_t create(uint32_t flags)
{
    struct inotify *in;
    struct file *f;
    int rc;

    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    if (__atomic_add_fetch(&g_instances, 1, __ATOMIC_RELAXED) > INOTIFY_INSTANCE_MAX) {
        __atomic_fetch_sub(&g_instances, 1, __ATOMIC_RELAXED);
        return -EMFILE;
    }
    in = mem_zalloc(sizeof *in);
    rc = in ? file_new(&g_inotify_ops, O_RDONLY | (flags & O_NONBLOCK), in, &f) : -ENOMEM;
    if (rc < 0) {
        mem_free(in);
        __atomic_fetch_sub(&g_instances, 1, __ATOMIC_RELAXED);
        return rc;
    }
    f->anon_name = "anon_inode:inotify";
    return poll_fd_install(f, (flags & O_CLOEXEC) != 0);
}

SYSCALL_DEFINE(inotify_init)
{
    return create(0);
}

SYSCALL_DEFINE(inotify_init1)
{
    return create((uint32_t)a);
}

static struct notify_watch *find_watch(struct inotify *in, const struct inode *inode)
{
    struct notify_watch *w = inode->watches;

    while (w && w->instance != in)
        w = w->next_of_inode;
    return w;
}

/* A number that no watch of the instance has: they go round. */
static int32_t next_wd(struct inotify *in)
{
    bool is_taken = true;

    while (is_taken) {
        in->has_wrapped |= in->last_wd == INT32_MAX;
        in->last_wd = in->last_wd == INT32_MAX ? 1 : in->last_wd + 1;
        is_taken = false;
        for (struct notify_watch *w = in->has_wrapped ? in->watches : NULL; w && !is_taken;
             w = w->next_of_instance)
            is_taken = w->wd == in->last_wd;
    }
    return in->last_wd;
}

/* Lock held. fresh: for a new watch; *ret_used when it is one now. returns: the watch's number; -EEXIST; -ENOSPC. */
static int64_t watch_locked(struct inotify *in, struct inode *inode, uint32_t mask,
                            struct notify_watch *fresh, bool *ret_used)
{
    struct notify_watch *w = find_watch(in, inode);

    if (w) {
        if (mask & IN_MASK_CREATE)
            return -EEXIST;
        w->mask = (mask & IN_MASK_ADD ? w->mask : 0) | (mask & MASK_KEPT);
        return w->wd;
    }
    if (g_notify_watches >= INOTIFY_WATCH_MAX)
        return -ENOSPC;
    *fresh = (struct notify_watch){
        .next_of_inode = inode->watches,
        .next_of_instance = in->watches,
        .inode = inode,
        .instance = in,
        .wd = next_wd(in),
        .mask = mask & MASK_KEPT,
    };
    inode_ref(inode);
    __atomic_store_n(&inode->watches, fresh, __ATOMIC_RELEASE);
    in->watches = fresh;
    __atomic_fetch_add(&g_notify_watches, 1, __ATOMIC_RELAXED);
    *ret_used = true;
    return fresh->wd;
}

static int64_t watch(struct inotify *in, struct inode *inode, uint32_t mask)
{
    struct notify_watch *fresh;
    bool used = false;
    int64_t rc = inode_permission(inode, 4);

    if (rc < 0)
        return rc;
    fresh = mem_alloc(sizeof *fresh);
    if (!fresh)
        return -ENOMEM;
    mutex_lock(&g_notify_lock);
    rc = watch_locked(in, inode, mask, fresh, &used);
    mutex_unlock(&g_notify_lock);
    if (!used)
        mem_free(fresh);
    return rc;
}

SYSCALL_DEFINE(inotify_add_watch)
{
    uint32_t mask = (uint32_t)c, flags = mask & IN_DONT_FOLLOW ? 0 : LOOKUP_FOLLOW;
    struct user_path path;
    struct dentry *at;
    int64_t rc;

    if (!(mask & MASK_KNOWN) || mask & ~(uint32_t)MASK_KNOWN)
        return -EINVAL;
    CLEANUP(file_unrefp)
    struct file *file = fd_get((int)a);
    if (!file)
        return -EBADF;
    if ((mask & IN_MASK_ADD && mask & IN_MASK_CREATE) || file->ops != &g_inotify_ops)
        return -EINVAL;
    if (mask & IN_ONLYDIR)
        flags |= LOOKUP_DIRECTORY;
    user_path_init(&path);
    rc = user_path_get(&path, b);
    if (rc >= 0)
        rc = path_lookup(AT_FDCWD, path.str, flags, &at);
    user_path_done(&path);
    if (rc < 0)
        return rc;
    rc = watch(file->private_data, dentry_inode(at), mask);
    dentry_unref(at);
    return rc;
}

SYSCALL_DEFINE(inotify_rm_watch)
{
    CLEANUP(file_unrefp)
    struct file *file = fd_get((int)a);
    struct inode *inode = NULL;
    struct notify_watch *w;
    struct inotify *in;

    if (!file)
        return -EBADF;
    if (file->ops != &g_inotify_ops)
        return -EINVAL;
    in = file->private_data;
    mutex_lock(&g_notify_lock);
    for (w = in->watches; w && w->wd != (int32_t)b; w = w->next_of_instance)
        ;
    if (w)
        inode = notify_watch_remove(w, true);
    mutex_unlock(&g_notify_lock);
    inode_unref(inode);
    return inode ? 0 : -EINVAL;
}

/* Watching whole mounts needs CAP_SYS_ADMIN, which nobody in a container has. */
SYSCALL_DEFINE(fanotify_init)
{
    return -EPERM;
}

SYSCALL_DEFINE(fanotify_mark)
{
    CLEANUP(file_unrefp)
    struct file *file = fd_get((int)a);

    return file ? -EINVAL : -EBADF;
}
