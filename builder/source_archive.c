/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Container layers and root file systems as tar archives, in any dialect and compression that libarchive
 * has built in. Relying party; the archive may be hostile. The process must stay in the "C" locale: then
 * libarchive gives names as the bytes they are.
 */
#include "builder/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/checked.h"
#include "lib/digest.h"

#define BUFFER_SIZE (256u * 1024)

struct stream {
    const struct source_span *span;
    uint64_t pos;
    struct sha256 sha;
    bool hashed;
    struct progress *progress;
    uint8_t buffer[BUFFER_SIZE];
};

static void free_stream(struct stream **s)
{
    free(*s);
}

static void free_archive(struct archive **a)
{
    archive_read_free(*a);
}

static la_ssize_t stream_read(struct archive *a, void *arg, const void **ret_data)
{
    struct stream *s = arg;
    size_t size = MIN(sizeof s->buffer, s->span->size - s->pos);
    ssize_t n;

    do {
        n = pread(s->span->fd, s->buffer, size, (off_t)(s->span->off + s->pos));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        archive_set_error(a, errno, "cannot read");
        return -1;
    }
    if (s->hashed)
        sha256_update(&s->sha, s->buffer, (size_t)n);
    s->pos += (uint64_t)n;
    progress_add(s->progress, (uint64_t)n);
    *ret_data = s->buffer;
    return n;
}

bool source_xattr_is_kept(const char *name)
{
    if (strncmp(name, "trusted.", 8) == 0)
        return strncmp(name, "trusted.overlay.", 16) != 0;
    return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0 ||
           strcmp(name, "system.posix_acl_access") == 0 ||
           strcmp(name, "system.posix_acl_default") == 0;
}

static int entry_xattrs_read(struct tree *t, struct tree_inode *inode, struct archive_entry *e)
{
    struct tree_xattr xattrs[TREE_XATTRS_MAX];
    size_t count = 0;
    const char *name;
    const void *value;
    size_t size;

    archive_entry_xattr_reset(e);
    while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
        if (!name || !source_xattr_is_kept(name))
            continue;
        if (count == TREE_XATTRS_MAX || strlen(name) > 255)
            return -E2BIG;
        xattrs[count++] = (struct tree_xattr){ name, value, size };
    }
    return count ? tree_set_xattrs(t, inode, xattrs, count) : 0;
}

static int entry_attrs_read(struct tree *t, struct archive_entry *e, const char *path,
                            struct tree_inode *ret, struct err *err)
{
    int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
    mode_t type = archive_entry_filetype(e);
    struct tree_inode a = {
        .mode = type | (archive_entry_perm(e) & 07777),
        .uid = (uint32_t)uid,
        .gid = (uint32_t)gid,
        .mtime_s = archive_entry_mtime(e),
        .mtime_ns = (uint32_t)archive_entry_mtime_nsec(e) % 1000000000u,
    };

    if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
        return err_set(err, -EINVAL, "%.300s: owner out of range", path);
    switch (type) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFCHR:
    case S_IFBLK:
        a.device_major = (uint32_t)archive_entry_rdevmajor(e);
        a.device_minor = (uint32_t)archive_entry_rdevminor(e);
        if (a.device_major > 0xfff || a.device_minor > 0xfffff)
            return err_set(err, -EINVAL, "%.300s: device number out of range", path);
        break;
    case S_IFLNK: {
        const char *target = archive_entry_symlink(e);
        size_t len = target ? strlen(target) : 0;

        if (len == 0 || len > TREE_LINK_SIZE_MAX)
            return err_set(err, -EINVAL, "%.300s: symbolic link of no or too long a target", path);
        a.target = arena_copy(&t->arena, target, len);
        a.size = len;
        if (!a.target)
            return -ENOMEM;
        break;
    }
    default:
        return err_set(err, -EINVAL, "%.300s: unknown kind of file", path);
    }
    *ret = a;
    return 0;
}

static int content_read(struct source *s, struct archive *a, struct tree_inode *inode,
                        uint8_t *buffer, struct err *err)
{
    inode->spool_off = s->spool.size;
    for (;;) {
        la_ssize_t n = archive_read_data(a, buffer, BUFFER_SIZE);

        if (n == ARCHIVE_RETRY)
            continue;
        if (n < 0)
            return err_set(err, -EINVAL, "%s", archive_error_string(a));
        if (n == 0)
            break;
        int rc = spool_append(&s->spool, buffer, (size_t)n, err);

        if (rc < 0)
            return rc;
    }
    inode->size = s->spool.size - inode->spool_off;
    return 0;
}

static int entry_read(struct source *s, struct archive *a, struct archive_entry *e, unsigned layer,
                      bool whiteouts, uint8_t *buffer, struct err *err)
{
    const char *path = archive_entry_pathname(e);
    struct tree_inode attrs, *inode;
    int rc;

    if (!path || !path[0])
        return err_set(err, -EINVAL, "an entry has no name");
    if (whiteouts) {
        rc = tree_whiteout(&s->tree, path, layer, err);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    const char *target = archive_entry_hardlink(e);

    if (target)
        return tree_link(&s->tree, path, layer, target, err);
    rc = entry_attrs_read(&s->tree, e, path, &attrs, err);
    if (rc == 0)
        rc = tree_put(&s->tree, path, layer, &attrs, &inode, err);
    if (rc < 0)
        return rc;
    rc = entry_xattrs_read(&s->tree, inode, e);
    if (rc < 0)
        return err_set(err, rc, "%.300s: too many or too large extended attributes", path);
    if (!S_ISREG(attrs.mode))
        return 0;
    /* Sparse files claim what they like; this one would only fill the disk. */
    if (!range_within(s->spool.size, (uint64_t)archive_entry_size(e), SPOOL_SIZE_MAX))
        return err_set(err, -EFBIG, "%.300s: the source unpacks to more than %llu GiB", path,
                       SPOOL_SIZE_MAX >> 30);
    rc = content_read(s, a, inode, buffer, err);
    return rc < 0 ? err_wrap(err, rc, "%.300s", path) : 0;
}

static int entries_read(struct source *s, struct archive *a, unsigned layer, bool whiteouts,
                        uint8_t *buffer, struct err *err)
{
    for (uint32_t i = 0;; i++) {
        struct archive_entry *e;
        int result = archive_read_next_header(a, &e);

        if (result == ARCHIVE_EOF)
            return 0;
        if (result == ARCHIVE_RETRY)
            continue;
        /* A warning is about a name that is not UTF-8: to us it is bytes. */
        if (result < ARCHIVE_WARN)
            return err_set(err, -EINVAL, "%s", archive_error_string(a));
        if (i == SOURCE_ENTRIES_MAX)
            return err_set(err, -E2BIG, "too many files");
        int rc = entry_read(s, a, e, layer, whiteouts, buffer, err);

        if (rc < 0)
            return rc;
    }
}

static int filters_support(struct archive *a)
{
    /* Those that libarchive has built in: no program is started for an archive. */
    if (archive_read_support_format_tar(a) < ARCHIVE_WARN ||
        archive_read_support_format_empty(a) < ARCHIVE_WARN ||
        archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_filter_bzip2(a) != ARCHIVE_OK ||
        archive_read_support_filter_xz(a) != ARCHIVE_OK ||
        archive_read_support_filter_lzma(a) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
        archive_read_support_filter_lz4(a) != ARCHIVE_OK)
        return -ENOTSUP;
    return 0;
}

int source_archive_read(struct source *s, const struct source_span *span, unsigned layer,
                        bool whiteouts, uint8_t ret_digest[32], struct progress *progress,
                        struct err *err)
{
    CLEANUP(free_archive)
    struct archive *a = archive_read_new();
    CLEANUP(free_stream)
    struct stream *stream = calloc(1, sizeof *stream);
    CLEANUP(arena_done)
    struct arena buffers = { 0 };
    uint8_t *buffer = arena_alloc(&buffers, BUFFER_SIZE);

    if (!a || !stream || !buffer)
        return err_set_errno(err, -ENOMEM, "archive");
    stream->span = span;
    stream->progress = progress;
    stream->hashed = ret_digest != NULL;
    sha256_init(&stream->sha);
    if (filters_support(a) < 0)
        return err_set(err, -ENOTSUP, "this libarchive lacks a compression that images use");
    if (archive_read_open(a, stream, NULL, stream_read, NULL) != ARCHIVE_OK)
        return err_set(err, -EINVAL, "%s", archive_error_string(a));
    int rc = entries_read(s, a, layer, whiteouts, buffer, err);

    if (rc < 0 || !ret_digest)
        return rc;
    const void *rest;

    while (stream->pos < span->size)
        if (stream_read(a, stream, &rest) <= 0)
            return err_set(err, -EIO, "it became shorter while it was read");
    sha256_final(&stream->sha, ret_digest);
    return 0;
}
