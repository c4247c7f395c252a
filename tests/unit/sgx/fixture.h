/* SPDX-License-Identifier: Apache-2.0 */
/* Builds, signs and starts the test enclave (enclave.S) on a backend. */
#pragma once

#include "host/sgx/backend.h"

#define FIX_BASE 0x100000000ull /* where the tests put ELRANGE */
#define FIX_SIZE 0x20000000ull
#define FIX_CODE 0x20000ull     /* offsets from the base */
#define FIX_RET (FIX_CODE + 32) /* a `ret` */
#define FIX_DATA 0x40000ull     /* 16 pages R W, untouched by the code */
#define FIX_DATA_PAGES 16
#define FIX_THREAD(i) (0x100000ull + (i)*0x20000ull)
#define FIX_TCS(i) (FIX_THREAD(i))
#define FIX_SSA(i) (FIX_THREAD(i) + 0x1000) /* FIX_NSSA frames of one page */
#define FIX_GS(i) (FIX_THREAD(i) + 0x8000)  /* one page: the stack grows down to its first words */
#define FIX_NSSA 3
#define FIX_THREADS_MAX 16
#define FIX_FREE 0x8000000ull /* nothing is added from here on */
#define FIX_CMD_INC 0
#define FIX_CMD_ENCLU 1
#define FIX_CMD_COPY 2
#define FIX_CMD_CALL 3
#define FIX_CMD_SYSCALL 4
#define FIX_CMD_SPIN 5
#define FIX_CMD_UD2 6
#define FIX_CMD_READ 7
#define FIX_CMD_WRITE 8
#define FIX_CMD_ACCEPT 9

struct fixture {
    const struct sgx_backend *backend;
    struct sgx_enclave *e;
    struct sgx_secs secs;
    uint64_t base;
    unsigned threads;
    bool stubs;
    struct sgx_sigstruct sigstruct;
};

/* A key pair made at first use. */
void fix_sign(struct sgx_sigstruct *s);
void fix_sigstruct(const uint8_t mrenclave[32], const struct sgx_secs *secs,
                   struct sgx_sigstruct *ret);
void fix_secs(struct sgx_secs *ret, uint64_t base, uint64_t size);
/* Fails the test on any error. The calling thread is initialised for the enclave. */
void fix_start(struct fixture *f, bool stubs, unsigned threads);
/* The same with SECS fields of the caller's; up to EINIT only when init is set. */
void fix_build(struct fixture *f, const struct sgx_secs *secs, bool stubs, unsigned threads,
               bool init);
void fix_stop(struct fixture *f);
/* What the TCS of slot i holds. */
void fix_tcs(const struct fixture *f, unsigned i, struct sgx_tcs *ret);

struct fix_result {
    uint64_t rsi, rdx;
    struct sgx_run run;
    int rc;
};
/* EENTER on thread slot `i`, one host thread at a time. */
struct fix_result fix_enter(struct fixture *f, unsigned i, uint64_t command, uint64_t rsi,
                            uint64_t rdx, uint64_t r8);
struct fix_result fix_enter_leaf(struct fixture *f, unsigned i, unsigned leaf, uint64_t rdi,
                                 uint64_t rsi, uint64_t rdx);
/* Enters and expects EEXIT; returns RSI. */
uint64_t fix_call(struct fixture *f, unsigned i, uint64_t command, uint64_t rsi, uint64_t rdx,
                  uint64_t r8);
struct fix_enclu {
    uint64_t rax, rbx, rcx, rdx, rflags;
};
/* ENCLU with these registers, inside, on slot 0. */
struct fix_result fix_enclu(struct fixture *f, struct fix_enclu *regs);
/* Puts bytes into enclave memory, through the enclave. */
void fix_poke(struct fixture *f, uint64_t off, const void *src, size_t size);
void fix_peek(struct fixture *f, uint64_t off, void *dst, size_t size);

/* Changes each TCS that fix_build adds; NULL: none. */
extern void (*g_fix_spoil)(unsigned arg, struct sgx_tcs *tcs);
extern unsigned g_fix_spoil_arg;
