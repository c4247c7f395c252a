/* SPDX-License-Identifier: Apache-2.0 */
/* epoll on host sockets: each mode, duplicates, nesting, threads, many descriptors, and a host that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/libos/poll_fake.h"
#include "tests/unit/libos/poll_shim.h"

#define MANY 150

static int g_ep;

static int set_up(void **state)
{
    (void)state;
    poll_fake_enter();
    g_poll_fake_lie = POLL_FAKE_HONEST;
    g_ep = epoll_create1(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    g_poll_fake_lie = POLL_FAKE_HONEST;
    poll_fake_close_all();
    assert_int_equal(g_poll_fake_blocks, 0);
    return 0;
}

/* A connection: the end inside is returned, *ret_outside is the machine's own. */
static int connection(int *ret_outside)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    *ret_outside = (socket)(AF_INET, SOCK_STREAM, 0);
    assert_int_equal((connect)(*ret_outside, (struct sockaddr *)&at, sizeof at), 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    close(listener);
    return fd;
}

static void watch(int ep, int fd, uint32_t events, uint32_t data)
{
    struct epoll_event e = { .events = events, .data.u32 = data };

    assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0);
}

static void say(int outside)
{
    assert_int_equal((write)(outside, "x", 1), 1);
}

static void hear(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 1);
}

/* What one wait of up to ms reports: 0, or the data of the only event. */
static int next_event(int ms)
{
    struct epoll_event e[4];
    int n = epoll_wait(g_ep, e, 4, ms);

    assert_in_range(n, 0, 1);
    return n ? (int)e[0].data.u32 : 0;
}

static void level_is_told_until_it_is_read(void **state)
{
    int outside, fd = connection(&outside);

    (void)state;
    watch(g_ep, fd, EPOLLIN, 7);
    assert_int_equal(next_event(0), 0);
    say(outside);
    assert_int_equal(next_event(1000), 7);
    assert_int_equal(next_event(1000), 7);
    hear(fd);
    assert_int_equal(next_event(0), 0);
    (close)(outside);
    assert_int_equal(next_event(1000), 7);
}

static void edge_is_told_once(void **state)
{
    int outside, fd = connection(&outside);
    struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u32 = 8 };

    (void)state;
    watch(g_ep, fd, EPOLLIN | EPOLLET, 7);
    say(outside);
    assert_int_equal(next_event(1000), 7);
    assert_int_equal(next_event(10), 0);
    say(outside);
    assert_int_equal(next_event(1000), 7);
    assert_int_equal(epoll_ctl(g_ep, EPOLL_CTL_MOD, fd, &e), 0);
    assert_int_equal(next_event(1000), 8);
    assert_int_equal(next_event(10), 0);
    (close)(outside);
}

static void one_shot_is_told_once(void **state)
{
    int outside, fd = connection(&outside);
    struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT, .data.u32 = 9 };

    (void)state;
    watch(g_ep, fd, EPOLLIN | EPOLLONESHOT, 7);
    say(outside);
    assert_int_equal(next_event(1000), 7);
    say(outside);
    assert_int_equal(next_event(10), 0);
    assert_int_equal(epoll_ctl(g_ep, EPOLL_CTL_MOD, fd, &e), 0);
    assert_int_equal(next_event(1000), 9);
    assert_int_equal(next_event(10), 0);
    (close)(outside);
}

static void duplicates_are_told_each(void **state)
{
    struct epoll_event e[4];
    int outside, fd = connection(&outside), other = dup(fd);

    (void)state;
    watch(g_ep, fd, EPOLLIN | EPOLLET, 1);
    watch(g_ep, other, EPOLLIN, 2);
    say(outside);
    assert_int_equal(epoll_wait(g_ep, e, 4, 1000), 2);
    assert_int_equal(e[0].data.u32 + e[1].data.u32, 3);
    assert_int_equal(next_event(1000), 2);
    assert_int_equal(epoll_ctl(g_ep, EPOLL_CTL_DEL, other, NULL), 0);
    assert_int_equal(next_event(10), 0);
    say(outside);
    assert_int_equal(next_event(1000), 1);
    (close)(outside);
}

static void what_is_closed_is_not_told(void **state)
{
    int outside[3], fd[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        fd[i] = connection(&outside[i]);
        watch(g_ep, fd[i], EPOLLIN, (uint32_t)i + 1);
        say(outside[i]);
    }
    assert_int_equal(epoll_ctl(g_ep, EPOLL_CTL_DEL, fd[0], NULL), 0);
    close(fd[1]);
    assert_int_equal(next_event(1000), 3);
    watch(g_ep, fd[0], EPOLLIN, 4);
    hear(fd[2]);
    assert_int_equal(next_event(1000), 4);
    for (int i = 0; i < 3; i++)
        (close)(outside[i]);
}

static void nested_tells_what_the_inner_has(void **state)
{
    struct epoll_event e[2];
    int outside, fd = connection(&outside), inner = epoll_create1(0);
    struct pollfd p = { .fd = g_ep, .events = POLLIN };

    (void)state;
    watch(g_ep, inner, EPOLLIN, 5); /* before the inner one has host descriptors */
    watch(inner, fd, EPOLLIN, 6);
    assert_int_equal(next_event(0), 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    say(outside);
    assert_int_equal(poll(&p, 1, 1000), 1);
    assert_int_equal(next_event(1000), 5);
    assert_int_equal(epoll_wait(inner, e, 2, 0), 1);
    assert_int_equal(e[0].data.u32, 6);
    hear(fd);
    assert_int_equal(next_event(10), 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    (close)(outside);
}

static void inside_does_not_starve_the_host(void **state)
{
    struct epoll_event e[1];
    int outside, fd = connection(&outside), always = eventfd(1, 0), seen = 0;

    (void)state;
    watch(g_ep, always, EPOLLIN, 1);
    watch(g_ep, fd, EPOLLIN, 2);
    say(outside);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(epoll_wait(g_ep, e, 1, 1000), 1);
        seen += e[0].data.u32 == 2;
    }
    assert_in_range(seen, 1, 19);
    (close)(outside);
}

static void many_edges_are_told_once_each(void **state)
{
    static int outside[MANY];
    static uint8_t told[MANY];
    struct epoll_event e[MANY];
    int count = 0, n;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        watch(g_ep, connection(&outside[i]), EPOLLIN | EPOLLET, i);
        say(outside[i]);
    }
    while ((n = epoll_wait(g_ep, e, MANY, 10)) > 0) {
        for (int i = 0; i < n; i++)
            assert_int_equal(told[e[i].data.u32]++, 0);
        count += n;
    }
    assert_int_equal(count, MANY);
    for (int i = 0; i < MANY; i++)
        (close)(outside[i]);
}

/* Makes something inside the enclave, or on the host, ready, a little later. */
static void *later(void *arg)
{
    const uint64_t one = 1;
    int fd = (int)(intptr_t)arg;

    poll_fake_enter();
    usleep(20000);
    if (fd < POLL_FAKE_FD_COUNT)
        assert_int_equal(write(fd, &one, sizeof one), sizeof one);
    else
        say(fd);
    return NULL;
}

static void *wait_for_one(void *arg)
{
    struct epoll_event e[1];
    int n;

    poll_fake_enter();
    n = epoll_wait(g_ep, e, 1, 5000);
    return (void *)(intptr_t)(n == 1 ? (int)e[0].data.u32 : -1);
}

static void sleepers_are_woken_by_both(void **state)
{
    int outside, fd = connection(&outside), inside = eventfd(0, EFD_NONBLOCK);
    pthread_t sleepers[2], helper;
    void *got[2];
    uint64_t value;

    (void)state;
    outside = poll_fake_move_fd(outside);
    watch(g_ep, fd, EPOLLIN | EPOLLET, 1);
    watch(g_ep, inside, EPOLLIN | EPOLLET, 2);
    for (int round = 0; round < 5; round++) {
        int ready[2] = { inside, outside };

        for (int i = 0; i < 2; i++)
            pthread_create(&sleepers[i], NULL, wait_for_one, NULL);
        for (int i = 0; i < 2; i++) {
            pthread_create(&helper, NULL, later, (void *)(intptr_t)ready[i]);
            pthread_join(helper, NULL);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(sleepers[i], &got[i]);
        assert_int_equal((intptr_t)got[0] + (intptr_t)got[1], 3);
        hear(fd);
        assert_int_equal(read(inside, &value, sizeof value), sizeof value);
    }
    (close)(outside);
}

static void lies_are_only_spurious(void **state)
{
    struct epoll_event e[8];
    int outside, fd = connection(&outside), gone = connection(&outside);

    (void)state;
    watch(g_ep, fd, EPOLLIN, 1);
    watch(g_ep, gone, EPOLLIN | EPOLLOUT, 2);
    close(gone);
    g_poll_fake_lie = POLL_FAKE_LIE_READY;
    for (int i = 0; i < 1000; i++) {
        int n = epoll_wait(g_ep, e, 8, 0);

        assert_in_range(n, 0, 1);
        if (n == 1) {
            assert_int_equal(e[0].data.u32, 1);
            assert_int_equal(e[0].events & ~(uint32_t)(EPOLLIN | EPOLLERR | EPOLLHUP), 0);
        }
    }
    g_poll_fake_lie = POLL_FAKE_HONEST;
    assert_int_equal(next_event(0), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(level_is_told_until_it_is_read),  CASE(edge_is_told_once),
        CASE(one_shot_is_told_once),           CASE(duplicates_are_told_each),
        CASE(what_is_closed_is_not_told),      CASE(nested_tells_what_the_inner_has),
        CASE(inside_does_not_starve_the_host), CASE(many_edges_are_told_once_each),
        CASE(sleepers_are_woken_by_both),      CASE(lies_are_only_spurious),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
