/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Approvals: who may give them (the roster), what is signed (the statement), and whether enough have signed (docs/approvals.md). Relying party; within server/model/.
 * The roster's keys are covered by roster_sha256 of the organisation's row, whose mac is made under the root key; statements are signed by keys that the server never has.
 */
#pragma once

#include "server/model/build.h"
#include "server/model/org.h"
#include "server/model/row.h"

#define ROSTER_KEY_COUNT_MAX 256u
#define APPROVAL_KEY_SIZE 32u
#define APPROVAL_SIGNATURE_SIZE 64u

struct roster_key {
    char id[32], user_id[32], name[64], state[16];
    uint8_t public_key[APPROVAL_KEY_SIZE];
    int64_t created_ms;
};
struct roster {
    struct org_row org;
    unsigned count;
    struct roster_key *keys; /* proposed ones too; by id */
};
/* Reads organisation and keys, and holds them against roster_sha256. returns: 0; -ENOENT; -EBADMSG; -EIO. */
MUST_CHECK int roster_read(struct server *server, struct store_tx *tx, const char *org_id,
                           struct roster *ret, struct err *err);
/* By id: the order of the digest. */
void roster_sort(struct roster *roster);
void roster_done(struct roster *roster);
const struct roster_key *roster_find(const struct roster *roster, const char *key_id);
/* Different users with an active key. */
unsigned roster_approvers(const struct roster *roster);
/* Over the keys that are or were in the roster; zero when there are none. returns: 0; -ENOMEM. */
MUST_CHECK int roster_digest(const struct roster *roster, uint8_t ret[32]);

/* What approvers of a build sign: canonical JSON; *ret for free(). returns: 0; -ENOMEM. */
MUST_CHECK int approval_statement_build(const struct org_row *org, const struct app_row *app,
                                        const struct build_row *build, char **ret);

/* returns: 0; -EBADMSG. */
MUST_CHECK int approval_signature_verify(const uint8_t public_key[APPROVAL_KEY_SIZE],
                                         const void *data, size_t size,
                                         const uint8_t signature[APPROVAL_SIGNATURE_SIZE]);

/*
 * How many different users of the roster have signed exactly this statement. list: gets each approval as the API shows it, or NULL.
 * returns: 0; -EIO. Approvals that do not count are left out, and logged when they look forged.
 */
MUST_CHECK int approval_count(struct server *server, struct store_tx *tx,
                              const struct roster *roster, const char *subject_id,
                              const char *statement, unsigned *ret, json_t *list, struct err *err);
/* Whether the roster asks for no more. An empty roster approves nothing. */
bool approval_is_enough(const struct roster *roster, unsigned count);
/* returns: 0; -EACCES too few, in err; -EBADMSG the roster was forged; -EIO. */
MUST_CHECK int approval_check_build(struct server *server, struct store_tx *tx,
                                    const struct app_row *app, const struct build_row *build,
                                    struct err *err);

/*
 * Takes {"key", "signature"} of the request's body for this statement, verifies it, and writes it. *ret_key: the signer's, in the roster.
 * returns: 0; -EPROTO a problem was set; -EIO.
 */
MUST_CHECK int approval_add(struct api_request *rq, struct store_tx *tx,
                            const struct roster *roster, const char *subject_id,
                            const char *statement, const struct roster_key **ret_key,
                            struct err *err);
/* statement, needed, given, approvals as members of j. returns: 0; -EIO. */
MUST_CHECK int approval_show(struct server *server, struct store_tx *tx,
                             const struct roster *roster, const char *subject_id,
                             const char *statement, unsigned *ret_given, json_t *j,
                             struct err *err);
/* base64url without padding. returns: 0; -EINVAL not exactly size bytes. */
MUST_CHECK int approval_unbase64(const char *text, uint8_t *ret, size_t size);
/* For free(). NULL: no memory. */
char *approval_base64(const uint8_t *data, size_t size);
