/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts: made while the enclave starts, never undone. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

static struct mount *g_mounts; /* in order; grows under g_mounts_lock, read without it */
static struct mutex g_mounts_lock;

uint64_t super_new_dev(void)
{
    static uint32_t next = 20; /* anonymous devices have major 0 */

    return __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
}

static void mount_free(struct mount *m)
{
    if (!m)
        return;
    mem_free(m->source);
    mem_free(m->path);
    mem_free(m);
}

static int mount_new(struct super *s, const char *source, const char *path, struct mount **ret)
{
    struct mount *m = mem_zalloc(sizeof *m);
    int rc;

    if (!m)
        return -ENOMEM;
    m->super = s;
    m->source = mem_strdup(source);
    m->path = mem_strdup(path);
    rc = m->source && m->path ? dentry_new_anon(s->root, "/", &m->root) : -ENOMEM;
    if (rc < 0) {
        mount_free(m);
        return rc;
    }
    m->root->mount = m;
    *ret = m;
    return 0;
}

/* Makes the folder a mount point that no pruning can drop. */
static int cover(struct mount *m, struct dentry *point)
{
    int rc = 0;

    spin_lock(&g_dcache.lock);
    if (!point->inode || !S_ISDIR(point->inode->mode))
        rc = -ENOTDIR;
    else if (point->mounted || !point->parent || !point->hashed)
        rc = -EBUSY;
    if (rc == 0) {
        m->point = point; /* takes the caller's reference */
        point->mounted = m->root;
    }
    spin_unlock(&g_dcache.lock);
    return rc;
}

int vfs_mount(struct super *s, const char *source, const char *path)
{
    struct dentry *point = NULL;
    struct mount *m = NULL, **at;
    int rc = dcache_init();

    if (rc == 0)
        rc = mount_new(s, source, path, &m);
    if (rc < 0)
        return rc;
    if (strcmp(path, "/") == 0) {
        if (g_dcache.root)
            rc = -EBUSY;
        else
            g_dcache.root = m;
    } else {
        rc = path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &point);
        if (rc == 0)
            rc = cover(m, point);
        if (rc < 0)
            dentry_unref(point);
    }
    if (rc < 0) {
        mem_free(m->root);
        mount_free(m);
        return rc;
    }
    mutex_lock(&g_mounts_lock);
    for (at = &g_mounts; *at; at = &(*at)->next)
        ;
    __atomic_store_n(at, m, __ATOMIC_RELEASE);
    mutex_unlock(&g_mounts_lock);
    return 0;
}

int mounts_each(int (*fn)(const struct super *s, const char *source, const char *path, void *arg),
                void *arg)
{
    int rc = 0;

    for (struct mount *m = __atomic_load_n(&g_mounts, __ATOMIC_ACQUIRE); m && rc == 0;
         m = __atomic_load_n(&m->next, __ATOMIC_ACQUIRE))
        rc = fn(m->super, m->source, m->path, arg);
    return rc;
}
