/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed images as the loader finds their files: every span lies within the image. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/bundle/bundle.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct bundle bundle;
    struct err err = { 0 };
    int fd = memfd_create("image", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (bundle_open(path, &bundle, &err) == 0) {
        for (unsigned i = 0; i < BUNDLE_FILE_COUNT; i++)
            assert(bundle.files[i].off <= size &&
                   bundle.files[i].size <= size - bundle.files[i].off);
        bundle_close(&bundle);
    }
    close(fd);
    return 0;
}
