/* SPDX-License-Identifier: Apache-2.0 */
/* What clients send about secrets, checked. Relying party; internal to server/secret. Every function sets a problem and returns -EPROTO when it refuses. */
#pragma once

#include "server/api/api.h"
#include "server/secret/row.h"

struct secret_request {
    const char *name, *value; /* of the body */
    json_t *deliver, *conditions, *bindings, *import;
    bool is_template;
    uint8_t *bytes; /* the value, decoded or imported */
    size_t size;
    char source[256]; /* where it came from */
};
void secret_request_done(struct secret_request *request);

/* A new secret: everything. */
MUST_CHECK int secret_request_read(struct api_request *rq, struct secret_request *ret);
/* deliver and conditions, each optional. */
MUST_CHECK int secret_request_read_change(struct api_request *rq, struct secret_request *ret);
/* A new value alone: "value" or "import". */
MUST_CHECK int secret_request_read_value(struct api_request *rq, struct secret_request *ret);
/* That this value can be delivered so, and is a good template when it is one. */
MUST_CHECK int secret_request_check_value(struct api_request *rq, const struct secret_row *row,
                                          const struct secret_request *request);
/* The bindings' apps and builds, by id or name, into the row. Sets no problem: returns 0; -ENOENT, -EINVAL, why in err. */
MUST_CHECK int secret_bindings_read(struct store_tx *tx, const json_t *bindings,
                                    struct secret_row *row, struct err *err);
