/* SPDX-License-Identifier: Apache-2.0 */
/* The areas of a process: find, split, merge. Trusted; mm->lock guards all of it. */
#include <linux/mman.h>
#include <linux/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"

struct area *area_find(struct mm *mm, uintptr_t addr)
{
    struct area *a = mm->last_area;

    if (a && addr >= a->node.start && addr < a->node.end)
        return a;
    a = area_of(range_tree_find(&mm->areas, addr));
    if (a)
        mm->last_area = a;
    return a;
}

struct area *area_find_above(struct mm *mm, uintptr_t addr)
{
    return area_of(range_tree_find_above(&mm->areas, addr));
}

struct area *area_next(struct area *a)
{
    return area_of(range_tree_next(&a->node));
}

struct area *area_new(const struct area *like, uintptr_t start, uintptr_t end)
{
    struct area *a = mem_alloc(sizeof *a);

    if (!a)
        return NULL;
    *a = *like;
    a->node = (struct range_node){ .start = start, .end = end };
    a->next_doomed = NULL;
    a->next_fault = 0;
    a->window = 0;
    if (a->file) {
        a->off += start - like->node.start;
        file_ref(a->file);
    }
    return a;
}

void area_free(struct area *a)
{
    if (a && a->file)
        file_unref(a->file);
    mem_free(a);
}

void area_free_doomed(struct area *doomed)
{
    while (doomed) {
        struct area *next = doomed->next_doomed;

        area_free(doomed);
        doomed = next;
    }
}

/* Adds (sign 1) or takes away (-1) a's pages from the sums. */
static void sum_change(struct mm *mm, const struct area *a, int64_t sign)
{
    size_t pages = ((a->node.end - a->node.start) >> PAGE_SHIFT) * (size_t)sign;

    mm->total_pages += pages;
    if (a->prot & PROT_EXEC)
        mm->exec_pages += pages;
    if (a->flags & MAP_GROWSDOWN)
        mm->stack_pages += pages;
    else if ((a->prot & PROT_WRITE) && (a->flags & MAP_PRIVATE))
        mm->data_pages += pages;
}

void area_set_prot(struct mm *mm, struct area *a, int prot)
{
    sum_change(mm, a, -1);
    a->prot = prot;
    a->was_exec |= (prot & PROT_EXEC) != 0;
    a->was_write |= (prot & PROT_WRITE) != 0;
    sum_change(mm, a, 1);
}

static bool is_copy(const struct area *a)
{
    return a->kind == AREA_FILE && !a->image_id;
}

static void tree_add(struct mm *mm, struct area *a)
{
    range_tree_add(&mm->areas, &a->node);
    mm->area_count++;
    mm->shared_area_count += a->kind == AREA_FILE_SHARED;
    mm->copy_area_count += is_copy(a);
}

static void tree_remove(struct mm *mm, struct area *a)
{
    range_tree_remove(&mm->areas, &a->node);
    mm->area_count--;
    mm->shared_area_count -= a->kind == AREA_FILE_SHARED;
    mm->copy_area_count -= is_copy(a);
}

void area_insert(struct mm *mm, struct area *a)
{
    tree_add(mm, a);
    mm->last_area = a;
    sum_change(mm, a, 1);
}

void area_remove(struct mm *mm, struct area *a)
{
    tree_remove(mm, a);
    if (mm->last_area == a)
        mm->last_area = NULL;
    sum_change(mm, a, -1);
}

int area_split_at(struct mm *mm, uintptr_t addr)
{
    struct area *a = area_find(mm, addr), *high;

    if (!a || a->node.start == addr)
        return 0;
    if (mm->area_count >= AREA_COUNT_MAX)
        return -ENOMEM;
    high = area_new(a, addr, a->node.end);
    if (!high)
        return -ENOMEM;
    range_tree_resize(&a->node, a->node.start, addr);
    tree_add(mm, high);
    return 0;
}

static bool is_continued_by(const struct area *a, const struct area *b)
{
    return a->node.end == b->node.start && a->kind == b->kind && a->prot == b->prot &&
           a->flags == b->flags && a->file == b->file && a->name == b->name && a->zone == b->zone &&
           a->was_exec == b->was_exec && a->was_write == b->was_write &&
           a->image_id == b->image_id && a->kind != AREA_TRAMPOLINE &&
           (!a->file || a->off + (a->node.end - a->node.start) == b->off);
}

/* Joins b to a, which it continues. */
static void join(struct mm *mm, struct area *a, struct area *b, struct area **doomed)
{
    uintptr_t end = b->node.end;

    tree_remove(mm, b);
    range_tree_resize(&a->node, a->node.start, end);
    if (mm->last_area == b)
        mm->last_area = a;
    b->next_doomed = *doomed;
    *doomed = b;
}

struct area *area_merge(struct mm *mm, struct area *a, struct area **doomed)
{
    struct area *prev = area_of(range_tree_prev(&a->node));
    struct area *next = area_of(range_tree_next(&a->node));

    if (next && is_continued_by(a, next))
        join(mm, a, next, doomed);
    if (prev && is_continued_by(prev, a)) {
        join(mm, prev, a, doomed);
        a = prev;
    }
    return a;
}
