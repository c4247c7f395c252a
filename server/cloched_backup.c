/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloched backup FILE`: everything that the store holds, as of one moment, while servers run. Relying party. What is secret in it stays sealed: without the root key the
 * file opens nothing. Its last line authenticates it under a key of the server's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/audit/audit.h"
#include "server/cloched.h"
#include "server/cloched_backup.h"
#include "server/server_open.h"
#include "server/store/dump.h"

struct note {
    const char *action;
    int64_t rows;
};

static int note_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct note *note = arg;
    json_t *detail = json_pack("{s:I}", "rows", (json_int_t)note->rows);
    struct audit_entry entry = {
        .actor = "server", .action = note->action, .decision = "done", .detail = detail
    };
    int rc = audit_append(tx, &entry, err);

    json_decref(detail);
    return rc;
}

int backup_note(struct server *server, const char *action, int64_t rows, struct err *err)
{
    struct note note = { action, rows };

    return store_write(server->store, note_in, &note, err);
}

static int write_mac(struct server *server, FILE *file, const uint8_t sha256[32], struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = keys_mac(server->keys, NULL, BACKUP_CONTEXT, sha256, 32, mac, err);

    if (rc < 0)
        return rc;
    fputs("{\"mac\":\"", file);
    for (unsigned i = 0; i < sizeof mac; i++)
        fprintf(file, "%02x", mac[i]);
    fputs("\"}\n", file);
    if (ferror(file) || fflush(file) != 0 || fsync(fileno(file)) < 0)
        return err_set_errno(err, -EIO, "writing");
    return 0;
}

static int backup_to(struct server *server, const char *path, int64_t *ret_rows, struct err *err)
{
    uint8_t sha256[32];
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc;
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w+");

    if (!file) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return err_set_errno(err, rc, "cannot make %s", path);
    }
    rc = store_dump(server->store, file, ret_rows, sha256, err);
    if (rc == 0)
        rc = write_mac(server, file, sha256, err);
    if (fclose(file) != 0 && rc == 0)
        rc = err_set_errno(err, -EIO, "%s", path);
    if (rc == 0)
        rc = backup_note(server, "store.backup", *ret_rows, err);
    if (rc < 0)
        unlink(path);
    return rc;
}

int cloched_backup(const struct server_config *config, int argc, char **argv)
{
    struct server server;
    struct err err = { "" };
    int64_t rows = 0;
    int rc;

    if (argc != 2)
        return -1;
    rc = server_open_store(&server, config, &err);
    if (rc < 0)
        return cloched_fail("backup", &err);
    rc = backup_to(&server, argv[1], &rows, &err);
    server_close(&server, 0);
    if (rc < 0)
        return cloched_fail("backup", &err);
    printf("%lld rows in %s; keep it where the root key is not\n", (long long)rows, argv[1]);
    return EXIT_SUCCESS;
}
