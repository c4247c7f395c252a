/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloche-loader: entry point of a sealed image, and what `cloche run` starts. Untrusted side; all that
 * it says is for people, nothing that it does is believed by the enclave.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <x86intrin.h>

#include "host/loader/loader.h"

#define EXIT_STATUS_FAILED 1
#define EXIT_STATUS_USAGE 2
#define EXIT_STATUS_REFUSED 3

static const char g_usage[] =
    "usage: cloche-loader [--image PATH] [-i] [-t] [--explain] [--verbose] [--env NAME=VALUE]...\n"
    "                     [-v HOSTDIR:/path]... [--quote-socket PATH] [--collateral PATH]\n"
    "                     [--] [ARGUMENT...]\n";

/* Options without a value. false: name is none of them. */
static bool take_flag(const char *name, struct loader_options *o)
{
    if (strcmp(name, "--explain") == 0)
        o->explain = true;
    else if (strcmp(name, "--verbose") == 0)
        o->verbose = true;
    else if (strcmp(name, "-i") == 0)
        o->input = true;
    else if (strcmp(name, "-t") == 0)
        o->tty = true;
    else
        return false;
    return true;
}

int loader_options_parse(int argc, char **argv, struct loader_options *ret, struct err *err)
{
    int i;

    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        const char *name = argv[i];

        if (strcmp(name, "--") == 0) {
            i++;
            break;
        }
        if (take_flag(name, ret))
            continue;
        if (i + 1 == argc) {
            return err_set(err, -EINVAL, "%s: unknown option, or its value is missing", name);
        } else if (strcmp(name, "--image") == 0) {
            ret->image = argv[++i];
        } else if (strcmp(name, "--quote-socket") == 0) {
            ret->quote_socket = argv[++i];
        } else if (strcmp(name, "--collateral") == 0) {
            ret->collateral = argv[++i];
        } else if (strcmp(name, "--env") == 0) {
            if (ret->env_count == LOADER_ENV_MAX || !strchr(argv[i + 1], '='))
                return err_set(err, -EINVAL, "--env %s: expected NAME=VALUE, at most %u times",
                               argv[i + 1], LOADER_ENV_MAX);
            ret->env[ret->env_count++] = argv[++i];
        } else if (strcmp(name, "-v") == 0) {
            if (ret->mount_count == START_MOUNT_COUNT_MAX)
                return err_set(err, -EINVAL, "-v: at most %u times", START_MOUNT_COUNT_MAX);
            ret->mounts[ret->mount_count++] = argv[++i];
        } else {
            return err_set(err, -EINVAL, "%s: unknown option", name);
        }
    }
    ret->argc = argc - i;
    ret->argv = argv + i;
    return 0;
}

static int fail(const struct err *err, int rc)
{
    fprintf(stderr, "cloche: %s\n", err->text);
    return rc == -EPERM || rc == -EBADMSG ? EXIT_STATUS_REFUSED : EXIT_STATUS_FAILED;
}

/* Each file and socket of the host that the program has takes a descriptor here; what it may have itself is the enclave's affair. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    static struct loader l;
    struct err err = { "" };
    struct timespec now;
    int rc;

    raise_descriptor_limit();
    clock_gettime(CLOCK_MONOTONIC, &now);
    l.start_tsc = __rdtsc();
    l.start_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    if (loader_options_parse(argc, argv, &l.options, &err) < 0) {
        fprintf(stderr, "cloche: %s\n%s", err.text, g_usage);
        return EXIT_STATUS_USAGE;
    }
    rc = loader_terminal_choose(&l.options, &err);
    if (rc == 0 && l.options.tty && l.options.input)
        rc = loader_terminal_guard(&err);
    if (rc == 0)
        rc = loader_image_open(&l, &err);
    if (rc == 0)
        rc = loader_enclave_build(&l, &err);
    if (rc == 0)
        rc = loader_start_prepare(&l, &err);
    if (rc == 0 && l.options.tty && l.options.input)
        rc = loader_terminal_raw(&err);
    if (rc < 0)
        return fail(&err, rc);
    loader_run(&l);
    return EXIT_STATUS_FAILED;
}
