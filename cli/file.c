/* SPDX-License-Identifier: Apache-2.0 */
/* Reads whole files. Relying party side. */
#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int read_all(int fd, uint8_t *data, size_t max, size_t *ret_size)
{
    size_t size = 0;

    while (size < max) {
        ssize_t count = read(fd, data + size, max - size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            break;
        size += (size_t)count;
    }
    *ret_size = size;
    return 0;
}

int file_bytes_read(const char *path, size_t max, struct file_bytes *ret, struct err *err)
{
    uint8_t *data;
    size_t size = 0;
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set_errno(err, -errno, "cannot open %s", path);
    data = malloc(max + 2);
    rc = data ? read_all(fd, data, max + 1, &size) : -ENOMEM;
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
    *ret = (struct file_bytes){ data, size };
    return 0;
}

void file_bytes_done(struct file_bytes *file)
{
    free(file->data);
    *file = (struct file_bytes){ 0 };
}
