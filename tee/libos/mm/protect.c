/* SPDX-License-Identifier: Apache-2.0 */
/* mprotect and madvise's give-back. Trusted. */
#include <linux/mman.h>
#include <linux/errno.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"
#include "tee/libos/rewrite/rewrite.h"

/* Gives the present pages of [start, end) the permissions prot. */
static int pages_protect(uintptr_t start, uintptr_t end, int prot)
{
    uintptr_t run, run_end;
    uint8_t state;

    while (page_run_next(start, end, &run, &run_end, &state)) {
        size_t count = (run_end - run) >> PAGE_SHIFT;

        if ((state & PAGE_PROT) != prot) {
            int rc = enclave_protect(run, count, state & PAGE_PROT, prot);

            if (rc < 0)
                return rc;
            page_state_set(run, count, (state & ~PAGE_PROT) | prot);
        }
        start = run_end;
    }
    return 0;
}

/* True when [start, end) is all areas, and each may have prot. *ret: Linux's error otherwise. */
static int range_check(struct mm *mm, uintptr_t start, uintptr_t end, int prot)
{
    struct area *a = area_find_above(mm, start);

    for (; a && a->node.start <= start && start < end; start = a->node.end, a = area_next(a)) {
        if (a->kind == AREA_TRAMPOLINE)
            return -EACCES;
        if ((prot & PROT_WRITE) && a->kind == AREA_FILE && (a->flags & MAP_SHARED))
            return -EACCES;
        if ((prot & PROT_WRITE) && a->kind == AREA_FILE_SHARED && !file_may_share_write(a->file))
            return -EACCES;
        if (a->node.end >= end)
            return 0;
    }
    return start >= end ? 0 : -ENOMEM;
}

static int protect_locked(struct mm *mm, uintptr_t start, uintptr_t end, int prot,
                          struct area **doomed)
{
    struct area *a;
    int rc = range_check(mm, start, end, prot);

    if (rc == 0)
        rc = area_split_at(mm, start);
    if (rc == 0)
        rc = area_split_at(mm, end);
    if (rc < 0)
        return rc;
    for (a = area_find(mm, start); a && a->node.start < end; a = area_next(a)) {
        if (a->prot != prot) {
            rc = pages_protect(a->node.start, a->node.end, prot_of_pages(prot));
            if (rc < 0)
                return rc;
            area_set_prot(mm, a, prot);
        }
        a = area_merge(mm, a, doomed);
    }
    return 0;
}

int mm_protect(struct mm *mm, uintptr_t addr, size_t size, int prot)
{
    struct area *doomed = NULL;
    bool both;
    int rc;

    if (!IS_ALIGNED(addr, PAGE_SIZE) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
        return -EINVAL;
    if (size == 0)
        return 0;
    if (size > space_end() || !user_range_ok(addr, ALIGN_UP(size, PAGE_SIZE)))
        return -ENOMEM;
    /* A shared file's page that comes or goes is being filled or read by its file system, without mm->lock. */
    both = lock_for_unmap(mm);
    rc = protect_locked(mm, addr, addr + ALIGN_UP(size, PAGE_SIZE), prot, &doomed);
    unlock_after_unmap(mm, both);
    area_free_doomed(doomed);
    return rc;
}

int mm_discard(struct mm *mm, uintptr_t addr, size_t size)
{
    uintptr_t end = addr + size;
    bool both = lock_for_unmap(mm);
    struct area *a = area_find_above(mm, addr);
    uintptr_t at = addr;

    for (; a && a->node.start < end; a = area_next(a)) {
        uintptr_t from = MAX(a->node.start, addr), to = MIN(a->node.end, end);

        if (from > at)
            break;
        at = to;
        /* Pages of a shared file stay where they are: the file keeps their content in any case. */
        if (a->kind == AREA_ANON || a->kind == AREA_FILE) {
            if (a->was_exec)
                rewrite_forget(mm, from, to - from);
            pages_decommit(mm, from, to);
        }
    }
    unlock_after_unmap(mm, both);
    return at >= end ? 0 : -ENOMEM;
}

void mm_file_cut(struct mm *mm, const struct inode *inode, uint64_t size)
{
    uint64_t keep = size > UINT64_MAX - PAGE_SIZE ? UINT64_MAX : ALIGN_UP(size, PAGE_SIZE);
    bool both;

    if (!mm || __atomic_load_n(&mm->copy_area_count, __ATOMIC_RELAXED) == 0)
        return;
    both = lock_for_unmap(mm);
    for (struct area *a = area_find_above(mm, 0); a; a = area_next(a)) {
        uint64_t area_size = a->node.end - a->node.start;
        uint64_t rest = keep > a->off ? keep - a->off : 0;

        if (a->kind != AREA_FILE || a->image_id || a->file->inode != inode || rest >= area_size)
            continue;
        if (a->was_exec)
            rewrite_forget(mm, a->node.start + rest, area_size - rest);
        pages_decommit(mm, a->node.start + rest, a->node.end);
    }
    unlock_after_unmap(mm, both);
}
