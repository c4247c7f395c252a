/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VFS over SQLite's own (sqlite.org/c3ref/vfs.html): of database files it serves the shared-memory methods from this process's heap; all else goes through. Relying party.
 * In an enclave the wal-index is so out of the host's reach: SQLite trusts what it finds there.
 */
#include "server/store/sqlite_alone.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGIONS_MAX 4096u /* 32 KiB each: a log of 64 GiB */

/* One database of this process, for all connections to it. */
struct node {
    struct node *next;
    char *path;
    unsigned users; /* connections */
    int lock_fd;
    void **regions;
    unsigned region_count;
    int locks[SQLITE_SHM_NLOCK]; /* -1: one has it exclusively; else how many share it */
};
struct alone_file {
    sqlite3_file base;
    struct node *node;
    uint16_t shared, exclusive; /* this connection's locks, bit by bit */
};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below, and the nodes */
static struct node *g_nodes;
static sqlite3_vfs *g_base; /* SQLite's default */
static sqlite3_vfs g_vfs;

static struct alone_file *of(sqlite3_file *file)
{
    return (struct alone_file *)file;
}

/* SQLite's own file lies behind ours. */
static sqlite3_file *inner(sqlite3_file *file)
{
    return (sqlite3_file *)(of(file) + 1);
}

/* ---- the lock file ---- */

static int open_lock(const char *path, struct err *err)
{
    char *name = NULL;
    int fd, rc = 0;

    if (asprintf(&name, "%s" SQLITE_LOCK_SUFFIX, path) < 0)
        return err_set_errno(err, -ENOMEM, "store");
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        rc = err_set_errno(err, -errno, "cannot open %s", name);
    free(name);
    return fd < 0 ? rc : fd;
}

/* Locks of NFS and the like may be missing: only a lock that another holds is a reason. */
static int take_lock(int fd, int kind, struct err *err)
{
    if (flock(fd, kind | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return err_set(err, -EBUSY, "another server, or another command of it, has this store open: %s",
                   kind == LOCK_EX ? "on this folder only one at a time can"
                                   : "it runs in an enclave and has it alone");
}

int sqlite_alone_ask(const char *path, bool *ret_alone, int *ret_lock_fd, struct err *err)
{
    int fd = open_lock(path, err), rc = 0;
    bool is_alone;
    void *page;

    if (fd < 0)
        return fd;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    is_alone = page == MAP_FAILED;
    if (!is_alone) {
        munmap(page, 4096);
        rc = take_lock(fd, LOCK_SH, err);
    }
    if (is_alone || rc < 0) {
        close(fd);
        fd = -1;
    }
    if (rc < 0)
        return rc;
    *ret_alone = is_alone;
    *ret_lock_fd = fd;
    return 0;
}

/* ---- nodes ---- */

static void node_free(struct node *n)
{
    for (unsigned i = 0; i < n->region_count; i++)
        free(n->regions[i]);
    free(n->regions);
    if (n->lock_fd >= 0)
        close(n->lock_fd);
    free(n->path);
    free(n);
}

static int node_new_locked(const char *path, struct node **ret)
{
    struct err err = { "" };
    struct node *n = calloc(1, sizeof *n);
    int code = SQLITE_OK;

    if (!n)
        return SQLITE_NOMEM;
    n->path = strdup(path);
    n->regions = calloc(REGIONS_MAX, sizeof *n->regions);
    n->lock_fd = open_lock(path, &err);
    if (!n->path || !n->regions)
        code = SQLITE_NOMEM;
    else if (n->lock_fd < 0)
        code = SQLITE_CANTOPEN;
    else if (take_lock(n->lock_fd, LOCK_EX, &err) < 0)
        code = SQLITE_BUSY;
    if (code != SQLITE_OK) {
        node_free(n);
        return code;
    }
    n->next = g_nodes;
    g_nodes = n;
    *ret = n;
    return SQLITE_OK;
}

static int node_ref(const char *path, struct node **ret)
{
    int code = SQLITE_OK;
    struct node *n;

    pthread_mutex_lock(&g_lock);
    for (n = g_nodes; n && strcmp(n->path, path) != 0;)
        n = n->next;
    if (!n)
        code = node_new_locked(path, &n);
    if (n)
        n->users++;
    pthread_mutex_unlock(&g_lock);
    *ret = n;
    return code;
}

static void node_unref(struct node *node)
{
    struct node **at = &g_nodes;

    pthread_mutex_lock(&g_lock);
    if (--node->users == 0) {
        while (*at != node)
            at = &(*at)->next;
        *at = node->next;
        node_free(node);
    }
    pthread_mutex_unlock(&g_lock);
}

/* ---- shared memory ---- */

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
    struct node *n = of(file)->node;
    int code = SQLITE_OK;

    *ret = NULL;
    if (region < 0 || (unsigned)region >= REGIONS_MAX || size <= 0)
        return SQLITE_FULL;
    pthread_mutex_lock(&g_lock);
    while (extend && n->region_count <= (unsigned)region) {
        n->regions[n->region_count] = calloc(1, (size_t)size);
        if (!n->regions[n->region_count]) {
            code = SQLITE_NOMEM;
            break;
        }
        n->region_count++;
    }
    if ((unsigned)region < n->region_count)
        *ret = n->regions[region];
    pthread_mutex_unlock(&g_lock);
    return code;
}

static void unlock_locked(struct alone_file *f, unsigned slot)
{
    uint16_t bit = (uint16_t)(1u << slot);

    if (f->exclusive & bit)
        f->node->locks[slot] = 0;
    else if (f->shared & bit)
        f->node->locks[slot]--;
    f->exclusive &= (uint16_t)~bit;
    f->shared &= (uint16_t)~bit;
}

static bool can_lock_locked(const struct alone_file *f, unsigned slot, bool is_exclusive)
{
    int held = f->node->locks[slot];

    if (f->exclusive & 1u << slot)
        return true;
    return is_exclusive ? held == (f->shared >> slot & 1) : held >= 0;
}

static void lock_locked(struct alone_file *f, unsigned slot, bool is_exclusive)
{
    uint16_t bit = (uint16_t)(1u << slot);

    if (f->exclusive & bit || (!is_exclusive && f->shared & bit))
        return;
    if (is_exclusive) {
        f->node->locks[slot] = -1;
        f->shared &= (uint16_t)~bit;
        f->exclusive |= bit;
    } else {
        f->node->locks[slot]++;
        f->shared |= bit;
    }
}

static int shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    struct alone_file *f = of(file);
    bool is_exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    int code = SQLITE_OK;

    if (offset < 0 || count < 1 || offset + count > SQLITE_SHM_NLOCK)
        return SQLITE_MISUSE;
    pthread_mutex_lock(&g_lock);
    for (int i = offset; !(flags & SQLITE_SHM_UNLOCK) && i < offset + count; i++)
        if (!can_lock_locked(f, (unsigned)i, is_exclusive))
            code = SQLITE_BUSY;
    for (int i = offset; code == SQLITE_OK && i < offset + count; i++) {
        if (flags & SQLITE_SHM_UNLOCK)
            unlock_locked(f, (unsigned)i);
        else
            lock_locked(f, (unsigned)i, is_exclusive);
    }
    pthread_mutex_unlock(&g_lock);
    return code;
}

static void shm_barrier(sqlite3_file *file UNUSED)
{
    __sync_synchronize();
    pthread_mutex_lock(&g_lock); /* what others did under it is seen */
    pthread_mutex_unlock(&g_lock);
}

/* The regions stay until the last connection closes. */
static int shm_unmap(sqlite3_file *file, int remove UNUSED)
{
    pthread_mutex_lock(&g_lock);
    for (unsigned i = 0; i < SQLITE_SHM_NLOCK; i++)
        unlock_locked(of(file), i);
    pthread_mutex_unlock(&g_lock);
    return SQLITE_OK;
}

/* ---- the rest goes through ---- */

static int file_close(sqlite3_file *file)
{
    struct alone_file *f = of(file);
    int code = inner(file)->pMethods->xClose(inner(file));

    shm_unmap(file, 0);
    node_unref(f->node);
    f->base.pMethods = NULL;
    return code;
}

static int file_read(sqlite3_file *file, void *ret, int size, sqlite3_int64 off)
{
    return inner(file)->pMethods->xRead(inner(file), ret, size, off);
}

static int file_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 off)
{
    return inner(file)->pMethods->xWrite(inner(file), data, size, off);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return inner(file)->pMethods->xTruncate(inner(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    return inner(file)->pMethods->xSync(inner(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    return inner(file)->pMethods->xFileSize(inner(file), ret);
}

static int file_lock(sqlite3_file *file, int level)
{
    return inner(file)->pMethods->xLock(inner(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return inner(file)->pMethods->xUnlock(inner(file), level);
}

static int file_is_reserved(sqlite3_file *file, int *ret)
{
    return inner(file)->pMethods->xCheckReservedLock(inner(file), ret);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    return inner(file)->pMethods->xFileControl(inner(file), op, arg);
}

static int file_sector(sqlite3_file *file)
{
    return inner(file)->pMethods->xSectorSize(inner(file));
}

static int file_traits(sqlite3_file *file)
{
    return inner(file)->pMethods->xDeviceCharacteristics(inner(file));
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no xFetch: nothing is mapped */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_is_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* Logs and journals are SQLite's own files as they are: they share no memory. */
static int vfs_open(sqlite3_vfs *vfs UNUSED, sqlite3_filename name, sqlite3_file *file, int flags,
                    int *ret_flags)
{
    struct node *node;
    int code;

    if (!(flags & SQLITE_OPEN_MAIN_DB))
        return g_base->xOpen(g_base, name, file, flags, ret_flags);
    file->pMethods = NULL;
    code = node_ref(name, &node);
    if (code != SQLITE_OK)
        return code;
    code = g_base->xOpen(g_base, name, inner(file), flags, ret_flags);
    if (code != SQLITE_OK) {
        node_unref(node);
        return code;
    }
    *of(file) = (struct alone_file){ .base = { &methods }, .node = node };
    return SQLITE_OK;
}

int sqlite_alone_register(void)
{
    int rc = 0;

    pthread_mutex_lock(&g_lock);
    if (!g_base) {
        sqlite3_vfs *base = sqlite3_vfs_find(NULL);

        if (base) {
            g_vfs = *base;
            g_vfs.szOsFile += (int)sizeof(struct alone_file);
            g_vfs.pNext = NULL;
            g_vfs.zName = SQLITE_ALONE_VFS;
            g_vfs.xOpen = vfs_open;
        }
        if (!base || sqlite3_vfs_register(&g_vfs, 0) != SQLITE_OK)
            rc = -ENOMEM;
        else
            g_base = base;
    }
    pthread_mutex_unlock(&g_lock);
    return rc;
}
