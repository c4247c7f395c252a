/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relays between plain TCP and attested TLS, one thread for all connections. Relying party side as a proxy; inside a TEE as a server's
 * front. Both ends may be hostile: counts, buffers and times are bounded, and a TLS end that stops without saying so resets the
 * plain end, so that nobody takes a cut answer for a whole one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>

#include "cli/attest.h"
#include "cli/attest_stream.h"
#include "cli/cli.h"

#define ANSWER_MS 2000 /* so long is a request waited for that will be refused */
#define WHY_SIZE 768u
#define RETRY_MS 100 /* the workload does not listen yet */

static int g_signal_pipe[2] = { -1,
                                -1 }; /* signal numbers, from handlers to the loop; set up once */

static void on_signal(int number)
{
    int saved = errno;
    uint8_t byte = (uint8_t)number;

    if (write(g_signal_pipe[1], &byte, 1) < 0) {
        /* Full: the loop has enough to read. */
    }
    errno = saved;
}

int attest_relay_signals_begin(void)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGCHLD };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    if (pipe2(g_signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++)
        if (sigaction(numbers[i], &action, NULL) < 0)
            return -errno;
    return 0;
}

/* ---- connections ---- */

/* ANSWER: there is no connection, and the client's request is waited for, to tell it why. */
enum phase { PHASE_CONNECT, PHASE_HANDSHAKE, PHASE_OPEN, PHASE_ANSWER };

struct connection {
    bool is_used;
    enum phase phase;
    struct attest_stream stream;
    int64_t until_ms;              /* of this phase */
    int64_t retry_ms;              /* connect again then; 0: no */
    const struct addrinfo *target; /* that is tried */
    char peer[ATTEST_ADDRESS_SIZE];
    char why[WHY_SIZE]; /* PHASE_ANSWER */
};

struct loop {
    const struct attest_relay *relay;
    struct connection *connections; /* relay->connection_max of them */
    struct pollfd *polls;           /* two for the loop, two a connection */
    unsigned used;
    bool is_closing, has_status;
    int status; /* the workload's */
    int64_t drain_ms;
};

static void connection_close(struct loop *loop, struct connection *c)
{
    attest_stream_close(&c->stream);
    c->is_used = false;
    loop->used--;
}

/* The client hears why; the log too. */
static void connection_fail(struct loop *loop, struct connection *c, const char *why)
{
    const struct attest_peer *peer = c->stream.ssl ? attest_peer_result(c->stream.ssl) : NULL;

    attest_log_verdict(loop->relay->json, loop->relay->serves ? "client" : "server", c->peer, peer,
                       why);
    if (loop->relay->serves) {
        connection_close(loop, c);
        return;
    }
    snprintf(c->why, sizeof c->why, "%.*s", (int)sizeof c->why - 1,
             peer && peer->rc < 0 ? peer->reason : why);
    attest_stream_tls_close(&c->stream);
    c->phase = PHASE_ANSWER;
    c->until_ms = attest_clock_ms() + ANSWER_MS;
}

static void step_handshake(struct loop *loop, struct connection *c);

static void handshake_begin(struct loop *loop, struct connection *c)
{
    c->phase = PHASE_HANDSHAKE;
    c->until_ms = attest_clock_ms() + ATTEST_HANDSHAKE_TIMEOUT_MS;
    if (attest_stream_tls(&c->stream, loop->relay->ssl_ctx, loop->relay->serves) < 0)
        connection_fail(loop, c, "no memory");
    else
        step_handshake(loop, c); /* a client speaks first */
}

/* The workload has not started to listen, or is behind with accepting. */
static bool is_not_yet(int error)
{
    return error == -ECONNREFUSED || error == -ENOENT || error == -EAGAIN;
}

static void connect_next(struct loop *loop, struct connection *c, int error)
{
    int *fd = loop->relay->serves ? &c->stream.plain_fd : &c->stream.tls_fd;
    char why[128];

    for (; c->target; c->target = c->target->ai_next) {
        *fd = attest_connect_begin(c->target);
        if (*fd >= 0)
            return;
        error = *fd;
    }
    *fd = -1;
    if (loop->relay->serves && is_not_yet(error) && loop->relay->workload &&
        attest_clock_ms() + RETRY_MS < c->until_ms) {
        c->retry_ms = attest_clock_ms() + RETRY_MS;
        return;
    }
    snprintf(why, sizeof why, "cannot connect to %s: %s",
             loop->relay->serves ? "the workload" : "it", strerror(-error));
    connection_fail(loop, c, why);
}

static void connect_begin(struct loop *loop, struct connection *c)
{
    c->phase = PHASE_CONNECT;
    c->until_ms = attest_clock_ms() + ATTEST_CONNECT_TIMEOUT_MS;
    c->target = loop->relay->to;
    connect_next(loop, c, -EADDRNOTAVAIL);
}

static void connection_open(struct loop *loop, struct connection *c)
{
    c->phase = PHASE_OPEN;
    c->until_ms = attest_clock_ms() + (int64_t)loop->relay->idle_timeout_s * 1000;
}

static void accept_one(struct loop *loop)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int fd = accept4(loop->relay->listen_fd, (struct sockaddr *)&address, &size,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct connection *c = loop->connections;

    if (fd < 0)
        return;
    while (c->is_used)
        c++;
    *c = (struct connection){ .is_used = true };
    attest_stream_init(&c->stream);
    loop->used++;
    if (loop->relay->serves) {
        attest_address_print((struct sockaddr *)&address, size, c->peer);
        c->stream.tls_fd = fd;
        handshake_begin(loop, c);
    } else {
        attest_address_print(loop->relay->to->ai_addr, loop->relay->to->ai_addrlen, c->peer);
        c->stream.plain_fd = fd;
        connect_begin(loop, c);
    }
}

/* ---- what happens to one ---- */

static void step_connect(struct loop *loop, struct connection *c)
{
    int *fd = loop->relay->serves ? &c->stream.plain_fd : &c->stream.tls_fd;
    int rc;

    if (c->retry_ms) {
        c->retry_ms = 0;
        c->target = loop->relay->to;
        connect_next(loop, c, -EADDRNOTAVAIL);
        return;
    }
    rc = attest_connect_end(*fd);
    if (rc < 0) {
        close(*fd);
        *fd = -1;
        c->target = c->target->ai_next;
        connect_next(loop, c, rc);
    } else if (loop->relay->serves) {
        connection_open(loop, c);
    } else {
        handshake_begin(loop, c);
    }
}

static void step_handshake(struct loop *loop, struct connection *c)
{
    const struct attest_peer *peer;
    char text[256];
    int rc = attest_stream_handshake(&c->stream);

    if (rc == -EAGAIN)
        return;
    if (rc < 0) {
        connection_fail(loop, c, attest_ssl_error(text, sizeof text));
        return;
    }
    peer = attest_peer_result(c->stream.ssl);
    if (peer)
        attest_log_verdict(loop->relay->json, loop->relay->serves ? "client" : "server", c->peer,
                           peer, NULL);
    if (loop->relay->serves)
        connect_begin(loop, c);
    else
        connection_open(loop, c);
}

static void step(struct loop *loop, struct connection *c)
{
    int rc;

    if (c->phase == PHASE_CONNECT) {
        step_connect(loop, c);
        return;
    }
    if (c->phase == PHASE_ANSWER) {
        attest_stream_answer(&c->stream, c->why);
        connection_close(loop, c);
        return;
    }
    if (c->phase == PHASE_HANDSHAKE)
        step_handshake(loop, c);
    if (!c->is_used || c->phase != PHASE_OPEN)
        return;
    rc = attest_stream_pump(&c->stream);
    if (rc == 0)
        connection_open(loop, c); /* something moved */
    else if (rc != -EAGAIN)
        connection_close(loop, c);
}

static void expire(struct loop *loop, int64_t now_ms)
{
    for (unsigned i = 0; i < loop->relay->connection_max; i++) {
        struct connection *c = &loop->connections[i];

        if (!c->is_used || now_ms < c->until_ms)
            continue;
        if (c->phase == PHASE_CONNECT || c->phase == PHASE_HANDSHAKE)
            connection_fail(loop, c, "it took too long");
        else
            connection_close(loop, c);
    }
}

/* ---- the loop ---- */

/* Descriptors of a connection that are waited for. */
static void poll_connection(const struct loop *loop, const struct connection *c,
                            struct pollfd polls[2])
{
    polls[0] = polls[1] = (struct pollfd){ .fd = -1 };
    if (!c->is_used || c->retry_ms)
        return;
    if (c->phase == PHASE_CONNECT)
        polls[0] =
            (struct pollfd){ .fd = loop->relay->serves ? c->stream.plain_fd : c->stream.tls_fd,
                             .events = POLLOUT };
    else
        attest_stream_poll(&c->stream, c->phase == PHASE_HANDSHAKE, polls);
}

/* Milliseconds until something is due; -1: never. */
static int timeout_get(const struct loop *loop, int64_t now_ms)
{
    int64_t next = loop->is_closing ? loop->drain_ms : INT64_MAX;

    for (unsigned i = 0; i < loop->relay->connection_max; i++) {
        const struct connection *c = &loop->connections[i];

        if (c->is_used)
            next = MIN(next, c->retry_ms ? c->retry_ms : c->until_ms);
    }
    return next == INT64_MAX ? -1 : next <= now_ms ? 0 : (int)MIN(next - now_ms, 3600000);
}

static void close_begin(struct loop *loop)
{
    if (loop->is_closing)
        return;
    loop->is_closing = true;
    loop->drain_ms = attest_clock_ms() + ATTEST_DRAIN_MS;
    if (loop->relay->workload && !loop->has_status)
        kill(loop->relay->workload, SIGTERM);
}

static void reap(struct loop *loop)
{
    int status;

    if (!loop->relay->workload || loop->has_status ||
        waitpid(loop->relay->workload, &status, WNOHANG) != loop->relay->workload)
        return;
    loop->has_status = true;
    loop->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    close_begin(loop);
}

static void take_signals(struct loop *loop)
{
    uint8_t number;

    while (read(g_signal_pipe[0], &number, 1) == 1)
        if (number == SIGCHLD)
            reap(loop);
        else
            close_begin(loop);
}

/* Nothing is left to wait for. */
static bool is_over(const struct loop *loop, int64_t now_ms)
{
    bool has_ended = !loop->relay->workload || loop->has_status;

    if (!loop->is_closing)
        return false;
    return now_ms >= loop->drain_ms || (has_ended && loop->used == 0);
}

/* Places up to the last one that is used. */
static unsigned place_count(const struct loop *loop)
{
    unsigned count = loop->relay->connection_max;

    while (count > 0 && !loop->connections[count - 1].is_used)
        count--;
    return count;
}

static int loop_turn(struct loop *loop)
{
    unsigned count = place_count(loop);
    bool accepts = !loop->is_closing && loop->used < loop->relay->connection_max;
    int64_t now_ms;

    loop->polls[0] = (struct pollfd){ .fd = g_signal_pipe[0], .events = POLLIN };
    loop->polls[1] =
        (struct pollfd){ .fd = accepts ? loop->relay->listen_fd : -1, .events = POLLIN };
    for (unsigned i = 0; i < count; i++)
        poll_connection(loop, &loop->connections[i], &loop->polls[2 + 2 * i]);
    if (poll(loop->polls, 2 + 2 * count, timeout_get(loop, attest_clock_ms())) < 0)
        return errno == EINTR ? 0 : -errno;
    if (loop->polls[0].revents)
        take_signals(loop);
    now_ms = attest_clock_ms();
    for (unsigned i = 0; i < count; i++) {
        struct connection *c = &loop->connections[i];

        if (c->is_used && (loop->polls[2 + 2 * i].revents || loop->polls[3 + 2 * i].revents ||
                           (c->retry_ms && now_ms >= c->retry_ms)))
            step(loop, c);
    }
    expire(loop, now_ms);
    if (loop->polls[1].revents)
        accept_one(loop);
    return 0;
}

int attest_relay_run(const struct attest_relay *relay, struct err *err)
{
    struct loop loop = { .relay = relay };
    int rc = 0;

    loop.connections = calloc(relay->connection_max, sizeof *loop.connections);
    loop.polls = calloc(2 + 2 * (size_t)relay->connection_max, sizeof *loop.polls);
    if (!loop.connections || !loop.polls)
        rc = -ENOMEM;
    while (rc == 0 && !is_over(&loop, attest_clock_ms()))
        rc = loop_turn(&loop);
    for (unsigned i = 0; loop.connections && i < relay->connection_max; i++)
        if (loop.connections[i].is_used)
            connection_close(&loop, &loop.connections[i]);
    free(loop.connections);
    free(loop.polls);
    if (relay->workload && !loop.has_status) {
        int status;

        /* It had its time to end. */
        kill(relay->workload, SIGKILL);
        if (waitpid(relay->workload, &status, 0) == relay->workload && rc == 0)
            loop.status = 128 + SIGKILL;
    }
    return rc < 0 ? err_set_errno(err, rc, "cannot go on relaying") : loop.status;
}
