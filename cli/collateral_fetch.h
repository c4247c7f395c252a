/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche collateral fetch` and `refresh`, and what the other verbs share with them. Relying party side. */
#pragma once

#include <jansson.h>

#include "cli/collateral_store.h"

#define COLLATERAL_JOB_ITEM_COUNT_MAX 64u

/* One run of the command. */
struct collateral_job {
    struct collateral_flags flags;
    struct collateral *store;
    struct collateral_wishes wishes;
    const char *evidence, *output, *vek_path, *bundle;
    bool offline, all, body;
    unsigned item_count;
    struct collateral_item_id items[COLLATERAL_JOB_ITEM_COUNT_MAX];
    struct collateral_needs needs; /* of evidence */
    bool found;
    struct err error;
    int status; /* when a verb returns -EALREADY: each failure has been told, this is the exit status */
};

/* Adds what the evidence needs to the items. returns: 0; -EINVAL; errno. */
MUST_CHECK int collateral_job_items_find(struct collateral_job *job, struct err *err);

/* returns: 0; -EALREADY; errno. */
MUST_CHECK int collateral_job_fetch(struct collateral_job *job, struct err *err);
MUST_CHECK int collateral_job_refresh(struct collateral_job *job, struct err *err);

/* The entry's facts. NULL: no memory. */
json_t *collateral_entry_json(const struct collateral_entry *entry);
void collateral_json_print(const json_t *json);
/* Cuts the chip id out of a VCEK's name. returns: dst. */
char *collateral_name_shorten(const char *name, char dst[64]);
