/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes the code around a site. Trusted. */
#include "tee/libos/rewrite/code_map.h"

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define WINDOW_SIZE 4096u /* decoded on each side */
#define INSN_SIZE_MAX 15u
#define NOP_PREFIXES_MAX 11u
#define GAP_ALIGN 8u
#define FUNCTION_ALIGN 16u
#define INT3 0xcc
#define NOP 0x90

/* Flags of an address. */
#define MARKED 1u    /* an instruction may begin here */
#define STRADDLED 2u /* one that may begin before goes on here */
#define TARGET 4u    /* a branch that may be one leads here */

static size_t off_of(const struct code_map *m, uintptr_t addr)
{
    return m->code && addr >= m->start && addr - m->start < m->size ? addr - m->start : SIZE_MAX;
}

static bool insn_get(const struct code_map *m, size_t off, struct insn *ret)
{
    if (!insn_decode(m->code + off, m->size - off, ret))
        return false;
    if (ret->flow != INSN_JUMP)
        return true;
    switch (patch_find(m->mm, m->start + off)) {
    case PATCH_SITE: /* comes back behind the `syscall` that stood here */
        ret->size = SYSCALL_SIZE;
        ret->flow = INSN_OTHER;
        break;
    case PATCH_LIFT: /* a thread may still be between this and the site */
        ret->flow = INSN_OTHER;
        break;
    case PATCH_GAP:
        ret->flow = INSN_FINAL;
        break;
    case PATCH_NONE:
        break;
    }
    return true;
}

static void mark(struct code_map *m, size_t off, unsigned flags)
{
    if (off < m->size)
        m->flags[off] |= (uint8_t)flags;
}

static void insn_mark(struct code_map *m, size_t off, const struct insn *in)
{
    for (size_t i = 1; i < in->size; i++)
        mark(m, off + i, STRADDLED);
    mark(m, off + in->size, MARKED);
    if (in->flow == INSN_BRANCH || in->flow == INSN_CALL || in->flow == INSN_JUMP) {
        int64_t target = (int64_t)(off + in->size) + in->distance;

        if (target >= 0)
            mark(m, (size_t)target, TARGET);
    }
}

/* An instruction is certain to be here, but it is none that is known: what follows may begin anywhere. */
static void unknown_mark(struct code_map *m, size_t off)
{
    for (size_t i = 1; i <= INSN_SIZE_MAX; i++)
        mark(m, off + i, i < INSN_SIZE_MAX ? MARKED | STRADDLED : MARKED);
}

/* known: offset at which the image's tables say that a function begins (they are one byte off where a signal handler
 * returns); SIZE_MAX: none. */
static void decode(struct code_map *m, size_t known)
{
    for (size_t i = 0; i < INSN_SIZE_MAX; i++)
        mark(m, i, i == 0 ? MARKED : MARKED | STRADDLED);
    for (size_t off = 0; off < m->size; off++) {
        struct insn in;

        if (off == known)
            mark(m, off, MARKED);
        if (!(m->flags[off] & MARKED))
            continue;
        if (insn_get(m, off, &in))
            insn_mark(m, off, &in);
        else if (!(m->flags[off] & STRADDLED))
            unknown_mark(m, off); /* else: a wrong way ends here, as such ways do */
    }
}

static uintptr_t function_start(struct mm *mm, uintptr_t addr)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct code_gap function;
    uintptr_t header;

    if (mm_image_find(mm, addr, &header, &file) < 0 ||
        !eh_frame_function_find(mm, header, file, addr, &function))
        return 0;
    return function.start;
}

void code_map_init(struct code_map *m, struct mm *mm, uintptr_t addr)
{
    uintptr_t start, end;

    *m = (struct code_map){ .mm = mm };
    if (mm_text_bounds(mm, addr, &start, &end) < 0)
        return;
    if (addr - start > WINDOW_SIZE)
        start = addr - WINDOW_SIZE;
    if (end - addr > WINDOW_SIZE)
        end = addr + WINDOW_SIZE;
    m->start = start;
    m->size = end - start;
    m->code = mem_calloc(2, m->size);
    if (!m->code)
        return;
    m->flags = m->code + m->size;
    if (user_copy_in_mm(mm, m->code, start, m->size) < 0) {
        code_map_done(m);
        return;
    }
    decode(m, off_of(m, function_start(mm, addr)));
}

void code_map_done(struct code_map *m)
{
    mem_free(m->code);
    m->code = m->flags = NULL;
}

bool code_map_is_boundary(const struct code_map *m, uintptr_t addr)
{
    size_t off = off_of(m, addr);

    return off != SIZE_MAX && (m->flags[off] & (MARKED | STRADDLED)) == MARKED;
}

bool code_map_is_target(const struct code_map *m, uintptr_t addr)
{
    size_t off = off_of(m, addr);

    return off != SIZE_MAX && (m->flags[off] & TARGET);
}

bool code_map_get(const struct code_map *m, uintptr_t addr, struct insn *ret)
{
    return code_map_is_boundary(m, addr) && insn_get(m, addr - m->start, ret);
}

bool code_map_before(const struct code_map *m, uintptr_t addr, uintptr_t *ret_at, struct insn *ret)
{
    for (size_t size = 1; size <= INSN_SIZE_MAX; size++) {
        if (code_map_get(m, addr - size, ret) && ret->size == size) {
            *ret_at = addr - size;
            return true;
        }
    }
    return false;
}

size_t code_nop_size(const uint8_t *code, size_t left)
{
    size_t i = 0, size;
    uint8_t modrm;

    if (left > 0 && code[0] == INT3)
        return 1;
    while (i < left && i < NOP_PREFIXES_MAX && (code[i] == 0x66 || code[i] == 0x2e))
        i++;
    if (i < left && code[i] == NOP)
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

/*
 * Bytes of padding at addr; 0: none. Assemblers fill with the longest forms; more than one plain nop is room that a
 * compiler leaves for patches where a function begins.
 */
static size_t padding_size(const struct code_map *m, uintptr_t addr)
{
    size_t off = addr - m->start, size = 0, step, plain = 0;

    for (; off + size < m->size; size += step) {
        step = code_nop_size(m->code + off + size, m->size - off - size);
        if (step == 0)
            break;
        plain += step == 1 && m->code[off + size] == NOP;
    }
    if (size == 0 || plain > 1 || addr % FUNCTION_ALIGN == 0 ||
        addr / FUNCTION_ALIGN != (addr + size - 1) / FUNCTION_ALIGN ||
        !IS_ALIGNED(addr + size, (uintptr_t)GAP_ALIGN) || !code_map_is_boundary(m, addr + size))
        return 0;
    for (size_t i = 0; i < size; i++)
        if (m->flags[off + i] & TARGET)
            return 0;
    return size;
}

size_t code_map_gaps_find(const struct code_map *m, uintptr_t first, uintptr_t last,
                          struct code_gap *ret, size_t max)
{
    size_t count = 0;

    if (!m->code)
        return 0;
    first = MAX(first, m->start);
    for (uintptr_t at = first; at <= last && at < m->start + m->size && count < max; at++) {
        uintptr_t end;
        struct insn in;
        size_t size;

        if (!code_map_get(m, at, &in) || (in.flow != INSN_FINAL && in.flow != INSN_JUMP))
            continue;
        end = at + in.size;
        size = code_map_is_boundary(m, end) ? padding_size(m, end) : 0;
        if (size > 0 && end <= last)
            ret[count++] = (struct code_gap){ .start = end, .end = end + size };
    }
    return count;
}
