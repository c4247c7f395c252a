/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of OCALLs without an enclave: folders that paths cannot leave, sleeping and waking, the
 * seccomp list. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/ocall/ocall.h"
#include "host/ocall/seccomp.h"

static struct ocall_frame g_frame;
static struct ocall_host g_host;
static struct ocall_thread g_thread;
static char g_folder[] = "/tmp/ocall-host-XXXXXX";

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int setup(void **state)
{
    char path[128];

    if (!mkdtemp(g_folder))
        return -1;
    snprintf(path, sizeof path, "%s/inside", g_folder);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/outside", g_folder);
    write_text(path, "secret");
    snprintf(path, sizeof path, "%s/inside/file", g_folder);
    write_text(path, "content");
    snprintf(path, sizeof path, "%s/inside/up", g_folder);
    if (symlink("../outside", path) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/inside/root", g_folder);
    if (symlink("/etc/passwd", path) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/inside", g_folder);
    g_host.mount_count = 1;
    g_host.mount_fds[0] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_thread = (struct ocall_thread){ .host = &g_host, .frame = &g_frame, .wake_fd = -1 };
    return 0;
}

static int64_t call(uint64_t number, const char *path, uint64_t a, uint64_t b, uint64_t c)
{
    memset(&g_frame, 0, offsetof(struct ocall_frame, buffer));
    g_frame.number = number;
    g_frame.args[0] = a;
    g_frame.args[1] = b;
    g_frame.args[2] = c;
    if (path)
        snprintf((char *)g_frame.buffer, OCALL_PATH_SIZE, "%s", path);
    assert_true(ocall_serve(&g_thread));
    return g_frame.result;
}

static void test_open_reads_file(void **state)
{
    int64_t fd = call(OCALL_mount_open, "file", 0, O_RDONLY, 0);

    assert_true(fd >= 0);
    assert_int_equal(call(OCALL_file_pread, NULL, (uint64_t)fd, 100, 3), 4);
    assert_memory_equal(g_frame.buffer, "tent", 4);
    assert_int_equal(call(OCALL_close, NULL, (uint64_t)fd, 0, 0), 0);
}

static void test_paths_stay_inside(void **state)
{
    /* ".." of the root is the root; a link is resolved as if the folder were the root. */
    assert_int_equal(call(OCALL_mount_open, "../outside", 0, O_RDONLY, 0), -ENOENT);
    assert_int_equal(call(OCALL_mount_open, "up", 0, O_RDONLY, 0), -ENOENT);
    assert_int_equal(call(OCALL_mount_open, "root", 0, O_RDONLY, 0), -ENOENT);
    assert_int_equal(call(OCALL_mount_open, "/../../../../etc/passwd", 0, O_RDONLY, 0), -ENOENT);
    assert_int_equal(call(OCALL_mount_unlink, "../outside", 0, 0, 0), -ENOENT);
    assert_int_equal(call(OCALL_mount_chmod, "up", 0, 0777, 0), -EOPNOTSUPP);
    /* Nor the folder above, by a last part that openat2 never sees. */
    assert_int_equal(call(OCALL_mount_utimens, "..", 0, 0, 0), -EINVAL);
    assert_int_equal(call(OCALL_mount_utimens, "a/../..", 0, 0, 0), -EINVAL);
    assert_int_equal(call(OCALL_mount_utimens, "", 0, 0, 0), 0);
}

static void test_unknown_mount(void **state)
{
    assert_true(call(OCALL_mount_open, "file", 1, O_RDONLY, 0) < 0);
    assert_true(call(OCALL_mount_open, "file", UINT64_MAX, O_RDONLY, 0) < 0);
}

static void test_names(void **state)
{
    const struct ocall_stat *st = (const struct ocall_stat *)(g_frame.buffer + OCALL_STAT_OFF);

    assert_int_equal(call(OCALL_mount_mkdir, "a", 0, 0755, 0), 0);
    assert_int_equal(call(OCALL_mount_mkdir, "a", 0, 0755, 0), -EEXIST);
    assert_int_equal(call(OCALL_mount_mkdir, "a/b", 0, 0755, 0), 0);
    assert_int_equal(call(OCALL_mount_stat, "a/b", 0, 0, 0), 0);
    assert_true(S_ISDIR(st->mode));
    assert_int_equal(call(OCALL_mount_unlink, "a", 0, 1, 0), -ENOTEMPTY);
    assert_int_equal(call(OCALL_mount_unlink, "a/b/", 0, 1, 0), 0);
    snprintf((char *)g_frame.buffer + OCALL_PATH_SIZE, 16, "c");
    assert_int_equal(call(OCALL_mount_rename, "a", 0, 0, 0), 0);
    assert_int_equal(call(OCALL_mount_unlink, "c", 0, 1, 0), 0);
    assert_int_equal(call(OCALL_mount_readlink, "up", 0, 100, 0), 10);
    assert_memory_equal(g_frame.buffer, "../outside", 10);
}

static void test_unknown_number(void **state)
{
    assert_int_equal(call(0, NULL, 0, 0, 0), -ENOSYS);
    assert_int_equal(call(OCALL_COUNT, NULL, 0, 0, 0), -ENOSYS);
    assert_int_equal(call(UINT64_MAX, NULL, 0, 0, 0), -ENOSYS);
}

static void test_host_file_names(void **state)
{
    assert_int_equal(call(OCALL_host_file, "shadow", 100, 0, 0), -ENOENT);
    assert_int_equal(call(OCALL_host_file, "../etc/passwd", 100, 0, 0), -ENOENT);
}

static void test_wake_before_sleep(void **state)
{
    ocall_wake_thread(&g_thread);
    assert_int_equal(call(OCALL_park, NULL, OCALL_FOREVER, 0, 0), 0);
    assert_int_equal(call(OCALL_park, NULL, 1000000, 0, 0), -ETIMEDOUT);
    ocall_wake_thread(&g_thread);
    assert_int_equal(call(OCALL_poll, NULL, 0, OCALL_FOREVER, 0), 0);
    assert_int_equal(call(OCALL_poll, NULL, 0, 1000000, 0), 0);
    assert_int_equal(call(OCALL_poll, NULL, OCALL_POLL_COUNT_MAX + 1, 0, 0), -EINVAL);
}

static int seccomp_child(void)
{
    if (ocall_seccomp_enforce() < 0)
        return 77;
    if (getpid() <= 0 || write(STDERR_FILENO, "", 0) != 0)
        return 1;
    if (syscall(SYS_execve, "/bin/true", NULL, NULL) != -1 || errno != EPERM)
        return 2;
    if (syscall(SYS_ptrace, 0, 0, 0, 0) != -1 || errno != EPERM)
        return 3;
    if (syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, NULL) != -1 || errno != EPERM)
        return 4;
    return 0;
}

static void test_seccomp_list(void **state)
{
    size_t count;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(seccomp_child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_non_null(ocall_seccomp_list(&count));
    assert_true(count > 50);
}

static int teardown(void **state)
{
    static const char *const names[] = { "inside/file", "inside/up", "inside/root", "outside" };
    char path[128];

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", g_folder, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/inside", g_folder);
    rmdir(path);
    return rmdir(g_folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_reads_file),   cmocka_unit_test(test_paths_stay_inside),
        cmocka_unit_test(test_unknown_mount),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown_number),    cmocka_unit_test(test_host_file_names),
        cmocka_unit_test(test_wake_before_sleep), cmocka_unit_test(test_seccomp_list),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
