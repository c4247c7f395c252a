/* SPDX-License-Identifier: Apache-2.0 */
/* What struct ca is made of, for the files of server/ca/. Relying party. */
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "server/ca/authority.h"

#define CA_ROOT_S (20ll * 365 * 86400)
#define CA_INTERMEDIATE_S (5ll * 365 * 86400)
#define CA_EXCHANGE_S (365ll * 86400)

struct ca {
    struct server *server;
    const char *trust_domain;
    pthread_rwlock_t lock; /* guards what follows: replaced whole by ca_reload */
    struct authority_list list;
    struct authority *root, *intermediate, *exchange; /* the server's current ones, of list */
    char *x5c;                                        /* JSON array */
    pthread_mutex_t
        sign_lock; /* of the JWK, inside lock; cjose counts its references without care for threads */
    pthread_mutex_t
        reload_lock; /* from reading the rows to their taking effect, so that an older set never follows a newer one; outside lock */
    void *jwk;
};

/* The certificates from the server's current intermediate to every root: intermediate; where a root is old, the cross certificate and the old root; the root. For PEM chains and x5c. */
#define CA_PATH_MAX 8u
unsigned ca_path(const struct authority_list *list, const X509 *ret[CA_PATH_MAX]);
MUST_CHECK int ca_make_exchange(struct ca *ca, struct store_tx *tx,
                                const struct authority *intermediate, int64_t now_s,
                                struct err *err);
/* Makes intermediate and exchange below root, in `state`, and saves them. */
MUST_CHECK int ca_make_below(struct ca *ca, struct store_tx *tx, const struct authority *root,
                             enum authority_state state, int64_t now_s, struct err *err);
MUST_CHECK int ca_make_root(struct ca *ca, struct store_tx *tx, enum authority_state state,
                            int64_t now_s, struct authority **ret, struct err *err);
/* With the lock held: the JWK of the exchange's key. */
MUST_CHECK int ca_jwk_new(EVP_PKEY *key, void **ret, struct err *err);
void ca_jwk_free(void *jwk);
