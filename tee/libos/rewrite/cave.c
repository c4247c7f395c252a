/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Caves: padding near a site that is certainly never executed, for a `jmp rel32` that a `jmp rel8` at
 * the site reaches. Trusted. Only runs of int3 that end where the next function begins are taken: nothing falls
 * into them, and they hold no operands.
 */
#include <linux/errno.h>

#include "tee/enclave/string.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define REACH_BACK 126              /* jmp rel8 at site: site + 2 - 128 .. site + 2 + 127 */
#define REACH_FORTH 129
#define FUNCTION_ALIGN 16u
#define INT3 0xcc
#define TRAMPOLINE_REACH (0x7fff0000l)

/* A trampoline anywhere that a jmp rel32 at `at` reaches: near the image, in growing distance. */
static int trampoline_near(struct mm *mm, uintptr_t site, uintptr_t at, uintptr_t *ret)
{
    for (int64_t distance = 0x200000; distance < TRAMPOLINE_REACH; distance *= 2) {
        uintptr_t up = ALIGN_DOWN(at + (uintptr_t)distance, PAGE_SIZE);
        uintptr_t down = ALIGN_DOWN(at - (uintptr_t)distance, PAGE_SIZE);

        if (trampoline_get(mm, site, up, up + PAGE_SIZE - TRAMPOLINE_SIZE, ret) == 0)
            return 0;
        if (at > (uintptr_t)distance &&
            trampoline_get(mm, site, down, down + PAGE_SIZE - TRAMPOLINE_SIZE, ret) == 0)
            return 0;
    }
    return -ENOMEM;
}

/* Writes the jump into the cave at `at`, word by word; nothing leads there yet. */
static int jump_write(struct mm *mm, uintptr_t at, uintptr_t target)
{
    int64_t distance = (int64_t)(target - (at + JUMP_SIZE));
    int32_t rel = (int32_t)distance;
    uint8_t code[JUMP_SIZE] = { 0xe9 };

    if (rel != distance)
        return -ENOMEM;
    memcpy(code + 1, &rel, sizeof rel);
    for (size_t done = 0; done < sizeof code;) {
        size_t part = MIN(sizeof code - done, 8 - (at + done) % 8);
        int rc = mm_text_write(mm, at + done, code + done, part);

        if (rc < 0)
            return rc;
        done += part;
    }
    return 0;
}

/* A run of JUMP_SIZE or more int3 in bytes[], which stand at `base`, that ends at a function's start. */
static bool run_find(const uint8_t *bytes, size_t size, uintptr_t base, size_t *pos, size_t *ret_off)
{
    size_t i = *pos, run;

    for (; i < size; i++) {
        if (bytes[i] != INT3)
            continue;
        for (run = i; run < size && bytes[run] == INT3; run++)
            ;
        if (run < size && run - i >= JUMP_SIZE && run - i < FUNCTION_ALIGN * 2 &&
            IS_ALIGNED(base + run, (uintptr_t)FUNCTION_ALIGN)) {
            *ret_off = i;
            *pos = run;
            return true;
        }
        i = run;
    }
    return false;
}

int cave_get(struct mm *mm, uintptr_t site, uintptr_t *ret_at)
{
    uint8_t bytes[REACH_BACK + REACH_FORTH + JUMP_SIZE];
    uintptr_t start = site > REACH_BACK ? site - REACH_BACK : 0, end = start + sizeof bytes;
    size_t pos = 0, off;

    /* Text may begin or end near the site. */
    if (user_copy_in_mm(mm, bytes, start, end - start) < 0) {
        start = MAX(start, ALIGN_DOWN(site, PAGE_SIZE));
        end = MIN(end, ALIGN_DOWN(site, PAGE_SIZE) + PAGE_SIZE);
        if (user_copy_in_mm(mm, bytes, start, end - start) < 0)
            return -ENOENT;
    }
    while (run_find(bytes, end - start, start, &pos, &off)) {
        uintptr_t at = start + off, target;

        if (at > site + REACH_FORTH || trampoline_near(mm, site, at, &target) < 0)
            continue;
        if (jump_write(mm, at, target) == 0) {
            *ret_at = at;
            return 0;
        }
    }
    return -ENOENT;
}
