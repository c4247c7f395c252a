/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche attest`: attested TLS as a server's front, as a client, and as a proxy for clients that know nothing of it. Relying party side. */
#include "cli/attest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/hosted/whole_file.h"
#include "attest/cert.h"
#include "cli/cli.h"

extern char **environ;

#define CONNECTIONS_DEFAULT 256u
#define CONNECTIONS_MAX 4096u
#define IDLE_DEFAULT_S 600u
#define IDLE_MAX_S 86400u
#define LISTEN_ENV "CLOCHE_ATTEST_LISTEN"
#define COPY_SIZE 16384u

const char cmd_attest_usage[] =
    "usage: cloche attest serve --listen ADDR --to ADDR [--policy FILE [--collateral DIR]]\n"
    "                           [--lifetime SECONDS] [-- COMMAND [ARG...]]\n"
    "       cloche attest proxy --listen ADDR --to HOST:PORT --policy FILE [--collateral DIR]\n"
    "       cloche attest connect HOST:PORT --policy FILE [--collateral DIR]\n"
    "       cloche attest cert [--policy FILE] [--collateral DIR] [--evidence OUT] [--issued] "
    "CERTIFICATE\n"
    "\n"
    "TLS 1.3 whose server proves by its certificate what it runs on and what it is\n"
    "(docs/attested-tls.md). ADDR is host:port, [::1]:port or :port.\n"
    "\n"
    "  serve         inside an enclave or a confidential VM: ends attested TLS and passes plain "
    "TCP on\n"
    "                to the workload; with a COMMAND, starts it, and ends with its status\n"
    "  proxy         on the client's side: passes plain TCP on over attested TLS; starts only when "
    "the\n"
    "                server's evidence is accepted, and judges each connection anew\n"
    "  connect       connects standard input and output\n"
    "  cert          shows and judges the evidence in a certificate (PEM or DER)\n"
    "\n"
    "  --to          serve: also unix:/path, a socket that only the enclave reaches\n"
    "  --listen      serve: or " LISTEN_ENV
    " in the environment, which an image can leave to the host\n"
    "  --policy      what the other end must be (docs/policy.md); for serve: clients need evidence "
    "too\n"
    "  --collateral  a folder as `cloche verify` takes it; without it: what the other end staples\n"
    "  --tsm DIR     where this end's own evidence comes from; serve: " ATTEST_TSM_FOLDER "\n"
    "  --lifetime    of certificates, in seconds (3600)\n"
    "  --connections how many at once (256)      --idle  seconds until a silent one is closed "
    "(600)\n"
    "  --issued      cert: an authority signed it, as the control plane's; its chain is not "
    "checked\n"
    "  --json        log verdicts as JSON lines on standard error; cert: print an EAR\n"
    "\n"
    "Exit status: 0, 1 it failed, 2 usage, 3 refused; serve with a COMMAND: the command's.\n";

/* ---- options ---- */

static bool parse_unsigned(const char *text, unsigned min, unsigned max, unsigned *ret)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value < min || value > max)
        return false;
    *ret = (unsigned)value;
    return true;
}

/* returns: 1 taken; 0 no such option; -1 a bad value. */
static int take_option(struct attest_arguments *a, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        unsigned *number, min, max;
    } all[] = {
        { "--listen", &a->listen },
        { "--to", &a->to },
        { "--policy", &a->policy },
        { "--collateral", &a->collateral },
        { "--tsm", &a->tsm },
        { "--evidence", &a->evidence },
        { "--lifetime", NULL, &a->lifetime_s, ATTEST_LIFETIME_MIN_S, ATTEST_LIFETIME_MAX_S },
        { "--connections", NULL, &a->connection_max, 1, CONNECTIONS_MAX },
        { "--idle", NULL, &a->idle_timeout_s, 1, IDLE_MAX_S },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        if (strcmp(all[i].name, name) != 0)
            continue;
        if (all[i].text)
            *all[i].text = value;
        else if (!parse_unsigned(value, all[i].min, all[i].max, all[i].number))
            return -1;
        return 1;
    }
    return 0;
}

/* argv[0] is the verb. returns: CLI_EXIT_OK to go on; else the exit status. */
static int parse_arguments(int argc, char **argv, struct attest_arguments *a)
{
    *a = (struct attest_arguments){ .connection_max = CONNECTIONS_DEFAULT,
                                    .idle_timeout_s = IDLE_DEFAULT_S };
    for (int i = 1; i < argc; i++) {
        int rc;

        if (strcmp(argv[i], "--") == 0 && strcmp(argv[0], "serve") == 0 && i + 1 < argc) {
            a->workload = argv + i + 1;
            break;
        }
        if (strcmp(argv[i], "--json") == 0) {
            a->json = true;
            continue;
        }
        if (strcmp(argv[i], "--issued") == 0) {
            a->is_issued = true;
            continue;
        }
        if (argv[i][0] != '-') {
            if (a->operand)
                return cli_usage("attest", "one too many: %s", argv[i]);
            a->operand = argv[i];
            continue;
        }
        rc = i + 1 < argc ? take_option(a, argv[i], argv[i + 1]) : 0;
        if (rc <= 0)
            return cli_usage("attest",
                             rc < 0 ? "%s: this number is not possible"
                                    : "unknown option, or no value: %s",
                             argv[i]);
        i++;
    }
    return CLI_EXIT_OK;
}

/* ---- serve and proxy ---- */

static int workload_start(char **argv, pid_t *ret, struct err *err)
{
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int rc;

    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    rc = posix_spawnp(ret, argv[0], NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    return rc == 0 ? 0 : err_set_errno(err, -rc, "cannot run %s", argv[0]);
}

/* Is the server one that the policy accepts? */
static int probe(const struct addrinfo *to, SSL_CTX *ssl_ctx, bool json, struct err *err)
{
    SSL *ssl;
    int rc = attest_dial(to, ssl_ctx, json, &ssl, err), fd;

    if (rc < 0)
        return rc;
    fd = SSL_get_fd(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    return 0;
}

static int relay_run(const struct attest_arguments *a, struct attest_relay *relay, struct err *err)
{
    char name[ATTEST_ADDRESS_SIZE];
    int rc = attest_relay_signals_begin();

    if (rc < 0)
        return err_set_errno(err, rc, "cannot watch for signals");
    relay->listen_fd = attest_listen(a->listen, name, err);
    if (relay->listen_fd < 0)
        return relay->listen_fd;
    if (a->workload)
        rc = workload_start(a->workload, &relay->workload, err);
    if (rc == 0) {
        attest_log_event(a->json, "listening", name);
        rc = attest_relay_run(relay, err);
    }
    close(relay->listen_fd);
    return rc;
}

static int serve_or_proxy(const struct attest_arguments *a, struct attest_inputs *in,
                          SSL_CTX *ssl_ctx, bool serves, struct err *err)
{
    struct addrinfo *to;
    int rc = attest_address_parse(a->to, false, &to, err);

    if (rc < 0)
        return rc;
    struct attest_relay relay = {
        .to = to,
        .ssl_ctx = ssl_ctx,
        .serves = serves,
        .json = a->json,
        .connection_max = a->connection_max,
        .idle_timeout_s = a->idle_timeout_s,
    };

    rc = serves ? attest_tls_server(in->context, ssl_ctx, err)
                : attest_tls_client(in->context, ssl_ctx, err);
    if (rc == 0 && a->tsm)
        rc = attest_context_prepare(in->context, err);
    if (rc == 0 && !serves)
        rc = probe(to, ssl_ctx, a->json, err);
    if (rc == 0)
        rc = relay_run(a, &relay, err);
    attest_address_free(to);
    return rc;
}

/* ---- connect ---- */

/* From TLS to standard output. returns: 1 go on; 0 the end; -errno. */
static int copy_out(SSL *ssl)
{
    uint8_t data[COPY_SIZE];
    int rc;

    ERR_clear_error();
    rc = SSL_read(ssl, data, sizeof data);
    if (rc > 0) {
        rc = whole_file_fd_write(STDOUT_FILENO, data, (size_t)rc);
        return rc < 0 ? rc : 1;
    }
    rc = SSL_get_error(ssl, rc);
    return rc == SSL_ERROR_ZERO_RETURN ? 0 : rc == SSL_ERROR_WANT_READ ? 1 : -EPROTO;
}

/* From standard input to TLS. returns: 1 go on; 0 the input's end, which the server was told; -errno. */
static int copy_in(SSL *ssl)
{
    uint8_t data[COPY_SIZE];
    ssize_t count = read(STDIN_FILENO, data, sizeof data);

    if (count < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : -errno;
    if (count == 0)
        return SSL_shutdown(ssl) < 0 ? -EPROTO : 0;
    return SSL_write(ssl, data, (int)count) == count ? 1 : -EPROTO;
}

static int connect_copy(SSL *ssl)
{
    struct pollfd polls[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
                               { .fd = SSL_get_fd(ssl), .events = POLLIN } };
    int rc = 1;

    signal(SIGPIPE, SIG_IGN);
    /* Writes wait; reads are made when there is something, and stop where a record stops. */
    fcntl(polls[1].fd, F_SETFL, fcntl(polls[1].fd, F_GETFL) & ~O_NONBLOCK);
    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
    while (rc > 0) {
        if (poll(polls, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (polls[1].revents)
            rc = copy_out(ssl);
        if (rc > 0 && polls[0].revents) {
            rc = copy_in(ssl);
            if (rc == 0) {
                polls[0].fd = -1;
                rc = 1;
            }
        }
    }
    return rc;
}

static int connect_one(const struct attest_arguments *a, struct attest_inputs *in, SSL_CTX *ssl_ctx,
                       struct err *err)
{
    struct addrinfo *to;
    SSL *ssl;
    char text[256];
    int rc = attest_tls_client(in->context, ssl_ctx, err), fd;

    if (rc == 0)
        rc = attest_address_parse(a->operand, false, &to, err);
    if (rc < 0)
        return rc;
    rc = attest_dial(to, ssl_ctx, a->json, &ssl, err);
    attest_address_free(to);
    if (rc < 0)
        return rc;
    fd = SSL_get_fd(ssl);
    rc = connect_copy(ssl);
    if (rc < 0)
        err_set(err, rc, "the connection broke: %s",
                rc == -EPROTO ? attest_ssl_error(text, sizeof text) : strerror(-rc));
    SSL_free(ssl);
    close(fd);
    return rc;
}

/* ---- cert ---- */

static X509 *parse_cert(const struct file_bytes *file)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->size);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    const uint8_t *der = file->data;

    BIO_free(bio);
    return cert ? cert : d2i_X509(NULL, &der, (long)file->size);
}

static int write_evidence(X509 *cert, const struct attest_arguments *a, struct err *err)
{
    const char *path = a->evidence;
    struct cert_content content;
    FILE *out;
    int rc = a->is_issued ? cert_read_issued(cert, &content, err) : cert_read(cert, &content, err);

    if (rc < 0)
        return rc;
    out = fopen(path, "wbe");
    if (!out ||
        fwrite(content.evidence.data, 1, content.evidence.size, out) != content.evidence.size)
        rc = err_set_errno(err, errno ? -errno : -EIO, "cannot write %s", path);
    if (out && fclose(out) != 0 && rc == 0)
        rc = err_set_errno(err, -errno, "cannot write %s", path);
    cert_content_done(&content);
    return rc;
}

static int print_peer(const struct attest_arguments *a, const struct attest_peer *peer,
                      struct err *err)
{
    char *text;
    int rc;

    if (!peer->is_judged)
        return err_set(err, peer->rc, "%s", peer->reason);
    rc = a->json ? verifier_result_json(&peer->result, peer->judged_s, &text)
                 : verifier_result_text(&peer->result, true, &text);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot print the result");
    puts(text);
    free(text);
    return peer->rc < 0 ? err_set(err, peer->rc, "%s", peer->reason) : 0;
}

static int cert_show(const struct attest_arguments *a, struct attest_inputs *in, struct err *err)
{
    struct attest_peer *peer = calloc(1, sizeof *peer);
    struct file_bytes file = { 0 };
    X509 *cert = NULL;
    int rc = peer ? file_bytes_read(a->operand, 2 * CERT_SIZE_MAX, &file, err) : -ENOMEM;

    if (rc == 0) {
        cert = parse_cert(&file);
        if (!cert)
            rc = err_set(err, -EINVAL, "%s is no certificate", a->operand);
    }
    ERR_clear_error();
    if (rc == 0 && a->evidence)
        rc = write_evidence(cert, a, err);
    if (rc == 0 && (a->is_issued ? attest_judge_issued(in->context, cert, peer)
                                 : attest_judge(in->context, cert, peer)) == -ENOMEM)
        rc = -ENOMEM;
    if (rc == 0)
        rc = print_peer(a, peer, err);
    X509_free(cert);
    file_bytes_done(&file);
    free(peer);
    return rc;
}

/* ---- the command ---- */

enum verb { VERB_SERVE, VERB_PROXY, VERB_CONNECT, VERB_CERT, VERB_NONE };

static enum verb verb_find(const char *name)
{
    static const char *const names[] = { "serve", "proxy", "connect", "cert" };

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return (enum verb)i;
    return VERB_NONE;
}

/* What the verb needs, and has no use for. returns: as parse_arguments. */
static int check_arguments(enum verb verb, struct attest_arguments *a)
{
    bool relays = verb == VERB_SERVE || verb == VERB_PROXY;

    if (verb == VERB_SERVE && !a->listen)
        a->listen = getenv(LISTEN_ENV);
    if (relays && (!a->listen || !a->to))
        return cli_usage("attest", "--listen and --to are needed");
    if (relays && a->operand)
        return cli_usage("attest", "what is %s? A command follows --", a->operand);
    if (!relays && (a->listen || a->to))
        return cli_usage("attest", "--listen and --to are for serve and proxy");
    if (!relays && !a->operand)
        return cli_usage("attest", verb == VERB_CERT ? "no certificate given" : "no server given");
    if ((verb == VERB_PROXY || verb == VERB_CONNECT) && !a->policy)
        return cli_usage("attest", "--policy is needed: without it, anyone would be accepted");
    if (verb != VERB_CERT && a->evidence)
        return cli_usage("attest", "--evidence is for cert");
    if (verb != VERB_CERT && a->is_issued)
        return cli_usage("attest", "--issued is for cert");
    a->has_default_policy = verb == VERB_CERT;
    if (verb == VERB_SERVE && !a->tsm)
        a->tsm = ATTEST_TSM_FOLDER;
    return CLI_EXIT_OK;
}

static int verb_run(enum verb verb, const struct attest_arguments *a, struct err *err)
{
    struct attest_inputs in = { 0 };
    SSL_CTX *ssl_ctx = NULL;
    int rc = attest_inputs_read(a, &in, err);

    if (rc == 0 && verb != VERB_CERT) {
        ssl_ctx = SSL_CTX_new(verb == VERB_SERVE ? TLS_server_method() : TLS_client_method());
        rc = ssl_ctx ? 0 : err_set_errno(err, -ENOMEM, "TLS");
    }
    if (rc == 0)
        rc = verb == VERB_CERT      ? cert_show(a, &in, err)
             : verb == VERB_CONNECT ? connect_one(a, &in, ssl_ctx, err)
                                    : serve_or_proxy(a, &in, ssl_ctx, verb == VERB_SERVE, err);
    SSL_CTX_free(ssl_ctx);
    attest_inputs_done(&in);
    return rc;
}

int cmd_attest(int argc, char **argv)
{
    struct attest_arguments arguments;
    struct err err = { 0 };
    enum verb verb;
    int rc;

    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        fputs(cmd_attest_usage, stdout);
        return CLI_EXIT_OK;
    }
    verb = argc >= 2 ? verb_find(argv[1]) : VERB_NONE;
    if (verb == VERB_NONE)
        return cli_usage("attest", "serve, proxy, connect or cert is expected");
    rc = parse_arguments(argc - 1, argv + 1, &arguments);
    if (rc == CLI_EXIT_OK)
        rc = check_arguments(verb, &arguments);
    if (rc != CLI_EXIT_OK)
        return rc;
    rc = verb_run(verb, &arguments, &err);
    return rc < 0 ? cli_fail(&err, rc) : rc;
}
