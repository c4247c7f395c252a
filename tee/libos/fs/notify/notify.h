/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to files, for those who watch (inotify(7)): called by the vfs after it happened. Trusted. Without a watch
 * anywhere each call costs a load. masks: IN_* of linux/inotify.h; IN_ISDIR is added here.
 *
 * Any lock of the vfs but g_dcache.lock may be held: g_notify.lock is a leaf but for the allocator and wait queues.
 */
#pragma once

#include <linux/inotify.h>

#include "tee/libos/fs/vfs/vfs.h"

extern uint32_t g_notify_watches; /* atomic: how many there are */

static inline bool notify_is_on(void)
{
    return UNLIKELY(__atomic_load_n(&g_notify_watches, __ATOMIC_RELAXED) != 0);
}

void notify_dentry_slow(struct dentry *d, uint32_t mask);
void notify_child_slow(struct inode *dir, const char *name, size_t name_size, uint32_t mask,
                       uint32_t cookie);
void notify_inode_slow(struct inode *inode, uint32_t mask);
void notify_gone_slow(struct inode *inode);

/* To d's own watches, and to its folder's with d's name. */
static inline void notify_dentry(struct dentry *d, uint32_t mask)
{
    if (notify_is_on() && d)
        notify_dentry_slow(d, mask);
}
static inline void notify_file(struct file *f, uint32_t mask)
{
    if (notify_is_on() && f->dentry)
        notify_dentry_slow(f->dentry, mask);
}
/* A name in dir came or went. */
static inline void notify_child(struct inode *dir, const char *name, size_t name_size,
                                uint32_t mask, uint32_t cookie)
{
    if (notify_is_on())
        notify_child_slow(dir, name, name_size, mask, cookie);
}
/* To the inode's own watches only. */
static inline void notify_inode(struct inode *inode, uint32_t mask)
{
    if (notify_is_on())
        notify_inode_slow(inode, mask);
}
/* A deleted name let go of the inode; when that was its last link, its watches end. */
static inline void notify_gone(struct inode *inode)
{
    if (notify_is_on())
        notify_gone_slow(inode);
}
/* Joins the two halves of a rename. */
uint32_t notify_new_cookie(void);
