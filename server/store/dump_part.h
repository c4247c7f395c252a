/* SPDX-License-Identifier: Apache-2.0 */
/* What dump.c and dump_load.c share. Internal to server/store. */
#pragma once

#include <jansson.h>

#include "server/store/store.h"

#define DUMP_FORMAT "cloche-backup-1"

/* Whether a dump has this table. */
bool dump_has_table(const char *name);
/* The columns' names. */
json_t *dump_columns(const struct store_rows *rows);
