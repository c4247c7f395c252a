/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a firmware image of OVMF says about its launch under SEV-SNP: the table of GUIDs at its end, and in it the SEV metadata. Shared;
 * input may be hostile; no allocation. Source: OVMF, OvmfPkg/ResetVector and OvmfPkg/Include (GUIDed structure at 4 GiB - 48).
 */
#pragma once

#include "lib/snp_launch.h"

#define OVMF_SIZE_MAX (64u << 20)
#define OVMF_SECTION_COUNT_MAX 64u
#define OVMF_SECTION_SIZE_MAX (1u << 30) /* bytes of guest memory */

struct ovmf_section {
    uint32_t gpa, size; /* multiples of 4096 */
    uint32_t type;      /* enum snp_launch_section */
};

struct ovmf {
    uint32_t reset_eip; /* of all virtual CPUs but the first */
    uint32_t hashes_gpa,
        hashes_size; /* table of hashes that QEMU writes; 0: the firmware takes none */
    unsigned section_count;
    struct ovmf_section sections[OVMF_SECTION_COUNT_MAX];
};

/* returns: 0; -EINVAL with a static text in *ret_why: no such table, no SEV metadata, or not as OVMF writes them. */
MUST_CHECK int ovmf_parse(const uint8_t *image, size_t size, struct ovmf *ret,
                          const char **ret_why);
