/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that no area has, but that stay committed: what comes to the same address next can often use them, which
 * is much cheaper than giving a page back and adding it again. Trusted; mm->lock guards all of it.
 *
 * A kept page is either equal to a page of the verified image (program text, with rewritten system calls) and never
 * was writable, or holds anything and is zeroed or filled before an area gets it. While a process runs that has unmapped a
 * page, the page has no permissions: an access faults as it must.
 */
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"
#include "tee/libos/rewrite/rewrite.h"

struct kept {
    struct range_node node;
    uint64_t image_id; /* 0: content is of no use */
    uint64_t off;      /* of start in that file */
    bool is_unmapped;  /* the program gave it back: no permissions, mm->unmapped_pages counts it */
};

static struct kept *kept_of(struct range_node *n)
{
    return n ? CONTAINER_OF(n, struct kept, node) : NULL;
}

static size_t count_present(uintptr_t start, uintptr_t end)
{
    uintptr_t run, run_end;
    size_t count = 0;
    uint8_t state;

    for (; page_run_next(start, end, &run, &run_end, &state); start = run_end)
        count += (run_end - run) >> PAGE_SHIFT;
    return count;
}

/* The area's pages are the image's, but for rewritten system calls. */
static bool is_clean(const struct area *a)
{
    return a->kind == AREA_FILE && a->image_id && !a->was_write &&
           a->file->ops->image_id(a->file) == a->image_id;
}

/* returns: NULL: no memory. */
static struct kept *add(struct mm *mm, uintptr_t start, uintptr_t end, uint64_t image_id,
                        uint64_t off)
{
    struct kept *k = mem_zalloc(sizeof *k);

    if (!k)
        return NULL;
    *k = (struct kept){ .node = { .start = start, .end = end }, .image_id = image_id, .off = off };
    range_tree_add(&mm->kept, &k->node);
    mm->resident_pages -= count_present(start, end);
    mm->kept_pages += count_present(start, end);
    return k;
}

/* Run by run: under a loader's first mapping there are pages of both kinds. */
static void keep_clean(struct mm *mm, const struct area *a, uintptr_t start, uintptr_t end)
{
    uintptr_t run, run_end;
    uint8_t state;

    for (; page_run_next(start, end, &run, &run_end, &state); start = run_end) {
        uint64_t id = state & PAGE_WRITE ? 0 : a->image_id;

        if (!add(mm, run, run_end, id, a->off + (run - a->node.start)))
            pages_decommit(mm, run, run_end);
    }
}

void keep_area(struct mm *mm, struct area *a, uintptr_t start, uintptr_t end)
{
    bool is_private = a->kind == AREA_FILE || a->kind == AREA_ANON;
    size_t count = is_private && a->was_write && !a->was_exec ? count_present(start, end) : 0;

    if (is_private && is_clean(a)) {
        keep_clean(mm, a, start, end);
        return;
    }
    if (count > 0 && count <= KEEP_PAGES_MAX && add(mm, start, end, 0, 0))
        return;
    if (a->was_exec)
        rewrite_forget(mm, start, end - start);
    pages_decommit(mm, start, end);
}

/* The pages of [start, end), which are kept, are an area's now; the caller has set their states. */
static void count_adopted(struct mm *mm, size_t count)
{
    mm->resident_pages += count;
    mm->kept_pages -= count;
}

static void give_back(struct mm *mm, uintptr_t start, uintptr_t end)
{
    count_adopted(mm, count_present(start, end));
    rewrite_forget(mm, start, end - start);
    pages_decommit(mm, start, end);
}

/* Changes permissions where they must: under a loader's first mapping of a whole file, over which it maps the parts, pages may
 * have more than the area. */
static bool set_prot(const struct area *a, uintptr_t start, size_t count, uint8_t state, int prot)
{
    int has = state & PAGE_PROT;

    if (has == prot || ((a->flags & MAP_DENYWRITE) && (has & prot) == prot))
        return true;
    if (enclave_protect(start, count, has, prot) < 0)
        return false;
    page_state_set(start, count, PAGE_PRESENT | prot);
    return true;
}

/* Pages with the image's content. */
static void adopt_clean(struct mm *mm, const struct area *a, uintptr_t start, uintptr_t end)
{
    uintptr_t run, run_end;
    uint8_t state;

    for (; page_run_next(start, end, &run, &run_end, &state); start = run_end) {
        size_t count = (run_end - run) >> PAGE_SHIFT;

        if (set_prot(a, run, count, state, prot_of_pages(a->prot)))
            count_adopted(mm, count);
        else
            give_back(mm, run, run_end);
    }
}

/* Pages with any content: zeroed here, or to be filled. returns: whether there are such. */
static bool adopt_dirty(struct mm *mm, const struct area *a, uintptr_t start, uintptr_t end)
{
    uintptr_t run, run_end;
    bool is_stale = false;
    uint8_t state;

    for (; page_run_next(start, end, &run, &run_end, &state); start = run_end) {
        size_t count = (run_end - run) >> PAGE_SHIFT;

        if (!set_prot(a, run, count, state, PAGE_READ | PAGE_WRITE)) {
            give_back(mm, run, run_end);
            continue;
        }
        if (a->kind == AREA_ANON) {
            memset((void *)run, 0, count * PAGE_SIZE);
        } else {
            is_stale = true;
            page_state_set(run, count, PAGE_PRESENT | PAGE_STALE | PAGE_READ | PAGE_WRITE);
        }
        count_adopted(mm, count);
    }
    return is_stale;
}

/* The area can take pages that are written first. Content is read from a file while nobody else can look. */
static bool takes_dirty(struct mm *mm, const struct area *a)
{
    if (a->kind == AREA_ANON)
        return (a->prot & (PROT_WRITE | PROT_EXEC)) == PROT_WRITE;
    return a->kind == AREA_FILE && !(a->prot & PROT_EXEC) && mm_is_alone(mm) &&
           ((a->prot & PROT_WRITE) || (a->flags & MAP_DENYWRITE));
}

static bool is_same_content(const struct area *a, const struct kept *k)
{
    return a->kind == AREA_FILE && k->image_id && a->image_id == k->image_id &&
           a->off - a->node.start == k->off - k->node.start && !(a->prot & PROT_WRITE) && a->prot;
}

/* Cuts [start, end) out of k, which covers it. */
static void cut(struct mm *mm, struct kept *k, uintptr_t start, uintptr_t end)
{
    struct kept *rest = NULL;

    if (k->is_unmapped)
        mm->unmapped_pages -= (end - start) >> PAGE_SHIFT;
    if (k->node.start < start && end < k->node.end) {
        rest = mem_zalloc(sizeof *rest);
        if (!rest) { /* the upper part goes with it */
            give_back(mm, end, k->node.end);
            if (k->is_unmapped)
                mm->unmapped_pages -= (k->node.end - end) >> PAGE_SHIFT;
        } else {
            *rest = (struct kept){ .image_id = k->image_id,
                                   .is_unmapped = k->is_unmapped,
                                   .off = k->off + (end - k->node.start),
                                   .node = { .start = end, .end = k->node.end } };
        }
        range_tree_resize(&k->node, k->node.start, start);
        if (rest)
            range_tree_add(&mm->kept, &rest->node);
    } else if (k->node.start < start) {
        range_tree_resize(&k->node, k->node.start, start);
    } else if (end < k->node.end) {
        k->off += end - k->node.start;
        range_tree_resize(&k->node, end, k->node.end);
    } else {
        range_tree_remove(&mm->kept, &k->node);
        mem_free(k);
    }
}

bool keep_adopt(struct mm *mm, struct area *a, uintptr_t start, uintptr_t end)
{
    bool stale = false;
    struct kept *k;

    while (mm->kept_pages > 0 && (k = kept_of(range_tree_find_above(&mm->kept, start))) &&
           k->node.start < end) {
        uintptr_t from = MAX(start, k->node.start), to = MIN(end, k->node.end);

        if (is_same_content(a, k))
            adopt_clean(mm, a, from, to);
        else if (!k->image_id && takes_dirty(mm, a))
            stale |= adopt_dirty(mm, a, from, to);
        else
            give_back(mm, from, to);
        cut(mm, k, from, to);
    }
    return stale;
}

void keep_fill(struct mm *mm, uintptr_t start, uintptr_t end, struct file *file, uint64_t off)
{
    uintptr_t run, run_end, at = start;
    uint8_t state;

    for (; page_run_next(at, end, &run, &run_end, &state); at = run_end) {
        for (uintptr_t page = run; (state & PAGE_STALE) && page < run_end; page += PAGE_SIZE) {
            if (file->ops->map_page(file, off + (page - start), (void *)page) == 0) {
                page_state_set(page, 1, state & ~PAGE_STALE);
                continue;
            }
            mutex_lock(&mm->lock);
            pages_decommit(mm, page, page + PAGE_SIZE); /* an access tells what is wrong */
            mutex_unlock(&mm->lock);
        }
    }
}

void keep_drop(struct mm *mm, uintptr_t start, uintptr_t end)
{
    struct kept *k;

    while ((k = kept_of(range_tree_find_above(&mm->kept, start))) && k->node.start < end) {
        uintptr_t from = MAX(start, k->node.start), to = MIN(end, k->node.end);

        give_back(mm, from, to);
        cut(mm, k, from, to);
    }
}

bool keep_unmapped_drop(struct mm *mm)
{
    struct kept *k = kept_of(range_tree_first(&mm->kept)), *next;
    bool had = mm->unmapped_pages > 0;

    for (; mm->unmapped_pages > 0 && k; k = next) {
        next = kept_of(range_tree_next(&k->node));
        if (k->is_unmapped) {
            give_back(mm, k->node.start, k->node.end);
            cut(mm, k, k->node.start, k->node.end);
        }
    }
    return had;
}

bool keep_unmapped(struct mm *mm, const struct area *a)
{
    const uint8_t want = PAGE_PRESENT | PAGE_READ | PAGE_WRITE;
    size_t used = enclave_pages_used(), limit = enclave_pages_limit(), count;
    uintptr_t start, end, rest, rest_end;
    struct kept *k;
    uint8_t state;

    if (a->kind != AREA_ANON || a->was_exec || a->prot != (PROT_READ | PROT_WRITE) ||
        !page_run_next(a->node.start, a->node.end, &start, &end, &state) || state != want ||
        page_run_next(end, a->node.end, &rest, &rest_end, &state))
        return false;
    count = (end - start) >> PAGE_SHIFT;
    if (count > UNMAPPED_PAGES_MAX || limit - MIN(used, limit) < limit / UNMAPPED_MEMORY_PART)
        return false;
    if (mm->unmapped_pages + count > UNMAPPED_PAGES_MAX)
        (void)keep_unmapped_drop(mm);
    if (enclave_protect(start, count, PAGE_READ | PAGE_WRITE, 0) < 0)
        return false;
    page_state_set(start, count, PAGE_PRESENT);
    k = add(mm, start, end, 0, 0);
    if (!k)
        return false;
    k->is_unmapped = true;
    mm->unmapped_pages += count;
    return true;
}
