/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages an enclave starts with: from the library OS's ELF file and the image's digest to a
 * sequence of EADDs. The builder measures the sequence, the loader adds it; both call this, so they
 * cannot differ. Shared; no allocation. The ELF file may be hostile.
 */
#pragma once

#include "abi/image.h"
#include "abi/sgx_arch.h"

struct enclave_plan {
    const uint8_t *elf; /* the enclave file */
    size_t elf_size;
    uint8_t app_digest[48];
    uint64_t elrange_size; /* bytes, power of two */
    uint32_t static_slots; /* 1 to LIBOS_SLOT_COUNT_MAX */
    uint64_t pool_pages;
};

#define ENCLAVE_PLAN_STATIC_SLOTS 8u

/*
 * Called once a page, in rising order of off (bytes from the enclave base). page is valid during the
 * call only. A non-zero result stops the walk and is returned by it.
 */
typedef int enclave_plan_page_fn(void *arg, uint64_t off, const uint8_t page[4096],
                                 uint64_t secinfo_flags, bool measure);

/*
 * The ELF file: ET_EXEC for x86-64, no interpreter and no dynamic section; PT_LOAD segments in rising
 * order from LIBOS_BASE, none of them both writable and executable; struct enclave_header first.
 * returns: 0; -ENOEXEC not a valid enclave ELF; -EINVAL bad plan; or what visit returned.
 */
MUST_CHECK int enclave_plan_walk(const struct enclave_plan *plan, enclave_plan_page_fn *visit,
                                 void *arg);

/* The TCS of a thread slot, for static slots and those made with EDMM. Addresses are offsets too: the
 * enclave's base is 0. */
void enclave_plan_tcs(uint64_t slot_addr, uint64_t entry_addr, struct sgx_tcs *ret);

/* SECS for the plan: size, base 0, SSAFRAMESIZE, EXINFO selected, 64-bit; xfrm as the CPU has it. */
void enclave_plan_secs(const struct enclave_plan *plan, uint64_t xfrm, bool debug,
                       struct sgx_secs *ret);

/* MRENCLAVE of the plan. Errors as enclave_plan_walk. */
MUST_CHECK int enclave_plan_measure(const struct enclave_plan *plan, uint8_t ret_mrenclave[32]);
