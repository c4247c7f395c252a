/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in, as `cloche login` and `cloche up` do it. Relying party side. */
#pragma once

#include "cli/remote.h"

struct login {
    const char *user, *organisation, *totp; /* NULL: not said */
    char *password;
};
/* Puts the session's token and the user into the context, which has "url" and maybe "ca". errors as client_call. */
MUST_CHECK int login_perform(struct login *login, json_t *context, struct err *err);
