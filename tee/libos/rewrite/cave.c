/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Caves: padding near a site that is certainly never executed, for a `jmp rel32` that a `jmp rel8` at
 * the site reaches. Trusted. Three kinds are taken: runs of int3 that end where the next function begins; nops between a
 * function that ends for good and the next one, by the image's own .eh_frame; nops that align what
 * stands behind a jump or a return, by the code itself (code_map.h). Short gaps serve as steps to longer ones.
 */
#include <linux/errno.h>

#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/rewrite/code_map.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define REACH_BACK 126 /* jmp rel8 at site: site + 2 - 128 .. site + 2 + 127 */
#define REACH_FORTH 129
#define FUNCTION_ALIGN 16u
#define INT3 0xcc
#define GAP_SIZE_MAX 63u
#define GAPS_MAX 48u
#define HOPS_MAX 3u /* short jumps between the site and the long one */
#define SHORT_JUMP_SIZE 2u
#define WAY_REACH ((uintptr_t)(HOPS_MAX * REACH_BACK))
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

/* Writes into padding, word by word; nothing leads there yet. */
static int padding_write(struct mm *mm, uintptr_t at, const uint8_t *code, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t part = MIN(size - done, 8 - (at + done) % 8);
        int rc = mm_text_write(mm, at + done, code + done, part);

        if (rc < 0)
            return rc;
        done += part;
    }
    return 0;
}

/* Fills the padding with the jump; int3 takes what is left, so that it never reads as half of a nop. */
static int jump_write(struct mm *mm, uintptr_t at, size_t size, uintptr_t target)
{
    int64_t distance = (int64_t)(target - (at + JUMP_SIZE));
    int32_t rel = (int32_t)distance;
    uint8_t code[GAP_SIZE_MAX];

    if (rel != distance || size < JUMP_SIZE || size > sizeof code)
        return -ENOMEM;
    memset(code, INT3, sizeof code);
    code[0] = 0xe9;
    memcpy(code + 1, &rel, sizeof rel);
    return padding_write(mm, at, code, size);
}

static int short_jump_write(struct mm *mm, uintptr_t at, size_t size, uintptr_t target)
{
    uint8_t code[GAP_SIZE_MAX];

    memset(code, INT3, sizeof code);
    code[0] = 0xeb;
    code[1] = (uint8_t)(target - (at + SHORT_JUMP_SIZE));
    return padding_write(mm, at, code, size);
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
        user_copy_in_mm(mm, bytes, gap->start - JUMP_SIZE, JUMP_SIZE + size) < 0 ||
        !is_final(code) || patch_covers(mm, gap->start))
        return false;
    for (size_t off = 0; off < size; off += step) {
        step = code_nop_size(code + off, size - off);
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
    const struct code_gap *gap = &w->gaps[last], *to;
    int rc = jump_write(mm, gap->start, gap->end - gap->start, target);

    while (rc == 0 && w->from[last] != FROM_SITE) {
        to = gap;
        last = w->from[last];
        gap = &w->gaps[last];
        rc = short_jump_write(mm, gap->start, gap->end - gap->start, to->start);
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
static void gaps_by_table(struct mm *mm, uintptr_t site, struct way *w)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    uintptr_t header;
    size_t kept = 0;

    w->count = 0;
    if (mm_image_find(mm, site, &header, &file) < 0)
        return;
    w->count = eh_frame_gaps_find(mm, header, file, site - WAY_REACH - REACH_BACK,
                                  site + WAY_REACH + REACH_FORTH, w->gaps, GAPS_MAX);
    for (size_t i = 0; i < w->count; i++)
        if (gap_is_usable(mm, &w->gaps[i]))
            w->gaps[kept++] = w->gaps[i];
    w->count = kept;
}

/* And what the code itself tells, where the table is silent. */
static void gaps_by_map(const struct code_map *m, uintptr_t site, struct way *w)
{
    struct code_gap gaps[GAPS_MAX];
    size_t count = code_map_gaps_find(m, site - WAY_REACH, site + WAY_REACH, gaps, GAPS_MAX), k;

    for (size_t i = 0; i < count && w->count < GAPS_MAX; i++) {
        for (k = 0; k < w->count; k++)
            if (gaps[i].start < w->gaps[k].end && w->gaps[k].start < gaps[i].end)
                break;
        if (k == w->count && gaps[i].end - gaps[i].start >= SHORT_JUMP_SIZE &&
            !patch_covers(m->mm, gaps[i].start))
            w->gaps[w->count++] = gaps[i];
    }
}

static int cave_in_gap(struct mm *mm, const struct code_map *m, uintptr_t site, uintptr_t *ret_at)
{
    struct way w;

    if (site < 2 * WAY_REACH)
        return -ENOENT;
    gaps_by_table(mm, site, &w);
    gaps_by_map(m, site, &w);
    memset(w.from, FROM_NONE, sizeof w.from);
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

        if (at > site + REACH_FORTH || patch_covers(mm, at) ||
            trampoline_near(mm, site, at, &target) < 0)
            continue;
        if (jump_write(mm, at, JUMP_SIZE, target) == 0) {
            *ret_at = at;
            return 0;
        }
    }
    return -ENOENT;
}

int cave_get(struct mm *mm, const struct code_map *m, uintptr_t site, uintptr_t *ret_at)
{
    return cave_in_int3(mm, site, ret_at) == 0 ? 0 : cave_in_gap(mm, m, site, ret_at);
}
