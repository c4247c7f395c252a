/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of re-appraisal share. Relying party; within server/fleet/. */
#pragma once

#include <pthread.h>

#include "server/exchange/stored.h"
#include "server/fleet/internal.h"

#define REAPPRAISE_THREADS_MAX 64u
#define REASON_SIZE 300u

/* What became of one instance's evidence. */
struct judged {
    char id[ID_SIZE], org_id[ID_SIZE];
    int64_t evidence_ms; /* of the evidence that was judged */
    bool is_changed, has_fallen;
    char tcb_status[48], reason[REASON_SIZE];
    int64_t valid_until_ms;
    char *ear; /* JSON, for free(); of changed ones */
};
struct batch {
    struct batch *next;
    unsigned count, failed;
    struct judged judged[STORED_LIST_MAX];
};
void batch_free(struct batch *batch); /* NULL allowed */

/* One pass over the fleet. Threads read and judge, each a batch at a time; the one that runs the round writes. */
struct round {
    struct fleet *fleet;
    const char *org_id; /* "": all */
    int64_t now_ms;
    pthread_mutex_t
        reading; /* guards after, is_end; held while a batch is read; comes before lock */
    char after[ID_SIZE];
    bool is_end;
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* a batch was queued or taken, a thread ended */
    struct batch *first, **last;
    unsigned queued, working;
    int rc; /* the first failure */
    struct err err;
};

/* reappraise_judge.c: a thread's work: reads and judges batches and queues them, until there are no more or the round failed. */
void *reappraise_judge(void *round);
/* For the threads. reappraise.c. */
void round_fail(struct round *round, int rc, const struct err *err);
bool round_is_over(struct round *round);
/* Waits while too many are queued. Takes the batch over. */
void round_queue(struct round *round, struct batch *batch);

/* reappraise_write.c: writes what changed, in one transaction. An instance that renewed since, or was told the same before, stays as it is. returns: 0; -EIO. */
MUST_CHECK int reappraise_write(struct round *round, struct batch *batch, struct err *err);
