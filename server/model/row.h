/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the objects' files share: macs over rows, names, audit and event of one write, JSON of columns. Relying party; for every folder of the server with endpoints.
 */
#pragma once

#include "server/api/api.h"
#include "server/store/store.h"

/*
 * A mac over the kinds, sizes and bytes of the fields, bound to table and id, under the organisation's key. returns: 0; errors as keys_mac.
 */
MUST_CHECK int row_mac(struct server *server, const char *org_id, const char *table, const char *id,
                       struct store_args fields, uint8_t ret[32], struct err *err);
/* returns: 0; -EBADMSG the row was not written by this server: err names it and it is logged. */
MUST_CHECK int row_mac_verify(struct server *server, const char *org_id, const char *table,
                              const char *id, struct store_args fields, const void *mac,
                              size_t mac_size, struct err *err);

/* SHA-256 over all fields, each with its kind and size in front, so that no two lists of fields look alike. returns: 0; -ENOMEM. */
MUST_CHECK int row_digest(struct store_args fields, uint8_t ret[32]);

/* Column as a field: what was read, to be compared with what was written. */
struct store_value row_column_blob(const struct store_rows *rows, unsigned column);
struct store_value row_column_int(const struct store_rows *rows, unsigned column);
struct store_value row_column_text(const struct store_rows *rows, unsigned column);
/* Copies text, cut to size with NUL; "" for null. */
void row_copy(char *dst, size_t size, const char *text);
/* Takes away what was left of a character of UTF-8 at the end when a text was cut. */
void row_text_trim(char *text);

/* Names of objects: a DNS label in lower case (so no name looks like an id). */
bool row_name_is_valid(const char *name);
/* Sets the problem when it is not. returns: 0; -EPROTO. */
MUST_CHECK int row_name_check(struct api_request *rq, const char *member, const char *name);

#define ROW_HEX_SIZE 97u
/* Lower-case hex with NUL; size at most 48. returns: dst. */
const char *row_hex(const uint8_t *bytes, size_t size, char dst[ROW_HEX_SIZE]);
/* returns: 0; -EINVAL not exactly size bytes as hex. */
MUST_CHECK int row_unhex(const char *text, uint8_t *ret, size_t size);

/* Event (kind NULL: none) and audit entry of one write, in this order. detail is taken over; NULL allowed. returns: 0; -EIO. */
MUST_CHECK int row_tell(struct api_request *rq, struct store_tx *tx, const char *action,
                        const char *event_kind, const char *object, json_t *detail,
                        struct err *err);
/* An audit entry of its own for what was refused; object: an id, or nothing is written. What the store says to it is logged. */
void row_tell_refused(struct api_request *rq, const char *action, const char *prefix,
                      const char *object);
/* 412 when there is an If-Match that is not this version. returns: 0; -EPROTO. */
MUST_CHECK int row_version_check(struct api_request *rq, int64_t version);
void row_etag_set(struct api_response *ret, int64_t version);
/* The problem for what a transaction returned: -EPROTO as it is, -EBADMSG "record-forged", others as api_problem_errno. rc 0 or more: 0. */
int row_result(struct api_request *rq, int rc, const char *what, const struct err *err);
/* store_read or store_write for a request, and row_result of what it returned. returns: 0; -EPROTO. */
MUST_CHECK int row_read(struct api_request *rq, store_tx_fn *fn, void *arg, const char *what);
MUST_CHECK int row_write(struct api_request *rq, store_tx_fn *fn, void *arg, const char *what);
/* The same and the answer; a write as api_write does it. returns: 0; -EPROTO; what answer returned. */
MUST_CHECK int row_read_answer(struct api_request *rq, store_tx_fn *fn, api_answer_fn *answer,
                               void *arg, const char *what, struct api_response *ret);
MUST_CHECK int row_write_answer(struct api_request *rq, store_tx_fn *fn, api_answer_fn *answer,
                                void *arg, const char *what, struct api_response *ret);
/* The answer: status, ETag of the version (0: none), body, which is taken. returns: 0; -ENOMEM there is no body. */
MUST_CHECK int row_answer(struct api_response *ret, int status, int64_t version, json_t *body);
/* Canonical JSON (sorted members, no spaces), for free(). NULL: no memory. */
char *row_canonical(const json_t *json);
/* Whether there is a row of `revocations`; that there is none proves nothing (revocation.h). returns: 1, 0; -EIO. */
MUST_CHECK int row_is_revoked(struct store_tx *tx, const char *org_id, const char *kind,
                              const char *object, struct err *err);
