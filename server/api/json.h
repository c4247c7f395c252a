/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from outside, with bounds that hold before any of it is built. Relying party; the bytes are hostile. */
#pragma once

#include <jansson.h>

#include "lib/defs.h"
#include "lib/err.h"

#define JSON_VALUES_MAX 32768u /* of one text: values and names */

/*
 * An object (RFC 8259): UTF-8, no name twice, no NUL in texts, nested at most depth_max deep, at most JSON_VALUES_MAX values, integers that fit 64 bits.
 * returns: 0, *ret for json_decref; -EINVAL malformed, err says where; -E2BIG too deep or too many; -ENOMEM.
 */
MUST_CHECK int json_object_parse(const void *data, size_t size, unsigned depth_max, json_t **ret,
                                 struct err *err);
