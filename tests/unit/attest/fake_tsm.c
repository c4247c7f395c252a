/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One report of configfs-tsm as named pipes: fake_tsm PKI FOLDER MRENCLAVE-BYTE. Whoever writes inblob and reads the other attributes, in the order that
 * attest/source_tsm.c does, gets a quote of an enclave that does not exist. For end-to-end tests outside of an enclave. Says "ready".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attest/cert.h"
#include "attest/collateral.h"
#include "tests/unit/attest/quoter.h"

static const char *const g_names[] = { "inblob", "generation", "provider", "outblob", "auxblob" };

static char g_paths[ARRAY_COUNT(g_names)][256];

/* Gives the next reader of an attribute these bytes. It sees their end before it opens another attribute, which is where this end goes on. */
static int give(unsigned name, const void *data, size_t size)
{
    int fd = open(g_paths[name], O_WRONLY | O_CLOEXEC);
    const uint8_t *at = data;

    if (fd < 0)
        return -errno;
    while (size > 0) {
        ssize_t count = write(fd, at, size);

        if (count <= 0)
            break;
        at += count;
        size -= (size_t)count;
    }
    close(fd);
    return 0;
}

/* What the host would pass on: the collateral as a CMW of its own. */
static int collateral_encode(const struct cmw *cmw, char **ret, size_t *ret_size)
{
    CLEANUP(cmw_freep)
    struct cmw *aux = NULL;
    struct verifier_collateral_items items;
    int rc = cmw_new(&aux);

    collateral_from_cmw(cmw, cmw_item_find(cmw, 0, COLLATERAL_LABEL), &items);
    if (rc == 0)
        rc = cmw_add_collection(aux, CMW_TOP, "", NULL);
    if (rc >= 0)
        rc = collateral_add_to_cmw(aux, 0, &items);
    return rc < 0 ? rc : cmw_encode_json(aux, ret, ret_size);
}

static int serve_one(const char *pki, uint8_t mrenclave)
{
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    const struct cmw_item *evidence;
    uint8_t report_data[64];
    struct err err = { 0 };
    char *aux = NULL;
    size_t aux_size;
    int fd = open(g_paths[0], O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    rc = read(fd, report_data, sizeof report_data) == sizeof report_data ? 0 : -EIO;
    close(fd);
    if (rc == 0)
        rc = quoter_get_from(pki, mrenclave, true, report_data, &cmw, &err);
    if (rc == 0)
        rc = collateral_encode(cmw, &aux, &aux_size);
    if (rc < 0) {
        fprintf(stderr, "fake_tsm: %s\n", err.text);
        return rc;
    }
    evidence = cmw_item_get(cmw, cmw_item_find(cmw, 0, CERT_LABEL_EVIDENCE));
    rc = give(1, "1\n", 2);
    if (rc == 0)
        rc = give(2, "cloche_test\n", 12);
    if (rc == 0)
        rc = give(3, evidence->data, evidence->size);
    if (rc == 0)
        rc = give(4, aux, aux_size);
    if (rc == 0)
        rc = give(1, "1\n", 2);
    free(aux);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;

    if (argc != 4)
        return 2;
    for (unsigned i = 0; i < ARRAY_COUNT(g_names); i++) {
        snprintf(g_paths[i], sizeof g_paths[i], "%s/%s", argv[2], g_names[i]);
        if (mkfifo(g_paths[i], 0600) < 0) {
            perror(g_paths[i]);
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    while (rc == 0)
        rc = serve_one(argv[1], (uint8_t)strtoul(argv[3], NULL, 16));
    return 1;
}
