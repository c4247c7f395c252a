/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that the emulator's C and assembly share: EPCM entries and offsets into struct emu_thread
 * (asserted in emu.h). Untrusted side.
 */
#pragma once

/*
 * An EPCM entry is 16 bits. The low six and the type lie as in SECINFO.FLAGS, so that EACCEPT's
 * comparison is one instruction. HOST_* is what the host's page tables allow at this moment, always
 * a part of what the entry allows. 0: no EPC page here.
 */
#define EPCM_PERM 0x0007
#define EPCM_PENDING 0x0008
#define EPCM_MODIFIED 0x0010
#define EPCM_PR 0x0020
#define EPCM_VALID 0x0040
#define EPCM_TYPE 0x0700
#define EPCM_HOST_SHIFT 11
#define EPCM_HOST 0x3800
#define EPCM_HOLE 0x4000 /* the host cannot map this page (below vm.mmap_min_addr) */

/* The state of a thread starts a block of this size and alignment; its signal stack is the rest. */
#define EMU_THREAD_BLOCK 0x40000
#define EMU_THREAD_STATE 0x8000 /* state, then one guard page */

/* Threads inside enclaves with a stub table, by bits 17 to 28 of their GS base. */
#define EMU_GS_TABLE_SHIFT 17
#define EMU_GS_TABLE_COUNT 4096
#define EMU_STUB_GS_NONE 0x8000000000000000 /* not canonical: no GS base */

#define T_HOST_FS 8
#define T_HOST_GS 16
#define T_INSIDE 24
#define T_ENTERING 28
#define T_STUB_GS 32
#define T_EL_BASE 40
#define T_EL_SIZE 48
#define T_EPCM 56
#define T_OWNER 64
#define T_TCS_ADDR 72
#define T_AEP 80
#define T_SAVE_RCX 88
#define T_SAVE_RDX 96
#define T_SAVE_RSI 104
#define T_SAVE_RDI 112
#define T_LOAD_FS 120
#define T_LOAD_GS 128
#define T_LOAD_RIP 136
#define T_LOAD_RAX 144
#define T_XFRM 152
#define T_SPIN 160
#define T_HOST_RSP 168
#define T_HOST_RBP 176
#define T_FAULT_ADDR 184
#define T_FAULT_VECTOR 192
#define T_FAULT_CODE 196
#define T_GPR 200
#define T_IRET 328
#define T_FLAGS 368
#define T_TRACE 376
#define T_XSAVE 384
