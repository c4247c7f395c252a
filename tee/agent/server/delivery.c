/* SPDX-License-Identifier: Apache-2.0 */
/* See delivery.h. Trusted; hosted. Runs as root beside a workload that may not be: no path of the workload's making is followed. */
#include "tee/agent/server/delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tee/agent/server/wipe.h"

#define NAME_SIZE 256u
#define PATH_SIZE 600u
#define WIPE_STEP 4096u

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* ---- one file ---- */

/* Opens the folder of `path`; its last component into name. */
static int folder_open(const char *path, bool makes, char name[NAME_SIZE])
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), next;
    const char *at = path + 1, *slash;

    while (fd >= 0 && (slash = strchr(at, '/'))) {
        size_t len = (size_t)(slash - at);

        if (len == 0 || len >= NAME_SIZE) {
            close(fd);
            return -EINVAL;
        }
        memcpy(name, at, len);
        name[len] = 0;
        if (makes && mkdirat(fd, name, 0755) < 0 && errno != EEXIST) {
            next = -1;
        } else {
            next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (next < 0)
            next = -errno;
        close(fd);
        if (next < 0)
            return next;
        fd = next;
        at = slash + 1;
    }
    if (fd < 0)
        return -errno;
    if (!at[0] || strlen(at) >= NAME_SIZE) {
        close(fd);
        return -EINVAL;
    }
    memcpy(name, at, strlen(at) + 1);
    return fd;
}

/* Nothing is written to what the host sees. */
static int memory_check(int folder)
{
    struct statfs st;

    if (fstatfs(folder, &st) < 0)
        return -errno;
    return st.f_type == TMPFS_MAGIC || st.f_type == OVERLAYFS_SUPER_MAGIC ? 0 : -EPERM;
}

static int bytes_write(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int file_make(int folder, const char *name, const void *data, size_t size, uint32_t mode,
                     uint32_t uid, uint32_t gid)
{
    CLEANUP(close_fd)
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    rc = bytes_write(fd, data, size);
    if (rc == 0 && (fchown(fd, uid, gid) < 0 || fchmod(fd, (mode_t)mode) < 0))
        rc = -errno;
    return rc;
}

int delivery_write(const char *path, const void *data, size_t size, uint32_t mode, uint32_t uid,
                   uint32_t gid, struct err *err)
{
    char name[NAME_SIZE], fresh[NAME_SIZE + 16];
    CLEANUP(close_fd)
    int folder = path[0] == '/' ? folder_open(path, true, name) : -EINVAL;
    int rc;

    if (folder < 0)
        return err_set_errno(err, folder, "%s cannot be written%s", path,
                             folder == -ELOOP || folder == -ENOTDIR
                                 ? " (a folder on the way is a symbolic link, or none)"
                                 : "");
    rc = memory_check(folder);
    if (rc < 0)
        return err_set(err, rc, "%s cannot be written: its file system is not memory of the TEE",
                       path);
    if (snprintf(fresh, sizeof fresh, ".%s.cloche", name) >= (int)NAME_SIZE)
        return err_set_errno(err, -ENAMETOOLONG, "%s cannot be written", path);
    unlinkat(folder, fresh, 0);
    rc = file_make(folder, fresh, data, size, mode, uid, gid);
    if (rc == 0 && renameat(folder, fresh, folder, name) < 0)
        rc = -errno;
    if (rc < 0) {
        unlinkat(folder, fresh, 0);
        return err_set_errno(err, rc, "%s cannot be written", path);
    }
    return 0;
}

/* Overwrites and removes. What is not there is well. */
static void file_wipe(const char *path)
{
    static const char zeros[WIPE_STEP];
    char name[NAME_SIZE];
    CLEANUP(close_fd)
    int folder = folder_open(path, false, name);
    CLEANUP(close_fd)
    int fd = -1;
    struct stat st;

    if (folder < 0)
        return;
    fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        for (off_t left = st.st_size; left > 0;) {
            ssize_t n = write(fd, zeros, (size_t)MIN(left, (off_t)WIPE_STEP));

            if (n <= 0)
                break;
            left -= n;
        }
    unlinkat(folder, name, 0);
}

/* ---- identity ---- */

static int run_write(const struct delivery *d, const char *name, const char *text, uint32_t mode,
                     struct err *err)
{
    char path[PATH_SIZE];

    if (snprintf(path, sizeof path, "%s/%s", d->run_folder, name) >= (int)sizeof path)
        return err_set_errno(err, -ENAMETOOLONG, "%s", name);
    return delivery_write(path, text, strlen(text), mode, d->uid, d->gid, err);
}

static char *identity_make(const struct answer *a)
{
    json_t *top =
        json_pack("{s:s,s:s,s:I,s:I}", "instance", a->instance, "spiffe_id", a->spiffe_id, "fence",
                  (json_int_t)a->fence, "lease_until", (json_int_t)a->terms.until_s);
    char *text = top ? json_dumps(top, JSON_INDENT(2)) : NULL;

    json_decref(top);
    return text;
}

int delivery_identity(const struct delivery *d, const struct answer *a, const char *key_pem,
                      struct err *err)
{
    CLEANUP(wipe_freep)
    char *identity = identity_make(a);
    int rc = identity ? 0 : -ENOMEM;

    if (rc == 0 && key_pem)
        rc = run_write(d, DELIVERY_TLS_FOLDER "/key.pem", key_pem, 0400, err);
    if (rc == 0)
        rc = run_write(d, DELIVERY_TLS_FOLDER "/cert.pem", a->certificates, 0444, err);
    if (rc == 0)
        rc = run_write(d, DELIVERY_TLS_FOLDER "/roots.pem", a->roots, 0444, err);
    if (rc == 0)
        rc = run_write(d, "result.jwt", a->result, 0444, err);
    return rc == 0 ? run_write(d, "identity.json", identity, 0444, err) : rc;
}

/* ---- secrets ---- */

static bool has_file(const struct secret_list *list, const char *path)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].delivery == SECRET_FILE && strcmp(list->items[i].target, path) == 0)
            return true;
    return false;
}

int delivery_files(const struct delivery *d, const struct secret_list *list,
                   const struct secret_list *before, struct err *err)
{
    int first = 0;

    for (unsigned i = 0; i < list->count; i++) {
        const struct secret *s = &list->items[i];
        struct err one = { 0 };
        int rc;

        if (s->delivery != SECRET_FILE)
            continue;
        rc = delivery_write(s->target, s->value, s->size, s->mode, s->has_owner ? s->uid : d->uid,
                            s->has_owner ? s->gid : d->gid, &one);
        if (rc < 0 && first == 0) {
            first = err_set(err, rc, "secret %s: %s", s->name, one.text);
        }
    }
    for (unsigned i = 0; before && i < before->count; i++)
        if (before->items[i].delivery == SECRET_FILE && !has_file(list, before->items[i].target))
            file_wipe(before->items[i].target);
    return first;
}

int delivery_env(const struct secret_list *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        const struct secret *s = &list->items[i];

        if (s->delivery == SECRET_ENV && setenv(s->target, (const char *)s->value, 1) < 0)
            return -errno;
    }
    return 0;
}

void delivery_wipe(const struct delivery *d, const struct secret_list *list)
{
    static const char *const names[] = { DELIVERY_TLS_FOLDER "/key.pem",
                                         DELIVERY_TLS_FOLDER "/cert.pem" };
    char path[PATH_SIZE];

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (snprintf(path, sizeof path, "%s/%s", d->run_folder, names[i]) < (int)sizeof path)
            file_wipe(path);
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].delivery == SECRET_FILE)
            file_wipe(list->items[i].target);
}
