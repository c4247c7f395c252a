/* SPDX-License-Identifier: Apache-2.0 */
/* TCB evaluation data numbers: what is read, what is refused, and the limit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "verifier/intel/evaluations.h"

#define DATES "\"issueDate\":\"2025-06-03T23:58:51Z\",\"nextUpdate\":\"2025-07-03T23:58:51Z\""
#define ITEM(number, date)                                                                         \
    "{\"tcbEvaluationDataNumber\":" number ",\"tcbRecoveryEventDate\":\"" date                     \
    "\",\"tcbDate\":\"2025-05-14T00:00:00Z\"}"

static int parse(const char *text, struct tcb_evaluations *ret)
{
    return tcb_evaluations_parse((struct verifier_bytes){ (const uint8_t *)text, strlen(text) },
                                 ret);
}

static void test_read(void **state)
{
    static struct tcb_evaluations list;

    assert_int_equal(parse("{\"id\":\"SGX\",\"version\":1," DATES
                           ",\"tcbEvalNumbers\":[" ITEM("19", "2025-05-13T00:00:00Z") "," ITEM(
                               "18", "2024-11-12T00:00:00Z") "],\"later\":{}}",
                           &list),
                     0);
    assert_int_equal(list.count, 2);
    assert_false(list.is_tdx);
    assert_int_equal(tcb_evaluation_find(&list, 18)->recovery_s, 1731369600);
    assert_int_equal(tcb_evaluation_find(&list, 19)->recovery_s, 1747094400);
    assert_int_equal(list.next_update_s - list.issue_date_s, 30 * 86400);
    assert_null(tcb_evaluation_find(&list, 17));
    assert_int_equal(parse("{\"id\":\"TDX\",\"version\":1," DATES ",\"tcbEvalNumbers\":[]}", &list),
                     0);
    assert_true(list.is_tdx && list.count == 0);
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"id\":\"SGX\",\"version\":2," DATES ",\"tcbEvalNumbers\":[]}",
        "{\"id\":\"QE\",\"version\":1," DATES ",\"tcbEvalNumbers\":[]}",
        "{\"version\":1," DATES ",\"tcbEvalNumbers\":[]}",
        "{\"id\":\"SGX\",\"version\":1,\"tcbEvalNumbers\":[]}",
        "{\"id\":\"SGX\",\"version\":1," DATES "}",
        "{\"id\":\"SGX\",\"version\":1," DATES ",\"tcbEvalNumbers\":{}}",
        "{\"id\":\"SGX\",\"version\":1," DATES ",\"tcbEvalNumbers\":[{}]}",
        "{\"id\":\"SGX\",\"version\":1," DATES
        ",\"tcbEvalNumbers\":[" ITEM("-1", "2025-05-13T00:00:00Z") "]}",
        "{\"id\":\"SGX\",\"version\":1," DATES ",\"tcbEvalNumbers\":[" ITEM("1", "tomorrow") "]}",
        "{\"id\":\"SGX\",\"version\":1," DATES ",\"tcbEvalNumbers\":[]} x",
    };
    static struct tcb_evaluations list;

    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++)
        if (parse(texts[i], &list) != -EINVAL)
            fail_msg("it was taken: %s", texts[i]);
}

static void test_limit(void **state)
{
    static struct tcb_evaluations list;

    for (unsigned count = TCB_EVALUATION_COUNT_MAX; count <= TCB_EVALUATION_COUNT_MAX + 1;
         count++) {
        char *text = malloc(200 * (count + 1));
        size_t len = (size_t)snprintf(
            text, 200, "{\"id\":\"SGX\",\"version\":1," DATES ",\"tcbEvalNumbers\":[");

        for (unsigned i = 0; i < count; i++)
            len += (size_t)snprintf(text + len, 200, "%s" ITEM("7", "2025-05-13T00:00:00Z"),
                                    i ? "," : "");
        snprintf(text + len, 8, "]}");
        assert_int_equal(parse(text, &list), count <= TCB_EVALUATION_COUNT_MAX ? 0 : -EINVAL);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
