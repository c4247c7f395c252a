/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets as the exchange needs them (docs/secrets.md). Relying party. */
#pragma once

#include <jansson.h>

#include "server/server.h"
#include "server/store/store.h"

/* To whom: what was attested a moment ago. */
struct secret_receiver {
    const char *org_id, *app_id, *build_id, *instance_id;
    const char *tee;        /* "sgx", "tdx", "snp" */
    const char *tcb_status; /* "UpToDate"; NULL: none */
    const char *location;   /* of the node; NULL */
    bool is_emulated;
    const uint8_t *evidence_sha256;
    const char *certificate_pem; /* for templates: the chain just issued */
};
#define SECRET_TAG_SIZE 65u
/* The tag of all that the receiver would get now: changes when any of it does. returns: 0; -EIO. */
MUST_CHECK int secret_tag(struct server *server, struct store_tx *tx,
                          const struct secret_receiver *to, char ret[SECRET_TAG_SIZE],
                          struct err *err);
/*
 * The array "secrets" of docs/exchange.md, templates filled in, and one audit entry "secret.release" per secret, appended in tx (so before anything leaves).
 * *ret holds secrets: json_decref wipes nothing, so it is encoded, encrypted and wiped by secret_list_free at once. returns: 0; -EBADMSG forged or damaged; -EIO.
 */
MUST_CHECK int secret_release(struct server *server, struct store_tx *tx,
                              const struct secret_receiver *to, json_t **ret, struct err *err);
void secret_list_free(json_t *list);
