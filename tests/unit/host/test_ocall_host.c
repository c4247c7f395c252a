/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of OCALLs without an enclave: folders that paths cannot leave, sleeping and waking, the
 * seccomp list. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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
    ocall_host_files_open(&g_host);
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

/* The image and nothing beside it. */
static void test_send_image_bounds(void **state)
{
    uint8_t image[64], got[64];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (unsigned i = 0; i < sizeof image; i++)
        image[i] = (uint8_t)i;
    g_host.rootfs = image;
    g_host.rootfs_size = sizeof image;
    assert_int_equal(call(OCALL_send_image, NULL, (uint64_t)pair[0], 10, 54), 10);
    assert_int_equal(read(pair[1], got, sizeof got), 10);
    assert_memory_equal(got, image + 54, 10);
    assert_int_equal(call(OCALL_send_image, NULL, (uint64_t)pair[0], 11, 54), -EINVAL);
    assert_int_equal(call(OCALL_send_image, NULL, (uint64_t)pair[0], 1, 64), -EINVAL);
    assert_int_equal(call(OCALL_send_image, NULL, (uint64_t)pair[0], UINT64_MAX, 1), -EINVAL);
    assert_int_equal(call(OCALL_send_image, NULL, (uint64_t)pair[0], 2, UINT64_MAX), -EINVAL);
    g_host.rootfs = NULL;
    g_host.rootfs_size = 0;
    close(pair[0]);
    close(pair[1]);
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

/* ---- sets of descriptors ---- */

static int64_t wait_set(struct ocall_thread *t, int set, uint64_t ns, enum ocall_event_wake wake)
{
    memset(t->frame, 0, offsetof(struct ocall_frame, buffer));
    t->frame->number = OCALL_events_wait;
    t->frame->args[0] = (uint64_t)set;
    t->frame->args[1] = 4;
    t->frame->args[2] = ns;
    t->frame->args[3] = wake;
    assert_true(ocall_serve(t));
    return t->frame->result;
}

static int64_t change_set(int set, enum ocall_event_change how, int fd, uint64_t data)
{
    memset(&g_frame, 0, offsetof(struct ocall_frame, buffer));
    g_frame.number = OCALL_events_change;
    g_frame.args[0] = (uint64_t)set;
    g_frame.args[1] = how;
    g_frame.args[2] = (uint64_t)fd;
    g_frame.args[3] = EPOLLIN;
    g_frame.args[4] = data;
    assert_true(ocall_serve(&g_thread));
    return g_frame.result;
}

static void *wake_later(void *thread)
{
    usleep(30000);
    ocall_wake_thread(thread);
    return NULL;
}

static void check_wakes(struct ocall_thread *t, int set, enum ocall_event_wake wake)
{
    pthread_t helper;

    assert_int_equal(wait_set(t, set, 1000000, wake), 0);
    ocall_wake_thread(t);
    assert_int_equal(wait_set(t, set, OCALL_FOREVER, wake), 0);
    assert_int_equal(wait_set(t, set, 1000000, wake), 0);
    for (int i = 0; i < 3; i++) {
        pthread_create(&helper, NULL, wake_later, t);
        assert_int_equal(wait_set(t, set, OCALL_FOREVER, wake), 0);
        pthread_join(helper, NULL);
    }
}

static void test_sets_end_with_wakes(void **state)
{
    static struct ocall_frame frame;
    static struct ocall_thread threads[2];
    struct ocall_thread *owner = &threads[0], *guest = &threads[1];
    int set = (int)call(OCALL_events_new, NULL, 0, 0, 0), fds[2];

    assert_true(set >= 0 && pipe(fds) == 0);
    g_host.threads = threads;
    g_host.thread_limit = 2;
    for (uint32_t i = 0; i < 2; i++)
        threads[i] = (struct ocall_thread){
            .host = &g_host,
            .slot = i,
            .frame = i ? &frame : &g_frame,
            .wake_fd = -1,
        };
    assert_int_equal(change_set(set, OCALL_EVENT_ADD, fds[0], 42), 0);
    assert_int_equal(change_set(set, OCALL_EVENT_ADD, fds[0], 42), -EEXIST);
    assert_int_equal(change_set(set, 4, fds[0], 42), -EINVAL);
    assert_int_equal(wait_set(owner, set, 0, OCALL_EVENT_NEW_OWNER), 0);
    check_wakes(owner, set, OCALL_EVENT_OWNER);
    check_wakes(guest, set, OCALL_EVENT_GUEST);
    /* The owner's wake, when it does not sleep, does not end the guest's sleep for ever. */
    owner->polling = 1;
    ocall_wake_thread(owner);
    owner->polling = 0;
    owner->wake = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(wait_set(guest, set, 1000000, OCALL_EVENT_GUEST), 0);
    check_wakes(owner, set, OCALL_EVENT_OWNER);
    assert_int_equal(write(fds[1], "x", 1), 1);
    for (int i = 0; i < 2; i++) {
        struct ocall_event got;

        assert_int_equal(
            wait_set(&threads[i], set, OCALL_FOREVER, i ? OCALL_EVENT_GUEST : OCALL_EVENT_OWNER),
            1);
        memcpy(&got, threads[i].frame->buffer, sizeof got);
        assert_true(got.data == 42 && got.events == EPOLLIN);
    }
    assert_int_equal(change_set(set, OCALL_EVENT_REMOVE, fds[0], 0), 0);
    assert_int_equal(wait_set(owner, set, 0, OCALL_EVENT_OWNER), 0);
    close(fds[0]);
    close(fds[1]);
    close(set);
}

/* ---- seccomp: what a loader that went wrong can still do ---- */

static const struct ocall_seccomp_options g_options = { .exec_end = 1ull << 36 };

static bool is_denied(long rc)
{
    return rc == -1 && errno == EPERM;
}

/* returns: line of the first call that was let through though it must not, or not though it must; 0. */
#define DENIED(call)                                                                               \
    do {                                                                                           \
        if (!is_denied(call))                                                                      \
            return __LINE__;                                                                       \
    } while (0)
#define ALLOWED(call)                                                                              \
    do {                                                                                           \
        if ((call) == -1)                                                                          \
            return __LINE__;                                                                       \
    } while (0)

static int seccomp_processes(void)
{
    DENIED(syscall(SYS_execve, "/bin/true", NULL, NULL));
    DENIED(syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0));
    DENIED(syscall(SYS_ptrace, 0, 0, 0, 0));
    DENIED(syscall(SYS_fork));
    DENIED(syscall(SYS_vfork));
    DENIED(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
    DENIED(syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, 0));
    DENIED(syscall(SYS_unshare, CLONE_NEWUSER));
    DENIED(syscall(SYS_kill, 1, 0));
    DENIED(syscall(SYS_tgkill, getppid(), getppid(), 0));
    DENIED(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
    DENIED(syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
    DENIED(syscall(SYS_bpf, 0, NULL, 0));
    DENIED(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    DENIED(syscall(SYS_io_uring_setup, 8, NULL));
    DENIED(syscall(SYS_setuid, 0));
    DENIED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    DENIED(prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
    ALLOWED(prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0));
    ALLOWED(syscall(SYS_tgkill, getpid(), gettid(), 0));
    return 0;
}

static int seccomp_files(void)
{
    DENIED(syscall(SYS_open, "/etc/passwd", O_RDONLY));
    DENIED(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY));
    DENIED(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0));
    DENIED(syscall(SYS_unlinkat, AT_FDCWD, "/nowhere", 0));
    DENIED(syscall(SYS_renameat2, AT_FDCWD, "/nowhere", AT_FDCWD, "/nowhere2", 0));
    DENIED(syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, NULL));
    DENIED(syscall(SYS_ioctl, 0, TIOCSTI, "x"));
    DENIED(syscall(SYS_ioctl, 0, TIOCSCTTY, 0));
    DENIED(fcntl(0, F_SETFL, O_NONBLOCK));
    DENIED(fcntl(0, F_DUPFD, 100));
    ALLOWED(fcntl(0, F_GETFL));
    return 0;
}

static int seccomp_sockets(void)
{
    int fd;

    DENIED(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, NULL));
    DENIED(syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    DENIED(syscall(SYS_socket, AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    DENIED(syscall(SYS_socket, AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    DENIED(syscall(SYS_socket, AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    DENIED(syscall(SYS_socket, AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 1));
    DENIED(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ALLOWED(fd);
    ALLOWED(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int)));
    DENIED(setsockopt(fd, SOL_PACKET, 1, &(int){ 1 }, sizeof(int)));
    return 0;
}

static int seccomp_memory(void)
{
    void *low = (void *)0x10000000, *page;

    DENIED(
        syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return __LINE__;
    DENIED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
    ALLOWED(mprotect(page, 4096, PROT_READ));
    /* Enclave pages are executable where the EPCM says so: the emulator needs that. */
    if (mmap(low, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != low)
        return __LINE__;
    ALLOWED(mprotect(low, 4096, PROT_READ | PROT_EXEC));
    return 0;
}

static int g_seccomp_line;

static void *seccomp_thread(void *arg)
{
    g_seccomp_line = seccomp_processes(); /* the list holds for threads that start later */
    return NULL;
}

static int seccomp_child(void)
{
    pthread_t thread;
    int line;

    if (ocall_seccomp_enforce(&g_options) < 0)
        return 77;
    line = seccomp_processes();
    line = line ? line : seccomp_files();
    line = line ? line : seccomp_sockets();
    line = line ? line : seccomp_memory();
    if (line == 0 && pthread_create(&thread, NULL, seccomp_thread, NULL) == 0) {
        pthread_join(thread, NULL);
        line = g_seccomp_line;
    } else if (line == 0) {
        line = __LINE__;
    }
    if (line)
        fprintf(stderr, "line %d: errno %d\n", line, errno);
    return line ? 1 : 0;
}

static void test_seccomp_arguments(void **state)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(seccomp_child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* With a quoting service: its kind of socket, and nothing else that was refused without. */
static int seccomp_quote_child(void)
{
    struct ocall_seccomp_options options = g_options;

    options.has_quote = true;
    if (ocall_seccomp_enforce(&options) < 0)
        return 77;
    ALLOWED(syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    DENIED(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, NULL));
    DENIED(syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    DENIED(syscall(SYS_socket, AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    return seccomp_files();
}

static void test_seccomp_with_quoting_service(void **state)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(seccomp_quote_child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Each call of the list is in a row; calls with paths only where the image has host folders. */
static void test_seccomp_list(void **state)
{
    static const uint16_t paths[] = { SYS_openat2, SYS_unlinkat, SYS_renameat2, SYS_symlinkat,
                                      SYS_mkdirat, SYS_linkat,   SYS_fchmodat,  SYS_utimensat };
    static const uint16_t never[] = { SYS_open,   SYS_openat, SYS_creat, SYS_execve, SYS_kill,
                                      SYS_ptrace, SYS_mremap, SYS_dup2,  SYS_sendmsg };
    struct ocall_seccomp_options with = { .exec_end = 1ull << 36, .has_mounts = true };
    uint16_t list[512], list_with[512];
    size_t count = ocall_seccomp_list(&g_options, list, 512);
    size_t count_with = ocall_seccomp_list(&with, list_with, 512);

    assert_in_range(count, 50, 80);
    assert_in_range(count_with, count + ARRAY_COUNT(paths), count + ARRAY_COUNT(paths) + 4);
    for (size_t i = 1; i < count; i++)
        assert_true(list[i] > list[i - 1]);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < ARRAY_COUNT(paths); j++)
            assert_int_not_equal(list[i], paths[j]);
    for (size_t i = 0; i < count_with; i++)
        for (size_t j = 0; j < ARRAY_COUNT(never); j++)
            assert_int_not_equal(list_with[i], never[j]);
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
        cmocka_unit_test(test_open_reads_file),
        cmocka_unit_test(test_paths_stay_inside),
        cmocka_unit_test(test_send_image_bounds),
        cmocka_unit_test(test_unknown_mount),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown_number),
        cmocka_unit_test(test_host_file_names),
        cmocka_unit_test(test_wake_before_sleep),
        cmocka_unit_test(test_sets_end_with_wakes),
        cmocka_unit_test(test_seccomp_list),
        cmocka_unit_test(test_seccomp_arguments),
        cmocka_unit_test(test_seccomp_with_quoting_service),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
