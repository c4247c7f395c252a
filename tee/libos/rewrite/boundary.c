/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an instruction begins at an address: its function is decoded from where .eh_frame says it
 * begins. Trusted; text and tables may be anything.
 */
#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/rewrite/eh_frame.h"
#include "tee/libos/rewrite/insn.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define FUNCTION_SIZE_MAX 0x10000u

/* Decodes from start; code holds all up to at + size. */
static enum boundary decode(const uint8_t *code, uintptr_t start, uintptr_t at, size_t size)
{
    size_t off = 0, length, end = at + size - start;

    while (start + off < at) {
        length = insn_length(code + off, end - off);
        if (length == 0)
            return BOUNDARY_UNKNOWN;
        off += length;
    }
    return start + off == at && insn_length(code + off, end - off) == size ? BOUNDARY_YES
                                                                           : BOUNDARY_NO;
}

enum boundary boundary_check(struct mm *mm, uintptr_t at, size_t size)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    CLEANUP(mem_freep)
    uint8_t *code = NULL;
    struct code_gap function;
    uintptr_t header;

    if (mm_image_find(mm, at, &header, &file) < 0 ||
        !eh_frame_function_find(mm, header, file, at, &function) || at + size > function.end ||
        at + size - function.start > FUNCTION_SIZE_MAX)
        return BOUNDARY_UNKNOWN;
    code = mem_alloc(at + size - function.start);
    if (!code || user_copy_in_mm(mm, code, function.start, at + size - function.start) < 0)
        return BOUNDARY_UNKNOWN;
    return decode(code, function.start, at, size);
}
