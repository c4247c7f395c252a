/* SPDX-License-Identifier: Apache-2.0 */
/* Instances as `cloche instance list` and `cloche top` show them. Relying party side. */
#pragma once

#include "cli/remote.h"

/* All instances of a path of /v1/instances, with "app_name" and "node_name" besides the ids. *ret for json_decref. */
MUST_CHECK int instances_list(struct remote *r, const char *path, json_t **ret);
/* Sets app_name and node_name of instances beside the ids. errors as client_list. */
MUST_CHECK int instances_name(struct remote *r, json_t *items);
