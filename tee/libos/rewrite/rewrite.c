/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns a system-call site that has trapped into a jump (DESIGN section 5). Trusted.
 *
 * 0f 05 a b c  becomes  e9 xx a b c: the displacement's upper three bytes are the three bytes that follow
 * the site and stay as they are, so only two bytes are written, in one store; xx may be chosen.
 */
#include "tee/libos/rewrite/rewrite.h"

#include <linux/errno.h>

#include "tee/enclave/entry.h"
#include "tee/enclave/string.h"
#include "tee/libos/rewrite/code_map.h"
#include "tee/libos/rewrite/rewrite_private.h"
#include "tee/libos/task/wait.h"

#define JUMP_REL32 0xe9
#define JUMP_REL8 0xeb

static struct mutex g_lock;          /* one site at a time; taken before mm->lock */
static struct rewrite_stats g_stats; /* atomics */

static void count(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* code: the five bytes at site. */
static int pun(struct mm *mm, uintptr_t site, const uint8_t *code)
{
    int32_t high =
        (int32_t)((uint32_t)code[4] << 24 | (uint32_t)code[3] << 16 | (uint32_t)code[2] << 8);
    int64_t first = (int64_t)(site + JUMP_SIZE) + high;
    uint8_t jump[SYSCALL_SIZE] = { JUMP_REL32 };
    uintptr_t at;
    int rc;

    if (first < 0)
        return -ENOMEM;
    rc = trampoline_get(mm, site, (uintptr_t)first, (uintptr_t)first + 0xff, &at);
    if (rc < 0)
        return rc;
    jump[1] = (uint8_t)(at - (uintptr_t)first);
    return mm_text_write(mm, site, jump, sizeof jump);
}

/* The same with a prefix before the jump: the four bytes after the site are the displacement, so there is one place. */
static int pun_prefixed(struct mm *mm, uintptr_t site, const uint8_t *code)
{
    static const uint8_t jump[SYSCALL_SIZE] = { JUMP_PREFIX, JUMP_REL32 };
    int64_t target;
    int32_t rel;
    uintptr_t at;
    int rc;

    memcpy(&rel, code + SYSCALL_SIZE, sizeof rel);
    target = (int64_t)(site + JUMP_LONG_SIZE) + rel;
    if (target < 0)
        return -ENOMEM;
    rc = trampoline_get(mm, site, (uintptr_t)target, (uintptr_t)target, &at);
    return rc < 0 ? rc : mm_text_write(mm, site, jump, sizeof jump);
}

static int dig(struct mm *mm, const struct code_map *m, uintptr_t site)
{
    uint8_t jump[SYSCALL_SIZE] = { JUMP_REL8 };
    uintptr_t at;
    int rc = cave_get(mm, m, site, &at);

    if (rc < 0)
        return rc;
    jump[1] = (uint8_t)(int8_t)(int64_t)(at - (site + SYSCALL_SIZE));
    return mm_text_write(mm, site, jump, sizeof jump);
}

/* Without knowing more of the code than the bytes behind the site. */
static bool pun_any(struct mm *mm, uintptr_t site)
{
    uint8_t code[JUMP_LONG_SIZE];

    /* A site at the end of its area cannot be punned. */
    if (!mm_text_is_writable(mm, site, SYSCALL_SIZE) ||
        user_copy_in_mm(mm, code, site, JUMP_SIZE) < 0)
        return false;
    return pun(mm, site, code) == 0 ||
           (user_copy_in_mm(mm, code, site, sizeof code) == 0 && pun_prefixed(mm, site, code) == 0);
}

/* A lift that serves all who come; padding, which is scarce; a lift that serves some. */
static uint64_t *rewrite_by_map(struct mm *mm, uintptr_t site)
{
    uint64_t *counter = NULL;
    struct code_map m;

    code_map_init(&m, mm, site);
    if (lift(mm, &m, site, false) == 0)
        counter = &g_stats.lifted;
    else if (mm_text_is_writable(mm, site, SYSCALL_SIZE) && dig(mm, &m, site) == 0)
        counter = &g_stats.caved;
    else if (lift(mm, &m, site, true) == 0)
        counter = &g_stats.lifted;
    code_map_done(&m);
    return counter;
}

static void rewrite_locked(struct mm *mm, uintptr_t site)
{
    uint8_t code[SYSCALL_SIZE];
    uint64_t *counter;

    /* Another thread may have been here first. */
    if (user_copy_in_mm(mm, code, site, SYSCALL_SIZE) < 0 || code[0] != 0x0f || code[1] != 0x05)
        return;
    counter = pun_any(mm, site) ? &g_stats.punned : rewrite_by_map(mm, site);
    if (!counter) {
        counter = &g_stats.trapping;
        site_set_add(site);
    }
    count(counter);
}

void rewrite_site(struct mm *mm, uintptr_t site)
{
    count(&g_stats.traps);
    if (site_set_has(site))
        return;
    mutex_lock(&g_lock);
    rewrite_locked(mm, site);
    mutex_unlock(&g_lock);
}

void rewrite_stats(struct rewrite_stats *ret)
{
    ret->traps = __atomic_load_n(&g_stats.traps, __ATOMIC_RELAXED);
    ret->punned = __atomic_load_n(&g_stats.punned, __ATOMIC_RELAXED);
    ret->lifted = __atomic_load_n(&g_stats.lifted, __ATOMIC_RELAXED);
    ret->caved = __atomic_load_n(&g_stats.caved, __ATOMIC_RELAXED);
    ret->trapping = __atomic_load_n(&g_stats.trapping, __ATOMIC_RELAXED);
}

/* Trampolines of sites that are gone are found stale when their place is wanted. */
void rewrite_forget(struct mm *mm, uintptr_t addr, size_t size)
{
    site_set_remove(addr, addr + size);
}

bool libos_trampoline_find(uint64_t rip, uint64_t *ret_restart)
{
    for (uint64_t at = rip; at + TRAMPOLINE_SIZE > rip; at--) {
        uintptr_t site;

        if (!mm_is_trampoline(at) || !mm_is_trampoline(at + TRAMPOLINE_SIZE - 1))
            continue;
        if (trampoline_decode(at, (const uint8_t *)at, &site)) {
            *ret_restart = site;
            return true;
        }
    }
    return lift_decode(rip, ret_restart);
}
