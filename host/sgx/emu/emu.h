/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the SGX emulator: enclaves, EPCM, threads (SDM vol. 3D). Untrusted side; private to
 * host/sgx/emu. See docs/emulator.md.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "host/sgx/backend.h"
#include "host/sgx/emu/emu_layout.h"
#include "lib/sgx_measure.h"

#define EMU_ENCLAVES_MAX 16
#define EMU_THREADS_MAX 8192 /* host threads that are initialised at the same time */
#define EMU_LEAVES 8
#define EMU_SYNC_PAGES_MAX 2048
#define EMU_XSAVE_SIZE_MAX 16384
#define EMU_TCS_BUCKETS 256

/* x86 vectors */
enum emu_vector {
    EMU_DE = 0,
    EMU_DB = 1,
    EMU_BP = 3,
    EMU_BR = 5,
    EMU_UD = 6,
    EMU_GP = 13,
    EMU_PF = 14,
    EMU_MF = 16,
    EMU_AC = 17,
    EMU_XM = 19,
};
#define EMU_PF_PRESENT 0x1u
#define EMU_PF_WRITE 0x2u
#define EMU_PF_USER 0x4u
#define EMU_PF_FETCH 0x10u
#define EMU_PF_SGX 0x8000u

/* An exception that a leaf raises, or SSA.EXINFO. */
struct emu_fault {
    uint32_t vector;
    uint32_t code;
    uint64_t addr; /* #PF: linear address */
};

struct emu_thread;
struct sgx_enclave;

/* A TCS. Lives from EADD or EACCEPT until its enclave is destroyed; the page itself is not read. */
struct emu_tcs {
    _Atomic(struct emu_thread *)
        owner;            /* the thread inside; NULL: inactive. Guards what follows. */
    struct emu_tcs *next; /* of the bucket; set before publication */
    struct sgx_enclave *e;
    uint64_t addr;
    atomic_bool valid; /* false after EMODT took it away */
    struct sgx_tcs page;
    uint64_t ursp, urbp; /* host's, at the last entry */
};

struct sgx_enclave {
    unsigned long id; /* unique in the process's life; not 0 */
    uint64_t base, size;
    uint64_t mapped_base; /* base, or vm.mmap_min_addr above it */
    struct sgx_secs secs;
    struct sgx_measure measure;
    uint8_t isv_ext_prod_id[16], isv_family_id[16];
    _Atomic uint16_t *epcm; /* one entry a page; a sparse anonymous mapping */
    uint64_t page_count;
    uint32_t xsave_size; /* bytes that XFRM needs in the SSA */
    atomic_bool initialized;
    bool strict;
    bool edmm;
    int mem_fd;           /* writes pages whatever the host's protection is; -1: none */
    uint64_t header_addr; /* page that starts with struct enclave_header; 0: none */
    bool has_header;
    bool has_stubs;
    uint64_t stub[EMU_LEAVES]; /* patched stubs; 0: not patched */
    atomic_int lock;           /* host protections and structure of the EPCM */
    _Atomic(struct emu_tcs *) tcs[EMU_TCS_BUCKETS];
    unsigned inside_count; /* strict mode; lock */
    uint8_t *dirty;        /* strict mode: chunks of the EPCM with HOST bits; lock */
    unsigned long sud_mode, sud_off, sud_size; /* Syscall User Dispatch for its threads */
};

/* Starts a block of EMU_THREAD_BLOCK bytes. Offsets are known to emu_asm.S. */
struct emu_thread {
    struct sgx_enclave *e; /* inside, or entering */
    uint64_t host_fs, host_gs;
    uint32_t inside;
    uint32_t entering; /* leaf between AEP and the enclave: may be abandoned; or 0 */
    uint64_t stub_gs;  /* GS base while inside an enclave with stubs */
    uint64_t el_base, el_size;
    _Atomic uint16_t *epcm;
    _Atomic(struct emu_thread *) *owner; /* of tcs */
    uint64_t tcs_addr;
    uint64_t aep;
    uint64_t save_rcx, save_rdx, save_rsi, save_rdi;
    uint64_t load_fs, load_gs, load_rip, load_rax;
    uint64_t xfrm;
    uint64_t spin; /* TSC ticks of one transition */
    uint64_t host_rsp, host_rbp;
    uint64_t fault_addr;
    uint32_t fault_vector, fault_code;
    uint64_t gpr[16]; /* order of struct sgx_ssa_gpr */
    uint64_t iret[5]; /* rip cs rflags rsp ss */
    uint64_t flags;   /* host's RFLAGS at the ENCLU */
    uint64_t trace;   /* not 0: the entry under way is to be single-stepped */
    uint8_t xsave[EMU_XSAVE_SIZE_MAX] ALIGNED(64);
    /* C only */
    uint32_t load_leaf; /* of the entry that is under way or last done */
    uint32_t resume_cssa;
    bool resume_valid;
    bool strict_inside;
    struct emu_tcs *tcs;
    unsigned long sud_id; /* enclave whose ELRANGE traps system calls on this thread; or 0 */
    stack_t old_stack;
    unsigned init_count;
    uint64_t touched; /* where its last #PF in ELRANGE was, and how; 0: see to nothing */
    unsigned touched_access;
    bool stepping;      /* emu_step.c: the program asked for it */
    uint64_t step_last; /* RIP at the last step */
    struct emu_thread *next_free;
};
#define EMU_ASSERT_OFF(field, off)                                                                 \
    _Static_assert(offsetof(struct emu_thread, field) == (off), "emu_layout.h: " #field)
EMU_ASSERT_OFF(host_fs, T_HOST_FS);
EMU_ASSERT_OFF(host_gs, T_HOST_GS);
EMU_ASSERT_OFF(inside, T_INSIDE);
EMU_ASSERT_OFF(entering, T_ENTERING);
EMU_ASSERT_OFF(stub_gs, T_STUB_GS);
EMU_ASSERT_OFF(el_base, T_EL_BASE);
EMU_ASSERT_OFF(el_size, T_EL_SIZE);
EMU_ASSERT_OFF(epcm, T_EPCM);
EMU_ASSERT_OFF(owner, T_OWNER);
EMU_ASSERT_OFF(tcs_addr, T_TCS_ADDR);
EMU_ASSERT_OFF(aep, T_AEP);
EMU_ASSERT_OFF(host_rsp, T_HOST_RSP);
EMU_ASSERT_OFF(host_rbp, T_HOST_RBP);
EMU_ASSERT_OFF(save_rcx, T_SAVE_RCX);
EMU_ASSERT_OFF(save_rdi, T_SAVE_RDI);
EMU_ASSERT_OFF(load_fs, T_LOAD_FS);
EMU_ASSERT_OFF(load_gs, T_LOAD_GS);
EMU_ASSERT_OFF(load_rip, T_LOAD_RIP);
EMU_ASSERT_OFF(load_rax, T_LOAD_RAX);
EMU_ASSERT_OFF(xfrm, T_XFRM);
EMU_ASSERT_OFF(spin, T_SPIN);
EMU_ASSERT_OFF(fault_addr, T_FAULT_ADDR);
EMU_ASSERT_OFF(fault_vector, T_FAULT_VECTOR);
EMU_ASSERT_OFF(fault_code, T_FAULT_CODE);
EMU_ASSERT_OFF(gpr, T_GPR);
EMU_ASSERT_OFF(iret, T_IRET);
EMU_ASSERT_OFF(flags, T_FLAGS);
EMU_ASSERT_OFF(trace, T_TRACE);
EMU_ASSERT_OFF(xsave, T_XSAVE);
_Static_assert(sizeof(struct emu_thread) <= EMU_THREAD_STATE, "thread state");

/* emu_epcm.c: the EPCM, the host's page protections, and access to enclave memory. */
void emu_lock(struct sgx_enclave *e);
void emu_unlock(struct sgx_enclave *e);
static inline bool emu_in_elrange(const struct sgx_enclave *e, uint64_t addr)
{
    return addr - e->base < e->size;
}
static inline _Atomic uint16_t *emu_epcm_entry(const struct sgx_enclave *e, uint64_t addr)
{
    return &e->epcm[(addr - e->base) >> PAGE_SHIFT];
}
/* Does the EPCM let the enclave itself do this? access: EPCM_PERM bits. */
static inline bool emu_epcm_allows(uint16_t entry, unsigned access)
{
    return (entry & (EPCM_VALID | EPCM_PENDING | EPCM_MODIFIED | EPCM_TYPE | EPCM_HOLE)) ==
               (EPCM_VALID | SGX_PT_REG << 8) &&
           (entry & access) == access;
}
/*
 * Makes the host's protection of addr's page, and of its neighbours in the same state, what the
 * EPCM says. returns: 0; -EACCES the EPCM does not allow `access`; -ENOMEM the host refuses.
 */
MUST_CHECK int emu_epcm_sync(struct sgx_enclave *e, uint64_t addr, unsigned access);
/* Sets the host's protection of pages that are in one EPCM state, and their HOST bits. lock held. */
MUST_CHECK int emu_epcm_protect(struct sgx_enclave *e, uint64_t addr, uint64_t size, unsigned prot);
/* EAUG (SDM): pending, R W, zero. returns: 0; -EEXIST; -EPERM not possible here. */
MUST_CHECK int emu_epcm_eaug(struct sgx_enclave *e, uint64_t addr);
/*
 * What a leaf does before it touches an operand in enclave memory: the whole range in one page.
 * returns: 0; -EFAULT with *ret_fault set (#GP outside ELRANGE, #PF refused).
 */
MUST_CHECK int emu_operand_check(struct sgx_enclave *e, uint64_t addr, uint64_t size,
                                 uint64_t align, unsigned access, struct emu_fault *ret_fault);
/* Strict mode: a thread goes in, or comes out. */
void emu_strict_enter(struct emu_thread *t);
void emu_strict_leave(struct emu_thread *t);
int emu_prot(unsigned access);

/* emu_encls.c: the leaves of the kernel. The functions of struct sgx_backend by the same names. */
int emu_encls_create(const struct sgx_secs *secs, struct sgx_enclave **ret);
int emu_encls_add_pages(struct sgx_enclave *e, uint64_t off, const void *src, uint64_t size,
                        const struct sgx_secinfo *secinfo, bool measure);
int emu_encls_init(struct sgx_enclave *e, const struct sgx_sigstruct *sigstruct);
void emu_encls_destroy(struct sgx_enclave *e);
/* emu_edmm.c */
int emu_edmm_restrict(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t permissions,
                      uint64_t *ret_done);
int emu_edmm_modify(struct sgx_enclave *e, uint64_t off, uint64_t size, enum sgx_page_type type,
                    uint64_t *ret_done);
int emu_edmm_remove(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t *ret_done);

/* emu_tcs.c */
struct emu_tcs *emu_tcs_find(struct sgx_enclave *e, uint64_t addr);
/* A new TCS, or a new life of an old one at this address. returns: 0; -ENOMEM. */
MUST_CHECK int emu_tcs_add(struct sgx_enclave *e, uint64_t addr, const struct sgx_tcs *page);
void emu_tcs_remove(struct sgx_enclave *e, uint64_t addr);
/* EADD and EACCEPT: is this a TCS that the SDM lets in? */
bool emu_tcs_page_is_valid(const struct sgx_enclave *e, const struct sgx_tcs *page);

/* emu_sigstruct.c. returns: enum sgx_error. Checks signature and form, not contents. */
int emu_sigstruct_verify(const struct sgx_sigstruct *s, uint8_t ret_mrsigner[32]);

/* emu_stubs.c: finds the ENCLU stubs of an initialised enclave and patches them. */
void emu_stubs_patch(struct sgx_enclave *e);

/* emu_registry.c: enclaves by address; lock-free to read, also in signal handlers. */
int emu_registry_add(struct sgx_enclave *e);
void emu_registry_remove(struct sgx_enclave *e);
struct sgx_enclave *emu_registry_find(uint64_t addr);

/* emu_thread.c */
int emu_thread_init(struct sgx_enclave *e);
void emu_thread_done(struct sgx_enclave *e);
/* NULL before emu_thread_init. Thread-local storage: under the host's FS base only. */
extern _Thread_local struct emu_thread *sgx_emu_self
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* On the emulator's signal stack, under any FS base. */
static inline struct emu_thread *emu_thread_on_stack(void)
{
    return (struct emu_thread *)((uintptr_t)__builtin_frame_address(0) &
                                 ~(uintptr_t)(EMU_THREAD_BLOCK - 1));
}
/* Is this a thread's state, and not just some address of a stack? Any FS. */
bool emu_thread_is_known(const struct emu_thread *t);
int emu_thread_dispatch(struct emu_thread *t, struct sgx_enclave *e);
/* Chooses how the enclave's system calls are told from the host's. -ENOTSUP: no way here. */
MUST_CHECK int emu_thread_plan_dispatch(struct sgx_enclave *e);
bool emu_thread_has_dispatch(void); /* and switches it off for this thread */
extern struct emu_thread **sgx_emu_gs_table_addr;

/* emu_enter.c: EENTER and ERESUME up to the load, and AEX. */
struct emu_prepared {
    uint64_t leaf;        /* SGX_EENTER, SGX_ERESUME; 0: faulted */
    struct emu_thread *t; /* NULL: this thread was not initialised */
};
struct emu_prepared sgx_emu_prepare(uint32_t leaf, struct emu_thread *t);
/*
 * AEX: saves the enclave's state (uc, and its FS and GS base) in the SSA, and makes uc the synthetic
 * state at the AEP. fault: NULL for an interrupt; else EXITINFO and EXINFO say so.
 */
void emu_aex(struct emu_thread *t, ucontext_t *uc, uint64_t fs, uint64_t gs,
             const struct emu_fault *fault);
/* The synthetic state alone. */
void emu_aex_context(struct emu_thread *t, ucontext_t *uc);
/* Ends a stay: TCS released, thread outside. */
void emu_leave(struct emu_thread *t);
/* Undoes an entry that has not reached the enclave. */
void emu_enter_rollback(struct emu_thread *t);
void emu_transition_wait(const struct emu_thread *t);

/* emu_signal.c */
int emu_signal_install(void);
bool emu_signal_at_aep(struct sgx_enclave *e, void *ucontext);

/* emu_step.c: single steps with signals, for tests (CLOCHE_EMU_STEP). */
#define EMU_STEP_ON 0x434c4f4348450001ull
#define EMU_STEP_OFF 0x434c4f4348450000ull
#define EMU_STEP_REPORT 0x434c4f4348450002ull /* off, and the places to CLOCHE_EMU_STEP_LOG */
/* Reads the settings. returns: 0; -EINVAL; -ENOMEM. */
MUST_CHECK int emu_step_init(void);
bool emu_step_wants(const struct emu_thread *t, uint32_t cssa);
/* SIGTRAP with TRAP_TRACE, any FS. is_enclave: RIP is in an ELRANGE, a stub or a load. returns: true: it was ours. */
bool emu_step_trap(struct emu_thread *t, ucontext_t *uc, bool is_enclave);
/* #UD of the enclave, the host's FS. returns: true: it was the program's word to us, and is over. */
bool emu_step_trigger(struct emu_thread *t, ucontext_t *uc);

/* emu_enclu.c: an ENCLU that trapped. regs is the enclave's state with RIP at the ENCLU. */
enum emu_outcome {
    EMU_DONE,    /* go on after the ENCLU */
    EMU_LEFT,    /* EEXIT: uc is the host's now */
    EMU_FAULTED, /* *ret_fault */
};
enum emu_outcome emu_enclu(struct emu_thread *t, ucontext_t *uc, struct emu_fault *ret_fault);
/* emu_report.c: EREPORT and EGETKEY. */
/* Reads the key file and readies OpenSSL: an ENCLU may come when the process may open files no more. Idempotent. */
void emu_report_init(void);
enum emu_outcome emu_ereport(struct emu_thread *t, greg_t *gregs, struct emu_fault *ret_fault);
enum emu_outcome emu_egetkey(struct emu_thread *t, greg_t *gregs, struct emu_fault *ret_fault);

/* emu_fuse.c: the installation's root key. returns: 0; negative errno. */
MUST_CHECK int emu_fuse_get(uint8_t ret[32]);

/* emu_cpu.c: what this CPU and the emulated one have. */
uint64_t emu_cpu_xcr0(void);
uint32_t emu_cpu_xsave_size(uint64_t xfrm);
uint64_t emu_cpu_ticks(uint64_t ns);
bool emu_cpu_is_canonical(uint64_t addr);
#define EMU_MISC_SUPPORTED SGX_MISC_EXINFO
#define EMU_ATTR_SUPPORTED                                                                         \
    (SGX_ATTR_INIT | SGX_ATTR_DEBUG | SGX_ATTR_MODE64BIT | SGX_ATTR_PROVISIONKEY |                 \
     SGX_ATTR_EINITTOKENKEY | SGX_ATTR_KSS)

/* emu_asm.S */
sgx_enter_fn sgx_emu_enter;
int sgx_emu_copy(void *dst, const void *src, size_t size);
extern const char sgx_emu_text_start[], sgx_emu_text_end[], sgx_emu_aep[], sgx_emu_aep_marked[],
    sgx_emu_next[], sgx_emu_fault[], sgx_emu_load_start[], sgx_emu_load_end[], sgx_emu_copy_insn[],
    sgx_emu_copy_fault[];
