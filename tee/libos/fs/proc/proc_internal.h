/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of /proc share. Trusted. */
#pragma once

#include "tee/libos/fs/vfs/pseudo.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/task/task.h"

#define PROC_TICKS 100u /* USER_HZ */
#define NS_PER_SECOND 1000000000ull
#define NS_PER_TICK (NS_PER_SECOND / PROC_TICKS)

extern const struct pseudo_entry proc_pid_entry; /* /proc/PID */
extern const struct pseudo_entry proc_pid_children[], proc_task_children[];
extern const struct pseudo_entry proc_sys_children[], proc_net_children[];

/* A process by key; NULL: gone. The caller owns the reference. */
struct process *proc_process(const struct pseudo_key *k);
/* A decimal number of name_size digits; -1 when it is none. */
int64_t proc_number(const char *name, size_t name_size);

/* proc_pid.c: the `may` of what only some may look at (task/inspect.h). 0; -EACCES; -ESRCH. */
int proc_may_inspect(const struct pseudo_key *k);
int proc_may_read_memory(const struct pseudo_key *k); /* its own memory always, whoever shares it */

/* proc_stat.c */
/* The thread that a key is about: the leader in /proc/PID. A reference, or NULL. */
struct thread *proc_thread(const struct pseudo_key *k);
void proc_name(struct process *p, const struct pseudo_key *k, char ret[TASK_NAME_SIZE]);
int proc_stat_show(struct text *t, const struct pseudo_key *k);
int proc_statm_show(struct text *t, const struct pseudo_key *k);
int proc_status_show(struct text *t, const struct pseudo_key *k);

/* proc_mem.c */
struct mm *proc_mm(struct process *p); /* a reference; NULL: it has ended */
int proc_maps_show(struct text *t, const struct pseudo_key *k);
int proc_smaps_show(struct text *t, const struct pseudo_key *k);
int proc_smaps_rollup_show(struct text *t, const struct pseudo_key *k);
int proc_auxv_show(struct text *t, const struct pseudo_key *k);
int proc_environ_show(struct text *t, const struct pseudo_key *k);
int proc_cmdline_show(struct text *t, const struct pseudo_key *k);

/* proc_self_mem.c */
int proc_mem_may(const struct pseudo_key *k);
int proc_mem_open(const struct pseudo_key *k, struct file *f);

/* proc_fd.c */
MUST_CHECK int proc_fd_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                              struct pseudo_child *ret);
MUST_CHECK int proc_fdinfo_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                                  struct pseudo_child *ret);
MUST_CHECK int
proc_fd_list(const struct pseudo_key *k, uint64_t from,
             bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type), void *arg);
int64_t proc_exe_readlink(const struct pseudo_key *k, char *dst, size_t size);
int proc_exe_follow(const struct pseudo_key *k, struct dentry **ret);
int64_t proc_cwd_readlink(const struct pseudo_key *k, char *dst, size_t size);
int proc_cwd_follow(const struct pseudo_key *k, struct dentry **ret);
int64_t proc_root_readlink(const struct pseudo_key *k, char *dst, size_t size);
int proc_root_follow(const struct pseudo_key *k, struct dentry **ret);

/* proc_mounts.c */
int proc_mounts_show(struct text *t, const struct pseudo_key *k);
int proc_mountinfo_show(struct text *t, const struct pseudo_key *k);

/* proc_socket.c */
int proc_tcp_show(struct text *t, const struct pseudo_key *k);
int proc_tcp6_show(struct text *t, const struct pseudo_key *k);
int proc_udp_show(struct text *t, const struct pseudo_key *k);
int proc_udp6_show(struct text *t, const struct pseudo_key *k);
int proc_udplite_show(struct text *t, const struct pseudo_key *k);
int proc_raw_show(struct text *t, const struct pseudo_key *k);
int proc_unix_show(struct text *t, const struct pseudo_key *k);
int proc_netlink_show(struct text *t, const struct pseudo_key *k);
int proc_sockstat_show(struct text *t, const struct pseudo_key *k);
int proc_sockstat6_show(struct text *t, const struct pseudo_key *k);
int proc_snmp_show(struct text *t, const struct pseudo_key *k);

/* proc_limits.c */
int proc_limits_show(struct text *t, const struct pseudo_key *k);
