/* SPDX-License-Identifier: Apache-2.0 */
/* Events: from the vfs to the queues of those who watch. Trusted. */
#include "tee/libos/fs/notify/inotify_private.h"

#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

uint32_t g_notify_watches;
struct mutex g_notify_lock;

uint32_t notify_new_cookie(void)
{
    static uint32_t last;

    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

static bool is_same(const struct notify_event *e, int32_t wd, uint32_t mask, const char *name,
                    uint32_t name_size)
{
    return e && e->wd == wd && e->mask == mask && e->name_size == name_size &&
           memcmp(e->name, name, name_size) == 0;
}

void notify_queue(struct inotify *in, int32_t wd, uint32_t mask, uint32_t cookie, const char *name,
                  uint32_t name_size)
{
    struct notify_event *e;

    if (in->count >= INOTIFY_QUEUE_MAX) {
        wd = -1;
        mask = IN_Q_OVERFLOW;
        cookie = name_size = 0;
    }
    if (is_same(in->last, wd, mask, name, name_size))
        return; /* nobody has read the like of it yet */
    e = mem_alloc(sizeof *e + name_size);
    if (!e)
        return;
    *e = (struct notify_event){ .wd = wd, .mask = mask, .cookie = cookie, .name_size = name_size };
    memcpy(e->name, name, name_size);
    if (in->last)
        in->last->next = e;
    else
        in->first = e;
    in->last = e;
    in->bytes += notify_event_size(name_size);
    __atomic_store_n(&in->count, in->count + 1, __ATOMIC_RELEASE);
    wait_wake(&in->wait, WAKE_ALL, POLLIN | POLLRDNORM);
}

struct inode *notify_watch_remove(struct notify_watch *w, bool tell)
{
    struct notify_watch **at = (struct notify_watch **)&w->inode->watches;
    struct inode *inode = w->inode;

    if (tell)
        notify_queue(w->instance, w->wd, IN_IGNORED, 0, "", 0);
    while (*at != w)
        at = &(*at)->next_of_inode;
    *at = w->next_of_inode;
    at = &w->instance->watches;
    while (*at != w)
        at = &(*at)->next_of_instance;
    *at = w->next_of_instance;
    mem_free(w);
    __atomic_fetch_sub(&g_notify_watches, 1, __ATOMIC_RELAXED);
    return inode;
}

static void unref_many(struct inode *inode, unsigned count)
{
    while (count--)
        inode_unref(inode);
}

/* To the watches of one inode. Lock held. deleted: the name that it happened under is gone.
 * returns: how many references of the inode to drop without the lock, for watches that ended. */
MUST_CHECK static unsigned tell(struct inode *inode, uint32_t mask, uint32_t cookie,
                                const char *name, uint32_t name_size, bool deleted)
{
    struct notify_watch *next;
    unsigned ended = 0;

    for (struct notify_watch *w = inode->watches; w; w = next) {
        uint32_t told = mask;

        next = w->next_of_inode;
        if (!(w->mask & mask & IN_ALL_EVENTS) || (deleted && w->mask & IN_EXCL_UNLINK))
            continue;
        if (mask & (IN_MOVE_SELF | IN_DELETE_SELF))
            told &= ~(uint32_t)IN_ISDIR; /* these never had it */
        notify_queue(w->instance, w->wd, told, cookie, name, name_size);
        if (w->mask & IN_ONESHOT) {
            (void)notify_watch_remove(w, true);
            ended++;
        }
    }
    return ended;
}

static bool is_watched(const struct inode *inode)
{
    return __atomic_load_n(&inode->watches, __ATOMIC_ACQUIRE) != NULL;
}

/* Counts as a folder: IN_ISDIR. */
static uint32_t kind_bit(const struct inode *inode)
{
    return S_ISDIR(inode->mode) ? IN_ISDIR : 0;
}

void notify_child_slow(struct inode *dir, const char *name, size_t name_size, uint32_t mask,
                       uint32_t cookie)
{
    unsigned ended;

    if (!is_watched(dir))
        return;
    mutex_lock(&g_notify_lock);
    ended = tell(dir, mask, cookie, name, (uint32_t)name_size, false);
    mutex_unlock(&g_notify_lock);
    unref_many(dir, ended);
}

void notify_inode_slow(struct inode *inode, uint32_t mask)
{
    unsigned ended;

    if (!is_watched(inode))
        return;
    mutex_lock(&g_notify_lock);
    ended = tell(inode, mask | kind_bit(inode), 0, "", 0, false);
    mutex_unlock(&g_notify_lock);
    unref_many(inode, ended);
}

void notify_dentry_slow(struct dentry *d, uint32_t mask)
{
    struct inode *dir = NULL, *inode = dentry_inode(d);
    char name[NAME_SIZE_MAX];
    uint32_t name_size = 0;
    unsigned dir_ended = 0, ended;
    bool deleted = false;

    if (!inode)
        return;
    spin_lock(&g_dcache.lock);
    if (d->parent && d->parent->inode && is_watched(d->parent->inode)) {
        dir = d->parent->inode;
        inode_ref(dir);
        name_size = d->name_size;
        memcpy(name, d->name, name_size);
        deleted = d->deleted;
    }
    spin_unlock(&g_dcache.lock);
    if (!dir && !is_watched(inode))
        return;
    mask |= kind_bit(inode);
    mutex_lock(&g_notify_lock);
    if (dir)
        dir_ended = tell(dir, mask, 0, name, name_size, deleted);
    ended = tell(inode, mask, 0, "", 0, false);
    mutex_unlock(&g_notify_lock);
    unref_many(inode, ended);
    if (dir)
        unref_many(dir, dir_ended + 1);
}

void notify_gone_slow(struct inode *inode)
{
    struct inode_attr attr;
    unsigned count = 0;

    if (!is_watched(inode) || inode_get_attr(inode, &attr) < 0 || attr.nlink > 0)
        return;
    notify_inode_slow(inode, IN_DELETE_SELF);
    mutex_lock(&g_notify_lock);
    for (struct notify_watch *w; (w = inode->watches) != NULL; count++)
        (void)notify_watch_remove(w, true);
    mutex_unlock(&g_notify_lock);
    unref_many(inode, count);
}
