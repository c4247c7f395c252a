/* SPDX-License-Identifier: Apache-2.0 */
/* How a secret is delivered, and to whom at all (docs/secrets.md): the JSON of both, checked. Relying party; the JSON comes from clients. */
#pragma once

#include <jansson.h>

#include "server/secret/secret.h"

/*
 * deliver: {"env": NAME}, {"file": path, "mode", "uid", "gid"}, {"socket": true} or {"none": true} (for templates of other secrets alone).
 * returns: 0; -EINVAL what is wrong is in err.
 */
MUST_CHECK int delivery_check(const json_t *deliver, struct err *err);
/* Whether a value can be delivered so: an environment holds no NUL. returns: 0; -EINVAL. */
MUST_CHECK int delivery_value_check(const json_t *deliver, const void *value, size_t size,
                                    struct err *err);
/* {"tee": [...], "tcb": [...], "locations": [...], "emulated": bool}, each optional. returns: 0; -EINVAL. */
MUST_CHECK int conditions_check(const json_t *conditions, struct err *err);
/* Whether the receiver meets them. returns: 0; -EACCES which one it does not, in err. */
MUST_CHECK int conditions_meet(const json_t *conditions, const struct secret_receiver *to,
                               struct err *err);
