/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites that no two-byte jump can serve: an instruction of five to eight bytes before the site becomes a `jmp rel32` to a
 * trampoline which does that instruction, those between it and the site, and the call. Trusted. Only that one
 * instruction's bytes change, in one store, so that no thread can stand among them; those behind it and the `syscall`
 * stay for whoever is there or branches there.
 */
#include <linux/errno.h>

#include "tee/enclave/string.h"
#include "tee/libos/rewrite/code_map.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define STORE_SIZE_MAX 8u /* one store */
#define NEAREST_DISTANCE 0x200000l
#define FARTHEST_DISTANCE 0x7fff0000l
#define LOOK_SIZE 512u

/* Room for size bytes in the trampoline page. */
static int place_find(struct mm *mm, uintptr_t page, size_t size, uintptr_t *ret_at)
{
    uint8_t bytes[LOOK_SIZE];
    bool is_new;
    size_t run = 0;

    if (mm_trampoline_page(mm, page, &is_new) < 0)
        return -ENOMEM;
    for (size_t off = 0; off < PAGE_SIZE; off++) {
        if (off % LOOK_SIZE == 0 && user_copy_in_mm(mm, bytes, page + off, LOOK_SIZE) < 0)
            return -ENOMEM;
        run = bytes[off % LOOK_SIZE] == TRAMPOLINE_FILL ? run + 1 : 0;
        if (run == size) {
            *ret_at = page + off + 1 - size;
            return 0;
        }
    }
    return -ENOMEM;
}

static int place_near(struct mm *mm, uintptr_t site, size_t size, uintptr_t *ret_at)
{
    for (int64_t distance = NEAREST_DISTANCE; distance < FARTHEST_DISTANCE; distance *= 2)
        if (place_find(mm, ALIGN_DOWN(site + (uintptr_t)distance, PAGE_SIZE), size, ret_at) == 0)
            return 0;
    return -ENOMEM;
}

/* The size bytes of instructions from `from` as they must be at `to`. false: something is out of reach. */
static bool code_move(uint8_t *code, size_t size, uintptr_t from, uintptr_t to)
{
    struct insn in;

    for (size_t off = 0; off < size; off += in.size) {
        int64_t distance;
        int32_t rel;

        if (!insn_decode(code + off, size - off, &in) || in.flow != INSN_PLAIN)
            return false;
        if (in.rip_off == 0)
            continue;
        memcpy(&rel, code + off + in.rip_off, sizeof rel);
        distance = rel + (int64_t)(from - to);
        rel = (int32_t)distance;
        if (rel != distance)
            return false;
        memcpy(code + off + in.rip_off, &rel, sizeof rel);
    }
    return true;
}

/* Lifts all from `at`, where an instruction of jump_size bytes begins, to the site. */
static int lift_from(struct mm *mm, uintptr_t at, size_t jump_size, uintptr_t site)
{
    uint8_t code[LIFT_SIZE_MAX + TRAMPOLINE_SIZE], jump[STORE_SIZE_MAX];
    size_t size = site - at;
    uintptr_t to;
    int32_t rel;
    int rc = place_near(mm, site, size + TRAMPOLINE_SIZE, &to);

    if (rc < 0)
        return rc;
    if (user_copy_in_mm(mm, code, at, size) < 0 || !code_move(code, size, at, to) ||
        !trampoline_encode(to + size, site, code + size))
        return -ENOENT;
    rc = mm_trampoline_write(mm, to, code, size + TRAMPOLINE_SIZE);
    if (rc < 0)
        return rc;
    memset(jump, TRAMPOLINE_FILL, sizeof jump);
    jump[0] = 0xe9;
    rel = (int32_t)(to - (at + JUMP_SIZE));
    memcpy(jump + 1, &rel, sizeof rel);
    return mm_text_write(mm, at, jump, jump_size);
}

int lift(struct mm *mm, const struct code_map *m, uintptr_t site, bool may_be_entered)
{
    uintptr_t at = site, before;
    struct insn in;

    while (may_be_entered || !code_map_is_target(m, at)) {
        if (!code_map_before(m, at, &before, &in) || in.flow != INSN_PLAIN ||
            site - before > LIFT_SIZE_MAX)
            return -ENOENT;
        at = before;
        if (in.size >= JUMP_SIZE && in.size <= STORE_SIZE_MAX && !in.has_lock &&
            !patch_covers(mm, at) && mm_text_is_writable(mm, at, in.size) &&
            lift_from(mm, at, in.size, site) == 0)
            return 0;
    }
    return -ENOENT;
}

bool lift_decode(uintptr_t at, uintptr_t *ret_from)
{
    uintptr_t site;

    if (!mm_is_trampoline(at) || *(const uint8_t *)at == TRAMPOLINE_FILL)
        return false;
    for (size_t size = 1; size <= LIFT_SIZE_MAX; size++) {
        if (!mm_is_trampoline(at + size + TRAMPOLINE_SIZE - 1))
            return false;
        if (trampoline_decode(at + size, (const uint8_t *)at + size, &site)) {
            *ret_from = site - size;
            return true;
        }
    }
    return false;
}
