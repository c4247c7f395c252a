/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hardware backend, as far as a machine without SGX goes: probing, its reasons, the vDSO. Layouts
 * are compared with the kernel's headers at compile time (device.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/sgx/device/device.h"

static void test_vdso_symbols(void **state)
{
    typedef int clock_fn(clockid_t, struct timespec *);
    size_t size = 0;
    struct timespec a, b;
    clock_fn *fn = (clock_fn *)device_vdso_find("__vdso_clock_gettime", &size);

    assert_non_null(fn);
    assert_in_range((uintptr_t)fn, getauxval(AT_SYSINFO_EHDR), getauxval(AT_SYSINFO_EHDR) + 65536);
    assert_true(size > 0 && size < 65536);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &a), 0);
    assert_int_equal(fn(CLOCK_MONOTONIC, &b), 0);
    assert_in_range(b.tv_sec, a.tv_sec, a.tv_sec + 10);
    assert_null(device_vdso_find("__vdso_no_such_function", &size));
    assert_null(device_vdso_find("", &size));
}

/* Kernels with CONFIG_X86_SGX have the entry, whatever the CPU. */
static void test_vdso_aep(void **state)
{
    size_t size;
    const uint8_t *fn = device_vdso_find("__vdso_sgx_enter_enclave", &size);

    if (!fn) {
        print_message("skipped: this kernel's vDSO has no __vdso_sgx_enter_enclave\n");
        skip();
    }
    uint64_t aep = device_vdso_find_enclu(fn, size);

    assert_in_range(aep, (uintptr_t)fn, (uintptr_t)fn + size - 3);
    /* and its own check of arguments works without SGX */
    struct sgx_run run = { 0 };

    assert_int_equal(((sgx_enter_fn *)fn)(0, 0, 0, SGX_EEXIT, 0, 0, &run), -22);
}

static void test_find_enclu(void **state)
{
    const uint8_t code[] = { 0x0f, 0x01, 0x0f, 0x01, 0xd7, 0x90 };

    assert_int_equal(device_vdso_find_enclu(code, sizeof code), (uintptr_t)code + 2);
    assert_int_equal(device_vdso_find_enclu(code, 4), 0);
    assert_int_equal(device_vdso_find_enclu(code, 0), 0);
}

static void test_probe_missing(void **state)
{
    enum device_state s = device_probe("/dev/no-such-sgx");

    assert_true(s == DEVICE_CPU_LACKS_SGX || s == DEVICE_FIRMWARE_DISABLED ||
                s == DEVICE_CPU_LACKS_LAUNCH_CONTROL || s == DEVICE_MISSING);
}

static void test_probe_foreign(void **state)
{
    char path[] = "/tmp/sgx-device-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(device_probe("/dev/null"), DEVICE_FOREIGN);
    assert_int_equal(device_probe(path), DEVICE_FOREIGN);
    assert_int_equal(device_probe("/tmp"), DEVICE_UNREACHABLE);
    close(fd);
    unlink(path);
}

static void test_probe_forbidden(void **state)
{
    char path[] = "/tmp/sgx-device-XXXXXX";
    int fd = mkstemp(path), status;

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0), 0);
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (getuid() == 0 && setuid(65534) < 0)
            _exit(100);
        _exit(device_probe(path));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), DEVICE_FORBIDDEN);
    close(fd);
    unlink(path);
}

static void test_texts(void **state)
{
    for (int i = 0; i < DEVICE_STATE_COUNT; i++) {
        assert_non_null(device_state_text(i));
        assert_null(strchr(device_state_text(i), '\n'));
    }
}

static void test_choose(void **state)
{
    const char *why = NULL;
    bool hardware = device_probe(DEVICE_ENCLAVE) <= DEVICE_USABLE_SGX1;

    setenv("CLOCHE_SGX", "device", 1);
    assert_int_equal(sgx_backend_choose(&why) != NULL, hardware);
    assert_non_null(why);
    setenv("CLOCHE_SGX", "emulated", 1);
    const struct sgx_backend *b = sgx_backend_choose(&why);

    if (!b)
        fail_msg("%s", why);
    assert_true(b->emulated);
    assert_string_equal(b->name, "emulated");
    setenv("CLOCHE_SGX", "tpm", 1);
    assert_null(sgx_backend_choose(&why));
    assert_non_null(strstr(why, "CLOCHE_SGX"));
    unsetenv("CLOCHE_SGX");
    b = sgx_backend_choose(&why);
    assert_non_null(b);
    assert_int_equal(b->emulated, !hardware);
    if (!hardware) {
        assert_non_null(strstr(why, "emulator"));
        assert_non_null(strstr(why, "SGX")); /* and why no hardware */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vdso_symbols),  cmocka_unit_test(test_vdso_aep),
        cmocka_unit_test(test_find_enclu),    cmocka_unit_test(test_probe_missing),
        cmocka_unit_test(test_probe_foreign), cmocka_unit_test(test_probe_forbidden),
        cmocka_unit_test(test_texts),         cmocka_unit_test(test_choose),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
