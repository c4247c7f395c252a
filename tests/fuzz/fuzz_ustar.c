/* SPDX-License-Identifier: Apache-2.0 */
/* tar headers and pax records. */
#include <assert.h>
#include <string.h>

#include "lib/ustar.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ustar_entry entry;
    struct ustar_pax record;
    size_t pos = 0;

    if (size >= USTAR_BLOCK_SIZE && ustar_parse(data, &entry) > 0)
        assert(memchr(entry.path, '\0', sizeof entry.path) != NULL);
    while (ustar_pax_next((const char *)data, size, &pos, &record) > 0) {
        assert(pos <= size);
        assert(record.key >= (const char *)data && record.value >= record.key);
        assert(record.value + record.value_size <= (const char *)data + size);
    }
    return 0;
}
