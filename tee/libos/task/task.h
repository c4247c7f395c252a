/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and threads. One enclave holds many processes in one address space; each has its own areas
 * (struct mm), descriptors (struct fd_table), file-system context (struct fs_context), signal handlers and credentials,
 * which clone() may share. Trusted.
 *
 * Lock order: g_tasks (table of processes) > process->lock > thread->lock > waitq.lock.
 */
#pragma once

#include "tee/enclave/entry.h"
#include "tee/libos/task/wait.h"

struct fd_table;    /* tee/libos/fs/vfs/vfs.h */
struct fs_context;
struct mm;          /* tee/libos/mm/mm.h */
struct sig_state;   /* tee/libos/signal/signal.h: handlers, shared by CLONE_SIGHAND */
struct sig_queue;   /* pending signals of a thread or a process */

#define GROUPS_MAX 64u
#define TASK_NAME_SIZE 16u  /* with NUL, as PR_SET_NAME */

/* Credentials; immutable once shared: a change makes a new one. */
struct cred {
    uint32_t refs;
    uint32_t ruid, euid, suid, fsuid;
    uint32_t rgid, egid, sgid, fsgid;
    uint64_t cap_effective, cap_permitted, cap_inheritable;
    uint32_t group_count;
    uint32_t groups[GROUPS_MAX];
};

struct rlimit64_pair {
    uint64_t current, maximum;
};
#define RLIMIT_COUNT 16

struct process {
    uint32_t refs;
    int32_t pid;
    struct process *parent;         /* NULL for process 1 */
    int32_t pgid, sid;
    struct mutex lock;
    struct mm *mm;
    struct fd_table *fds;
    struct fs_context *fs;
    struct sig_state *sig;
    struct sig_queue *pending;      /* process-directed signals */
    struct cred *cred;              /* read with process_cred(), replaced under lock */
    struct rlimit64_pair limits[RLIMIT_COUNT];
    struct thread *threads;         /* list, under lock */
    unsigned thread_count;
    struct process *children, *sibling;
    struct waitq child_wait;        /* woken when a child changes state */
    int32_t exit_code;              /* wait(2) status, valid when zombie */
    bool zombie, exiting;
    uint32_t umask;                 /* kept here: per fs_context in Linux, shared with CLONE_FS */
    char *exe_path;                 /* for /proc/self/exe; owned */
    char *cmdline;                  /* NUL-separated; cmdline_size bytes; owned */
    size_t cmdline_size;
    uintptr_t env_start, env_end, arg_start, arg_end;
    uint64_t start_ns;
};

struct thread {
    uint32_t refs;
    int32_t tid;
    struct process *process;
    struct thread *next;            /* process->threads */
    uint32_t slot;                  /* thread slot, for ocall_unpark */
    struct spin lock;
    /* wait.c */
    uint32_t wake_token;            /* 1: wait_sleep() returns at once */
    uint32_t parked;                /* 0 running, 1 in ocall_park, 2 in ocall_poll */
    /* signal.c */
    uint64_t sig_mask;              /* bit n-1 = signal n */
    uint64_t sig_mask_saved;        /* sigsuspend, ppoll...: restored on the way out */
    bool sig_mask_restore;
    struct sig_queue *pending;
    uintptr_t alt_stack_base;
    size_t alt_stack_size;
    uint32_t alt_stack_flags;
    uint32_t attention;             /* TASK_ATTENTION_* bits: handled before going back to the program */
    /* futex.c, task.c */
    uintptr_t clear_child_tid;
    uintptr_t robust_list;
    size_t robust_list_size;
    uintptr_t rseq_area;
    uint32_t rseq_size, rseq_signature;
    char name[TASK_NAME_SIZE];
    uint64_t cpu_start_ns;
    int32_t restart_kind;           /* restart_syscall */
    void *restart_data;
};

#define TASK_ATTENTION_SIGNAL 0x1u
#define TASK_ATTENTION_DIE 0x2u     /* exit_group by another thread, fatal signal, execve */

struct thread *thread_current(void);                        /* same as current() */
static inline struct process *process_current(void)
{
    return ((struct thread *)current())->process;
}

/* References; unref frees with the last one. */
void process_ref(struct process *p);
void process_unref(struct process *p);
void thread_ref(struct thread *t);
void thread_unref(struct thread *t);
/* NULL when there is none; the caller owns a reference. */
struct process *process_find(int32_t pid);
struct thread *thread_find(int32_t tid);
/* Calls fn for each process, under g_tasks; fn must not sleep. */
void process_each(void (*fn)(struct process *p, void *arg), void *arg);

const struct cred *process_cred(void);  /* of the caller's process; valid during the system call */
bool cred_has_group(const struct cred *c, uint32_t gid);

/* Marks t and makes it notice: wakes it when asleep, kicks it out of program code when running. */
void thread_attention(struct thread *t, uint32_t bits);
bool thread_must_die(void);

/* Ends the calling thread or its whole process. status: wait(2) status word. */
NORETURN void thread_exit(int status);
NORETURN void process_exit(int status);
