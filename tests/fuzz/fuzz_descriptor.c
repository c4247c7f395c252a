/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: what parses must encode to the same bytes again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/descriptor.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t arena_size = 4 * size + 4096;
    char *arena = malloc(arena_size), *again = malloc(size + 1);
    const char *error = NULL;
    struct descriptor d;

    if (arena == NULL || again == NULL)
        abort();
    if (descriptor_parse((const char *)data, size, arena, arena_size, &d, &error) == 0) {
        assert(descriptor_encode(&d, again, size) == (int64_t)size);
        assert(memcmp(again, data, size) == 0);
    } else {
        assert(error != NULL);
    }
    free(arena);
    free(again);
    return 0;
}
