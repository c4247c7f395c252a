/* SPDX-License-Identifier: Apache-2.0 */
/* Reads .eh_frame_hdr and .eh_frame. Trusted; everything read may be hostile. */
#include "tee/libos/rewrite/eh_frame.h"

#include <linux/elf.h>

#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"

#define PT_GNU_EH_FRAME_TYPE 0x6474e550u
#define PHDRS_MAX 64u
#define FDE_COUNT_MAX (1u << 24)
#define SECTIONS_MAX 256u
#define FRAME_SIZE_MAX (1u << 20) /* more would cost more than the traps that it saves */
#define FUNCTIONS_MAX 48u
#define FUNCTION_ALIGN 64u
#define PCREL_SDATA4 0x1bu
#define UDATA4 0x03u
#define DATAREL_SDATA4 0x3bu

struct hdr { /* .eh_frame_hdr */
    uint8_t version, frame_encoding, count_encoding, table_encoding;
    int32_t frame;
    uint32_t count;
} PACKED;

struct hdr_entry { /* relative to the hdr */
    int32_t start, fde;
} PACKED;

struct fde {
    uint32_t size, cie;
    int32_t start; /* relative to this field */
    uint32_t code_size;
} PACKED;

/* An image's table of functions. */
struct table {
    struct mm *mm;
    uintptr_t hdr;
    uint32_t count;
};

/* What the program headers in memory say: where the file's addresses lie, and the hdr (0: none). */
static bool image_open(struct mm *mm, uintptr_t header, uintptr_t *ret_bias, uintptr_t *ret_hdr)
{
    bool has_bias = false;
    Elf64_Ehdr e;

    *ret_hdr = 0;
    if (user_copy_in_mm(mm, &e, header, sizeof e) < 0 || e.e_phentsize != sizeof(Elf64_Phdr) ||
        e.e_ident[EI_MAG0] != ELFMAG0 || e.e_ident[EI_MAG1] != ELFMAG1)
        return false;
    for (unsigned i = 0; i < e.e_phnum && i < PHDRS_MAX; i++) {
        Elf64_Phdr p;

        if (user_copy_in_mm(mm, &p, header + e.e_phoff + i * sizeof p, sizeof p) < 0)
            return false;
        if (p.p_type == PT_LOAD && p.p_offset == 0 && !has_bias) {
            *ret_bias = header - p.p_vaddr;
            has_bias = true;
        }
        if (p.p_type == PT_GNU_EH_FRAME_TYPE)
            *ret_hdr = p.p_vaddr;
    }
    if (has_bias && *ret_hdr)
        *ret_hdr += *ret_bias;
    return has_bias;
}

static bool table_open(struct mm *mm, uintptr_t at, struct table *ret)
{
    struct hdr h;

    if (user_copy_in_mm(mm, &h, at, sizeof h) < 0 || h.version != 1 ||
        h.frame_encoding != PCREL_SDATA4 || h.count_encoding != UDATA4 ||
        h.table_encoding != DATAREL_SDATA4 || h.count == 0 || h.count > FDE_COUNT_MAX)
        return false;
    *ret = (struct table){ .mm = mm, .hdr = at, .count = h.count };
    return true;
}

static bool entry_get(const struct table *t, uint32_t index, uintptr_t *ret_start,
                      uintptr_t *ret_fde)
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
    if (fde + offsetof(struct fde, start) + (uintptr_t)(int64_t)f.start != start ||
        f.code_size == 0)
        return false;
    *ret = start + f.code_size;
    return true;
}

static size_t gaps_by_table(struct mm *mm, uintptr_t hdr, uintptr_t first, uintptr_t last,
                            struct code_gap *ret, size_t max)
{
    uintptr_t start, next, end, fde, next_fde;
    struct table t;
    uint32_t index;
    size_t count = 0;

    if (!table_open(mm, hdr, &t) || !index_find(&t, first, &index) ||
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

/* ---- images without a table (static programs): all of .eh_frame, found by the file's section headers ---- */

/* Reads .eh_frame's place from the file. */
static bool section_find(struct file *f, uint64_t *ret_vaddr, uint64_t *ret_size)
{
    Elf64_Shdr names, section;
    Elf64_Ehdr e;

    if (file_read_kernel(f, &e, sizeof e, 0) != sizeof e || e.e_shentsize != sizeof section ||
        e.e_shnum > SECTIONS_MAX || e.e_shstrndx >= e.e_shnum || e.e_shoff > INT64_MAX / 2 ||
        file_read_kernel(f, &names, sizeof names, e.e_shoff + e.e_shstrndx * sizeof names) !=
            sizeof names)
        return false;
    for (unsigned i = 1; i < e.e_shnum; i++) {
        char name[sizeof ".eh_frame"];

        if (file_read_kernel(f, &section, sizeof section, e.e_shoff + i * sizeof section) !=
            sizeof section)
            return false;
        if (!(section.sh_flags & SHF_ALLOC) || names.sh_offset > INT64_MAX / 2 ||
            file_read_kernel(f, name, sizeof name, names.sh_offset + section.sh_name) !=
                sizeof name ||
            memcmp(name, ".eh_frame", sizeof name) != 0)
            continue;
        *ret_vaddr = section.sh_addr;
        *ret_size = section.sh_size;
        return section.sh_size <= FRAME_SIZE_MAX;
    }
    return false;
}

/* True when the CIE at `at` says that its FDEs hold addresses as PCREL_SDATA4: augmentation "zR" alone. */
static bool cie_is_plain(struct mm *mm, uintptr_t at)
{
    /* size, id, version, "zR", code and data alignment, return register, augmentation size, encoding */
    uint8_t c[17];

    return user_copy_in_mm(mm, c, at, sizeof c) == 0 && c[8] == 1 && c[9] == 'z' && c[10] == 'R' &&
           c[11] == 0 && !((c[12] | c[13] | c[14] | c[15]) & 0x80) && c[15] == 1 &&
           c[16] == PCREL_SDATA4;
}

/* Functions near a place, in the order of .eh_frame. */
struct function_list {
    struct code_gap functions[FUNCTIONS_MAX]; /* start and end of the code itself */
    size_t count;
};

static void functions_find(struct mm *mm, uintptr_t at, uintptr_t end, uintptr_t first,
                           uintptr_t last, struct function_list *ret)
{
    uintptr_t plain_cie = 0;

    ret->count = 0;
    while (at < end && ret->count < FUNCTIONS_MAX) {
        uintptr_t start, cie;
        struct fde f;

        if (user_copy_in_mm(mm, &f, at, sizeof f) < 0 || f.size < sizeof f - sizeof f.size ||
            f.size >= end - at)
            return;
        start = at + offsetof(struct fde, start) + (uintptr_t)(int64_t)f.start;
        cie = at + offsetof(struct fde, cie) - f.cie;
        if (f.cie != 0 && start <= last && start + f.code_size >= first &&
            (cie == plain_cie || cie_is_plain(mm, cie))) {
            plain_cie = cie;
            ret->functions[ret->count++] = (struct code_gap){ start, start + f.code_size };
        }
        at += sizeof f.size + f.size;
    }
}

static size_t gaps_by_frame(struct mm *mm, uintptr_t frame, size_t size, uintptr_t first,
                            uintptr_t last, struct code_gap *ret, size_t max)
{
    struct function_list l;
    size_t count = 0;

    functions_find(mm, frame, frame + size, first, last + FUNCTION_ALIGN, &l);
    for (size_t i = 0; i < l.count && count < max; i++) {
        uintptr_t end = l.functions[i].end, next = UINTPTR_MAX;

        for (size_t k = 0; k < l.count; k++)
            if (l.functions[k].start >= end)
                next = MIN(next, l.functions[k].start);
        if (end >= first && end <= last && next != UINTPTR_MAX && next > end)
            ret[count++] = (struct code_gap){ .start = end, .end = next };
    }
    return count;
}

size_t eh_frame_gaps_find(struct mm *mm, uintptr_t header, struct file *file, uintptr_t first,
                          uintptr_t last, struct code_gap *ret, size_t max)
{
    uintptr_t bias = 0, hdr = 0;
    uint64_t vaddr, size;

    if (!image_open(mm, header, &bias, &hdr))
        return 0;
    if (hdr)
        return gaps_by_table(mm, hdr, first, last, ret, max);
    if (!section_find(file, &vaddr, &size))
        return 0;
    return gaps_by_frame(mm, vaddr + bias, size, first, last, ret, max);
}

bool eh_frame_function_find(struct mm *mm, uintptr_t header, struct file *file, uintptr_t addr,
                            struct code_gap *ret)
{
    uintptr_t bias = 0, hdr = 0, fde;
    struct function_list l;
    uint64_t vaddr, size;
    struct table t;
    uint32_t index;

    if (!image_open(mm, header, &bias, &hdr))
        return false;
    if (hdr)
        return table_open(mm, hdr, &t) && index_find(&t, addr, &index) &&
               entry_get(&t, index, &ret->start, &fde) &&
               function_end(mm, ret->start, fde, &ret->end) && addr >= ret->start &&
               addr < ret->end;
    if (!section_find(file, &vaddr, &size))
        return false;
    functions_find(mm, vaddr + bias, vaddr + bias + size, addr, addr, &l);
    for (size_t i = 0; i < l.count; i++) {
        if (addr >= l.functions[i].start && addr < l.functions[i].end) {
            *ret = l.functions[i];
            return true;
        }
    }
    return false;
}
