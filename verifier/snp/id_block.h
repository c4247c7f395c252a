/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ID block and its authentication information, which a publisher may sign so that only that guest launches. Relying party;
 * input hostile. Source: AMD 56860, SNP_LAUNCH_FINISH, "ID Block" and "ID Authentication Information".
 */
#pragma once

#include "verifier/verifier.h"

#define ID_BLOCK_SIZE 0x60u
#define ID_AUTH_SIZE 0x1000u
#define ID_PUBLIC_KEY_SIZE 0x404u

/* Whether both fit the report: signatures, digests of the keys, launch digest, ids, SVN, policy. returns: NULL: they do; else what does not. */
const char *id_block_verify(struct verifier_bytes id_block, struct verifier_bytes id_auth,
                            const struct verifier_snp *report);
