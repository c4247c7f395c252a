/* SPDX-License-Identifier: Apache-2.0 */
/* What notify.c and inotify.c share. Trusted. */
#pragma once

#include "tee/libos/fs/notify/notify.h"

#define INOTIFY_QUEUE_MAX 16384u /* events of one instance; then IN_Q_OVERFLOW */
#define INOTIFY_WATCH_MAX 65536u /* of all instances: each keeps an inode */
#define INOTIFY_INSTANCE_MAX 1024u

struct notify_event {
    struct notify_event *next;
    int32_t wd;
    uint32_t mask, cookie;
    uint32_t name_size; /* without NUL; 0: no name */
    char name[];
};

struct inotify {
    struct notify_event *first, *last;
    uint32_t count; /* atomic: poll reads it without the lock */
    size_t bytes;   /* as read would give them */
    struct notify_watch *watches;
    int32_t last_wd;
    bool has_wrapped; /* numbers may be taken */
    struct waitq wait;
};

struct notify_watch {
    struct notify_watch *next_of_inode, *next_of_instance;
    struct inode *inode; /* a reference */
    struct inotify *instance;
    int32_t wd;
    uint32_t mask;
};

/* Guards watches (inode->watches too) and queues. */
extern struct mutex g_notify_lock;

/* Size of an event as read gives it. */
static inline size_t notify_event_size(uint32_t name_size)
{
    size_t step = sizeof(struct inotify_event);

    return step + (name_size ? (name_size + step) / step * step : 0);
}
/* Lock held. name_size 0: none. Lost when memory is out; at the limit IN_Q_OVERFLOW takes its place. */
void notify_queue(struct inotify *in, int32_t wd, uint32_t mask, uint32_t cookie, const char *name,
                  uint32_t name_size);
/* Lock held: takes w off its inode and its instance, with IN_IGNORED when `tell`. returns: the inode, whose
 * reference the caller drops without the lock. w is freed. */
struct inode *notify_watch_remove(struct notify_watch *w, bool tell);
