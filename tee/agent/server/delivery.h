/* SPDX-License-Identifier: Apache-2.0 */
/* Puts certificate and secrets where the workload finds them: environment, files (docs/agent.md). Trusted; hosted. */
#pragma once

#include "lib/err.h"
#include "tee/agent/server/answer.h"

#define DELIVERY_TLS_FOLDER "tls"

struct delivery {
    const char *run_folder; /* AGENT_RUN_FOLDER */
    uint32_t uid, gid;      /* the workload's */
};

/*
 * Writes a file in one step: readers find the old one or the new one. Missing folders are made; symbolic links on the way are refused, and so are file systems that are not the
 * TEE's memory (tmpfs, overlay). path: absolute. returns: 0; -ELOOP, -EPERM, others; err says which path and why.
 */
MUST_CHECK int delivery_write(const char *path, const void *data, size_t size, uint32_t mode,
                              uint32_t uid, uint32_t gid, struct err *err);

/* tls/cert.pem, tls/roots.pem, tls/key.pem (only with key_pem), result.jwt, identity.json in run_folder. returns: 0; as delivery_write. */
MUST_CHECK int delivery_identity(const struct delivery *d, const struct answer *a,
                                 const char *key_pem, struct err *err);
/* The files of `list`; then removes those of `before` (NULL: none) that it has not. returns: 0; the first failure; the others are written all the same. */
MUST_CHECK int delivery_files(const struct delivery *d, const struct secret_list *list,
                              const struct secret_list *before, struct err *err);
/* Variables, into this process's environment, which the workload gets. returns: 0; -ENOMEM. */
MUST_CHECK int delivery_env(const struct secret_list *list);
/* Overwrites and removes the files of both. */
void delivery_wipe(const struct delivery *d, const struct secret_list *list);
