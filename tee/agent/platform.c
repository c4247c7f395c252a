/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloche-platform-report: what a node runs in an enclave to show what its platform is. 64 bytes of report data on standard input; on standard output the
 * line "PROVIDER OUTBLOB_SIZE AUXBLOB_SIZE", then both blobs of configfs-tsm. Trusted; hosted (a static program). It holds no secret and decides nothing: who
 * reads the evidence judges it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tee/agent/evidence.h"

#define TIMEOUT_MS 30000u
#define STATUS_NO_INPUT 2
#define STATUS_NO_EVIDENCE 3

static int read_whole(int fd, uint8_t *dst, size_t size)
{
    while (size > 0) {
        ssize_t n = read(fd, dst, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENODATA;
        dst += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_whole(int fd, const void *data, size_t size)
{
    const uint8_t *src = data;

    while (size > 0) {
        ssize_t n = write(fd, src, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        src += n;
        size -= (size_t)n;
    }
    return 0;
}

static int evidence_write(const struct evidence *e)
{
    char line[EVIDENCE_PROVIDER_SIZE + 32];
    int len =
        snprintf(line, sizeof line, "%s %zu %zu\n", e->provider, e->outblob_size, e->auxblob_size);
    int rc = write_whole(STDOUT_FILENO, line, (size_t)len);

    if (rc == 0)
        rc = write_whole(STDOUT_FILENO, e->outblob, e->outblob_size);
    return rc == 0 ? write_whole(STDOUT_FILENO, e->auxblob, e->auxblob_size) : rc;
}

static int fail(int status, const char *what, int rc)
{
    dprintf(STDERR_FILENO, "cloche: %s: %s\n", what, strerror(-rc));
    return status;
}

int main(void)
{
    uint8_t report_data[EVIDENCE_REPORT_DATA_SIZE];
    struct evidence evidence;
    int rc = read_whole(STDIN_FILENO, report_data, sizeof report_data);

    if (rc < 0)
        return fail(STATUS_NO_INPUT, "64 bytes of report data are expected", rc);
    rc = evidence_get(EVIDENCE_TREE, report_data, TIMEOUT_MS, &evidence);
    if (rc < 0)
        return fail(STATUS_NO_EVIDENCE, "no evidence of this platform", rc);
    rc = evidence_write(&evidence);
    evidence_done(&evidence);
    return rc < 0 ? fail(STATUS_NO_EVIDENCE, "evidence", rc) : 0;
}
