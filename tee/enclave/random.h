/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes for the library OS and programs: a DRBG seeded and reseeded from RDSEED and RDRAND. */
#pragma once

#include "lib/defs.h"

/* Never fails: a CPU whose generator fails for good ends the enclave. Any thread. */
void random_bytes(void *dst, size_t size);
uint64_t random_u64(void);
