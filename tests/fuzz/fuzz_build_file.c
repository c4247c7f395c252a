/* SPDX-License-Identifier: Apache-2.0 */
/* cloche.yaml: refused with a text, or within its limits. */
#include <assert.h>

#include "builder/build_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = { 0 };
    struct build_file file;
    struct err err = { 0 };
    int rc = build_file_parse((const char *)data, size, "cloche.yaml", &arena, &file, &err);

    if (rc == 0)
        assert(file.env_count <= DESCRIPTOR_ENV_MAX && file.mounts_count <= DESCRIPTOR_MOUNTS_MAX &&
               file.args.count <= DESCRIPTOR_ARGS_MAX);
    else
        assert(err.text[0]);
    arena_done(&arena);
    return 0;
}
