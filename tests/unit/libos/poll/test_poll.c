/* SPDX-License-Identifier: Apache-2.0 */
/* Rings, pipes, epoll and connections under many threads; leaks; a host that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/timerfd.h>

#include "tee/libos/fs/pipe/ring.h"
#include "tee/libos/task/clock_set.h"
#include "tests/unit/libos/poll_fake.h"
#include "tests/unit/libos/poll_shim.h"

static int set_up(void **state)
{
    (void)state;
    poll_fake_enter();
    g_poll_fake_lie = POLL_FAKE_HONEST;
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

/* ---- ring ---- */

static int64_t ring_put_bytes(struct ring *r, const uint8_t *src, size_t size)
{
    struct uio u;

    uio_init_kernel(&u, (void *)src, size);
    assert_int_equal(ring_grow(r, MIN(size, ring_free(r))), 0);
    return ring_write(r, &u, MIN(size, ring_free(r)));
}

static int64_t ring_get_bytes(struct ring *r, uint8_t *dst, size_t size)
{
    struct uio u;

    uio_init_kernel(&u, dst, size);
    return ring_read(r, &u, size);
}

static void ring_keeps_order_while_it_grows(void **state)
{
    static uint8_t in[5000], out[5000];
    struct ring r;
    uint64_t written = 0, read = 0;

    (void)state;
    ring_init(&r, 65536);
    for (unsigned round = 0; round < 2000; round++) {
        size_t size = (round * 7919) % sizeof in;
        int64_t n;

        for (size_t i = 0; i < size; i++)
            in[i] = (uint8_t)((written + i) * 31 >> 3);
        n = ring_put_bytes(&r, in, size);
        assert_in_range(n, 0, size);
        written += (uint64_t)n;
        n = ring_get_bytes(&r, out, (round * 104729) % sizeof out);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(out[i], (uint8_t)((read + (uint64_t)i) * 31 >> 3));
        read += (uint64_t)n;
        assert_int_equal(ring_used(&r), written - read);
    }
    assert_in_range(r.size, sizeof in, 65536);
    ring_done(&r);
}

static void ring_holds_its_capacity_and_no_more(void **state)
{
    static uint8_t data[8192 + 1];
    struct ring r;

    (void)state;
    ring_init(&r, 8192);
    assert_int_equal(ring_put_bytes(&r, data, sizeof data), 8192);
    assert_int_equal(ring_free(&r), 0);
    assert_int_equal(ring_set_capacity(&r, 4096), -EBUSY);
    ring_skip(&r, 5000);
    assert_int_equal(ring_set_capacity(&r, 4096), 0);
    assert_int_equal(ring_used(&r), 3192);
    assert_int_equal(ring_free(&r), 4096 - 3192);
    ring_skip(&r, SIZE_MAX);
    assert_int_equal(ring_used(&r), 0);
    ring_done(&r);
}

/* ---- pipes: records of several writers are never torn ---- */

#define WRITERS 4
#define RECORDS 3000

struct record {
    uint32_t writer, number, size, sum;
};

static int g_pipe[2];

static void *write_records(void *arg)
{
    uint8_t buffer[1024];

    for (uint32_t i = 0; i < RECORDS; i++) {
        struct record r = { .writer = (uint32_t)(uintptr_t)arg,
                            .number = i,
                            .size = (uint32_t)(sizeof r + i * 37 % (sizeof buffer - sizeof r)) };

        for (uint32_t j = sizeof r; j < r.size; j++)
            r.sum += buffer[j] = (uint8_t)(i + j * r.writer);
        memcpy(buffer, &r, sizeof r);
        if (write(g_pipe[1], buffer, r.size) != (ssize_t)r.size)
            return (void *)1;
    }
    return NULL;
}

static void read_whole(int fd, void *dst, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (uint8_t *)dst + done, size - done);

        assert_true(n > 0);
        done += (size_t)n;
    }
}

static void pipe_records_are_whole(void **state)
{
    pthread_t threads[WRITERS];
    uint32_t next[WRITERS] = { 0 };
    uint8_t body[1024];
    void *rc;

    (void)state;
    assert_int_equal(pipe(g_pipe), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_records, (void *)i), 0);
    for (unsigned i = 0; i < WRITERS * RECORDS; i++) {
        struct record r;
        uint32_t sum = 0;

        read_whole(g_pipe[0], &r, sizeof r);
        assert_in_range(r.writer, 0, WRITERS - 1);
        assert_int_equal(r.number, next[r.writer]++);
        assert_in_range(r.size, sizeof r, sizeof body);
        read_whole(g_pipe[0], body, r.size - sizeof r);
        for (uint32_t j = 0; j < r.size - sizeof r; j++)
            sum += body[j];
        assert_int_equal(sum, r.sum);
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], &rc), 0);
        assert_null(rc);
    }
}

/* ---- epoll ---- */

#define EVENT_FDS 16
#define EVENT_ROUNDS 400
#define WAIT_THREADS 3

static int g_ep, g_events[EVENT_FDS];
static uint32_t g_taken;
static uint64_t g_sum;

static void *take_events(void *arg)
{
    struct epoll_event e[4];

    (void)arg;
    while (__atomic_load_n(&g_taken, __ATOMIC_RELAXED) < EVENT_FDS * EVENT_ROUNDS) {
        int n = epoll_wait(g_ep, e, 4, 20);

        for (int i = 0; i < n; i++) {
            uint64_t value;
            int fd = g_events[e[i].data.u32];

            if (read(fd, &value, sizeof value) == sizeof value) {
                __atomic_add_fetch(&g_taken, (uint32_t)value, __ATOMIC_RELAXED);
                __atomic_add_fetch(&g_sum, value * e[i].data.u32, __ATOMIC_RELAXED);
            }
            struct epoll_event again = { .events = EPOLLIN | EPOLLONESHOT,
                                         .data.u32 = e[i].data.u32 };
            epoll_ctl(g_ep, EPOLL_CTL_MOD, fd, &again);
        }
    }
    return NULL;
}

static void epoll_loses_nothing(void **state)
{
    pthread_t threads[WAIT_THREADS];
    uint64_t want = 0, one = 1;

    (void)state;
    g_taken = 0;
    g_sum = 0;
    g_ep = epoll_create1(0);
    for (uint32_t i = 0; i < EVENT_FDS; i++) {
        struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT, .data.u32 = i };

        g_events[i] = eventfd(0, EFD_NONBLOCK);
        assert_int_equal(epoll_ctl(g_ep, EPOLL_CTL_ADD, g_events[i], &e), 0);
    }
    for (int i = 0; i < WAIT_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_events, NULL), 0);
    for (unsigned round = 0; round < EVENT_ROUNDS; round++)
        for (uint32_t i = 0; i < EVENT_FDS; i++) {
            assert_int_equal(write(g_events[i], &one, sizeof one), sizeof one);
            want += i;
        }
    for (int i = 0; i < WAIT_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(g_taken, EVENT_FDS * EVENT_ROUNDS);
    assert_int_equal(g_sum, want);
}

static void *close_and_open(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        struct epoll_event e = { .events = EPOLLIN, .data.u32 = 99 };
        uint64_t one = 1;
        int fd = eventfd(0, EFD_NONBLOCK);

        epoll_ctl(g_ep, EPOLL_CTL_ADD, fd, &e);
        if (write(fd, &one, sizeof one) != sizeof one)
            return (void *)1;
        close(fd);
    }
    return NULL;
}

static void epoll_survives_closing(void **state)
{
    pthread_t threads[2];
    struct epoll_event e[8];
    void *rc;

    (void)state;
    g_ep = epoll_create1(0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, close_and_open, NULL), 0);
    for (int i = 0; i < 500; i++) {
        int n = epoll_wait(g_ep, e, 8, 0);

        assert_in_range(n, 0, 2);
        for (int j = 0; j < n; j++)
            assert_int_equal(e[j].data.u32, 99);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &rc), 0);
        assert_null(rc);
    }
    assert_int_equal(epoll_wait(g_ep, e, 8, 0), 0);
}

/* ---- connections ---- */

#define STREAM_BYTES (3u << 20)

static void *send_stream(void *arg)
{
    static uint8_t data[40000];
    int fd = (int)(intptr_t)arg;
    uint64_t at = 0;

    for (unsigned i = 0; at < STREAM_BYTES; i++) {
        size_t size = MIN(1 + i * 9973 % sizeof data, STREAM_BYTES - at);

        for (size_t j = 0; j < size; j++)
            data[j] = (uint8_t)((at + j) % 251);
        if (send(fd, data, size, 0) != (ssize_t)size)
            return (void *)1;
        at += size;
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}

static void check_stream(int from, int to)
{
    static uint8_t data[30000];
    pthread_t thread;
    uint64_t at = 0;
    ssize_t n;
    void *rc;

    assert_int_equal(pthread_create(&thread, NULL, send_stream, (void *)(intptr_t)from), 0);
    while ((n = recv(to, data, 1 + at % sizeof data, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(data[i], (uint8_t)((at + (uint64_t)i) % 251));
        at += (uint64_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(at, STREAM_BYTES);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_null(rc);
}

static void unix_stream_keeps_bytes(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    check_stream(fds[0], fds[1]);
    check_stream(fds[1], fds[0]);
}

static int tcp_listener(struct sockaddr_in *ret)
{
    socklen_t size = sizeof *ret;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof *ret), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &size), 0);
    return fd;
}

static void tcp_inside_never_reaches_the_host(void **state)
{
    struct sockaddr_in at;
    int listener = tcp_listener(&at);
    unsigned long calls = g_poll_fake_ocalls;
    char text[8] = "";

    (void)state;
    for (int i = 0; i < 100; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof at), 0);
        int server = accept(listener, NULL, NULL);
        assert_true(server >= 0);
        assert_int_equal(send(client, "secret", 6, 0), 6);
        assert_int_equal(recv(server, text, sizeof text, 0), 6);
        assert_memory_equal(text, "secret", 6);
        close(client);
        assert_int_equal(recv(server, text, sizeof text, 0), 0);
        close(server);
    }
    /* Each eighth accept looks at the host first, so that nobody out there starves. */
    assert_in_range(g_poll_fake_ocalls - calls, 0, 100 / 8 + 1);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof at), 0);
    check_stream(client, accept(listener, NULL, NULL));
}

static void tcp_serves_the_host_too(void **state)
{
    struct sockaddr_in at;
    int listener = tcp_listener(&at);
    char text[8] = "";

    (void)state;
    /* A program outside: the machine's own calls, past the shim. */
    int outside = (socket)(AF_INET, SOCK_STREAM, 0);
    assert_int_equal((connect)(outside, (struct sockaddr *)&at, sizeof at), 0);
    int server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal((write)(outside, "hi", 2), 2);
    assert_int_equal(recv(server, text, sizeof text, 0), 2);
    assert_int_equal(send(server, "you", 3, 0), 3);
    assert_int_equal((read)(outside, text, sizeof text), 3);
    (close)(outside);
    assert_int_equal(recv(server, text, sizeof text, 0), 0);
}

/* ---- a host that lies ---- */

static void lying_name_is_an_error(void **state)
{
    struct sockaddr_in at, got;
    socklen_t size = sizeof got;
    int listener = tcp_listener(&at);
    int outside = (socket)(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal((connect)(outside, (struct sockaddr *)&at, sizeof at), 0);
    g_poll_fake_lie = POLL_FAKE_LIE_NAME;
    assert_int_equal(accept(listener, (struct sockaddr *)&got, &size), -1);
    assert_int_equal(errno, EIO);
    (close)(outside);

    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    at.sin_port = 0;
    assert_int_equal(bind(udp, (struct sockaddr *)&at, sizeof at), -1);
    assert_int_equal(errno, EIO);
}

static void lying_error_is_an_error(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(1),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t size = sizeof error;

    (void)state;
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), -1);
    g_poll_fake_lie = POLL_FAKE_LIE_ERROR;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    assert_int_equal(error, EIO);
}

static void lying_readiness_is_only_spurious(void **state)
{
    struct sockaddr_in at;
    int listener = tcp_listener(&at);
    struct epoll_event e = { .events = EPOLLIN, .data.u32 = 5 };
    struct pollfd p = { .fd = listener, .events = POLLIN };
    int ep = epoll_create1(0);

    (void)state;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e), 0);
    g_poll_fake_lie = POLL_FAKE_LIE_READY;
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_int_equal(p.revents & ~(POLLIN | POLLERR | POLLHUP), 0);
    assert_int_equal(epoll_wait(ep, &e, 1, 0), 1);
    assert_int_equal(e.events & ~(uint32_t)(EPOLLIN | EPOLLERR | EPOLLHUP), 0);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
}

/* ---- timerfd and the wall clock ---- */

#define STEP_NS 2000000000000ll

static void clock_step(int64_t by_ns)
{
    struct clock_bound b = { .earliest_ns = clock_realtime_ns() + (uint64_t)by_ns };
    int64_t step;

    assert_int_equal(clock_set_bind(&b, &step), 0);
}

/* At `after_s` of the wall clock from now. */
static int timer_at(int clock, int flags, int64_t after_s)
{
    struct timespec now;
    struct itimerspec at = { 0 };
    int fd = timerfd_create(clock, TFD_NONBLOCK);

    assert_true(fd >= 0);
    now.tv_sec = (time_t)((clock == CLOCK_MONOTONIC ? clock_monotonic_ns() : clock_realtime_ns()) /
                          1000000000u);
    at.it_value.tv_sec = now.tv_sec + after_s;
    assert_int_equal(timerfd_settime(fd, flags, &at, NULL), 0);
    return fd;
}

/* Of a time of the wall clock comes when the clock is set to after that, and not before; others keep to what passes. */
static void timerfd_follows_the_wall_clock(void **state)
{
    int wall = timer_at(CLOCK_REALTIME, TFD_TIMER_ABSTIME, 1000);
    int mono = timer_at(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, 1000);
    struct pollfd p = { .fd = wall, .events = POLLIN };
    struct itimerspec left;
    uint64_t ticks;

    (void)state;
    clock_step(-STEP_NS);
    assert_int_equal(timerfd_gettime(wall, &left), 0);
    assert_true(left.it_value.tv_sec > 2900 && left.it_value.tv_sec <= 3000);
    assert_int_equal(poll(&p, 1, 0), 0);
    clock_step(2 * STEP_NS);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(wall, &ticks, sizeof ticks), sizeof ticks);
    assert_int_equal(ticks, 1);
    assert_int_equal(timerfd_gettime(mono, &left), 0);
    assert_true(left.it_value.tv_sec > 900 && left.it_value.tv_sec <= 1000);
    clock_step(-STEP_NS);
    close(wall);
    close(mono);
}

/* TFD_TIMER_CANCEL_ON_SET: a step is told once, to the reader or to who sets the timer anew. */
static void timerfd_tells_of_steps(void **state)
{
    int fd = timer_at(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, 100000);
    struct itimerspec at = { .it_value.tv_sec = 1ll << 33 };
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t ticks;

    (void)state;
    assert_int_equal(poll(&p, 1, 0), 0);
    clock_step(STEP_NS);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(fd, &ticks, sizeof ticks), -1);
    assert_int_equal(errno, ECANCELED);
    assert_int_equal(read(fd, &ticks, sizeof ticks), -1);
    assert_int_equal(errno, EAGAIN);
    clock_step(-STEP_NS);
    assert_int_equal(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL),
                     -1);
    assert_int_equal(errno, ECANCELED);
    assert_int_equal(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL),
                     0);
    assert_int_equal(timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL), 0);
    clock_step(1000000000);
    assert_int_equal(poll(&p, 1, 0), 0);
    clock_step(-1000000000);
    close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(ring_keeps_order_while_it_grows),
        CASE(ring_holds_its_capacity_and_no_more),
        CASE(pipe_records_are_whole),
        CASE(epoll_loses_nothing),
        CASE(epoll_survives_closing),
        CASE(unix_stream_keeps_bytes),
        CASE(tcp_inside_never_reaches_the_host),
        CASE(tcp_serves_the_host_too),
        CASE(timerfd_follows_the_wall_clock),
        CASE(timerfd_tells_of_steps),
        CASE(lying_name_is_an_error),
        CASE(lying_error_is_an_error),
        CASE(lying_readiness_is_only_spurious),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
