/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load for memcached: memload PORT CONNECTIONS SECONDS. Each connection has one request under way; one of ten is a set,
 * the others are gets of 100 bytes. Prints requests a second. Fails when an answer is not what it should be.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTION_COUNT_MAX 1000
#define VALUE_SIZE 100
#define KEY_COUNT 1000

struct connection {
    int fd;
    unsigned count;
    size_t want, got; /* bytes of the answer */
    char answer[256];
};

static char g_value[VALUE_SIZE + 1];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void ask(struct connection *c)
{
    unsigned key = c->count * 7919u % KEY_COUNT;
    char request[256], head[64];
    int size;

    if (c->count++ % 10 == 0) {
        size = snprintf(request, sizeof request, "set key%u 0 0 %d\r\n%s\r\n", key, VALUE_SIZE,
                        g_value);
        c->want = strlen("STORED\r\n");
    } else {
        size = snprintf(request, sizeof request, "get key%u\r\n", key);
        c->want = (size_t)snprintf(head, sizeof head, "VALUE key%u 0 %d\r\n", key, VALUE_SIZE) +
                  VALUE_SIZE + strlen("\r\nEND\r\n");
    }
    c->got = 0;
    if (write(c->fd, request, (size_t)size) != size)
        fail("write");
}

/* returns: 1 when the answer is whole. */
static unsigned take(struct connection *c)
{
    ssize_t n = read(c->fd, c->answer + c->got, sizeof c->answer - c->got);

    if (n <= 0)
        fail("read");
    c->got += (size_t)n;
    if (c->got < c->want)
        return 0;
    if (c->got > c->want || (c->answer[0] != 'S' && c->answer[0] != 'V')) {
        fprintf(stderr, "unexpected answer: %.*s\n", (int)c->got, c->answer);
        exit(1);
    }
    ask(c);
    return 1;
}

static void open_all(struct connection *all, int count, int port, int poll)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    for (int i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &all[i] };

        all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (all[i].fd < 0 || connect(all[i].fd, (struct sockaddr *)&to, sizeof to) < 0)
            fail("connect");
        setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
}

/* All keys exist before the first get. */
static void fill(struct connection *c)
{
    for (unsigned key = 0; key < KEY_COUNT; key++) {
        char text[256];
        int size =
            snprintf(text, sizeof text, "set key%u 0 0 %d\r\n%s\r\n", key, VALUE_SIZE, g_value);

        if (write(c->fd, text, (size_t)size) != size || read(c->fd, text, sizeof text) != 8)
            fail("fill");
    }
}

int main(int argc, char **argv)
{
    static struct connection all[CONNECTION_COUNT_MAX];
    struct epoll_event events[64];
    unsigned long done = 0;

    if (argc != 4 || atoi(argv[2]) < 1 || atoi(argv[2]) > CONNECTION_COUNT_MAX) {
        fprintf(stderr, "usage: memload PORT CONNECTIONS SECONDS\n");
        return 2;
    }
    int count = atoi(argv[2]), poll = epoll_create1(0);
    memset(g_value, 'v', VALUE_SIZE);
    open_all(all, count, atoi(argv[1]), poll);
    fill(&all[0]);
    for (int i = 0; i < count; i++) {
        all[i].count = (unsigned)i;
        ask(&all[i]);
    }
    double start = now_s(), end = start + atof(argv[3]), at;
    while ((at = now_s()) < end) {
        int n = epoll_wait(poll, events, 64, 1000);

        if (n <= 0)
            fail("nothing comes");
        for (int i = 0; i < n; i++)
            done += take(events[i].data.ptr);
    }
    printf("memload %.0f\n", (double)done / (at - start));
    return 0;
}
