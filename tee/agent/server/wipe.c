/* SPDX-License-Identifier: Apache-2.0 */
/* See wipe.h. Trusted; hosted. */
#include "tee/agent/server/wipe.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/crypto.h>

void wipe_free(void *p)
{
    if (p)
        OPENSSL_cleanse(p, malloc_usable_size(p));
    free(p);
}

static void *wipe_realloc(void *p, size_t size)
{
    size_t old_size = p ? malloc_usable_size(p) : 0;
    void *grown = malloc(size ? size : 1);

    if (!grown)
        return NULL;
    if (p)
        memcpy(grown, p, old_size < size ? old_size : size);
    wipe_free(p);
    return grown;
}

static void *crypto_malloc(size_t size, const char *file, int line)
{
    return size ? malloc(size) : NULL;
}

static void *crypto_realloc(void *p, size_t size, const char *file, int line)
{
    if (size > 0)
        return wipe_realloc(p, size);
    wipe_free(p);
    return NULL;
}

static void crypto_free(void *p, const char *file, int line)
{
    wipe_free(p);
}

int wipe_install(void)
{
    json_set_alloc_funcs(malloc, wipe_free);
    cjose_set_alloc_funcs(malloc, wipe_realloc, wipe_free);
    if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free))
        return -EIO; /* OpenSSL has allocated before */
    /* openssl.cnf is the workload's, and OPENSSL_CONF may be the host's: neither has a say here. */
    return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 ? 0 : -EIO;
}
