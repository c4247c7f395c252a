/* SPDX-License-Identifier: Apache-2.0 */
/* What dump.c and dump_load.c share. Internal to server/store. */
#pragma once

#include <jansson.h>

#include "server/store/backend.h"

#define DUMP_FORMAT "cloche-backup-1"

/* Whether a dump of this version of the schema has this table. */
bool dump_has_table(const struct store_table *table, int64_t version);
/* The columns' names. */
json_t *dump_columns(const struct store_rows *rows);
