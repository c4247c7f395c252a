/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read of an answer's headers. Relying party; within collateral/. Lines are hostile: lengths are bounded, and a header that
 * does not matter may be anything. Sources: RFC 9110 (fields, Retry-After), RFC 9111 (Cache-Control), Intel PCS API v4 (issuer chains).
 */
#pragma once

#include "collateral/collateral.h"

#define HEADERS_SIZE_MAX (64u << 10) /* bytes of all lines of one answer */
#define HEADERS_AGE_MAX_S (30u * 86400)

struct headers {
    const char *const *chain_names; /* of the issuer chain, NULL-ended, set before; NULL: none */
    size_t size;                    /* bytes so far */
    char content_type[128], etag[COLLATERAL_TAG_SIZE], last_modified[COLLATERAL_TAG_SIZE];
    char retry_after[64];
    char location[COLLATERAL_SOURCE_SIZE];
    uint8_t *chain; /* PEM; owned; NULL: none */
    size_t chain_size;
    uint32_t max_age_s; /* HEADERS_AGE_MAX_S at most */
    bool has_max_age;   /* no-cache and no-store are an age of 0 */
    const char *error;  /* static: what makes the answer unusable; NULL */
};

/* One line, with or without its end; a status line starts anew. returns: 0; -EBADMSG error is set; -ENOMEM. */
MUST_CHECK int headers_add(struct headers *h, const char *line, size_t size);
void headers_done(struct headers *h);

/* How long Retry-After asks to wait from now_s on. returns: ms, at most a day; -ENOENT it does not say. */
MUST_CHECK int64_t headers_retry_after_ms(const struct headers *h, int64_t now_s);
/* "Sun, 06 Nov 1994 08:49:37 GMT". returns: 0; -EINVAL. */
MUST_CHECK int headers_date_parse(const char *text, int64_t *ret_s);
/* Percent-decodes PEM; for free(). returns: 0; -EINVAL not encoded so, or no text; -ENOMEM. */
MUST_CHECK int headers_chain_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_size);
