/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor tables. Chunks are made on demand and stay until the table goes, and files are never returned to the
 * allocator (file.c), so a descriptor is looked up without a lock: load, raise the count unless it is 0, look again.
 * A table that only the calling thread can change lends its files without touching the count. Trusted.
 */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>

#define CHUNK_SIZE 256u
#define CHUNK_WORDS (CHUNK_SIZE / 64)
#define CHUNK_COUNT (FD_COUNT_MAX / CHUNK_SIZE)
#define RLIMIT_NOFILE_INDEX 7

struct fd_chunk {
    struct file *files[CHUNK_SIZE];
    uint64_t used[CHUNK_WORDS], cloexec[CHUNK_WORDS];
};

struct fd_table {
    uint32_t refs;
    struct spin lock;                     /* guards all changes; a leaf */
    unsigned next;                        /* no free descriptor is below */
    struct fd_chunk *chunks[CHUNK_COUNT]; /* set once */
};

int fd_table_new(struct fd_table **ret)
{
    struct fd_table *t = mem_zalloc(sizeof *t);

    if (!t)
        return -ENOMEM;
    t->refs = 1;
    t->chunks[0] = mem_zalloc(sizeof *t->chunks[0]);
    if (!t->chunks[0]) {
        mem_free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

struct fd_table *fd_table_current(void)
{
    return process_current()->fds;
}

void fd_table_ref(struct fd_table *t)
{
    __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
}

/* What close(2) does beyond giving the reference up. */
static void file_closed(struct fd_table *t, struct file *f)
{
    if (f->inode && f->inode->locks)
        lock_drop_owner(f->inode, t);
    if (f->ops->flush)
        f->ops->flush(f);
    file_unref(f);
}

void fd_table_unref(struct fd_table *t)
{
    if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned c = 0; c < CHUNK_COUNT; c++) {
        for (unsigned i = 0; t->chunks[c] && i < CHUNK_SIZE; i++)
            if (t->chunks[c]->files[i])
                file_closed(t, t->chunks[c]->files[i]);
        mem_free(t->chunks[c]);
    }
    mem_free(t);
}

int fd_table_copy(struct fd_table *src, struct fd_table **ret)
{
    struct fd_table *t = mem_zalloc(sizeof *t);

    if (!t)
        return -ENOMEM;
    t->refs = 1;
    for (unsigned c = 0; c < CHUNK_COUNT; c++) {
        struct fd_chunk *from = __atomic_load_n(&src->chunks[c], __ATOMIC_ACQUIRE);

        if (!from)
            continue;
        t->chunks[c] = mem_alloc(sizeof *from);
        if (!t->chunks[c]) {
            fd_table_unref(t);
            return -ENOMEM;
        }
        spin_lock(&src->lock);
        memcpy(t->chunks[c], from, sizeof *from);
        for (unsigned i = 0; i < CHUNK_SIZE; i++)
            if (from->files[i])
                file_ref(from->files[i]);
        spin_unlock(&src->lock);
    }
    *ret = t;
    return 0;
}

int fd_table_unshare(void)
{
    struct process *p = process_current();
    struct fd_table *old = p->fds, *copy;
    int rc;

    if (__atomic_load_n(&old->refs, __ATOMIC_RELAXED) == 1)
        return 0;
    if (p->thread_count > 1)
        return -ENOMEM; /* the other threads are using it */
    rc = fd_table_copy(old, &copy);
    if (rc < 0)
        return rc;
    mutex_lock(&p->lock);
    p->fds = copy;
    mutex_unlock(&p->lock);
    fd_table_unref(old);
    return 0;
}

/* With the lock held. */
static struct file *take_locked(struct fd_table *t, unsigned fd)
{
    struct fd_chunk *c = t->chunks[fd / CHUNK_SIZE];
    unsigned i = fd % CHUNK_SIZE;
    struct file *f = c ? c->files[i] : NULL;

    if (!f)
        return NULL;
    __atomic_store_n(&c->files[i], NULL, __ATOMIC_RELEASE);
    c->used[i / 64] &= ~(1ull << (i % 64));
    c->cloexec[i / 64] &= ~(1ull << (i % 64));
    if (fd < t->next)
        t->next = fd;
    return f;
}

static void put_locked(struct fd_table *t, unsigned fd, struct file *f, bool cloexec)
{
    struct fd_chunk *c = t->chunks[fd / CHUNK_SIZE];
    unsigned i = fd % CHUNK_SIZE;
    uint64_t bit = 1ull << (i % 64);

    c->used[i / 64] |= bit;
    c->cloexec[i / 64] = (c->cloexec[i / 64] & ~bit) | (cloexec ? bit : 0);
    __atomic_store_n(&c->files[i], f, __ATOMIC_RELEASE);
}

/* Lowest free descriptor in [from, limit); its chunk may not be there yet. -EMFILE. */
static int free_locked(const struct fd_table *t, unsigned from, unsigned limit)
{
    unsigned fd = MAX(from, t->next);

    while (fd < limit) {
        const struct fd_chunk *c = t->chunks[fd / CHUNK_SIZE];
        uint64_t word;

        if (!c)
            return (int)fd;
        word = ~c->used[fd % CHUNK_SIZE / 64] & ~0ull << (fd % 64);
        if (word != 0) {
            fd = ALIGN_DOWN(fd, 64u) + (unsigned)__builtin_ctzll(word);
            return fd < limit ? (int)fd : -EMFILE;
        }
        fd = ALIGN_DOWN(fd, 64u) + 64;
    }
    return -EMFILE;
}

static unsigned fd_limit(void)
{
    return (unsigned)MIN(process_current()->limits[RLIMIT_NOFILE_INDEX].current, FD_COUNT_MAX);
}

/* Allocated outside the lock; another thread may be faster. */
static int chunk_add(struct fd_table *t, unsigned fd)
{
    struct fd_chunk *c = mem_zalloc(sizeof *c);

    if (!c)
        return -ENOMEM;
    spin_lock(&t->lock);
    if (!t->chunks[fd / CHUNK_SIZE])
        __atomic_store_n(&t->chunks[fd / CHUNK_SIZE], TAKE_PTR(c), __ATOMIC_RELEASE);
    spin_unlock(&t->lock);
    mem_free(c);
    return 0;
}

int fd_install(struct file *f, bool cloexec, int from)
{
    struct fd_table *t = fd_table_current();
    unsigned limit = fd_limit();
    int fd, rc;

    if (from < 0 || (from > 0 && (unsigned)from >= limit))
        return -EINVAL;
    for (;;) {
        spin_lock(&t->lock);
        fd = free_locked(t, (unsigned)from, limit);
        if (fd < 0)
            break;
        if (t->chunks[(unsigned)fd / CHUNK_SIZE]) {
            put_locked(t, (unsigned)fd, f, cloexec);
            if ((unsigned)from <= t->next)
                t->next = (unsigned)fd + 1;
            break;
        }
        spin_unlock(&t->lock);
        rc = chunk_add(t, (unsigned)fd);
        if (rc < 0)
            return rc;
    }
    spin_unlock(&t->lock);
    return fd;
}

int fd_install_at(struct file *f, bool cloexec, int to)
{
    struct fd_table *t = fd_table_current();
    struct file *old;
    int rc;

    if (to < 0 || (unsigned)to >= fd_limit())
        return -EBADF;
    if (!__atomic_load_n(&t->chunks[(unsigned)to / CHUNK_SIZE], __ATOMIC_ACQUIRE)) {
        rc = chunk_add(t, (unsigned)to);
        if (rc < 0)
            return rc;
    }
    spin_lock(&t->lock);
    old = take_locked(t, (unsigned)to);
    put_locked(t, (unsigned)to, f, cloexec);
    spin_unlock(&t->lock);
    if (old)
        file_closed(t, old);
    return to;
}

static bool table_is_private(const struct fd_table *t, const struct process *p)
{
    return __atomic_load_n(&t->refs, __ATOMIC_RELAXED) == 1 && p->thread_count == 1;
}

static struct file **slot_of(struct fd_table *t, int fd)
{
    struct fd_chunk *c;

    if ((unsigned)fd >= FD_COUNT_MAX)
        return NULL;
    c = __atomic_load_n(&t->chunks[(unsigned)fd / CHUNK_SIZE], __ATOMIC_ACQUIRE);
    return c ? &c->files[(unsigned)fd % CHUNK_SIZE] : NULL;
}

static struct file *slot_get(struct file **slot)
{
    for (;;) {
        struct file *f = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
        uint32_t refs;

        if (!f)
            return NULL;
        refs = __atomic_load_n(&f->refs, __ATOMIC_RELAXED);
        while (refs > 0 && !__atomic_compare_exchange_n(&f->refs, &refs, refs + 1, true,
                                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            ;
        if (refs > 0) {
            if (__atomic_load_n(slot, __ATOMIC_ACQUIRE) == f)
                return f;
            file_unref(f);
        }
    }
}

bool fd_borrow(int fd, struct fd_ref *ret)
{
    struct process *p = process_current();
    struct file **slot = slot_of(p->fds, fd);

    if (UNLIKELY(!slot))
        return false;
    if (LIKELY(table_is_private(p->fds, p))) {
        ret->file = *slot;
        ret->owned = false;
    } else {
        ret->file = slot_get(slot);
        ret->owned = true;
    }
    return ret->file != NULL;
}

struct file *fd_get(int fd)
{
    struct file **slot = slot_of(fd_table_current(), fd);

    return slot ? slot_get(slot) : NULL;
}

int fd_close(int fd)
{
    struct fd_table *t = fd_table_current();
    struct file *f;

    if ((unsigned)fd >= FD_COUNT_MAX)
        return -EBADF;
    spin_lock(&t->lock);
    f = take_locked(t, (unsigned)fd);
    spin_unlock(&t->lock);
    if (!f)
        return -EBADF;
    file_closed(t, f);
    return 0;
}

void fd_table_close_on_exec(struct fd_table *t)
{
    for (unsigned c = 0; c < CHUNK_COUNT; c++) {
        struct fd_chunk *chunk = t->chunks[c];

        for (unsigned i = 0; chunk && i < CHUNK_SIZE; i++) {
            struct file *f = NULL;

            if ((chunk->cloexec[i / 64] & 1ull << (i % 64)) == 0)
                continue;
            spin_lock(&t->lock);
            f = take_locked(t, c * CHUNK_SIZE + i);
            spin_unlock(&t->lock);
            if (f)
                file_closed(t, f);
        }
    }
}

int fd_get_cloexec(int fd)
{
    struct fd_table *t = fd_table_current();
    struct file **slot = slot_of(t, fd);
    unsigned i = (unsigned)fd % CHUNK_SIZE;

    if (!slot || !*slot)
        return -EBADF;
    return t->chunks[(unsigned)fd / CHUNK_SIZE]->cloexec[i / 64] >> (i % 64) & 1;
}

int fd_set_cloexec(int fd, bool cloexec)
{
    struct fd_table *t = fd_table_current();
    struct file **slot = slot_of(t, fd);
    int rc = -EBADF;

    if (!slot)
        return -EBADF;
    spin_lock(&t->lock);
    if (*slot) {
        put_locked(t, (unsigned)fd, *slot, cloexec);
        rc = 0;
    }
    spin_unlock(&t->lock);
    return rc;
}

int fd_table_each(struct fd_table *t, int (*fn)(int fd, struct file *f, bool cloexec, void *arg),
                  void *arg)
{
    for (unsigned c = 0; c < CHUNK_COUNT; c++) {
        struct fd_chunk *chunk = __atomic_load_n(&t->chunks[c], __ATOMIC_ACQUIRE);

        for (unsigned i = 0; chunk && i < CHUNK_SIZE; i++) {
            struct file *f = slot_get(&chunk->files[i]);
            int rc;

            if (!f)
                continue;
            rc = fn((int)(c * CHUNK_SIZE + i), f, (chunk->cloexec[i / 64] >> (i % 64) & 1) != 0,
                    arg);
            file_unref(f);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}
