/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mremap. Enclave pages cannot change their address, so a move copies what is present; pages of
 * shared files go back to their file and come again at the new place. Trusted.
 */
#include <linux/resource.h>
#include <linux/errno.h>
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/mm/mm_private.h"

/* Makes pages readable, and lets nobody write to them while they are copied. */
static int stop_writes(struct mm *mm, uintptr_t start, size_t count, uint8_t state)
{
    int prot = state & PAGE_PROT;
    int during = mm_is_alone(mm) ? prot | PAGE_READ : PAGE_READ | (prot & PAGE_EXEC);
    int rc = during == prot ? 0 : enclave_protect(start, count, prot, during);

    if (rc == 0 && during != prot)
        page_state_set(start, count, (state & ~PAGE_PROT) | during);
    return rc;
}

/*
 * Copies the present pages of [from, from + size) to the same offsets at `to`, which is fresh but may have
 * got pages: a fault next to it commits pages around it. Other threads that write to the old place meanwhile fault,
 * and find it gone (or, when this fails, get their permissions back in mm_fault).
 */
static int pages_move(struct mm *mm, uintptr_t from, uintptr_t to, size_t size)
{
    uintptr_t at = from, end = from + size, run, run_end;
    uint8_t state;

    pages_decommit(mm, to, to + size);
    while (page_run_next(at, end, &run, &run_end, &state)) {
        size_t count = (run_end - run) >> PAGE_SHIFT;
        int rc = page_table_cover(to + (run - from), to + (run_end - from));

        if (rc == 0)
            rc = stop_writes(mm, run, count, state);
        if (rc == 0)
            rc = pages_commit_copy(mm, to + (run - from), count, (const void *)run,
                                   state & PAGE_PROT);
        if (rc < 0)
            return rc;
        page_state_set(to + (run - from), count, PAGE_PRESENT | (state & PAGE_PROT));
        mm->resident_pages += count;
        at = run_end;
    }
    return 0;
}

/* The area that holds all of [addr, addr + size); mremap works on one. */
static struct area *area_of_range(struct mm *mm, uintptr_t addr, size_t size)
{
    struct area *a = area_find(mm, addr);

    return a && a->kind != AREA_TRAMPOLINE && a->node.end - addr >= size ? a : NULL;
}

/* Tries to lengthen the area that ends at addr + old_size. */
static int grow_in_place(struct mm *mm, uintptr_t addr, size_t old_size, size_t new_size)
{
    struct area *doomed = NULL, *a, *more;
    enum zone zone;
    int rc = -ENOMEM;

    mutex_lock(&mm->lock);
    a = area_of_range(mm, addr, old_size);
    if (a && a->node.end == addr + old_size && user_range_ok(addr, new_size)) {
        more = area_new(a, addr + old_size, addr + new_size);
        rc = more ? 0 : -ENOMEM;
        if (rc == 0 && !free_is_range(mm, addr + old_size, addr + new_size))
            rc = space_claim_at(mm, addr + old_size, addr + new_size, a->zone);
        if (rc == 0)
            rc = free_take_at(mm, addr + old_size, addr + new_size, &zone);
        if (rc == 0) {
            area_insert(mm, more);
            keep_drop(mm, addr + old_size, addr + new_size);
            area_merge(mm, more, &doomed);
        } else if (more) {
            more->next_doomed = doomed;
            doomed = more;
        }
    }
    mutex_unlock(&mm->lock);
    area_free_doomed(doomed);
    return rc;
}

/* What a move needs to know of the old area, copied under the lock. */
static int area_describe(struct mm *mm, uintptr_t addr, size_t size, struct area **ret)
{
    struct area *a, *copy = NULL;

    mutex_lock(&mm->lock);
    a = area_of_range(mm, addr, size);
    if (a)
        copy = area_new(a, addr, addr + size);
    mutex_unlock(&mm->lock);
    if (!a)
        return -EFAULT;
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

/* Copies private pages and unmaps (keep: empties) the old place in one step, so that nothing is written there in between. */
static int move_private(struct mm *mm, const struct area *like, uintptr_t addr, size_t old_size,
                        uintptr_t to, size_t size, bool keep)
{
    struct area *doomed = NULL, *a;
    int rc;

    mutex_lock(&mm->lock);
    rc = pages_move(mm, addr, to, size);
    a = area_find(mm, to);
    if (rc == 0 && a)
        a->was_write |= like->was_write;
    if (rc == 0 && keep)
        pages_decommit(mm, addr, addr + old_size);
    else if (rc == 0)
        rc = unmap_private_locked(mm, addr, addr + old_size, &doomed);
    mutex_unlock(&mm->lock);
    area_free_doomed(doomed);
    return rc;
}

static int move(struct mm *mm, uintptr_t addr, size_t old_size, size_t new_size, int flags,
                uintptr_t *new_addr)
{
    struct area *like;
    int rc = area_describe(mm, addr, old_size, &like);

    if (rc < 0)
        return rc;
    rc = map_range(mm, new_addr, new_size, like->prot,
                   like->flags | (flags & MREMAP_FIXED ? MAP_FIXED : 0), like->file, like->off,
                   like->kind, like->name);
    if (rc == 0) {
        if (like->kind != AREA_FILE_SHARED)
            rc = move_private(mm, like, addr, old_size, *new_addr, MIN(old_size, new_size),
                              (flags & MREMAP_DONTUNMAP) != 0);
        else if (!(flags & MREMAP_DONTUNMAP))
            rc = unmap_range(mm, addr, addr + old_size);
        if (rc < 0)
            (void)!unmap_range(mm, *new_addr, *new_addr + new_size);
    }
    area_free(like);
    return rc;
}

int mm_remap(struct mm *mm, uintptr_t addr, size_t old_size, size_t new_size, int flags,
             uintptr_t *new_addr)
{
    struct area *a;
    bool can_stay;
    int rc;

    if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) ||
        !IS_ALIGNED(addr, PAGE_SIZE) || new_size == 0 ||
        ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE)) ||
        ((flags & MREMAP_DONTUNMAP) && old_size != new_size) || new_size > space_end() ||
        old_size > space_end())
        return -EINVAL;
    if (old_size == 0)
        return -EINVAL; /* a second view of shared memory: not possible here */
    old_size = ALIGN_UP(old_size, PAGE_SIZE);
    new_size = ALIGN_UP(new_size, PAGE_SIZE);
    if (!user_range_ok(addr, old_size))
        return -EFAULT;
    mutex_lock(&mm->lock);
    a = area_of_range(mm, addr, old_size);
    can_stay = a && a->kind == AREA_ANON;
    mutex_unlock(&mm->lock);
    if (!a)
        return -EFAULT;
    if ((flags & MREMAP_DONTUNMAP) && !can_stay)
        return -EINVAL;
    if (flags & MREMAP_FIXED) {
        if (!IS_ALIGNED(*new_addr, PAGE_SIZE) || !user_range_ok(*new_addr, new_size) ||
            (*new_addr < addr + old_size && addr < *new_addr + new_size))
            return -EINVAL;
        if (new_size < old_size) {
            rc = unmap_range(mm, addr + new_size, addr + old_size);
            if (rc < 0)
                return rc;
            old_size = new_size;
        }
        return move(mm, addr, old_size, new_size, flags, new_addr);
    }
    if (flags & MREMAP_DONTUNMAP)
        return move(mm, addr, old_size, new_size, flags, new_addr);
    *new_addr = addr;
    if (new_size <= old_size)
        return new_size < old_size ? unmap_range(mm, addr + new_size, addr + old_size) : 0;
    if (grow_in_place(mm, addr, old_size, new_size) == 0)
        return 0;
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    *new_addr = 0;
    return move(mm, addr, old_size, new_size, flags, new_addr);
}
