/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host handed over at start, copied in and checked (abi/start.h is the untrusted form).
 * Trusted. The descriptor has been compared with the measured app digest.
 */
#pragma once

#include "lib/descriptor.h"
#include "tee/enclave/uptr.h"

struct start_info {
    const struct descriptor *descriptor;
    const uint8_t *app_digest; /* SHA-384 of the descriptor's text */
    struct uptr rootfs; /* untrusted mapping of the EROFS image; size = descriptor->rootfs_size */
    struct uptr verity; /* untrusted mapping of the tree */
    uint64_t verity_size;
    uint32_t host_argument_count;
    const char *const
        *host_arguments; /* untrusted, copied; NULL-ended; not yet checked against policy */
    uint32_t host_environment_count;
    const char *const *host_environment;
    uint32_t stdio_tty;
    uint32_t flags;     /* START_* */
    uint32_t cpu_count; /* 1 to 1024 */
    uint64_t elrange_size;
    bool has_edmm;
};
