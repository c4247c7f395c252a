/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader hands to the enclave. Untrusted: the enclave copies each struct in once and checks.
 * Shared.
 *
 * EENTER takes RDI = enum enter_event, RSI = its argument, RDX = address of the calling thread's
 * struct ocall_frame (abi/ocall.h).
 */
#pragma once

#include "lib/defs.h"

enum enter_event {
    ENTER_START = 1,        /* first thread, once; RSI = struct enclave_start */
    ENTER_THREAD = 2,       /* a thread that ocall thread_start asked for */
    ENTER_OCALL_RETURN = 3, /* the OCALL in the frame is done */
    ENTER_EXCEPTION = 4,    /* CSSA 1: handle what the SSA says, then EEXIT for ERESUME */
    ENTER_SIGNAL = 5,       /* CSSA 1: RSI = host signal number */
};

#define START_VERSION 1u
#define START_MOUNT_COUNT_MAX 32u

/* A byte range in host memory. */
struct start_span {
    uint64_t addr;
    uint64_t size;
};

struct enclave_start {
    uint32_t version;         /* START_VERSION */
    uint32_t thread_slots;    /* TCSs that the host can serve */
    struct start_span rootfs; /* EROFS image, mapped */
    struct start_span verity; /* hash tree file, mapped */
    struct start_span descriptor;
    /* What the host wants: argc NUL-ended strings, envc NUL-ended "NAME=value" strings. The library
     * OS takes only what the descriptor allows. */
    struct start_span arguments;
    struct start_span environment;
    uint32_t argument_count; /* 0: the descriptor's own arguments stand */
    uint32_t environment_count;
    uint64_t tsc_hz;    /* 0: unknown; a hint */
    uint32_t stdio_tty; /* bit i: descriptor i is a terminal */
    uint32_t flags;     /* START_* */
    uint64_t cpu_count;
    uint64_t host_pid;
    uint64_t diag; /* reserved, zero */
};
#define START_EXPLAIN 0x1u /* --explain: print the table of unsupported calls at the end */
#define START_VERBOSE 0x2u
#define START_EMULATED 0x4u /* a hint for messages; nothing may rely on it */
#define START_NO_EDMM 0x8u
/* The program gets a terminal inside, whose far end is the host's standard streams. */
#define START_TTY 0x10u
#define START_TTY_INPUT 0x20u /* what comes from descriptor 0 is typed into it */

#define START_STRING_COUNT_MAX 4096u
#define START_STRINGS_SIZE_MAX (512u * 1024)

/* Host signals that reach the first process: HUP INT QUIT USR1 USR2 TERM CONT WINCH; bit n-1 = n. */
#define START_SIGNALS                                                                              \
    ((1u << 0) | (1u << 1) | (1u << 2) | (1u << 9) | (1u << 11) | (1u << 14) | (1u << 17) |        \
     (1u << 27))
