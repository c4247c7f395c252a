/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: builds the enclave of a sealed image, runs its threads, forwards signals. Untrusted side.
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "host/bundle/bundle.h"
#include "host/ocall/ocall.h"
#include "lib/descriptor.h"

#define LOADER_ENV_MAX 256u

struct loader_options {
    const char *image;
    bool explain, verbose;
    bool tty;                              /* -t: the program gets a terminal inside the enclave */
    bool input;                            /* -i: with -t, what is typed here is typed there */
    const char *quote_socket, *collateral; /* of struct quote_options; NULL: not given */
    unsigned env_count;
    const char *env[LOADER_ENV_MAX]; /* "NAME=value" */
    unsigned mount_count;
    const char *mounts[START_MOUNT_COUNT_MAX]; /* "HOSTDIR:/path" */
    int argc;
    char **argv;
};

struct loader {
    struct loader_options options;
    struct bundle bundle;
    struct bundle_map files[BUNDLE_FILE_COUNT];
    struct descriptor descriptor;
    void *descriptor_arena;
    const struct sgx_backend *backend;
    struct ocall_host ocall;
    struct enclave_start start;
    uint64_t start_tsc, start_ns; /* when the loader began, to measure the TSC */
};

/* Fills options from the command line. returns: 0; -EINVAL usage. */
MUST_CHECK int loader_options_parse(int argc, char **argv, struct loader_options *ret,
                                    struct err *err);
/* Opens and maps the image, reads the descriptor (not verified here). */
MUST_CHECK int loader_image_open(struct loader *l, struct err *err);
/* ECREATE, EADDs, EINIT. returns: 0; -errno, err says what the machine lacks. */
MUST_CHECK int loader_enclave_build(struct loader *l, struct err *err);
/* Frames and slots; checks options against the descriptor; fills l->start. */
MUST_CHECK int loader_start_prepare(struct loader *l, struct err *err);
/* ---- terminal.c ---- */

/* Decides about a terminal where the command line leaves it open. returns: 0; -EINVAL there is none to type on. */
MUST_CHECK int loader_terminal_choose(struct loader_options *o, struct err *err);
/* Returns in a child; the caller becomes the guard that puts the terminal's settings back when the child has ended. */
MUST_CHECK int loader_terminal_guard(struct err *err);
/* Every key goes to the enclave as it is. After loader_terminal_guard. */
MUST_CHECK int loader_terminal_raw(struct err *err);
/* The signal that says that the guard is gone, and what to do then; async-signal-safe. */
int loader_death_signal(void);
NORETURN void loader_guard_died(void);

/* Runs the first thread and, after it, others on its slot. The enclave ends the process. */
NORETURN void loader_run(struct loader *l);
