/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Caves: padding near a site that is certainly never executed, for a `jmp rel32` that a `jmp rel8` at
 * the site reaches. Trusted. Two kinds are taken: runs of int3 that end where the next function begins, and
 * nops between a function that ends for good and the next one, by the image's own .eh_frame; short gaps
 * serve as steps to longer ones.
 */
#include <linux/errno.h>

#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/rewrite/eh_frame.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define REACH_BACK 126 /* jmp rel8 at site: site + 2 - 128 .. site + 2 + 127 */
#define REACH_FORTH 129
#define FUNCTION_ALIGN 16u
#define INT3 0xcc
#define NOP_PREFIXES_MAX 11u
#define GAP_SIZE_MAX 63u
#define GAPS_MAX 32u
#define HOPS_MAX 3u /* short jumps between the site and the long one */
#define SHORT_JUMP_SIZE 2u
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

/*
 * A run of int3 in bytes[], which stand at `base`, that ends at a function's start. *ret_off is the place for
 * the jump in it; the first int3 stays, so that code that runs into the padding still stops there.
 */
static bool run_find(const uint8_t *bytes, size_t size, uintptr_t base, size_t *pos,
                     size_t *ret_off)
{
    size_t i = *pos, run;

    for (; i < size; i++) {
        if (bytes[i] != INT3)
            continue;
        for (run = i; run < size && bytes[run] == INT3; run++)
            ;
        if (run < size && run - i > JUMP_SIZE && run - i < FUNCTION_ALIGN * 2 &&
            IS_ALIGNED(base + run, (uintptr_t)FUNCTION_ALIGN)) {
            *ret_off = i + 1;
            *pos = run;
            return true;
        }
        i = run;
    }
    return false;
}

/* Bytes of the no-operation at code (forms that assemblers pad with); 0: something else. */
static size_t nop_size(const uint8_t *code, size_t left)
{
    size_t i = 0, size;
    uint8_t modrm;

    if (left > 0 && code[0] == INT3)
        return 1;
    while (i < left && i < NOP_PREFIXES_MAX && (code[i] == 0x66 || code[i] == 0x2e))
        i++;
    if (i < left && code[i] == 0x90)
        return i + 1;
    if (i + 3 > left || code[i] != 0x0f || code[i + 1] != 0x1f)
        return 0;
    modrm = code[i + 2];
    size = i + 3;
    if ((modrm & 0x38) != 0 || modrm >> 6 == 3)
        return 0;
    size += (modrm & 7) == 4 ? 1 : 0;                      /* SIB */
    size += modrm >> 6 == 1 ? 1 : modrm >> 6 == 2 ? 4 : 0; /* displacement */
    return size <= left ? size : 0;
}

/* True when the bytes before `end` are an instruction after which nothing goes on: ret, jmp, ud2, hlt, or
 * a call that does not return (a function never ends with another kind). */
static bool is_final(const uint8_t *end)
{
    return end[-1] == 0xc3 || end[-5] == 0xe9 || end[-5] == 0xe8 || end[-2] == 0xeb ||
           end[-1] == 0xf4 || (end[-2] == 0x0f && end[-1] == 0x0b);
}

/* True when the gap is padding that is never executed, and long enough for a jmp rel8. */
static bool gap_is_usable(struct mm *mm, const struct code_gap *gap)
{
    uint8_t bytes[JUMP_SIZE + GAP_SIZE_MAX];
    size_t size = gap->end - gap->start, step;
    const uint8_t *code = bytes + JUMP_SIZE;

    if (size < SHORT_JUMP_SIZE || size > GAP_SIZE_MAX ||
        user_copy_in_mm(mm, bytes, gap->start - JUMP_SIZE, JUMP_SIZE + size) < 0 || !is_final(code))
        return false;
    for (size_t off = 0; off < size; off += step) {
        step = nop_size(code + off, size - off);
        if (step == 0)
            return false;
    }
    return true;
}

static bool is_in_reach(uintptr_t from, uintptr_t to)
{
    int64_t distance = (int64_t)(to - (from + SHORT_JUMP_SIZE));

    return distance == (int8_t)distance;
}

/* A way from the site over short jumps in gaps to one that holds a jmp rel32. */
struct way {
    struct code_gap gaps[GAPS_MAX];
    uint8_t
        from[GAPS_MAX]; /* gap before this one on the way; FROM_SITE, or FROM_NONE: not reached */
    uint8_t hops[GAPS_MAX];
    size_t count;
};
#define FROM_SITE 0xfeu
#define FROM_NONE 0xffu

/* Writes the jumps of the way that ends in gap `last`, the last one first. */
static int way_write(struct mm *mm, const struct way *w, size_t last, uintptr_t target,
                     uintptr_t *ret_at)
{
    int rc = jump_write(mm, w->gaps[last].start, target);

    while (rc == 0 && w->from[last] != FROM_SITE) {
        uintptr_t to = w->gaps[last].start, at = w->gaps[w->from[last]].start;
        uint8_t code[SHORT_JUMP_SIZE] = { 0xeb, (uint8_t)(to - (at + SHORT_JUMP_SIZE)) };

        rc = mm_text_is_writable(mm, at, sizeof code) ? mm_text_write(mm, at, code, sizeof code)
                                                      : -ENOENT;
        last = w->from[last];
    }
    *ret_at = w->gaps[last].start;
    return rc;
}

/* Looks at the gaps that `at` reaches (a jump in gap `from`, or the site). 0 when a way was found and written. */
static int way_extend(struct mm *mm, struct way *w, uintptr_t site, uintptr_t at, uint8_t from,
                      uintptr_t *ret_at)
{
    for (size_t i = 0; i < w->count; i++) {
        uintptr_t target;

        if (w->from[i] != FROM_NONE || !is_in_reach(at, w->gaps[i].start))
            continue;
        w->from[i] = from;
        w->hops[i] = from == FROM_SITE ? 0 : w->hops[from] + 1;
        if (w->gaps[i].end - w->gaps[i].start >= JUMP_SIZE &&
            trampoline_near(mm, site, w->gaps[i].start, &target) == 0 &&
            way_write(mm, w, i, target, ret_at) == 0)
            return 0;
    }
    return -ENOENT;
}

/* Padding of nops between functions, as .eh_frame tells. */
static int cave_in_gap(struct mm *mm, uintptr_t site, uintptr_t *ret_at)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    uintptr_t header, far = HOPS_MAX * REACH_BACK;
    size_t kept = 0;
    struct way w;

    if (mm_image_find(mm, site, &header, &file) < 0 || site < 2 * far)
        return -ENOENT;
    w.count = eh_frame_gaps_find(mm, header, file, site - far - REACH_BACK,
                                 site + far + REACH_FORTH, w.gaps, GAPS_MAX);
    for (size_t i = 0; i < w.count; i++) {
        if (gap_is_usable(mm, &w.gaps[i])) {
            w.from[kept] = FROM_NONE;
            w.gaps[kept++] = w.gaps[i];
        }
    }
    w.count = kept;
    if (way_extend(mm, &w, site, site, FROM_SITE, ret_at) == 0)
        return 0;
    for (unsigned hops = 0; hops < HOPS_MAX; hops++)
        for (size_t i = 0; i < w.count; i++)
            if (w.from[i] != FROM_NONE && w.hops[i] == hops &&
                way_extend(mm, &w, site, w.gaps[i].start, (uint8_t)i, ret_at) == 0)
                return 0;
    return -ENOENT;
}

/* Padding of int3, which needs no table. */
static int cave_in_int3(struct mm *mm, uintptr_t site, uintptr_t *ret_at)
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

int cave_get(struct mm *mm, uintptr_t site, uintptr_t *ret_at)
{
    return cave_in_int3(mm, site, ret_at) == 0 ? 0 : cave_in_gap(mm, site, ret_at);
}
