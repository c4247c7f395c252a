/* SPDX-License-Identifier: Apache-2.0 */
/* Maps the segments of an ELF file. Trusted. Pages are copied from the file at their first touch. */
#include <linux/errno.h>
#include <linux/mman.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/libos/elf/elf_private.h"
#include "tee/libos/fs/vfs/vfs.h"

int elf_file_parse(struct file *f, struct elf_image *ret)
{
    uint8_t head[ELF_EHDR_SIZE];
    CLEANUP(mem_freep)
    uint8_t *phdrs = NULL;
    struct inode_attr attr;
    struct elf_header h;
    size_t size;
    int64_t n;
    int rc;

    if (!f->inode)
        return -EACCES;
    rc = inode_get_attr(f->inode, &attr);
    if (rc < 0)
        return rc;
    n = file_read_kernel(f, head, sizeof head, 0);
    if (n < 0)
        return (int)n;
    rc = elf_header_parse(head, (size_t)n, attr.size, &h);
    if (rc < 0)
        return rc;
    size = (size_t)h.phdr_count * ELF_PHDR_SIZE;
    phdrs = mem_alloc(size);
    if (!phdrs)
        return -ENOMEM;
    n = file_read_kernel(f, phdrs, size, h.phdrs_off);
    if (n < 0)
        return (int)n;
    return (size_t)n == size ? elf_phdrs_parse(&h, phdrs, attr.size, ret) : -ENOEXEC;
}

/* Maps one segment: pages of the file, then zero pages. */
static int segment_map(struct mm *mm, struct file *f, const struct elf_segment *s, uintptr_t bias)
{
    uintptr_t start = ALIGN_DOWN(s->vaddr + bias, PAGE_SIZE),
              file_end = s->vaddr + bias + s->file_size;
    uintptr_t file_pages_end = s->file_size ? ALIGN_UP(file_end, PAGE_SIZE) : start;
    uintptr_t end = ALIGN_UP(s->vaddr + bias + s->mem_size, PAGE_SIZE), at = start;
    int rc = 0;

    if (file_pages_end > start)
        rc = mm_map(mm, &at, file_pages_end - start, s->prot, MAP_PRIVATE | MAP_FIXED, f,
                    ALIGN_DOWN(s->off, PAGE_SIZE));
    if (rc == 0 && s->mem_size > s->file_size && file_pages_end > file_end && s->file_size &&
        (s->prot & PROT_WRITE))
        rc = user_zero_mm(mm, file_end,
                          file_pages_end - file_end); /* all of it: ld.so relies on that */
    at = file_pages_end;
    if (rc == 0 && end > file_pages_end)
        rc = mm_map(mm, &at, end - file_pages_end, s->prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
                    NULL, 0);
    return rc == -EFAULT ? -EIO : rc;
}

/* Where the image goes: its own addresses, or anywhere. */
static int bias_choose(struct mm *mm, const struct elf_image *image, uintptr_t *ret)
{
    uintptr_t at;
    int rc;

    if (image->is_fixed) {
        *ret = 0;
        return user_range_ok(image->low, image->high - image->low)
                   ? mm_fixed_check(mm, image->low, image->high)
                   : -ENOEXEC;
    }
    rc = mm_image_place(mm, image->high - image->low + image->align, &at);
    if (rc == 0)
        *ret = ALIGN_UP(at, image->align) - ALIGN_DOWN(image->low, image->align);
    return rc;
}

int elf_file_map(struct mm *mm, struct file *f, const struct elf_image *image,
                 struct elf_mapped *ret)
{
    uintptr_t bias = 0;
    int rc = bias_choose(mm, image, &bias);

    for (uint32_t i = 0; rc == 0 && i < image->segment_count; i++)
        rc = segment_map(mm, f, &image->segments[i], bias);
    if (rc < 0)
        return rc;
    *ret = (struct elf_mapped){
        .bias = bias,
        .entry = image->entry + bias,
        .end = image->high + bias,
        .phdrs = image->has_phdr_addr ? image->phdr_addr + bias : 0,
        .phdr_count = image->phdr_count,
        .stack_exec = image->stack_exec,
    };
    return 0;
}
