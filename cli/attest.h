/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of `cloche attest`. Relying party side; `serve` runs inside a TEE. Also built as a static program of its own, cloche-attest,
 * that can be put into any image.
 */
#pragma once

#include <netdb.h>

#include "attest/attest.h"
#include "cli/file.h"

#define ATTEST_ADDRESS_SIZE 280u /* "[host]:port" */
#define ATTEST_CONNECT_TIMEOUT_MS 10000u
#define ATTEST_HANDSHAKE_TIMEOUT_MS 15000u

struct attest_arguments {
    const char *listen, *to;
    const char *policy, *collateral; /* files; NULL: none */
    const char *tsm;                 /* NULL: no evidence of its own */
    const char *evidence;            /* cert: where to write it */
    const char *operand;
    unsigned lifetime_s, connection_max, idle_timeout_s;
    bool json;
    bool is_issued;          /* cert: an authority signed it */
    bool has_default_policy; /* without --policy: the makers' roots, no debug, any program */
    char **workload;         /* after "--"; NULL: none */
};

/* ---- attest_inputs.c: what is read from files ---- */

struct attest_inputs {
    struct file_bytes policy_text;
    struct file_bytes files[16];
    unsigned file_count;
    struct verifier_policy *policy;
    struct verifier_collateral *collateral;
    struct attest_context *context;
};
/* Policy and collateral, and a context with them and the source. returns: 0; -errno. */
MUST_CHECK int attest_inputs_read(const struct attest_arguments *args, struct attest_inputs *in,
                                  struct err *err);
void attest_inputs_done(struct attest_inputs *in);

/* ---- attest_log.c: verdicts, a line each on standard error ---- */

/* what: of the verdict, "server" or "client". address: of the other end. error: why there is no verdict, or NULL. */
void attest_log_verdict(bool json, const char *what, const char *address,
                        const struct attest_peer *peer, const char *error);
/* "what": something that happened. */
void attest_log_event(bool json, const char *event, const char *detail);

/* ---- attest_net.c: addresses and sockets ---- */

/* "host:port", "[v6]:port", ":port" (any address, to listen on alone), "unix:/path" (to connect to alone). *ret is for attest_address_free. returns: 0; -EINVAL, -ENOENT with err. */
MUST_CHECK int attest_address_parse(const char *text, bool listens, struct addrinfo **ret,
                                    struct err *err);
void attest_address_free(struct addrinfo *address); /* NULL allowed */
void attest_address_print(const struct sockaddr *address, socklen_t size,
                          char ret[ATTEST_ADDRESS_SIZE]);
/* Non-blocking, close-on-exec. returns: a descriptor; -errno. */
MUST_CHECK int attest_listen(const char *text, char ret_name[ATTEST_ADDRESS_SIZE], struct err *err);
/* Starts to connect. returns: a descriptor; -errno. */
MUST_CHECK int attest_connect_begin(const struct addrinfo *address);
/* How a connection attempt ended, once the descriptor is writable. returns: 0; -errno. */
MUST_CHECK int attest_connect_end(int fd);
int64_t attest_clock_ms(void); /* monotonic */

/*
 * A connection with its handshake done, at most so long as the time-outs say; the descriptor is non-blocking. The verdict is logged.
 * returns: 0, *ret_ssl is for SSL_free and its descriptor for close; -EBADMSG refused; -errno; err says why.
 */
MUST_CHECK int attest_dial(const struct addrinfo *address, SSL_CTX *ssl_ctx, bool json,
                           SSL **ret_ssl, struct err *err);
/* OpenSSL's last error, or "the connection ended". */
const char *attest_ssl_error(char *dst, size_t size);

/* ---- attest_relay.c ---- */

struct attest_relay {
    int listen_fd;
    const struct addrinfo *to;
    SSL_CTX *ssl_ctx;
    bool serves; /* what is accepted is TLS and goes on in plain text; else the other way round */
    bool json;
    unsigned connection_max, idle_timeout_s;
    pid_t workload; /* its end is the relay's; 0: none */
};
/*
 * Serves until a signal (SIGTERM, SIGINT) or the workload's end; then closes within ATTEST_DRAIN_MS. returns: exit status, the workload's own where
 * there is one; -errno, with err.
 */
#define ATTEST_DRAIN_MS 5000
MUST_CHECK int attest_relay_run(const struct attest_relay *relay, struct err *err);
/* Before a workload is started: signals are noted from now on. returns: 0; -errno. */
MUST_CHECK int attest_relay_signals_begin(void);
