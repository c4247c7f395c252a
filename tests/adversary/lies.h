/* SPDX-License-Identifier: Apache-2.0 */
/* What liar.c and the files with lies share: a lie is told by a child of a process that has built the enclave. */
#pragma once

#include <stdatomic.h>

#include "host/loader/loader.h"
#include "tests/adversary/test_enclave.h"

#define STATUS_PANIC 125       /* the enclave ended itself, with a line for the operator */
#define STATUS_NEVER 61        /* the lie was never told: the test is wrong */
#define STATUS_LEAK 62         /* something of the enclave's was seen outside */
#define LIE_BUFFER_SIZE 16384u /* of a frame's buffer that lies fill */

enum outcome {
    OUTCOME_HARMLESS, /* the scenario ends with ROW_HARMLESS */
    OUTCOME_REFUSED,  /* STATUS_PANIC, and text */
    OUTCOME_EITHER,   /* one of the two, as it comes */
    OUTCOME_STATUS,   /* the scenario's own status, in `status` */
};

struct lie {
    char name[80];
    char scenario[40]; /* first argument of the test enclave */
    char argument[16]; /* second; may be "" */
    enum outcome outcome;
    int status;
    const char *text;                  /* part of what the operator must read */
    void (*prepare)(struct loader *l); /* before the first entry; may be NULL */
    bool (*serve)(struct ocall_thread *t);
    int row, kind; /* of lie_rows.c */
};

/* The lie of this process, and how often it was told. */
extern const struct lie *g_lie;
extern atomic_uint g_told;

/* The tables. returns: the number of lies that were written to ret. */
unsigned lie_rows_list(struct lie *ret, unsigned max);
unsigned lie_sgx_list(struct lie *ret, unsigned max);
unsigned lie_start_list(struct lie *ret, unsigned max);
unsigned lie_answers_list(struct lie *ret, unsigned max);

/* The enclave that was built goes on in children, each with a copy of its own. returns: 0; -1 errno. */
int lie_sgx_share(struct loader *l);

/*
 * Puts the watched entry in place of the backend's: every exit is looked at for what should not be in
 * registers or in the frame (lie_entry.c).
 */
void lie_entry_watch(struct loader *l);
extern bool g_entry_dirty;   /* enter with dirty flags and vector registers */
extern void *g_frame_hidden; /* this frame cannot be read while the enclave runs; NULL: none */
