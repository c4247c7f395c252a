/* SPDX-License-Identifier: Apache-2.0 */
/* Compile-time checks that asm.h agrees with the C headers. Trusted. */
#include "abi/image.h"
#include "abi/sgx_arch.h"
#include "abi/start.h"
#include "tee/enclave/asm.h"

_Static_assert(ASM_ENTER_OCALL_RETURN == ENTER_OCALL_RETURN, "event");
_Static_assert(ASM_EEXIT == SGX_EEXIT, "leaf");
_Static_assert(ASM_STUB_SIZE == ENCLAVE_STUB_SIZE, "stub");
_Static_assert(ASM_HEADER_MAGIC == ENCLAVE_HEADER_MAGIC, "magic");
_Static_assert(SLOT_TCB_OFF + ASM_TCB_TO_STACK_TOP == SLOT_STACK_OFF + SLOT_STACK_SIZE, "stack");
_Static_assert(SLOT_TCB_OFF + ASM_TCB_TO_EXC_STACK_TOP == SLOT_EXC_STACK_OFF + SLOT_EXC_STACK_SIZE,
               "handler stack");
_Static_assert(offsetof(struct regs, rflags) == REGS_RFLAGS, "rflags");
_Static_assert(offsetof(struct regs, orig_rax) == REGS_ORIG_RAX, "orig_rax");
_Static_assert(offsetof(struct regs, rsp) == REGS_RSP, "rsp");
_Static_assert(offsetof(struct regs, rax) == REGS_RAX, "rax");
_Static_assert(offsetof(struct regs, r8) == REGS_R8, "r8");
_Static_assert(ASM_XSTATE_MASK == (SGX_XFRM_LEGACY | SGX_XFRM_AVX | SGX_XFRM_AVX512), "xstate");
