/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole pages of the library OS's heap: extents of free pages in bins by size, joined with their
 * neighbours. Small free extents stay committed for the next caller; large ones are given back.
 * A table of one struct heap_page a page lies at the start of the heap and is committed as the heap
 * grows. Trusted.
 */
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/alloc_page.h"
#include "tee/enclave/lock.h"
#include "tee/enclave/runtime.h"

#define HEAP_PAGES ((LIBOS_END - LIBOS_HEAP_ADDR) / PAGE_SIZE)
#define TABLE_PAGES (HEAP_PAGES * sizeof(struct heap_page) / PAGE_SIZE)
#define PAGES_PER_TABLE_PAGE (PAGE_SIZE / sizeof(struct heap_page))
#define BIN_COUNT 24
#define BIN_SCAN_MAX 16
#define GIVE_BACK_PAGES 64u /* a freed extent of this size is given back at once */
#define BATCH_PAGES_MIN 16u
#define BATCH_PAGES_MAX 512u
#define FREE_COMMITTED_MAX 1024u /* pages kept for the next caller */

enum page_state { PAGE_NONE, PAGE_USED, PAGE_SLAB, PAGE_FREE, PAGE_ABSENT };

/* State and count are valid at the first and the last page of an extent. */
struct heap_page {
    uint32_t count;      /* pages of the extent */
    uint32_t state;      /* enum page_state */
    uint32_t next, prev; /* page index; free lists; PAGE_SLAB: next = first page of the span */
};

static struct heap_page *const g_table = (struct heap_page *)LIBOS_HEAP_ADDR;
static struct spin g_lock;            /* guards all below and the table */
static uint32_t g_bins[2][BIN_COUNT]; /* free lists: committed, absent; 0 = empty */
static uint32_t g_top = TABLE_PAGES;  /* first page never used */
static uint32_t g_table_pages;        /* committed pages of the table */
static size_t g_free_committed;

static unsigned bin_of(uint32_t count)
{
    return MIN(31 - (unsigned)__builtin_clz(count), (unsigned)BIN_COUNT - 1);
}

static void *page_addr(uint32_t page)
{
    return (void *)(LIBOS_HEAP_ADDR + (uint64_t)page * PAGE_SIZE);
}

static uint32_t page_index(const void *addr)
{
    return (uint32_t)(((uint64_t)addr - LIBOS_HEAP_ADDR) / PAGE_SIZE);
}

static void extent_mark(uint32_t page, uint32_t count, enum page_state state)
{
    g_table[page].count = g_table[page + count - 1].count = count;
    g_table[page].state = g_table[page + count - 1].state = state;
}

static void list_add(uint32_t page)
{
    uint32_t *head = &g_bins[g_table[page].state == PAGE_ABSENT][bin_of(g_table[page].count)];

    g_table[page].prev = 0;
    g_table[page].next = *head;
    if (*head)
        g_table[*head].prev = page;
    *head = page;
    if (g_table[page].state == PAGE_FREE)
        g_free_committed += g_table[page].count;
}

static void list_remove(uint32_t page)
{
    uint32_t *head = &g_bins[g_table[page].state == PAGE_ABSENT][bin_of(g_table[page].count)];

    if (g_table[page].prev)
        g_table[g_table[page].prev].next = g_table[page].next;
    else
        *head = g_table[page].next;
    if (g_table[page].next)
        g_table[g_table[page].next].prev = g_table[page].prev;
    if (g_table[page].state == PAGE_FREE)
        g_free_committed -= g_table[page].count;
}

/* Adds a free extent, joined with free neighbours of its kind. */
static void extent_add(uint32_t page, uint32_t count, enum page_state state)
{
    uint32_t after = page + count;

    if (after < g_top && g_table[after].state == state) {
        list_remove(after);
        count += g_table[after].count;
    }
    if (page > TABLE_PAGES && g_table[page - 1].state == state) {
        uint32_t before = page - g_table[page - 1].count;

        list_remove(before);
        count += g_table[before].count;
        page = before;
    }
    extent_mark(page, count, state);
    list_add(page);
}

/* First fit within the bin, then the first extent of a larger bin. 0: none. */
static uint32_t extent_take(uint32_t count, enum page_state state)
{
    uint32_t *bins = g_bins[state == PAGE_ABSENT];
    uint32_t found = 0, left;
    unsigned scanned = 0;

    for (uint32_t p = bins[bin_of(count)]; p && !found && scanned < BIN_SCAN_MAX; scanned++) {
        if (g_table[p].count >= count)
            found = p;
        p = g_table[p].next;
    }
    for (unsigned bin = bin_of(count) + 1; bin < BIN_COUNT && !found; bin++)
        found = bins[bin];
    if (!found)
        return 0;
    list_remove(found);
    left = g_table[found].count - count;
    if (left > 0) {
        extent_mark(found + count, left, state);
        list_add(found + count);
    }
    extent_mark(found, count, PAGE_USED);
    return found;
}

/* Fresh address space at the top, with its part of the table. */
static uint32_t extent_grow(uint32_t count)
{
    uint32_t page = g_top;
    uint64_t table = (page + (uint64_t)count + PAGES_PER_TABLE_PAGE - 1) / PAGES_PER_TABLE_PAGE;

    if (count > HEAP_PAGES - page)
        return 0;
    if (table > g_table_pages) {
        if (enclave_commit(LIBOS_HEAP_ADDR + g_table_pages * PAGE_SIZE, table - g_table_pages,
                           PROT_READ | PROT_WRITE) < 0)
            return 0;
        g_table_pages = (uint32_t)table;
    }
    g_top += count;
    extent_mark(page, count, PAGE_USED);
    return page;
}

/* Gives back what is free but committed; returns whether there was any. */
static bool reclaim(void)
{
    bool any = false;

    for (;;) {
        uint32_t page = 0, count;

        spin_lock(&g_lock);
        for (unsigned bin = BIN_COUNT; bin-- > 0 && !page;)
            page = g_bins[0][bin];
        if (page) {
            list_remove(page);
            count = g_table[page].count;
            extent_mark(page, count, PAGE_USED);
        }
        spin_unlock(&g_lock);
        if (!page)
            return any;
        any = true;
        enclave_decommit((uint64_t)page_addr(page), count);
        spin_lock(&g_lock);
        extent_add(page, count, PAGE_ABSENT);
        spin_unlock(&g_lock);
    }
}

/* Commits an extent of `have` pages, of which `count` are wanted; the rest becomes free. */
static bool extent_commit(uint32_t page, uint32_t have, uint32_t count)
{
    uint64_t addr = (uint64_t)page_addr(page);
    bool all = enclave_commit(addr, have, PROT_READ | PROT_WRITE) == 0;

    if (have > count) {
        spin_lock(&g_lock);
        extent_mark(page, count, PAGE_USED);
        extent_add(page + count, have - count, all ? PAGE_FREE : PAGE_ABSENT);
        spin_unlock(&g_lock);
        if (!all && enclave_commit(addr, count, PROT_READ | PROT_WRITE) == 0)
            return true;
    }
    return all || (reclaim() && enclave_commit(addr, count, PROT_READ | PROT_WRITE) == 0);
}

/* Pages that neighbour cost less when they are committed together: the more, the larger the heap is. */
static uint32_t batch_pages(void)
{
    uint32_t used = __atomic_load_n(&g_top, __ATOMIC_RELAXED) - TABLE_PAGES;

    return MAX(BATCH_PAGES_MIN, MIN(BATCH_PAGES_MAX, used / 8));
}

void *page_alloc(size_t count)
{
    uint32_t page, have = (uint32_t)MAX(count, batch_pages());

    if (count == 0 || count > HEAP_PAGES)
        return NULL;
    spin_lock(&g_lock);
    page = extent_take((uint32_t)count, PAGE_FREE);
    if (page) {
        spin_unlock(&g_lock);
        return page_addr(page);
    }
    page = extent_take(have, PAGE_ABSENT);
    if (!page)
        page = extent_grow(have);
    if (!page) {
        have = (uint32_t)count;
        page = extent_take(have, PAGE_ABSENT);
    }
    spin_unlock(&g_lock);
    if (!page)
        return NULL;
    if (extent_commit(page, have, (uint32_t)count))
        return page_addr(page);
    spin_lock(&g_lock);
    extent_add(page, (uint32_t)count, PAGE_ABSENT);
    spin_unlock(&g_lock);
    return NULL;
}

void page_free(void *pages, size_t count)
{
    uint32_t page = page_index(pages);
    bool give_back = count >= GIVE_BACK_PAGES;
    size_t kept;

    if (!pages || count == 0)
        return;
    if (give_back)
        enclave_decommit((uint64_t)pages, count);
    spin_lock(&g_lock);
    extent_add(page, (uint32_t)count, give_back ? PAGE_ABSENT : PAGE_FREE);
    kept = g_free_committed;
    spin_unlock(&g_lock);
    if (kept > FREE_COMMITTED_MAX)
        (void)reclaim();
}

void alloc_page_tag_slab(void *span, uint32_t count)
{
    uint32_t page = page_index(span);

    spin_lock(&g_lock);
    for (uint32_t i = 0; i < count; i++) {
        g_table[page + i].state = PAGE_SLAB;
        g_table[page + i].next = page;
    }
    spin_unlock(&g_lock);
}

void *alloc_page_span(const void *ptr)
{
    uint32_t page = page_index(ptr);

    return g_table[page].state == PAGE_SLAB ? page_addr(g_table[page].next) : NULL;
}

size_t alloc_page_count(const void *ptr)
{
    uint32_t page = page_index(ptr);

    if (((uint64_t)ptr & (PAGE_SIZE - 1)) != 0 || page < TABLE_PAGES || page >= g_top ||
        g_table[page].state != PAGE_USED)
        enclave_panic("free of something that was not allocated");
    return g_table[page].count;
}

void heap_init(void)
{
    size_t first = TABLE_PAGES / PAGES_PER_TABLE_PAGE;

    /* The table describes itself too; those entries are never looked at, so they stay absent. */
    g_table_pages = (uint32_t)first;
}
