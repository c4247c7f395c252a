/* SPDX-License-Identifier: Apache-2.0 */
/* Untrusted host folders: names and attributes. Trusted; see hostfs.h. */
#include "tee/libos/fs/host/hostfs.h"

#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

#include "lib/checked.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/mode.h"

#define HOSTFS_MAGIC 0x01021997u /* as 9p: a folder of somebody else */
#define LISTING_STEP 65536u
#define MODE_PERMISSIONS 07777u

struct mutex g_hostfs_names;

static const struct inode_ops dir_ops, file_ops, other_ops;

/* ---- names ---- */

int hostfs_path(struct host_node *n, const char *name, size_t name_size, char *dst)
{
    size_t at = PATH_SIZE_MAX - 1;
    int rc = 0;

    /* From the end to the front. */
    dst[at] = 0;
    if (name) {
        at -= name_size;
        memcpy(dst + at, name, name_size);
    }
    mutex_lock(&g_hostfs_names);
    for (; n->parent && rc == 0; n = n->parent) {
        size_t size = strlen(n->name);
        bool slash = dst[at] != 0;

        if (at < size + slash) {
            rc = -ENAMETOOLONG;
            break;
        }
        if (slash)
            dst[--at] = '/';
        at -= size;
        memcpy(dst + at, n->name, size);
    }
    mutex_unlock(&g_hostfs_names);
    memmove(dst, dst + at, PATH_SIZE_MAX - at);
    if (!dst[0])
        memcpy(dst, ".", 2);
    return rc;
}

/* A path buffer is a page: too large for the stack. */
static int new_path(struct host_node *n, const char *name, size_t name_size, char **ret)
{
    char *path = mem_alloc(PATH_SIZE_MAX);

    if (!path)
        return -ENOMEM;
    int rc = hostfs_path(n, name, name_size, path);
    if (rc < 0) {
        mem_free(path);
        return rc;
    }
    *ret = path;
    return 0;
}

static bool is_name(const char *name, size_t size)
{
    if (size == 0 || size > NAME_SIZE_MAX || memchr(name, '/', size) || memchr(name, 0, size))
        return false;
    return !(name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')));
}

/* ---- inodes ---- */

static const struct inode_ops *ops_of(uint32_t mode)
{
    return S_ISDIR(mode) ? &dir_ops : S_ISREG(mode) ? &file_ops : &other_ops;
}

static void take_attr(struct host_node *n, const struct ocall_stat *st)
{
    n->inode.mode = st->mode & (S_IFMT | MODE_PERMISSIONS);
    n->inode.uid = st->uid;
    n->inode.gid = st->gid;
}

int hostfs_node_new(struct hostfs *fs, struct host_node *parent, const char *name, size_t name_size,
                    const struct ocall_stat *st, struct inode **ret)
{
    struct host_node *n = mem_zalloc(sizeof *n);

    if (!n)
        return -ENOMEM;
    n->name = mem_zalloc(name_size + 1);
    if (!n->name) {
        mem_free(n);
        return -ENOMEM;
    }
    memcpy(n->name, name, name_size);
    n->fs = fs;
    n->inode.super = &fs->super;
    n->inode.refs = 1;
    n->inode.ino = st->ino;
    take_attr(n, st);
    n->inode.ops = ops_of(st->mode);
    if (parent)
        inode_ref(&parent->inode);
    n->parent = parent;
    *ret = &n->inode;
    return 0;
}

static void node_release(struct inode *inode)
{
    struct host_node *n = hostfs_node(inode), *parent = n->parent;

    mem_free(n->listing);
    mem_free(n->name);
    mem_free(n);
    if (parent)
        inode_unref(&parent->inode);
}

int hostfs_stat(struct host_node *n, struct ocall_stat *ret)
{
    CLEANUP(mem_freep)
    char *path = NULL;
    int rc = new_path(n, NULL, 0, &path);

    if (rc == 0)
        rc = ocall_mount_stat(n->fs->mount, path, ret);
    if (rc < 0)
        return rc;
    if ((ret->mode & S_IFMT) != (n->inode.mode & S_IFMT))
        return -ESTALE;
    take_attr(n, ret);
    return 0;
}

static int node_get_attr(struct inode *inode, struct inode_attr *ret)
{
    struct ocall_stat st;
    int rc = hostfs_stat(hostfs_node(inode), &st);

    if (rc < 0)
        return rc;
    *ret = (struct inode_attr){
        .ino = st.ino,
        .size = st.size,
        .blocks = st.blocks,
        .dev = inode->super->dev,
        .rdev = st.rdev,
        .mode = inode->mode,
        .nlink = st.nlink,
        .uid = st.uid,
        .gid = st.gid,
        .blksize = PAGE_SIZE,
        .atime = { st.atime_s, st.atime_ns },
        .mtime = { st.mtime_s, st.mtime_ns },
        .ctime = { st.ctime_s, st.ctime_ns },
    };
    return 0;
}

static int set_size(struct host_node *n, const char *path, uint64_t size)
{
    int fd = ocall_mount_open(n->fs->mount, path, O_WRONLY | O_NOFOLLOW, 0);

    if (fd < 0)
        return fd;
    int rc = ocall_file_truncate(fd, size);
    int closed UNUSED = ocall_close(fd);
    return rc;
}

static int set_times(struct host_node *n, const char *path, const struct inode_attr *attr,
                     uint32_t mask)
{
    struct ocall_stat st;
    int rc = hostfs_stat(n, &st);

    if (rc < 0)
        return rc;
    int64_t seconds[2] = { mask & ATTR_ATIME ? attr->atime.sec : st.atime_s,
                           mask & ATTR_MTIME ? attr->mtime.sec : st.mtime_s };
    uint32_t ns[2] = { mask & ATTR_ATIME ? attr->atime.nsec : st.atime_ns,
                       mask & ATTR_MTIME ? attr->mtime.nsec : st.mtime_ns };
    return ocall_mount_utimens(n->fs->mount, path, seconds, ns);
}

static int node_set_attr(struct inode *inode, const struct inode_attr *attr, uint32_t mask)
{
    struct host_node *n = hostfs_node(inode);
    CLEANUP(mem_freep)
    char *path = NULL;
    int rc;

    if (n->fs->read_only)
        return -EROFS;
    /* Owners belong to the host; setting what is there already is no change. */
    if ((mask & ATTR_UID && attr->uid != inode->uid) ||
        (mask & ATTR_GID && attr->gid != inode->gid))
        return -EPERM;
    rc = new_path(n, NULL, 0, &path);
    if (rc == 0 && mask & ATTR_MODE)
        rc = ocall_mount_chmod(n->fs->mount, path, attr->mode & MODE_PERMISSIONS);
    if (rc == 0 && mask & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & MODE_PERMISSIONS);
    if (rc == 0 && mask & ATTR_SIZE)
        rc = set_size(n, path, attr->size);
    if (rc == 0 && mask & (ATTR_ATIME | ATTR_MTIME))
        rc = set_times(n, path, attr, mask);
    return rc;
}

/* ---- folders ---- */

static int dir_lookup(struct inode *dir, const char *name, size_t name_size, struct inode **ret)
{
    struct host_node *n = hostfs_node(dir);
    CLEANUP(mem_freep)
    char *path = NULL;
    struct ocall_stat st;
    int rc = is_name(name, name_size) ? new_path(n, name, name_size, &path) : -ENOENT;

    if (rc == 0)
        rc = ocall_mount_stat(n->fs->mount, path, &st);
    return rc < 0 ? rc : hostfs_node_new(n->fs, n, name, name_size, &st, ret);
}

static int dir_create(struct inode *dir, const char *name, size_t name_size, uint32_t mode,
                      uint64_t rdev UNUSED, const struct cred *cred UNUSED, struct inode **ret)
{
    struct host_node *n = hostfs_node(dir);
    CLEANUP(mem_freep)
    char *path = NULL;
    int rc;

    if (n->fs->read_only)
        return -EROFS;
    rc = new_path(n, name, name_size, &path);
    if (rc < 0)
        return rc;
    if (S_ISDIR(mode)) {
        rc = ocall_mount_mkdir(n->fs->mount, path, mode & MODE_PERMISSIONS);
    } else if (S_ISREG(mode)) {
        rc = ocall_mount_open(n->fs->mount, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                              mode & MODE_PERMISSIONS);
        if (rc >= 0)
            rc = ocall_close(rc);
    } else {
        rc = -EPERM; /* FIFOs, sockets and devices of the enclave cannot live on the host */
    }
    return rc < 0 ? rc : dir_lookup(dir, name, name_size, ret);
}

static int dir_symlink(struct inode *dir, const char *name, size_t name_size, const char *target,
                       const struct cred *cred UNUSED, struct inode **ret)
{
    struct host_node *n = hostfs_node(dir);
    CLEANUP(mem_freep)
    char *path = NULL;
    int rc = n->fs->read_only ? -EROFS : new_path(n, name, name_size, &path);

    if (rc == 0)
        rc = ocall_mount_symlink(n->fs->mount, target, path);
    return rc < 0 ? rc : dir_lookup(dir, name, name_size, ret);
}

static int dir_link(struct inode *dir, const char *name, size_t name_size, struct inode *target)
{
    struct host_node *n = hostfs_node(dir);
    CLEANUP(mem_freep)
    char *path = NULL, *from = NULL;
    int rc = n->fs->read_only ? -EROFS : new_path(n, name, name_size, &path);

    if (rc == 0)
        rc = new_path(hostfs_node(target), NULL, 0, &from);
    return rc < 0 ? rc : ocall_mount_link(n->fs->mount, from, path);
}

static int remove_entry(struct inode *dir, const char *name, size_t name_size, bool directory)
{
    struct host_node *n = hostfs_node(dir);
    CLEANUP(mem_freep)
    char *path = NULL;
    int rc = n->fs->read_only ? -EROFS : new_path(n, name, name_size, &path);

    return rc < 0 ? rc : ocall_mount_unlink(n->fs->mount, path, directory);
}

static int dir_unlink(struct inode *dir, const char *name, size_t name_size,
                      struct inode *target UNUSED)
{
    return remove_entry(dir, name, name_size, false);
}

static int dir_rmdir(struct inode *dir, const char *name, size_t name_size,
                     struct inode *target UNUSED)
{
    return remove_entry(dir, name, name_size, true);
}

/* The moved node lives at its new place from now on. */
static void move_node(struct host_node *n, struct host_node *to, char *name)
{
    struct host_node *old = n->parent;
    char *old_name = n->name;

    inode_ref(&to->inode);
    mutex_lock(&g_hostfs_names);
    n->parent = to;
    n->name = name;
    mutex_unlock(&g_hostfs_names);
    mem_free(old_name);
    if (old)
        inode_unref(&old->inode);
}

static int dir_rename(struct inode *from_dir, const char *from, size_t from_size,
                      struct inode *to_dir, const char *to, size_t to_size, struct inode *moved,
                      struct inode *replaced UNUSED, uint32_t flags)
{
    struct host_node *n = hostfs_node(from_dir);
    CLEANUP(mem_freep)
    char *from_path = NULL, *to_path = NULL, *name = NULL;
    int rc = n->fs->read_only ? -EROFS : flags & ~(uint32_t)1 ? -EINVAL : 0; /* RENAME_NOREPLACE */

    if (rc == 0)
        rc = new_path(n, from, from_size, &from_path);
    if (rc == 0)
        rc = new_path(hostfs_node(to_dir), to, to_size, &to_path);
    if (rc < 0)
        return rc;
    name = mem_zalloc(to_size + 1);
    if (!name)
        return -ENOMEM;
    memcpy(name, to, to_size);
    rc = ocall_mount_rename(n->fs->mount, from_path, to_path, flags);
    if (rc < 0)
        return rc;
    move_node(hostfs_node(moved), hostfs_node(to_dir), TAKE_PTR(name));
    return 0;
}

/* ---- listing ---- */

/* struct linux_dirent64, of getdents64(2). */
struct host_dirent {
    uint64_t ino;
    uint64_t off;
    uint16_t size;
    uint8_t type;
    char name[];
} PACKED;
#define DIRENT_HEAD 19u

static int read_all(int fd, uint8_t **ret, size_t *ret_size)
{
    CLEANUP(mem_freep)
    uint8_t *data = NULL;
    size_t size = 0;

    for (;;) {
        uint8_t *more = size + LISTING_STEP <= HOSTFS_DIR_SIZE_MAX
                            ? mem_realloc(data, size + LISTING_STEP)
                            : NULL;

        if (!more)
            return -ENOMEM;
        data = more;
        int64_t n = ocall_file_getdents(fd, data + size, LISTING_STEP, size == 0);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        size += (size_t)n;
    }
    *ret = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}

static int refresh_listing(struct host_node *n)
{
    CLEANUP(mem_freep)
    char *path = NULL;
    int rc = new_path(n, NULL, 0, &path);

    if (rc < 0)
        return rc;
    int fd = ocall_mount_open(n->fs->mount, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    mem_free(n->listing);
    n->listing = NULL;
    n->listing_size = 0;
    rc = read_all(fd, &n->listing, &n->listing_size);
    int closed UNUSED = ocall_close(fd);
    return rc;
}

/* Positions from 2 on count the records of a listing that is taken when reading begins. */
static int dir_readdir(struct inode *dir, uint64_t pos, readdir_fn *fn, void *arg)
{
    struct host_node *n = hostfs_node(dir);
    uint64_t index = 2;

    if (pos <= 2 || !n->listing) {
        int rc = refresh_listing(n);

        if (rc < 0)
            return rc;
    }
    for (size_t off = 0; n->listing_size - off > DIRENT_HEAD; index++) {
        const struct host_dirent *e = (const struct host_dirent *)(n->listing + off);

        if (e->size <= DIRENT_HEAD || e->size > n->listing_size - off)
            return -EIO;
        size_t size = strnlen(e->name, e->size - DIRENT_HEAD);
        off += e->size;
        if (index < pos || !is_name(e->name, size))
            continue;
        if (!fn(arg, e->name, size, e->ino, e->type, index + 1))
            return 0;
    }
    return 0;
}

/* ---- links and the rest ---- */

static int64_t node_readlink(struct inode *inode, char *dst, size_t size)
{
    struct host_node *n = hostfs_node(inode);
    CLEANUP(mem_freep)
    char *path = NULL;
    int rc = S_ISLNK(inode->mode) ? new_path(n, NULL, 0, &path) : -EINVAL;

    return rc < 0 ? rc : ocall_mount_readlink(n->fs->mount, path, dst, size);
}

static int refuse_open(struct inode *inode UNUSED, struct file *f UNUSED)
{
    return -ENXIO; /* FIFOs, sockets and devices of the host */
}

static const struct inode_ops dir_ops = {
    .lookup = dir_lookup,
    .create = dir_create,
    .symlink = dir_symlink,
    .link = dir_link,
    .unlink = dir_unlink,
    .rmdir = dir_rmdir,
    .rename = dir_rename,
    .readdir = dir_readdir,
    .get_attr = node_get_attr,
    .set_attr = node_set_attr,
    .release = node_release,
};

static const struct inode_ops file_ops = {
    .get_attr = node_get_attr,
    .set_attr = node_set_attr,
    .open = hostfs_open,
    .release = node_release,
};

static const struct inode_ops other_ops = {
    .readlink = node_readlink,
    .get_attr = node_get_attr,
    .set_attr = node_set_attr,
    .open = refuse_open,
    .release = node_release,
};

/* The host tells nothing about its file system; programs see room. */
static int hostfs_statfs(struct super *s UNUSED, uint64_t *ret_blocks, uint64_t *ret_free,
                         uint64_t *ret_files)
{
    *ret_blocks = *ret_free = 1u << 28;
    *ret_files = 1u << 20;
    return 0;
}

int hostfs_new(uint32_t mount, bool read_only, struct super **ret)
{
    CLEANUP(mem_freep)
    struct hostfs *fs = mem_zalloc(sizeof *fs);
    struct ocall_stat st;
    int rc;

    if (!fs)
        return -ENOMEM;
    rc = ocall_mount_stat(mount, ".", &st);
    if (rc < 0)
        return rc;
    if (!S_ISDIR(st.mode))
        return -ENOTDIR;
    fs->mount = mount;
    fs->read_only = read_only;
    fs->super = (struct super){ .type = "hostfs",
                                .dev = super_new_dev(),
                                .magic = HOSTFS_MAGIC,
                                .flags = MS_NOSUID | MS_NODEV | (read_only ? MS_RDONLY : 0),
                                .uncached = true,
                                .private_data = fs,
                                .stat = hostfs_statfs };
    rc = hostfs_node_new(fs, NULL, "", 0, &st, &fs->super.root);
    if (rc < 0)
        return rc;
    *ret = &fs->super;
    fs = NULL;
    return 0;
}
