/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of tee/enclave share and the library OS does not see. Trusted.
 */
#pragma once

#include "abi/image.h"
#include "abi/sgx_arch.h"
#include "tee/enclave/entry.h"
#include "tee/enclave/uptr.h"

/* enclave.lds */
extern const char enclave_image_start[], enclave_text_start[], enclave_text_end[];

/* Non-zero once enclave_panic or enclave_exit ran: no entry at CSSA 0 is served any more. */
extern uint32_t enclave_dead;

/* The measured page. */
static inline const struct enclave_config *enclave_config(void)
{
    return (const struct enclave_config *)LIBOS_CONFIG_ADDR;
}

/* True when addr is program memory: inside ELRANGE, outside the library OS. */
static inline bool addr_is_user(uint64_t addr)
{
    return (addr >= USER_LOW_BASE && addr < LIBOS_BASE) ||
           (addr >= USER_HIGH_BASE && addr < enclave_config()->elrange_size);
}

/* ---- header.S, entry.S, raw_copy.S ---- */

/* EACCEPT and EMODPE. returns: 0; enum sgx_error; -1 the page is not there and the host gives none. */
MUST_CHECK int enclu_page(unsigned leaf, const struct sgx_secinfo *secinfo, uint64_t addr);
/* EREPORT, EGETKEY, EACCEPTCOPY. */
MUST_CHECK int enclu_key(unsigned leaf, const void *rbx, const void *rcx, void *rdx);
void ocall_leave(void);
NORETURN void enclave_leave_for_good(uint32_t phase);
NORETURN void regs_resume_asm(const struct regs *regs);
void enclave_redirect_fault(void);
void enclave_redirect_interrupt(void);
void enclave_redirect_panic(void);
extern const char enclave_return[], enclave_return_end[];
extern const uint8_t xstate_initial[];
/* Learns how OCALLs can keep the program's vector state; once, after clock_init. */
void xstate_init(void);
MUST_CHECK size_t raw_copy_words(void *dst, const void *src, size_t count); /* words not done */
MUST_CHECK int uptr_store_byte(void *dst, uint8_t byte);
MUST_CHECK bool tsc_read(uint64_t *ret);

/* ---- called from entry.S ---- */

NORETURN void enclave_thread_enter(uint64_t event, uint64_t arg, uint64_t frame);
void exception_handle(uint64_t event, uint64_t arg);
void exception_program_fault(struct regs *regs);
NORETURN void exception_panic(void);

/* ---- start.c, thread.c, alloc.c, commit.c, clock.c, random.c, cpuid.c, digest_ipsec.c ---- */

/* Copies in and checks what the host handed over, then runs the library OS. */
NORETURN void enclave_start(uint64_t start_addr);
void thread_slots_init(uint32_t host_slots);
/* Claims a slot that ocall thread_start announced. returns: false when none was asked for. */
MUST_CHECK bool thread_slot_claim(uint32_t slot, void **ret_arg);
void commit_init(uint64_t limit_pages);
void heap_init(void);
void clock_init(uint64_t tsc_hz_hint, bool has_tsc);
uint64_t random_hardware(void);
void digest_init(void);
void log_set_verbose(bool verbose);
/* EREPORT and EGETKEY live in sgx.h. */

/* ---- ocall.c: one crossing ---- */

struct ocall_answer {
    int64_t result;  /* mapped to the row's errors; COUNT answers are at most `asked` */
    uint64_t out[4]; /* as the host wrote them */
};
/* The calling thread's frame buffer, from off; size bytes fit. */
void ocall_buffer_put(uint32_t off, const void *src, size_t size);
void ocall_buffer_get(void *dst, uint32_t off, size_t size);
/* asked: the limit of a COUNT answer. */
void ocall_run(uint32_t number, const uint64_t args[6], uint64_t asked, struct ocall_answer *ret);
/* The same for rows that use no out values. */
MUST_CHECK int64_t ocall_simple(uint32_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                uint64_t asked);
void ocall_log(const char *text, size_t size);
MUST_CHECK int ocall_thread_start(uint32_t slot);
NORETURN void ocall_exit(int status);
/* Host clocks, ns. */
struct ocall_time {
    uint64_t monotonic, realtime, boottime;
};
void ocall_clock(struct ocall_time *ret);
MUST_CHECK int ocall_edmm(uint32_t number, uint64_t addr, uint64_t count, uint64_t permissions);
