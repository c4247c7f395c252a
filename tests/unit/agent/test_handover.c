/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent reads from its arguments, and how it starts a workload. Unit test over tee/agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/agent.h"
#include "tee/agent/handover.h"
#include "tee/agent/say.h"
#include "tee/agent/signals.h"
#include "tee/agent/workload.h"

static int parse(const char *uid, const char *gid, const char *groups, struct handover *ret)
{
    char *argv[] = { "agent", (char *)uid, (char *)gid, (char *)groups, "/work", "",
                     "prog",  "arg",       NULL };

    return handover_parse(8, argv, ret);
}

static void test_whole(void **state)
{
    struct handover h;

    (void)state;
    assert_int_equal(parse("1000", "0", "5,6,4294967294", &h), 0);
    assert_int_equal(h.uid, 1000);
    assert_int_equal(h.gid, 0);
    assert_int_equal(h.group_count, 3);
    assert_int_equal(h.groups[2], 4294967294u);
    assert_string_equal(h.workdir, "/work");
    assert_int_equal(parse("0", "0", "", &h), 0);
    assert_int_equal(h.group_count, 0);
}

static void test_refusals(void **state)
{
    char *few[] = { "agent", "0", "0", "", "", "", NULL };
    struct handover h;

    (void)state;
    assert_int_equal(handover_parse(6, few, &h), -EINVAL);
    assert_int_equal(handover_parse(1, few, &h), -EINVAL);
    assert_int_equal(parse("", "0", "", &h), -EINVAL);
    assert_int_equal(parse("-1", "0", "", &h), -EINVAL);
    assert_int_equal(parse("1x", "0", "", &h), -EINVAL);
    assert_int_equal(parse("4294967295", "0", "", &h), -EINVAL); /* "keep" */
    assert_int_equal(parse("0", "18446744073709551616", "", &h), -EINVAL);
    assert_int_equal(parse("0", "0", ",", &h), -EINVAL);
    assert_int_equal(parse("0", "0", "1,,2", &h), -EINVAL);
    assert_int_equal(parse("0", "0", "1;2", &h), -EINVAL);
}

static void test_group_limit(void **state)
{
    char text[HANDOVER_GROUPS_MAX * 2 + 2];
    struct handover h;

    (void)state;
    for (unsigned i = 0; i <= HANDOVER_GROUPS_MAX; i++)
        memcpy(text + 2 * i, "7,", 2);
    text[2 * HANDOVER_GROUPS_MAX + 1] = 0;
    assert_int_equal(parse("0", "0", text, &h), -EINVAL);
    text[2 * HANDOVER_GROUPS_MAX - 1] = 0;
    assert_int_equal(parse("0", "0", text, &h), 0);
    assert_int_equal(h.group_count, HANDOVER_GROUPS_MAX);
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(workload_status(7 << 8), 7);
    assert_int_equal(workload_status(9), 137);
    assert_string_equal(say_number(-125), "-125");
    assert_string_equal(say_number(0), "0");
    assert_true(signals_is_forwarded(SIGTERM) && signals_is_forwarded(SIGWINCH));
    assert_false(signals_is_forwarded(SIGCHLD) || signals_is_forwarded(SIGSEGV));
}

/* As root only: the workload's user is set. */
static void test_start(void **state)
{
    char *missing[] = { "no-such-program-here", NULL }, *folder[] = { "/etc", NULL };
    char *run[] = { "sh", "-c",
                    "[ $(id -u):$(id -G):$(pwd):$(cut -d' ' -f6 /proc/$$/stat) = 123:456:/tmp:$$ ]",
                    NULL };
    struct handover h = { .uid = 123, .gid = 456, .workdir = "/tmp", .args = run };
    sigset_t mask;
    int status;
    pid_t pid;

    (void)state;
    if (geteuid() != 0)
        skip();
    sigemptyset(&mask);
    pid = workload_start(&h, &mask);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(workload_status(status), 0);
    h.args = missing;
    assert_int_equal(workload_start(&h, &mask), -AGENT_STATUS_NOT_FOUND);
    h.args = folder;
    assert_int_equal(workload_start(&h, &mask), -AGENT_STATUS_CANNOT_RUN);
    h.workdir = "/no/such/folder";
    assert_int_equal(workload_start(&h, &mask), -AGENT_STATUS_CANNOT_RUN);
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1); /* none is left behind */
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_group_limit), cmocka_unit_test(test_status),
        cmocka_unit_test(test_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
