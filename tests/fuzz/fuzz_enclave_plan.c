/* SPDX-License-Identifier: Apache-2.0 */
/* Enclave files: the plan's pages come in rising order and lie inside ELRANGE. */
#include <assert.h>

#include "lib/enclave_plan.h"
#include "tests/fuzz/fuzz.h"

static int visit(void *arg, uint64_t off, const uint8_t page[4096], uint64_t secinfo_flags,
                 bool measure)
{
    uint64_t *next = arg;

    (void)secinfo_flags, (void)measure;
    assert(off % 4096 == 0 && off >= *next && off < ELRANGE_SIZE_MIN);
    *next = off + 4096;
    return page[0] == 0x5a && page[4095] == 0xa5; /* reads both ends of the page */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct enclave_plan plan = {
        .elf = data, .elf_size = size, .elrange_size = ELRANGE_SIZE_MIN, .static_slots = 1
    };
    uint64_t next = 0;

    if (enclave_plan_walk(&plan, visit, &next) < 0)
        return 0;
    return 0;
}
