/* SPDX-License-Identifier: Apache-2.0 */
/* `cloched rekey --to SOURCE`: all keys under another root key. Relying party. SOURCE: passphrase:FILE, pkcs11:..., sealed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cloched.h"
#include "server/cloched_backup.h"
#include "server/server_open.h"

static int source_parse(const char *text, struct keys_source *ret, const char **ret_member)
{
    if (strncmp(text, "passphrase:", 11) == 0) {
        *ret = (struct keys_source){ KEYS_PASSPHRASE_FILE, text + 11 };
        *ret_member = "root_key_passphrase_file";
    } else if (strncmp(text, "pkcs11:", 7) == 0) {
        *ret = (struct keys_source){ KEYS_PKCS11, text };
        *ret_member = "root_key_pkcs11";
    } else if (strcmp(text, "sealed") == 0) {
        *ret = (struct keys_source){ KEYS_SEALED, NULL };
        *ret_member = "root_key_sealed";
    } else {
        return -EINVAL;
    }
    return 0;
}

int cloched_rekey(const struct server_config *config, int argc, char **argv)
{
    struct server server;
    struct keys_source source;
    struct err err = { "" };
    const char *member;
    int rc;

    if (argc != 3 || strcmp(argv[1], "--to") != 0 || source_parse(argv[2], &source, &member) < 0)
        return -1;
    rc = server_open_store(&server, config, &err);
    if (rc < 0)
        return cloched_fail("rekey", &err);
    rc = keys_rekey(server.keys, &source, &err);
    if (rc == 0)
        rc = backup_note(&server, "store.rekey", 0, &err);
    server_close(&server, 0);
    if (rc < 0)
        return cloched_fail("rekey", &err);
    printf("the store is under the new root key; put in the configuration, and have the servers "
           "that run read it (SIGHUP):\n%s: %s\n",
           member, source.location ? source.location : "true");
    return EXIT_SUCCESS;
}
