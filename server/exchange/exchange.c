/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange's start and end. Relying party. */
#include "server/exchange/exchange.h"

#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/exchange/internal.h"

#define CHAINS_MAX 4096u /* PCK chains whose checks are kept */

static const char g_makers[] = "{\"version\":1,\"name\":\"makers\",\"roots\":[\"intel\",\"amd\"]}";

static int emulator_read(struct exchange *exchange, const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");
    X509 *root = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    unsigned char *der = NULL;
    int size = root ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(root), &der) : -1;

    if (file)
        fclose(file);
    exchange->has_emulator = size > 0 && EVP_Digest(der, (size_t)size, exchange->emulator_root,
                                                    NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    X509_free(root);
    return exchange->has_emulator ? 0 : err_set(err, -EINVAL, "%s: no certificate in PEM", path);
}

int exchange_open(struct server *server, struct exchange **ret, struct err *err)
{
    struct exchange *x = calloc(1, sizeof *x);
    int rc;

    if (!x)
        return -ENOMEM;
    x->server = server;
    rc = verifier_policy_new(g_makers, sizeof g_makers - 1, &x->makers, err);
    if (rc == 0 && server->config->emulator_root)
        rc = emulator_read(x, server->config->emulator_root, err);
    if (rc == 0)
        rc = verifier_cache_new(CHAINS_MAX, &x->chains);
    if (rc == 0)
        rc = seen_new(&x->seen);
    if (rc == 0)
        rc = collaterals_new(server, &x->collaterals, err);
    if (rc == 0 && server->events)
        rc = orders_listen(x);
    if (rc < 0) {
        exchange_close(x);
        return err_wrap(err, rc, "exchange");
    }
    api_instance_authenticator_set(orders_authenticate);
    *ret = x;
    return 0;
}

static int nothing_in(struct store_tx *tx, void *arg, struct err *err)
{
    return 0;
}

int exchange_epoch_begin(struct exchange *x, struct err *err)
{
    int rc;

    __atomic_add_fetch(&x->epoch, 1, __ATOMIC_SEQ_CST);
    collaterals_forget(x->collaterals);
    /* Writers go one after another: behind this one each has compared the epoch, or is committed. */
    rc = store_write(x->server->store, nothing_in, NULL, err);
    return MIN(rc, 0);
}

void exchange_close(struct exchange *x)
{
    if (!x)
        return;
    collaterals_free(x->collaterals);
    seen_free(x->seen);
    verifier_cache_free(x->chains);
    verifier_policy_free(x->makers);
    free(x);
}
