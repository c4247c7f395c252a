/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces of programs that have ended, kept for the next process that runs the same program of the image: its
 * text is in place with system calls rewritten, its data pages are committed, so that a start costs few faults and no
 * exits. Trusted.
 */
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/lock.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"

#define PARK_COUNT_MAX 16u
#define PARK_PAGES_MAX 8192u /* of all; and no more than this part of the enclave's memory: */
#define PARK_MEMORY_PART 16u
#define PARK_ONE_PAGES_MAX 2048u
#define PARK_SPACE_MAX (24ul << 30) /* bytes of address space of one */
#define PARK_AREAS_MAX 128u

static struct spin g_lock;  /* guards all below; a leaf */
static struct mm *g_parked; /* most recent first */
static unsigned g_count;
static size_t g_pages;

static bool stays(const struct mm *mm, const struct area *a)
{
    return a->kind == AREA_TRAMPOLINE ||
           (mm->vdso && a->node.start == mm->vdso && !a->was_write && (a->prot & PROT_EXEC));
}

/* Takes all areas away but those that every process of the program has. */
static struct area *strip(struct mm *mm)
{
    struct area *doomed = NULL, *next;
    bool has_vdso = false;

    for (struct area *a = area_of(range_tree_first(&mm->areas)); a; a = next) {
        next = area_next(a);
        if (stays(mm, a)) {
            has_vdso |= a->node.start == mm->vdso;
            continue;
        }
        area_remove(mm, a);
        keep_area(mm, a, a->node.start, a->node.end);
        free_add(mm, a->node.start, a->node.end, a->zone);
        a->next_doomed = doomed;
        doomed = a;
    }
    if (!has_vdso)
        mm->vdso = 0;
    mm->last_area = NULL;
    mm->image_next = mm->image_first;
    mm->brk = mm->brk_start;
    mm->stack_start = 0;
    return doomed;
}

static size_t pages_of(const struct mm *mm)
{
    return mm->kept_pages + mm->resident_pages;
}

/* Room for one more; what has to go for it is returned. */
static struct mm *insert(struct mm *mm)
{
    size_t limit = MIN(PARK_PAGES_MAX, enclave_pages_limit() / PARK_MEMORY_PART);
    struct mm *out = NULL, **link;

    spin_lock(&g_lock);
    mm->next_parked = g_parked;
    g_parked = mm;
    g_count++;
    g_pages += pages_of(mm);
    while (g_count > PARK_COUNT_MAX || g_pages > limit) {
        for (link = &g_parked; (*link)->next_parked;)
            link = &(*link)->next_parked;
        g_count--;
        g_pages -= pages_of(*link);
        (*link)->next_parked = out;
        out = *link;
        *link = NULL;
    }
    spin_unlock(&g_lock);
    return out;
}

static bool destroy_list(struct mm *list)
{
    bool had = list != NULL;

    while (list) {
        struct mm *next = list->next_parked;

        mm_destroy(list);
        list = next;
    }
    return had;
}

bool park_put(struct mm *mm)
{
    struct area *doomed;

    if (!mm->program_id || mm->shared_area_count > 0 || mm->area_count > PARK_AREAS_MAX ||
        mm->resident_pages > PARK_ONE_PAGES_MAX || space_shortage() > 0 ||
        space_is_special(mm, PARK_SPACE_MAX))
        return false;
    mutex_lock(&mm->lock);
    doomed = strip(mm);
    mutex_unlock(&mm->lock);
    area_free_doomed(doomed);
    (void)destroy_list(insert(mm));
    return true;
}

bool park_clear(void)
{
    struct mm *list;

    spin_lock(&g_lock);
    list = g_parked;
    g_parked = NULL;
    g_count = 0;
    g_pages = 0;
    spin_unlock(&g_lock);
    return destroy_list(list);
}

static struct mm *take(uint64_t program_id)
{
    struct mm *mm, **link = &g_parked;

    spin_lock(&g_lock);
    while (*link && (*link)->program_id != program_id)
        link = &(*link)->next_parked;
    mm = *link;
    if (mm) {
        *link = mm->next_parked;
        g_count--;
        g_pages -= pages_of(mm);
    }
    spin_unlock(&g_lock);
    return mm;
}

void mm_program_set(struct mm *mm, struct file *program)
{
    uint64_t id = program->ops->image_id ? program->ops->image_id(program) : 0;
    struct mm *warm = id ? take(id) : NULL;

    mm->program_id = id;
    if (!warm)
        return;
    space_hand_over(warm, mm);
    mm->areas = warm->areas;
    for (unsigned i = 0; i < ZONE_COUNT; i++)
        mm->free[i] = warm->free[i];
    mm->kept = warm->kept;
    mm->kept_pages = warm->kept_pages;
    mm->unmapped_pages = warm->unmapped_pages;
    mm->image_first = warm->image_first;
    mm->image_next = warm->image_next;
    mm->image_end = warm->image_end;
    mm->vdso = warm->vdso;
    mm->general_claim_size = warm->general_claim_size;
    mm->area_count = warm->area_count;
    mm->copy_area_count = warm->copy_area_count;
    mm->total_pages = warm->total_pages;
    mm->resident_pages = warm->resident_pages;
    mm->exec_pages = warm->exec_pages;
    mm->data_pages = warm->data_pages;
    mm->stack_pages = warm->stack_pages;
    mm->brk_start = warm->brk_start;
    mm->brk = warm->brk;
    space_unpin_wait(warm);
    mem_free(warm);
}

uintptr_t mm_vdso_get(struct mm *mm, size_t size)
{
    /* As when it was mapped, so that what is placed behind it goes where it was. */
    if (mm->vdso)
        image_placed(mm, mm->vdso, size);
    return mm->vdso;
}

void mm_vdso_set(struct mm *mm, uintptr_t addr)
{
    struct area *a;

    mutex_lock(&mm->lock);
    a = area_find(mm, addr);
    if (a) {
        a->was_write = false; /* by the program */
        mm->vdso = addr;
    }
    mutex_unlock(&mm->lock);
}
