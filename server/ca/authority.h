/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authorities as they are kept: roots, intermediates, the exchange's signing key, cross certificates; each a certificate and, where this server holds it, its key. Relying party; within server/ca/.
 *
 * What the row's seal covers is the whole row: a certificate that someone else put into the database does not open, so nobody is ever told to trust it.
 */
#pragma once

#include <openssl/x509.h>

#include "server/ca/ca.h"
#include "server/store/id.h"

#define AUTHORITIES_MAX 1024u /* of all organisations, old ones included */
#define AUTHORITY_CHAIN_MAX 4u

enum authority_kind {
    AUTHORITY_ROOT,
    AUTHORITY_INTERMEDIATE,
    AUTHORITY_EXCHANGE, /* signs answers */
    AUTHORITY_CROSS,    /* the current root's key, certified by the root before */
    AUTHORITY_REQUEST,  /* an organisation's key that waits for its certificate */
    AUTHORITY_KIND_COUNT
};
enum authority_state { AUTHORITY_NEXT, AUTHORITY_CURRENT, AUTHORITY_OLD, AUTHORITY_STATE_COUNT };
const char *authority_kind_name(enum authority_kind kind);    /* "root" */
const char *authority_state_name(enum authority_state state); /* "next" */

struct authority {
    char id[ID_SIZE], org_id[ID_SIZE]; /* org_id: "" the server's */
    enum authority_kind kind;
    enum authority_state state;
    int64_t created_ms, expires_ms;
    X509 *chain
        [AUTHORITY_CHAIN_MAX]; /* its certificate; an organisation's: what it uploaded above it; REQUEST: none */
    unsigned chain_count;
    EVP_PKEY *key; /* NULL: CROSS */
};
void authority_done(struct authority *authority);
void authority_freep(struct authority **authority);

/* A new one with a fresh key and no certificate. For authority_done and free(). returns: 0; -EIO. */
MUST_CHECK int authority_new(const char *org_id, enum authority_kind kind,
                             enum authority_state state, int64_t now_ms, struct authority **ret,
                             struct err *err);
/* Certificate of the authority, by issuer; issuer == authority: self-signed. returns: 0; -EIO. */
MUST_CHECK int authority_certify(struct authority *authority, const struct authority *issuer,
                                 const char *trust_domain, int64_t now_s, int64_t lifetime_s,
                                 struct err *err);

/* Writes the row, new or with another state. returns: 0; errors of store and keys. */
MUST_CHECK int authority_save(struct server *server, struct store_tx *tx,
                              const struct authority *authority, struct err *err);
MUST_CHECK int authority_remove(struct store_tx *tx, const struct authority *authority,
                                struct err *err);

struct authority_list {
    struct authority *items[AUTHORITIES_MAX];
    unsigned count;
};
void authority_list_done(struct authority_list *list);
/*
 * All of them; a row that this server did not write is logged and left out. returns: 0; -E2BIG; -EIO.
 */
MUST_CHECK int authority_list_read(struct server *server, struct store_tx *tx,
                                   struct authority_list *ret, struct err *err);
/* The one, or NULL. */
struct authority *authority_find(const struct authority_list *list, const char *org_id,
                                 enum authority_kind kind, enum authority_state state);
