/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed image and the enclave's memory, as builder, loader and library OS share them
 * (docs/image.md). Shared. Everything here but the measured pages may be hostile to the enclave.
 */
#pragma once

#include "lib/defs.h"

/*
 * Files of a sealed image: they lie in the OCI image's one layer, an uncompressed tar, under this
 * folder, so that they can be mapped where they lie. The loader is that image's entry point.
 */
#define IMAGE_FOLDER "cloche/"
#define IMAGE_FILE_LOADER "loader"              /* static-pie ELF, mode 0755 */
#define IMAGE_FILE_ENCLAVE "enclave"            /* the library OS, ELF */
#define IMAGE_FILE_SIGSTRUCT "enclave.sig"      /* 1808 bytes */
#define IMAGE_FILE_DESCRIPTOR "descriptor.json" /* canonical JSON (RFC 8785) */
#define IMAGE_FILE_ROOTFS "rootfs.erofs"        /* uncompressed EROFS, 4 KiB blocks */
#define IMAGE_FILE_VERITY                                                                          \
    "rootfs.verity" /* veritysetup format 1, superblock at 0, SHA-256, 4 KiB */

#define IMAGE_BLOCK_SIZE 4096u
#define IMAGE_DESCRIPTOR_SIZE_MAX (256u * 1024)
#define IMAGE_ENCLAVE_SIZE_MAX (64u * 1024 * 1024)
#define IMAGE_ROOTFS_SIZE_MAX (1ull << 40)

/*
 * ELRANGE starts at 0; its size is a power of two, 2^36 or more (2^40 unless the descriptor says
 * otherwise). The library OS is linked at a fixed address inside it.
 *
 *   0x1'0000             user memory (non-PIE programs at 0x40'0000)
 *   LIBOS_BASE           library OS: image, config page, thread slots, heap
 *   LIBOS_END            user memory up to the end of ELRANGE
 */
#define ELRANGE_SIZE_MIN (1ull << 36)
#define ELRANGE_SIZE_DEFAULT (1ull << 40)
#define ELRANGE_SIZE_MAX (1ull << 46)
#define USER_LOW_BASE 0x10000ull
#define LIBOS_BASE 0x800000000ull
#define LIBOS_CONFIG_ADDR (LIBOS_BASE + 0x04000000ull)
#define LIBOS_SLOTS_ADDR (LIBOS_BASE + 0x10000000ull)
#define LIBOS_HEAP_ADDR (LIBOS_BASE + 0x40000000ull)
#define LIBOS_END 0xc00000000ull
#define USER_HIGH_BASE LIBOS_END

/*
 * A thread slot, LIBOS_SLOT_SIZE bytes: what one TCS needs. Pages not named here stay unmapped, as
 * guards. Slots below enclave_config.static_slots are added and measured at build time; later ones
 * are made with EDMM.
 */
#define LIBOS_SLOT_SIZE 0x20000ull
#define LIBOS_SLOT_COUNT_MAX 4096u
#define SLOT_STACK_OFF 0x1000ull /* 16 pages: stack of the library OS */
#define SLOT_STACK_SIZE 0x10000ull
#define SLOT_EXC_STACK_OFF 0x12000ull /* 2 pages: stack of the handler at CSSA 1 */
#define SLOT_EXC_STACK_SIZE 0x2000ull
#define SLOT_TCB_OFF 0x15000ull /* 1 page: struct tcb, GS base */
#define SLOT_TCS_OFF 0x16000ull /* 1 page */
#define SLOT_SSA_OFF 0x17000ull /* SLOT_SSA_COUNT frames of one page */
#define SLOT_SSA_COUNT 2u
#define SLOT_SSA_FRAME_PAGES 1u

/* First bytes of the enclave image at LIBOS_BASE; the emulator finds the ENCLU stubs through it. */
#define ENCLAVE_HEADER_MAGIC 0x4e45454843304c43ull
struct enclave_header {
    uint64_t magic;
    uint32_t version;    /* 1 */
    uint32_t stub_count; /* 8: leaf i's stub is at stubs_off + i * ENCLAVE_STUB_SIZE */
    uint64_t stubs_off;  /* from the header */
    uint64_t entry_off;  /* OENTRY, from the header */
};
/*
 * A stub is `enclu` followed by `ret` and int3 padding. It is called with EAX = leaf and the leaf's
 * registers; the GS base is the one the TCS gave. The emulator may replace it by a jump after EINIT.
 */
#define ENCLAVE_STUB_SIZE 16u

/* The measured page at LIBOS_CONFIG_ADDR (R), made by lib/enclave_plan.c. */
#define ENCLAVE_CONFIG_MAGIC 0x31474643454c4fc3ull
struct enclave_config {
    uint64_t magic;
    uint32_t version; /* 1 */
    uint32_t static_slots;
    uint8_t app_digest[48]; /* SHA-384 of the descriptor's bytes */
    uint64_t elrange_size;  /* bytes */
    uint64_t pool_pages;    /* 0: memory comes from EDMM; else fixed RWX pool at USER_HIGH_BASE */
    uint8_t reserved[4016];
};
_Static_assert(sizeof(struct enclave_config) == 4096, "config is one page");
