/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verified image: copy in, hash, compare, cache. Trusted. Hash blocks live in the same page cache as
 * data, under keys of their own, so one bound holds for both.
 */
#include "tee/libos/fs/verity/image.h"

#include "lib/checked.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"

#include <linux/errno.h>

#define TREE_KEY (1ull << 63)
#define HASHES_SHIFT 7

/* Room for salt and block side by side, twice. */
struct staging {
    struct staging *next;
    uint8_t message[2][VERITY_SALT_SIZE_MAX + VERITY_BLOCK_SIZE];
};

struct image {
    struct uptr data, tree;
    struct verity_layout layout;
    uint8_t root[SHA256_SIZE];
    uint8_t salt[VERITY_SALT_SIZE_MAX];
    size_t salt_size;
    struct page_cache *cache;
    uint32_t poisoned;        /* set once, never cleared */
    struct spin staging_lock; /* guards staging */
    struct staging *staging;  /* free ones; at most one a thread was ever made */
};

static struct staging *staging_take(struct image *img)
{
    struct staging *s;

    spin_lock(&img->staging_lock);
    s = img->staging;
    if (s)
        img->staging = s->next;
    spin_unlock(&img->staging_lock);
    if (s)
        return s;
    s = mem_alloc(sizeof *s);
    if (s)
        for (int i = 0; i < 2; i++)
            memcpy(s->message[i], img->salt, img->salt_size);
    return s;
}

static void staging_give(struct image *img, struct staging *s)
{
    spin_lock(&img->staging_lock);
    s->next = img->staging;
    img->staging = s;
    spin_unlock(&img->staging_lock);
}

/* Copies count (1 or 2) blocks in, hashes what was copied. */
static int fetch_salted(struct image *img, const struct uptr *src, unsigned count,
                        struct cached_page *const *pages, uint8_t (*ret_hash)[SHA256_SIZE])
{
    struct staging *s = staging_take(img);
    size_t size = img->salt_size + VERITY_BLOCK_SIZE;
    int rc = 0;

    if (!s)
        return -ENOMEM;
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = uptr_read(s->message[i] + img->salt_size, src[i], VERITY_BLOCK_SIZE);
    if (rc == 0 && count == 2)
        sha256_digest2((const void *const[2]){ s->message[0], s->message[1] }, size,
                       (uint8_t *const[2]){ ret_hash[0], ret_hash[1] });
    else if (rc == 0)
        sha256_digest(s->message[0], size, ret_hash[0]);
    for (unsigned i = 0; i < count && rc == 0; i++)
        memcpy(pages[i]->data, s->message[i] + img->salt_size, VERITY_BLOCK_SIZE);
    staging_give(img, s);
    return rc;
}

static int fetch(struct image *img, const struct uptr *src, unsigned count,
                 struct cached_page *const *pages, uint8_t (*ret_hash)[SHA256_SIZE])
{
    int rc;

    if (img->salt_size > 0)
        return fetch_salted(img, src, count, pages, ret_hash);
    for (unsigned i = 0; i < count; i++) {
        rc = uptr_read(pages[i]->data, src[i], VERITY_BLOCK_SIZE);
        if (rc < 0)
            return rc;
    }
    if (count == 2)
        sha256_digest2((const void *const[2]){ pages[0]->data, pages[1]->data }, VERITY_BLOCK_SIZE,
                       (uint8_t *const[2]){ ret_hash[0], ret_hash[1] });
    else
        sha256_digest(pages[0]->data, VERITY_BLOCK_SIZE, ret_hash[0]);
    return 0;
}

static int poison(struct image *img, const char *what, uint64_t block)
{
    if (!__atomic_exchange_n(&img->poisoned, 1, __ATOMIC_ACQ_REL))
        log_line(
            "%s %lu of the root file system does not match the measured hash tree: the image was "
            "changed or damaged after it was built. All further reads of it fail with an I/O "
            "error. "
            "Fetch the image again from its publisher.",
            what, (unsigned long)block);
    return -EIO;
}

/* The host's mapping of the image ended, or faults: the file was cut short after the start. */
static int vanished(struct image *img)
{
    if (!__atomic_exchange_n(&img->poisoned, 1, __ATOMIC_ACQ_REL))
        log_line(
            "the host no longer has all of the root file system: its file was cut short or cannot "
            "be read. All further reads of it fail with an I/O error.");
    return -EIO;
}

/* Loads block `index` of a tree level; its hash must be expect. */
static int tree_load(struct image *img, unsigned level, uint64_t index, const uint8_t *expect,
                     struct cached_page **ret)
{
    uint64_t block = img->layout.level_block[level] + index;
    struct cached_page *p = page_cache_take(img->cache, TREE_KEY | block);
    struct uptr src = uptr_add(img->tree, block * VERITY_BLOCK_SIZE);
    uint8_t hash[1][SHA256_SIZE];
    int rc;

    if (!p)
        return -ENOMEM;
    rc = fetch(img, &src, 1, &p, hash);
    if (rc == -EFAULT)
        rc = vanished(img);
    if (rc == 0 && memcmp(hash[0], expect, SHA256_SIZE) != 0)
        rc = poison(img, "hash block", block);
    if (rc < 0) {
        page_cache_put(p);
        return rc;
    }
    *ret = page_cache_insert(p);
    return 0;
}

/* Block `index` of level 0, verified: up to the first level that is cached, then down. */
static int tree_get(struct image *img, uint64_t index, struct cached_page **ret)
{
    unsigned level = 0;
    struct cached_page *p, *child;
    int rc;

    for (;; level++) {
        uint64_t at = index >> (HASHES_SHIFT * level);

        p = page_cache_find(img->cache, TREE_KEY | (img->layout.level_block[level] + at));
        if (p)
            break;
        if (level + 1 == img->layout.levels) {
            rc = tree_load(img, level, at, img->root, &p);
            if (rc < 0)
                return rc;
            break;
        }
    }
    while (level > 0) {
        uint64_t at = index >> (HASHES_SHIFT * --level);

        rc = tree_load(img, level, at, p->data + (at & (VERITY_HASHES_PER_BLOCK - 1)) * SHA256_SIZE,
                       &child);
        page_cache_put(p);
        if (rc < 0)
            return rc;
        p = child;
    }
    *ret = p;
    return 0;
}

/* Loads count (1 or 2) data blocks that share the hash block `hashes`. */
static int data_load(struct image *img, uint64_t block, unsigned count, const uint8_t *hashes,
                     struct cached_page **ret)
{
    struct cached_page *pages[2] = { NULL, NULL };
    struct uptr src[2] = { { 0 } };
    uint8_t hash[2][SHA256_SIZE];
    int rc = 0;

    for (unsigned i = 0; i < count && rc == 0; i++) {
        pages[i] = page_cache_take(img->cache, block + i);
        src[i] = uptr_add(img->data, (block + i) * VERITY_BLOCK_SIZE);
        if (!pages[i])
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = fetch(img, src, count, pages, hash);
    if (rc == -EFAULT)
        rc = vanished(img);
    for (unsigned i = 0; i < count && rc == 0; i++)
        if (memcmp(hash[i], hashes + ((block + i) & (VERITY_HASHES_PER_BLOCK - 1)) * SHA256_SIZE,
                   SHA256_SIZE) != 0)
            rc = poison(img, "block", block + i);
    if (rc < 0) {
        page_cache_put(pages[0]);
        page_cache_put(pages[1]);
        return rc;
    }
    *ret = page_cache_insert(pages[0]);
    if (count == 2)
        page_cache_put(page_cache_insert(pages[1]));
    return 0;
}

int image_block_get(struct image *img, uint64_t block, uint64_t ahead, struct cached_page **ret)
{
    struct cached_page *p, *hashes, *next;
    unsigned count = 1;
    int rc;

    if (UNLIKELY(__atomic_load_n(&img->poisoned, __ATOMIC_RELAXED)))
        return -EIO;
    if (block >= img->layout.data_blocks)
        return -EINVAL;
    p = page_cache_find(img->cache, block);
    if (LIKELY(p)) {
        *ret = p;
        return 0;
    }
    if (ahead > 0 && block + 1 < img->layout.data_blocks &&
        (block + 1) % VERITY_HASHES_PER_BLOCK != 0) {
        next = page_cache_find(img->cache, block + 1);
        if (!next)
            count = 2;
        page_cache_put(next);
    }
    rc = tree_get(img, block >> HASHES_SHIFT, &hashes);
    if (rc < 0)
        return rc;
    rc = data_load(img, block, count, hashes->data, ret);
    if (rc == -ENOMEM && count == 2)
        rc = data_load(img, block, 1, hashes->data, ret);
    page_cache_put(hashes);
    return rc;
}

int image_read(struct image *img, uint64_t off, void *dst, size_t size)
{
    uint8_t *to = dst;

    while (size > 0) {
        uint64_t block = off / VERITY_BLOCK_SIZE;
        size_t in = off % VERITY_BLOCK_SIZE, part = MIN(size, VERITY_BLOCK_SIZE - in);
        struct cached_page *p;
        int rc = image_block_get(img, block, (in + size - 1) / VERITY_BLOCK_SIZE, &p);

        if (rc < 0)
            return rc;
        memcpy(to, p->data + in, part);
        page_cache_put(p);
        to += part;
        off += part;
        size -= part;
    }
    return 0;
}

int image_new(const struct image_source *source, struct image **ret)
{
    struct image *img;
    struct cached_page *p;
    unsigned top;
    int rc;

    if (source->data_size % VERITY_BLOCK_SIZE != 0 || source->salt_size > VERITY_SALT_SIZE_MAX)
        return -EINVAL;
    img = mem_zalloc(sizeof *img);
    if (!img)
        return -ENOMEM;
    img->data = source->data;
    img->tree = source->tree;
    img->salt_size = source->salt_size;
    memcpy(img->salt, source->salt, source->salt_size);
    memcpy(img->root, source->root, SHA256_SIZE);
    rc = verity_layout_init(source->data_size / VERITY_BLOCK_SIZE, &img->layout);
    if (rc == 0 && img->layout.tree_blocks > source->tree_size / VERITY_BLOCK_SIZE)
        rc = -EINVAL;
    if (rc == 0 && (!uptr_is_outside(source->data, source->data_size) ||
                    !uptr_is_outside(source->tree, source->tree_size)))
        rc = -EINVAL;
    if (rc == 0)
        rc = page_cache_new(source->cache_pages, &img->cache);
    if (rc == 0) {
        top = img->layout.levels - 1;
        rc = tree_load(img, top, 0, img->root, &p);
        if (rc == 0)
            page_cache_put(p);
    }
    if (rc < 0) {
        image_free(img);
        return rc;
    }
    *ret = img;
    return 0;
}

void image_free(struct image *img)
{
    if (!img)
        return;
    while (img->staging) {
        struct staging *s = img->staging;

        img->staging = s->next;
        mem_free(s);
    }
    page_cache_free(img->cache);
    mem_free(img);
}

uint64_t image_block_count(const struct image *img)
{
    return img->layout.data_blocks;
}

size_t image_cached_pages(struct image *img)
{
    return page_cache_count(img->cache);
}
