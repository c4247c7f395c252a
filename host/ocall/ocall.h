/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves OCALLs: abi/ocall.def says what they are. One struct ocall_host a loaded enclave, one struct
 * ocall_thread a thread slot. Untrusted side; the enclave believes nothing of it.
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "abi/image.h"
#include "abi/ocall.h"
#include "abi/start.h"
#include "host/sgx/backend.h"

struct ocall_host;
struct quote_service;

#define OCALL_HOST_FILE_COUNT 3u /* resolv.conf, hosts, hostname */

/* Where a thread is, for kicks and for signals that come at the wrong moment. */
enum ocall_where {
    OCALL_WHERE_OUT,      /* serving: frame->signals is still to be written */
    OCALL_WHERE_ENTERING, /* about to enter, or inside */
};

struct ocall_thread {
    struct ocall_host *host;
    uint32_t slot;
    struct ocall_frame *frame;
    uint64_t args[OCALL_ARGS_MAX]; /* of the OCALL that is being served: read from the frame once */
    bool exists;    /* has a host thread, maybe an idle one; changed by the thread that
                                 * holds the slot's claim in the enclave, or by none */
    uint32_t start; /* futex word: 1 = thread_start came for this slot; atomic */
    uint32_t idle;  /* waits in ocall_thread_wait; atomic */
    int tid;
    uint32_t wake;           /* futex word: 1 = ocall_unpark came; atomic */
    uint32_t polling;        /* 1 while it sleeps in ppoll; atomic */
    int wake_fd;             /* eventfd that ends ppoll; -1 before the first poll */
    uint32_t where;          /* enum ocall_where; atomic */
    uint32_t at_cssa1;       /* an entry at CSSA 1 is not over yet; atomic */
    uint32_t kicked;         /* a kick came while outside; atomic */
    bool signalled;          /* its enclave thread was handed a host signal at CSSA 1 */
    uint64_t timer_slack_ns; /* that its sleeps have now; 0: the default */
    timer_t retry_timer;     /* sends the kick again when it came between two chairs */
    bool has_timer;
};

struct ocall_host {
    const struct sgx_backend *backend;
    struct sgx_enclave *enclave;
    struct ocall_thread *threads; /* LIBOS_SLOT_COUNT_MAX */
    uint32_t thread_limit;
    pthread_mutex_t lock;                 /* starting of threads: `exists` */
    uint64_t signals;                     /* for the enclave, bit n-1; atomic */
    int mount_fds[START_MOUNT_COUNT_MAX]; /* O_PATH descriptors of host folders; -1 = none */
    int mount_count;
    const uint8_t *rootfs; /* the mapped image of the root file system */
    size_t rootfs_size;
    int host_file_fds[OCALL_HOST_FILE_COUNT]; /* of ocall_host_files_open */
    struct quote_service *quote;              /* NULL: this machine has none */
    void *(*thread_main)(void *thread);       /* what a fresh host thread runs */
    pthread_attr_t thread_attr;
    unsigned long timer_slack_ns; /* what the loader was started with */
    unsigned
        end_wait_us; /* that OCALL exit may take once entries are refused; 0: loader_run's own */
    bool (*serve)(struct ocall_thread *t); /* ocall_serve; tests put a lying one in its place */
};

/* Serves the OCALL in t->frame. returns: true to go back in; false when the enclave's thread ended. */
bool ocall_serve(struct ocall_thread *t);
/* Sleeps until thread_start names this thread's slot. */
void ocall_thread_wait(struct ocall_thread *t);
/* The signal that kicks a thread. */
int ocall_kick_signal(void);
void ocall_kick_thread(struct ocall_thread *t);
/* Lets a thread that sleeps, or is about to, go on. Async-signal-safe. */
void ocall_wake_thread(struct ocall_thread *t);

/* The slack of the calling thread's sleeps from now on; ns 0: the process's default. */
void ocall_timer_slack_set(struct ocall_thread *t, uint64_t ns);

/* Makes the eventfd that ends a sleep on descriptors. false: no descriptor is left. */
bool ocall_wake_fd_get(struct ocall_thread *t);

/* One a row; f == t->frame, t->args its arguments. The result goes to f->result. */
typedef void ocall_serve_fn(struct ocall_thread *t, struct ocall_frame *f);
#define OCALL(name, result, errors, needs) ocall_serve_fn ocall_serve_##name;
#include "abi/ocall.def"
#undef OCALL

/* Opens what OCALL host_file may read, while the process may still open files. */
void ocall_host_files_open(struct ocall_host *h);
/* Lines of the log end as a raw terminal needs it. */
void ocall_log_raw(bool raw);

/* errno of a failed call as an answer, else value. */
int64_t ocall_answer(int64_t value);
