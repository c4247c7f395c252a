/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns which part of ELRANGE. Processes take it in large pieces (claims), so that each can then
 * place its areas without asking. Trusted.
 */
#include <linux/errno.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/lock.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/mm/mm_private.h"

static struct spin g_space_lock; /* guards g_claims and every mm->claims; a leaf lock */
static struct range_tree g_claims;
static uint64_t g_claimed_size; /* bytes in all claims */

uintptr_t space_end(void)
{
    return ((const struct enclave_config *)LIBOS_CONFIG_ADDR)->elrange_size;
}

unsigned space_shortage(void)
{
    uint64_t claimed = __atomic_load_n(&g_claimed_size, __ATOMIC_RELAXED), all = space_end();

    return claimed < all / 2 ? 0 : claimed < all / 4 * 3 ? 1 : 2;
}

static struct claim *claim_of(struct range_node *n)
{
    return n ? CONTAINER_OF(n, struct claim, node) : NULL;
}

static void claim_add_locked(struct mm *mm, struct claim *c, uintptr_t start, uintptr_t end)
{
    c->node.start = start;
    c->node.end = end;
    c->mm = mm;
    c->next = mm->claims;
    mm->claims = c;
    range_tree_add(&g_claims, &c->node);
    g_claimed_size += end - start;
}

/* The first part of [start, end) that nobody owns. false: there is none; *ret_foreign tells that another
 * process owns some of it. */
static bool gap_find_locked(struct mm *mm, uintptr_t start, uintptr_t end, uintptr_t *ret_start,
                            uintptr_t *ret_end, bool *ret_foreign)
{
    bool found = false;

    *ret_foreign = false;
    while (start < end) {
        struct claim *c = claim_of(range_tree_find_above(&g_claims, start));
        uintptr_t gap_end = c ? MIN(c->node.start, end) : end;

        if (start < gap_end && !found) {
            found = true;
            *ret_start = start;
            *ret_end = gap_end;
        }
        if (!c || c->node.start >= end)
            break;
        if (c->mm != mm) {
            *ret_foreign = true;
            return false;
        }
        start = c->node.end;
    }
    return found;
}

int space_claim_at(struct mm *mm, uintptr_t start, uintptr_t end, enum zone zone)
{
    if (start < USER_LOW_BASE || end > space_end() || end <= start ||
        (start < LIBOS_END && end > LIBOS_BASE))
        return -ENOMEM;
    start = ALIGN_DOWN(start, SPACE_CHUNK);
    end = ALIGN_UP(end, SPACE_CHUNK);
    for (;;) {
        struct claim *c = mem_zalloc(sizeof *c);
        uintptr_t gap_start, gap_end;
        bool foreign, found;

        if (!c)
            return -ENOMEM;
        spin_lock(&g_space_lock);
        found = gap_find_locked(mm, start, end, &gap_start, &gap_end, &foreign);
        if (found)
            claim_add_locked(mm, c, gap_start, gap_end);
        spin_unlock(&g_space_lock);
        if (!found) {
            mem_free(c);
            return foreign ? -ENOMEM : 0;
        }
        /* The chunk at 0 begins below what programs may use. */
        free_add(mm, MAX(gap_start, USER_LOW_BASE), gap_end, zone);
    }
}

/* The place for size bytes in [low, high), next to its upper or its lower end. 0: none. */
static uintptr_t fit_locked(size_t size, uintptr_t low, uintptr_t high, bool from_top)
{
    uintptr_t best = 0, start = low;

    while (start < high) {
        struct claim *c = claim_of(range_tree_find_above(&g_claims, start));
        uintptr_t gap_end = c ? MIN(c->node.start, high) : high;

        if (gap_end > start && gap_end - start >= size) {
            if (!from_top)
                return start;
            best = gap_end - size;
        }
        if (!c)
            break;
        start = c->node.end;
    }
    return best;
}

int space_claim_find(struct mm *mm, size_t size, enum zone zone, bool from_top,
                     uintptr_t *ret_start)
{
    uintptr_t end = ALIGN_DOWN(space_end(), SPACE_CHUNK), start;
    struct claim *c;

    if (size > end)
        return -ENOMEM;
    size = ALIGN_UP(size, SPACE_CHUNK);
    c = mem_zalloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    spin_lock(&g_space_lock);
    start = fit_locked(size, USER_HIGH_BASE, end, from_top);
    if (start)
        claim_add_locked(mm, c, start, start + size);
    spin_unlock(&g_space_lock);
    if (!start) {
        mem_free(c);
        return -ENOMEM;
    }
    free_add(mm, start, start + size, zone);
    *ret_start = start;
    return 0;
}

int mm_fixed_check(struct mm *mm, uintptr_t start, uintptr_t end)
{
    const struct mm *before = mm_current();
    int rc = 0;

    spin_lock(&g_space_lock);
    while (start < end && rc != -EADDRINUSE) {
        struct claim *c = claim_of(range_tree_find_above(&g_claims, start));

        if (!c || c->node.start >= end)
            break;
        if (c->mm != mm)
            rc = c->mm == before ? -EEXIST : -EADDRINUSE;
        start = c->node.end;
    }
    spin_unlock(&g_space_lock);
    return rc;
}

struct mm *space_pin(uintptr_t addr)
{
    struct mm *mm = NULL;
    struct claim *c;

    spin_lock(&g_space_lock);
    c = claim_of(range_tree_find(&g_claims, addr));
    if (c) {
        mm = c->mm;
        __atomic_add_fetch(&mm->pins, 1, __ATOMIC_ACQ_REL);
    }
    spin_unlock(&g_space_lock);
    return mm;
}

void space_unpin(struct mm *mm)
{
    __atomic_sub_fetch(&mm->pins, 1, __ATOMIC_ACQ_REL);
}

void space_unpin_wait(struct mm *mm)
{
    while (__atomic_load_n(&mm->pins, __ATOMIC_ACQUIRE) > 0)
        ocall_yield();
}

void space_hand_over(struct mm *from, struct mm *to)
{
    spin_lock(&g_space_lock);
    to->claims = from->claims;
    from->claims = NULL;
    for (struct claim *c = to->claims; c; c = c->next)
        c->mm = to;
    spin_unlock(&g_space_lock);
}

bool space_is_special(struct mm *mm, uint64_t size_max)
{
    bool is_special = false;
    uint64_t size = 0;

    spin_lock(&g_space_lock);
    for (const struct claim *c = mm->claims; c; c = c->next) {
        is_special |= c->node.start < LIBOS_BASE;
        size += c->node.end - c->node.start;
    }
    spin_unlock(&g_space_lock);
    return is_special || size > size_max;
}

void space_release_all(struct mm *mm)
{
    spin_lock(&g_space_lock);
    while (mm->claims) {
        struct claim *c = mm->claims;

        mm->claims = c->next;
        g_claimed_size -= c->node.end - c->node.start;
        range_tree_remove(&g_claims, &c->node);
        mem_free(c);
    }
    spin_unlock(&g_space_lock);
}
