/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of brk(2). Trusted. */
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/errno.h>

#include "abi/image.h"
#include "tee/libos/mm/mm_private.h"

/* Kept for the heap, by space_shortage(); it grows further while the addresses above are free. */
static const size_t g_heap_claim[] = { 1ul << 30, 128ul << 20, 32ul << 20 };

void mm_brk_init(struct mm *mm, uintptr_t start)
{
    start = ALIGN_UP(start, PAGE_SIZE);
    mutex_lock(&mm->lock);
    if (mm->brk_start) { /* another process of the program has chosen */
        mutex_unlock(&mm->lock);
        return;
    }
    /* Behind the program lie other images or trampolines: the heap gets a place where it can grow. */
    (void)!space_claim_find(mm, g_heap_claim[space_shortage()], ZONE_FIXED, false, &start);
    mm->brk_start = start;
    mm->brk = start;
    mutex_unlock(&mm->lock);
}

static bool is_brk_allowed(struct mm *mm, uintptr_t brk)
{
    uint64_t limit = limit_get(RLIMIT_DATA);

    return mm->brk_start != 0 && brk >= mm->brk_start &&
           user_range_ok(mm->brk_start, brk - mm->brk_start) &&
           (limit == RLIM64_INFINITY || brk - mm->brk_start <= limit);
}

uintptr_t mm_brk(struct mm *mm, uintptr_t brk)
{
    uintptr_t old_end, new_end, at;
    int rc = 0;

    mutex_lock(&mm->brk_lock);
    if (is_brk_allowed(mm, brk)) {
        old_end = at = ALIGN_UP(mm->brk, PAGE_SIZE);
        new_end = ALIGN_UP(brk, PAGE_SIZE);
        if (new_end > old_end)
            rc = map_range(mm, &at, new_end - old_end, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_FIXED_NOREPLACE, NULL, 0, AREA_ANON, "[heap]");
        else if (new_end < old_end)
            rc = unmap_range(mm, new_end, old_end);
        if (rc == 0)
            mm->brk = brk;
    }
    brk = mm->brk;
    mutex_unlock(&mm->brk_lock);
    return brk;
}
