/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame through which an OCALL and its answer pass: one per thread, in untrusted memory, made by
 * the loader. The enclave writes number and arguments, leaves by EEXIT, and reads the answer once. The rows are in ocall.def.
 */
#pragma once

#include "lib/defs.h"

#define OCALL_ARGS_MAX 6u
#define OCALL_BUFFER_SIZE (256u * 1024)

struct ocall_frame {
    uint32_t number;            /* enum ocall_number */
    uint32_t reserved;
    uint64_t args[OCALL_ARGS_MAX];
    int64_t result;             /* host: 0 or positive, or negative errno */
    uint64_t out[4];            /* host: further small results */
    uint64_t reserved2[4];
    uint8_t buffer[OCALL_BUFFER_SIZE];
};
_Static_assert(offsetof(struct ocall_frame, buffer) % 64 == 0, "buffer is aligned");
