/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path lookup (path_resolution(7)). Cached names are walked under one hold of the cache's spin lock; a name that is
 * not cached, or a symlink, leaves that fast path for one step. Trusted.
 */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

enum step {
    STEP_DONE, /* the whole path; or a result code is set */
    STEP_MISS, /* the component is not cached */
    STEP_LINK, /* the component is a symlink to follow */
};

struct walk {
    struct lookup *l;
    struct dentry *at; /* a folder; with a reference only between the fast stretches */
    const char *rest;
    const struct cred *cred;
    struct dentry *root; /* of the process; valid under the lock */
    const char *name;    /* component of a MISS or LINK */
    size_t name_size;
    bool is_last;
    struct dentry *link; /* LINK: a reference */
    int rc;
};

static const char *skip_slashes(const char *p)
{
    while (*p == '/')
        p++;
    return p;
}

static struct dentry *through_mounts(struct dentry *d)
{
    while (UNLIKELY(d->mounted != NULL))
        d = d->mounted;
    return d;
}

/* ".." under the lock. */
static int step_up(struct walk *w)
{
    struct dentry *d = w->at;

    if (d == w->l->top)
        return (w->l->flags & LOOKUP_BENEATH) != 0 ? -EXDEV : 0;
    if (d == w->root)
        return 0;
    while (!d->parent) {
        if (!d->mount || !d->mount->point)
            return 0;
        if ((w->l->flags & LOOKUP_NO_XDEV) != 0)
            return -EXDEV;
        d = d->mount->point;
        if (d == w->root)
            break;
    }
    if (d->parent && d != w->root)
        d = d->parent;
    w->at = d;
    return 0;
}

/* True when the walk must stop at this last component, which is left to the caller. */
static bool stop_before_last(struct walk *w, enum lookup_last kind)
{
    struct lookup *l = w->l;

    if ((l->flags & LOOKUP_PARENT) == 0 || !w->is_last)
        return false;
    l->last = w->name;
    l->last_size = w->name_size;
    l->last_kind = kind;
    return true;
}

/* One named component under the lock. returns: true to go on. */
static bool step_name(struct walk *w, enum step *ret)
{
    struct lookup *l = w->l;
    struct dentry *d;
    struct inode *inode;

    d = dentry_find_locked(w->at, w->name, w->name_size, dentry_hash_name(w->name, w->name_size));
    if (!d) {
        *ret = STEP_MISS;
        return false;
    }
    d = through_mounts(d);
    inode = d->inode;
    *ret = STEP_DONE;
    if (!inode) {
        w->rc = -ENOENT;
        return false;
    }
    if (S_ISLNK(inode->mode) && (!w->is_last || (l->flags & LOOKUP_FOLLOW) != 0 || l->last_slash)) {
        dentry_ref(d);
        w->link = d;
        *ret = STEP_LINK;
        return false;
    }
    if ((l->flags & LOOKUP_NO_XDEV) != 0 && d->mount != w->at->mount) {
        w->rc = -EXDEV;
        return false;
    }
    if (!S_ISDIR(inode->mode) && (!w->is_last || l->last_slash)) {
        w->rc = -ENOTDIR;
        return false;
    }
    w->at = d;
    return true;
}

/* Walks cached names from w->at with the lock held. */
static enum step walk_fast(struct walk *w)
{
    enum step step;

    w->rc = 0;
    for (;;) {
        const char *p = skip_slashes(w->rest), *end = p;

        if (*p == 0) {
            if (w->l->flags & LOOKUP_PARENT) {
                w->l->last = ".";
                w->l->last_size = 1;
                w->l->last_kind = LOOKUP_LAST_DOT;
            }
            return STEP_DONE;
        }
        while (*end != 0 && *end != '/')
            end++;
        w->name = p;
        w->name_size = (size_t)(end - p);
        w->is_last = *skip_slashes(end) == 0;
        w->l->last_slash = w->is_last && *end == '/';
        if (!w->at->inode || !S_ISDIR(w->at->inode->mode)) {
            w->rc = -ENOTDIR;
            return STEP_DONE;
        }
        if (UNLIKELY(!permission_granted(w->at->inode, w->cred, 1))) {
            w->rc = -EACCES;
            return STEP_DONE;
        }
        if (p[0] == '.' && w->name_size == 1) {
            if (stop_before_last(w, LOOKUP_LAST_DOT))
                return STEP_DONE;
        } else if (p[0] == '.' && p[1] == '.' && w->name_size == 2) {
            if (stop_before_last(w, LOOKUP_LAST_DOTDOT))
                return STEP_DONE;
            w->rc = step_up(w);
            if (w->rc < 0)
                return STEP_DONE;
        } else {
            if (stop_before_last(w, LOOKUP_LAST_NAME))
                return STEP_DONE;
            if (!step_name(w, &step))
                return step;
        }
        w->rest = end;
    }
}

/* Text of a symlink in front of what is left of the path. */
static int splice_link(struct walk *w, struct inode *link)
{
    struct lookup *l = w->l;
    const char *rest = w->name + w->name_size;
    size_t rest_size = strlen(rest);
    int64_t size;
    char *at;

    if (!l->buffer) {
        l->buffer = mem_alloc(2 * PATH_SIZE_MAX);
        if (!l->buffer)
            return -ENOMEM;
    }
    if (rest_size >= PATH_SIZE_MAX)
        return -ENAMETOOLONG;
    at = l->buffer + 2 * PATH_SIZE_MAX - 1 - rest_size;
    memmove(at, rest, rest_size + 1);
    size = link->ops->readlink(link, l->buffer, PATH_SIZE_MAX);
    if (size < 0)
        return (int)size;
    if (size == 0)
        return -ENOENT;
    if (size >= PATH_SIZE_MAX)
        return -ENAMETOOLONG;
    at -= size;
    memmove(at, l->buffer, (size_t)size);
    w->rest = at;
    return 0;
}

/* Follows w->link; w->at is its folder. Both are references; w->at is replaced. */
static int follow(struct walk *w, bool *ret_absolute)
{
    struct lookup *l = w->l;
    struct inode *link = w->link->inode;
    struct dentry *to;
    int rc;

    *ret_absolute = false;
    if (++l->links > SYMLINK_DEPTH_MAX || (l->flags & LOOKUP_NO_SYMLINKS) != 0)
        return -ELOOP;
    if (link->ops->follow) {
        if ((l->flags & LOOKUP_NO_MAGIC) != 0)
            return -ELOOP;
        if ((l->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) != 0)
            return -EXDEV;
        rc = link->ops->follow(link, &to);
        if (rc < 0)
            return rc;
        dentry_unref(w->at);
        w->at = to;
        w->rest = w->name + w->name_size;
        if (*skip_slashes(w->rest) != 0 && !S_ISDIR(to->inode->mode))
            return -ENOTDIR;
        return 0;
    }
    if (!link->ops->readlink)
        return -EINVAL;
    rc = splice_link(w, link);
    if (rc == 0)
        *ret_absolute = w->rest[0] == '/';
    return rc;
}

/* Loads the component that was not cached; the fast path finds it then. Uncached file systems answer here. */
static int walk_miss(struct walk *w)
{
    struct lookup *l = w->l;
    struct dentry *d;
    int rc = dentry_lookup(w->at, w->name, w->name_size, &d);

    if (rc < 0)
        return rc;
    if ((__atomic_load_n(&d->refs, __ATOMIC_RELAXED) & DENTRY_GONE) == 0) {
        dentry_unref(d); /* it is marked as just used and stays */
        return 0;
    }
    if (!d->inode) {
        dentry_unref(d);
        return -ENOENT;
    }
    if (S_ISLNK(d->inode->mode) &&
        (!w->is_last || (l->flags & LOOKUP_FOLLOW) != 0 || l->last_slash)) {
        w->link = d;
        return 0;
    }
    if (!S_ISDIR(d->inode->mode) && (!w->is_last || l->last_slash)) {
        dentry_unref(d);
        return -ENOTDIR;
    }
    dentry_unref(w->at);
    w->at = d;
    w->rest = w->name + w->name_size;
    return 0;
}

/* BENEATH and IN_ROOT: absolute links lead to the top or are refused. With the lock held. */
static int start_absolute(struct walk *w)
{
    if ((w->l->flags & LOOKUP_BENEATH) != 0)
        return -EXDEV;
    w->at = w->l->top ? w->l->top : w->root;
    return 0;
}

/* What the fast path could not do. w->at is a reference before and after. */
static int step_slow(struct walk *w, enum step step, bool *ret_absolute)
{
    int rc = 0;

    *ret_absolute = false;
    if (step == STEP_MISS)
        rc = walk_miss(w);
    if (rc == 0 && w->link)
        rc = follow(w, ret_absolute);
    dentry_unref(TAKE_PTR(w->link));
    return rc;
}

/* From w->at, with the lock held, to the end; held: a reference to give up on the way, or NULL. Drops the lock and
 * leaves a reference in l->dentry. */
static int walk_run(struct walk *w, struct dentry *held)
{
    struct fs_context *c = process_current()->fs;
    bool absolute;
    enum step step;
    int rc = 0;

    while (rc == 0) {
        w->root = c->root;
        step = walk_fast(w);
        dentry_ref(w->at);
        spin_unlock(&g_dcache.lock);
        dentry_unref(held);
        held = w->at;
        rc = w->rc;
        if (step == STEP_DONE)
            break;
        rc = step_slow(w, step, &absolute);
        held = w->at;
        if (rc < 0)
            break;
        spin_lock(&g_dcache.lock);
        if (absolute) {
            w->root = c->root;
            rc = start_absolute(w);
            if (rc < 0)
                spin_unlock(&g_dcache.lock);
        }
    }
    w->l->dentry = held;
    if (rc == 0 && (w->l->flags & LOOKUP_DIRECTORY) != 0 && !S_ISDIR(held->inode->mode))
        rc = -ENOTDIR;
    return rc;
}

/* The folder that dirfd names, referenced. */
static int start_at_fd(int dirfd, struct dentry **ret)
{
    struct fd_ref ref;
    int rc = -ENOTDIR;

    if (!fd_borrow(dirfd, &ref))
        return -EBADF;
    if (ref.file->dentry) {
        dentry_ref(ref.file->dentry);
        *ret = ref.file->dentry;
        rc = 0;
    }
    fd_ref_done(&ref);
    return rc;
}

int lookup_run(struct lookup *l)
{
    struct fs_context *c = process_current()->fs;
    struct walk w = { .l = l, .rest = l->path, .cred = process_cred() };
    bool confined = (l->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) != 0;
    bool absolute = l->path[0] == '/' && !confined;
    struct dentry *held = NULL;
    int rc;

    if (l->path[0] == 0 && (l->flags & LOOKUP_EMPTY) == 0)
        return -ENOENT;
    if (l->path[0] == '/' && (l->flags & LOOKUP_BENEATH) != 0)
        return -EXDEV;
    if (!absolute && l->dirfd != AT_FDCWD) {
        rc = start_at_fd(l->dirfd, &held);
        if (rc < 0)
            return rc;
    }
    spin_lock(&g_dcache.lock);
    w.at = held ? held : absolute ? c->root : c->cwd;
    if (confined) {
        dentry_ref(w.at);
        l->top = w.at;
    }
    return walk_run(&w, held);
}

int lookup_follow_last(struct lookup *l, struct dentry *link)
{
    struct walk w = { .l = l, .cred = process_cred(), .at = TAKE_PTR(l->dentry) };
    bool absolute;
    struct dentry *held;
    int rc;

    w.name = l->last;
    w.name_size = l->last_size;
    w.is_last = true;
    w.link = link;
    rc = follow(&w, &absolute);
    held = w.at;
    if (rc < 0) {
        l->dentry = held;
        return rc;
    }
    if (link->inode->ops->follow) {
        /* A magic link leads to a file, not to a path. */
        l->dentry = held;
        l->last = ".";
        l->last_size = 1;
        l->last_kind = LOOKUP_LAST_DOT;
        return 0;
    }
    spin_lock(&g_dcache.lock);
    if (absolute) {
        w.root = process_current()->fs->root;
        rc = start_absolute(&w);
        if (rc < 0) {
            spin_unlock(&g_dcache.lock);
            l->dentry = held;
            return rc;
        }
    }
    return walk_run(&w, held);
}

void lookup_done(struct lookup *l)
{
    dentry_unref(TAKE_PTR(l->dentry));
    dentry_unref(TAKE_PTR(l->top));
    mem_free(TAKE_PTR(l->buffer));
}

int path_lookup(int dirfd, const char *path, uint32_t flags, struct dentry **ret)
{
    struct lookup l = { .dirfd = dirfd, .path = path, .flags = flags };
    int rc = lookup_run(&l);

    if (rc == 0)
        *ret = TAKE_PTR(l.dentry);
    lookup_done(&l);
    return rc;
}
