/* SPDX-License-Identifier: Apache-2.0 */
/* Tables at the end of firmware images: the input stands before the reset vector of an image of pages. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ovmf.h"
#include "tests/fuzz/fuzz.h"

#define IMAGE_SIZE 8192u
#define RESET_VECTOR_SIZE 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *image = calloc(1, IMAGE_SIZE);
    const char *why = NULL;
    struct ovmf ovmf;

    if (!image)
        abort();
    if (size > IMAGE_SIZE - RESET_VECTOR_SIZE)
        size = IMAGE_SIZE - RESET_VECTOR_SIZE;
    memcpy(image + IMAGE_SIZE - RESET_VECTOR_SIZE - size, data, size);
    if (ovmf_parse(image, IMAGE_SIZE, &ovmf, &why) < 0) {
        assert(why);
    } else {
        assert(ovmf.section_count > 0 && ovmf.section_count <= OVMF_SECTION_COUNT_MAX);
        for (unsigned i = 0; i < ovmf.section_count; i++)
            assert(ovmf.sections[i].gpa % 4096 == 0 &&
                   ovmf.sections[i].size <= OVMF_SECTION_SIZE_MAX);
    }
    free(image);
    return 0;
}
