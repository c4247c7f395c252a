/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID and /proc/PID/task/TID (proc(5)). Trusted. What is said about memory is what the enclave has. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/task/inspect.h"

#include <linux/errno.h>

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

int proc_may_inspect(const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    bool may = p && process_may_inspect(p);

    process_unref(p);
    if (!p)
        return -ESRCH;
    return may ? 0 : -EACCES;
}

int proc_may_read_memory(const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    struct mm *mm = p ? proc_mm(p) : NULL;
    bool is_own = mm && mm == mm_current();

    mm_unref(mm);
    process_unref(p);
    return is_own ? 0 : proc_may_inspect(k);
}

/* ---- strings ---- */

static int comm_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    char name[TASK_NAME_SIZE];

    if (!p)
        return -ESRCH;
    proc_name(p, k, name);
    text_print(t, "%s\n", name);
    process_unref(p);
    return 0;
}

static int comm_store(const struct pseudo_key *k, const char *value, size_t size UNUSED)
{
    struct thread *t = proc_thread(k);

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
    { .name = "maps",                                                                              \
      .mode = S_IFREG | 0444,                                                                      \
      .show = proc_maps_show,                                                                      \
      .may = proc_may_read_memory },                                                               \
        { .name = "smaps",                                                                         \
          .mode = S_IFREG | 0444,                                                                  \
          .show = proc_smaps_show,                                                                 \
          .may = proc_may_read_memory },                                                           \
        { .name = "smaps_rollup",                                                                  \
          .mode = S_IFREG | 0444,                                                                  \
          .show = proc_smaps_rollup_show,                                                          \
          .may = proc_may_read_memory },                                                           \
        { .name = "mem", .mode = S_IFREG | 0600, .open = proc_mem_open, .may = proc_mem_may },     \
        { .name = "auxv",                                                                          \
          .mode = S_IFREG | 0400,                                                                  \
          .show = proc_auxv_show,                                                                  \
          .may = proc_may_read_memory },                                                           \
        { .name = "stat", .mode = S_IFREG | 0444, .show = proc_stat_show },                        \
        { .name = "statm", .mode = S_IFREG | 0444, .show = proc_statm_show },                      \
        { .name = "status", .mode = S_IFREG | 0444, .show = proc_status_show },                    \
        { .name = "cmdline", .mode = S_IFREG | 0444, .show = proc_cmdline_show },                  \
        { .name = "comm", .mode = S_IFREG | 0644, .show = comm_show, .store = comm_store },        \
        { .name = "environ",                                                                       \
          .mode = S_IFREG | 0400,                                                                  \
          .show = proc_environ_show,                                                               \
          .may = proc_may_read_memory },                                                           \
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
          .follow = proc_exe_follow,                                                               \
          .may = proc_may_inspect },                                                               \
        { .name = "cwd",                                                                           \
          .mode = S_IFLNK | 0777,                                                                  \
          .readlink = proc_cwd_readlink,                                                           \
          .follow = proc_cwd_follow,                                                               \
          .may = proc_may_inspect },                                                               \
        { .name = "root",                                                                          \
          .mode = S_IFLNK | 0777,                                                                  \
          .readlink = proc_root_readlink,                                                          \
          .follow = proc_root_follow,                                                              \
          .may = proc_may_inspect },                                                               \
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
