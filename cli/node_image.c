/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche node start-image`: gets an instance's image, checks that it is the build's, and becomes the loader. A process of its own for each instance, so
 * that a slow registry holds up nobody. Relying party side; the enclave proves what it is, whatever is started here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "cli/node.h"
#include "cli/push.h"
#include "host/bundle/bundle.h"

#define PATH_SIZE 4096u

/* Runs skopeo to its end. */
static int copy(const char *from, const char *to, struct err *err)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        execlp("skopeo", "skopeo", "copy", "--quiet", "--", from, to, (char *)NULL);
        dprintf(2, "cloche: cannot start skopeo: %s\n", strerror(errno));
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return err_set_errno(err, -errno, "cannot start skopeo");
    if (status != 0)
        return err_set(err, -EIO, "skopeo could not get %s", from);
    return 0;
}

/* Pulls into the store, unless it is there. ret: its path. */
static int pull(const char *folder, const char *digest, const char *place, char ret[PATH_SIZE],
                struct err *err)
{
    char beside[PATH_SIZE + 32], to[PATH_SIZE + 64];
    int rc;

    snprintf(ret, PATH_SIZE, "%s/images/%s.tar", folder, digest);
    if (access(ret, R_OK) == 0)
        return 0;
    snprintf(beside, sizeof beside, "%s.%ld", ret, (long)getpid());
    snprintf(to, sizeof to, "oci-archive:%s", beside);
    rc = copy(place, to, err);
    if (rc == 0 && rename(beside, ret) < 0)
        rc = err_set_errno(err, -errno, "%s", ret);
    if (rc < 0)
        unlink(beside);
    return rc;
}

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
    int rc = 0;

    if (!digest || !is_digest(digest) || !folder)
        return command_usage(call, "--digest and --folder are needed");
    if (place[0] != '/') {
        rc = pull(folder, digest, place, pulled, &err);
        place = pulled;
    }
    if (rc == 0)
        rc = check(place, digest, &err);
    if (rc == 0)
        rc = become_loader(call, place, &err);
    return cli_fail(&err, rc);
}
