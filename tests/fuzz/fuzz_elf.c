/* SPDX-License-Identifier: Apache-2.0 */
/* The program loader's parsers: what they accept keeps every promise of elf_parse.h. */
#include <assert.h>
#include <string.h>

#include "tee/libos/elf/elf_parse.h"
#include "tests/fuzz/fuzz.h"

static void check_image(const struct elf_image *image, uint64_t file_size)
{
    uint64_t end = 0;

    assert(image->segment_count >= 1 && image->segment_count <= ELF_SEGMENTS_MAX);
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];

        assert(s->mem_size != 0 && s->file_size <= s->mem_size);
        assert(s->file_size == 0 || (s->off <= file_size && s->file_size <= file_size - s->off));
        assert(s->vaddr % 4096 == s->off % 4096);
        assert(s->vaddr + s->mem_size > s->vaddr && s->vaddr >= end);
        assert(s->vaddr >= image->low && s->vaddr + s->mem_size <= image->high);
        end = s->vaddr + s->mem_size;
    }
    assert(image->interp_size <= ELF_INTERP_SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_header header;
    struct elf_image image;
    struct script_line line;

    if (elf_header_parse(data, size, size, &header) == 0) {
        assert(header.phdr_count <= ELF_PHDRS_MAX);
        assert(header.phdrs_off <= size &&
               header.phdr_count * (uint64_t)ELF_PHDR_SIZE <= size - header.phdrs_off);
        if (elf_phdrs_parse(&header, data + header.phdrs_off, size, &image) == 0)
            check_image(&image, size);
    }
    if (script_parse((const char *)data, size, &line) == 0) {
        assert(line.interp_len > 0 && line.interp >= (const char *)data);
        assert(line.interp + line.interp_len <= (const char *)data + size);
    }
    return 0;
}
