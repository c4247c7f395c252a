/* SPDX-License-Identifier: Apache-2.0 */
/* Root and working folder of a process, and paths that system calls are given. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

static int context_new(struct dentry *root, struct dentry *cwd, struct fs_context **ret)
{
    struct fs_context *c = mem_alloc(sizeof *c);

    if (!c)
        return -ENOMEM;
    *c = (struct fs_context){ .refs = 1, .root = root, .cwd = cwd };
    *ret = c;
    return 0;
}

int fs_context_initial(struct fs_context **ret)
{
    struct dentry *root = g_dcache.root ? g_dcache.root->root : NULL;
    int rc;

    if (!root)
        return -ENOENT;
    rc = context_new(root, root, ret);
    if (rc == 0) {
        dentry_ref(root);
        dentry_ref(root);
    }
    return rc;
}

struct dentry *fs_context_root(struct fs_context *c)
{
    struct dentry *d;

    spin_lock(&g_dcache.lock);
    d = c->root;
    dentry_ref(d);
    spin_unlock(&g_dcache.lock);
    return d;
}

struct dentry *fs_context_cwd(struct fs_context *c)
{
    struct dentry *d;

    spin_lock(&g_dcache.lock);
    d = c->cwd;
    dentry_ref(d);
    spin_unlock(&g_dcache.lock);
    return d;
}

int fs_context_copy(struct fs_context *src, struct fs_context **ret)
{
    struct dentry *root = fs_context_root(src), *cwd = fs_context_cwd(src);
    int rc = context_new(root, cwd, ret);

    if (rc < 0) {
        dentry_unref(root);
        dentry_unref(cwd);
    }
    return rc;
}

void fs_context_ref(struct fs_context *c)
{
    __atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
}

void fs_context_unref(struct fs_context *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    dentry_unref(c->root);
    dentry_unref(c->cwd);
    mem_free(c);
}

static void replace(struct dentry **where, struct dentry *d)
{
    struct dentry *old;

    spin_lock(&g_dcache.lock);
    old = *where;
    *where = d;
    spin_unlock(&g_dcache.lock);
    dentry_unref(old);
}

void fs_context_set_cwd(struct fs_context *c, struct dentry *d)
{
    replace(&c->cwd, d);
}

void fs_context_set_root(struct fs_context *c, struct dentry *d)
{
    replace(&c->root, d);
}

int64_t user_path_get(struct user_path *p, uintptr_t addr)
{
    int64_t rc = user_str_in(p->str, addr, USER_PATH_INLINE);
    char *heap;

    if (LIKELY(rc != -ENAMETOOLONG))
        return rc;
    heap = mem_alloc(PATH_SIZE_MAX);
    if (!heap)
        return -ENOMEM;
    p->str = heap;
    return user_str_in(heap, addr, PATH_SIZE_MAX);
}

void user_path_done(struct user_path *p)
{
    if (p->str != p->inline_bytes)
        mem_free(p->str);
}

int fs_context_chdir(const char *path)
{
    struct dentry *d;
    int rc = path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &d);

    if (rc < 0)
        return rc;
    rc = inode_permission(d->inode, 1);
    if (rc < 0)
        dentry_unref(d);
    else
        fs_context_set_cwd(process_current()->fs, d);
    return rc;
}
