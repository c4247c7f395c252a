/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the tables at the end of OVMF images. Shared; input may be hostile. */
#include "lib/ovmf.h"

#include <errno.h>
#include <string.h>

#define RESET_VECTOR_SIZE 32u /* after the table */
#define ENTRY_SIZE 18u        /* u16 size of data and this, then a GUID */
#define GUID_SIZE 16u
#define METADATA_HEADER_SIZE 16u
#define METADATA_SECTION_SIZE 12u
#define METADATA_VERSION 1u

/* As they stand in memory. */
static const uint8_t g_footer[GUID_SIZE] = { 0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
                                             0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d };
static const uint8_t g_reset_block[GUID_SIZE] = { 0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
                                                  0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e };
static const uint8_t g_hashes[GUID_SIZE] = { 0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b,
                                             0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54 };
static const uint8_t g_metadata[GUID_SIZE] = { 0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
                                               0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc };

static uint32_t get_u16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get_u32(const uint8_t *p)
{
    return get_u16(p) | get_u16(p + 2) << 16;
}

static int refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EINVAL;
}

/* The data of an entry; end is where the entry's GUID ends. */
struct entry {
    const uint8_t *data, *guid;
    size_t size;
};

/* Takes the entry that ends at *end, not below start. returns: 0; -EINVAL. */
static int entry_pull(const uint8_t *start, const uint8_t **end, struct entry *ret)
{
    size_t left = (size_t)(*end - start), size;

    if (left < ENTRY_SIZE)
        return -EINVAL;
    size = get_u16(*end - ENTRY_SIZE);
    if (size < ENTRY_SIZE || size > left)
        return -EINVAL;
    *ret = (struct entry){ *end - size, *end - GUID_SIZE, size - ENTRY_SIZE };
    *end -= size;
    return 0;
}

static int read_metadata(const uint8_t *image, size_t size, const struct entry *entry,
                         struct ovmf *ret, const char **ret_why)
{
    size_t off_from_end, at;
    uint32_t count;

    if (entry->size != 4)
        return refuse(ret_why, "the entry of the SEV metadata has a wrong size");
    off_from_end = get_u32(entry->data);
    if (off_from_end > size || off_from_end < METADATA_HEADER_SIZE)
        return refuse(ret_why, "the SEV metadata lie outside the image");
    at = size - off_from_end;
    if (memcmp(image + at, "ASEV", 4) != 0 || get_u32(image + at + 8) != METADATA_VERSION)
        return refuse(ret_why, "the SEV metadata have another form");
    count = get_u32(image + at + 12);
    if (count > OVMF_SECTION_COUNT_MAX ||
        off_from_end - METADATA_HEADER_SIZE < count * METADATA_SECTION_SIZE)
        return refuse(ret_why, "the SEV metadata have too many sections");
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *p = image + at + METADATA_HEADER_SIZE + (size_t)i * METADATA_SECTION_SIZE;
        struct ovmf_section *s = &ret->sections[i];

        *s = (struct ovmf_section){ get_u32(p), get_u32(p + 4), get_u32(p + 8) };
        if (s->gpa % PAGE_SIZE || s->size % PAGE_SIZE || s->size > OVMF_SECTION_SIZE_MAX ||
            s->gpa > UINT32_MAX - s->size)
            return refuse(ret_why, "a section of the SEV metadata is not made of pages");
    }
    ret->section_count = count;
    return count > 0 ? 0 : refuse(ret_why, "the SEV metadata have no section");
}

static int read_entry(const uint8_t *image, size_t size, const struct entry *e, struct ovmf *ret,
                      const char **ret_why)
{
    if (memcmp(e->guid, g_metadata, GUID_SIZE) == 0)
        return read_metadata(image, size, e, ret, ret_why);
    if (memcmp(e->guid, g_reset_block, GUID_SIZE) == 0) {
        if (e->size < 4)
            return refuse(ret_why, "the SEV-ES reset block is too short");
        ret->reset_eip = get_u32(e->data);
    } else if (memcmp(e->guid, g_hashes, GUID_SIZE) == 0) {
        if (e->size < 8)
            return refuse(ret_why, "the entry of the table of hashes is too short");
        ret->hashes_gpa = get_u32(e->data);
        ret->hashes_size = get_u32(e->data + 4);
    }
    return 0;
}

int ovmf_parse(const uint8_t *image, size_t size, struct ovmf *ret, const char **ret_why)
{
    struct ovmf ovmf = { 0 };
    const uint8_t *start, *end;
    struct entry entry;
    size_t table_size;

    if (size % PAGE_SIZE || size < PAGE_SIZE || size > OVMF_SIZE_MAX)
        return refuse(ret_why, "a firmware image is made of whole pages, at most 64 MiB");
    end = image + size - RESET_VECTOR_SIZE;
    if (memcmp(end - GUID_SIZE, g_footer, GUID_SIZE) != 0)
        return refuse(ret_why, "no table of OVMF at its end");
    table_size = get_u16(end - ENTRY_SIZE);
    if (table_size < ENTRY_SIZE || table_size > size - RESET_VECTOR_SIZE)
        return refuse(ret_why, "the table of OVMF has a wrong size");
    start = end - table_size;
    end -= ENTRY_SIZE;
    while (end > start) {
        if (entry_pull(start, &end, &entry) < 0)
            return refuse(ret_why, "an entry of the table of OVMF has a wrong size");
        if (read_entry(image, size, &entry, &ovmf, ret_why) < 0)
            return -EINVAL;
    }
    if (ovmf.section_count == 0)
        return refuse(ret_why, "no SEV metadata: this firmware cannot be launched under SEV-SNP");
    if (ovmf.reset_eip == 0)
        return refuse(ret_why, "no SEV-ES reset block");
    *ret = ovmf;
    return 0;
}
