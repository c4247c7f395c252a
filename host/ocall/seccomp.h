/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that the loader may make once the enclave runs: what the rows of abi/ocall.def say
 * that they need, and what threads, signals and the C library take for themselves. Untrusted side: it
 * protects the machine from a loader that went wrong, not the enclave from the machine.
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "lib/defs.h"

struct ocall_seccomp_options {
    uint64_t exec_end; /* memory may be made executable below this address only: the end of ELRANGE,
                        * a multiple of 4 GiB */
    bool has_quote;    /* the machine has a quoting service, behind a UNIX socket */
    bool has_mounts;   /* the image has host folders: calls that take paths */
};

/*
 * Puts the list in force for all threads of the process; a call outside it fails with EPERM. Arguments are looked
 * at where a call could do more than its row wants: executable memory, kinds of sockets, ioctl and prctl numbers,
 * flags of clone, signals to others. The program is built in static memory: one call at a time.
 * returns: 0; -errno where the kernel has no seccomp (the loader then goes on without).
 */
MUST_CHECK int ocall_seccomp_enforce(const struct ocall_seccomp_options *options);
/* The numbers of the list, ascending. returns: how many were written to ret. */
size_t ocall_seccomp_list(const struct ocall_seccomp_options *options, uint16_t *ret, size_t max);
