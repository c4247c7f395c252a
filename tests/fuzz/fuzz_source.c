/* SPDX-License-Identifier: Apache-2.0 */
/* An archive as `cloche build` gets it: OCI layout, docker-archive or root file system; and its descriptor. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/image.h"
#include "builder/spec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char json[IMAGE_DESCRIPTOR_SIZE_MAX];
    struct build_file file = { 0 };
    struct descriptor d;
    struct source s;
    char path[64];
    int fd = memfd_create("image", MFD_CLOEXEC);

    setenv("TMPDIR", "/dev/shm", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (source_open(&s, path, NULL, NULL) == 0) {
        if (spec_make(&s, &file, &d, NULL) == 0) {
            /* What the builder makes, the reader takes. */
            int64_t json_size = descriptor_encode(&d, json, sizeof json);
            void *arena = json_size > 0 ? malloc(4 * (size_t)json_size + 4096) : NULL;
            const char *error;

            if (arena)
                assert(descriptor_parse(json, (size_t)json_size, arena,
                                        4 * (size_t)json_size + 4096, &d, &error) == 0);
            free(arena);
        }
        source_done(&s);
    }
    close(fd);
    return 0;
}
