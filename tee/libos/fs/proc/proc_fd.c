/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/fd, fdinfo, and the magic links exe, cwd, root. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

/* ---- the file of a key ---- */

struct find_arg {
    int fd;
    struct file *file;
    bool cloexec;
};

static int find_one(int fd, struct file *f, bool cloexec, void *arg)
{
    struct find_arg *a = arg;

    if (fd != a->fd)
        return 0;
    file_ref(f);
    a->file = f;
    a->cloexec = cloexec;
    return 1;
}

static struct fd_table *table_get(struct process *p)
{
    struct fd_table *t;

    mutex_lock(&p->lock);
    t = p->zombie ? NULL : p->fds;
    if (t)
        fd_table_ref(t);
    mutex_unlock(&p->lock);
    return t;
}

/* A reference, or NULL. */
static struct file *file_of(const struct pseudo_key *k, int64_t fd, bool *ret_cloexec)
{
    struct find_arg a = { .fd = (int)fd };
    struct process *p = proc_process(k);
    struct fd_table *t;

    if (!p)
        return NULL;
    if (p == process_current()) {
        a.file = fd_get((int)fd);
        a.cloexec = a.file && fd_get_cloexec((int)fd) > 0;
    } else {
        t = table_get(p);
        if (t) {
            fd_table_each(t, find_one, &a);
            fd_table_unref(t);
        }
    }
    process_unref(p);
    if (ret_cloexec)
        *ret_cloexec = a.cloexec;
    return a.file;
}

/* ---- files without a name: an inode that stands for the open file ---- */

struct anon_inode {
    struct inode inode; /* first */
    struct file *file;
};

static int anon_get_attr(struct inode *inode, struct inode_attr *ret)
{
    return file_get_attr(CONTAINER_OF(inode, struct anon_inode, inode)->file, ret);
}

static int anon_open_file(struct inode *inode, uint32_t flags UNUSED, struct file **ret)
{
    struct anon_inode *a = CONTAINER_OF(inode, struct anon_inode, inode);

    if (S_ISSOCK(inode->mode) || (inode->mode & S_IFMT) == 0)
        return -ENXIO;
    file_ref(a->file);
    *ret = a->file;
    return 0;
}

static void anon_release(struct inode *inode)
{
    struct anon_inode *a = CONTAINER_OF(inode, struct anon_inode, inode);

    file_unref(a->file);
    mem_free(a);
}

static const struct inode_ops g_anon_ops = {
    .get_attr = anon_get_attr,
    .open_file = anon_open_file,
    .release = anon_release,
};

/* Takes the reference of f over. */
static int anon_dentry(struct file *f, struct dentry **ret)
{
    struct anon_inode *a = mem_zalloc(sizeof *a);
    struct inode_attr attr;
    int rc = a ? file_get_attr(f, &attr) : -ENOMEM;

    if (rc < 0) {
        mem_free(a);
        file_unref(f);
        return rc;
    }
    a->inode.ops = &g_anon_ops;
    a->inode.refs = 1;
    a->inode.mode = attr.mode;
    a->inode.uid = attr.uid;
    a->inode.gid = attr.gid;
    a->inode.ino = attr.ino;
    a->file = f;
    rc = dentry_new_anon(&a->inode, f->anon_name ? f->anon_name : "anon_inode:[file]", ret);
    if (rc < 0)
        inode_unref(&a->inode);
    return rc;
}

/* A memory file has an inode of its own, which can be opened anew. */
static int inode_dentry(struct file *f, struct dentry **ret)
{
    int rc;

    inode_ref(f->inode);
    rc = dentry_new_anon(f->inode, f->anon_name ? f->anon_name : "anon_inode:[file]", ret);
    if (rc < 0)
        inode_unref(f->inode);
    file_unref(f);
    return rc;
}

static int fd_follow(const struct pseudo_key *k, struct dentry **ret)
{
    struct file *f = file_of(k, k->number, NULL);

    if (!f)
        return -ENOENT;
    if (!f->dentry)
        return f->inode && S_ISREG(f->inode->mode) ? inode_dentry(f, ret) : anon_dentry(f, ret);
    dentry_ref(f->dentry);
    *ret = f->dentry;
    file_unref(f);
    return 0;
}

static int64_t copy_out(char *dst, size_t size, const char *src)
{
    size = MIN(size, strlen(src));
    memcpy(dst, src, size);
    return (int64_t)size;
}

/* Path of d into dst without NUL. */
static int64_t path_out(struct dentry *d, char *dst, size_t size)
{
    char *path = mem_alloc(PATH_SIZE_MAX);
    int64_t rc = -ENOMEM;

    if (path) {
        rc = dentry_path(d, path, PATH_SIZE_MAX);
        if (rc >= 0)
            rc = copy_out(dst, size, path);
        mem_free(path);
    }
    return rc;
}

static int64_t fd_readlink(const struct pseudo_key *k, char *dst, size_t size)
{
    struct file *f = file_of(k, k->number, NULL);
    int64_t rc;

    if (!f)
        return -ENOENT;
    rc = f->dentry ? path_out(f->dentry, dst, size)
                   : copy_out(dst, size, f->anon_name ? f->anon_name : "anon_inode:[file]");
    file_unref(f);
    return rc;
}

static int fdinfo_show(struct text *t, const struct pseudo_key *k)
{
    bool cloexec = false;
    struct file *f = file_of(k, k->number, &cloexec);

    if (!f)
        return -ENOENT;
    text_print(t, "pos:\t%lu\nflags:\t0", (unsigned long)f->pos);
    uint32_t flags = f->flags | (cloexec ? O_CLOEXEC : 0);
    char octal[16];
    int at = sizeof octal;

    for (octal[--at] = 0; flags || octal[at] == 0; flags >>= 3)
        octal[--at] = (char)('0' + (flags & 7));
    text_print(t, "%s\nmnt_id:\t1\nino:\t%lu\n", octal + at,
               (unsigned long)(f->inode ? f->inode->ino : 0));
    file_unref(f);
    return 0;
}

static const struct pseudo_entry g_fd_entry = {
    .name = "",
    .mode = S_IFLNK | 0700,
    .readlink = fd_readlink,
    .follow = fd_follow,
    .may = proc_may_inspect,
};
static const struct pseudo_entry g_fdinfo_entry = {
    .name = "",
    .mode = S_IFREG | 0400,
    .show = fdinfo_show,
    .may = proc_may_inspect,
};

static int lookup_as(const struct pseudo_entry *entry, const struct pseudo_key *k, const char *name,
                     size_t name_size, struct pseudo_child *ret)
{
    int64_t fd = proc_number(name, name_size);
    struct file *f = fd < 0 || fd >= FD_COUNT_MAX ? NULL : file_of(k, fd, NULL);

    if (!f)
        return -ENOENT;
    file_unref(f);
    ret->entry = entry;
    ret->key = *k;
    ret->key.number = fd;
    return 0;
}

int proc_fd_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                   struct pseudo_child *ret)
{
    return lookup_as(&g_fd_entry, k, name, name_size, ret);
}

int proc_fdinfo_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                       struct pseudo_child *ret)
{
    return lookup_as(&g_fdinfo_entry, k, name, name_size, ret);
}

struct list_arg {
    uint64_t from;
    bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type);
    void *arg;
};

static int list_one(int fd, struct file *f UNUSED, bool cloexec UNUSED, void *arg)
{
    struct list_arg *l = arg;
    char name[16];

    if ((uint64_t)fd < l->from)
        return 0;
    format(name, sizeof name, "%d", fd);
    return l->fn(l->arg, name, (uint64_t)fd, mode_dirent_type(S_IFLNK)) ? 0 : 1;
}

int proc_fd_list(const struct pseudo_key *k, uint64_t from,
                 bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type),
                 void *arg)
{
    struct list_arg l = { from, fn, arg };
    struct process *p = proc_process(k);
    struct fd_table *t;

    if (!p)
        return -ENOENT;
    if (p == process_current()) {
        fd_table_each(p->fds, list_one, &l);
    } else {
        t = table_get(p);
        if (t)
            fd_table_each(t, list_one, &l);
        fd_table_unref(t);
    }
    process_unref(p);
    return 0;
}

/* ---- exe, cwd, root ---- */

int64_t proc_exe_readlink(const struct pseudo_key *k, char *dst, size_t size)
{
    struct process *p = proc_process(k);
    int64_t rc = -ENOENT;

    if (!p)
        return -ENOENT;
    mutex_lock(&p->lock);
    /* In the midst of execve("/proc/self/exe") the old program's memory is gone, its name is not. */
    if (p->exe_path && (p->mm || p == process_current()))
        rc = copy_out(dst, size, p->exe_path);
    mutex_unlock(&p->lock);
    process_unref(p);
    return rc;
}

int proc_exe_follow(const struct pseudo_key *k, struct dentry **ret)
{
    char *path = mem_alloc(PATH_SIZE_MAX);
    int64_t rc = -ENOMEM;

    if (path) {
        rc = proc_exe_readlink(k, path, PATH_SIZE_MAX - 1);
        if (rc >= 0) {
            path[rc] = 0;
            rc = path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, ret);
        }
        mem_free(path);
    }
    return (int)rc;
}

static struct dentry *folder_of(const struct pseudo_key *k, bool root)
{
    struct process *p = proc_process(k);
    struct dentry *d = NULL;

    if (!p)
        return NULL;
    mutex_lock(&p->lock);
    if (p->fs)
        d = root ? fs_context_root(p->fs) : fs_context_cwd(p->fs);
    mutex_unlock(&p->lock);
    process_unref(p);
    return d;
}

static int64_t folder_readlink(const struct pseudo_key *k, bool root, char *dst, size_t size)
{
    struct dentry *d = folder_of(k, root);
    int64_t rc = d ? path_out(d, dst, size) : -ENOENT;

    dentry_unref(d);
    return rc;
}

int64_t proc_cwd_readlink(const struct pseudo_key *k, char *dst, size_t size)
{
    return folder_readlink(k, false, dst, size);
}

int64_t proc_root_readlink(const struct pseudo_key *k, char *dst, size_t size)
{
    return folder_readlink(k, true, dst, size);
}

static int folder_follow(const struct pseudo_key *k, bool root, struct dentry **ret)
{
    *ret = folder_of(k, root);
    return *ret ? 0 : -ENOENT;
}

int proc_cwd_follow(const struct pseudo_key *k, struct dentry **ret)
{
    return folder_follow(k, false, ret);
}

int proc_root_follow(const struct pseudo_key *k, struct dentry **ret)
{
    return folder_follow(k, true, ret);
}
