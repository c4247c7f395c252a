/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of functions of a program that may have written anything in them (tee/libos/rewrite/eh_frame.c), and the lengths
 * of its instructions (insn.c). The input is an image as it lies in memory and as its file.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/rewrite/eh_frame.h"
#include "tee/libos/rewrite/insn.h"
#include "tests/fuzz/fuzz.h"

#define BASE 0x400000ull
#define GAPS_MAX 8u
#define STEPS 24u

static const uint8_t *g_data;
static size_t g_size;

int user_copy_in_mm(struct mm *mm, void *dst, uintptr_t src, size_t size)
{
    if (src < BASE || src - BASE > g_size || size > g_size - (src - BASE))
        return -EFAULT;
    memcpy(dst, g_data + (src - BASE), size);
    return 0;
}

int64_t file_read_kernel(struct file *f, void *dst, size_t size, uint64_t off)
{
    if (off >= g_size)
        return 0;
    size = MIN(size, g_size - off);
    memcpy(dst, g_data + off, size);
    return (int64_t)size;
}

static void check_gaps(uintptr_t first)
{
    struct code_gap gaps[GAPS_MAX + 1] = { [GAPS_MAX] = { 1, 2 } };
    uintptr_t last = first + 255;
    size_t count = eh_frame_gaps_find(NULL, BASE, NULL, first, last, gaps, GAPS_MAX);

    assert(count <= GAPS_MAX && gaps[GAPS_MAX].start == 1 && gaps[GAPS_MAX].end == 2);
    for (size_t i = 0; i < count; i++)
        assert(gaps[i].start >= first && gaps[i].start <= last && gaps[i].end > gaps[i].start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct code_gap function;

    g_data = data;
    g_size = size;
    for (size_t i = 0; i < STEPS; i++) {
        uintptr_t addr = BASE + size * i / STEPS;

        check_gaps(addr);
        if (eh_frame_function_find(NULL, BASE, NULL, addr, &function))
            assert(addr >= function.start && addr < function.end);
    }
    for (size_t at = 0, length; at < size; at += length ? length : 1) {
        length = insn_length(data + at, size - at);
        assert(length <= 15 && length <= size - at);
    }
    return 0;
}
