/* SPDX-License-Identifier: Apache-2.0 */
/* Reads .eh_frame_hdr and .eh_frame. Trusted; everything read may be hostile. */
#include "tee/libos/rewrite/eh_frame.h"

#include <linux/elf.h>

#include "tee/libos/mm/mm.h"

#define PT_GNU_EH_FRAME_TYPE 0x6474e550u
#define PHDRS_MAX 64u
#define FDE_COUNT_MAX (1u << 24)
#define PCREL_SDATA4 0x1bu
#define UDATA4 0x03u
#define DATAREL_SDATA4 0x3bu

struct hdr {            /* .eh_frame_hdr */
    uint8_t version, frame_encoding, count_encoding, table_encoding;
    int32_t frame;
    uint32_t count;
} PACKED;

struct hdr_entry {      /* relative to the hdr */
    int32_t start, fde;
} PACKED;

struct fde {
    uint32_t size, cie;
    int32_t start;      /* relative to this field */
    uint32_t code_size;
} PACKED;

/* An image's table of functions. */
struct table {
    struct mm *mm;
    uintptr_t hdr;
    uint32_t count;
};

static bool table_open(struct mm *mm, uintptr_t header, struct table *ret)
{
    uintptr_t hdr = 0, bias = header;
    bool has_bias = false;
    Elf64_Ehdr e;
    struct hdr h;

    if (user_copy_in_mm(mm, &e, header, sizeof e) < 0 || e.e_phentsize != sizeof(Elf64_Phdr) ||
        e.e_ident[EI_MAG0] != ELFMAG0 || e.e_ident[EI_MAG1] != ELFMAG1)
        return false;
    for (unsigned i = 0; i < e.e_phnum && i < PHDRS_MAX; i++) {
        Elf64_Phdr p;

        if (user_copy_in_mm(mm, &p, header + e.e_phoff + i * sizeof p, sizeof p) < 0)
            return false;
        if (p.p_type == PT_LOAD && p.p_offset == 0 && !has_bias) {
            bias = header - p.p_vaddr;
            has_bias = true;
        }
        if (p.p_type == PT_GNU_EH_FRAME_TYPE)
            hdr = p.p_vaddr;
    }
    hdr += bias;
    if (!has_bias || hdr == bias || user_copy_in_mm(mm, &h, hdr, sizeof h) < 0)
        return false;
    if (h.version != 1 || h.frame_encoding != PCREL_SDATA4 || h.count_encoding != UDATA4 ||
        h.table_encoding != DATAREL_SDATA4 || h.count == 0 || h.count > FDE_COUNT_MAX)
        return false;
    *ret = (struct table){ .mm = mm, .hdr = hdr, .count = h.count };
    return true;
}

static bool entry_get(const struct table *t, uint32_t index, uintptr_t *ret_start, uintptr_t *ret_fde)
{
    struct hdr_entry e;

    if (index >= t->count ||
        user_copy_in_mm(t->mm, &e, t->hdr + sizeof(struct hdr) + index * sizeof e, sizeof e) < 0)
        return false;
    *ret_start = t->hdr + (uintptr_t)(int64_t)e.start;
    *ret_fde = t->hdr + (uintptr_t)(int64_t)e.fde;
    return true;
}

/* The last function that starts at or before addr; the table is sorted. */
static bool index_find(const struct table *t, uintptr_t addr, uint32_t *ret)
{
    uint32_t low = 0, high = t->count;
    uintptr_t start, fde;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (!entry_get(t, middle, &start, &fde))
            return false;
        if (start <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    *ret = low > 0 ? low - 1 : 0;
    return true;
}

/* The end of the function that the table says starts at `start`. The FDE must agree. */
static bool function_end(struct mm *mm, uintptr_t start, uintptr_t fde, uintptr_t *ret)
{
    struct fde f;

    if (user_copy_in_mm(mm, &f, fde, sizeof f) < 0 || f.size < sizeof f - sizeof f.size ||
        f.size == UINT32_MAX || f.cie == 0)
        return false;
    if (fde + offsetof(struct fde, start) + (uintptr_t)(int64_t)f.start != start || f.code_size == 0)
        return false;
    *ret = start + f.code_size;
    return true;
}

size_t eh_frame_gaps_find(struct mm *mm, uintptr_t header, uintptr_t first, uintptr_t last,
                          struct code_gap *ret, size_t max)
{
    uintptr_t start, next, end, fde, next_fde;
    struct table t;
    uint32_t index;
    size_t count = 0;

    if (!table_open(mm, header, &t) || !index_find(&t, first, &index) ||
        !entry_get(&t, index, &start, &fde))
        return 0;
    for (; count < max && start <= last; start = next, fde = next_fde) {
        if (!entry_get(&t, ++index, &next, &next_fde) || next <= start)
            break;
        if (function_end(mm, start, fde, &end) && end < next && end >= first && end <= last)
            ret[count++] = (struct code_gap){ .start = end, .end = next };
    }
    return count;
}
