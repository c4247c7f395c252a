/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID and /proc/PID/task/TID (proc(5)). Trusted. What is said about memory is what the enclave has. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/process.h"

#include <linux/mman.h>
#include <linux/errno.h>
#include <linux/resource.h>

#define ENVIRON_SIZE_MAX (2u * 1024 * 1024)

struct process *proc_process(const struct pseudo_key *k)
{
    return process_find(k->pid);
}

int64_t proc_number(const char *name, size_t name_size)
{
    int64_t number = 0;

    if (name_size == 0 || name_size > 9 || (name[0] == '0' && name_size > 1))
        return -1;
    for (size_t i = 0; i < name_size; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -1;
        number = number * 10 + (name[i] - '0');
    }
    return number;
}

/* ---- maps ---- */

struct maps_arg {
    struct text *text;
    char *path; /* PATH_SIZE_MAX bytes */
};

static int maps_one(const struct mm_area_info *a, void *arg)
{
    struct maps_arg *m = arg;
    struct inode_attr attr = { 0 };
    const char *name = a->name ? a->name : "";
    size_t start = m->text->used;

    if (a->file) {
        if (a->file->inode)
            (void)!inode_get_attr(a->file->inode, &attr);
        if (a->file->dentry && dentry_path(a->file->dentry, m->path, PATH_SIZE_MAX) >= 0)
            name = m->path;
        else if (a->file->anon_name)
            name = a->file->anon_name;
    }
    text_print(m->text, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)a->start,
               (unsigned long)a->end, (a->prot & PROT_READ) != 0 ? 'r' : '-',
               (a->prot & PROT_WRITE) != 0 ? 'w' : '-', (a->prot & PROT_EXEC) != 0 ? 'x' : '-',
               (a->flags & MAP_SHARED) != 0 ? 's' : 'p', (unsigned long)(a->file ? a->off : 0),
               (unsigned)(attr.dev >> 8 & 0xfff), (unsigned)(attr.dev & 0xff),
               (unsigned long)attr.ino);
    while (name[0] && !m->text->failed && m->text->used - start < 73)
        text_add(m->text, " ", 1);
    text_print(m->text, "%s\n", name);
    return 0;
}

static struct mm *mm_of(struct process *p)
{
    struct mm *mm;

    mutex_lock(&p->lock);
    mm = p->zombie ? NULL : p->mm;
    if (mm)
        mm_ref(mm);
    mutex_unlock(&p->lock);
    return mm;
}

static int maps_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    struct maps_arg a = { .text = t, .path = mem_alloc(PATH_SIZE_MAX) };
    struct mm *mm;
    int rc = 0;

    if (!p || !a.path) {
        rc = p ? -ENOMEM : -ESRCH;
    } else {
        mm = mm_of(p);
        if (mm) {
            rc = mm_area_each(mm, maps_one, &a);
            mm_unref(mm);
        }
    }
    mem_free(a.path);
    if (p)
        process_unref(p);
    return rc;
}

/* ---- numbers ---- */

static void stats_of(struct process *p, struct mm_stats *ret)
{
    struct mm *mm = mm_of(p);

    *ret = (struct mm_stats){ 0 };
    if (mm) {
        mm_stats(mm, ret);
        mm_unref(mm);
    }
}

static int statm_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    struct mm_stats s;

    if (!p)
        return -ESRCH;
    stats_of(p, &s);
    text_print(t, "%zu %zu %zu %zu 0 %zu 0\n", s.total_pages, s.resident_pages, s.shared_pages,
               s.text_pages, s.data_pages);
    process_unref(p);
    return 0;
}

/* The thread that a key is about: the leader in /proc/PID. A reference, or NULL. */
static struct thread *thread_of(const struct pseudo_key *k)
{
    return thread_find(k->tid ? k->tid : k->pid);
}

static void name_of(struct process *p, const struct pseudo_key *k, char ret[TASK_NAME_SIZE])
{
    struct thread *t = thread_of(k);

    memset(ret, 0, TASK_NAME_SIZE);
    if (t) {
        memcpy(ret, t->name, TASK_NAME_SIZE - 1);
        thread_unref(t);
    } else if (p->threads) {
        memcpy(ret, p->threads->name, TASK_NAME_SIZE - 1);
    }
}

static char state_of(struct process *p, const struct pseudo_key *k)
{
    struct thread *t = thread_of(k);
    char state = 'S';

    if (p->zombie)
        state = 'Z';
    else if (p->stopped)
        state = 'T';
    else if (t && (t == thread_current() || __atomic_load_n(&t->parked, __ATOMIC_RELAXED) == 0))
        state = 'R';
    if (t)
        thread_unref(t);
    return state;
}

static int stat_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    struct thread *thread = k->tid ? thread_of(k) : NULL;
    char name[TASK_NAME_SIZE];
    struct mm_stats s;
    uint64_t cpu;

    if (!p || (k->tid && !thread)) {
        if (p)
            process_unref(p);
        return -ESRCH;
    }
    stats_of(p, &s);
    name_of(p, k, name);
    cpu = (thread ? thread_cpu_ns(thread) : process_cpu_ns(p)) / NS_PER_TICK;
    text_print(t, "%d (%s) %c %d %d %d 0 -1 4194304 0 0 0 0 %lu 0 0 0 20 0 %u 0 %lu %lu %zu %lu ",
               k->tid ? k->tid : k->pid, name, state_of(p, k), p->parent ? p->parent->pid : 0,
               p->pgid, p->sid, (unsigned long)cpu, p->thread_count,
               (unsigned long)(p->start_ns / NS_PER_TICK),
               (unsigned long)(s.total_pages * PAGE_SIZE), s.resident_pages,
               (unsigned long)p->limits[RLIMIT_RSS].current);
    text_print(t, "0 0 %lu 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 %lu %lu %lu %lu %lu %d\n",
               (unsigned long)s.stack_start, (unsigned long)s.brk_start,
               (unsigned long)p->arg_start, (unsigned long)p->arg_end, (unsigned long)p->env_start,
               (unsigned long)p->env_end, p->exit_code);
    if (thread)
        thread_unref(thread);
    process_unref(p);
    return 0;
}

static const char *state_text(char state)
{
    switch (state) {
    case 'R':
        return "R (running)";
    case 'Z':
        return "Z (zombie)";
    case 'T':
        return "T (stopped)";
    default:
        return "S (sleeping)";
    }
}

static void show_cred(struct text *t, const struct cred *c)
{
    text_print(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t256\nGroups:\t", c->ruid,
               c->euid, c->suid, c->fsuid, c->rgid, c->egid, c->sgid, c->fsgid);
    for (uint32_t i = 0; i < c->group_count; i++)
        text_print(t, "%u ", c->groups[i]);
    text_print(t, "\n");
}

static void show_memory(struct text *t, struct process *p)
{
    struct mm_stats s;

    stats_of(p, &s);
    text_print(t, "VmPeak:\t%8zu kB\nVmSize:\t%8zu kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\n",
               s.total_pages * 4, s.total_pages * 4);
    text_print(t, "VmHWM:\t%8zu kB\nVmRSS:\t%8zu kB\nRssAnon:\t%8zu kB\nRssFile:\t%8zu kB\n",
               s.resident_pages * 4, s.resident_pages * 4, s.resident_pages * 4, (size_t)0);
    text_print(t, "RssShmem:\t%8zu kB\nVmData:\t%8zu kB\nVmStk:\t%8zu kB\nVmExe:\t%8zu kB\n",
               s.shared_pages * 4, s.data_pages * 4, s.stack_pages * 4, s.text_pages * 4);
    text_print(t, "VmLib:\t       0 kB\nVmPTE:\t       0 kB\nVmSwap:\t       0 kB\n");
}

static void show_cpus(struct text *t)
{
    uint32_t count = cpu_count();

    text_print(t, "Cpus_allowed:\t");
    for (uint32_t words = (count + 31) / 32; words-- > 0;) {
        uint32_t bits = MIN(count - words * 32, 32u);

        text_print(t, "%08x%s", bits == 32 ? UINT32_MAX : (1u << bits) - 1, words ? "," : "\n");
    }
    text_print(t, "Cpus_allowed_list:\t0-%u\n", count - 1);
}

static int status_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    struct thread *thread;
    char name[TASK_NAME_SIZE];

    if (!p)
        return -ESRCH;
    name_of(p, k, name);
    text_print(t, "Name:\t%s\nUmask:\t0%u%u%u\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n", name,
               p->umask >> 6 & 7, p->umask >> 3 & 7, p->umask & 7, state_text(state_of(p, k)),
               p->pid, k->tid ? k->tid : p->pid);
    text_print(t, "PPid:\t%d\nTracerPid:\t0\n", p->parent ? p->parent->pid : 0);
    show_cred(t, p->cred);
    text_print(t, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", p->pid,
               k->tid ? k->tid : p->pid, p->pgid, p->sid);
    show_memory(t, p);
    text_print(t, "CoreDumping:\t0\nTHP_enabled:\t0\nThreads:\t%u\nSigQ:\t0/%lu\n", p->thread_count,
               (unsigned long)p->limits[RLIMIT_SIGPENDING].current);
    thread = thread_of(k);
    text_print(
        t, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
        0ul, 0ul, (unsigned long)(thread ? thread->sig_mask : 0), 0ul, 0ul);
    if (thread)
        thread_unref(thread);
    text_print(
        t, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n",
        (unsigned long)p->cred->cap_inheritable, (unsigned long)p->cred->cap_permitted,
        (unsigned long)p->cred->cap_effective, (unsigned long)p->cred->cap_permitted, 0ul);
    text_print(t, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", p->no_new_privs ? 1 : 0);
    show_cpus(t);
    text_print(t, "Mems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\n"
                  "nonvoluntary_ctxt_switches:\t0\n");
    process_unref(p);
    return 0;
}

/* ---- strings ---- */

static int cmdline_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);

    if (!p)
        return -ESRCH;
    mutex_lock(&p->lock);
    if (p->cmdline && !p->zombie)
        text_add(t, p->cmdline, p->cmdline_size);
    mutex_unlock(&p->lock);
    process_unref(p);
    return 0;
}

static int environ_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    size_t size;
    char *bytes;
    int rc = 0;

    if (!p)
        return -ESRCH;
    size = p->env_end > p->env_start ? MIN(p->env_end - p->env_start, ENVIRON_SIZE_MAX) : 0;
    bytes = size ? mem_alloc(size) : NULL;
    if (bytes) {
        rc = user_copy_in(bytes, p->env_start, size);
        if (rc == 0)
            text_add(t, bytes, size);
        mem_free(bytes);
    }
    process_unref(p);
    return rc < 0 ? -EIO : 0;
}

static int comm_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    char name[TASK_NAME_SIZE];

    if (!p)
        return -ESRCH;
    name_of(p, k, name);
    text_print(t, "%s\n", name);
    process_unref(p);
    return 0;
}

static int comm_store(const struct pseudo_key *k, const char *value, size_t size UNUSED)
{
    struct thread *t = thread_of(k);

    if (!t)
        return -ESRCH;
    if (t->process != process_current()) {
        thread_unref(t);
        return -EINVAL;
    }
    thread_set_name(t, value);
    thread_unref(t);
    return 0;
}

static int cgroup_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "0::/\n");
    return 0;
}

static int oom_score_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "0\n");
    return 0;
}

static int oom_score_adj_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);

    if (!p)
        return -ESRCH;
    text_print(t, "%d\n", p->oom_score_adj);
    process_unref(p);
    return 0;
}

static int oom_score_adj_store(const struct pseudo_key *k, const char *value, size_t size)
{
    bool negative = size > 0 && value[0] == '-';
    int64_t number = proc_number(value + negative, size - negative);
    struct process *p;

    if (number < 0 || number > 1000)
        return -EINVAL;
    p = proc_process(k);
    if (!p)
        return -ESRCH;
    p->oom_score_adj = negative ? -(int)number : (int)number;
    process_unref(p);
    return 0;
}

static int id_map_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "         0          0 4294967295\n");
    return 0;
}

static int loginuid_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "4294967295");
    return 0;
}

static int zero_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "0");
    return 0;
}

static int personality_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);

    if (!p)
        return -ESRCH;
    text_print(t, "%08x\n", p->personality);
    process_unref(p);
    return 0;
}

/* ---- task ---- */

static const struct pseudo_entry g_task_entry = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = proc_task_children,
};

static int task_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                       struct pseudo_child *ret)
{
    int64_t tid = proc_number(name, name_size);
    struct thread *t = tid > 0 ? thread_find((int32_t)tid) : NULL;
    bool mine = t && t->process->pid == k->pid;

    if (t)
        thread_unref(t);
    if (!mine)
        return -ENOENT;
    ret->entry = &g_task_entry;
    ret->key = *k;
    ret->key.tid = (int32_t)tid;
    return 0;
}

/* The smallest tid >= from of the process; 0: none. */
static int32_t next_tid(struct process *p, uint64_t from)
{
    int32_t found = 0;

    mutex_lock(&p->lock);
    for (struct thread *t = p->threads; t; t = t->next)
        if ((uint64_t)t->tid >= from && (found == 0 || t->tid < found))
            found = t->tid;
    mutex_unlock(&p->lock);
    return found;
}

static int task_list(const struct pseudo_key *k, uint64_t from,
                     bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type),
                     void *arg)
{
    struct process *p = proc_process(k);
    char name[16];
    int32_t tid;

    if (!p)
        return -ENOENT;
    while ((tid = next_tid(p, from)) != 0) {
        format(name, sizeof name, "%d", tid);
        if (!fn(arg, name, (uint64_t)tid, mode_dirent_type(S_IFDIR)))
            break;
        from = (uint64_t)tid + 1;
    }
    process_unref(p);
    return 0;
}

#define COMMON_ENTRIES                                                                             \
    { .name = "maps", .mode = S_IFREG | 0444, .show = maps_show },                                 \
        { .name = "stat", .mode = S_IFREG | 0444, .show = stat_show },                             \
        { .name = "statm", .mode = S_IFREG | 0444, .show = statm_show },                           \
        { .name = "status", .mode = S_IFREG | 0444, .show = status_show },                         \
        { .name = "cmdline", .mode = S_IFREG | 0444, .show = cmdline_show },                       \
        { .name = "comm", .mode = S_IFREG | 0644, .show = comm_show, .store = comm_store },        \
        { .name = "environ", .mode = S_IFREG | 0400, .show = environ_show },                       \
        { .name = "limits", .mode = S_IFREG | 0444, .show = proc_limits_show },                    \
        { .name = "mounts", .mode = S_IFREG | 0444, .show = proc_mounts_show },                    \
        { .name = "mountinfo", .mode = S_IFREG | 0444, .show = proc_mountinfo_show },              \
        { .name = "cgroup", .mode = S_IFREG | 0444, .show = cgroup_show },                         \
        { .name = "oom_score", .mode = S_IFREG | 0444, .show = oom_score_show },                   \
        { .name = "oom_score_adj",                                                                 \
          .mode = S_IFREG | 0644,                                                                  \
          .show = oom_score_adj_show,                                                              \
          .store = oom_score_adj_store },                                                          \
        { .name = "personality", .mode = S_IFREG | 0444, .show = personality_show },               \
        { .name = "wchan", .mode = S_IFREG | 0444, .show = zero_show },                            \
        { .name = "loginuid", .mode = S_IFREG | 0444, .show = loginuid_show },                     \
        { .name = "uid_map", .mode = S_IFREG | 0444, .show = id_map_show },                        \
        { .name = "gid_map", .mode = S_IFREG | 0444, .show = id_map_show },                        \
        { .name = "exe",                                                                           \
          .mode = S_IFLNK | 0777,                                                                  \
          .readlink = proc_exe_readlink,                                                           \
          .follow = proc_exe_follow },                                                             \
        { .name = "cwd",                                                                           \
          .mode = S_IFLNK | 0777,                                                                  \
          .readlink = proc_cwd_readlink,                                                           \
          .follow = proc_cwd_follow },                                                             \
        { .name = "root",                                                                          \
          .mode = S_IFLNK | 0777,                                                                  \
          .readlink = proc_root_readlink,                                                          \
          .follow = proc_root_follow },                                                            \
        { .name = "net", .mode = S_IFDIR | 0555, .children = proc_net_children },                  \
        { .name = "fd", .mode = S_IFDIR | 0500, .lookup = proc_fd_lookup, .list = proc_fd_list },  \
    {                                                                                              \
        .name = "fdinfo", .mode = S_IFDIR | 0555, .lookup = proc_fdinfo_lookup,                    \
        .list = proc_fd_list                                                                       \
    }

const struct pseudo_entry proc_task_children[] = { COMMON_ENTRIES, { .name = NULL } };

const struct pseudo_entry proc_pid_children[] = {
    COMMON_ENTRIES,
    { .name = "task", .mode = S_IFDIR | 0555, .lookup = task_lookup, .list = task_list },
    { .name = NULL },
};

const struct pseudo_entry proc_pid_entry = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = proc_pid_children,
};

struct process *proc_folder_process(struct file *f)
{
    struct pseudo_key key;

    if (!f->inode || pseudo_entry_of(f->inode, &key) != &proc_pid_entry)
        return NULL;
    return process_find(key.pid);
}
