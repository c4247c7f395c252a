/* SPDX-License-Identifier: Apache-2.0 */
/* The model's memory (model.h), for the files of this folder. Relying party. Thread-safe; each takes a NULL model. */
#pragma once

#include "server/model/model.h"

/* Signatures that were verified: a set of SHA-256 over (key, signature, statement), bounded; what falls out is verified again. */
bool model_signature_is_known(struct model *model, const uint8_t digest[32]);
void model_signature_add(struct model *model, const uint8_t digest[32]);

/* ---- roll-back of single rows, while this process runs ---- */
/* Whether an object was revoked, as an event told after its commit. */
bool model_is_revoked(struct model *model, const char *id);
/* The highest roster version whose change was committed; 0: unknown. */
int64_t model_roster_version(struct model *model, const char *org_id);

struct revocation_memory;
/* NULL without a model. */
struct revocation_memory *model_revocations(struct model *model);

/* ---- parsed policies ---- */
struct verifier_policy;
/* A counted entry, or NULL. */
void *model_policy_find(struct model *model, const char *id, int64_t version,
                        const uint8_t text_sha256[32], const struct verifier_policy **ret);
/* Takes the policy over, also when it fails (NULL: no memory). Without a model the entry lives until it is given back. */
void *model_policy_add(struct model *model, const char *id, int64_t version,
                       const uint8_t text_sha256[32], struct verifier_policy *policy);
void model_policy_unref(void *entry);
