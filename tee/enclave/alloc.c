/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small blocks: spans of pages that hold blocks of one size class each; blocks above the largest class
 * are whole pages. Trusted.
 */
#include "tee/enclave/alloc.h"

#include "lib/checked.h"
#include "tee/enclave/alloc_page.h"
#include "tee/enclave/lock.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define SPAN_MAGIC 0x5ba9c0deu

static const uint16_t g_class_size[] = { 16,  32,  48,  64,  80,  96,  112, 128,  160,  192, 224,
                                         256, 320, 384, 448, 512, 640, 768, 1024, 1344, 2016 };
#define CLASS_COUNT ARRAY_COUNT(g_class_size)

struct block {
    struct block *next;
};

/* At the start of a span. */
struct span {
    uint32_t magic;
    uint16_t class_index;
    uint16_t pages;
    uint32_t used, total; /* blocks */
    struct block *free;
    struct span *next, *prev; /* in the class's list of spans with free blocks */
    uint64_t pad;
};
_Static_assert(sizeof(struct span) % 16 == 0, "blocks are 16-aligned");

struct size_class {
    struct spin lock;
    struct span *partial;
};
static struct size_class g_classes[CLASS_COUNT];

static unsigned class_of(size_t size)
{
    unsigned low;

    if (size <= 128)
        return size == 0 ? 0 : (unsigned)(size - 1) / 16;
    for (low = 8; g_class_size[low] < size; low++)
        ;
    return low;
}

static void span_link(struct size_class *c, struct span *s)
{
    s->prev = NULL;
    s->next = c->partial;
    if (c->partial)
        c->partial->prev = s;
    c->partial = s;
}

static void span_unlink(struct size_class *c, struct span *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        c->partial = s->next;
    if (s->next)
        s->next->prev = s->prev;
}

static struct span *span_new(unsigned class_index)
{
    size_t block_size = g_class_size[class_index];
    uint16_t pages = block_size > 256 ? 4 : 1;
    struct span *s = page_alloc(pages);
    char *first = (char *)(s + 1);

    if (!s)
        return NULL;
    *s = (struct span){ .magic = SPAN_MAGIC, .class_index = (uint16_t)class_index, .pages = pages };
    s->total = (uint32_t)((pages * PAGE_SIZE - sizeof *s) / block_size);
    for (uint32_t i = s->total; i-- > 0;) {
        struct block *b = (struct block *)(first + i * block_size);

        b->next = s->free;
        s->free = b;
    }
    alloc_page_tag_slab(s, pages);
    return s;
}

static void *small_alloc(size_t size)
{
    unsigned class_index = class_of(size);
    struct size_class *c = &g_classes[class_index];
    struct span *s;
    struct block *b;

    spin_lock(&c->lock);
    while (!c->partial) {
        spin_unlock(&c->lock);
        s = span_new(class_index);
        if (!s)
            return NULL;
        spin_lock(&c->lock);
        span_link(c, s);
    }
    s = c->partial;
    b = s->free;
    s->free = b->next;
    s->used++;
    if (!s->free)
        span_unlink(c, s);
    spin_unlock(&c->lock);
    return b;
}

static void small_free(struct span *s, void *ptr)
{
    struct size_class *c = &g_classes[s->class_index];
    struct block *b = ptr;
    bool empty;

    if (s->magic != SPAN_MAGIC)
        enclave_panic("free of something that was not allocated");
    spin_lock(&c->lock);
    if (!s->free)
        span_link(c, s);
    b->next = s->free;
    s->free = b;
    s->used--;
    /* One span stays, so that a block that comes and goes moves no pages. */
    empty = s->used == 0 && (s->prev || s->next);
    if (empty)
        span_unlink(c, s);
    spin_unlock(&c->lock);
    if (empty) {
        s->magic = 0;
        page_free(s, s->pages);
    }
}

static size_t block_size(const void *ptr)
{
    const struct span *s = alloc_page_span(ptr);

    return s ? g_class_size[s->class_index] : alloc_page_count(ptr) * PAGE_SIZE;
}

void *mem_alloc(size_t size)
{
    if (size <= g_class_size[CLASS_COUNT - 1])
        return small_alloc(size);
    if (size > SIZE_MAX - PAGE_SIZE)
        return NULL;
    return page_alloc(ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE);
}

void *mem_zalloc(size_t size)
{
    void *ptr = mem_alloc(size);

    if (ptr)
        memset(ptr, 0, size);
    return ptr;
}

void *mem_calloc(size_t count, size_t size)
{
    size_t total;

    return checked_mul(count, size, &total) ? NULL : mem_zalloc(total);
}

void mem_free(void *ptr)
{
    struct span *s;

    if (!ptr)
        return;
    s = alloc_page_span(ptr);
    if (s)
        small_free(s, ptr);
    else
        page_free(ptr, alloc_page_count(ptr));
}

void *mem_realloc(void *ptr, size_t size)
{
    size_t old_size;
    void *fresh;

    if (!ptr)
        return mem_alloc(size);
    old_size = block_size(ptr);
    if (size <= old_size && size > old_size / 2)
        return ptr;
    fresh = mem_alloc(size);
    if (!fresh)
        return NULL;
    memcpy(fresh, ptr, MIN(size, old_size));
    mem_free(ptr);
    return fresh;
}

void mem_freep(void *ptr_to_ptr)
{
    mem_free(*(void **)ptr_to_ptr);
}

char *mem_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = mem_alloc(size);

    if (copy)
        memcpy(copy, s, size);
    return copy;
}
