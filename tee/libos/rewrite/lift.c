/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites that no two-byte jump can serve, but that follow `mov $number, %eax`: that instruction becomes a
 * `jmp rel32` to a trampoline which does the mov itself. Trusted. The system call's own bytes stay, for a
 * jump that goes straight to them. Five bytes change in one store, or nothing does.
 */
#include <linux/errno.h>

#include "tee/enclave/string.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define MOV_EAX_IMM32 0xb8
#define BEFORE_SIZE 3u /* bytes before the mov that could make it part of something longer */
#define NEAREST_DISTANCE 0x200000l
#define FARTHEST_DISTANCE 0x7fff0000l
#define LIFTED_SIZE (LIFT_SIZE + TRAMPOLINE_SIZE)

/* True for the opcodes whose last four bytes are an immediate that follows a displacement of one byte. */
static bool takes_disp8_imm32(uint8_t opcode, uint8_t modrm)
{
    return (opcode == 0xc7 || opcode == 0x81 || opcode == 0x69 || opcode == 0xf7) &&
           (modrm & 0xc0) == 0x40;
}

/* Whether the b8 behind these bytes begins an instruction: neither a prefix nor a longer instruction claims it. */
static bool is_mov(const uint8_t before[BEFORE_SIZE])
{
    uint8_t last = before[2];

    if ((last & 0xf0) == 0x40 || last == 0x66 || last == 0x0f)
        return false;
    return !takes_disp8_imm32(before[1], last) &&
           !(takes_disp8_imm32(before[0], before[1]) && (before[1] & 7) == 4);
}

static int place_find(struct mm *mm, uintptr_t page, uintptr_t site, uintptr_t *ret_at)
{
    uint8_t bytes[512];
    bool is_new;
    unsigned run = 0;

    if (mm_trampoline_page(mm, page, &is_new) < 0 ||
        user_copy_in_mm(mm, bytes, page, sizeof bytes) < 0)
        return -ENOMEM;
    for (unsigned i = 0; i < sizeof bytes; i++) {
        run = bytes[i] == TRAMPOLINE_FILL ? run + 1 : 0;
        if (run == LIFTED_SIZE) {
            *ret_at = page + i + 1 - LIFTED_SIZE;
            return 0;
        }
    }
    return -ENOMEM;
}

static int place_near(struct mm *mm, uintptr_t site, uintptr_t *ret_at)
{
    for (int64_t distance = NEAREST_DISTANCE; distance < FARTHEST_DISTANCE; distance *= 2)
        if (place_find(mm, ALIGN_DOWN(site + (uintptr_t)distance, PAGE_SIZE), site, ret_at) == 0)
            return 0;
    return -ENOMEM;
}

int lift(struct mm *mm, uintptr_t site, uint64_t number)
{
    uintptr_t mov = site - LIFT_SIZE, at;
    uint8_t code[BEFORE_SIZE + LIFT_SIZE], lifted[LIFTED_SIZE], jump[JUMP_SIZE] = { 0xe9 };
    uint32_t immediate;
    int32_t rel;
    int rc;

    if (user_copy_in_mm(mm, code, mov - BEFORE_SIZE, sizeof code) < 0)
        return -ENOENT;
    memcpy(&immediate, code + BEFORE_SIZE + 1, sizeof immediate);
    if (code[BEFORE_SIZE] != MOV_EAX_IMM32 || immediate != number || !is_mov(code) ||
        !mm_text_is_writable(mm, mov, JUMP_SIZE))
        return -ENOENT;
    if (boundary_check(mm, mov, LIFT_SIZE) == BOUNDARY_NO)
        return -ENOENT;
    rc = place_near(mm, site, &at);
    if (rc < 0)
        return rc;
    memcpy(lifted, code + BEFORE_SIZE, LIFT_SIZE);
    if (!trampoline_encode(at + LIFT_SIZE, site, lifted + LIFT_SIZE))
        return -ENOMEM;
    rc = mm_trampoline_write(mm, at, lifted, sizeof lifted);
    if (rc < 0)
        return rc;
    rel = (int32_t)(at - (mov + JUMP_SIZE));
    memcpy(jump + 1, &rel, sizeof rel);
    return mm_text_write(mm, mov, jump, sizeof jump);
}

bool lift_decode(uintptr_t at, uintptr_t *ret_site)
{
    return mm_is_trampoline(at) && mm_is_trampoline(at + LIFTED_SIZE - 1) &&
           *(const uint8_t *)at == MOV_EAX_IMM32 &&
           trampoline_decode(at + LIFT_SIZE, (const uint8_t *)at + LIFT_SIZE, ret_site);
}
