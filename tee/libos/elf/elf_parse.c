/* SPDX-License-Identifier: Apache-2.0 */
/* ELF headers and interpreter lines, checked. Trusted; the bytes may be hostile. */
#include "tee/libos/elf/elf_parse.h"

#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/mman.h>

#include "lib/checked.h"
#include "tee/enclave/string.h"

#define ADDRESS_LIMIT (1ull << 47)
#define ALIGN_LIMIT (1ull << 30)

int elf_header_parse(const uint8_t *head, size_t head_size, uint64_t file_size,
                     struct elf_header *ret)
{
    Elf64_Ehdr e;

    _Static_assert(sizeof e == ELF_EHDR_SIZE && sizeof(Elf64_Phdr) == ELF_PHDR_SIZE, "sizes");
    if (head_size < sizeof e || file_size < sizeof e)
        return -ENOEXEC;
    memcpy(&e, head, sizeof e);
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_ident[EI_CLASS] != ELFCLASS64 ||
        e.e_ident[EI_DATA] != ELFDATA2LSB || e.e_machine != EM_X86_64 ||
        (e.e_type != ET_EXEC && e.e_type != ET_DYN))
        return -ENOEXEC;
    if (e.e_phentsize != sizeof(Elf64_Phdr) || e.e_phnum == 0 || e.e_phnum > ELF_PHDRS_MAX ||
        !range_within(e.e_phoff, (uint64_t)e.e_phnum * sizeof(Elf64_Phdr), file_size))
        return -ENOEXEC;
    *ret = (struct elf_header){ .is_fixed = e.e_type == ET_EXEC,
                                .entry = e.e_entry,
                                .phdrs_off = e.e_phoff,
                                .phdr_count = e.e_phnum };
    return 0;
}

/* Checks a PT_LOAD and appends it. */
static int load_add(struct elf_image *image, const Elf64_Phdr *p, uint64_t file_size)
{
    struct elf_segment *last =
        image->segment_count ? &image->segments[image->segment_count - 1] : NULL;

    if (p->p_memsz == 0)
        return 0;
    if (image->segment_count == ELF_SEGMENTS_MAX || p->p_filesz > p->p_memsz ||
        !range_within(p->p_offset, p->p_filesz, file_size) ||
        !range_within(p->p_vaddr, p->p_memsz, ADDRESS_LIMIT) ||
        p->p_offset % PAGE_SIZE != p->p_vaddr % PAGE_SIZE)
        return -ENOEXEC;
    if (last && p->p_vaddr < last->vaddr + last->mem_size)
        return -ENOEXEC;
    if (p->p_align > ALIGN_LIMIT || (p->p_align & (p->p_align - 1)))
        return -ENOEXEC;
    image->segments[image->segment_count++] = (struct elf_segment){
        .vaddr = p->p_vaddr,
        .off = p->p_offset,
        .file_size = p->p_filesz,
        .mem_size = p->p_memsz,
        .prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
                (p->p_flags & PF_X ? PROT_EXEC : 0),
    };
    image->align = MAX(image->align, p->p_align);
    return 0;
}

/* Where the program sees its own program headers (AT_PHDR). */
static void phdr_addr_find(const struct elf_header *h, struct elf_image *image)
{
    uint64_t size = (uint64_t)h->phdr_count * ELF_PHDR_SIZE;

    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];

        if (h->phdrs_off >= s->off && range_within(h->phdrs_off - s->off, size, s->file_size)) {
            image->has_phdr_addr = true;
            image->phdr_addr = s->vaddr + (h->phdrs_off - s->off);
            return;
        }
    }
}

int elf_phdrs_parse(const struct elf_header *h, const uint8_t *phdrs, uint64_t file_size,
                    struct elf_image *ret)
{
    const struct elf_segment *last;

    *ret = (struct elf_image){
        .is_fixed = h->is_fixed, .entry = h->entry, .phdr_count = h->phdr_count, .align = PAGE_SIZE
    };
    for (uint32_t i = 0; i < h->phdr_count; i++) {
        Elf64_Phdr p;
        int rc = 0;

        memcpy(&p, phdrs + (size_t)i * sizeof p, sizeof p);
        if (p.p_type == PT_LOAD) {
            rc = load_add(ret, &p, file_size);
        } else if (p.p_type == PT_INTERP) {
            if (ret->interp_off || p.p_offset == 0 || p.p_filesz < 2 ||
                p.p_filesz > ELF_INTERP_SIZE_MAX ||
                !range_within(p.p_offset, p.p_filesz, file_size))
                rc = -ENOEXEC;
            ret->interp_off = p.p_offset;
            ret->interp_size = (uint32_t)p.p_filesz;
        } else if (p.p_type == PT_GNU_STACK) {
            ret->stack_exec = (p.p_flags & PF_X) != 0;
        }
        if (rc < 0)
            return rc;
    }
    if (ret->segment_count == 0)
        return -ENOEXEC;
    last = &ret->segments[ret->segment_count - 1];
    ret->low = ALIGN_DOWN(ret->segments[0].vaddr, PAGE_SIZE);
    ret->high = ALIGN_UP(last->vaddr + last->mem_size, PAGE_SIZE);
    phdr_addr_find(h, ret);
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

int script_parse(const char *head, size_t size, struct script_line *ret)
{
    const char *end, *p, *interp;

    size = MIN(size, SCRIPT_HEAD_SIZE);
    if (size < 3 || head[0] != '#' || head[1] != '!')
        return -ENOEXEC;
    end = memchr(head, '\n', size);
    if (!end) {
        /* A whole small file, or a line that is cut: then only the name must be complete. */
        end = head + size;
    }
    p = head + 2;
    while (p < end && is_blank(*p))
        p++;
    interp = p;
    while (p < end && !is_blank(*p) && *p)
        p++;
    if (p == interp || (p == end && size == SCRIPT_HEAD_SIZE && end == head + size))
        return -ENOEXEC;
    *ret = (struct script_line){ .interp = interp, .interp_len = (size_t)(p - interp) };
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    if (p < end && *p) {
        const char *nul = memchr(p, 0, (size_t)(end - p));

        ret->arg = p;
        ret->arg_len = (size_t)((nul ? nul : end) - p);
    }
    return 0;
}
