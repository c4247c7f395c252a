/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche run`: hands a sealed image to the loader that is installed beside this program. The loader
 * in the image is for containers; nothing from an image is run on this machine outside an enclave.
 * Relying party side.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/defs.h"

#define LOADER_NAME "cloche-loader"

const char cmd_run_usage[] =
    "usage: cloche run [-it] [--explain] [--verbose] [--env NAME=VALUE]... [-v HOSTDIR:/path]... "
    "IMAGE [ARG...]\n"
    "\n"
    "  IMAGE       a folder or tar archive that `cloche build` wrote\n"
    "  -i          keep standard input open (without -t it always is)\n"
    "  -t          give the program a terminal inside the enclave; with -i, what you type goes "
    "there\n"
    "  --explain   at the end, list the system calls that the program used and are not supported\n"
    "  --verbose   say more about what the enclave does\n"
    "  --env       set a variable that the image lets the host set\n"
    "  -v          give a host folder for a mount that the image names; its content is not "
    "trusted\n"
    "  --quote-socket  socket of the quoting service (else CLOCHE_QUOTE_SOCKET, else the "
    "machine's)\n"
    "  --collateral    collateral to staple to evidence (else CLOCHE_COLLATERAL)\n";

/* Path of the loader beside this program. */
static int find_loader(char *path, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", path, size - sizeof LOADER_NAME - 1);
    char *slash;

    if (len < 0)
        return -errno;
    path[len] = 0;
    slash = strrchr(path, '/');
    if (!slash)
        return -ENOENT;
    memcpy(slash + 1, LOADER_NAME, sizeof LOADER_NAME);
    return access(path, X_OK) < 0 ? -errno : 0;
}

static bool takes_value(const char *option)
{
    return strcmp(option, "--env") == 0 || strcmp(option, "-v") == 0 ||
           strcmp(option, "--quote-socket") == 0 || strcmp(option, "--collateral") == 0;
}

static bool is_flag(const char *option)
{
    return strcmp(option, "--explain") == 0 || strcmp(option, "--verbose") == 0;
}

/* -i, -t, -it and so on: as loader options into out. returns: how many; 0: none of these. */
static int terminal_options(const char *option, char **out)
{
    int count = 0;

    if (strcmp(option, "--interactive") == 0)
        option = "-i";
    else if (strcmp(option, "--tty") == 0)
        option = "-t";
    for (const char *c = option + 1; *c; c++) {
        if ((*c != 'i' && *c != 't') || count == 2)
            return 0;
        out[count++] = (char *)(*c == 'i' ? "-i" : "-t");
    }
    return count;
}

int cmd_run(int argc, char **argv)
{
    char loader[4096];
    char **out = calloc(2 * (size_t)argc + 5, sizeof *out);
    int count = 0, flags, i, rc;

    if (!out) {
        fputs("cloche run: no memory\n", stderr);
        return CLI_EXIT_FAILED;
    }
    out[count++] = (char *)LOADER_NAME;
    for (i = 1; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(cmd_run_usage, stdout);
            free(out);
            return CLI_EXIT_OK;
        }
        flags = terminal_options(argv[i], out + count);
        count += flags;
        if (flags)
            continue;
        if (!is_flag(argv[i]) && !(takes_value(argv[i]) && i + 1 < argc))
            break;
        out[count++] = argv[i];
        if (takes_value(argv[i]))
            out[count++] = argv[++i];
    }
    if (i < argc && strcmp(argv[i], "--") == 0)
        i++;
    else if (i < argc && argv[i][0] == '-')
        fprintf(stderr, "cloche run: %s: unknown option, or its value is missing\n", argv[i]);
    if (i >= argc || argv[i][0] == '-') {
        fputs(cmd_run_usage, stderr);
        free(out);
        return CLI_EXIT_USAGE;
    }
    out[count++] = (char *)"--image";
    out[count++] = argv[i++];
    out[count++] = (char *)"--";
    for (; i < argc; i++)
        out[count++] = argv[i];
    rc = find_loader(loader, sizeof loader);
    if (rc == 0) {
        execv(loader, out);
        rc = -errno;
    }
    fprintf(stderr, "cloche run: cannot start %s: %s\n", LOADER_NAME, strerror(-rc));
    free(out);
    return CLI_EXIT_FAILED;
}
