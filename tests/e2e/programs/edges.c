/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads from connections that an edge-triggered epoll watches, until there is no more, as event loops do: nothing that comes may be
 * missed. edges PORT: connects to the host's port, once to tell what the other side shall do (tests/e2e/test_edges.py), and twice
 * for each case. Prints a line a case.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NOTHING_MS 400
#define PATIENCE_S 30
#define READS_MAX 50000000
#define ROUNDS 200

static int g_port, g_control;

/* One case's connections; a is watched. */
struct pair {
    int a, b, set;
};

static void check(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int connect_host(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)g_port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    return fd;
}

/* The other side does its next step; without waiting for it. */
static void next(void)
{
    check(send(g_control, "n", 1, 0) == 1, "control");
}

/* As next, and it is done. */
static void step(void)
{
    char answer;

    next();
    check(recv(g_control, &answer, 1, 0) == 1, "control");
}

static int wait_event(const struct pair *p, int ms)
{
    struct epoll_event event;

    return epoll_wait(p->set, &event, 1, ms);
}

static struct pair open_pair(char what)
{
    struct pair p;
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

    check(send(g_control, &what, 1, 0) == 1, "control");
    p.a = connect_host();
    p.b = connect_host();
    p.set = epoll_create1(0);
    check(fcntl(p.a, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    check(epoll_ctl(p.set, EPOLL_CTL_ADD, p.a, &event) == 0, "epoll_ctl");
    check(wait_event(&p, PATIENCE_S * 1000) == 1, "writable");
    return p;
}

static void close_pair(const struct pair *p)
{
    close(p->a);
    close(p->b);
    close(p->set);
    puts("");
}

/* One read; what came goes to the output. returns: 1 something came, 0 nothing now, -1 the end. */
static int read_once(int fd)
{
    char bytes[256];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);

    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n < 0) {
        printf(" %s", strerrorname_np(errno));
        return -1;
    }
    if (n == 0)
        printf(" end");
    else
        printf("%.*s", (int)n, bytes);
    return n ? 1 : -1;
}

/* As an event loop: read until nothing is there, wait for an edge, read again. */
static void drain(const struct pair *p)
{
    for (;;) {
        int rc = read_once(p->a);

        if (rc < 0)
            return;
        if (rc == 0 && wait_event(p, NOTHING_MS) == 0) {
            printf(" nothing");
            return;
        }
    }
}

static void drain_case(char what, const char *name)
{
    struct pair p = open_pair(what);

    printf("%s: ", name);
    step();
    check(wait_event(&p, PATIENCE_S * 1000) == 1, "readable");
    drain(&p);
    close_pair(&p);
}

/* Question and answer, with one read too many after each. */
static void talk(void)
{
    struct pair p = open_pair('t');
    char bytes[64], out[64];
    size_t got = 0, sent = 0;

    for (int i = 0; i < ROUNDS; i++) {
        size_t size = 1 + (size_t)i % sizeof out;

        memset(out, 'a' + i % 26, size);
        check(send(p.a, out, size, 0) == (ssize_t)size, "send");
        sent += size;
        while (got < sent) {
            ssize_t n = recv(p.a, bytes, sizeof bytes, 0);

            check(n > 0 || (n < 0 && errno == EAGAIN), "recv");
            if (n > 0)
                got += (size_t)n;
            else
                check(wait_event(&p, PATIENCE_S * 1000) == 1, "answer");
        }
    }
    printf("talk: %zu", got);
    close_pair(&p);
}

/* What was sent first is there when what was sent after it is. */
static void order(void)
{
    struct pair p = open_pair('o');
    char byte;

    printf("order: ");
    step();
    check(wait_event(&p, PATIENCE_S * 1000) == 1 && read_once(p.a) == 1, "first");
    next();
    check(recv(p.b, &byte, 1, 0) == 1, "other");
    check(read_once(p.a) == 1, "second");
    close_pair(&p);
}

/* Who asks again and again, and does nothing else, is told in the end. */
static void again(void)
{
    struct pair p = open_pair('g');
    int rc = 0;

    printf("again: ");
    step();
    check(wait_event(&p, PATIENCE_S * 1000) == 1 && read_once(p.a) == 1, "first");
    next();
    for (int i = 0; rc == 0 && i < READS_MAX; i++)
        rc = read_once(p.a);
    check(rc == 1, "second");
    close_pair(&p);
}

static atomic_int g_seen;

static void *watch(void *arg)
{
    while (g_seen < 2)
        if (wait_event(arg, PATIENCE_S * 1000) == 1)
            g_seen++;
        else
            break;
    return NULL;
}

static void wait_seen(int count)
{
    time_t until = time(NULL) + PATIENCE_S;

    while (g_seen < count && time(NULL) < until)
        __builtin_ia32_pause();
    check(g_seen >= count, "edge");
}

/* Another thread has the edge: a read after it gives what it was about. */
static void other_thread(void)
{
    struct pair p = open_pair('o');
    pthread_t thread;

    printf("thread: ");
    g_seen = 0;
    check(pthread_create(&thread, NULL, watch, &p) == 0, "thread");
    next();
    wait_seen(1);
    check(read_once(p.a) == 1, "first");
    next();
    wait_seen(2);
    check(read_once(p.a) == 1, "second");
    pthread_join(thread, NULL);
    char answer;
    check(recv(g_control, &answer, 1, 0) == 1, "control");
    close_pair(&p);
}

int main(int argc, char **argv)
{
    check(argc == 2, "usage: edges PORT");
    g_port = (int)strtol(argv[1], NULL, 10);
    check(g_port > 0 && g_port < 65536, "port");
    g_control = connect_host();
    drain_case('e', "end");
    drain_case('r', "reset");
    drain_case('u', "urgent");
    talk();
    order();
    again();
    for (int i = 0; i < 20; i++)
        other_thread();
    return 0;
}
