/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens of OpenID Connect issuers. Relying party. */
#include "server/auth/oidc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct oidc {
    struct server *server;
};

int oidc_open(struct server *server, struct oidc **ret, struct err *err)
{
    struct oidc *oidc = calloc(1, sizeof *oidc);

    if (!oidc)
        return -ENOMEM;
    oidc->server = server;
    *ret = oidc;
    return 0;
}

void oidc_close(struct oidc *oidc)
{
    free(oidc);
}

int oidc_reload(struct oidc *oidc, struct err *err)
{
    return 0;
}

bool oidc_is_token(const char *token)
{
    return false;
}

int oidc_bearer(struct oidc *oidc, const char *token, struct auth_who *ret, struct err *err)
{
    return err_set(err, -EACCES, "no issuer is known here");
}
