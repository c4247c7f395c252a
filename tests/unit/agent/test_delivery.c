/* SPDX-License-Identifier: Apache-2.0 */
/* Files and socket of the agent, in a folder of /dev/shm (memory, as in the TEE). Root is needed only for owners. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tee/agent/server/config.h"
#include "tee/agent/server/delivery.h"
#include "tee/agent/server/desk.h"

#define PATH_SIZE 256

static char g_folder[64];
static struct err g_err;

static const char *at(const char *name)
{
    static char paths[4][PATH_SIZE];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_SIZE, "%s/%s", g_folder, name);
    return path;
}

static void expect_file(const char *path, const char *text, unsigned mode)
{
    char got[256] = "";
    struct stat st;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    assert_string_equal(got, text);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    close(fd);
}

static int put(const char *path, const char *text)
{
    return delivery_write(path, text, strlen(text), 0440, getuid(), getgid(), &g_err);
}

static void test_write(void **state)
{
    int fd;
    char old[8] = "";

    assert_int_equal(put(at("a/b/c"), "one"), 0);
    expect_file(at("a/b/c"), "one", 0440);
    fd = open(at("a/b/c"), O_RDONLY);
    assert_int_equal(put(at("a/b/c"), "two"), 0);
    expect_file(at("a/b/c"), "two", 0440);
    assert_int_equal(read(fd, old, 7), 3); /* who has the old one open keeps it whole */
    assert_string_equal(old, "one");
    close(fd);
    assert_int_equal(access(at("a/b/.c.cloche"), F_OK), -1);
    assert_true(put("relative", "x") < 0);
    assert_true(put(at("a/"), "x") < 0);
    assert_true(put(at("a/b"), "x") < 0); /* a folder */
    assert_true(put(at("a/b/c/d"), "x") < 0);
    assert_int_equal(put("/proc/nothing", "x") < 0, 1);
}

static void test_links(void **state)
{
    assert_int_equal(put(at("real/x"), "kept"), 0);
    assert_int_equal(symlink(at("real"), at("link")), 0);
    assert_true(put(at("link/x"), "no") < 0);
    expect_file(at("real/x"), "kept", 0440);
    /* The file itself: replaced, not followed; what waits under the temporary name as well. */
    assert_int_equal(symlink(at("real/x"), at("y")), 0);
    assert_int_equal(symlink(at("real/x"), at(".y.cloche")), 0);
    assert_int_equal(put(at("y"), "new"), 0);
    expect_file(at("y"), "new", 0440);
    expect_file(at("real/x"), "kept", 0440);
}

static struct secret file_secret(const char *name, const char *value)
{
    struct secret s = {
        .delivery = SECRET_FILE, .mode = 0400, .value = (uint8_t *)value, .size = strlen(value)
    };

    snprintf(s.name, sizeof s.name, "%s", name);
    snprintf(s.target, sizeof s.target, "%s", at(name));
    return s;
}

static void test_rotation_and_wipe(void **state)
{
    struct delivery d = { .run_folder = g_folder, .uid = getuid(), .gid = getgid() };
    struct secret before[] = { file_secret("s1", "1"), file_secret("s2", "2") };
    struct secret after[] = { file_secret("s2", "22"), file_secret("s3", "3") };
    struct secret_list one = { 2, before }, two = { 2, after };
    int fd;
    char left[4] = "x";

    assert_int_equal(delivery_files(&d, &one, NULL, &g_err), 0);
    expect_file(at("s1"), "1", 0400);
    assert_int_equal(delivery_files(&d, &two, &one, &g_err), 0);
    assert_int_equal(access(at("s1"), F_OK), -1);
    expect_file(at("s2"), "22", 0400);
    assert_int_equal(put(at("tls/key.pem"), "key"), 0);
    fd = open(at("tls/key.pem"), O_RDONLY);
    delivery_wipe(&d, &two);
    assert_int_equal(access(at("s2"), F_OK), -1);
    assert_int_equal(access(at("tls/key.pem"), F_OK), -1);
    assert_int_equal(read(fd, left, 3), 3);
    assert_memory_equal(left, "\0\0\0", 3);
    close(fd);
    /* One that cannot be written does not keep the others from being written. */
    snprintf(after[0].target, sizeof after[0].target, "%s", at("a/b"));
    assert_true(delivery_files(&d, &two, NULL, &g_err) < 0);
    expect_file(at("s3"), "3", 0400);
}

/* ---- the socket ---- */

static struct desk g_desk;

static int dial(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", at("sock"));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void serve(unsigned rounds)
{
    struct pollfd fds[DESK_FDS_MAX];

    while (rounds-- > 0) {
        desk_fds(&g_desk, fds);
        if (poll(fds, DESK_FDS_MAX, 0) > 0)
            desk_serve(&g_desk, fds);
    }
}

static void expect_answer(int fd, const char *want)
{
    char got[4096] = "";
    size_t size = 0;
    ssize_t n;

    while ((n = recv(fd, got + size, sizeof got - 1 - size, MSG_DONTWAIT)) > 0)
        size += (size_t)n;
    assert_int_equal(n, 0); /* closed */
    assert_non_null(strstr(got, want));
    close(fd);
}

static void expect_request(const char *request, const char *want)
{
    int fd = dial();

    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    serve(4);
    expect_answer(fd, want);
}

/* A process of another user, whom the socket's mode would let in. */
static void test_strangers(void **state)
{
    struct desk_stock stock = { .key_pem = "KEY", .generation = 1 };
    int ready[2], status;
    char word;
    pid_t pid;

    if (getuid() != 0)
        skip();
    assert_int_equal(desk_open(&g_desk, at("sock"), 1000, 1000), 0);
    assert_int_equal(chmod(at("sock"), 0777), 0);
    assert_int_equal(chmod(g_folder, 0755), 0);
    assert_int_equal(pipe(ready), 0);
    desk_stock_set(&g_desk, &stock);
    for (uid_t uid = 1000; uid < 1002; uid++) {
        pid = fork();
        if (pid == 0) {
            char answer[256];
            int fd;

            if (setuid(uid) < 0)
                _exit(9);
            fd = dial();
            if (send(fd, "GET /v1/key HTTP/1.1\r\n\r\n", 24, MSG_NOSIGNAL) < 0 ||
                write(ready[1], "x", 1) != 1)
                _exit(9);
            _exit(recv(fd, answer, sizeof answer, 0) > 0 ? 1 : 0);
        }
        assert_int_equal(read(ready[0], &word, 1), 1);
        serve(4);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), uid == 1000);
    }
    close(ready[0]);
    close(ready[1]);
    close(g_desk.fd);
}

static void test_desk(void **state)
{
    static char huge[DESK_REQUEST_SIZE];
    struct secret item = { .name = "a/b",
                           .version = "7",
                           .delivery = SECRET_SOCKET,
                           .value = (uint8_t *)"value",
                           .size = 5 };
    struct secret_list secrets = { 1, &item };
    struct answer answer = {
        .instance = "ins", .certificates = "CERT", .roots = "ROOTS", .result = "RESULT"
    };
    struct desk_stock stock = { .answer = &answer,
                                .secrets = &secrets,
                                .key_pem = "KEY",
                                .generation = 1 },
                      nothing = { .generation = 2 };
    int waiting, quiet, clients[DESK_CLIENTS_MAX + 4];

    assert_int_equal(desk_open(&g_desk, at("sock"), getuid(), getgid()), 0);
    desk_stock_set(&g_desk, &stock);
    expect_request("GET /v1/secrets/a/b HTTP/1.1\r\nHost: x\r\n\r\n",
                   "Cloche-Version: 7\r\n\r\nvalue");
    expect_request("GET /v1/key HTTP/1.0\r\n\r\n", "\r\n\r\nKEY");
    expect_request("GET /v1/certificate HTTP/1.1\n\n", "200 OK");
    expect_request("GET /v1/secrets/c HTTP/1.1\r\n\r\n", "404");
    expect_request("GET /v1/wait?after=0 HTTP/1.1\r\n\r\n", "{\"generation\":1}");
    expect_request("GET /v1/wait?after=x HTTP/1.1\r\n\r\n", "404");
    expect_request("POST /v1/key HTTP/1.1\r\n\r\n", "400");
    expect_request("GET /v1/key\r\n\r\n", "400");
    expect_request("\r\n\r\n", "400");
    memset(huge, 'a', sizeof huge - 1);
    expect_request(huge, "431");
    waiting = dial();
    assert_int_equal(send(waiting, "GET /v1/wait?after=1 HTTP/1.1\r\n\r\n", 33, 0), 33);
    quiet = dial();
    serve(4);
    desk_stock_set(&g_desk, &nothing);
    serve(4);
    expect_answer(waiting, "{\"generation\":2}");
    close(quiet);
    serve(2);
    expect_request("GET /v1/secrets/a/b HTTP/1.1\r\n\r\n", "410 Gone");
    expect_request("GET /v1/key HTTP/1.1\r\n\r\n", "410 Gone");
    /* More than are served at a time: the last ones are turned away, then there is room again. */
    for (unsigned i = 0; i < ARRAY_COUNT(clients); i++) {
        clients[i] = dial();
        serve(2);
    }
    expect_answer(clients[DESK_CLIENTS_MAX], "");
    for (unsigned i = 0; i < ARRAY_COUNT(clients); i++)
        if (i != DESK_CLIENTS_MAX)
            close(clients[i]);
    serve(4);
    expect_request("GET /v1/key HTTP/1.1\r\n\r\n", "410 Gone");
}

/* ---- the handover's words ---- */

#define CA "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define APP                                                                                        \
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d" \
    "2e2f"

static void test_words(void **state)
{
    static const char *const bad[] = {
        "",
        CA,
        CA " " APP " 1 SIGTERM -",
        CA " " APP " 0 SIGTERM - https://a",
        CA " " APP " 1 TERM - https://a",
        CA " " APP " 1 SIGNOT - https://a",
        CA " " APP " 1 SIGTERM - http://a",
        CA "  " APP " 1 SIGTERM - https://a",
        APP " " APP " 1 SIGTERM - https://a",
        CA " " CA " 1 SIGTERM - https://a",
        CA " " APP " 1 SIGTERM - https://a ",
        CA " " APP " 1 SIGTERM - https://1 https://2 https://3 https://4 https://5 https://6 "
           "https://7 https://8 https://9",
    };
    struct config c;

    assert_int_equal(config_parse(CA " " APP " 60 SIGRTMIN+3 SIGHUP https://a:1 https://[::1]", &c),
                     0);
    assert_int_equal(c.stop_signal, SIGRTMIN + 3);
    assert_int_equal(c.reload_signal, SIGHUP);
    assert_int_equal(c.start_limit_s, 60);
    assert_int_equal(c.exchange.server_count, 2);
    assert_int_equal(c.exchange.ca_key_sha256[1], 0x11);
    assert_string_equal(c.exchange.app_digest, APP);
    assert_int_equal(config_parse(CA " " APP " 60 SIGIO - https://a", &c), 0);
    assert_int_equal(c.reload_signal, 0);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(config_parse(bad[i], &c), -EINVAL);
}

static int setup(void **state)
{
    snprintf(g_folder, sizeof g_folder, "/dev/shm/cloche-agent-XXXXXX");
    return mkdtemp(g_folder) == NULL;
}

static int teardown(void **state)
{
    static const char *const left[] = { "a/b/c", "real/x", "link", "y",    "s3",
                                        "sock",  "a/b",    "a",    "real", "tls" };

    for (size_t i = 0; i < ARRAY_COUNT(left); i++)
        remove(at(left[i]));
    return rmdir(g_folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_rotation_and_wipe),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_desk),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
