/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of OVMF images: what is read, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/ovmf.h"

#define SIZE 4096u
#define TABLE_END (SIZE - 32)

static const uint8_t g_footer[16] = { 0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
                                      0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d };
static const uint8_t g_reset[16] = { 0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
                                     0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e };
static const uint8_t g_metadata[16] = { 0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
                                        0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc };

static void put_u32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, 4);
}

/* An entry that ends at `end`. returns: where it begins. */
static size_t put_entry(uint8_t *image, size_t end, const uint8_t *guid, uint32_t data)
{
    memcpy(image + end - 16, guid, 16);
    image[end - 18] = 22;
    put_u32(image + end - 22, data);
    return end - 22;
}

/* Footer, reset block, metadata with two sections at offset 1024 from the end. */
static uint8_t *make_image(void)
{
    uint8_t *image = calloc(1, SIZE);
    uint8_t *m = image + SIZE - 1024;
    size_t end = TABLE_END - 18;

    memcpy(image + TABLE_END - 16, g_footer, 16);
    image[TABLE_END - 18] = 18 + 22 + 22;
    end = put_entry(image, end, g_reset, 0x80b004);
    put_entry(image, end, g_metadata, 1024);
    memcpy(m, "ASEV", 4);
    put_u32(m + 8, 1);
    put_u32(m + 12, 2);
    put_u32(m + 16, 0x800000);
    put_u32(m + 20, 0x9000);
    put_u32(m + 24, SNP_LAUNCH_SECTION_MEMORY);
    put_u32(m + 28, 0x80e000);
    put_u32(m + 32, 0x1000);
    put_u32(m + 36, SNP_LAUNCH_SECTION_CPUID);
    return image;
}

static void reads_what_ovmf_writes(void **state)
{
    uint8_t *image = make_image();
    const char *why = NULL;
    struct ovmf ovmf;

    assert_int_equal(ovmf_parse(image, SIZE, &ovmf, &why), 0);
    assert_int_equal(ovmf.reset_eip, 0x80b004);
    assert_int_equal(ovmf.section_count, 2);
    assert_int_equal(ovmf.sections[1].gpa, 0x80e000);
    assert_int_equal(ovmf.sections[1].type, SNP_LAUNCH_SECTION_CPUID);
    assert_int_equal(ovmf.hashes_gpa, 0);
    free(image);
}

static void refuse(size_t at, uint32_t value, const char *text)
{
    uint8_t *image = make_image();
    const char *why = NULL;
    struct ovmf ovmf;

    put_u32(image + at, value);
    assert_int_equal(ovmf_parse(image, SIZE, &ovmf, &why), -EINVAL);
    if (!strstr(why, text))
        fail_msg("\"%s\" does not say \"%s\"", why, text);
    free(image);
}

static void refuses_the_rest(void **state)
{
    const size_t m = SIZE - 1024, metadata_data = TABLE_END - 18 - 22 - 22;
    const char *why = NULL;
    struct ovmf ovmf;
    uint8_t *image = make_image();

    assert_int_equal(ovmf_parse(image, SIZE - 1, &ovmf, &why), -EINVAL);
    assert_int_equal(ovmf_parse(image, 0, &ovmf, &why), -EINVAL);
    free(image);
    refuse(TABLE_END - 4, 0, "no table");
    refuse(m, 0, "another form");
    refuse(m + 8, 2, "another form");
    refuse(m + 12, OVMF_SECTION_COUNT_MAX + 1, "too many");
    refuse(m + 12, 0xffffffff, "too many");
    refuse(m + 12, 0, "no section");
    refuse(m + 16, 0x800001, "pages");
    refuse(m + 20, 0xfffff000, "pages");
    refuse(m + 16, 0xfffff000, "pages");
    refuse(metadata_data, SIZE + 1, "outside");
    refuse(metadata_data, 4, "outside");
    refuse(metadata_data, SIZE, "another form");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_ovmf_writes),
        cmocka_unit_test(refuses_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
