/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs on host descriptors and untrusted host folders. Trusted; see ocall.h. */
#include <linux/errno.h>

#include "lib/checked.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define NS_PER_S 1000000000u
#define DIRENT_NAME_OFF 19u /* struct linux_dirent64: ino, off, reclen, type, name */
#define HOST_FILE_NAME_SIZE 32u

int64_t ocall_read(int host_fd, void *dst, size_t size)
{
    int64_t rc;

    size = MIN(size, (size_t)OCALL_BUFFER_SIZE);
    rc = ocall_simple(OCALL_read, (uint64_t)host_fd, size, 0, 0, size);
    if (rc > 0)
        ocall_buffer_get(dst, 0, (size_t)rc);
    return rc;
}

int64_t ocall_write(int host_fd, const void *src, size_t size)
{
    size = MIN(size, (size_t)OCALL_BUFFER_SIZE);
    ocall_buffer_put(0, src, size);
    return ocall_simple(OCALL_write, (uint64_t)host_fd, size, 0, 0, size);
}

int ocall_close(int host_fd)
{
    return (int)ocall_simple(OCALL_close, (uint64_t)host_fd, 0, 0, 0, 0);
}

int ocall_tty_size(int host_fd, uint16_t *ret_rows, uint16_t *ret_columns)
{
    uint64_t args[6] = { (uint64_t)host_fd };
    struct ocall_answer answer;

    ocall_run(OCALL_tty_size, args, 0, &answer);
    if (answer.result < 0)
        return (int)answer.result;
    *ret_rows = (uint16_t)answer.out[0];
    *ret_columns = (uint16_t)(answer.out[0] >> 16);
    return 0;
}

/* Puts a path with its NUL into the buffer. */
static int path_put(const char *path, uint32_t off)
{
    size_t size = strnlen(path, OCALL_PATH_SIZE) + 1;

    if (size > OCALL_PATH_SIZE)
        return -ENAMETOOLONG;
    ocall_buffer_put(off, path, size);
    return 0;
}

static int64_t path_call(uint32_t number, uint32_t mount, const char *path, uint64_t b, uint64_t c,
                         uint64_t asked)
{
    int rc = path_put(path, 0);

    return rc < 0 ? rc : ocall_simple(number, mount, b, c, 0, asked);
}

static int path_call2(uint32_t number, uint32_t mount, const char *path, const char *second,
                      uint64_t b)
{
    int rc = path_put(second, OCALL_PATH_SIZE);

    return rc < 0 ? rc : (int)path_call(number, mount, path, b, 0, 0);
}

/* Host answer; any bit may be hostile: only values that Linux gives are let through. */
static int stat_decode(uint32_t off, struct ocall_stat *ret)
{
    struct ocall_stat s;
    uint32_t type;

    ocall_buffer_get(&s, off, sizeof s);
    type = s.mode & 0170000;
    if (s.size > INT64_MAX || s.blocks > INT64_MAX || s.mode > 0177777 || s.atime_ns >= NS_PER_S ||
        s.mtime_ns >= NS_PER_S || s.ctime_ns >= NS_PER_S)
        return -EIO;
    if (type != 0100000 && type != 0040000 && type != 0120000 && type != 0020000 &&
        type != 0060000 && type != 0010000 && type != 0140000)
        return -EIO;
    *ret = s;
    return 0;
}

int ocall_mount_open(uint32_t mount, const char *path, int flags, uint32_t mode)
{
    return (int)path_call(OCALL_mount_open, mount, path, (uint64_t)(uint32_t)flags, mode, 0);
}

int ocall_mount_stat(uint32_t mount, const char *path, struct ocall_stat *ret)
{
    int rc = (int)path_call(OCALL_mount_stat, mount, path, 0, 0, 0);

    return rc < 0 ? rc : stat_decode(OCALL_STAT_OFF, ret);
}

int64_t ocall_mount_readlink(uint32_t mount, const char *path, char *dst, size_t size)
{
    int64_t rc;

    size = MIN(size, (size_t)OCALL_PATH_SIZE - 1);
    rc = path_call(OCALL_mount_readlink, mount, path, size, 0, size);
    if (rc > 0) {
        ocall_buffer_get(dst, 0, (size_t)rc);
        if (memchr(dst, 0, (size_t)rc))
            return -EIO;
    }
    return rc;
}

int ocall_mount_mkdir(uint32_t mount, const char *path, uint32_t mode)
{
    return (int)path_call(OCALL_mount_mkdir, mount, path, mode, 0, 0);
}

int ocall_mount_unlink(uint32_t mount, const char *path, bool directory)
{
    return (int)path_call(OCALL_mount_unlink, mount, path, directory, 0, 0);
}

int ocall_mount_rename(uint32_t mount, const char *from, const char *to, unsigned flags)
{
    return path_call2(OCALL_mount_rename, mount, from, to, flags);
}

int ocall_mount_symlink(uint32_t mount, const char *target, const char *path)
{
    return path_call2(OCALL_mount_symlink, mount, target, path, 0);
}

int ocall_mount_link(uint32_t mount, const char *from, const char *to)
{
    return path_call2(OCALL_mount_link, mount, from, to, 0);
}

int ocall_mount_chmod(uint32_t mount, const char *path, uint32_t mode)
{
    return (int)path_call(OCALL_mount_chmod, mount, path, mode, 0, 0);
}

int ocall_mount_utimens(uint32_t mount, const char *path, const int64_t times_s[2],
                        const uint32_t times_ns[2])
{
    uint64_t args[6] = { mount, (uint64_t)times_s[0], times_ns[0], (uint64_t)times_s[1],
                         times_ns[1] };
    struct ocall_answer answer;
    int rc = path_put(path, 0);

    if (rc < 0)
        return rc;
    ocall_run(OCALL_mount_utimens, args, 0, &answer);
    return (int)answer.result;
}

int ocall_file_stat(int host_fd, struct ocall_stat *ret)
{
    int rc = (int)ocall_simple(OCALL_file_stat, (uint64_t)host_fd, 0, 0, 0, 0);

    return rc < 0 ? rc : stat_decode(OCALL_STAT_OFF, ret);
}

int64_t ocall_file_pread(int host_fd, void *dst, size_t size, uint64_t off)
{
    size_t done = 0;

    while (done < size) {
        size_t n = MIN(size - done, (size_t)OCALL_BUFFER_SIZE);
        int64_t rc = ocall_simple(OCALL_file_pread, (uint64_t)host_fd, n, off + done, 0, n);

        if (rc < 0)
            return done > 0 ? (int64_t)done : rc;
        ocall_buffer_get((char *)dst + done, 0, (size_t)rc);
        done += (size_t)rc;
        if ((size_t)rc < n)
            break;
    }
    return (int64_t)done;
}

int64_t ocall_file_pwrite(int host_fd, const void *src, size_t size, uint64_t off)
{
    size_t done = 0;

    while (done < size) {
        size_t n = MIN(size - done, (size_t)OCALL_BUFFER_SIZE);
        int64_t rc;

        ocall_buffer_put(0, (const char *)src + done, n);
        rc = ocall_simple(OCALL_file_pwrite, (uint64_t)host_fd, n, off + done, 0, n);
        if (rc < 0)
            return done > 0 ? (int64_t)done : rc;
        done += (size_t)rc;
        if ((size_t)rc < n)
            break;
    }
    return (int64_t)done;
}

int ocall_file_truncate(int host_fd, uint64_t size)
{
    return (int)ocall_simple(OCALL_file_truncate, (uint64_t)host_fd, size, 0, 0, 0);
}

int ocall_file_sync(int host_fd, bool data_only)
{
    return (int)ocall_simple(OCALL_file_sync, (uint64_t)host_fd, data_only, 0, 0, 0);
}

int ocall_file_lock(int host_fd, unsigned operation)
{
    return (int)ocall_simple(OCALL_file_lock, (uint64_t)host_fd, operation, 0, 0, 0);
}

/* Host answer: whole entries, each with a name that ends within it and is no path. */
static int dirents_check(const uint8_t *entries, size_t size)
{
    for (size_t off = 0; off < size;) {
        uint16_t reclen;
        const char *name;
        size_t name_size;

        if (size - off < DIRENT_NAME_OFF + 2)
            return -EIO;
        memcpy(&reclen, entries + off + 16, sizeof reclen);
        if (reclen < DIRENT_NAME_OFF + 2 || reclen > size - off || (reclen & 7) != 0)
            return -EIO;
        name = (const char *)entries + off + DIRENT_NAME_OFF;
        name_size = strnlen(name, reclen - DIRENT_NAME_OFF);
        if (name_size == 0 || name_size == reclen - DIRENT_NAME_OFF || name_size > 255 ||
            memchr(name, '/', name_size))
            return -EIO;
        off += reclen;
    }
    return 0;
}

int64_t ocall_file_getdents(int host_fd, void *dst, size_t size, bool restart)
{
    int64_t rc;
    int bad;

    size = MIN(size, (size_t)OCALL_BUFFER_SIZE);
    rc = ocall_simple(OCALL_file_getdents, (uint64_t)host_fd, size, restart, 0, size);
    if (rc <= 0)
        return rc;
    ocall_buffer_get(dst, 0, (size_t)rc);
    bad = dirents_check(dst, (size_t)rc);
    return bad < 0 ? bad : rc;
}

int ocall_host_file(const char *name, void *dst, size_t size)
{
    char text[HOST_FILE_NAME_SIZE] = { 0 };
    size_t name_size = strnlen(name, sizeof text);
    int64_t rc;

    if (name_size == sizeof text)
        return -ENOENT;
    memcpy(text, name, name_size);
    ocall_buffer_put(0, text, sizeof text);
    size = MIN(size, (size_t)OCALL_BUFFER_SIZE);
    rc = ocall_simple(OCALL_host_file, size, 0, 0, 0, size);
    if (rc > 0)
        ocall_buffer_get(dst, 0, (size_t)rc);
    return (int)rc;
}
