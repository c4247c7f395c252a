/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens of OpenID Connect issuers: JWTs (RFC 7519, RFC 9068) signed with RS256, PS256, ES256 or EdDSA by a key of the issuer's JWKS, for this server's audience. The file of issuers (docs/server.md)
 * says whose organisation they enter and which claims give which roles. A user's row is made at their first request. Relying party; tokens and key sets are hostile.
 */
#pragma once

#include "server/auth/auth.h"

struct oidc;
/* Without a file in the configuration: no issuers. returns: 0; -EINVAL the file; errno. */
MUST_CHECK int oidc_open(struct server *server, struct oidc **ret, struct err *err);
void oidc_close(struct oidc *oidc); /* NULL allowed */
MUST_CHECK int oidc_reload(struct oidc *oidc, struct err *err);
/* Whether it has the form of a JWT. */
bool oidc_is_token(const char *token);
/* As auth_bearer. */
MUST_CHECK int oidc_bearer(struct oidc *oidc, const char *token, struct auth_who *ret,
                           struct err *err);
