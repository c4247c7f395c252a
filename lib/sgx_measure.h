/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MRENCLAVE as ECREATE, EADD and EEXTEND build it (SDM vol. 3D, section 39). The one implementation:
 * builder, emulator and tests use it. No allocation, no failure; inputs are the caller's to check.
 */
#pragma once

#include "lib/digest.h"

struct sgx_measure {
    struct sha256 sha;
};

/* ECREATE: size is SECS.SIZE in bytes. */
void sgx_measure_ecreate(struct sgx_measure *m, uint32_t ssa_frame_pages, uint64_t size);
/* EADD: off is the page's offset from the enclave base; secinfo_flags as given to EADD. */
void sgx_measure_eadd(struct sgx_measure *m, uint64_t off, uint64_t secinfo_flags);
/* EEXTEND: one chunk of 256 bytes at off (a multiple of 256). */
void sgx_measure_eextend(struct sgx_measure *m, uint64_t off, const uint8_t chunk[256]);
/* EEXTEND over all 16 chunks of a page. */
void sgx_measure_page(struct sgx_measure *m, uint64_t off, const uint8_t page[4096]);
/* The value EINIT would see; m may go on being used. */
void sgx_measure_final(const struct sgx_measure *m, uint8_t ret_mrenclave[32]);
