/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs folders: a hash table of entries in order of creation, over the lower folder's entries. An entry
 * without a node hides the lower entry of that name. Trusted. The caller holds the folder's lock.
 */
#include "tee/libos/fs/tmpfs/tmpfs_internal.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/task/task.h"

#include <linux/errno.h>
#include <linux/fs.h>

#define BUCKET_COUNT_MIN 8u
#define BUCKET_COUNT_MAX (1u << 20)
#define READDIR_FIRST 2u           /* 0 and 1 are "." and ".." */
#define READDIR_UPPER (1ull << 40) /* positions of entries; below: of the lower folder */
#define LINK_COUNT_MAX 65000u

static uint32_t name_hash(const char *name, size_t size)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static struct entry *entry_find(const struct directory *d, const char *name, size_t size)
{
    uint32_t hash;
    struct entry *e;

    if (d->count == 0)
        return NULL;
    hash = name_hash(name, size);
    for (e = d->buckets[hash & (d->bucket_count - 1)]; e; e = e->hash_next)
        if (e->hash == hash && e->name_size == size && memcmp(e->name, name, size) == 0)
            return e;
    return NULL;
}

static bool lower_has(struct node *dir, const char *name, size_t size, int *ret_rc)
{
    uint64_t nid;
    uint8_t type;
    int rc = dir->has_lower ? erofs_lookup(dir->fs->lower, &dir->lower, name, size, &nid, &type)
                            : -ENOENT;

    *ret_rc = rc == -ENOENT ? 0 : rc;
    return rc == 0;
}

/* Room for one more entry; a larger table when chains grow. */
static int buckets_grow(struct directory *d)
{
    size_t count = d->bucket_count ? d->bucket_count * 2 : BUCKET_COUNT_MIN;
    struct entry **buckets;

    if (d->count < d->bucket_count || count > BUCKET_COUNT_MAX)
        return 0;
    buckets = mem_calloc(count, sizeof(void *));
    if (!buckets)
        return d->buckets ? 0 : -ENOSPC;
    for (struct entry *e = d->first; e; e = e->next) {
        e->hash_next = buckets[e->hash & (count - 1)];
        buckets[e->hash & (count - 1)] = e;
    }
    mem_free(d->buckets);
    d->buckets = buckets;
    d->bucket_count = count;
    return 0;
}

/* Adds an entry that takes over a reference of node; name is not there yet. */
static int entry_add(struct node *dir, const char *name, size_t size, struct node *node)
{
    struct directory *d = &dir->dir;
    struct entry *e, **bucket;

    if (buckets_grow(d) < 0)
        return -ENOSPC;
    e = mem_alloc(sizeof *e + size);
    if (!e)
        return -ENOSPC;
    e->id = d->next_id++;
    e->node = node;
    e->hash = name_hash(name, size);
    e->name_size = (uint16_t)size;
    memcpy(e->name, name, size);
    bucket = &d->buckets[e->hash & (d->bucket_count - 1)];
    e->hash_next = *bucket;
    *bucket = e;
    e->next = NULL;
    e->prev = d->last;
    if (d->last)
        d->last->next = e;
    else
        d->first = e;
    d->last = e;
    d->count++;
    if (node)
        d->live++;
    return 0;
}

static void entry_remove(struct node *dir, struct entry *e)
{
    struct directory *d = &dir->dir;
    struct entry **at = &d->buckets[e->hash & (d->bucket_count - 1)];

    while (*at != e)
        at = &(*at)->hash_next;
    *at = e->hash_next;
    *(e->prev ? &e->prev->next : &d->first) = e->next;
    *(e->next ? &e->next->prev : &d->last) = e->prev;
    d->count--;
    if (e->node)
        d->live--;
    mem_free(e);
}

/* name now stands for node, whatever stood there; takes over a reference of node. The old node's
 * reference is given up, its link count is the caller's. */
static int name_set(struct node *dir, const char *name, size_t size, struct node *node)
{
    struct entry *e = entry_find(&dir->dir, name, size);
    struct node *old;
    bool hides;
    int rc;

    if (e) {
        old = e->node;
        e->node = node;
        if (old)
            inode_unref(&old->inode);
        else
            dir->dir.live++;
        return 0;
    }
    hides = lower_has(dir, name, size, &rc);
    if (rc < 0)
        return rc;
    rc = entry_add(dir, name, size, node);
    if (rc == 0 && hides)
        dir->dir.hidden++;
    return rc;
}

/* name is gone: a whiteout where the lower folder has it. */
static int name_clear(struct node *dir, const char *name, size_t size)
{
    struct entry *e = entry_find(&dir->dir, name, size);
    struct node *old;
    int rc;
    bool hides = lower_has(dir, name, size, &rc);

    if (rc < 0)
        return rc;
    if (!e) {
        rc = entry_add(dir, name, size, NULL);
        if (rc == 0)
            dir->dir.hidden++;
        return rc;
    }
    old = e->node;
    if (hides) {
        e->node = NULL;
        dir->dir.live--;
    } else {
        entry_remove(dir, e);
    }
    if (old)
        inode_unref(&old->inode);
    return 0;
}

void directory_free(struct node *n)
{
    struct entry *next;

    for (struct entry *e = n->dir.first; e; e = next) {
        next = e->next;
        if (e->node)
            inode_unref(&e->node->inode);
        mem_free(e);
    }
    mem_free(n->dir.buckets);
}

static int dir_lookup(struct inode *inode, const char *name, size_t size, struct inode **ret)
{
    struct node *dir = node_of(inode), *n;
    struct entry *e = entry_find(&dir->dir, name, size);
    uint64_t nid;
    uint8_t type;
    int rc;

    if (e) {
        if (!e->node)
            return -ENOENT;
        inode_ref(&e->node->inode);
        *ret = &e->node->inode;
        return 0;
    }
    if (!dir->has_lower)
        return -ENOENT;
    rc = erofs_lookup(dir->fs->lower, &dir->lower, name, size, &nid, &type);
    if (rc == 0)
        rc = node_get_lower(dir->fs, nid, &n);
    if (rc == 0)
        *ret = &n->inode;
    return rc;
}

/* Enters a fresh node; its reference stays with the caller. */
static int enter(struct node *dir, const char *name, size_t size, struct node *n)
{
    int rc;

    inode_ref(&n->inode);
    rc = name_set(dir, name, size, n);
    if (rc < 0) {
        inode_unref(&n->inode);
        return rc;
    }
    node_touch(dir);
    return 0;
}

static void dir_nlink_add(struct node *dir, int delta)
{
    node_attr_begin(dir);
    dir->nlink += (uint32_t)delta;
    node_attr_end(dir);
}

static int dir_create(struct inode *inode, const char *name, size_t size, uint32_t mode,
                      uint64_t rdev, const struct cred *cred, struct inode **ret)
{
    struct node *dir = node_of(inode), *n;
    int rc = node_new(dir->fs, mode, rdev, cred, inode, &n);

    if (rc < 0)
        return rc;
    rc = enter(dir, name, size, n);
    if (rc < 0) {
        inode_unref(&n->inode);
        return rc;
    }
    if (S_ISDIR(mode))
        dir_nlink_add(dir, 1);
    *ret = &n->inode;
    return 0;
}

static int dir_tmpfile(struct inode *inode, uint32_t mode, const struct cred *cred,
                       struct inode **ret)
{
    struct node *n;
    int rc = node_new(node_of(inode)->fs, mode, 0, cred, inode, &n);

    if (rc < 0)
        return rc;
    n->nlink = 0;
    *ret = &n->inode;
    return 0;
}

static int dir_symlink(struct inode *inode, const char *name, size_t size, const char *target,
                       const struct cred *cred, struct inode **ret)
{
    struct node *dir = node_of(inode), *n;
    int rc = node_new(dir->fs, S_IFLNK | 0777, 0, cred, NULL, &n);

    if (rc < 0)
        return rc;
    if ((inode->mode & S_ISGID) != 0)
        n->inode.gid = inode->gid;
    n->size = strlen(target);
    n->target = mem_strdup(target);
    rc = n->target ? enter(dir, name, size, n) : -ENOSPC;
    if (rc < 0) {
        inode_unref(&n->inode);
        return rc;
    }
    *ret = &n->inode;
    return 0;
}

static int dir_link(struct inode *inode, const char *name, size_t size, struct inode *target)
{
    struct node *n = node_of(target);
    int rc;

    if (n->nlink >= LINK_COUNT_MAX)
        return -EMLINK;
    rc = enter(node_of(inode), name, size, n);
    if (rc == 0)
        node_link_add(n, 1);
    return rc;
}

static int dir_unlink(struct inode *inode, const char *name, size_t size, struct inode *target)
{
    struct node *dir = node_of(inode);
    int rc = name_clear(dir, name, size);

    if (rc < 0)
        return rc;
    node_touch(dir);
    node_link_add(node_of(target), -1);
    return 0;
}

static bool lower_entry_shows(void *arg, const char *name, size_t size, uint64_t nid UNUSED,
                              uint8_t type UNUSED, uint64_t pos UNUSED, uint64_t next_pos UNUSED)
{
    struct node **dir = arg;

    if (entry_find(&(*dir)->dir, name, size))
        return true;
    *dir = NULL;
    return false;
}

/* returns: 0 nothing in it; -ENOTEMPTY. */
static int check_empty(struct node *dir)
{
    struct node *arg = dir;
    int rc;

    if (dir->dir.live > 0)
        return -ENOTEMPTY;
    if (!dir->has_lower)
        return 0;
    rc = erofs_readdir(dir->fs->lower, &dir->lower, 0, lower_entry_shows, &arg);
    if (rc < 0)
        return rc;
    return arg ? 0 : -ENOTEMPTY;
}

static int dir_rmdir(struct inode *inode, const char *name, size_t size, struct inode *target)
{
    struct node *dir = node_of(inode), *n = node_of(target);
    int rc;

    mutex_lock(&target->lock);
    rc = check_empty(n);
    mutex_unlock(&target->lock);
    if (rc == 0)
        rc = name_clear(dir, name, size);
    if (rc < 0)
        return rc;
    node_touch(dir);
    dir_nlink_add(dir, -1);
    node_link_add(n, -2);
    return 0;
}

static int rename_exchange(struct node *from_dir, const char *from, size_t from_size,
                           struct node *to_dir, const char *to, size_t to_size, struct node *moved,
                           struct node *other)
{
    int delta = (S_ISDIR(moved->inode.mode) ? 1 : 0) - (S_ISDIR(other->inode.mode) ? 1 : 0);
    int rc;

    inode_ref(&moved->inode);
    inode_ref(&other->inode);
    rc = name_set(to_dir, to, to_size, moved);
    if (rc < 0) {
        inode_unref(&moved->inode);
        inode_unref(&other->inode);
        return rc;
    }
    rc = name_set(from_dir, from, from_size, other);
    if (rc < 0) {
        /* Back to what was: the entry is there now, so this cannot fail. */
        inode_unref(&moved->inode);
        return name_set(to_dir, to, to_size, other) < 0 ? -EIO : rc;
    }
    if (from_dir != to_dir && delta != 0) {
        dir_nlink_add(to_dir, delta);
        dir_nlink_add(from_dir, -delta);
    }
    return 0;
}

static int rename_plain(struct node *from_dir, const char *from, size_t from_size,
                        struct node *to_dir, const char *to, size_t to_size, struct node *moved,
                        struct node *replaced)
{
    bool is_dir = S_ISDIR(moved->inode.mode);
    int rc;

    if (replaced && S_ISDIR(replaced->inode.mode)) {
        mutex_lock(&replaced->inode.lock);
        rc = check_empty(replaced);
        mutex_unlock(&replaced->inode.lock);
        if (rc < 0)
            return rc;
    }
    inode_ref(&moved->inode);
    rc = name_set(to_dir, to, to_size, moved);
    if (rc < 0) {
        inode_unref(&moved->inode);
        return rc;
    }
    rc = name_clear(from_dir, from, from_size);
    if (rc < 0) {
        if (replaced) {
            inode_ref(&replaced->inode);
            return name_set(to_dir, to, to_size, replaced) < 0 ? -EIO : rc;
        }
        return name_clear(to_dir, to, to_size) < 0 ? -EIO : rc;
    }
    if (is_dir) {
        dir_nlink_add(from_dir, -1);
        if (!replaced)
            dir_nlink_add(to_dir, 1);
    }
    return 0;
}

static int dir_rename(struct inode *from_inode, const char *from, size_t from_size,
                      struct inode *to_inode, const char *to, size_t to_size,
                      struct inode *moved_inode, struct inode *replaced_inode, uint32_t flags)
{
    struct node *from_dir = node_of(from_inode), *to_dir = node_of(to_inode);
    struct node *moved = node_of(moved_inode);
    struct node *replaced = replaced_inode ? node_of(replaced_inode) : NULL;
    int rc;

    if ((flags & RENAME_EXCHANGE) != 0)
        rc = rename_exchange(from_dir, from, from_size, to_dir, to, to_size, moved, replaced);
    else
        rc = rename_plain(from_dir, from, from_size, to_dir, to, to_size, moved, replaced);
    if (rc < 0)
        return rc;
    node_touch(from_dir);
    if (to_dir != from_dir)
        node_touch(to_dir);
    node_link_add(moved, 0);
    if (replaced && (flags & RENAME_EXCHANGE) != 0)
        node_link_add(replaced, 0);
    else if (replaced)
        node_link_add(replaced, S_ISDIR(replaced_inode->mode) ? -2 : -1);
    return 0;
}

struct merge {
    struct node *dir;
    readdir_fn *fn;
    void *arg;
    bool full;
};

static bool merge_lower(void *arg, const char *name, size_t size, uint64_t nid, uint8_t type,
                        uint64_t pos UNUSED, uint64_t next_pos)
{
    struct merge *m = arg;

    if (m->dir->dir.hidden > 0 && entry_find(&m->dir->dir, name, size))
        return true;
    if (m->fn(m->arg, name, size, nid + 1, type, next_pos + READDIR_FIRST))
        return true;
    m->full = true;
    return false;
}

static int dir_readdir(struct inode *inode, uint64_t pos, readdir_fn *fn, void *arg)
{
    struct node *dir = node_of(inode);
    struct merge m = { .dir = dir, .fn = fn, .arg = arg };
    uint64_t from = pos < READDIR_UPPER ? 0 : pos - READDIR_UPPER;
    int rc;

    if (pos < READDIR_FIRST)
        return -EINVAL;
    if (dir->has_lower && pos < READDIR_UPPER) {
        rc = erofs_readdir(dir->fs->lower, &dir->lower, pos - READDIR_FIRST, merge_lower, &m);
        if (rc < 0)
            return rc;
    }
    for (struct entry *e = dir->dir.first; e && !m.full; e = e->next)
        if (e->id >= from && e->node &&
            !fn(arg, e->name, e->name_size, e->node->inode.ino,
                mode_dirent_type(e->node->inode.mode), READDIR_UPPER + e->id + 1))
            break;
    return 0;
}

static int64_t symlink_readlink(struct inode *inode, char *dst, size_t size)
{
    struct node *n = node_of(inode);

    if (n->target) {
        size = MIN(size, n->size);
        memcpy(dst, n->target, size);
        return (int64_t)size;
    }
    return erofs_read(n->fs->lower, &n->lower, 0, dst, size);
}

const struct inode_ops tmpfs_dir_inode_ops = {
    .lookup = dir_lookup,
    .create = dir_create,
    .tmpfile = dir_tmpfile,
    .symlink = dir_symlink,
    .link = dir_link,
    .unlink = dir_unlink,
    .rmdir = dir_rmdir,
    .rename = dir_rename,
    .readdir = dir_readdir,
    .get_attr = node_get_attr,
    .set_attr = node_set_attr,
    .get_xattr = node_xattr_get,
    .set_xattr = node_xattr_set,
    .list_xattr = node_xattr_list,
    .remove_xattr = node_xattr_remove,
    .release = node_release,
};

const struct inode_ops tmpfs_symlink_inode_ops = {
    .readlink = symlink_readlink,
    .get_attr = node_get_attr,
    .set_attr = node_set_attr,
    .get_xattr = node_xattr_get,
    .set_xattr = node_xattr_set,
    .list_xattr = node_xattr_list,
    .remove_xattr = node_xattr_remove,
    .release = node_release,
};
