/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SGX architectural structures (Intel SDM vol. 3D, chapters 35 to 39). Shared by the enclave, the
 * emulator, the builder and the verifier. All integers are little-endian.
 */
#pragma once

#include "lib/defs.h"

/* ENCLU leaves, in EAX (SDM vol. 3D, table 35-2). */
enum sgx_enclu {
    SGX_EREPORT = 0,
    SGX_EGETKEY = 1,
    SGX_EENTER = 2,
    SGX_ERESUME = 3,
    SGX_EEXIT = 4,
    SGX_EACCEPT = 5,
    SGX_EMODPE = 6,
    SGX_EACCEPTCOPY = 7,
};

/* What the leaves report in EAX (SDM vol. 3D, section 38.1.3). */
enum sgx_error {
    SGX_SUCCESS = 0,
    SGX_INVALID_SIG_STRUCT = 1,
    SGX_INVALID_ATTRIBUTE = 2,
    SGX_BLKSTATE = 3,
    SGX_INVALID_MEASUREMENT = 4,
    SGX_NOTBLOCKABLE = 5,
    SGX_PG_INVLD = 6,
    SGX_EPC_PAGE_CONFLICT = 7,
    SGX_INVALID_SIGNATURE = 8,
    SGX_MAC_COMPARE_FAIL = 9,
    SGX_PAGE_NOT_BLOCKED = 10,
    SGX_NOT_TRACKED = 11,
    SGX_VA_SLOT_OCCUPIED = 12,
    SGX_CHILD_PRESENT = 13,
    SGX_ENCLAVE_ACT = 14,
    SGX_ENTRYEPOCH_LOCKED = 15,
    SGX_INVALID_EINITTOKEN = 16,
    SGX_PREV_TRK_INCMPL = 17,
    SGX_PG_IS_SECS = 18,
    SGX_PAGE_ATTRIBUTES_MISMATCH = 19,
    SGX_PAGE_NOT_MODIFIABLE = 20,
    SGX_PAGE_NOT_DEBUGGABLE = 21,
    SGX_INVALID_CPUSVN = 32,
    SGX_INVALID_ISVSVN = 64,
    SGX_UNMASKED_EVENT = 128,
    SGX_INVALID_KEYNAME = 256,
};

/* ATTRIBUTES.FLAGS */
#define SGX_ATTR_INIT 0x001ull
#define SGX_ATTR_DEBUG 0x002ull
#define SGX_ATTR_MODE64BIT 0x004ull
#define SGX_ATTR_PROVISIONKEY 0x010ull
#define SGX_ATTR_EINITTOKENKEY 0x020ull
#define SGX_ATTR_KSS 0x080ull

/* XFRM: x87 and SSE are always there; AVX is bit 2, AVX-512 bits 5 to 7. */
#define SGX_XFRM_LEGACY 0x3ull
#define SGX_XFRM_AVX 0x4ull
#define SGX_XFRM_AVX512 0xe0ull

#define SGX_MISC_EXINFO 0x1u

/* SECINFO.FLAGS */
#define SGX_SECINFO_R 0x1ull
#define SGX_SECINFO_W 0x2ull
#define SGX_SECINFO_X 0x4ull
#define SGX_SECINFO_PENDING 0x08ull
#define SGX_SECINFO_MODIFIED 0x10ull
#define SGX_SECINFO_PR 0x20ull
#define SGX_SECINFO_PERM 0x7ull
#define SGX_SECINFO_TYPE_SHIFT 8
#define SGX_SECINFO_TYPE 0xff00ull

enum sgx_page_type {
    SGX_PT_SECS = 0,
    SGX_PT_TCS = 1,
    SGX_PT_REG = 2,
    SGX_PT_VA = 3,
    SGX_PT_TRIM = 4,
    SGX_PT_SS_FIRST = 5,
    SGX_PT_SS_REST = 6,
};

struct sgx_attributes {
    uint64_t flags;
    uint64_t xfrm;
};

struct sgx_secinfo {
    uint64_t flags;
    uint8_t reserved[56];
} ALIGNED(64);

struct sgx_secs {
    uint64_t size;            /* bytes, a power of two */
    uint64_t base;            /* aligned to size */
    uint32_t ssa_frame_pages; /* SSAFRAMESIZE */
    uint32_t misc_select;
    uint8_t cet_leg_bitmap_off[8];
    uint8_t cet_attributes;
    uint8_t reserved1[15];
    struct sgx_attributes attributes;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint8_t reserved4[3834];
} PACKED;
_Static_assert(sizeof(struct sgx_secs) == 4096, "SECS is one page");

struct sgx_tcs {
    uint64_t state; /* zero when added */
    uint64_t flags; /* bit 0 DBGOPTIN; the rest zero */
    uint64_t ossa;  /* offset of the SSA stack from the enclave base */
    uint32_t cssa;
    uint32_t nssa;
    uint64_t oentry;
    uint64_t aep;
    uint64_t ofs_base;
    uint64_t ogs_base;
    uint32_t fs_limit;
    uint32_t gs_limit;
    uint8_t reserved[4024];
} PACKED;
_Static_assert(sizeof(struct sgx_tcs) == 4096, "TCS is one page");
#define SGX_TCS_DBGOPTIN 0x1ull

/* Last 184 bytes of an SSA frame (SDM vol. 3D, table 35-9). */
struct sgx_ssa_gpr {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip;
    uint64_t ursp, urbp;
    uint32_t exit_info;
    uint8_t reserved[3];
    uint8_t aex_notify;
    uint64_t fs_base, gs_base;
} PACKED;
_Static_assert(sizeof(struct sgx_ssa_gpr) == 184, "GPRSGX");

/* EXITINFO: vector, type (3 hardware exception, 6 software exception), valid. */
#define SGX_EXITINFO_VECTOR 0xffu
#define SGX_EXITINFO_TYPE_SHIFT 8
#define SGX_EXITINFO_TYPE_HARDWARE 3u
#define SGX_EXITINFO_TYPE_SOFTWARE 6u
#define SGX_EXITINFO_VALID 0x80000000u

/* MISC region of the SSA with EXINFO selected: just below GPRSGX (SDM vol. 3D, 35.9.2). */
struct sgx_exinfo {
    uint64_t maddr; /* faulting address; #PF and #GP only */
    uint32_t errcd;
    uint32_t reserved;
};
_Static_assert(sizeof(struct sgx_exinfo) == 16, "EXINFO");

struct sgx_report_body {
    uint8_t cpu_svn[16];
    uint32_t misc_select;
    uint8_t cet_attributes;
    uint8_t reserved1[11];
    uint8_t isv_ext_prod_id[16];
    struct sgx_attributes attributes;
    uint8_t mrenclave[32];
    uint8_t reserved2[32];
    uint8_t mrsigner[32];
    uint8_t reserved3[32];
    uint8_t config_id[64];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint8_t reserved4[42];
    uint8_t isv_family_id[16];
    uint8_t report_data[64];
} PACKED;
_Static_assert(sizeof(struct sgx_report_body) == 384, "report body");

struct sgx_report {
    struct sgx_report_body body;
    uint8_t key_id[32];
    uint8_t mac[16];
} PACKED;
_Static_assert(sizeof(struct sgx_report) == 432, "REPORT");

struct sgx_targetinfo {
    uint8_t mrenclave[32];
    struct sgx_attributes attributes;
    uint8_t cet_attributes;
    uint8_t reserved1;
    uint16_t config_svn;
    uint32_t misc_select;
    uint8_t reserved2[8];
    uint8_t config_id[64];
    uint8_t reserved3[384];
} PACKED;
_Static_assert(sizeof(struct sgx_targetinfo) == 512, "TARGETINFO");

enum sgx_key_name {
    SGX_KEY_EINITTOKEN = 0,
    SGX_KEY_PROVISION = 1,
    SGX_KEY_PROVISION_SEAL = 2,
    SGX_KEY_REPORT = 3,
    SGX_KEY_SEAL = 4,
};

#define SGX_KEYPOLICY_MRENCLAVE 0x01u
#define SGX_KEYPOLICY_MRSIGNER 0x02u
#define SGX_KEYPOLICY_NOISVPRODID 0x04u
#define SGX_KEYPOLICY_CONFIGID 0x08u
#define SGX_KEYPOLICY_ISVFAMILYID 0x10u
#define SGX_KEYPOLICY_ISVEXTPRODID 0x20u

struct sgx_keyrequest {
    uint16_t key_name;
    uint16_t key_policy;
    uint16_t isv_svn;
    uint8_t cet_attributes_mask;
    uint8_t reserved1;
    uint8_t cpu_svn[16];
    struct sgx_attributes attribute_mask;
    uint8_t key_id[32];
    uint32_t misc_mask;
    uint16_t config_svn;
    uint8_t reserved2[434];
} PACKED;
_Static_assert(sizeof(struct sgx_keyrequest) == 512, "KEYREQUEST");

#define SGX_SIGSTRUCT_KEY_SIZE 384

/* SIGSTRUCT (SDM vol. 3D, table 35-19). Signed: bytes 0 to 127 and 900 to 1027. */
struct sgx_sigstruct {
    uint8_t header[16];
    uint32_t vendor; /* 0 or 0x8086 */
    uint32_t date;   /* yyyymmdd in BCD */
    uint8_t header2[16];
    uint32_t sw_defined;
    uint8_t reserved1[84];
    uint8_t modulus[SGX_SIGSTRUCT_KEY_SIZE];   /* little-endian */
    uint32_t exponent;                         /* 3 */
    uint8_t signature[SGX_SIGSTRUCT_KEY_SIZE]; /* little-endian */
    uint32_t misc_select;
    uint32_t misc_mask;
    uint8_t cet_attributes;
    uint8_t cet_attributes_mask;
    uint8_t reserved2[2];
    uint8_t isv_family_id[16];
    struct sgx_attributes attributes;
    struct sgx_attributes attributes_mask;
    uint8_t enclave_hash[32];
    uint8_t reserved3[16];
    uint8_t isv_ext_prod_id[16];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint8_t reserved4[12];
    uint8_t q1[SGX_SIGSTRUCT_KEY_SIZE];
    uint8_t q2[SGX_SIGSTRUCT_KEY_SIZE];
} PACKED;
_Static_assert(sizeof(struct sgx_sigstruct) == 1808, "SIGSTRUCT");
_Static_assert(offsetof(struct sgx_sigstruct, misc_select) == 900, "SIGSTRUCT body");
#define SGX_SIGSTRUCT_HEADER                                                                       \
    {                                                                                              \
        0x06, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 0x01, 0, 0, 0, 0, 0                                    \
    }
#define SGX_SIGSTRUCT_HEADER2                                                                      \
    {                                                                                              \
        0x01, 0x01, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 0x01, 0, 0, 0                              \
    }
