/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is wiped when it is given back: of the agent, OpenSSL, jansson and cjose alike. Trusted; hosted. */
#pragma once

#include "lib/defs.h"

/* Gives the libraries these functions. Called first, before any of them allocates: 0; -EIO. */
MUST_CHECK int wipe_install(void);
/* Wipes and frees what malloc gave. NULL allowed. */
void wipe_free(void *p);
static inline void wipe_freep(char **p)
{
    wipe_free(*p);
}
