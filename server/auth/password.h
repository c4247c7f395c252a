/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: Argon2id (RFC 9106), a bounded number at a time. Relying party. Also one-time codes (RFC 6238). */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"
#include "server/auth/user.h"

#define PASSWORD_LEN_MIN 10u
#define PASSWORD_LEN_MAX 256u
#ifndef PASSWORD_MEMORY_KIB /* cheap in fuzzers alone */
#define PASSWORD_MEMORY_KIB 32768
#define PASSWORD_PASSES 2
#endif
#define PASSWORD_HASHES_MAX 2u  /* at a time: 64 MiB in all */
#define PASSWORD_WAITERS_MAX 6u /* of the workers that may wait for one */

/* returns: 0; -EAGAIN too many at a time; -ENOMEM. */
MUST_CHECK int password_hash(const char *password, char ret[USER_PASSWORD_SIZE]);
/* encoded "": takes as long as any other. returns: 0; -EACCES it is another; -EAGAIN; -ENOMEM. */
MUST_CHECK int password_verify(const char *encoded, const char *password);

#define TOTP_SECRET_SIZE 20u
#define TOTP_STEP_S 30
/* Whether code (six digits) is the secret's for now, one step before or after, and its step is later than *step, which it then becomes. */
bool totp_verify(const uint8_t secret[TOTP_SECRET_SIZE], const char *code, int64_t now_s,
                 int64_t *step);
/* Six digits with NUL. */
void totp_code(const uint8_t secret[TOTP_SECRET_SIZE], int64_t step, char ret[7]);
