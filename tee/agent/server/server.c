/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of images with a server. Trusted; hosted. Before the workload there is one thread, which attests and delivers; then the main thread watches signals, lease
 * and socket, and a second one talks with the server (renewer.h).
 */
#include "tee/agent/server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "abi/agent.h"
#include "abi/exchange.h"
#include "tee/agent/evidence.h"
#include "tee/agent/say.h"
#include "tee/agent/server/config.h"
#include "tee/agent/server/delivery.h"
#include "tee/agent/server/desk.h"
#include "tee/agent/server/renewer.h"
#include "tee/agent/server/wipe.h"
#include "tee/agent/signals.h"
#include "tee/agent/workload.h"

#define END_MS (EXCHANGE_END_MS + 1000u) /* so long the report of the end may take */
#define STATUS_OWN (-1)                  /* the workload's own */

enum phase {
    PHASE_RUNNING,
    PHASE_STOPPING, /* the stop signal was sent */
    PHASE_KILLED,
    PHASE_ENDED, /* the workload has ended; the end is being reported */
};

struct server {
    struct config config;
    struct exchange exchange;
    struct delivery delivery;
    struct renewer renewer;
    struct desk desk;
    struct answer answer;       /* the newest; its secrets have moved on */
    struct secret_list secrets; /* that are held */
    uint64_t generation;
    struct lease lease;
    pid_t workload;
    int signal_fd;
    enum phase phase;
    uint64_t next_ms; /* while stopping: SIGKILL; ended: the report is given up */
    int status;       /* to end with, or STATUS_OWN */
    const char *end_reason;
};

/* ---- start ---- */

/* Those that end a container, so that a start that waits can be ended. */
static int start_signals(int stop_signal)
{
    static const int ends[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++)
        sigaddset(&set, ends[i]);
    sigaddset(&set, stop_signal);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int signal_take(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

static int attest_fail(int rc, const struct err *err, int signal_fd)
{
    switch (rc) {
    case -ECANCELED:
        return 128 + signal_take(signal_fd);
    case -EACCES:
        say("refused by the server: ", err->text, NULL);
        return AGENT_STATUS_REFUSED;
    case -EBADMSG:
        say("what answers is not the server that this image trusts: ", err->text, NULL);
        return AGENT_STATUS_UNTRUSTED;
    case -ENODEV:
        say("no evidence: ", err->text,
            "; start it where there is a quoting service (cloche doctor tells)", NULL);
        return AGENT_STATUS_NO_EVIDENCE;
    default:
        say("no server answered: ", err->text[0] ? err->text : strerror(-rc), NULL);
        return AGENT_STATUS_UNREACHABLE;
    }
}

static bool is_final(int rc)
{
    return rc == -ECANCELED || rc == -EACCES || rc == -EBADMSG || rc == -ENODEV;
}

/* returns: 0, the answer is held; else the status to end with. */
static int attest(struct server *s, int signal_fd)
{
    uint64_t end_ms = lease_clock_ms() + s->config.start_limit_s * 1000ull;
    struct answer_refusal refusal;
    char limit[16];

    snprintf(limit, sizeof limit, "%u", s->config.start_limit_s);
    for (unsigned failures = 1;; failures++) {
        struct err err = { 0 };
        uint64_t pause_ms, now;
        uint32_t random = 0;
        int rc = exchange_attest(&s->exchange, EXCHANGE_PURPOSE_START, false, &s->answer, &refusal,
                                 &err);

        if (rc == 0)
            return 0;
        now = lease_clock_ms();
        if (is_final(rc) || now >= end_ms)
            return attest_fail(rc, &err, signal_fd);
        if (failures == 1)
            say("no server answers yet: ", err.text[0] ? err.text : strerror(-rc), "; trying for ",
                limit, " s", NULL);
        if (RAND_bytes((unsigned char *)&random, sizeof random) != 1)
            random = 0;
        pause_ms = lease_pause_ms(failures, random);
        rc = http_pause(&s->exchange.http, MIN(end_ms, now + pause_ms));
        if (rc < 0)
            return attest_fail(rc, &err, signal_fd);
    }
}

static void stock_set(struct server *s)
{
    struct desk_stock stock = { .answer = &s->answer,
                                .secrets = &s->secrets,
                                .key_pem = s->exchange.key.pem,
                                .generation = ++s->generation };

    desk_stock_set(&s->desk, &stock);
}

/* The signed time, before anything is delivered whose dates count. */
static int clock_set(struct server *s)
{
    int rc = wall_set(WALL_DEVICE, &s->exchange.wall);

    if (rc == 0)
        return 0;
    say("cannot start: the clock cannot be set by the server's signed time: ", strerror(-rc), NULL);
    return AGENT_STATUS_SETUP;
}

/* The first delivery: all of it, or the workload does not start. */
static int deliver(struct server *s)
{
    struct err err = { 0 };
    int rc;

    s->secrets = s->answer.secrets;
    s->answer.secrets = (struct secret_list){ 0 };
    s->lease = s->exchange.lease;
    rc = delivery_identity(&s->delivery, &s->answer, s->exchange.key.pem, &err);
    if (rc == 0)
        rc = delivery_files(&s->delivery, &s->secrets, NULL, &err);
    if (rc == 0)
        rc = delivery_env(&s->secrets);
    if (rc == 0) {
        rc =
            desk_open(&s->desk, AGENT_RUN_FOLDER "/" DESK_SOCKET, s->delivery.uid, s->delivery.gid);
        if (rc < 0)
            err_set_errno(&err, rc, AGENT_RUN_FOLDER "/" DESK_SOCKET);
    }
    if (rc < 0) {
        say("cannot start: ", err.text[0] ? err.text : strerror(-rc), NULL);
        return AGENT_STATUS_DELIVERY;
    }
    stock_set(s);
    return 0;
}

/* returns: 0 attested and delivered; else the status to end with. */
static int prepare(struct server *s)
{
    int fd = start_signals(s->config.stop_signal), status;

    if (fd < 0 || exchange_new(&s->config.exchange, fd, &s->exchange) < 0) {
        say("cannot start: the agent could not be set up", NULL);
        return AGENT_STATUS_SETUP;
    }
    status = attest(s, fd);
    close(fd);
    if (status == 0)
        status = clock_set(s);
    if (status == 0)
        status = deliver(s);
    if (status == 0 && renewer_init(&s->renewer) < 0) {
        say("cannot start: the agent could not be set up", NULL);
        status = AGENT_STATUS_SETUP;
    }
    s->exchange.http.cancel_fd = s->renewer.cancel_fd;
    return status;
}

/* ---- stopping ---- */

static void wipe(struct server *s)
{
    struct desk_stock nothing = { .generation = s->generation };

    desk_stock_set(&s->desk, &nothing);
    jose_key_pem_wipe(
        &s->exchange.key); /* what is left signs the report of the end, and goes then */
    delivery_wipe(&s->delivery, &s->secrets);
    secret_list_done(&s->secrets);
}

static void stop(struct server *s, int status, const char *end_reason)
{
    if (s->phase != PHASE_RUNNING)
        return;
    s->phase = PHASE_STOPPING;
    s->status = status;
    s->end_reason = end_reason;
    s->next_ms = lease_clock_ms() + s->lease.grace_ms;
    kill(s->workload, s->config.stop_signal);
}

/* What is due by the clock. */
static void tick(struct server *s)
{
    uint64_t now = lease_clock_ms();

    if (s->phase == PHASE_RUNNING && now >= s->lease.end_ms) {
        say("the lease has ended and no server renewed it: stopping", NULL);
        stop(s, AGENT_STATUS_LEASE, "lease");
    } else if (s->phase == PHASE_STOPPING && now >= s->next_ms) {
        s->phase = PHASE_KILLED;
        kill(s->workload, SIGKILL);
    } else if (s->phase == PHASE_ENDED && now >= s->next_ms) {
        _exit(s->status);
    }
}

static void take_end(struct server *s, int wait_status)
{
    if (s->status == STATUS_OWN)
        s->status = workload_status(wait_status);
    wipe(s);
    s->phase = PHASE_ENDED;
    s->next_ms = lease_clock_ms() + END_MS;
    renewer_end(&s->renewer, s->status, s->end_reason);
}

static void reap(struct server *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) != 0) {
        if (pid == s->workload && s->phase != PHASE_ENDED)
            take_end(s, status);
        if (pid < 0 && errno == ECHILD && s->phase != PHASE_ENDED)
            _exit(AGENT_STATUS_SETUP); /* the workload was lost: never silently go on without it */
        if (pid < 0 && errno != EINTR)
            return;
    }
}

static void take_signals(struct server *s)
{
    int signo;

    while ((signo = signal_take(s->signal_fd)) != 0) {
        if (signo == SIGCHLD)
            reap(s);
        else if (signals_is_forwarded(signo) && s->phase != PHASE_ENDED)
            kill(s->workload, signo);
    }
}

/* ---- what the server says ---- */

/* Environment stays what it was; files, socket and certificate are replaced. */
static void take_grant(struct server *s, struct renewer_message *m)
{
    struct err err = { 0 };
    int rc;

    if (s->phase != PHASE_RUNNING) {
        answer_done(m->answer);
        wipe_free(m->answer);
        return;
    }
    s->lease = m->lease;
    rc = delivery_identity(&s->delivery, m->answer, NULL, &err);
    if (m->answer->has_secrets) {
        if (rc == 0)
            rc = delivery_files(&s->delivery, &m->answer->secrets, &s->secrets, &err);
        secret_list_done(&s->secrets);
        s->secrets = m->answer->secrets;
        m->answer->secrets = (struct secret_list){ 0 };
    }
    if (rc < 0)
        say("what the server renewed could not be put in place: ", err.text, NULL);
    answer_done(&s->answer);
    s->answer = *m->answer;
    wipe_free(m->answer);
    stock_set(s);
    if (s->config.reload_signal)
        kill(s->workload, s->config.reload_signal);
}

/* Also while it stops: what is left of its grace is without keys. */
static void take_revocation(struct server *s, const char *reason)
{
    if (s->phase == PHASE_ENDED)
        return;
    say("revoked by the server: ", reason, NULL);
    wipe(s);
    stop(s, AGENT_STATUS_REVOKED, "revoked");
    s->status = AGENT_STATUS_REVOKED;
    s->end_reason = "revoked";
}

static void take_messages(struct server *s)
{
    struct renewer_message *m;

    while ((m = renewer_next(&s->renewer))) {
        switch (m->kind) {
        case RENEWER_GRANT:
            take_grant(s, m);
            break;
        case RENEWER_STOP:
            if (s->phase == PHASE_RUNNING)
                say("stopped by the server: ", m->reason, NULL);
            stop(s, STATUS_OWN, "stopped");
            break;
        case RENEWER_REVOKE:
            take_revocation(s, m->reason);
            break;
        case RENEWER_DONE:
            if (m->reason[0])
                say("the server was not told of the end: ", m->reason, NULL);
            _exit(s->status);
        }
        wipe_free(m);
    }
}

/* ---- the loop ---- */

static int timeout_ms(const struct server *s)
{
    uint64_t now = lease_clock_ms(), at = s->next_ms;

    if (s->phase == PHASE_KILLED)
        return -1;
    if (s->phase == PHASE_RUNNING)
        at = s->lease.end_ms;
    return at <= now ? 0 : (int)MIN(at - now, (uint64_t)60000);
}

static void watch(struct server *s)
{
    struct pollfd fds[2 + DESK_FDS_MAX];

    for (;;) {
        fds[0] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = s->renewer.message_fd, .events = POLLIN };
        desk_fds(&s->desk, fds + 2);
        if (poll(fds, ARRAY_COUNT(fds), timeout_ms(s)) > 0) {
            if (fds[0].revents)
                take_signals(s);
            if (fds[1].revents)
                take_messages(s);
            desk_serve(&s->desk, fds + 2);
        }
        tick(s);
    }
}

static int start(struct server *s, const struct handover *h, const sigset_t *mask)
{
    sigset_t all;

    sigfillset(&all);
    s->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0) {
        say("cannot start: the agent could not be set up", NULL);
        return AGENT_STATUS_SETUP;
    }
    signal(SIGPIPE, SIG_DFL); /* for the workload */
    s->workload = workload_start(h, mask);
    signal(SIGPIPE, SIG_IGN);
    if (s->workload < 0)
        return -s->workload;
    if (renewer_start(&s->renewer, &s->exchange) < 0) {
        say("cannot start: the agent could not be set up", NULL);
        return AGENT_STATUS_SETUP;
    }
    return 0;
}

int server_run(const struct handover *h, const sigset_t *mask)
{
    static struct server s = { .signal_fd = -1, .status = STATUS_OWN, .end_reason = "exited" };
    int status;

    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    if (wipe_install() < 0) {
        say("cannot start: the agent could not be set up", NULL);
        return AGENT_STATUS_SETUP;
    }
    if (config_parse(h->server, &s.config) < 0) {
        say("cannot start: the agent is started by the library OS only", NULL);
        return AGENT_STATUS_SETUP;
    }
    s.config.exchange.evidence_tree = EVIDENCE_TREE;
    s.config.exchange.instance = getenv(AGENT_INSTANCE_ENV);
    s.delivery = (struct delivery){ .run_folder = AGENT_RUN_FOLDER, .uid = h->uid, .gid = h->gid };
    status = prepare(&s);
    if (status == 0)
        status = start(&s, h, mask);
    if (status != 0)
        return status;
    watch(&s);
    return AGENT_STATUS_SETUP;
}
