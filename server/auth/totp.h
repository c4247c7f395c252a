/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes of users. Relying party. */
#pragma once

#include "server/auth/user.h"

/* Whether code is right for the user's active secret now; row->totp_step becomes its step, for the caller to write. returns: 0; -EACCES; -EBADMSG; errno. */
MUST_CHECK int totp_check(struct server *server, struct user_row *row, const char *code,
                          int64_t now_ms, struct err *err);
/* A new secret, pending, into row; base32 of it with NUL. returns: 0; errno. */
#define TOTP_TEXT_SIZE 33u
MUST_CHECK int totp_make(struct server *server, struct user_row *row, char ret[TOTP_TEXT_SIZE],
                         struct err *err);
