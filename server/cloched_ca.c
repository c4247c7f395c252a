/* SPDX-License-Identifier: Apache-2.0 */
/* `cloched ca`: prints the roots of the server's certificate authority, for clients that are to trust it; the server need not run. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/ca/ca.h"
#include "server/cloched.h"
#include "server/server_open.h"

int cloched_ca(const struct server_config *config, int argc, char **argv)
{
    struct server server;
    struct err err = { "" };
    char *roots = NULL;
    int rc;

    if (argc != 1)
        return -1;
    rc = server_open_store(&server, config, &err);
    if (rc < 0)
        return cloched_fail("ca", &err);
    if (!server.ca)
        rc = ca_open(&server, &server.ca, &err);
    if (rc == 0) {
        roots = ca_roots_pem(server.ca);
        rc = roots ? 0 : err_set_errno(&err, -ENOMEM, "the roots");
    }
    if (rc == 0)
        fputs(roots, stdout);
    free(roots);
    server_close(&server, 0);
    return rc < 0 ? cloched_fail("ca", &err) : EXIT_SUCCESS;
}
