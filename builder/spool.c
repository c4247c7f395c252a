/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary store for file contents. Relying party. */
#include "builder/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/checked.h"

int spool_init(struct spool *s, struct err *err)
{
    const char *folder = getenv("TMPDIR");

    if (!folder || !folder[0])
        folder = "/var/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
        char path[4096];

        if (snprintf(path, sizeof path, "%s/cloche-XXXXXX", folder) >= (int)sizeof path)
            return err_set(err, -ENAMETOOLONG, "TMPDIR is too long");
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return err_set_errno(err, -errno, "cannot make a temporary file in %s", folder);
    *s = (struct spool){ .fd = fd };
    return 0;
}

void spool_done(struct spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static int check_size(const struct spool *s, uint64_t size, struct err *err)
{
    if (range_within(s->size, size, SPOOL_SIZE_MAX))
        return 0;
    return err_set(err, -EFBIG, "the source unpacks to more than %llu GiB", SPOOL_SIZE_MAX >> 30);
}

int spool_append(struct spool *s, const void *data, size_t size, struct err *err)
{
    int rc = check_size(s, size, err);

    for (size_t done = 0; rc == 0 && done < size;) {
        ssize_t n = pwrite(s->fd, (const char *)data + done, size - done, (off_t)s->size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, -errno, "cannot write the temporary file");
        done += (size_t)n;
        s->size += (uint64_t)n;
    }
    return rc;
}

int spool_append_file(struct spool *s, int fd, uint64_t size, struct err *err)
{
    char buffer[64 * 1024];
    int rc = check_size(s, size, err);

    while (rc == 0 && size > 0) {
        off_t to = (off_t)s->size;
        ssize_t n = copy_file_range(fd, NULL, s->fd, &to, MIN(size, 1u << 30), 0);

        if (n > 0) {
            s->size += (uint64_t)n;
        } else {
            n = read(fd, buffer, MIN(size, sizeof buffer));
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return n < 0 ? err_set_errno(err, -errno, "cannot read")
                             : err_set(err, -EIO, "it became shorter while it was read");
            rc = spool_append(s, buffer, (size_t)n, err);
        }
        size -= (uint64_t)n;
    }
    return rc;
}

int spool_read(const struct spool *s, uint64_t off, void *dst, size_t size, struct err *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(s->fd, (char *)dst + done, size - done, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n < 0 ? -errno : -EIO, "cannot read the temporary file");
        done += (size_t)n;
    }
    return 0;
}
