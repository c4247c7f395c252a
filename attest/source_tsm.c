/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence from configfs-tsm (Linux, Documentation/ABI/testing/configfs-tsm-report). Runs inside a TEE; the kernel there, or the library OS, is
 * trusted, what it passes on from the host (auxblob) is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attest/attest.h"
#include "attest/buffer.h"
#include "attest/tsm_blobs.h"

#define PATH_SIZE 512u
#define BLOB_SIZE_MAX CMW_SIZE_MAX
#define READ_STEP 16384u
#define STALE_COUNT_MAX                                                                            \
    3u /* somebody else wrote to the report in between: so often it is tried again */

static atomic_uint g_report_number; /* names differ within one process */

static int attribute_open(const char *report, const char *name, int flags)
{
    char path[PATH_SIZE];
    int fd;

    if (snprintf(path, sizeof path, "%s/%s", report, name) >= (int)sizeof path)
        return -ENAMETOOLONG;
    fd = open(path, flags | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

/* The whole attribute, for free(), with a NUL behind it. */
static int attribute_read(const char *report, const char *name, uint8_t **ret, size_t *ret_size)
{
    int fd = attribute_open(report, name, O_RDONLY), rc = 0;
    struct buffer b;
    uint8_t step[READ_STEP];
    ssize_t got = 0;

    if (fd < 0)
        return fd;
    buffer_init(&b, BLOB_SIZE_MAX);
    do {
        got = read(fd, step, sizeof step);
        if (got > 0)
            buffer_add(&b, step, (size_t)got);
    } while (b.rc == 0 && (got > 0 || (got < 0 && errno == EINTR)));
    if (got < 0)
        rc = -errno;
    close(fd);
    if (rc == 0)
        rc = buffer_take(&b, ret, ret_size);
    buffer_done(&b);
    return rc;
}

static int text_read(const char *report, const char *name, char *dst, size_t size)
{
    uint8_t *data;
    size_t data_size;
    int rc = attribute_read(report, name, &data, &data_size);

    if (rc < 0)
        return rc;
    snprintf(dst, size, "%.*s", (int)strcspn((char *)data, "\n"), (char *)data);
    free(data);
    return 0;
}

static int inblob_write(const char *report, const uint8_t data[ATTEST_REPORT_DATA_SIZE])
{
    int fd = attribute_open(report, "inblob", O_WRONLY), rc;
    ssize_t written;

    if (fd < 0)
        return fd;
    written = write(fd, data, ATTEST_REPORT_DATA_SIZE);
    rc = written == (ssize_t)ATTEST_REPORT_DATA_SIZE ? 0 : written < 0 ? -errno : -EIO;
    if (close(fd) < 0 && rc == 0) /* configfs takes binary attributes at the close */
        rc = -errno;
    return rc;
}

static void blobs_done(struct tsm_blobs *blobs)
{
    free(blobs->out);
    free(blobs->aux);
    *blobs = (struct tsm_blobs){ 0 };
}

/* One round; -EAGAIN when the generation changed in between, so that the blobs may be about something else. */
static int blobs_read(const char *report, const uint8_t data[ATTEST_REPORT_DATA_SIZE],
                      struct tsm_blobs *ret)
{
    char before[32], after[32];
    int rc = inblob_write(report, data);

    if (rc == 0)
        rc = text_read(report, "generation", before, sizeof before);
    if (rc == 0)
        rc = text_read(report, "provider", ret->provider, sizeof ret->provider);
    if (rc == 0)
        rc = attribute_read(report, "outblob", &ret->out, &ret->out_size);
    if (rc == 0) {
        rc = attribute_read(report, "auxblob", &ret->aux, &ret->aux_size);
        if (rc == -ENOENT || rc == -EOPNOTSUPP)
            rc = 0; /* not every provider has one */
    }
    if (rc == 0)
        rc = text_read(report, "generation", after, sizeof after);
    if (rc == 0 && strcmp(before, after) != 0)
        rc = -EAGAIN;
    return rc == -EWOULDBLOCK ? -EAGAIN : rc;
}

/* ---- the source ---- */

/* A report folder of its own, or the one that others made. */
struct report {
    char path[PATH_SIZE];
    bool is_own;
};

static int report_open(const char *folder, struct report *ret, struct err *err)
{
    unsigned number = atomic_fetch_add(&g_report_number, 1);
    char inblob[PATH_SIZE];

    if (snprintf(inblob, sizeof inblob, "%s/inblob", folder) >= (int)sizeof inblob ||
        snprintf(ret->path, sizeof ret->path, "%s/attest-%ld-%u", folder, (long)getpid(), number) >=
            (int)sizeof ret->path)
        return err_set_errno(err, -ENAMETOOLONG, "%s", folder);
    ret->is_own = access(inblob, F_OK) < 0;
    if (!ret->is_own) {
        snprintf(ret->path, sizeof ret->path, "%s", folder);
        return 0;
    }
    if (mkdir(ret->path, 0700) < 0)
        return err_set_errno(err, -errno,
                             "no evidence from %s: this is no enclave or confidential VM, or "
                             "nothing here can quote it",
                             folder);
    return 0;
}

static void report_close(const struct report *report)
{
    if (report->is_own)
        rmdir(report->path);
}

static int tsm_get(void *arg, const uint8_t report_data[ATTEST_REPORT_DATA_SIZE], struct cmw **ret,
                   struct err *err)
{
    const char *folder = arg;
    struct tsm_blobs blobs = { 0 };
    struct report report;
    int rc = report_open(folder, &report, err);

    if (rc < 0)
        return rc;
    rc = -EAGAIN;
    for (unsigned i = 0; i < STALE_COUNT_MAX && rc == -EAGAIN; i++) {
        blobs_done(&blobs);
        rc = blobs_read(report.path, report_data, &blobs);
    }
    report_close(&report);
    if (rc < 0)
        err_set_errno(err, rc, "no evidence from %s", report.path);
    else
        rc = tsm_blobs_wrap(&blobs, ret, err);
    blobs_done(&blobs);
    return rc;
}

struct attest_source attest_source_tsm(const char *folder)
{
    return (struct attest_source){ .get = tsm_get, .arg = (void *)folder };
}
