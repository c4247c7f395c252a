/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's side of docs/exchange.md: nonce, evidence, answer; orders; end. Trusted; hosted. Calls block, within their limits, and until the cancel descriptor is readable.
 * One thread at a time.
 */
#pragma once

#include "lib/err.h"
#include "tee/agent/server/answer.h"
#include "tee/agent/server/http.h"
#include "tee/agent/server/jose.h"
#include "tee/agent/server/lease.h"
#include "tee/agent/server/wall.h"

#define EXCHANGE_REQUEST_MS 30000u
#define EXCHANGE_EVIDENCE_MS 20000u
#define EXCHANGE_END_MS 3000u
#define EXCHANGE_SERVERS_MAX (ANSWER_SERVERS_MAX + 9u)
#define EXCHANGE_NONCES_KEPT 64u

struct exchange_config {
    uint8_t ca_key_sha256[32];
    char app_digest[97];  /* hexadecimal */
    const char *instance; /* from the host; NULL or what does not look like one: none */
    unsigned server_count;
    char servers[8][ANSWER_SERVER_SIZE];
    const char *evidence_tree; /* of configfs-tsm */
};

struct exchange {
    const char *evidence_tree;
    char app_digest[97];
    struct pins pins;
    struct jose_key key;
    struct http http;
    struct lease lease;
    struct wall_bound wall;        /* by the last answer's signed time */
    char instance[ANSWER_ID_SIZE]; /* "": not known yet */
    char secrets_version[ANSWER_TAG_SIZE];
    uint64_t orders_after;
    unsigned own_count, server_count, server_index; /* the descriptor's first */
    char servers[EXCHANGE_SERVERS_MAX][ANSWER_SERVER_SIZE];
    unsigned nonce_count; /* of all so far; the last ones are kept */
    uint8_t nonces[EXCHANGE_NONCES_KEPT][32];
};

/* Makes the instance key. cancel_fd: borrowed; -1 none. returns: 0; -EIO, -ENOMEM. */
MUST_CHECK int exchange_new(const struct exchange_config *config, int cancel_fd,
                            struct exchange *ret);
/* Wipes the key. */
void exchange_done(struct exchange *x);

/*
 * Proves what runs here, to one server after the other until one answers. The lease, the signed time, the roots and the list of servers are taken over. purpose: EXCHANGE_PURPOSE_*.
 * returns: 0, *ret for answer_done; -EACCES refused, and *ret_refusal says why; -EBADMSG none answered but such as are not the pinned server; -ENODEV no evidence is to be had
 * here; -ECANCELED; other errors: none answered, or not now. err says more.
 */
MUST_CHECK int exchange_attest(struct exchange *x, const char *purpose, bool is_running,
                               struct answer *ret, struct answer_refusal *ret_refusal,
                               struct err *err);
/*
 * Waits for orders, wait_s at most, at the server that answered last. returns: 0, maybe with none; -ECANCELED; -EKEYEXPIRED the server does not take the token: its time may be
 * wrong, which a renewal mends; others as exchange_attest.
 */
MUST_CHECK int exchange_orders(struct exchange *x, unsigned wait_s, struct answer_orders *ret,
                               struct err *err);
/* Reports the end within EXCHANGE_END_MS, and is not cancelled. returns: 0; -errno. */
MUST_CHECK int exchange_end(struct exchange *x, int status, const char *reason, struct err *err);
