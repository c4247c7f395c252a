/* SPDX-License-Identifier: Apache-2.0 */
/* A folder as a root file system, as the caller may read it. Relying party. */
#include "builder/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Files with more than one name, by what the host knows them as. */
struct known {
    dev_t device;
    ino_t number;
    const char *path;
};

struct reader {
    struct source *s;
    int root_fd;
    void *known; /* tsearch(3) tree of struct known */
    struct arena arena;
    struct progress *progress;
    struct err *err;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void close_folder(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int known_compare(const void *a, const void *b)
{
    const struct known *x = a, *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void leave_known(void *known)
{
    /* The arena owns it. */
}

/* "." and ".." and the path of an entry, relative to the root of the folder. */
static const char *path_at(const char *path)
{
    return path[0] ? path : ".";
}

static int xattrs_read(struct reader *r, const char *path, struct tree_inode *inode)
{
    struct tree_xattr xattrs[TREE_XATTRS_MAX];
    CLEANUP(arena_done)
    struct arena arena = { 0 };
    size_t count = 0;
    const char *full = arena_printf(&arena, "/proc/self/fd/%d/%s", r->root_fd, path_at(path));
    char *names = arena_alloc(&arena, 65536);

    if (!full || !names)
        return -ENOMEM;
    ssize_t size = llistxattr(full, names, 65536);

    if (size < 0)
        return errno == ENOTSUP || errno == EPERM || errno == EACCES ? 0 : -errno;
    for (const char *name = names; name < names + size; name += strlen(name) + 1) {
        if (!source_xattr_is_kept(name))
            continue;
        ssize_t value_size = lgetxattr(full, name, NULL, 0);
        uint8_t *value = value_size < 0 ? NULL : arena_alloc(&arena, (size_t)value_size + 1);

        if (value_size < 0)
            return -errno;
        if (!value)
            return -ENOMEM;
        value_size = lgetxattr(full, name, value, (size_t)value_size);
        if (value_size < 0 || count == TREE_XATTRS_MAX)
            return value_size < 0 ? -errno : -E2BIG;
        xattrs[count++] = (struct tree_xattr){ name, value, (size_t)value_size };
    }
    return count ? tree_set_xattrs(&r->s->tree, inode, xattrs, count) : 0;
}

/* A second name of a file is a hard link. returns: 1 it was linked; 0 read it; -errno. */
static int link_read(struct reader *r, const char *path, const struct stat *st)
{
    struct known *known = arena_alloc(&r->arena, sizeof *known);
    struct known **node;

    if (!known)
        return -ENOMEM;
    *known = (struct known){ st->st_dev, st->st_ino, path };
    node = tsearch(known, &r->known, known_compare);
    if (!node)
        return -ENOMEM;
    if (*node == known)
        return 0;
    int rc = tree_link(&r->s->tree, path, 0, (*node)->path, r->err);

    return rc < 0 ? rc : 1;
}

static int content_read(struct reader *r, const char *path, struct tree_inode *inode)
{
    CLEANUP(close_fd)
    int fd = openat(r->root_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set_errno(r->err, -errno, "cannot open %s", path);
    inode->spool_off = r->s->spool.size;
    inode->size = (uint64_t)st.st_size;
    int rc = spool_append_file(&r->s->spool, fd, inode->size, r->err);

    progress_add(r->progress, inode->size);
    return rc < 0 ? err_wrap(r->err, rc, "%s", path) : 0;
}

static int attrs_read(struct reader *r, const char *path, const struct stat *st,
                      struct tree_inode *ret)
{
    struct tree_inode a = {
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime_s = st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
    };

    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
        a.device_major = major(st->st_rdev);
        a.device_minor = minor(st->st_rdev);
    }
    if (S_ISLNK(st->st_mode)) {
        char target[TREE_LINK_SIZE_MAX + 1];
        ssize_t len = readlinkat(r->root_fd, path, target, sizeof target);

        if (len <= 0 || (size_t)len > TREE_LINK_SIZE_MAX)
            return err_set_errno(r->err, len < 0 ? -errno : -ENAMETOOLONG, "%s", path);
        a.target = arena_copy(&r->s->tree.arena, target, (size_t)len);
        a.size = (uint64_t)len;
        if (!a.target)
            return -ENOMEM;
    }
    *ret = a;
    return 0;
}

static int entry_read(struct reader *r, const char *path, struct stat *ret_st)
{
    struct tree_inode attrs, *inode;
    struct stat st;
    int rc = 0;

    if (fstatat(r->root_fd, path_at(path), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_errno(r->err, -errno, "%s", path);
    *ret_st = st;
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
        rc = link_read(r, path, &st);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = attrs_read(r, path, &st, &attrs);
    if (rc == 0)
        rc = tree_put(&r->s->tree, path, 0, &attrs, &inode, r->err);
    if (rc < 0)
        return rc;
    rc = xattrs_read(r, path, inode);
    if (rc < 0)
        return err_set_errno(r->err, rc, "%s: extended attributes", path);
    return S_ISREG(st.st_mode) ? content_read(r, path, inode) : 0;
}

/* Reads the entries of one folder; nesting is bounded by the path's length and by the tree. */
static int folder_read(struct reader *r, const char *path)
{
    int fd = openat(r->root_fd, path_at(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(close_folder)
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d)
        return err_set_errno(r->err, -errno, "cannot open folder %s", path_at(path));
    while (errno = 0, (e = readdir(d)) != NULL) {
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *child = path[0] ? arena_printf(&r->arena, "%s/%s", path, e->d_name)
                              : arena_copy(&r->arena, e->d_name, strlen(e->d_name));

        if (!child)
            return -ENOMEM;
        int rc = entry_read(r, child, &st);

        if (rc == 0 && S_ISDIR(st.st_mode))
            rc = folder_read(r, child);
        if (rc < 0)
            return rc;
    }
    return errno ? err_set_errno(r->err, -errno, "%s", path_at(path)) : 0;
}

int source_folder_read(struct source *s, int folder_fd, struct progress *progress, struct err *err)
{
    struct reader r = { .s = s, .root_fd = folder_fd, .progress = progress, .err = err };
    struct stat st;
    int rc = entry_read(&r, "", &st);

    if (rc == 0)
        rc = folder_read(&r, "");
    tdestroy(r.known, leave_known);
    arena_done(&r.arena);
    return rc;
}
