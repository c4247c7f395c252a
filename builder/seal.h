/* SPDX-License-Identifier: Apache-2.0 */
/* From a source to a sealed image: the builder's one entry for the cli and for tests. Relying party. */
#pragma once

#include "builder/progress.h"
#include "lib/err.h"

struct seal_options {
    const char *source;             /* what source_open takes */
    const char *output;             /* folder, or a path that ends in ".tar" */
    const char *build_file;         /* cloche.yaml, or NULL */
    const char *sign_key;           /* PEM, or NULL: the user's own, made on first use */
    const char *enclave;            /* file of the library OS */
    const char *loader;             /* file of the loader */
    const char *agent;              /* file of the agent, process 1 (abi/agent.h) */
    const char *server_agent;       /* the one for images with a server; NULL: agent */
    const char *const *server_urls; /* instead of the build file's; none: it decides */
    unsigned server_url_count;
    const char *
        server_ca; /* SHA-256 of the CA root's key, hexadecimal; instead of the build file's, or NULL */
    bool is_server_default; /* the two above hold only when the build file names no server */
    const char *tag;        /* of the OCI image, or NULL: NAME-sealed:latest */
    struct progress *progress;
};

struct seal_result {
    char app_digest[97]; /* hexadecimal */
    char mrenclave[65];
    char mrsigner[65];
    char verity_root[65];
    char manifest_digest[65];
    char tag[300];
    char key_path[4096];
    bool key_made; /* the signing key is new */
    bool debug;
    uint64_t rootfs_size; /* bytes */
    uint64_t image_size;
    uint64_t file_count;
};

/* Errors: as source_open, spec_make, sigstruct_key_load, output_new. */
MUST_CHECK int seal_image(const struct seal_options *options, struct seal_result *ret,
                          struct err *err);
