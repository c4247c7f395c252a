/* SPDX-License-Identifier: Apache-2.0 */
/* What the server answers, opened and checked (docs/exchange.md, sections 3 and 4). Trusted; hosted. Texts come from outside. */
#pragma once

#include "lib/err.h"
#include "tee/agent/server/jose.h"
#include "tee/agent/server/lease.h"
#include "tee/agent/server/secret.h"

#define ANSWER_ID_SIZE 65u
#define ANSWER_TAG_SIZE 129u
#define ANSWER_SPIFFE_SIZE 512u
#define ANSWER_SERVERS_MAX 16u
#define ANSWER_SERVER_SIZE 256u
#define ANSWER_WORD_SIZE 64u
#define ANSWER_TEXT_SIZE 256u
#define ANSWER_ORDERS_MAX 64u

/* What the evidence was good for. */
struct answer {
    char instance[ANSWER_ID_SIZE];
    char spiffe_id[ANSWER_SPIFFE_SIZE];
    struct lease_terms terms;
    int64_t time_ms;        /* the signed time: not before ... */
    uint32_t time_width_ms; /* ... and so much after that at most */
    uint64_t fence;
    char *certificates; /* PEM, leaf first */
    char *roots;        /* PEM */
    char *result;       /* EAR, a JWT */
    bool has_secrets;   /* else those that are held are the newest */
    struct secret_list secrets;
    char secrets_version[ANSWER_TAG_SIZE];
    unsigned server_count;
    char servers[ANSWER_SERVERS_MAX][ANSWER_SERVER_SIZE];
};
void answer_done(struct answer *answer);

/* What an answer must fit to. */
struct answer_question {
    const struct pins *pins;
    const struct jose_key *key;
    const char *nonce;    /* as it was sent */
    const char *instance; /* "": any */
    uint64_t after;       /* the number of the last order that is known; for orders */
};
/* The body of status 200. returns: 0; -EINVAL malformed; -EBADMSG not authentic, or not to this question; -E2BIG; -ENOMEM. err says which. */
MUST_CHECK int answer_parse(const struct answer_question *question, const char *body, size_t size,
                            struct answer *ret, struct err *err);

/* A problem document (RFC 9457). All texts are fit for a line on a terminal, and cut. */
struct answer_refusal {
    char code[ANSWER_WORD_SIZE];
    char step[ANSWER_WORD_SIZE];
    char expected[ANSWER_TEXT_SIZE], actual[ANSWER_TEXT_SIZE], fix[ANSWER_TEXT_SIZE];
    char detail[ANSWER_TEXT_SIZE];
    bool is_signed; /* by the server, to this question */
    bool is_final;  /* only with is_signed */
    int64_t time_s; /* only with is_signed */
};
/* Never fails: what cannot be read is left empty, what is not authentic does not count as signed. */
void answer_refusal_parse(const struct answer_question *question, const char *body, size_t size,
                          struct answer_refusal *ret);
/* One line for people: "CODE: STEP: DETAIL; expected: ..., actual: ...; fix: ...". */
void answer_refusal_print(const struct answer_refusal *refusal, char *dst, size_t size);

enum answer_order_kind { ANSWER_STOP, ANSWER_REVOKE, ANSWER_RENEW };
struct answer_order {
    enum answer_order_kind kind;
    uint64_t number;
    char reason[ANSWER_TEXT_SIZE]; /* fit for a line */
};
struct answer_orders {
    int64_t time_s;
    uint64_t number;
    unsigned count;
    struct answer_order items[ANSWER_ORDERS_MAX];
};
/* wait: the jti of the token that asked. returns: as answer_parse. */
MUST_CHECK int answer_orders_parse(const struct answer_question *question, const char *wait,
                                   const char *body, size_t size, struct answer_orders *ret,
                                   struct err *err);
