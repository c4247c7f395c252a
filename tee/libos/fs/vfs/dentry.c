/* SPDX-License-Identifier: Apache-2.0 */
/* The dentry cache. Trusted; see vfs_internal.h for the rules. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>

#define BUCKET_COUNT 8192u
#define PRUNE_BATCH 16u
#define DELETED_TEXT " (deleted)"

struct dcache g_dcache;

int dcache_init(void)
{
    if (!g_dcache.buckets)
        g_dcache.buckets = mem_calloc(BUCKET_COUNT, sizeof(void *));
    return g_dcache.buckets ? 0 : -ENOMEM;
}

uint32_t dentry_hash_name(const char *name, size_t size)
{
    uint64_t hash = size, word;

    for (; size >= 8; size -= 8, name += 8) {
        memcpy(&word, name, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    for (word = 0; size > 0; size--)
        word = word << 8 | (uint8_t)name[size - 1];
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(hash >> 32);
}

static struct dentry **bucket_of(const struct dentry *parent, uint32_t hash)
{
    return &g_dcache.buckets[(hash ^ ((uintptr_t)parent >> 6)) & (BUCKET_COUNT - 1)];
}

struct dentry *dentry_find_locked(struct dentry *parent, const char *name, size_t size,
                                  uint32_t hash)
{
    struct dentry *d = *bucket_of(parent, hash);

    for (; d; d = d->hash_next)
        if (d->hash == hash && d->parent == parent && d->name_size == size &&
            memcmp(d->name, name, size) == 0) {
            d->referenced = true;
            return d;
        }
    return NULL;
}

void dentry_ref(struct dentry *d)
{
    __atomic_fetch_add(&d->refs, 1, __ATOMIC_RELAXED);
}

/* d is in no table and nobody has it. */
static struct dentry *destroy(struct dentry *d)
{
    struct dentry *parent = d->parent;

    if (d->inode && d->deleted)
        notify_gone(d->inode);
    if (d->inode)
        inode_unref(d->inode);
    if (d->name != d->inline_name)
        mem_free(d->name);
    mem_free(d);
    return parent;
}

void dentry_unref(struct dentry *d)
{
    while (d) {
        if (__atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) != DENTRY_GONE)
            return;
        d = destroy(d);
    }
}

void dentry_unrefp(struct dentry **d)
{
    dentry_unref(*d);
}

struct inode *dentry_inode(struct dentry *d)
{
    return __atomic_load_n(&d->inode, __ATOMIC_ACQUIRE);
}

static void hash_locked(struct dentry *d)
{
    struct dentry **bucket = bucket_of(d->parent, d->hash);

    d->hash_next = *bucket;
    *bucket = d;
}

static void unhash_locked(struct dentry *d)
{
    struct dentry **at = bucket_of(d->parent, d->hash);

    while (*at != d)
        at = &(*at)->hash_next;
    *at = d->hash_next;
}

static void list_add_locked(struct dentry *d)
{
    struct dentry *hand = g_dcache.list;

    if (!hand) {
        d->list_prev = d->list_next = d;
        g_dcache.list = d;
    } else {
        d->list_next = hand;
        d->list_prev = hand->list_prev;
        hand->list_prev->list_next = d;
        hand->list_prev = d;
    }
    g_dcache.count++;
}

static void list_remove_locked(struct dentry *d)
{
    if (g_dcache.list == d)
        g_dcache.list = d->list_next == d ? NULL : d->list_next;
    d->list_prev->list_next = d->list_next;
    d->list_next->list_prev = d->list_prev;
    g_dcache.count--;
}

/* Out of table and list. returns: true when the caller must destroy it. */
static bool drop_locked(struct dentry *d)
{
    if (!d->hashed)
        return false;
    d->hashed = false;
    unhash_locked(d);
    list_remove_locked(d);
    return __atomic_fetch_or(&d->refs, DENTRY_GONE, __ATOMIC_ACQ_REL) == 0;
}

/* Moves the clock hand on; returns a chain (hash_next) of dentries to destroy. */
static struct dentry *prune_locked(void)
{
    struct dentry *chain = NULL;

    for (unsigned i = 0; i < PRUNE_BATCH && g_dcache.list; i++) {
        struct dentry *d = g_dcache.list;

        g_dcache.list = d->list_next;
        if (d->referenced || __atomic_load_n(&d->refs, __ATOMIC_RELAXED) > 0) {
            d->referenced = false;
            continue;
        }
        if (drop_locked(d)) {
            d->hash_next = chain;
            chain = d;
        }
    }
    return chain;
}

static void destroy_chain(struct dentry *chain)
{
    while (chain) {
        struct dentry *next = chain->hash_next;

        dentry_unref(destroy(chain));
        chain = next;
    }
}

static struct dentry *create(struct dentry *parent, const char *name, size_t size)
{
    struct dentry *d = mem_alloc(sizeof *d);

    if (!d)
        return NULL;
    *d = (struct dentry){ .refs = 1, .parent = parent, .name_size = (uint16_t)size };
    d->name = size <= DENTRY_NAME_INLINE ? d->inline_name : mem_alloc(size);
    if (!d->name) {
        mem_free(d);
        return NULL;
    }
    memcpy(d->name, name, size);
    if (parent) {
        dentry_ref(parent);
        d->mount = parent->mount;
    }
    return d;
}

int dentry_new_anon(struct inode *inode, const char *name, struct dentry **ret)
{
    struct dentry *d = create(NULL, name, strlen(name));

    if (!d)
        return -ENOMEM;
    d->refs = DENTRY_GONE | 1;
    d->inode = inode;
    *ret = d;
    return 0;
}

/* Makes a new dentry findable, unless its file system's names change behind our back. */
static void enter(struct dentry *d)
{
    struct dentry *chain = NULL;

    spin_lock(&g_dcache.lock);
    d->referenced = true;
    if (d->mount->super->uncached || d->parent->deleted) {
        d->refs |= DENTRY_GONE;
    } else {
        d->hashed = true;
        hash_locked(d);
        list_add_locked(d);
        if (g_dcache.count > DENTRY_COUNT_MAX)
            chain = prune_locked();
    }
    spin_unlock(&g_dcache.lock);
    destroy_chain(chain);
}

int dentry_lookup_dir_locked(struct dentry *parent, const char *name, size_t size,
                             struct dentry **ret)
{
    uint32_t hash = dentry_hash_name(name, size);
    struct inode *dir = parent->inode, *inode = NULL;
    struct dentry *d;
    int rc;

    if (size > NAME_SIZE_MAX)
        return -ENAMETOOLONG;
    spin_lock(&g_dcache.lock);
    d = dentry_find_locked(parent, name, size, hash);
    if (d)
        dentry_ref(d);
    spin_unlock(&g_dcache.lock);
    if (d) {
        *ret = d;
        return 0;
    }
    if (!dir->ops->lookup)
        return -ENOTDIR;
    rc = dir->ops->lookup(dir, name, size, &inode);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    d = create(parent, name, size);
    if (!d) {
        if (rc == 0)
            inode_unref(inode);
        return -ENOMEM;
    }
    d->hash = hash;
    if (rc == 0)
        d->inode = inode;
    enter(d);
    *ret = d;
    return 0;
}

int dentry_lookup(struct dentry *parent, const char *name, size_t size, struct dentry **ret)
{
    struct inode *dir = parent->inode;
    int rc;

    mutex_lock(&dir->lock);
    rc = dentry_lookup_dir_locked(parent, name, size, ret);
    mutex_unlock(&dir->lock);
    return rc;
}

void dentry_instantiate(struct dentry *d, struct inode *inode)
{
    __atomic_store_n(&d->inode, inode, __ATOMIC_RELEASE);
}

void dentry_delete(struct dentry *d)
{
    spin_lock(&g_dcache.lock);
    d->deleted = true;
    drop_locked(d); /* the caller's reference keeps it */
    spin_unlock(&g_dcache.lock);
}

/* ---- renaming ---- */

static int spare_name(const struct dentry *like, char **ret)
{
    if (like->name_size <= DENTRY_NAME_INLINE)
        return 0;
    *ret = mem_alloc(like->name_size);
    return *ret ? 0 : -ENOMEM;
}

int dentry_move_prepare(struct dentry_move *m, const struct dentry *from, const struct dentry *to)
{
    *m = (struct dentry_move){ 0 };
    if (spare_name(to, &m->from_name) < 0)
        return -ENOMEM;
    return spare_name(from, &m->to_name);
}

void dentry_move_done(struct dentry_move *m)
{
    mem_free(m->from_name);
    mem_free(m->to_name);
}

struct place {
    struct dentry *parent;
    uint32_t hash;
    uint16_t name_size;
    char *name, inline_name[DENTRY_NAME_INLINE];
};

/* Puts d where p says; spare is used for a long name and gets the old storage. */
static void place_locked(struct dentry *d, const struct place *p, char **spare)
{
    char *old = d->name == d->inline_name ? NULL : d->name;

    if (p->name_size <= DENTRY_NAME_INLINE) {
        memcpy(d->inline_name, p->name, p->name_size);
        d->name = d->inline_name;
    } else {
        memcpy(*spare, p->name, p->name_size);
        d->name = *spare;
        *spare = NULL;
    }
    if (!*spare)
        *spare = old;
    else
        mem_free(old);
    d->name_size = p->name_size;
    d->hash = p->hash;
    d->parent = p->parent;
}

void dentry_move(struct dentry_move *m, struct dentry *from, struct dentry *to, bool exchange)
{
    struct place at_to, at_from;
    char *from_name = from->name, *to_name = to->name;
    struct dentry *old_parent = from->parent;

    spin_lock(&g_dcache.lock);
    at_to = (struct place){ to->parent, to->hash, to->name_size, to_name, { 0 } };
    at_from = (struct place){ from->parent, from->hash, from->name_size, from_name, { 0 } };
    if (to->name == to->inline_name) {
        memcpy(at_to.inline_name, to->inline_name, to->name_size);
        at_to.name = at_to.inline_name;
    }
    if (from->name == from->inline_name) {
        memcpy(at_from.inline_name, from->inline_name, from->name_size);
        at_from.name = at_from.inline_name;
    }
    if (from->hashed)
        unhash_locked(from);
    if (exchange) {
        if (to->hashed)
            unhash_locked(to);
        /* Copies first: each name's storage is still in place while the other is read. */
        place_locked(to, &at_from, &m->to_name);
        place_locked(from, &at_to, &m->from_name);
        if (to->hashed)
            hash_locked(to);
    } else {
        to->deleted = true;
        drop_locked(to);
        place_locked(from, &at_to, &m->from_name);
        dentry_ref(at_to.parent);
    }
    if (from->hashed)
        hash_locked(from);
    spin_unlock(&g_dcache.lock);
    if (!exchange)
        dentry_unref(old_parent);
}

/* ---- paths ---- */

/* One step up, through a mount's root; NULL at the very top. */
static struct dentry *above_locked(struct dentry *d)
{
    while (d && !d->parent)
        d = d->mount && d->mount->root == d ? d->mount->point : NULL;
    return d ? d->parent : NULL;
}

bool dentry_is_above(struct dentry *a, struct dentry *b)
{
    spin_lock(&g_dcache.lock);
    while (b && b != a)
        b = above_locked(b);
    spin_unlock(&g_dcache.lock);
    return b == a;
}

/* Writes the path backwards, ending at dst + size; returns where it begins, NULL too long. */
static char *path_locked(struct dentry *root, struct dentry *d, char *dst, size_t size)
{
    char *at = dst + size;

    if (!d->mount) {
        if (d->name_size > size)
            return NULL;
        at -= d->name_size;
        return memcpy(at, d->name, d->name_size);
    }
    if (d->deleted) {
        if (size < sizeof DELETED_TEXT - 1)
            return NULL;
        at -= sizeof DELETED_TEXT - 1;
        memcpy(at, DELETED_TEXT, sizeof DELETED_TEXT - 1);
    }
    while (d != root) {
        struct dentry *up;

        while (!d->parent && d->mount->point && d != root)
            d = d->mount->point;
        if (d == root || !d->parent)
            break;
        up = d->parent;
        if ((size_t)(at - dst) < d->name_size + 1u)
            return NULL;
        at -= d->name_size;
        memcpy(at, d->name, d->name_size);
        *--at = '/';
        d = up;
    }
    if (at == dst + size || *at != '/') {
        if (at == dst)
            return NULL;
        *--at = '/';
    }
    return at;
}

int64_t dentry_path_from(struct dentry *root, struct dentry *d, char *dst, size_t size)
{
    size_t len;
    char *at;

    if (size == 0)
        return -ENAMETOOLONG;
    spin_lock(&g_dcache.lock);
    at = path_locked(root, d, dst, size - 1);
    spin_unlock(&g_dcache.lock);
    if (!at)
        return -ENAMETOOLONG;
    len = (size_t)(dst + size - 1 - at);
    memmove(dst, at, len);
    dst[len] = 0;
    return (int64_t)len;
}

int64_t dentry_path(struct dentry *d, char *dst, size_t size)
{
    struct dentry *root = fs_context_root(process_current()->fs);
    int64_t rc = dentry_path_from(root, d, dst, size);

    dentry_unref(root);
    return rc;
}
