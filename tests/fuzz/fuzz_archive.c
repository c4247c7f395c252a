/* SPDX-License-Identifier: Apache-2.0 */
/* A container layer over a base, twice, and the EROFS image of what comes out: its size is as laid out. */
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "builder/erofs.h"
#include "builder/source.h"
#include "tests/fuzz/fuzz.h"

static int count_bytes(void *arg, const void *data, size_t size, struct err *err)
{
    *(uint64_t *)arg += size;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source s = { .spool = { .fd = -1 } };
    struct source_span span = { memfd_create("layer", MFD_CLOEXEC), 0, size };
    struct erofs *e = NULL;
    uint64_t written = 0;

    setenv("TMPDIR", "/dev/shm", 0);
    if (span.fd < 0 || write(span.fd, data, size) != (ssize_t)size || tree_init(&s.tree) < 0 ||
        spool_init(&s.spool, NULL) < 0)
        abort();
    for (unsigned layer = 1; layer <= 2; layer++)
        if (source_archive_read(&s, &span, layer, true, NULL, NULL, NULL) < 0)
            break;
    if (erofs_new(&s.tree, &s.spool, &e, NULL) == 0) {
        assert(erofs_write(e, count_bytes, &written, NULL, NULL) == 0);
        assert(written == erofs_size(e) && written >= 8192 && written % 4096 == 0);
        erofs_free(e);
    }
    source_done(&s);
    close(span.fd);
    return 0;
}
