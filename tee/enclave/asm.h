/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the assembly of the enclave runtime needs as plain numbers. Trusted. Values that C headers own
 * are checked against them in asm_check.c.
 */
#pragma once

#include "tee/enclave/tcb.h"

#define ASM_ENTER_OCALL_RETURN 3
#define ASM_EEXIT 4
#define ASM_STUB_SIZE 16
#define ASM_STUB_COUNT 8
#define ASM_HEADER_MAGIC 0x4e45454843304c43

/* From the TCB (the GS base), abi/image.h. */
#define ASM_TCB_TO_STACK_TOP (-0x4000)     /* end of the library-OS stack */
#define ASM_TCB_TO_EXC_STACK_TOP (-0x1000) /* end of the handler's stack */
#define ASM_RFLAGS_CLEAN 0x2
#define ASM_RFLAGS_DF_AC 0x40400
/* Bits outside the arithmetic flags, IF and the fixed bit 1. */
#define ASM_RFLAGS_RARE 0xfffff528
#define ASM_RFLAGS_TF 0x100
/* x87, SSE, AVX, AVX-512: all that SECS.XFRM may hold (enclave_plan_secs), 2688 bytes. */
#define ASM_XSTATE_MASK 0xe7
#define ASM_MXCSR_DEFAULT 0x1f80
/* XINUSE: SSE and AVX, the components that are moved register by register. */
#define ASM_XINUSE_QUICK 0x6
#define ASM_XINUSE_AVX 0x4

#ifdef __ASSEMBLER__
/* clang-format off */
/* When the instruction in [start, end) faults, go on at fixup. */
#define EX_TABLE(start, end, fixup)                                                                \
    .pushsection .ex_table, "a";                                                                   \
    .quad start, end, fixup;                                                                       \
    .popsection

#define FUNCTION(name)                                                                             \
    .globl name;                                                                                   \
    .hidden name;                                                                                  \
    .type name, @function;                                                                         \
    .p2align 4;                                                                                    \
    name:
#define END(name) .size name, .- name
/* clang-format on */
#endif
