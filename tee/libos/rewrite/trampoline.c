/* SPDX-License-Identifier: Apache-2.0 */
/* Trampolines: their code, where they stand, whose they are. Trusted. */
#include <linux/errno.h>

#include "tee/enclave/string.h"
#include "tee/enclave/tcb.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define LEA_SIZE 7u
#define CAVE_STEPS_MAX 8u
#define WINDOW_MAX 256u /* starts that are tried at a time */

static const uint8_t g_lea[] = { 0x48, 0x8d, 0x0d }; /* rel32 */
static const uint8_t g_jump[] = { 0x65, 0xff, 0x24, 0x25, TCB_SYSCALL_ENTRY, 0, 0, 0 };

_Static_assert(LEA_SIZE + sizeof g_jump == TRAMPOLINE_SIZE, "size");

bool trampoline_encode(uintptr_t at, uintptr_t site, uint8_t *dst)
{
    int64_t distance = (int64_t)(site + SYSCALL_SIZE - (at + LEA_SIZE));
    int32_t rel = (int32_t)distance;

    if (rel != distance)
        return false;
    memcpy(dst, g_lea, sizeof g_lea);
    memcpy(dst + sizeof g_lea, &rel, sizeof rel);
    memcpy(dst + LEA_SIZE, g_jump, sizeof g_jump);
    return true;
}

bool trampoline_decode(uintptr_t at, const uint8_t *code, uintptr_t *ret_site)
{
    int32_t rel;

    if (memcmp(code, g_lea, sizeof g_lea) != 0 ||
        memcmp(code + LEA_SIZE, g_jump, sizeof g_jump) != 0)
        return false;
    memcpy(&rel, code + sizeof g_lea, sizeof rel);
    *ret_site = at + LEA_SIZE + (uintptr_t)(int64_t)rel - SYSCALL_SIZE;
    return true;
}

/* Where the long jump in the JUMP_LONG_SIZE bytes of code leads; 0: it is none. */
static uintptr_t jump_target(const uint8_t *code, uintptr_t from)
{
    unsigned prefix = code[0] == JUMP_PREFIX ? 1 : 0;
    int32_t rel;

    if (code[prefix] != 0xe9)
        return 0;
    memcpy(&rel, code + prefix + 1, sizeof rel);
    return from + prefix + JUMP_SIZE + (uintptr_t)(int64_t)rel;
}

/* Follows short jumps from addr; where the long one behind them leads. 0: there is none. */
static uintptr_t jump_follow(struct mm *mm, uintptr_t addr, unsigned *ret_steps)
{
    for (unsigned i = 0; i < CAVE_STEPS_MAX; i++) {
        uint8_t code[JUMP_LONG_SIZE] = { 0 };

        if (user_copy_in_mm(mm, code, addr, sizeof code) < 0 &&
            user_copy_in_mm(mm, code, addr, JUMP_SIZE) < 0)
            return 0;
        *ret_steps = i;
        if (code[0] != 0xeb)
            return jump_target(code, addr);
        addr += 2 + (uintptr_t)(int64_t)(int8_t)code[1];
    }
    return 0;
}

enum patch patch_find(struct mm *mm, uintptr_t addr)
{
    unsigned steps;
    uintptr_t at = jump_follow(mm, addr, &steps), site;

    if (at == 0 || !mm_is_trampoline(at) || !mm_is_trampoline(at + TRAMPOLINE_SIZE - 1))
        return PATCH_NONE;
    if (trampoline_decode(at, (const uint8_t *)at, &site))
        return site == addr ? PATCH_SITE : PATCH_GAP;
    return steps == 0 && lift_decode(at, &site) && site == addr ? PATCH_LIFT : PATCH_NONE;
}

bool patch_covers(struct mm *mm, uintptr_t addr)
{
    for (unsigned back = 1; back < JUMP_LONG_SIZE; back++) {
        uint8_t code[2] = { 0 };
        bool has_prefix;

        if (user_copy_in_mm(mm, code, addr - back, sizeof code) < 0)
            continue;
        has_prefix = code[0] == JUMP_PREFIX && code[1] == 0xe9;
        if ((has_prefix || (code[0] == 0xe9 && back < JUMP_SIZE)) &&
            patch_find(mm, addr - back) != PATCH_NONE)
            return true;
    }
    return false;
}

/* True when nothing jumps to the trampoline at `at` any more: its site is gone or leads elsewhere. */
static bool is_stale(struct mm *mm, uintptr_t at, uintptr_t site)
{
    uint8_t code[JUMP_LONG_SIZE];
    unsigned steps;

    if (jump_follow(mm, site, &steps) == at)
        return false;
    /* From before the site (lift.c)? */
    for (size_t size = JUMP_SIZE; size <= LIFT_SIZE_MAX; size++)
        if (user_copy_in_mm(mm, code, site - size, JUMP_LONG_SIZE) == 0 && code[0] == 0xe9 &&
            jump_target(code, site - size) == at - size)
            return false;
    return true;
}

enum fit {
    FIT_NONE,
    FIT_OWN, /* this site's trampoline stands there already */
    FIT_FREE,
};

/* Whether a trampoline for `site` may start at `at`, whose bytes are `code`. */
static enum fit slot_check(struct mm *mm, uintptr_t at, const uint8_t *code, uintptr_t site,
                           bool reclaim)
{
    uintptr_t owner;

    if (trampoline_decode(at, code, &owner)) {
        if (owner == site)
            return FIT_OWN;
        return reclaim && is_stale(mm, at, owner) ? FIT_FREE : FIT_NONE;
    }
    for (unsigned i = 0; i < TRAMPOLINE_SIZE; i++)
        if (code[i] != TRAMPOLINE_FILL)
            return FIT_NONE;
    return FIT_FREE;
}

/* Looks in [first, last] for a place; all bytes up to last + TRAMPOLINE_SIZE are trampoline pages. */
static int slot_find(struct mm *mm, uintptr_t site, uintptr_t first, uintptr_t last, bool reclaim,
                     uintptr_t *ret_at)
{
    uint8_t bytes[WINDOW_MAX + TRAMPOLINE_SIZE];
    size_t count = last - first + 1;
    uintptr_t free_at = 0;
    int rc;

    rc = user_copy_in_mm(mm, bytes, first, count - 1 + TRAMPOLINE_SIZE);
    if (rc < 0)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        enum fit fit = slot_check(mm, first + i, bytes + i, site, reclaim);

        if (fit == FIT_OWN) {
            *ret_at = first + i;
            return 0;
        }
        if (fit == FIT_FREE && !free_at)
            free_at = first + i;
    }
    if (!free_at)
        return -ENOMEM;
    rc = trampoline_encode(free_at, site, bytes) ? 0 : -ENOMEM;
    if (rc == 0)
        rc = mm_trampoline_write(mm, free_at, bytes, TRAMPOLINE_SIZE);
    if (rc < 0)
        return -ENOMEM;
    *ret_at = free_at;
    return 0;
}

/* Makes the pages of [start, end) trampoline pages. */
static bool pages_get(struct mm *mm, uintptr_t start, uintptr_t end)
{
    bool is_new;

    for (uintptr_t page = ALIGN_DOWN(start, PAGE_SIZE); page < end; page += PAGE_SIZE)
        if (mm_trampoline_page(mm, page, &is_new) < 0)
            return false;
    return true;
}

int trampoline_get(struct mm *mm, uintptr_t site, uintptr_t first, uintptr_t last,
                   uintptr_t *ret_at)
{
    for (unsigned reclaim = 0; reclaim < 2; reclaim++) {
        /* Parts of the window by the page in which they start. */
        for (uintptr_t at = first, stop; at <= last; at = stop + 1) {
            uintptr_t page_end = ALIGN_DOWN(at, PAGE_SIZE) + PAGE_SIZE;

            stop = MIN(last, at + WINDOW_MAX - 1);
            if (at + TRAMPOLINE_SIZE <= page_end)
                stop = MIN(stop, page_end - TRAMPOLINE_SIZE);
            else
                stop = MIN(stop, page_end - 1); /* these reach into the next page */
            if (pages_get(mm, at, stop + TRAMPOLINE_SIZE) &&
                slot_find(mm, site, at, stop, reclaim, ret_at) == 0)
                return 0;
        }
    }
    return -ENOMEM;
}
