/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's reading of configfs-tsm, with evidence that real machines gave (tests/vectors/public) behind a fake tree: a
 * folder whose files appear with mkdirat, and change when inblob is closed, as the kernel's do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tee/agent/evidence.h"

#define BLOB_SIZE_MAX (2u << 20)

/* ---- the fake kernel ---- */

static struct {
    const char *provider;   /* with its newline */
    const char *generation; /* NULL: counts */
    const uint8_t *outblob;
    size_t outblob_size;
    const uint8_t *auxblob; /* NULL: the attribute is absent */
    size_t auxblob_size;
    unsigned disturbances; /* how often somebody else writes in between */
    int outblob_error;     /* errno of reading outblob ... */
    unsigned error_count;  /* ... so often */
    int mkdir_error;
    unsigned exists_count; /* how often a name is taken */
    unsigned made, removed, count, reads_interrupted;
    char folder[512]; /* the entry that is there */
} g_fake;

static char g_tree[64];

int __real_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_read(int fd, void *dst, size_t size);
ssize_t __wrap_read(int fd, void *dst, size_t size);

static void put(const char *name, const void *data, size_t size)
{
    char path[1024];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", g_fake.folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

static void put_generation(void)
{
    char text[32];

    snprintf(text, sizeof text, "%u\n", g_fake.count);
    if (g_fake.generation)
        put("generation", g_fake.generation, strlen(g_fake.generation));
    else
        put("generation", text, strlen(text));
}

int __wrap_mkdirat(int dir, const char *name, mode_t mode)
{
    if (g_fake.mkdir_error || g_fake.exists_count > 0) {
        errno = g_fake.mkdir_error ? g_fake.mkdir_error : EEXIST;
        g_fake.exists_count -= g_fake.exists_count > 0;
        return -1;
    }
    assert_int_equal(__real_mkdirat(dir, name, mode), 0);
    snprintf(g_fake.folder, sizeof g_fake.folder, "%s/%s", g_tree, name);
    g_fake.made++;
    put("provider", g_fake.provider, strlen(g_fake.provider));
    put("inblob", "", 0);
    put("outblob", "", 0);
    if (g_fake.auxblob)
        put("auxblob", "", 0);
    put_generation();
    return 0;
}

/* rmdir takes an entry with its attributes. */
int __wrap_unlinkat(int dir, const char *name, int flags)
{
    static const char *const files[] = { "provider", "inblob", "outblob", "auxblob", "generation" };
    char path[1024];

    assert_int_equal(flags, AT_REMOVEDIR);
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        snprintf(path, sizeof path, "%s/%s", g_fake.folder, files[i]);
        unlink(path);
    }
    g_fake.removed++;
    return __real_unlinkat(dir, name, flags);
}

static bool is_file(int fd, const char *name)
{
    char link[64], path[1024], wanted[1024];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    path[len < 0 ? 0 : len] = 0;
    snprintf(wanted, sizeof wanted, "%s/%s", g_fake.folder, name);
    return g_fake.folder[0] && strcmp(path, wanted) == 0;
}

/* What was written to inblob counts when it is closed. */
int __wrap_close(int fd)
{
    bool is_inblob = is_file(fd, "inblob");
    int rc = __real_close(fd);

    if (!is_inblob)
        return rc;
    g_fake.count++;
    if (g_fake.disturbances > 0) {
        g_fake.disturbances--;
        g_fake.count++;
    }
    put_generation();
    put("outblob", g_fake.outblob, g_fake.outblob_size);
    if (g_fake.auxblob)
        put("auxblob", g_fake.auxblob, g_fake.auxblob_size);
    return rc;
}

ssize_t __wrap_read(int fd, void *dst, size_t size)
{
    if (g_fake.reads_interrupted > 0) {
        g_fake.reads_interrupted--;
        errno = EINTR;
        return -1;
    }
    if (g_fake.error_count > 0 && is_file(fd, "outblob")) {
        g_fake.error_count--;
        errno = g_fake.outblob_error;
        return -1;
    }
    return __real_read(fd, dst, size > 777 ? 777 : size); /* in pieces, as any file may */
}

/* ---- helpers ---- */

static uint8_t g_blob[BLOB_SIZE_MAX], g_certificates[BLOB_SIZE_MAX];

static size_t load(const char *name, uint8_t *dst)
{
    char path[1024];
    FILE *f;
    size_t size;

    snprintf(path, sizeof path, "%s/%s",
             getenv("VECTORS") ? getenv("VECTORS") : "tests/vectors/public", name);
    f = fopen(path, "r");
    assert_non_null(f);
    size = fread(dst, 1, BLOB_SIZE_MAX, f);
    fclose(f);
    return size;
}

static void fake_reset(const char *provider, const char *file)
{
    memset(&g_fake, 0, sizeof g_fake);
    g_fake.provider = provider;
    g_fake.outblob = g_blob;
    g_fake.outblob_size = load(file, g_blob);
}

/* Nothing stays behind. */
static int get(const uint8_t *data, unsigned timeout_ms, struct evidence *ret)
{
    struct evidence before = { .outblob_size = 4711 };
    int rc;
    DIR *d;
    unsigned left = 0;

    *ret = before;
    rc = evidence_get(g_tree, data, timeout_ms, ret);
    assert_true(rc == 0 || memcmp(ret, &before, sizeof before) == 0);
    assert_int_equal(g_fake.made, g_fake.removed);
    d = opendir(g_tree);
    assert_non_null(d);
    while (readdir(d))
        left++;
    closedir(d);
    assert_int_equal(left, 2); /* "." and ".." */
    return rc;
}

static const struct {
    const char *provider, *name, *file;
    size_t data_off;
} g_machines[] = {
    { "sev_guest\n", "sev_guest", "snp/snp-milan-v2-google/report.bin", 80 },
    { "sev_guest\n", "sev_guest", "snp/snp-milan-v3-microsoft/report.bin", 80 },
    { "sev_guest\n", "sev_guest", "snp/snp-turin-v5-microsoft/report.bin", 80 },
    { "tdx_guest\n", "tdx_guest", "tdx/tdx-phala-v4/quote.bin", 48 + 520 },
    { "tdx_guest\n", "tdx_guest", "tdx/tdx-google-v5-mixed-dates/quote.bin", 54 + 520 },
    { "cloche_sgx\n", "cloche_sgx", "sgx/sgx-phala/quote.bin", 48 + 320 },
};

/* ---- cases ---- */

static void test_recorded_evidence(void **state)
{
    struct evidence e;

    for (size_t i = 0; i < ARRAY_COUNT(g_machines); i++) {
        fake_reset(g_machines[i].provider, g_machines[i].file);
        assert_int_equal(get(g_blob + g_machines[i].data_off, 1000, &e), 0);
        assert_string_equal(e.provider, g_machines[i].name);
        assert_int_equal(e.outblob_size, g_fake.outblob_size);
        assert_memory_equal(e.outblob, g_blob, e.outblob_size);
        assert_int_equal(e.auxblob_size, 0);
        evidence_done(&e);
        evidence_done(&e);
    }
}

/* An AMD guest's certificates come as auxblob; empty or absent is no fault. */
static void test_auxblob(void **state)
{
    struct evidence e;
    size_t size = load("snp/snp-milan-v3-microsoft/vcek.der", g_certificates);

    fake_reset("sev_guest\n", g_machines[1].file);
    g_fake.auxblob = g_certificates;
    g_fake.auxblob_size = size;
    assert_int_equal(get(g_blob + 80, 1000, &e), 0);
    assert_int_equal(e.auxblob_size, size);
    assert_memory_equal(e.auxblob, g_certificates, size);
    evidence_done(&e);
    g_fake.auxblob_size = 0;
    assert_int_equal(get(g_blob + 80, 1000, &e), 0);
    assert_int_equal(e.auxblob_size, 0);
    evidence_done(&e);
    g_fake.auxblob_size = EVIDENCE_AUXBLOB_SIZE_MAX;
    assert_int_equal(get(g_blob + 80, 1000, &e), 0);
    assert_int_equal(e.auxblob_size, EVIDENCE_AUXBLOB_SIZE_MAX);
    evidence_done(&e);
    g_fake.auxblob_size = EVIDENCE_AUXBLOB_SIZE_MAX + 1;
    assert_int_equal(get(g_blob + 80, 1000, &e), -EMSGSIZE);
}

static void test_evidence_over_other_data(void **state)
{
    struct evidence e;
    uint8_t data[64];

    for (size_t i = 0; i < ARRAY_COUNT(g_machines); i++) {
        fake_reset(g_machines[i].provider, g_machines[i].file);
        memcpy(data, g_blob + g_machines[i].data_off, sizeof data);
        data[i * 10] ^= 1;
        assert_int_equal(get(data, 1000, &e), -EBADMSG);
        data[i * 10] ^= 1;
        g_fake.outblob_size = g_machines[i].data_off + 63; /* cut within it */
        assert_int_equal(get(data, 1000, &e), -EBADMSG);
        g_fake.outblob_size = 1;
        assert_int_equal(get(data, 1000, &e), -EBADMSG);
    }
}

static void test_sizes(void **state)
{
    struct evidence e;

    fake_reset("arm_cca_guest\n", g_machines[0].file);
    g_fake.outblob_size = EVIDENCE_OUTBLOB_SIZE_MAX;
    assert_int_equal(get(g_blob, 1000, &e), 0);
    assert_int_equal(e.outblob_size, EVIDENCE_OUTBLOB_SIZE_MAX);
    evidence_done(&e);
    g_fake.outblob_size++;
    assert_int_equal(get(g_blob, 1000, &e), -EMSGSIZE);
    g_fake.outblob_size = 0;
    assert_int_equal(get(g_blob, 1000, &e), -EIO);
}

/* Somebody else wrote to the entry: what was read may be theirs, so it is asked for again. */
static void test_disturbances(void **state)
{
    struct evidence e;

    fake_reset("sev_guest\n", g_machines[0].file);
    g_fake.disturbances = 3;
    assert_int_equal(get(g_blob + 80, 60000, &e), 0);
    assert_int_equal(g_fake.count, 3 * 2 + 1);
    evidence_done(&e);
    g_fake.disturbances = UINT32_MAX;
    assert_int_equal(get(g_blob + 80, 50, &e), -EBUSY);
}

static void test_platform_errors(void **state)
{
    static const struct {
        int error, wanted;
        unsigned count;
    } cases[] = { { EBUSY, 0, 3 },  { EBUSY, -EBUSY, UINT32_MAX }, { ENXIO, -ENODEV, 1 },
                  { EIO, -EIO, 1 }, { ETIMEDOUT, -ETIMEDOUT, 1 },  { EINVAL, -EINVAL, 1 } };
    struct evidence e;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        fake_reset("sev_guest\n", g_machines[0].file);
        g_fake.outblob_error = cases[i].error;
        g_fake.error_count = cases[i].count;
        assert_int_equal(get(g_blob + 80, cases[i].wanted == 0 ? 60000 : 50, &e), cases[i].wanted);
        if (cases[i].wanted == 0)
            evidence_done(&e);
    }
}

static void test_interrupted_reads(void **state)
{
    struct evidence e;

    fake_reset("sev_guest\n", g_machines[0].file);
    g_fake.reads_interrupted = 50;
    assert_int_equal(get(g_blob + 80, 1000, &e), 0);
    assert_int_equal(e.outblob_size, 1184);
    evidence_done(&e);
}

static void test_texts_that_linux_does_not_write(void **state)
{
    static const char *const providers[] = { "",
                                             "\n",
                                             "sev_guest",
                                             "sev guest\n",
                                             "sev_guest\n\n",
                                             "../../etc\n",
                                             "SEV\n",
                                             "a23456789012345678901234567890123\n",
                                             "0123456789012345678901234567890123456789012345678"
                                             "9012345678901234567890\n" };
    static const char *const generations[] = { "",     "\n",   "1",      "x\n",
                                               "-1\n", "1 \n", "1\n2\n", "18446744073709551616\n" };
    struct evidence e;

    for (size_t i = 0; i < ARRAY_COUNT(providers); i++) {
        fake_reset(providers[i], g_machines[0].file);
        assert_int_equal(get(g_blob + 80, 1000, &e), -EPROTO);
    }
    for (size_t i = 0; i < ARRAY_COUNT(generations); i++) {
        fake_reset("sev_guest\n", g_machines[0].file);
        g_fake.generation = generations[i];
        assert_int_equal(get(g_blob + 80, 1000, &e), -EPROTO);
    }
    fake_reset("sev_guest\n", g_machines[0].file);
    g_fake.generation = "18446744073709551615\n"; /* stands still: never one more */
    assert_int_equal(get(g_blob + 80, 50, &e), -EBUSY);
}

static void test_no_interface(void **state)
{
    struct evidence e;
    uint8_t data[64] = { 0 };

    fake_reset("sev_guest\n", g_machines[0].file);
    assert_int_equal(evidence_get("/nonexistent/report", data, 1000, &e), -ENODEV);
    assert_int_equal(evidence_get("/dev/null", data, 1000, &e), -ENODEV);
    g_fake.mkdir_error = ENXIO; /* no provider */
    assert_int_equal(get(data, 1000, &e), -ENODEV);
    g_fake.mkdir_error = EACCES;
    assert_int_equal(get(data, 1000, &e), -EACCES);
    g_fake.mkdir_error = 0;
    g_fake.exists_count = 3;
    assert_int_equal(get(g_blob + 80, 1000, &e), 0);
    evidence_done(&e);
    g_fake.exists_count = 4;
    assert_int_equal(get(g_blob + 80, 1000, &e), -EEXIST);
}

static int setup(void **state)
{
    snprintf(g_tree, sizeof g_tree, "/tmp/agent-evidence-XXXXXX");
    return mkdtemp(g_tree) ? 0 : -1;
}

static int teardown(void **state)
{
    return rmdir(g_tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_evidence),
        cmocka_unit_test(test_auxblob),
        cmocka_unit_test(test_evidence_over_other_data),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_disturbances),
        cmocka_unit_test(test_platform_errors),
        cmocka_unit_test(test_interrupted_reads),
        cmocka_unit_test(test_texts_that_linux_does_not_write),
        cmocka_unit_test(test_no_interface),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
