/* SPDX-License-Identifier: Apache-2.0 */
/* Life of an address space, and what others may see of it. Trusted. */
#include "tee/libos/mm/mm.h"

#include <linux/mman.h>
#include <linux/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"
#include "tee/libos/task/task.h"

/* First claim for areas, by space_shortage(). */
static const size_t g_general_first[] = { 1ul << 30, 256ul << 20, 64ul << 20 };

int mm_new(struct mm **ret)
{
    struct mm *mm = mem_zalloc(sizeof *mm);

    if (!mm)
        return -ENOMEM;
    if (space_shortage() > 0)
        (void)park_clear();
    mm->refs = 1;
    mm->general_claim_size = g_general_first[space_shortage()];
    *ret = mm;
    return 0;
}

void mm_ref(struct mm *mm)
{
    __atomic_add_fetch(&mm->refs, 1, __ATOMIC_RELAXED);
}

void mm_unref(struct mm *mm)
{
    if (!mm || __atomic_sub_fetch(&mm->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (!park_put(mm))
        mm_destroy(mm);
}

void mm_destroy(struct mm *mm)
{
    (void)!unmap_range(mm, 0, space_end());
    mutex_lock(&mm->lock);
    keep_drop(mm, 0, space_end());
    mutex_unlock(&mm->lock);
    free_clear(mm);
    space_release_all(mm);
    space_unpin_wait(mm);
    mem_free(mm);
}

bool mm_is_shared(const struct mm *mm)
{
    return mm && __atomic_load_n(&mm->refs, __ATOMIC_ACQUIRE) > 1;
}

struct mm *mm_current(void)
{
    struct thread *t = current();

    return t ? t->process->mm : NULL;
}

int mm_area_each(struct mm *mm, int (*fn)(const struct mm_area_info *a, void *arg), void *arg)
{
    struct area *a;
    int rc = 0;

    mutex_lock(&mm->lock);
    for (a = area_of(range_tree_first(&mm->areas)); a && rc == 0; a = area_next(a)) {
        struct mm_area_info info = { .start = a->node.start,
                                     .end = a->node.end,
                                     .prot = a->prot,
                                     .flags = a->flags,
                                     .file = a->file,
                                     .off = a->off,
                                     .name = a->name };

        rc = fn(&info, arg);
    }
    mutex_unlock(&mm->lock);
    return rc;
}

void mm_area_name(struct mm *mm, uintptr_t addr, const char *static_name)
{
    struct area *a;

    mutex_lock(&mm->lock);
    a = area_find(mm, addr);
    if (a)
        a->name = static_name;
    mutex_unlock(&mm->lock);
}

void mm_stats(struct mm *mm, struct mm_stats *ret)
{
    mutex_lock(&mm->lock);
    *ret = (struct mm_stats){
        .total_pages = mm->total_pages,
        .resident_pages = mm->resident_pages,
        .shared_pages = mm->shared_pages,
        .text_pages = mm->exec_pages,
        .data_pages = mm->data_pages,
        .stack_pages = mm->stack_pages,
        .brk_start = mm->brk_start,
        .brk = mm->brk,
        .stack_start = mm->stack_start,
    };
    mutex_unlock(&mm->lock);
}

void mm_stack_set(struct mm *mm, uintptr_t stack_start)
{
    mm->stack_start = stack_start;
}

uint32_t mm_barriers(struct mm *mm, uint32_t add)
{
    return __atomic_or_fetch(&mm->barriers, add, __ATOMIC_SEQ_CST);
}
