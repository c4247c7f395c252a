/* SPDX-License-Identifier: Apache-2.0 */
/* Appraisal policies as the rest of the server needs them. Relying party. Parsed policies are cached by (id, version). */
#pragma once

#include "server/server.h"
#include "server/store/store.h"
#include "verifier/verifier.h"

/* A shared reference; policy_unref. */
struct policy_ref {
    const struct verifier_policy *policy;
    char id[32];
    int64_t version;
    void *cache_entry;
};
/*
 * The policy in force for the app: its own, else the organisation's default, else the built-in one (makers' roots, no debug; with the server's emulator root when the configuration allows
 * emulated platforms). returns: 0; -EBADMSG forged; -EIO; -ENOMEM.
 */
MUST_CHECK int policy_get(struct server *server, struct store_tx *tx, const char *org_id,
                          const char *app_id, struct policy_ref *ret, struct err *err);
/* Whether what policy_get() gave is still the one in force. returns: 1; 0: it was changed; -EBADMSG; -EIO. */
MUST_CHECK int policy_is_in_force(struct server *server, struct store_tx *tx, const char *org_id,
                                  const char *app_id, const struct policy_ref *ref,
                                  struct err *err);
void policy_unref(struct policy_ref *ref);
