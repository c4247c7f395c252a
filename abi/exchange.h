/* SPDX-License-Identifier: Apache-2.0 */
/* Words that agent and server must spell alike (docs/exchange.md). Shared. */
#pragma once

/* Evidence's report data: SHA-512 over this, 0x00, the purpose, 0x00, the nonce, the SubjectPublicKeyInfo. */
#define EXCHANGE_BINDING "cloche-exchange-1"
#define EXCHANGE_NONCE_SIZE 32u

#define EXCHANGE_PURPOSE_START "start"
#define EXCHANGE_PURPOSE_RENEW "renew"
#define EXCHANGE_PURPOSE_NODE "node"

/* `typ` of what the exchange key signs, and of what an instance signs. */
#define EXCHANGE_ANSWER_TYPE "cloche-answer+jwt"
#define EXCHANGE_RESULT_TYPE "ear+jwt"
#define EXCHANGE_TOKEN_TYPE "JWT"

/* `aud` of an instance's tokens, and their scheme in Authorization. */
#define EXCHANGE_AUDIENCE_ORDERS "cloche-orders"
#define EXCHANGE_AUDIENCE_END "cloche-end"
#define EXCHANGE_SCHEME "Cloche-Instance"

/*
 * The path of the SPIFFE ID in the exchange key's certificate, its only URI name: spiffe://TRUST-DOMAIN/cloche/exchange. Instances'
 * paths start with /org/, so that no instance's certificate, issued by the same CA, can sign an answer.
 */
#define EXCHANGE_SPIFFE_PATH "/cloche/exchange"

#define EXCHANGE_WAIT_MAX_S 60u
