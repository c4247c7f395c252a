/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's reader of HTTP responses, whole and byte by byte; and requests to ends that never answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tee/agent/server/http.h"
#include "tee/agent/server/http_read.h"
#include "tee/agent/server/lease.h"

static struct http_read g_read;

/* In one piece, or in pieces of step bytes. returns: as http_read_add, http_read_end at the end. */
static int feed(const char *text, size_t size, size_t step)
{
    int rc = 0;

    http_read_done(&g_read);
    for (size_t i = 0; i < size && rc >= 0; i += step) {
        size_t left = size - i;

        if (rc == 1)
            return -EPROTO;
        rc = http_read_add(&g_read, text + i, left < step ? left : step);
    }
    return rc == 0 ? http_read_end(&g_read) : rc;
}

static void expect(const char *text, int want, unsigned status, const char *body)
{
    static const size_t steps[] = { 1, 2, 7, 100000 };

    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        assert_int_equal(feed(text, strlen(text), steps[i]), want);
        if (want != 1)
            continue;
        assert_int_equal(g_read.status, status);
        assert_string_equal(g_read.body ? g_read.body : "", body);
    }
}

static void test_responses(void **state)
{
    expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 1, 200, "{}");
    expect("HTTP/1.1 200\r\ncontent-length:2\r\n\r\n{}", 1, 200, "{}");
    expect("HTTP/1.1 204 No Content\r\n\r\n", 1, 204, "");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1, 200, "");
    expect("HTTP/1.0 200 OK\r\n\r\nto the end", 1, 200, "to the end");
    expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx", 1, 403,
           "x");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
           "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n",
           1, 200, "abcde");
    expect("HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n", 1,
           302, "");
    expect("HTTP/1.1 403 X\r\nContent-Type: application/problem+json; "
           "charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
           1, 403, "{}");
    assert_true(g_read.is_problem);
}

static void test_refused(void **state)
{
    expect("", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", -EPROTO, 0, ""); /* cut */
    expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", -EPROTO, 0, ""); /* more than said */
    expect("HTTP/2 200 OK\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 2000 OK\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 099 OK\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 101 Switching\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nA\r\n0\r\n\r\n", -EPROTO, 0,
           "");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", -EPROTO, 0, "");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", -EPROTO, 0, "");
}

static void test_bounds(void **state)
{
    static char text[HTTP_HEAD_SIZE_MAX + 64];
    static char step[65536];
    int rc = 0;

    expect("HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n", -EMSGSIZE, 0, "");
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000001\r\n", -EMSGSIZE, 0, "");
    memset(text, 'a', sizeof text);
    memcpy(text, "HTTP/1.1 200 OK\r\nA: ", 20);
    assert_int_equal(feed(text, sizeof text, 4096), -EMSGSIZE);
    /* One head as long as may be. */
    memcpy(text + HTTP_HEAD_SIZE_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(feed(text, HTTP_HEAD_SIZE_MAX, 4096), 1);
    /* Without end: a body until the connection closes. */
    assert_int_equal(feed("HTTP/1.1 200 OK\r\n\r\n", 19, 19), 1);
    for (unsigned i = 0; i <= HTTP_BODY_SIZE_MAX / sizeof step && rc == 0; i++)
        rc = http_read_add(&g_read, step, sizeof step);
    assert_int_equal(rc, -EMSGSIZE);
    /* Interim responses without end. */
    http_read_done(&g_read);
    for (unsigned i = 0; i <= HTTP_INTERIM_MAX; i++)
        rc = http_read_add(&g_read, "HTTP/1.1 102 X\r\n\r\n", 18);
    assert_int_equal(rc, -EPROTO);
    http_read_done(&g_read);
}

/* ---- requests ---- */

static int listen_local(char url[64])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, 64, "https://127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

static int ask(const struct http *http, const char *url, unsigned timeout_ms, struct err *err)
{
    struct http_request request = {
        .server = url, .method = "GET", .path = "/", .end_ms = lease_clock_ms() + timeout_ms
    };
    struct http_answer answer = { 0 };
    int rc = http_perform(http, &request, &answer, err);

    http_answer_done(&answer);
    return rc;
}

/* It takes the connection and says nothing. */
static void test_silent_server(void **state)
{
    struct pins pins = { .count = 1 };
    struct http http;
    struct err err = { 0 };
    char url[64];
    int cancel = eventfd(0, EFD_NONBLOCK), fd = listen_local(url);
    uint64_t one = 1;

    assert_int_equal(http_new(&pins, cancel, &http), 0);
    assert_int_equal(ask(&http, url, 100, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "TLS handshake"));
    assert_int_equal(http_pause(&http, lease_clock_ms() + 1), 0);
    assert_int_equal(write(cancel, &one, sizeof one), sizeof one);
    assert_int_equal(ask(&http, url, 1000000, &err), -ECANCELED);
    assert_int_equal(http_pause(&http, UINT64_MAX), -ECANCELED);
    http_done(&http);
    close(fd);
    close(cancel);
}

static void test_no_server(void **state)
{
    struct pins pins = { .count = 1 };
    struct http http;
    struct err err = { 0 };
    char url[64];
    int fd = listen_local(url);

    close(fd);
    assert_int_equal(http_new(&pins, -1, &http), 0);
    assert_int_equal(ask(&http, url, 10000, &err), -ECONNREFUSED);
    assert_int_equal(ask(&http, "http://127.0.0.1:1", 10000, &err), -EINVAL);
    http_done(&http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_silent_server),
        cmocka_unit_test(test_no_server),
    };

    http_read_init(&g_read);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
