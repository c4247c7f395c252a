/* SPDX-License-Identifier: Apache-2.0 */
/* What is secret, freed. Relying party. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <cjose/cjose.h>
#include <jansson.h>

#include "lib/ct.h"
#include "server/crypto/keys.h"

void secret_free(void *data, size_t size)
{
    if (data)
        ct_wipe(data, size);
    free(data);
}

static void wipe_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p)); /* by words: each request frees much JSON */
    free(p);
}

static void *wipe_realloc(void *p, size_t size)
{
    void *moved = malloc(size ? size : 1);

    if (!moved)
        return NULL;
    if (p)
        memcpy(moved, p, MIN(malloc_usable_size(p), size));
    wipe_free(p);
    return moved;
}

void secret_libraries_wipe(void)
{
    json_set_alloc_funcs(malloc, wipe_free);
    cjose_set_alloc_funcs(malloc, wipe_realloc, wipe_free);
}
