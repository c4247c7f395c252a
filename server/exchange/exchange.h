/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange's server side (docs/exchange.md): nonces, appraisal, lease, answer; orders to instances. Relying party; all that comes is hostile. Thread-safe. */
#pragma once

#include "server/server.h"
#include "server/store/store.h"
#include "verifier/verifier.h"

MUST_CHECK int exchange_open(struct server *server, struct exchange **ret, struct err *err);
void exchange_close(struct exchange *exchange); /* NULL allowed; answers those who wait */

#define EXCHANGE_KEY_SIZE_MAX 160u /* DER of a P-256 key is 91 */
/* base64url of a SubjectPublicKeyInfo (exact DER, P-256). text: hostile. returns: 0; -EINVAL. */
MUST_CHECK int exchange_key_parse(const char *text, uint8_t ret[EXCHANGE_KEY_SIZE_MAX],
                                  size_t *ret_size);

/*
 * Begins an epoch: the server's collateral is read anew, and no exchange commits any more that began to judge before. So evidence that a read transaction does not see after this was, or will
 * be, judged by what is in force now. Not from within a transaction. returns: 0; -EIO.
 */
MUST_CHECK int exchange_epoch_begin(struct exchange *exchange, struct err *err);

/* Tells the instance, in the transaction of what it is about; sent after the commit by whichever server the instance waits at. kind: "stop", "revoke", "renew". */
MUST_CHECK int exchange_order(struct store_tx *tx, const char *instance_id, const char *kind,
                              const char *reason, struct err *err);

/* Judges stored evidence again under what holds now: collateral, policy, build. *ret_ear: EAR JSON for free(). returns: 0 accepted; -EACCES not any more, reason in err; -EIO. */
MUST_CHECK int exchange_reappraise(struct server *server, struct store_tx *tx,
                                   const char *instance_id, int64_t now_ms, char **ret_ear,
                                   struct err *err);

/*
 * Judges an instance's stored evidence with the collateral that the server holds, under any policy and at any time, without any effect: for dry runs of policies.
 * returns: 0 *ret says what was found, whatever the verdict; -ENODATA there is no evidence that can be read; -EIO; -ENOMEM.
 */
MUST_CHECK int exchange_appraise_stored(struct server *server, struct store_tx *tx,
                                        const char *instance_id,
                                        const struct verifier_policy *policy, int64_t now_ms,
                                        struct verifier_result *ret, struct err *err);

/*
 * Judges the last evidence of all nodes (org_id "": of all organisations) again under what holds now. One that falls is "refused" and asked for fresh evidence; so is one that was
 * refused before. returns: how many were judged; -EIO; -ENOMEM.
 */
MUST_CHECK int exchange_nodes_reappraise(struct server *server, const char *org_id,
                                         struct err *err);
