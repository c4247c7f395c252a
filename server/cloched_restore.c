/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloched restore FILE`: a backup into a new, empty store, of either engine. Relying party. The file is refused, and the store emptied again, unless this root key opens it and the
 * server's key authenticates all of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cloched.h"
#include "server/cloched_backup.h"
#include "server/model/row.h"
#include "server/server_open.h"
#include "server/store/dump.h"
#include "server/store/store.h"

#define MAC_LINE_SIZE 80u

static int read_mac(FILE *file, long end, uint8_t ret[KEYS_MAC_SIZE], struct err *err)
{
    char line[MAC_LINE_SIZE] = "", *text = line + 8;

    if (fseek(file, end, SEEK_SET) < 0 || !fgets(line, sizeof line, file) ||
        strncmp(line, "{\"mac\":\"", 8) != 0 || strlen(text) != 2 * KEYS_MAC_SIZE + 3 ||
        strcmp(text + 2 * KEYS_MAC_SIZE, "\"}\n") != 0 || fgetc(file) != EOF)
        return err_set(err, -EBADMSG, "the backup's last line is damaged");
    text[2 * KEYS_MAC_SIZE] = 0;
    return row_unhex(text, ret, KEYS_MAC_SIZE);
}

/* The rows are in the store: whether they may stay. */
static int check(const struct server_config *config, FILE *file, long end, const uint8_t sha256[32],
                 int64_t rows, struct err *err)
{
    struct server server;
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = read_mac(file, end, mac, err);

    if (rc < 0)
        return err_wrap(err, -EBADMSG, "the backup");
    rc = server_open_store(&server, config, err);
    if (rc < 0)
        return rc;
    rc = keys_mac_verify(server.keys, NULL, BACKUP_CONTEXT, sha256, 32, mac, sizeof mac, err);
    if (rc < 0)
        err_set(err, rc, "the backup was changed after it was made");
    if (rc == 0)
        rc = backup_note(&server, "store.restore", rows, err);
    server_close(&server, 0);
    return rc;
}

static int restore_from(const struct server_config *config, FILE *file, int64_t *ret_rows,
                        struct err *err)
{
    struct store *store;
    struct err other = { "" };
    uint8_t sha256[32];
    long end = 0;
    int rc = store_open(config->store_url, &store, err);

    if (rc < 0)
        return rc;
    rc = store_load(store, file, ret_rows, sha256, &end, err);
    if (rc == 0) {
        rc = check(config, file, end, sha256, *ret_rows, err);
        if (rc < 0 && store_clear(store, &other) < 0)
            err_wrap(err, rc, "and the store could not be emptied again (%s)", other.text);
    }
    store_close(store);
    return rc;
}

int cloched_restore(const struct server_config *config, int argc, char **argv)
{
    struct err err = { "" };
    int64_t rows = 0;
    FILE *file;
    int rc;

    if (argc != 2)
        return -1;
    file = fopen(argv[1], "re");
    rc = file ? restore_from(config, file, &rows, &err)
              : err_set_errno(&err, -errno, "cannot open %s", argv[1]);
    if (file)
        fclose(file);
    if (rc < 0)
        return cloched_fail("restore", &err);
    printf("%lld rows restored; what was written after the backup is gone: revoke again what was "
           "revoked since\n",
           (long long)rows);
    return EXIT_SUCCESS;
}
