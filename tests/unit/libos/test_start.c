/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host's arguments and environment reaches the program: start_policy.c. Unit test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/start.h"
#include "tee/libos/task/start_policy.h"
#include "tests/unit/libos/fake_task.h"

static const char *const g_args[] = { "/bin/app", "--safe", "more" };
static const struct descriptor_env g_env[] = { { "MODE", "sealed" },
                                               { "LANG", NULL },
                                               { "LANGUAGE", NULL } };

static const char *nth(const struct exec_strings *s, unsigned n)
{
    const char *at = s->bytes;

    assert_true(n < s->count);
    while (n--)
        at += strlen(at) + 1;
    return at;
}

static struct start_info start_of(const struct descriptor *d, const char *const *args,
                                  uint32_t argc, const char *const *env, uint32_t envc)
{
    return (struct start_info){ .descriptor = d,
                                .host_arguments = args,
                                .host_argument_count = argc,
                                .host_environment = env,
                                .host_environment_count = envc };
}

static void test_arguments(void **state)
{
    static const char *const host[] = { "x", "" };
    struct descriptor d = { .args = g_args, .args_count = 3, .args_fixed = 2 };
    struct start_info start = start_of(&d, NULL, 0, NULL, 0);
    struct exec_strings args;

    assert_int_equal(start_args(&start, &args), 0);
    assert_int_equal(args.count, 3);
    assert_int_equal(args.size, sizeof "/bin/app\0--safe\0more");
    strings_done(&args);
    start = start_of(&d, host, 2, NULL, 0);
    assert_int_equal(start_args(&start, &args), -EPERM);
    d.args_from_host = true;
    assert_int_equal(start_args(&start, &args), 0);
    assert_int_equal(args.count, 4);
    assert_string_equal(nth(&args, 1), "--safe");
    assert_string_equal(nth(&args, 2), "x");
    assert_string_equal(nth(&args, 3), "");
    strings_done(&args);
    d.args_count = d.args_fixed = 0;
    start.host_argument_count = 0;
    assert_int_equal(start_args(&start, &args), -EINVAL);
}

static void test_environment(void **state)
{
    static const char *const host[] = { "LANG=C",      "LD_PRELOAD=/evil.so", "MODE=open",
                                        "LANGUAGES=x", "LANG=second",         "PATH" };
    struct descriptor d = { .env = g_env, .env_count = 3 };
    struct start_info start = start_of(&d, NULL, 0, host, 6);
    struct exec_strings env;

    assert_int_equal(start_env(&start, &env), 0);
    assert_string_equal(strings_find_env(&env, "MODE"), "sealed");
    assert_string_equal(strings_find_env(&env, "LANG"), "C");
    assert_null(strings_find_env(&env, "LANGUAGE"));
    assert_null(strings_find_env(&env, "LANGUAGES"));
    assert_null(strings_find_env(&env, "LD_PRELOAD"));
    assert_string_equal(strings_find_env(&env, "HOME"), "/root");
    assert_non_null(strstr(strings_find_env(&env, "PATH"), "/usr/bin"));
    assert_int_equal(env.count, 4);
    assert_non_null(strstr(fake_last_line(), "refused"));
    strings_done(&env);
}

static void test_terminal_name(void **state)
{
    static const char *const host[] = { "TERM=vt100" };
    struct descriptor_env allowed = { .name = "TERM" };
    struct descriptor d = { .env = &allowed, .env_count = 0 };
    struct start_info start = start_of(&d, NULL, 0, host, 0);
    struct exec_strings env;

    assert_int_equal(start_env(&start, &env), 0);
    assert_null(strings_find_env(&env, "TERM"));
    strings_done(&env);
    start.flags = START_TTY;
    assert_int_equal(start_env(&start, &env), 0);
    assert_string_equal(strings_find_env(&env, "TERM"), "xterm");
    strings_done(&env);
    d.env_count = 1;
    start.host_environment_count = 1;
    assert_int_equal(start_env(&start, &env), 0);
    assert_string_equal(strings_find_env(&env, "TERM"), "vt100");
    strings_done(&env);
}

static void test_refused_values_are_not_shown(void **state)
{
    static const char *const host[] = { "TOKEN=hunter2" };
    struct descriptor d = { .env_count = 0 };
    struct start_info start = start_of(&d, NULL, 0, host, 1);
    struct exec_strings env;

    assert_int_equal(start_env(&start, &env), 0);
    assert_non_null(strstr(fake_last_line(), "TOKEN"));
    assert_null(strstr(fake_last_line(), "hunter2"));
    strings_done(&env);
}

static void test_lists_are_bounded(void **state)
{
    static const char *argv[3];
    struct string_list list = { 0 };
    char *big = malloc(EXEC_STRING_SIZE_MAX + 2);

    memset(big, 'a', EXEC_STRING_SIZE_MAX + 1);
    big[EXEC_STRING_SIZE_MAX + 1] = 0;
    argv[0] = "short";
    argv[1] = big;
    assert_int_equal(string_list_add_user(&list, (uintptr_t)argv), -E2BIG);
    strings_done(&list.strings);
    memset(&list, 0, sizeof list);
    big[EXEC_STRING_SIZE_MAX - 1] = 0;
    assert_int_equal(string_list_add_user(&list, (uintptr_t)argv), 0);
    assert_int_equal(list.strings.count, 2);
    int rc = 0;

    for (int i = 0; i < 32 && rc == 0; i++)
        rc = string_list_add(&list, "", big);
    assert_int_equal(rc, -E2BIG);
    assert_true(list.strings.size <= EXEC_STRINGS_SIZE_MAX);
    strings_done(&list.strings);
    memset(&list, 0, sizeof list);
    argv[0] = (const char *)8;
    assert_int_equal(string_list_add_user(&list, (uintptr_t)argv), -EFAULT);
    assert_int_equal(string_list_add_user(&list, 8), -EFAULT);
    strings_done(&list.strings);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_terminal_name),
        cmocka_unit_test(test_refused_values_are_not_shown),
        cmocka_unit_test(test_lists_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
