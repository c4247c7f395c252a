/* SPDX-License-Identifier: Apache-2.0 */
/* SEV-SNP launch digests, AMD 56860, SNP_LAUNCH_UPDATE. Shared. */
#include "lib/snp_launch.h"

#include <string.h>

#define PAGE_INFO_SIZE 0x70
#define FOUR_GIB 0x100000000ull
#define RESET_EIP_FIRST 0xfffffff0u

static void put_le(uint8_t *dst, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        dst[i] = (uint8_t)(value >> (8 * i));
}

void snp_launch_init(struct snp_launch *launch, const uint8_t *seed)
{
    memset(launch->digest, 0, sizeof launch->digest);
    if (seed)
        memcpy(launch->digest, seed, sizeof launch->digest);
}

static void contents_digest(enum snp_launch_page type, const uint8_t *page,
                            uint8_t ret[SHA384_SIZE])
{
    memset(ret, 0, SHA384_SIZE);
    if (type == SNP_LAUNCH_PAGE_NORMAL || type == SNP_LAUNCH_PAGE_VMSA)
        sha384_digest(page, PAGE_SIZE, ret);
}

/* PAGE_INFO: digest so far, digest of the contents, length, type, no IMI, no permissions for lower VMPLs, gpa. */
void snp_launch_page(struct snp_launch *launch, enum snp_launch_page type, uint64_t gpa,
                     const uint8_t *page)
{
    uint8_t info[PAGE_INFO_SIZE] = { 0 };

    memcpy(info, launch->digest, SHA384_SIZE);
    contents_digest(type, page, info + 48);
    put_le(info + 96, PAGE_INFO_SIZE, 2);
    info[98] = (uint8_t)type;
    put_le(info + 104, gpa, 8);
    sha384_digest(info, sizeof info, launch->digest);
}

void snp_launch_range(struct snp_launch *launch, enum snp_launch_page type, uint64_t gpa,
                      uint64_t size)
{
    for (uint64_t off = 0; off < size; off += PAGE_SIZE)
        snp_launch_page(launch, type, gpa + off, NULL);
}

void snp_launch_firmware(struct snp_launch *launch, const uint8_t *image, size_t size)
{
    for (size_t off = 0; off < size; off += PAGE_SIZE)
        snp_launch_page(launch, SNP_LAUNCH_PAGE_NORMAL, FOUR_GIB - size + off, image + off);
}

/* ---- table of hashes ---- */

/* GUIDs as EFI stores them: the first three parts little-endian. */
static const uint8_t g_table_guid[16] = { 0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c,
                                          0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21 };
static const uint8_t g_cmdline_guid[16] = { 0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c,
                                            0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a };
static const uint8_t g_initrd_guid[16] = { 0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b,
                                           0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d };
static const uint8_t g_kernel_guid[16] = { 0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42,
                                           0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b };
#define HASH_ENTRY_SIZE 50u
#define HASH_HEADER_SIZE 18u
#define HASH_TABLE_SIZE (HASH_HEADER_SIZE + 3 * HASH_ENTRY_SIZE)

static uint8_t *put_hash(uint8_t *dst, const uint8_t guid[16], const uint8_t hash[32])
{
    memcpy(dst, guid, 16);
    put_le(dst + 16, HASH_ENTRY_SIZE, 2);
    memcpy(dst + 18, hash, 32);
    return dst + HASH_ENTRY_SIZE;
}

void snp_launch_hashes(const uint8_t kernel[32], const uint8_t initrd[32],
                       const uint8_t cmdline[32], uint8_t ret[SNP_LAUNCH_HASHES_SIZE])
{
    uint8_t *at = ret + HASH_HEADER_SIZE;

    memset(ret, 0, SNP_LAUNCH_HASHES_SIZE);
    memcpy(ret, g_table_guid, 16);
    put_le(ret + 16, HASH_TABLE_SIZE, 2);
    at = put_hash(at, g_cmdline_guid, cmdline);
    at = put_hash(at, g_initrd_guid, initrd);
    put_hash(at, g_kernel_guid, kernel);
}

/* ---- VMSA, APM vol. 2 table B-4 ---- */

static void put_segment(uint8_t *vmsa, unsigned off, uint16_t selector, uint16_t attributes,
                        uint32_t limit, uint64_t base)
{
    put_le(vmsa + off, selector, 2);
    put_le(vmsa + off + 2, attributes, 2);
    put_le(vmsa + off + 4, limit, 4);
    put_le(vmsa + off + 8, base, 8);
}

static void put_segments(const struct snp_launch_vcpu *vcpu, uint8_t *vmsa)
{
    bool qemu = vcpu->vmm == SNP_LAUNCH_QEMU;
    bool first = vcpu->reset_eip == RESET_EIP_FIRST;
    uint16_t code = qemu ? 0x9b : first ? 0x9a : 0x9b;

    put_segment(vmsa, 0x00, 0, 0x93, 0xffff, 0);
    put_segment(vmsa, 0x10, 0xf000, code, 0xffff, vcpu->reset_eip & 0xffff0000u);
    put_segment(vmsa, 0x20, 0, qemu ? 0x93 : 0x92, 0xffff, 0);
    put_segment(vmsa, 0x30, 0, 0x93, 0xffff, 0);
    put_segment(vmsa, 0x40, 0, 0x93, 0xffff, 0);
    put_segment(vmsa, 0x50, 0, 0x93, 0xffff, 0);
    put_segment(vmsa, 0x60, 0, 0, 0xffff, 0);
    put_segment(vmsa, 0x70, 0, 0x82, 0xffff, 0);
    put_segment(vmsa, 0x80, 0, 0, 0xffff, 0);
    put_segment(vmsa, 0x90, 0, qemu ? 0x8b : 0x83, 0xffff, 0);
}

void snp_launch_vmsa(const struct snp_launch_vcpu *vcpu, uint8_t ret[4096])
{
    bool qemu = vcpu->vmm == SNP_LAUNCH_QEMU;

    memset(ret, 0, 4096);
    put_segments(vcpu, ret);
    put_le(ret + 0xd0, 0x1000, 8);      /* EFER.SVME */
    put_le(ret + 0x148, 0x40, 8);       /* CR4.MCE */
    put_le(ret + 0x158, 0x10, 8);       /* CR0.ET */
    put_le(ret + 0x160, 0x400, 8);      /* DR7 */
    put_le(ret + 0x168, 0xffff0ff0, 8); /* DR6 */
    put_le(ret + 0x170, 0x2, 8);        /* RFLAGS */
    put_le(ret + 0x178, vcpu->reset_eip & 0xffff, 8);
    put_le(ret + 0x268, 0x0007040600070406, 8);         /* G_PAT */
    put_le(ret + 0x310, qemu ? vcpu->signature : 0, 8); /* RDX */
    put_le(ret + 0x3b0, vcpu->sev_features, 8);
    put_le(ret + 0x3e8, 0x1, 8); /* XCR0 */
    if (qemu) {
        put_le(ret + 0x408, 0x1f80, 4); /* MXCSR */
        put_le(ret + 0x410, 0x37f, 2);  /* x87 control word */
    }
}
