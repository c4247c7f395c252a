/* SPDX-License-Identifier: Apache-2.0 */
/* Files as a whole. Hosted sides. */
#include "lib/hosted/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096u

int whole_file_fd_read(int fd, void *dst, size_t size, size_t *ret_size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t count = read(fd, (char *)dst + done, size - done);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    *ret_size = done;
    return 0;
}

int whole_file_fd_write(int fd, const void *data, size_t size)
{
    const char *left = data;

    while (size > 0) {
        ssize_t count = write(fd, left, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        left += count;
        size -= (size_t)count;
    }
    return 0;
}

int whole_file_read(const char *path, size_t max, char **ret, size_t *ret_size, struct err *err)
{
    char *data;
    size_t size = 0;
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set_errno(err, -errno, "cannot open %s", path);
    data = malloc(max + 2);
    rc = data ? whole_file_fd_read(fd, data, max + 1, &size) : -ENOMEM;
    close(fd);
    if (rc < 0)
        rc = err_set_errno(err, rc, "cannot read %s", path);
    else if (size > max)
        rc = err_set(err, -E2BIG, "%s is longer than %zu bytes", path, max);
    if (rc < 0) {
        free(data);
        return rc;
    }
    data[size] = 0;
    *ret = data;
    *ret_size = size;
    return 0;
}

/* The new name lasts when its folder was written. */
static int sync_folder(const char *path)
{
    char folder[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    int fd, rc;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : -errno; /* one may write into a folder that one may not list */
    rc = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
    close(fd);
    return rc;
}

int whole_file_replace(const char *path, const void *data, size_t size, unsigned mode,
                       struct err *err)
{
    char beside[PATH_SIZE];
    int fd, rc;

    if (snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid()) >= (int)sizeof beside)
        return err_set_errno(err, -ENAMETOOLONG, "%s", path);
    if (unlink(beside) < 0 && errno != ENOENT) /* of a process that died while it wrote */
        return err_set_errno(err, -errno, "cannot make %s", beside);
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return err_set_errno(err, -errno, "cannot make %s", beside);
    rc = whole_file_fd_write(fd, data, size);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(beside, path) < 0)
        rc = -errno;
    if (rc < 0) {
        unlink(beside);
        return err_set_errno(err, rc, "cannot write %s", path);
    }
    rc = sync_folder(path);
    return rc < 0 ? err_set_errno(err, rc, "cannot write the folder of %s", path) : 0;
}
