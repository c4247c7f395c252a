/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse array of pointers; see page_index.h. Trusted. */
#include "tee/libos/fs/tmpfs/page_index.h"

#include "tee/enclave/alloc.h"

#include <linux/errno.h>

#define SLOT_COUNT (1u << PAGE_INDEX_BITS)

struct node {
    void *slots[SLOT_COUNT];
    unsigned used;
};

/* Indexes that fit a tree of this height: [0, limit). */
static uint64_t limit_of(unsigned height)
{
    return 1ull << (PAGE_INDEX_BITS * height);
}

static unsigned slot_of(uint64_t index, unsigned level)
{
    return index >> (PAGE_INDEX_BITS * level) & (SLOT_COUNT - 1);
}

void *page_index_get(const struct page_index *x, uint64_t index)
{
    void *at = x->root;

    if (index >= limit_of(x->height))
        return NULL;
    for (unsigned level = x->height; level-- > 0 && at;)
        at = ((struct node *)at)->slots[slot_of(index, level)];
    return at;
}

static int grow(struct page_index *x, uint64_t index)
{
    while (index >= limit_of(x->height)) {
        if (x->root) {
            struct node *n = mem_zalloc(sizeof *n);

            if (!n)
                return -ENOMEM;
            n->slots[0] = x->root;
            n->used = 1;
            x->root = n;
        }
        x->height++;
    }
    return 0;
}

int page_index_set(struct page_index *x, uint64_t index, void *value)
{
    void **at = &x->root;
    struct node *parent = NULL;

    if (index > PAGE_INDEX_MAX)
        return -EFBIG;
    if (grow(x, index) < 0)
        return -ENOMEM;
    for (unsigned level = x->height; level-- > 0;) {
        if (!*at) {
            *at = mem_zalloc(sizeof(struct node));
            if (!*at)
                return -ENOMEM;
            if (parent)
                parent->used++;
        }
        parent = *at;
        at = &parent->slots[slot_of(index, level)];
    }
    if (!*at && parent)
        parent->used++;
    *at = value;
    return 0;
}

void *page_index_remove(struct page_index *x, uint64_t index)
{
    struct node *path[PAGE_INDEX_HEIGHT_MAX];
    void *at = x->root, *value;
    unsigned level = x->height;

    if (index >= limit_of(x->height))
        return NULL;
    while (level > 0) {
        if (!at)
            return NULL;
        path[--level] = at;
        at = path[level]->slots[slot_of(index, level)];
    }
    value = at;
    if (!value)
        return NULL;
    for (; level < x->height; level++) {
        path[level]->slots[slot_of(index, level)] = NULL;
        if (--path[level]->used > 0)
            return value;
        mem_free(path[level]);
    }
    x->root = NULL;
    x->height = 0;
    return value;
}

void *page_index_next(const struct page_index *x, uint64_t *index)
{
    uint64_t at = *index;

    while (at < limit_of(x->height)) {
        void *p = x->root;
        unsigned level = x->height;

        while (p && level > 0) {
            p = ((struct node *)p)->slots[slot_of(at, level - 1)];
            level--;
        }
        if (p) {
            *index = at;
            return p;
        }
        /* Nothing below this slot of `level`: on to the next slot. */
        at = ((at >> (PAGE_INDEX_BITS * level)) + 1) << (PAGE_INDEX_BITS * level);
        if (!x->root)
            return NULL;
    }
    return NULL;
}
