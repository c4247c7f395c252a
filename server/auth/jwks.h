/* SPDX-License-Identifier: Apache-2.0 */
/* An issuer's keys (RFC 7517) and signatures by them (RFC 7515, compact). Relying party; sets and tokens are hostile. */
#pragma once

#include <jansson.h>

#include "lib/defs.h"
#include "lib/err.h"

#define JWKS_SIZE_MAX (256u << 10)
#define JWT_SIZE_MAX 10240u

/* A compact JWS's header and payload, not verified. Both for json_decref. returns: 0; -EINVAL. */
MUST_CHECK int jwt_parse(const char *token, json_t **ret_header, json_t **ret_payload,
                         struct err *err);
/*
 * Whether a key of the set signed the token: the one that the header's kid names, of the kind that its alg needs (RS256, PS256, ES256, EdDSA).
 * returns: 0; -ENOENT no such key; -EACCES the signature is wrong, or the algorithm is none of these.
 */
MUST_CHECK int jwt_verify(const char *token, const json_t *header, const json_t *jwks,
                          struct err *err);
/* From a file. returns: 0; -EINVAL it is no set; errno. */
MUST_CHECK int jwks_read(const char *path, json_t **ret, struct err *err);
/* Over HTTPS (or HTTP from 127.0.0.1), within 5 s. returns: 0; -EIO; -EINVAL. */
MUST_CHECK int jwks_fetch(const char *url, json_t **ret, struct err *err);
