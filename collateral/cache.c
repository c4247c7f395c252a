/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the cache. Relying party; their contents may be hostile. */
#include "collateral/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/hosted/whole_file.h"
#include "collateral/entry.h"

#define SUFFIX ".json"
#define TEMPORARY ".new"
#define FILE_NAME_SIZE (COLLATERAL_NAME_SIZE + sizeof SUFFIX)

/* ---- folders ---- */

static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0777) < 0 && errno != EEXIST ? -errno : 0;
}

int folder_open(const char *folder, int *ret_fd, struct err *err)
{
    char path[COLLATERAL_SOURCE_SIZE];
    int rc, fd;

    if (!folder[0] || snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s: no name for a folder", folder);
    rc = make_folders(path);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot make the folder %s", path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, -errno, "cannot open the folder %s", folder);
    *ret_fd = fd;
    return 0;
}

int folder_file_replace(int folder_fd, const char *name, const void *data, size_t size)
{
    int fd, rc;

    /* A leftover of a crash is anybody's; one writer at a time, by the caller's lock. */
    if (unlinkat(folder_fd, TEMPORARY, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(folder_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    rc = whole_file_fd_write(fd, data, size);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && renameat(folder_fd, TEMPORARY, folder_fd, name) < 0)
        rc = -errno;
    if (rc == 0 && fsync(folder_fd) < 0)
        rc = -errno;
    if (rc < 0)
        unlinkat(folder_fd, TEMPORARY, 0);
    return rc;
}

/* ---- the cache ---- */

int cache_open(const char *folder, struct cache *ret, struct err *err)
{
    struct cache cache = { .lock_fd = -1 };
    int rc = folder_open(folder, &cache.folder_fd, err);

    if (rc < 0)
        return rc;
    snprintf(cache.folder, sizeof cache.folder, "%s", folder);
    /* Somebody who may only read the cache can still use what is in it. */
    cache.lock_fd =
        openat(cache.folder_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    *ret = cache;
    return 0;
}

void cache_close(struct cache *cache)
{
    if (cache->lock_fd >= 0)
        close(cache->lock_fd);
    close(cache->folder_fd);
}

int cache_lock(struct cache *cache, struct err *err)
{
    int rc = cache->lock_fd < 0 ? -EROFS : 0;

    while (rc == 0 && flock(cache->lock_fd, LOCK_EX) < 0)
        rc = errno == EINTR ? 0 : -errno;
    return rc < 0 ? err_set_errno(err, rc, "cannot write to the cache %s", cache->folder) : 0;
}

void cache_unlock(struct cache *cache)
{
    flock(cache->lock_fd, LOCK_UN);
}

static char *file_name(const char *name, char dst[FILE_NAME_SIZE])
{
    snprintf(dst, FILE_NAME_SIZE, "%.*s" SUFFIX, (int)COLLATERAL_NAME_SIZE - 1, name);
    return dst;
}

int cache_read(struct cache *cache, const char *name, char **ret, size_t *ret_size, struct err *err)
{
    char file[FILE_NAME_SIZE];
    struct stat st;
    char *text = NULL;
    size_t size = 0;
    int rc = 0, fd = openat(cache->folder_fd, file_name(name, file),
                            O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set_errno(err, -errno, "%s/%s", cache->folder, file);
    if (fstat(fd, &st) < 0)
        rc = -errno;
    else if (!S_ISREG(st.st_mode) || st.st_size > ENTRY_TEXT_SIZE_MAX)
        rc = -EBADMSG;
    else if (!(text = malloc((size_t)st.st_size + 1)))
        rc = -ENOMEM;
    else
        rc = whole_file_fd_read(fd, text, (size_t)st.st_size, &size);
    close(fd);
    if (rc < 0) {
        free(text);
        return rc == -EBADMSG
                   ? err_set(err, rc, "%s/%s is no file of the cache", cache->folder, file)
                   : err_set_errno(err, rc, "cannot read %s/%s", cache->folder, file);
    }
    text[size] = 0;
    *ret = text;
    *ret_size = size;
    return 0;
}

/* ---- names and room ---- */

struct file {
    char name[COLLATERAL_NAME_SIZE]; /* without suffix */
    struct timespec written;
    uint64_t size;
};

struct files {
    unsigned count, capacity;
    uint64_t size;
    struct file *list;
};

/* returns: whether the file's name is that of an entry; dst gets it without suffix. */
static bool entry_name(const char *file, char dst[COLLATERAL_NAME_SIZE])
{
    struct collateral_item_id id;
    size_t len = strlen(file);

    if (len <= strlen(SUFFIX) || len - strlen(SUFFIX) >= COLLATERAL_NAME_SIZE ||
        strcmp(file + len - strlen(SUFFIX), SUFFIX) != 0)
        return false;
    memcpy(dst, file, len - strlen(SUFFIX));
    dst[len - strlen(SUFFIX)] = 0;
    return collateral_item_parse(dst, &id) == 0;
}

static int add_file(struct files *files, int folder_fd, const char *file)
{
    struct file f;
    struct stat st;

    if (!entry_name(file, f.name) || fstatat(folder_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (files->count == files->capacity) {
        unsigned capacity = MAX(64u, files->capacity * 2);
        struct file *grown = realloc(files->list, capacity * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        files->list = grown;
        files->capacity = capacity;
    }
    f.written = st.st_mtim;
    f.size = (uint64_t)st.st_size;
    files->size += f.size;
    files->list[files->count++] = f;
    return 0;
}

static int get_files(struct cache *cache, struct files *ret)
{
    struct files files = { 0 };
    struct dirent *e;
    int rc = 0, fd = openat(cache->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, e = readdir(dir)))
        rc = add_file(&files, cache->folder_fd, e->d_name);
    if (rc == 0 && errno)
        rc = -errno;
    closedir(dir);
    if (rc < 0)
        free(files.list);
    else
        *ret = files;
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static int compare_written(const void *a, const void *b)
{
    const struct timespec *x = &((const struct file *)a)->written;
    const struct timespec *y = &((const struct file *)b)->written;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* For one more entry of this name and size. */
static int make_room(struct cache *cache, const char *name, size_t size)
{
    struct files files = { 0 };
    char file[FILE_NAME_SIZE];
    unsigned count = 0;
    uint64_t total = size;
    int rc = get_files(cache, &files);

    if (rc < 0)
        return rc;
    if (files.count)
        qsort(files.list, files.count, sizeof *files.list, compare_written);
    for (unsigned i = 0; i < files.count; i++)
        if (strcmp(files.list[i].name, name) != 0) {
            total += files.list[i].size;
            count++;
        }
    for (unsigned i = 0; rc == 0 && i < files.count; i++) {
        if (count < COLLATERAL_ENTRY_COUNT_MAX && total <= COLLATERAL_CACHE_SIZE_MAX)
            break;
        if (strcmp(files.list[i].name, name) == 0)
            continue;
        if (unlinkat(cache->folder_fd, file_name(files.list[i].name, file), 0) < 0)
            rc = -errno;
        total -= files.list[i].size;
        count--;
    }
    free(files.list);
    return rc;
}

int cache_write(struct cache *cache, const char *name, const char *text, size_t size,
                struct err *err)
{
    char file[FILE_NAME_SIZE];
    int rc = make_room(cache, name, size);

    if (rc == 0)
        rc = folder_file_replace(cache->folder_fd, file_name(name, file), text, size);
    return rc < 0 ? err_set_errno(err, rc, "cannot write %s/%s" SUFFIX, cache->folder, name) : 0;
}

int cache_remove(struct cache *cache, const char *name, struct err *err)
{
    char file[FILE_NAME_SIZE];
    int rc = cache_lock(cache, err);

    if (rc < 0)
        return rc;
    if (unlinkat(cache->folder_fd, file_name(name, file), 0) < 0)
        rc = -errno;
    cache_unlock(cache);
    return rc < 0 ? err_set_errno(err, rc, "cannot remove %s/%s", cache->folder, file) : 0;
}

int cache_names_get(struct cache *cache, struct cache_names *ret, struct err *err)
{
    struct files files = { 0 };
    struct cache_names names = { 0 };
    int rc = get_files(cache, &files);

    if (rc == 0) {
        names.names = calloc(files.count + 1, sizeof *names.names);
        rc = names.names ? 0 : -ENOMEM;
    }
    if (rc < 0) {
        free(files.list);
        return err_set_errno(err, rc, "cannot list the cache %s", cache->folder);
    }
    if (files.count)
        qsort(files.list, files.count, sizeof *files.list, compare_names);
    for (unsigned i = 0; i < files.count; i++)
        memcpy(names.names[i], files.list[i].name, COLLATERAL_NAME_SIZE);
    names.count = files.count;
    free(files.list);
    *ret = names;
    return 0;
}
