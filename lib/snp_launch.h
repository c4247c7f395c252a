/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launch digest of a SEV-SNP guest as the firmware computes it while the guest's first pages are put into memory. Shared; no
 * allocation, no failure; inputs are the caller's to check. Sources: AMD 56860 "SEV-SNP Firmware ABI", SNP_LAUNCH_UPDATE and
 * PAGE_INFO; AMD 24593 (APM vol. 2), appendix B "VMSA"; QEMU's and OVMF's reset state and table of hashes.
 */
#pragma once

#include "lib/digest.h"

#define SNP_LAUNCH_VMSA_GPA 0xfffffffff000ull
#define SNP_LAUNCH_HASHES_SIZE 176u

enum snp_launch_page {
    SNP_LAUNCH_PAGE_NORMAL = 1,
    SNP_LAUNCH_PAGE_VMSA = 2,
    SNP_LAUNCH_PAGE_ZERO = 3,
    SNP_LAUNCH_PAGE_UNMEASURED = 4,
    SNP_LAUNCH_PAGE_SECRETS = 5,
    SNP_LAUNCH_PAGE_CPUID = 6,
};

/* Sections of OVMF's metadata (OVMF: SEV metadata descriptor). */
enum snp_launch_section {
    SNP_LAUNCH_SECTION_MEMORY = 1,
    SNP_LAUNCH_SECTION_SECRETS = 2,
    SNP_LAUNCH_SECTION_CPUID = 3,
    SNP_LAUNCH_SECTION_SVSM_CAA = 4,
    SNP_LAUNCH_SECTION_KERNEL_HASHES = 0x10,
};

struct snp_launch {
    uint8_t digest[SHA384_SIZE];
};

/* Zero digest, or the state after pages that are already measured (48 bytes). */
void snp_launch_init(struct snp_launch *launch, const uint8_t *seed);
/* One page at guest-physical address gpa; page: 4096 bytes for NORMAL and VMSA, else unused. */
void snp_launch_page(struct snp_launch *launch, enum snp_launch_page type, uint64_t gpa,
                     const uint8_t *page);
/* Equally typed pages [gpa, gpa + size) without contents; size is a multiple of 4096. */
void snp_launch_range(struct snp_launch *launch, enum snp_launch_page type, uint64_t gpa,
                      uint64_t size);
/* Firmware image, which ends at 4 GiB; size is a multiple of 4096. */
void snp_launch_firmware(struct snp_launch *launch, const uint8_t *image, size_t size);

/* The table with which OVMF checks what QEMU gives it: SHA-256 of kernel, initrd (of nothing when there is none) and command
 * line (with its NUL). */
void snp_launch_hashes(const uint8_t kernel[32], const uint8_t initrd[32],
                       const uint8_t cmdline[32], uint8_t ret[SNP_LAUNCH_HASHES_SIZE]);

/* Reset state of a virtual CPU; differs by hypervisor. */
enum snp_launch_vmm { SNP_LAUNCH_QEMU, SNP_LAUNCH_EC2 };
struct snp_launch_vcpu {
    enum snp_launch_vmm vmm;
    uint32_t
        reset_eip; /* 0xfffffff0 for the first; what the firmware's table says for the others */
    uint32_t signature;    /* CPUID 1 EAX, in RDX at reset; QEMU */
    uint64_t sev_features; /* bit 0: SNP */
};
/* Writes the 4096 bytes of the VMSA. */
void snp_launch_vmsa(const struct snp_launch_vcpu *vcpu, uint8_t ret[4096]);
