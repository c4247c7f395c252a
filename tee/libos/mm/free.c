/* SPDX-License-Identifier: Apache-2.0 */
/* Free address ranges within the claims of a process. Trusted; mm->lock guards all of it. */
#include <linux/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/mm/mm_private.h"

static struct free_range *range_of(struct range_node *n)
{
    return n ? CONTAINER_OF(n, struct free_range, node) : NULL;
}

void free_add(struct mm *mm, uintptr_t start, uintptr_t end, enum zone zone)
{
    struct range_tree *t = &mm->free[zone];
    struct range_node *next, *prev = NULL;
    struct free_range *r;

    if (start >= end)
        return;
    next = range_tree_find_above(t, start);
    if (start > 0)
        prev = range_tree_find(t, start - 1);
    if (prev && next && next->start == end) {
        end = next->end;
        range_tree_remove(t, next);
        mem_free(range_of(next));
        range_tree_resize(prev, prev->start, end);
    } else if (prev) {
        range_tree_resize(prev, prev->start, end);
    } else if (next && next->start == end) {
        range_tree_resize(next, start, next->end);
    } else {
        r = mem_zalloc(sizeof *r);
        if (!r)
            return;
        r->node.start = start;
        r->node.end = end;
        range_tree_add(t, &r->node);
    }
}

/* Cuts [start, end), which lies within n, out of it. */
static int cut(struct range_tree *t, struct range_node *n, uintptr_t start, uintptr_t end)
{
    struct free_range *rest;

    if (n->start == start && n->end == end) {
        range_tree_remove(t, n);
        mem_free(range_of(n));
    } else if (n->start == start) {
        range_tree_resize(n, end, n->end);
    } else if (n->end == end) {
        range_tree_resize(n, n->start, start);
    } else {
        rest = mem_zalloc(sizeof *rest);
        if (!rest)
            return -ENOMEM;
        rest->node.start = end;
        rest->node.end = n->end;
        range_tree_resize(n, n->start, start);
        range_tree_add(t, &rest->node);
    }
    return 0;
}

static struct range_node *find(struct mm *mm, uintptr_t addr, enum zone *ret_zone)
{
    for (int zone = 0; zone < ZONE_COUNT; zone++) {
        struct range_node *n = range_tree_find(&mm->free[zone], addr);

        if (n) {
            *ret_zone = zone;
            return n;
        }
    }
    return NULL;
}

bool free_is_range(struct mm *mm, uintptr_t start, uintptr_t end)
{
    while (start < end) {
        enum zone zone;
        struct range_node *n = find(mm, start, &zone);

        if (!n)
            return false;
        start = n->end;
    }
    return true;
}

int free_take_at(struct mm *mm, uintptr_t start, uintptr_t end, enum zone *ret_zone)
{
    uintptr_t at = start;

    if (!free_is_range(mm, start, end))
        return -EEXIST;
    while (at < end) {
        enum zone zone = ZONE_GENERAL;
        struct range_node *n = find(mm, at, &zone);
        uintptr_t stop = MIN(n->end, end);
        int rc = cut(&mm->free[zone], n, at, stop);

        if (rc < 0) {
            free_add(mm, start, at, *ret_zone);
            return rc;
        }
        if (at == start)
            *ret_zone = zone;
        at = stop;
    }
    return 0;
}

int free_take(struct mm *mm, size_t size, enum zone zone, uintptr_t *ret_start)
{
    struct range_node *n = range_tree_find_highest_fit(&mm->free[zone], size);
    uintptr_t start;
    int rc;

    if (!n)
        return -ENOMEM;
    start = n->end - size;
    rc = cut(&mm->free[zone], n, start, n->end);
    if (rc == 0)
        *ret_start = start;
    return rc;
}

int free_take_below(struct mm *mm, size_t size, uintptr_t limit, uintptr_t *ret_start,
                    enum zone *ret_zone)
{
    for (int zone = 0; zone < ZONE_COUNT; zone++) {
        struct range_node *n = range_tree_first(&mm->free[zone]);

        for (; n && n->start < limit; n = range_tree_next(n)) {
            uintptr_t start = n->start;

            if (n->end - start < size || start > limit - size)
                continue;
            *ret_start = start;
            *ret_zone = zone;
            return cut(&mm->free[zone], n, start, start + size);
        }
    }
    return -ENOMEM;
}

void free_clear(struct mm *mm)
{
    for (int zone = 0; zone < ZONE_COUNT; zone++) {
        struct range_node *n;

        while ((n = mm->free[zone].root)) {
            range_tree_remove(&mm->free[zone], n);
            mem_free(range_of(n));
        }
    }
}
