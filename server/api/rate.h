/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets by a text key, in bounded memory: when there are more keys than places, the one that was quiet longest starts anew. Relying party; thread-safe. */
#pragma once

#include "lib/defs.h"

struct rate;
MUST_CHECK int rate_new(struct rate **ret);
void rate_free(struct rate *rate); /* NULL allowed */
/* Takes one of per_minute tokens (at most per_minute / 4 + 1 at once). returns: 0; else seconds until there is one. */
unsigned rate_take(struct rate *rate, const char *key, uint32_t per_minute, int64_t now_ms);
