/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve in place. Trusted. The new program is loaded beside the old one, so that a failure leaves the
 * old one as it was; only when both need the same addresses (two non-PIE programs) or memory is short
 * does the old one go first, and a failure then ends the process.
 */
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/elf/elf.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/futex.h"
#include "tee/libos/task/posix_timer.h"
#include "tee/libos/task/rseq.h"
#include "tee/libos/task/strings.h"
#include "tee/libos/task/vfork.h"

#define MAY_EXEC 1u
#define RFLAGS_START 0x202u

/* The program is an existing file that the process may execute; else the reason. */
static int check_file(const char *path)
{
    struct dentry *d;
    struct inode *inode;
    int rc = path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &d);

    if (rc < 0)
        return rc;
    inode = dentry_inode(d);
    if (!inode)
        rc = -ENOENT;
    else if ((inode->mode & 0170000) != 0100000)
        rc = -EACCES;
    else
        rc = inode_permission(inode, MAY_EXEC);
    dentry_unref(d);
    return rc;
}

static int load(const char *path, const struct exec_strings *args, const struct exec_strings *env,
                struct mm **ret_mm, struct exec_result *ret)
{
    struct mm *mm;
    int rc = mm_new(&mm);

    if (rc < 0)
        return rc;
    memset(ret, 0, sizeof *ret);
    rc = exec_load(mm, path, args, env, ret);
    if (rc < 0) {
        mm_unref(mm);
        return rc;
    }
    *ret_mm = mm;
    return 0;
}

/* The arguments as the new program sees them (a script's interpreter stands in front). */
static void keep_cmdline(struct process *p, struct mm *mm, const struct exec_result *r)
{
    size_t size = MIN(r->arg_end - r->arg_start, (size_t)EXEC_STRINGS_SIZE_MAX);
    char *cmdline = mem_alloc(size + 1);

    if (cmdline && user_copy_in_mm(mm, cmdline, r->arg_start, size) < 0)
        size = 0;
    mutex_lock(&p->lock);
    mem_free(p->cmdline);
    p->cmdline = cmdline;
    p->cmdline_size = cmdline ? size : 0;
    mem_free(p->exe_path);
    p->exe_path = r->exe_path;
    p->arg_start = r->arg_start;
    p->arg_end = r->arg_end;
    p->env_start = r->env_start;
    p->env_end = r->env_end;
    mutex_unlock(&p->lock);
}

/* What of the old program does not outlive an exec. The calling thread is the only one. */
static void leave_old_program(struct thread *t)
{
    struct process *p = t->process;

    futex_thread_exit(t);
    process_timers_drop(p, false);
    fd_table_close_on_exec(p->fds);
    t->alt_stack_base = 0;
    t->alt_stack_size = 0;
    t->alt_stack_flags = 0;
    t->restart = NULL;
    rseq_forget(t);
    p->dumpable = 1;
    p->did_exec = true;
    cred_exec(p);
    p->exit_signal = SIGCHLD;
}

static void set_name(struct thread *t, const char *path)
{
    const char *slash = strrchr(path, '/');

    thread_set_name(t, slash ? slash + 1 : path);
}

NORETURN static void start_program(struct thread *t, const struct exec_result *r)
{
    struct regs regs = {
        .rip = r->entry, .rsp = r->stack_pointer, .rflags = RFLAGS_START, .orig_rax = UINT64_MAX
    };

    thread_set_fs_base(0);
    if (__atomic_load_n(&t->attention, __ATOMIC_SEQ_CST))
        signal_handle(&regs, false);
    regs_resume(&regs, true);
}

/* An exec that can neither go on nor go back. */
NORETURN static void die_in_exec(const struct thread *t, int rc)
{
    log_line("%s (process %d) could not be replaced by another program: error %d", t->name,
             t->process->pid, -rc);
    process_exit(SIGKILL);
}

static void replace_mm(struct process *p, struct mm *mm)
{
    struct mm *old;

    mutex_lock(&p->lock);
    old = p->mm;
    p->mm = mm;
    mutex_unlock(&p->lock);
    mm_unref(old);
}

/* Ends the other threads and loads with the old program gone. Failing is the end of the process. */
static int load_alone(const char *path, const struct exec_strings *args,
                      const struct exec_strings *env, struct mm **ret_mm, struct exec_result *ret)
{
    struct thread *t = current();
    int rc;

    process_end_others();
    if (thread_must_die())
        return -ERESTARTSYS;
    futex_thread_exit(t);
    replace_mm(t->process, NULL);
    rc = load(path, args, env, ret_mm, ret);
    if (rc < 0)
        die_in_exec(t, rc);
    return 0;
}

/* Loads beside the old program, else in its place when nobody else uses its memory. */
static int load_somehow(const char *path, const struct exec_strings *args,
                        const struct exec_strings *env, struct mm **ret_mm, struct exec_result *ret)
{
    struct mm *old = mm_current();
    int rc = load(path, args, env, ret_mm, ret);

    if (rc == -EADDRINUSE || (rc == -EEXIST && mm_is_shared(old))) {
        log_line("%s cannot be executed now: it is linked to fixed addresses (non-PIE) that "
                 "another process uses",
                 path);
        return -ENOMEM;
    }
    if ((rc == -ENOMEM || rc == -EEXIST) && old && !mm_is_shared(old))
        rc = load_alone(path, args, env, ret_mm, ret);
    return rc;
}

/* The calling thread becomes the only one of its process, with descriptors and handlers of its own. -ERESTARTSYS: it must
 * die itself. Other errors are fatal. */
static int become_single(struct thread *t)
{
    struct process *p = t->process;
    int rc;

    process_end_others();
    if (thread_must_die())
        return -ERESTARTSYS;
    rc = fd_table_unshare();
    if (rc == 0)
        rc = sig_state_exec(p);
    if (rc < 0)
        die_in_exec(t, rc);
    thread_become_leader(t);
    return 0;
}

int process_exec(char *path, struct exec_strings *args, struct exec_strings *env)
{
    struct thread *t = current();
    struct process *p = t->process;
    struct exec_result result;
    struct mm *mm = NULL;
    int slot = -1, rc = check_file(path);

    if (rc == 0)
        rc = vfork_slot_reserve(t, &slot);
    if (rc < 0)
        return rc;
    rc = load_somehow(path, args, env, &mm, &result);
    if (rc < 0) {
        vfork_slot_drop(slot);
        return rc;
    }
    rc = become_single(t);
    if (rc < 0) {
        vfork_slot_drop(slot);
        mem_free(result.exe_path);
        mm_unref(mm);
        return rc;
    }
    leave_old_program(t);
    keep_cmdline(p, mm, &result);
    set_name(t, path);
    replace_mm(p, mm);
    rc = vfork_release(t, slot);
    if (rc < 0)
        die_in_exec(t, rc);
    strings_done(args);
    strings_done(env);
    mem_free(path);
    start_program(t, &result);
}

/* ---- the calls ---- */

static int64_t exec_user(char *path, uintptr_t argv, uintptr_t envp)
{
    struct string_list args = { 0 }, env = { 0 };
    int rc = string_list_add_user(&args, argv);

    if (rc == 0)
        rc = string_list_add_user(&env, envp);
    if (rc == 0 && args.strings.size + env.strings.size > EXEC_STRINGS_SIZE_MAX)
        rc = -E2BIG;
    if (rc == 0 && args.strings.count == 0)
        rc = string_list_add(&args, "", ""); /* as Linux since 5.18: argc is at least 1 */
    if (rc == 0)
        rc = process_exec(path, &args.strings, &env.strings);
    strings_done(&args.strings);
    strings_done(&env.strings);
    return rc;
}

static int64_t exec_path(uintptr_t path_addr, uintptr_t argv, uintptr_t envp, int dirfd,
                         uint32_t flags)
{
    CLEANUP(mem_freep)
    char *path = mem_alloc(PATH_SIZE_MAX);
    struct dentry *d;
    int64_t rc;

    if (!path)
        return -ENOMEM;
    rc = user_str_in(path, path_addr, PATH_SIZE_MAX);
    if (rc < 0)
        return rc;
    if (!path[0] && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    if (dirfd != AT_FDCWD && path[0] != '/') {
        rc = path_lookup(dirfd, path, LOOKUP_FOLLOW | (path[0] ? 0 : LOOKUP_EMPTY), &d);
        if (rc < 0)
            return rc;
        rc = dentry_path(d, path, PATH_SIZE_MAX);
        dentry_unref(d);
        if (rc < 0)
            return rc;
    }
    rc = exec_user(path, argv, envp);
    return rc;
}

SYSCALL_DEFINE(execve)
{
    return exec_path(a, b, c, AT_FDCWD, 0);
}

SYSCALL_DEFINE(execveat)
{
    if (e & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    return exec_path(b, c, d, (int)a, (uint32_t)e);
}
