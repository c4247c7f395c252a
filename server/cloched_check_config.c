/* SPDX-License-Identifier: Apache-2.0 */
/* `cloched check-config`: whether a server could start with this file, without starting one. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/cloched.h"

static int file_check(const char *name, const char *path, struct err *err)
{
    return path && access(path, R_OK) < 0 ? err_set_errno(err, -errno, "%s: %s", name, path) : 0;
}

int cloched_check_config(const struct server_config *config, int argc, char **argv)
{
    struct err err = { "" };

    if (argc != 1)
        return -1;
    if (file_check("tls_certificate", config->tls_certificate, &err) < 0 ||
        file_check("tls_key", config->tls_key, &err) < 0 ||
        file_check("emulator_root", config->emulator_root, &err) < 0 ||
        file_check("oidc_issuers", config->oidc_issuers_file, &err) < 0 ||
        (config->root_key.kind == KEYS_PASSPHRASE_FILE &&
         file_check("root_key_passphrase_file", config->root_key.location, &err) < 0))
        return cloched_fail("check-config", &err);
    printf("the configuration is sound: %s on %s, %s\n",
           config->plain_http ? "plain HTTP" : "TLS 1.3", config->listen, config->store_url);
    return EXIT_SUCCESS;
}
