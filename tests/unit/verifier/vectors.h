/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence and collateral of a set of vectors (tests/vectors), for tests and benchmarks. Aborts when the set cannot be read. */
#pragma once

#include "verifier/verifier.h"

struct vector {
    const char *id, *kind;
    struct verifier_bytes evidence;
    struct verifier_collateral_items items;
    int64_t at_s; /* 0: no time is given */
};

/* The entries with a quote or a report, in the order of the manifest; never freed. returns: their count. */
unsigned vectors_load(const char *folder, const struct vector **ret);
/* The one with this id; aborts when there is none. */
const struct vector *vectors_find(const char *folder, const char *id);
