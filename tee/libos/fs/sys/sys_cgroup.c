/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /sys/fs/cgroup: the enclave's limits as a cgroup of version 2. The enclave is one group: what a container sees of its own.
 * Trusted.
 */
#include "tee/libos/fs/sys/sys_internal.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/start.h"
#include "tee/libos/task/task.h"

#include <linux/magic.h>

static uint32_t g_threads_max; /* set once at start */

static int memory_max_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "%lu\n", (unsigned long)(enclave_pages_limit() * PAGE_SIZE));
    return 0;
}

static int memory_current_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "%lu\n", (unsigned long)(enclave_pages_used() * PAGE_SIZE));
    return 0;
}

/* As much as all threads were awake: the host's scheduler does not tell more. */
static void cpu_total(struct process *p, void *arg)
{
    *(uint64_t *)arg += process_cpu_ns(p);
}

static int cpu_stat_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    uint64_t total_ns = 0;

    process_each(cpu_total, &total_ns);
    text_print(t,
               "usage_usec %lu\nuser_usec %lu\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\n"
               "throttled_usec 0\n",
               (unsigned long)(total_ns / 1000), (unsigned long)(total_ns / 1000));
    return 0;
}

static int memory_events_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n");
    return 0;
}

static int group_events_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "populated 1\nfrozen 0\n");
    return 0;
}

static int pressure_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                  "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    return 0;
}

static void process_id_add(struct process *p, void *arg)
{
    text_print(arg, "%d\n", p->pid);
}

static int procs_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    process_each(process_id_add, t);
    return 0;
}

static int nothing_show(struct text *t UNUSED, const struct pseudo_key *k UNUSED)
{
    return 0;
}

TEXT_SHOW(max_show, "max")
TEXT_SHOW(type_show, "domain")

static int cpu_max_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "max 100000\n");
    return 0;
}

static int pids_max_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "%u\n", g_threads_max);
    return 0;
}

static int pids_current_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "%u\n", task_thread_count());
    return 0;
}

static int controllers_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "cpuset cpu memory pids\n");
    return 0;
}

static int cpu_weight_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "100\n");
    return 0;
}

static int memory_stat_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "anon %lu\nfile 0\nkernel 0\ninactive_file 0\nactive_file 0\n",
               (unsigned long)(enclave_pages_used() * PAGE_SIZE));
    return 0;
}

static const struct pseudo_entry g_children[] = {
    VALUE("cgroup.controllers", controllers_show),
    VALUE("cgroup.subtree_control", nothing_show),
    VALUE("cgroup.events", group_events_show),
    VALUE("cgroup.type", type_show),
    VALUE("cgroup.procs", procs_show),
    VALUE("cpuset.cpus.effective", sys_cpu_range_show),
    VALUE("cpuset.cpus", sys_cpu_range_show),
    VALUE("cpuset.mems.effective", sys_zero_show),
    VALUE("cpu.max", cpu_max_show),
    VALUE("cpu.weight", cpu_weight_show),
    VALUE("cpu.stat", cpu_stat_show),
    VALUE("cpu.pressure", pressure_show),
    VALUE("io.stat", nothing_show),
    VALUE("io.pressure", pressure_show),
    VALUE("memory.max", memory_max_show),
    VALUE("memory.high", max_show),
    VALUE("memory.low", sys_zero_show),
    VALUE("memory.min", sys_zero_show),
    VALUE("memory.events", memory_events_show),
    VALUE("memory.pressure", pressure_show),
    VALUE("memory.oom.group", sys_zero_show),
    VALUE("memory.current", memory_current_show),
    VALUE("memory.swap.max", sys_zero_show),
    VALUE("memory.swap.current", sys_zero_show),
    VALUE("memory.stat", memory_stat_show),
    VALUE("pids.max", pids_max_show),
    VALUE("pids.current", pids_current_show),
    END,
};

static const struct pseudo_entry g_root = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = g_children,
};

int cgroupfs_new(const struct start_info *start, struct super **ret)
{
    g_threads_max = start->descriptor->threads_max;
    return pseudo_fs_new("cgroup2", CGROUP2_SUPER_MAGIC, &g_root, false, ret);
}
