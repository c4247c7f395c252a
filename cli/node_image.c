/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche node start-image`: gets an instance's image, checks that it is the build's, and becomes the loader. A process of its own for each instance, so
 * that a slow registry holds up nobody. Relying party side; the enclave proves what it is, whatever is started here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "cli/node.h"
#include "cli/node_store.h"
#include "cli/push.h"
#include "host/bundle/bundle.h"

#define PATH_SIZE 4096u

/* The descriptor's digest is the build's: another image is no instance of it. */
static int check(const char *path, const char *digest, struct err *err)
{
    struct bundle bundle;
    struct bundle_map map;
    uint8_t hash[48];
    char hex[97];
    bool is_hashed;
    int rc = bundle_open(path, &bundle, err);

    if (rc < 0)
        return rc;
    rc = bundle_map(&bundle.files[BUNDLE_DESCRIPTOR], &map);
    bundle_close(&bundle);
    if (rc < 0)
        return err_set_errno(err, rc, "%s", path);
    is_hashed = EVP_Digest(map.data, map.size, hash, NULL, EVP_sha384(), NULL) == 1;
    bundle_unmap(&map);
    if (!is_hashed)
        return err_set(err, -EIO, "%s: no digest", path);
    if (strcmp(push_hex(hash, 48, hex), digest) != 0)
        return err_set(err, -EBADMSG, "%s is not the build: its app digest is %s, the build's %s",
                       path, hex, digest);
    return 0;
}

static bool is_digest(const char *text)
{
    return strlen(text) == 96 && strspn(text, "0123456789abcdef") == 96;
}

/* The loader's arguments; it does not come back when it could be started. */
static int become_loader(const struct cli_call *call, const char *path, struct err *err)
{
    char loader[PATH_SIZE], variable[64];
    const char *argv[16] = { "cloche-loader", "--env", variable };
    const char *socket = command_option(call, "quote-socket");
    const char *collateral = command_option(call, "collateral");
    unsigned count = 3;
    int rc = cli_program_path("cloche-loader", loader, sizeof loader, err);

    if (rc < 0)
        return rc;
    snprintf(variable, sizeof variable, "CLOCHE_INSTANCE=%.31s", call->arguments[0]);
    if (socket) {
        argv[count++] = "--quote-socket";
        argv[count++] = socket;
    }
    if (collateral) {
        argv[count++] = "--collateral";
        argv[count++] = collateral;
    }
    argv[count++] = "--image";
    argv[count++] = path;
    argv[count++] = "--";
    argv[count] = NULL;
    execv(loader, (char **)argv);
    return err_set_errno(err, -errno, "cannot start %s", loader);
}

int node_start_image(struct cli_call *call)
{
    const char *place = call->arguments[1], *digest = command_option(call, "digest");
    const char *folder = command_option(call, "folder");
    char pulled[PATH_SIZE];
    struct err err = { 0 };
    int64_t images_mib = NODE_IMAGES_MIB_DEFAULT;
    int rc = command_number(call, "images-size", 1, NODE_IMAGES_MIB_MAX, &images_mib, &err);

    if (rc < 0 || !digest || !is_digest(digest) || !folder)
        return command_usage(call, "--digest and --folder are needed");
    if (place[0] == '/') {
        rc = check(place, digest, &err);
        return cli_fail(&err, rc == 0 ? become_loader(call, place, &err) : rc);
    }
    rc = node_store_pull(folder, digest, place, (uint64_t)images_mib << 20, pulled, sizeof pulled,
                         &err);
    place = pulled;
    if (rc == 0 && check(pulled, digest, &err) < 0) { /* it was whole when it came */
        fprintf(stderr, "cloche: %s was damaged on this disk: it is pulled again\n", pulled);
        node_store_remove(pulled);
        rc = node_store_pull(folder, digest, call->arguments[1], (uint64_t)images_mib << 20, pulled,
                             sizeof pulled, &err);
    }
    if (rc == 0)
        rc = become_loader(call, place, &err);
    return cli_fail(&err, rc);
}
