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

/*
 * Puts the list in force for all threads of the process; a call outside it fails with EPERM.
 * returns: 0; -errno where the kernel has no seccomp (the loader then goes on without).
 */
MUST_CHECK int ocall_seccomp_enforce(void);
/* The numbers of the list, for tests. */
const uint16_t *ocall_seccomp_list(size_t *ret_count);
