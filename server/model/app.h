/* SPDX-License-Identifier: Apache-2.0 */
/* Apps within server/model/ (others: build.h). Relying party. */
#pragma once

#include "server/model/build.h"
#include "server/model/row.h"

#define APP_DNS_NAMES_MAX 16u
#define APP_GRACE_MAX_S 600

/* returns: 0; -ENOENT; -EIO. by: id, or name. */
MUST_CHECK int app_find_id(struct store_tx *tx, const char *org_id, const char *by, char ret[32],
                           struct err *err);
/* app_find_id and app_read; a problem of code "not-found" when there is none. returns: 0; -EPROTO; errors as app_read. */
MUST_CHECK int app_lookup(struct api_request *rq, struct store_tx *tx, const char *by,
                          struct app_row *ret, struct err *err);
