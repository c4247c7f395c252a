/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configfs-tsm over a stand-in for the quoting service: what is asked when, which evidence belongs to which options, and what each
 * failure of the service becomes. The stand-in's quote holds the report that it was asked about.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/sgx.h"
#include "tee/libos/fs/tsm/tsm.h"

#define QUOTE_SIZE 600u

/* ---- the service ---- */

static struct {
    int target_error, report_error, quote_error, collateral_error;
    unsigned targets, quotes, collaterals; /* how often each was asked for */
    size_t collateral_size, piece;
    bool shrink; /* says another size after the first piece */
} g_service;

int ocall_quote_target(struct evidence_target *ret)
{
    g_service.targets++;
    if (g_service.target_error)
        return g_service.target_error;
    memset(ret, 0, sizeof *ret);
    ret->targetinfo.mrenclave[0] = 0x77;
    ret->att_key_id.size = 3;
    return 0;
}

int sgx_report_create(const struct sgx_targetinfo *target, const uint8_t data[64],
                      struct sgx_report *ret)
{
    memset(ret, 0, sizeof *ret);
    assert_int_equal(target->mrenclave[0], 0x77);
    memcpy(ret->body.report_data, data, 64);
    return g_service.report_error;
}

int64_t ocall_quote(const struct evidence_quote_request *request, void *dst)
{
    g_service.quotes++;
    assert_int_equal(request->att_key_id.size, 3);
    if (g_service.quote_error)
        return g_service.quote_error;
    memset(dst, (int)g_service.quotes, QUOTE_SIZE);
    memcpy((uint8_t *)dst + 48, &request->report.body, sizeof request->report.body);
    return QUOTE_SIZE;
}

int64_t ocall_quote_collateral(const void *quote, size_t quote_size, uint64_t off, void *dst,
                               size_t size, uint32_t *ret_total)
{
    size_t n;

    g_service.collaterals++;
    assert_int_equal(quote_size, QUOTE_SIZE);
    if (g_service.collateral_error)
        return g_service.collateral_error;
    n = MIN(g_service.collateral_size - off, MIN(size, g_service.piece));
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)dst)[i] = (uint8_t)((off + i) / 1000);
    *ret_total = (uint32_t)g_service.collateral_size - (g_service.shrink && off > 0);
    return (int64_t)n;
}

/* ---- what the library OS gives ---- */

void *mem_alloc(size_t size)
{
    return malloc(size);
}

void *mem_zalloc(size_t size)
{
    return calloc(1, size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return realloc(ptr, size);
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mutex_lock(struct mutex *m)
{
    assert_int_equal(m->state, 0);
    m->state = 1;
}

void mutex_unlock(struct mutex *m)
{
    assert_int_equal(m->state, 1);
    m->state = 0;
}

int format(char *dst, size_t size, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(dst, size, fmt, args);
    va_end(args);
    return len;
}

/* ---- helpers ---- */

static struct tsm_report *g_report;

static int setup(void **state)
{
    memset(&g_service, 0, sizeof g_service);
    g_service.piece = SIZE_MAX;
    assert_int_equal(tsm_report_add("entry", 5, &g_report), 0);
    return 0;
}

static int teardown(void **state)
{
    tsm_report_remove(g_report);
    tsm_report_unref(g_report);
    return 0;
}

static void set_inblob(uint8_t fill, size_t size)
{
    uint8_t bytes[64];

    memset(bytes, fill, sizeof bytes);
    assert_int_equal(tsm_report_set(g_report, TSM_INBLOB, bytes, size), 0);
}

static int get(enum tsm_attribute which, uint8_t **ret, size_t *ret_size)
{
    void *bytes = NULL;
    int rc;

    *ret_size = 12345;
    rc = tsm_report_get(g_report, which, &bytes, ret_size);
    assert_true(rc == 0 || (!bytes && *ret_size == 12345));
    *ret = bytes;
    return rc;
}

static unsigned generation(void)
{
    uint8_t *bytes;
    size_t size;
    char text[24] = "";

    assert_int_equal(get(TSM_GENERATION, &bytes, &size), 0);
    assert_true(size < sizeof text);
    memcpy(text, bytes, size);
    free(bytes);
    return (unsigned)strtoul(text, NULL, 10);
}

/* The quote is over that fill, and it is the nth that was made. */
static void check_quote(uint8_t fill, unsigned nth)
{
    uint8_t *quote, data[64];
    size_t size;

    memset(data, fill, sizeof data);
    assert_int_equal(get(TSM_OUTBLOB, &quote, &size), 0);
    assert_int_equal(size, QUOTE_SIZE);
    assert_int_equal(quote[0], nth);
    assert_memory_equal(quote + 48 + 320, data, 64);
    free(quote);
}

/* ---- cases ---- */

static void test_one_quote_a_generation(void **state)
{
    set_inblob(0xa1, 64);
    assert_int_equal(g_service.quotes, 0);
    check_quote(0xa1, 1);
    check_quote(0xa1, 1);
    assert_int_equal(g_service.targets, 1);
    set_inblob(0xa1, 64); /* the same again is a write nevertheless */
    check_quote(0xa1, 2);
    assert_int_equal(tsm_report_set(g_report, TSM_PRIVLEVEL, "0", 1), 0);
    check_quote(0xa1, 3);
    assert_int_equal(generation(), 3);
    assert_int_equal(tsm_report_set(g_report, TSM_PRIVLEVEL, "1", 1), -EINVAL);
    check_quote(0xa1, 3);
}

/* A short or too long nonce: no evidence, and none of the one before. */
static void test_sizes_of_the_nonce(void **state)
{
    uint8_t *bytes, large[65] = { 0 };
    size_t size;

    assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), -EINVAL);
    set_inblob(1, 64);
    check_quote(1, 1);
    assert_int_equal(tsm_report_set(g_report, TSM_INBLOB, large, 65), -EINVAL);
    assert_int_equal(generation(), 1);
    for (size_t n = 0; n < 64; n += 21) {
        set_inblob(2, n);
        assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), -EINVAL);
        assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), -EINVAL);
    }
    assert_int_equal(g_service.quotes, 1);
    set_inblob(3, 64);
    check_quote(3, 2);
}

static void test_failures(void **state)
{
    static const struct {
        int service, wanted;
    } cases[] = { { -ENODEV, -ENXIO },
                  { -EAGAIN, -EBUSY },
                  { -ETIMEDOUT, -ETIMEDOUT },
                  { -EIO, -EIO },
                  { -EPERM, -EPERM } };
    uint8_t *bytes;
    size_t size;

    set_inblob(5, 64);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        g_service.target_error = cases[i].service;
        assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), cases[i].wanted);
        g_service.target_error = 0;
        g_service.quote_error = cases[i].service;
        assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), cases[i].wanted);
        assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), cases[i].wanted);
        g_service.quote_error = 0;
    }
    g_service.report_error = -EINVAL; /* a target that EREPORT does not take: the host's fault */
    assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), -EIO);
    g_service.report_error = 0;
    assert_int_equal(generation(), 1);
    assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), 0); /* and it goes on */
    free(bytes);
}

/* After a failure nothing of the generation before is shown. */
static void test_no_old_quote_after_a_failure(void **state)
{
    uint8_t *bytes;
    size_t size;

    set_inblob(1, 64);
    check_quote(1, 1);
    set_inblob(2, 64);
    g_service.quote_error = -EIO;
    assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), -EIO);
    assert_int_equal(get(TSM_OUTBLOB, &bytes, &size), -EIO);
    g_service.quote_error = 0;
    check_quote(2, 4); /* the third and the second failed */
}

static void test_collateral(void **state)
{
    static const size_t sizes[] = { 0,     1,     1000,   65535,
                                    65536, 65537, 300000, EVIDENCE_COLLATERAL_SIZE_MAX };
    uint8_t *bytes;
    size_t size;

    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        g_service.collateral_size = sizes[i];
        set_inblob((uint8_t)i, 64);
        assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), 0);
        assert_int_equal(size, sizes[i]);
        for (size_t at = 0; at < size; at++)
            assert_int_equal(bytes[at], (uint8_t)(at / 1000));
        free(bytes);
        check_quote((uint8_t)i, (unsigned)i + 1);
        g_service.collaterals = 0;
        assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), 0); /* kept */
        free(bytes);
        assert_int_equal(g_service.collaterals, 0);
    }
}

/* None is an empty file, and asked for once; other failures are errors, and asked for again. */
static void test_collateral_failures(void **state)
{
    uint8_t *bytes;
    size_t size;

    set_inblob(1, 64);
    g_service.collateral_error = -EIO;
    assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), -EIO);
    check_quote(1, 1); /* the quote stands */
    for (int i = 0; i < 4; i++) {
        g_service.collateral_error = i < 2 ? -ENODATA : -ENODEV;
        if (i == 2)
            set_inblob(2, 64);
        assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), 0);
        assert_true(size == 0 && !bytes);
    }
    assert_int_equal(g_service.collaterals, 3);
}

/* A host that gives crumbs, or another size each time, ends the transfer. */
static void test_collateral_in_crumbs(void **state)
{
    uint8_t *bytes;
    size_t size;

    set_inblob(1, 64);
    g_service.collateral_size = 200000;
    g_service.piece = 1;
    assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), -EIO);
    assert_int_equal(g_service.collaterals, 1);
    g_service.piece = SIZE_MAX;
    g_service.shrink = true;
    assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), -EIO);
    g_service.shrink = false;
    assert_int_equal(get(TSM_AUXBLOB, &bytes, &size), 0);
    assert_int_equal(size, 200000);
    free(bytes);
}

static void test_entries(void **state)
{
    struct tsm_report *r, *others[TSM_REPORT_COUNT_MAX];
    char name[16];
    void *bytes;
    size_t size;

    assert_int_equal(tsm_report_add("entry", 5, &r), -EEXIST);
    for (unsigned i = 1; i < TSM_REPORT_COUNT_MAX; i++) {
        snprintf(name, sizeof name, "n%u", i);
        assert_int_equal(tsm_report_add(name, strlen(name), &others[i]), 0);
    }
    assert_int_equal(tsm_report_add("more", 4, &r), -ENOSPC);
    r = tsm_report_find("n7xx", 2);
    assert_ptr_equal(r, others[7]);
    tsm_report_unref(r);
    assert_null(tsm_report_find("n", 1));
    for (unsigned i = 1; i < TSM_REPORT_COUNT_MAX; i++) {
        tsm_report_remove(others[i]);
        assert_int_equal(tsm_report_get(others[i], TSM_PROVIDER, &bytes, &size), -ENOENT);
        assert_int_equal(tsm_report_set(others[i], TSM_PRIVLEVEL, "0", 1), -ENOENT);
        tsm_report_remove(others[i]); /* by a second name of it that was looked up before */
        tsm_report_unref(others[i]);
    }
    r = tsm_report_next(0);
    assert_ptr_equal(r, g_report);
    assert_null(tsm_report_next(tsm_report_number(r) + 1));
    tsm_report_unref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_quote_a_generation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes_of_the_nonce, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_old_quote_after_a_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collateral, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collateral_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collateral_in_crumbs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_entries, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
