/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File locks: fcntl(2) record locks of processes (owner: descriptor table) and of open files, and flock(2).
 * Trusted. One spin lock guards all lists; records are allocated before it is taken. A process that would wait in a
 * circle gets -EDEADLK.
 */
#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#define CYCLE_HOPS_MAX 64u
#define LOCKS_MAX 65536u /* of all files */

struct lock {
    struct lock *next;
    struct flock_request r;
};

/* A thread that waits for a record lock. */
struct blocked {
    struct blocked *next;
    const void *owner, *blocker;
};

static struct spin g_lock; /* guards all below and every inode->locks */
static struct blocked *g_blocked;
static unsigned g_count;

static struct lock **list_of(struct inode *inode)
{
    return (struct lock **)&inode->locks;
}

static bool overlaps(const struct flock_request *a, const struct flock_request *b)
{
    return a->is_flock == b->is_flock && a->start <= b->end && b->start <= a->end;
}

static struct lock *conflict_locked(struct inode *inode, const struct flock_request *r)
{
    for (struct lock *k = *list_of(inode); k; k = k->next)
        if (k->r.owner != r->owner && overlaps(&k->r, r) &&
            (k->r.type == F_WRLCK || r->type == F_WRLCK))
            return k;
    return NULL;
}

static bool would_deadlock_locked(const void *owner, const void *blocker)
{
    for (unsigned hops = 0; hops < CYCLE_HOPS_MAX; hops++) {
        struct blocked *b = g_blocked;

        if (blocker == owner)
            return true;
        while (b && b->owner != blocker)
            b = b->next;
        if (!b)
            return false;
        blocker = b->blocker;
    }
    return true;
}

/* Takes the owner's locks within r out or cuts them; spare: for the second half of a cut. */
static void clear_locked(struct inode *inode, const struct flock_request *r, struct lock **spare,
                         struct lock **ret_free)
{
    struct lock **at = list_of(inode);

    while (*at) {
        struct lock *k = *at;

        if (k->r.owner != r->owner || !overlaps(&k->r, r)) {
            at = &k->next;
        } else if (k->r.start < r->start && k->r.end > r->end) {
            struct lock *second = *spare;

            *spare = NULL;
            second->r = k->r;
            second->r.start = r->end + 1;
            k->r.end = r->start - 1;
            second->next = k->next;
            k->next = second;
            g_count++;
            return;
        } else if (k->r.start < r->start) {
            k->r.end = r->start - 1;
            at = &k->next;
        } else if (k->r.end > r->end) {
            k->r.start = r->end + 1;
            at = &k->next;
        } else {
            *at = k->next;
            k->next = *ret_free;
            *ret_free = k;
            g_count--;
        }
    }
}

/* Joins the owner's neighbours of the same type into the new lock. */
static void add_locked(struct inode *inode, struct lock *k, const struct flock_request *r,
                       struct lock **ret_free)
{
    struct lock **at = list_of(inode);

    k->r = *r;
    while (*at) {
        struct lock *other = *at;

        if (other->r.owner == r->owner && other->r.type == r->type &&
            other->r.is_flock == r->is_flock &&
            (other->r.end + 1 == k->r.start || k->r.end + 1 == other->r.start)) {
            k->r.start = MIN(k->r.start, other->r.start);
            k->r.end = MAX(k->r.end, other->r.end);
            *at = other->next;
            other->next = *ret_free;
            *ret_free = other;
            g_count--;
        } else {
            at = &other->next;
        }
    }
    k->next = *list_of(inode);
    *list_of(inode) = k;
    g_count++;
}

static void blocked_remove_locked(struct blocked *b)
{
    for (struct blocked **at = &g_blocked; *at; at = &(*at)->next)
        if (*at == b) {
            *at = b->next;
            return;
        }
}

/* One try. returns: 0 done; -EAGAIN in the way (b is then entered when waiting); -EDEADLK; -ENOLCK. */
static int try_set(struct inode *inode, const struct flock_request *r, struct lock **spares,
                   struct blocked *b, struct lock **ret_free)
{
    struct lock *k;
    int rc = 0;

    spin_lock(&g_lock);
    k = r->type == F_UNLCK ? NULL : conflict_locked(inode, r);
    if (k && b && !r->is_flock && would_deadlock_locked(r->owner, k->r.owner)) {
        rc = -EDEADLK;
    } else if (k) {
        rc = -EAGAIN;
        if (b) {
            b->owner = r->owner;
            b->blocker = k->r.owner;
            b->next = g_blocked;
            g_blocked = b;
        }
    } else if (r->type != F_UNLCK && g_count >= LOCKS_MAX) {
        rc = -ENOLCK;
    } else {
        clear_locked(inode, r, &spares[0], ret_free);
        if (r->type != F_UNLCK)
            add_locked(inode, TAKE_PTR(spares[1]), r, ret_free);
    }
    spin_unlock(&g_lock);
    return rc;
}

static void blocked_end(struct blocked *b)
{
    spin_lock(&g_lock);
    blocked_remove_locked(b);
    spin_unlock(&g_lock);
}

static int set_waiting(struct inode *inode, const struct flock_request *r, struct lock **spares,
                       struct lock **ret_free)
{
    struct blocked b;
    struct waiter w;
    int rc;

    waiter_init(&w);
    waitq_add(&inode->watch, &w);
    for (;;) {
        rc = try_set(inode, r, spares, &b, ret_free);
        if (rc != -EAGAIN)
            break;
        rc = wait_sleep(NULL, 0, WAIT_FOREVER, true);
        blocked_end(&b);
        if (rc < 0)
            break;
    }
    waitq_remove(&w);
    return rc;
}

int lock_set(struct inode *inode, const struct flock_request *r, bool wait)
{
    struct lock *spares[2] = { mem_zalloc(sizeof(struct lock)), mem_zalloc(sizeof(struct lock)) };
    struct lock *done = NULL;
    int rc = -ENOLCK;

    if (spares[0] && spares[1])
        rc = wait ? set_waiting(inode, r, spares, &done) : try_set(inode, r, spares, NULL, &done);
    mem_free(spares[0]);
    mem_free(spares[1]);
    while (done) {
        struct lock *next = done->next;

        mem_free(done);
        done = next;
    }
    if (rc == 0)
        wait_wake(&inode->watch, WAKE_ALL, 0);
    return rc;
}

void lock_test(struct inode *inode, const struct flock_request *r,
               struct flock_request *ret_blocker)
{
    struct lock *k;

    spin_lock(&g_lock);
    k = conflict_locked(inode, r);
    if (k) {
        *ret_blocker = k->r;
    } else {
        *ret_blocker = *r;
        ret_blocker->type = F_UNLCK;
    }
    spin_unlock(&g_lock);
}

static void drop(struct inode *inode, const void *owner)
{
    struct lock **at, *done = NULL;

    spin_lock(&g_lock);
    for (at = list_of(inode); *at;) {
        struct lock *k = *at;

        if (owner && k->r.owner != owner) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        k->next = done;
        done = k;
        g_count--;
    }
    spin_unlock(&g_lock);
    while (done) {
        struct lock *next = done->next;

        mem_free(done);
        done = next;
    }
}

void lock_drop_owner(struct inode *inode, const void *owner)
{
    drop(inode, owner);
    wait_wake(&inode->watch, WAKE_ALL, 0);
}

void lock_inode_gone(struct inode *inode)
{
    drop(inode, NULL);
}
