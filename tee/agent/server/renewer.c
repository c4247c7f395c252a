/* SPDX-License-Identifier: Apache-2.0 */
/* See renewer.h. Trusted; hosted. */
#include "tee/agent/server/renewer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "abi/exchange.h"
#include "tee/agent/say.h"
#include "tee/agent/server/wipe.h"

#define WAIT_S 30u /* of one question for orders */
#define STACK_SIZE (1u << 20)

/* What the thread remembers between its steps. */
struct state {
    struct renewer *r;
    unsigned failures;   /* renewals in a row */
    unsigned breaks;     /* questions for orders in a row that failed */
    uint64_t renew_ms;   /* not before */
    bool is_renewal_due; /* ordered */
    bool
        is_mending; /* a renewal was made due because the server did not take the token; until orders are heard again */
    bool
        is_stopping; /* ordered: the lease is not renewed any more, but a revocation is still heard */
    bool is_over;    /* revoked: only the end is left */
};

static uint32_t random_number(void)
{
    uint32_t value = 0;

    if (RAND_bytes((unsigned char *)&value, sizeof value) != 1)
        return 0;
    return value;
}

static void send_message(struct renewer *r, const struct renewer_message *message)
{
    struct renewer_message *copy = malloc(sizeof *copy);

    if (!copy)
        return;
    *copy = *message;
    while (write(r->write_fd, &copy, sizeof copy) < 0 && errno == EINTR)
        ;
}

static void send_kind(struct renewer *r, enum renewer_kind kind, const char *reason)
{
    struct renewer_message message = { .kind = kind };

    snprintf(message.reason, sizeof message.reason, "%s", reason);
    send_message(r, &message);
}

/* ---- renewal ---- */

/* A time before one that was signed already (servers' clocks differ) leaves the clock as it is: bound by the earlier one. */
static void clock_set(const struct wall_bound *bound)
{
    int rc = wall_set(WALL_DEVICE, bound);

    if (rc < 0 && rc != -ESTALE)
        say("the clock cannot be set by the server's signed time: ", strerror(-rc), NULL);
}

static void take_grant(struct state *s, struct answer *answer)
{
    struct renewer_message message = { .kind = RENEWER_GRANT, .lease = s->r->exchange->lease };

    clock_set(&s->r->exchange->wall);
    message.answer = malloc(sizeof *message.answer);
    if (!message.answer) {
        answer_done(answer);
        return;
    }
    *message.answer = *answer;
    send_message(s->r, &message);
    if (s->failures > 0)
        say("the server answers again: the lease is renewed", NULL);
    s->failures = 0;
    s->is_renewal_due = false;
    s->renew_ms = s->r->exchange->lease.renew_ms;
}

/* Says the first failure of a row, and goes on. */
static void take_failure(struct state *s, const char *text)
{
    const struct lease *lease = &s->r->exchange->lease;
    uint64_t now = lease_clock_ms();
    char left[32];

    if (s->failures++ == 0) {
        snprintf(left, sizeof left, "%llu",
                 (unsigned long long)(lease->end_ms > now ? (lease->end_ms - now) / 1000 : 0));
        say("the lease is not renewed: ", text, "; it ends in ", left, " s, trying again", NULL);
    }
    s->renew_ms = now + lease_renew_pause_ms(lease, now, s->failures, random_number());
}

static int renew(struct state *s)
{
    struct answer_refusal refusal = { 0 };
    struct answer answer;
    struct err err = { 0 };
    int rc = exchange_attest(s->r->exchange, EXCHANGE_PURPOSE_RENEW, true, &answer, &refusal, &err);

    if (rc == 0) {
        take_grant(s, &answer);
    } else if (rc == -EACCES && refusal.is_signed && refusal.is_final &&
               lease_time_check(&s->r->exchange->lease, refusal.time_s, lease_clock_ms()) == 0) {
        send_kind(s->r, RENEWER_REVOKE, err.text);
        s->is_over = true;
    } else if (rc != -ECANCELED) {
        take_failure(s, err.text[0] ? err.text : strerror(-rc));
    }
    return rc;
}

/* ---- orders ---- */

static void take_orders(struct state *s, const struct answer_orders *orders)
{
    for (unsigned i = 0; i < orders->count && !s->is_over; i++) {
        const struct answer_order *o = &orders->items[i];

        if (o->kind == ANSWER_REVOKE) {
            send_kind(s->r, RENEWER_REVOKE, o->reason);
            s->is_over = true;
        } else if (s->is_stopping) {
            continue;
        } else if (o->kind == ANSWER_STOP) {
            send_kind(s->r, RENEWER_STOP, o->reason);
            s->is_stopping = true;
            s->is_renewal_due = false;
            s->renew_ms = UINT64_MAX;
        } else {
            s->is_renewal_due = true;
        }
    }
}

static int ask_orders(struct state *s, uint64_t until_ms)
{
    struct exchange *x = s->r->exchange;
    uint64_t now = lease_clock_ms(), left_s = until_ms > now ? (until_ms - now) / 1000 : 0;
    struct answer_orders *orders = malloc(sizeof *orders);
    struct err err = { 0 };
    int rc = orders ? exchange_orders(x, (unsigned)MIN(left_s + 1, (uint64_t)WAIT_S), orders, &err)
                    : -ENOMEM;

    if (rc == 0) {
        s->breaks = 0;
        s->is_mending = false;
        take_orders(s, orders);
    } else if (rc == -EKEYEXPIRED && !s->is_mending && !s->is_stopping) {
        /* The clock of a machine that slept, or whose host lies: the signed time of a renewal sets it. */
        s->is_mending = s->is_renewal_due = true;
        rc = 0;
    } else if (rc != -ECANCELED) {
        uint64_t pause_ms;

        if (s->breaks++ == 0)
            say("the server's orders cannot be heard: ", err.text, "; trying again", NULL);
        pause_ms = lease_pause_ms(s->breaks, random_number());
        rc = http_pause(&x->http, MIN(until_ms, lease_clock_ms() + pause_ms));
    }
    free(orders);
    return rc;
}

static void *run(void *arg)
{
    struct renewer *r = arg;
    struct state s = { .r = r, .renew_ms = r->exchange->lease.renew_ms };
    struct err err = { 0 };
    int rc = 0;

    while (rc != -ECANCELED && !r->is_ending) {
        if (s.is_over)
            rc = http_pause(&r->exchange->http, UINT64_MAX);
        else if (lease_clock_ms() >= s.renew_ms || (s.is_renewal_due && s.failures == 0))
            rc = renew(&s);
        else
            rc = ask_orders(&s, s.renew_ms);
    }
    rc = exchange_end(r->exchange, r->exit_status, r->end_reason, &err);
    jose_key_done(&r->exchange->key); /* wiped before the last word */
    send_kind(r, RENEWER_DONE, rc < 0 ? err.text : "");
    return NULL;
}

/* ---- the main thread's side ---- */

int renewer_init(struct renewer *r)
{
    r->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return r->cancel_fd < 0 ? -errno : 0;
}

int renewer_start(struct renewer *r, struct exchange *exchange)
{
    pthread_attr_t attr;
    int fds[2], rc;

    r->exchange = exchange;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    r->message_fd = fds[0];
    r->write_fd = fds[1];
    if (fcntl(r->message_fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    rc = pthread_attr_init(&attr);
    if (rc == 0)
        rc = pthread_attr_setstacksize(&attr, STACK_SIZE);
    if (rc == 0)
        rc = pthread_create(&r->thread, &attr, run, r);
    return -rc;
}

void renewer_end(struct renewer *r, int exit_status, const char *reason)
{
    uint64_t one = 1;

    r->exit_status = exit_status;
    r->end_reason = reason;
    r->is_ending = true;
    while (write(r->cancel_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

struct renewer_message *renewer_next(struct renewer *r)
{
    struct renewer_message *message;

    return read(r->message_fd, &message, sizeof message) == sizeof message ? message : NULL;
}
