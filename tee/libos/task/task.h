/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and threads. One enclave holds many processes in one address space; each has its own areas
 * (struct mm), descriptors (struct fd_table), file-system context (struct fs_context), signal handlers and credentials,
 * which clone() may share. Trusted.
 *
 * Lock order: family lock (children.h) > process->lock > thread->lock, g_tasks (table of processes) > waitq.lock.
 */
#pragma once

#include "tee/enclave/entry.h"
#include "tee/libos/task/sched.h"
#include "tee/libos/task/wait.h"

struct fd_table; /* tee/libos/fs/vfs/vfs.h */
struct fs_context;
struct mm;           /* tee/libos/mm/mm.h */
struct sig_state;    /* tee/libos/signal/signal.h: handlers, shared by CLONE_SIGHAND */
struct exec_strings; /* tee/libos/elf/elf.h */
struct timer_set;
struct sig_queue; /* pending signals of a thread or a process */

#define GROUPS_MAX 64u
/* What container engines leave a root user: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
 * NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP. */
#define CAP_CONTAINER 0xa80425fbull
#define TASK_NAME_SIZE 16u /* with NUL, as PR_SET_NAME */

/* Credentials; immutable once shared: a change makes a new one. */
struct cred {
    uint32_t refs;
    uint32_t ruid, euid, suid, fsuid;
    uint32_t rgid, egid, sgid, fsgid;
    uint64_t cap_effective, cap_permitted, cap_inheritable;
    uint32_t group_count;
    uint32_t groups[GROUPS_MAX];
    struct cred *next_used; /* process->creds: each set that the process ever had */
};

struct rlimit64_pair {
    uint64_t current, maximum;
};
#define RLIMIT_COUNT 16

struct process_usage {
    uint64_t cpu_ns;
    uint64_t peak_pages;
};

struct thread;
typedef int64_t restart_fn(struct thread *t);

struct process {
    uint32_t refs;
    int32_t pid;
    struct process
        *parent;       /* NULL for process 1; with a reference; children.h says what guards it */
    int32_t pgid, sid; /* may be read at any time */
    struct mutex lock;
    struct mm *mm;
    struct fd_table *fds;
    struct fs_context *fs;
    struct sig_state *sig;
    struct sig_queue *pending; /* process-directed signals */
    struct cred *cred;         /* read with process_cred(), replaced under lock */
    struct cred *creds;        /* all of them: a reader may still look at an old one */
    struct rlimit64_pair limits[RLIMIT_COUNT];
    struct thread *threads; /* list, under lock */
    unsigned thread_count;
    struct process *children, *sibling;
    struct process *next_pid; /* g_tasks hash chain */
    struct waitq child_wait;  /* woken when a child changes state */
    int32_t exit_code;        /* wait(2) status, valid when zombie */
    bool zombie, exiting;
    char name[TASK_NAME_SIZE]; /* of its last thread, when that is gone */
    bool is_reaped;            /* not in the table any more; atomic */
    uint8_t exit_signal;       /* what the parent gets when it ends; 0: nothing */
    bool did_exec;             /* since it was made: setpgid by the parent comes too late */
    uint8_t stop_signal;       /* it stopped, and nobody has waited for that yet; atomic */
    bool continued;            /* likewise */
    bool tell_continued;       /* the next of its threads tells the parent; atomic */
    uint32_t continue_count;   /* SIGCONT and SIGKILL that came; under sig->lock */
    struct process_usage children_usage; /* of those that were waited for, and theirs */
    uint64_t peak_pages;                 /* most pages of memory at a time, as far as was looked */
    struct waitq end_wait;               /* woken when it becomes a zombie: pidfds */
    int32_t exit_status;        /* wait(2) status that a thread asked for; valid when exiting */
    struct thread *exec_thread; /* in execve: the only thread that goes on */
    struct waitq thread_wait;   /* woken when a thread leaves, and when `stopped` changes */
    bool stopped;               /* SIGSTOP and friends, until SIGCONT */
    bool no_new_privs;
    bool keep_caps; /* PR_SET_KEEPCAPS, until execve */
    bool child_subreaper;
    uint32_t dumpable;
    uint32_t personality;
    uint64_t dead_cpu_ns;     /* CPU time of threads that are gone */
    struct timer_set *timers; /* sys_timer.c: POSIX and interval timers; NULL until used */
    struct process *next_all; /* g_tasks */
    int oom_score_adj;
    uint32_t umask; /* kept here: per fs_context in Linux, shared with CLONE_FS */
    char *exe_path; /* for /proc/self/exe; owned */
    char *cmdline;  /* NUL-separated; cmdline_size bytes; owned */
    size_t cmdline_size;
    uintptr_t env_start, env_end, arg_start, arg_end;
    uint64_t start_ns;
};

struct thread {
    uint32_t refs;
    int32_t tid;
    struct process *process;
    struct thread *next; /* process->threads */
    uint32_t slot;       /* thread slot, for ocall_unpark */
    struct spin lock;
    /* wait.c */
    uint32_t wake_token; /* 1: wait_sleep() returns at once */
    uint32_t parked;     /* 0 running, 1 in ocall_park, 2 in ocall_poll */
    /* signal.c */
    uint64_t sig_mask;       /* bit n-1 = signal n */
    uint64_t sig_mask_saved; /* sigsuspend, ppoll...: restored on the way out */
    bool sig_mask_restore;
    uint64_t sig_wait_mask; /* blocked signals that sigtimedwait waits for just now */
    struct sig_queue *pending;
    uintptr_t alt_stack_base;
    size_t alt_stack_size;
    uint32_t alt_stack_flags;
    uint32_t attention; /* TASK_ATTENTION_* bits: handled before going back to the program */
    /* futex.c, task.c */
    uintptr_t clear_child_tid;
    uintptr_t robust_list;
    size_t robust_list_size;
    uintptr_t rseq_area; /* rseq.c; 0: not registered */
    uint32_t rseq_size, rseq_signature, rseq_cpu;
    char name[TASK_NAME_SIZE];
    uint64_t cpu_start_ns;
    restart_fn *restart; /* what restart_syscall goes on with; NULL: nothing */
    uint64_t restart_args[4];
    /* wait.c */
    struct wake_batch *wake_batch; /* outermost open batch of this thread */
    uint32_t spin_budget;          /* iterations before parking; adapts */
    uint32_t spin_count;           /* waits until a long spin is tried again */
    uint32_t spin_interval;        /* what spin_count starts from; grows while that is in vain */
    uint64_t slept_ns;             /* total time asleep */
    uint64_t asleep_since_ns;      /* 0: awake */
    /* task.c */
    struct thread *next_tid;      /* g_tasks hash chain */
    void (*kernel_fn)(void *arg); /* a thread of the library OS itself */
    void *kernel_arg;
    struct regs *start_regs; /* where a new thread begins; freed when it has */
    void *xstate; /* scratch XSAVE area, 64-aligned inside xstate_block; NULL until needed */
    void *xstate_block;
    struct sched_state sched;
    uint32_t pdeath_signal;
    uint32_t timer_slack_ns;       /* how much later its sleeps may end; 0: as the host has it */
    uint32_t timer_slack_first_ns; /* what it began with */
    /* vfork.c: a thread that waits for its vfork child has lent it its slot */
    struct thread *vfork_child;  /* that this thread waits for; under lock */
    struct thread *vfork_parent; /* that waits for this thread; changed by this thread alone */
    bool exiting;                /* thread_exit has begun */
    bool leaving;                /* has been counted out of its process; under process->lock */
    /* signal.c: the last synchronous fault, for the signal frame */
    uint64_t fault_vector, fault_error_code, fault_address;
    /* and how often in a row it was to be gone, at the same instruction and address */
    uint64_t fault_rip, fault_repeats;
};

#define TASK_ATTENTION_SIGNAL 0x1u
#define TASK_ATTENTION_DIE 0x2u     /* exit_group by another thread, fatal signal, execve */
#define TASK_ATTENTION_BARRIER 0x8u /* membarrier: taking it off is the barrier */
#define TASK_ATTENTION_SIGIO 0x20u  /* files are to send signals: sigio_flush */
#define TASK_ATTENTION_RSEQ 0x10u   /* a sequence of rseq(2) is to be aborted */
#define TASK_ATTENTION_PARENT                                                                      \
    0x4u /* the thread that waits for this vfork child was given attention */

struct thread *thread_current(void); /* same as current() */
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
/* The first of all processes, linked by next_all; under the family lock (children.h). */
struct process *process_list(void);
/* Calls fn for each process, under g_tasks; fn must not sleep. */
void process_each(void (*fn)(struct process *p, void *arg), void *arg);

const struct cred *process_cred(void); /* of the caller's process; valid during the system call */
/* Replaces the credentials of the calling process by a copy of *c (refs and links aside). returns: 0; -ENOMEM. */
MUST_CHECK int process_set_cred(struct process *p, const struct cred *c);
/* execve: capabilities that a user other than root kept are lost. p is the calling process; ends it when memory is out. */
void cred_exec(struct process *p);
bool cred_has_group(const struct cred *c, uint32_t gid);

/* Marks t and makes it notice: wakes it when asleep, kicks it out of program code when running. */
void thread_attention(struct thread *t, uint32_t bits);
bool thread_must_die(void);

/* Scratch area of xstate_size() bytes for the calling thread. returns: NULL when memory is out. */
MUST_CHECK void *thread_xstate(struct thread *t);
/* Sets thread->name and so on; name may be longer, it is cut. */
void thread_set_name(struct thread *t, const char *name);
/* CPU time: time that the thread (or all threads of the process) was not asleep. An upper bound: the
 * host's scheduler does not tell when it ran something else. */
uint64_t thread_cpu_ns(const struct thread *t);
uint64_t process_cpu_ns(struct process *p);

/* Starts a thread of the library OS itself, in no program: for services. returns: 0; -EAGAIN, -ENOMEM. */
MUST_CHECK int thread_start_kernel(void (*fn)(void *arg), void *arg, const char *name);

#define PROCESSES_MAX 16384u /* of the enclave, zombies too */
/* New process with one reference and nothing in it but limits and names; parent may be NULL, else it is referenced.
 * Not in the table yet, and nobody's child: process_publish. returns: 0; -ENOMEM; -EAGAIN PROCESSES_MAX. */
MUST_CHECK int process_new(struct process *parent, struct process **ret);
/* New thread of p with one reference, listed in p and in the table. as_leader: its tid is the pid.
 * returns: 0; -ENOMEM; -EAGAIN the limit of threads. */
MUST_CHECK int thread_new(struct process *p, bool as_leader, struct thread **ret);
/* Takes the family lock. */
void process_publish(struct process *p);
/* Takes p off the table, under the family lock; the caller drops the table's reference when it has given that up. */
void process_unpublish(struct process *p);
/* Takes t off the table and off its process; drops the table's reference. */
void thread_remove(struct thread *t);
/* Gives t, the only thread of its process, the process's id as its tid (execve). */
void thread_become_leader(struct thread *t);
/* Asks every other thread of the calling process to end, and waits until they have. */
void process_end_others(void);
unsigned task_thread_count(void);       /* all threads of all programs */
void task_limits(unsigned threads_max); /* sets the limit of threads of all programs */

const char *task_hostname(void);
void task_set_hostname(const char *name);

/* Replaces the program of the calling process and runs it. path (mem_alloc'd) and the strings stay the caller's
 * until it succeeds; then they are freed. Returns only on failure: -errno as execve. */
int process_exec(char *path, struct exec_strings *args, struct exec_strings *env);

/* Ends the calling thread or its whole process. status: wait(2) status word. */
NORETURN void thread_exit(int status);
NORETURN void process_exit(int status);
