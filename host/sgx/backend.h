/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the loader reaches SGX. The shape is the Linux uAPI (asm/sgx.h, Documentation/arch/x86/sgx.rst):
 * device/ forwards to /dev/sgx_enclave and the vDSO, emu/ does the same in software (SDM vol. 3D).
 * Untrusted side. All functions return 0 or a negative errno unless said otherwise; SGX's own error
 * codes (enum sgx_error, positive) come back where the uAPI gives them.
 *
 * One process may hold several enclaves. All functions may be called from any thread.
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "abi/sgx_arch.h"

struct sgx_enclave; /* one enclave of one backend */

/* Same layout as the kernel's struct sgx_enclave_run (asm/sgx.h): 256 bytes. */
struct sgx_run {
    uint64_t tcs;              /* in: address of the TCS */
    uint32_t function;         /* out: SGX_EEXIT, or the leaf that took an exception */
    uint16_t exception_vector; /* out: x86 vector */
    uint16_t exception_error_code;
    uint64_t exception_addr; /* out: page of the fault */
    uint64_t user_handler;   /* in: 0, or an exit handler as the vDSO calls it */
    uint64_t user_data;
    uint8_t reserved[216]; /* zero */
};
_Static_assert(sizeof(struct sgx_run) == 256, "sgx_enclave_run");

/*
 * Signature of __vdso_sgx_enter_enclave: rdi, rsi and rdx go into the enclave as they are (and r8,
 * r9); function is SGX_EENTER or SGX_ERESUME. Returns 0 when the enclave left by EEXIT or by an
 * exception (see run->function), -EINVAL for bad arguments, -EFAULT as the kernel gives it.
 */
typedef int sgx_enter_fn(unsigned long rdi, unsigned long rsi, unsigned long rdx,
                         unsigned int function, unsigned long r8, unsigned long r9,
                         struct sgx_run *run);

struct sgx_backend {
    const char *name; /* "sgx" or "emulated" */
    bool emulated;
    bool has_edmm;

    /* Reserves ELRANGE (secs->base, secs->size) and does ECREATE. base 0 is allowed: then no
     * address below vm.mmap_min_addr can hold a page. */
    int (*create)(const struct sgx_secs *secs, struct sgx_enclave **ret);
    /* EADD (and EEXTEND of whole pages when measure) of size bytes at enclave offset off. src is
     * page-aligned. */
    int (*add_pages)(struct sgx_enclave *e, uint64_t off, const void *src, uint64_t size,
                     const struct sgx_secinfo *secinfo, bool measure);
    /* EINIT. Positive results are enum sgx_error. */
    int (*init)(struct sgx_enclave *e, const struct sgx_sigstruct *sigstruct);
    /* EDMM (SGX2), as SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, MODIFY_TYPES and REMOVE_PAGES. size and
     * off are multiples of the page size. *ret_done: bytes finished when the call fails midway. */
    int (*restrict_permissions)(struct sgx_enclave *e, uint64_t off, uint64_t size,
                                uint64_t permissions, uint64_t *ret_done);
    int (*modify_types)(struct sgx_enclave *e, uint64_t off, uint64_t size, enum sgx_page_type type,
                        uint64_t *ret_done);
    int (*remove_pages)(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t *ret_done);
    /* Call once on each thread before its first enter, and when it will not enter again. */
    int (*thread_init)(struct sgx_enclave *e);
    void (*thread_done)(struct sgx_enclave *e);
    /*
     * Called first by the loader's handler of asynchronous signals, with the ucontext that it got.
     * When the signal arrived inside the enclave it makes sure that the context stands at the AEP, as
     * on hardware (the emulator does the AEX here), and returns true: RAX is then SGX_ERESUME and RBX
     * the TCS, and the caller may set RAX to SGX_EENTER and RDI, RSI, RDX to have the enclave entered
     * at CSSA 1 instead. False: the signal arrived outside; RAX and the rest of the context are the
     * host's.
     *
     * The handler must be installed with SA_SIGINFO | SA_ONSTACK and a full sa_mask, and must do
     * nothing before this call that uses thread-local storage (errno, stack protector): a signal
     * inside the enclave starts it with the enclave's FS base. After the call the FS base is the
     * host's. thread_init gives the thread its signal stack; nobody may change it afterwards.
     */
    bool (*signal_at_aep)(struct sgx_enclave *e, void *ucontext);
    void (*destroy)(struct sgx_enclave *e);

    sgx_enter_fn *enter;
};

/* NULL when this machine cannot; *ret_why then says why in one line (static text). */
const struct sgx_backend *sgx_device_backend(const char **ret_why);
const struct sgx_backend *sgx_emu_backend(const char **ret_why);

/* The best one here: hardware when there is any. CLOCHE_SGX=emulated or =device decides otherwise. */
const struct sgx_backend *sgx_backend_choose(const char **ret_why);
