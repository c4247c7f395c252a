/* SPDX-License-Identifier: Apache-2.0 */
/* Table of page states: 1 GiB > 2 MiB > 4 KiB. Trusted. Tables are never freed, so readers need no lock. */
#include "tee/libos/mm/page.h"

#include <linux/errno.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/lock.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/mm_private.h"

#define LEAF_SHIFT 21
#define MIDDLE_SHIFT 30
#define ENTRY_COUNT 512u

struct leaf {
    uint8_t states[ENTRY_COUNT];
};
struct middle {
    struct leaf *leaves[ENTRY_COUNT];
};

/* Entries are set once, with release, under g_lock; read with acquire. */
static struct middle **g_root;
static struct spin g_lock;

static struct leaf *leaf_find(uintptr_t addr)
{
    struct middle **root = __atomic_load_n(&g_root, __ATOMIC_ACQUIRE);
    struct middle *m;

    if (!root || addr >= space_end())
        return NULL;
    m = __atomic_load_n(&root[addr >> MIDDLE_SHIFT], __ATOMIC_ACQUIRE);
    if (!m)
        return NULL;
    return __atomic_load_n(&m->leaves[(addr >> LEAF_SHIFT) % ENTRY_COUNT], __ATOMIC_ACQUIRE);
}

static bool has_middle(uintptr_t addr)
{
    struct middle **root = __atomic_load_n(&g_root, __ATOMIC_ACQUIRE);

    return root && addr < space_end() &&
           __atomic_load_n(&root[addr >> MIDDLE_SHIFT], __ATOMIC_ACQUIRE);
}

uint8_t page_state(uintptr_t addr)
{
    struct leaf *l = leaf_find(addr);

    return l ? __atomic_load_n(&l->states[(addr >> PAGE_SHIFT) % ENTRY_COUNT], __ATOMIC_RELAXED)
             : 0;
}

/* Puts a zeroed table into *slot unless there is one. */
static int table_fill(void **slot, size_t size)
{
    void *table, *old = NULL;

    if (__atomic_load_n(slot, __ATOMIC_ACQUIRE))
        return 0;
    table = mem_zalloc(size);
    if (!table)
        return -ENOMEM;
    spin_lock(&g_lock);
    if (*slot)
        old = table;
    else
        __atomic_store_n(slot, table, __ATOMIC_RELEASE);
    spin_unlock(&g_lock);
    mem_free(old);
    return 0;
}

int page_table_cover(uintptr_t start, uintptr_t end)
{
    int rc =
        table_fill((void **)&g_root, ((space_end() >> MIDDLE_SHIFT) + 1) * sizeof(struct middle *));

    if (rc < 0)
        return rc;
    for (uintptr_t addr = ALIGN_DOWN(start, 1ul << LEAF_SHIFT); addr < end;
         addr += 1ul << LEAF_SHIFT) {
        struct middle **m = &g_root[addr >> MIDDLE_SHIFT];

        rc = table_fill((void **)m, sizeof **m);
        if (rc == 0)
            rc = table_fill((void **)&(*m)->leaves[(addr >> LEAF_SHIFT) % ENTRY_COUNT],
                            sizeof(struct leaf));
        if (rc < 0)
            return rc;
    }
    return 0;
}

void page_state_set(uintptr_t addr, size_t count, uint8_t state)
{
    while (count > 0) {
        struct leaf *l = leaf_find(addr);
        size_t index = (addr >> PAGE_SHIFT) % ENTRY_COUNT;
        size_t here = MIN(count, ENTRY_COUNT - index);

        memset(&l->states[index], state, here);
        addr += here << PAGE_SHIFT;
        count -= here;
    }
}

/* First page at or after addr whose state differs from `state`; end when there is none. */
static uintptr_t scan(uintptr_t addr, uintptr_t end, uint8_t state)
{
    while (addr < end) {
        struct leaf *l = leaf_find(addr);
        uintptr_t stop;

        if (!l) {
            uintptr_t step = has_middle(addr) ? 1ul << LEAF_SHIFT : 1ul << MIDDLE_SHIFT;

            if (state != 0)
                return addr;
            addr = ALIGN_DOWN(addr, step) + step;
            continue;
        }
        stop = MIN(end, ALIGN_DOWN(addr, 1ul << LEAF_SHIFT) + (1ul << LEAF_SHIFT));
        for (; addr < stop; addr += PAGE_SIZE)
            if (l->states[(addr >> PAGE_SHIFT) % ENTRY_COUNT] != state)
                return addr;
    }
    return end;
}

bool page_run_next(uintptr_t start, uintptr_t end, uintptr_t *ret_start, uintptr_t *ret_end,
                   uint8_t *ret_state)
{
    uintptr_t first = scan(start, end, 0);

    if (first >= end)
        return false;
    *ret_start = first;
    *ret_state = page_state(first);
    *ret_end = scan(first, end, *ret_state);
    return true;
}

size_t page_absent_count(uintptr_t start, uintptr_t end)
{
    return (scan(start, end, 0) - start) >> PAGE_SHIFT;
}
