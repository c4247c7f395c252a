/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /sys: CPUs, memory, and the enclave's limits as a cgroup of version 2. Trusted.
 */
#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/start.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/pseudo.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/task.h"

#include <linux/errno.h>
#include <linux/magic.h>

static uint32_t g_threads_max; /* of the descriptor; set once at start */

/* ---- CPUs ---- */

static int cpu_range_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    uint32_t count = cpu_count();

    if (count == 1)
        text_print(t, "0\n");
    else
        text_print(t, "0-%u\n", count - 1);
    return 0;
}

static int cpu_none_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "\n");
    return 0;
}

static int kernel_max_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "1023\n");
    return 0;
}

static int cpu_number_show(struct text *t, const struct pseudo_key *k)
{
    text_print(t, "%ld\n", (long)k->number);
    return 0;
}

static int zero_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "0\n");
    return 0;
}

static int one_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "1\n");
    return 0;
}

/* A bit mask in hexadecimal words of 32, most significant first. */
static void mask_print(struct text *t, uint32_t first, uint32_t last)
{
    for (uint32_t word = (cpu_count() + 31) / 32; word-- > 0;) {
        uint32_t bits = 0;

        for (uint32_t i = 0; i < 32; i++)
            if (word * 32 + i >= first && word * 32 + i <= last)
                bits |= 1u << i;
        text_print(t, "%08x%s", bits, word ? "," : "\n");
    }
}

static int own_mask_show(struct text *t, const struct pseudo_key *k)
{
    mask_print(t, (uint32_t)k->number, (uint32_t)k->number);
    return 0;
}

static int all_mask_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    mask_print(t, 0, cpu_count() - 1);
    return 0;
}

#define VALUE(n, fn)                                                                               \
    {                                                                                              \
        .name = n, .mode = S_IFREG | 0444, .show = fn                                              \
    }
#define FOLDER(n, table)                                                                           \
    {                                                                                              \
        .name = n, .mode = S_IFDIR | 0555, .children = table                                       \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct pseudo_entry g_topology[] = {
    VALUE("core_id", cpu_number_show),
    VALUE("physical_package_id", zero_show),
    VALUE("thread_siblings", own_mask_show),
    VALUE("thread_siblings_list", cpu_number_show),
    VALUE("core_cpus", own_mask_show),
    VALUE("core_cpus_list", cpu_number_show),
    VALUE("core_siblings", all_mask_show),
    VALUE("core_siblings_list", cpu_range_show),
    VALUE("package_cpus", all_mask_show),
    VALUE("package_cpus_list", cpu_range_show),
    END,
};

static const struct pseudo_entry g_cpu_children[] = {
    FOLDER("topology", g_topology),
    VALUE("online", one_show),
    END,
};

static const struct pseudo_entry g_cpu = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = g_cpu_children,
};

static int cpu_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                      struct pseudo_child *ret)
{
    int64_t number = 0;

    if (name_size < 4 || name_size > 7 || memcmp(name, "cpu", 3) != 0 ||
        (name[3] == '0' && name_size > 4))
        return -ENOENT;
    for (size_t i = 3; i < name_size; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -ENOENT;
        number = number * 10 + (name[i] - '0');
    }
    if (number >= cpu_count())
        return -ENOENT;
    ret->entry = &g_cpu;
    ret->key = *k;
    ret->key.number = number;
    return 0;
}

static int cpu_list(const struct pseudo_key *k UNUSED, uint64_t from,
                    bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type),
                    void *arg)
{
    char name[16];

    for (; from < cpu_count(); from++) {
        format(name, sizeof name, "cpu%u", (unsigned)from);
        if (!fn(arg, name, from, mode_dirent_type(S_IFDIR)))
            break;
    }
    return 0;
}

static const struct pseudo_entry g_cpus[] = {
    VALUE("online", cpu_range_show),      VALUE("possible", cpu_range_show),
    VALUE("present", cpu_range_show),     VALUE("offline", cpu_none_show),
    VALUE("kernel_max", kernel_max_show), END,
};

static int node_meminfo_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    size_t total = enclave_pages_limit() * 4, used = enclave_pages_used() * 4;

    text_print(t,
               "Node 0 MemTotal:       %8zu kB\nNode 0 MemFree:        %8zu kB\n"
               "Node 0 MemUsed:        %8zu kB\n",
               total, total > used ? total - used : 0, used);
    return 0;
}

static const struct pseudo_entry g_node0[] = {
    VALUE("cpulist", cpu_range_show),
    VALUE("cpumap", all_mask_show),
    VALUE("meminfo", node_meminfo_show),
    END,
};
static const struct pseudo_entry g_node[] = {
    VALUE("online", zero_show),
    VALUE("possible", zero_show),
    VALUE("has_cpu", zero_show),
    FOLDER("node0", g_node0),
    END,
};

static const struct pseudo_entry g_system[] = {
    { .name = "cpu",
      .mode = S_IFDIR | 0555,
      .children = g_cpus,
      .lookup = cpu_lookup,
      .list = cpu_list },
    FOLDER("node", g_node),
    END,
};

/* ---- cgroup version 2: the enclave is the root group ---- */

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

static const struct pseudo_entry g_cgroup[] = {
    VALUE("cgroup.controllers", controllers_show),
    VALUE("cpuset.cpus.effective", cpu_range_show),
    VALUE("cpuset.cpus", cpu_range_show),
    VALUE("cpuset.mems.effective", zero_show),
    VALUE("cpu.max", cpu_max_show),
    VALUE("cpu.weight", cpu_weight_show),
    VALUE("memory.max", memory_max_show),
    VALUE("memory.high", memory_max_show),
    VALUE("memory.current", memory_current_show),
    VALUE("memory.swap.max", zero_show),
    VALUE("memory.swap.current", zero_show),
    VALUE("memory.stat", memory_stat_show),
    VALUE("pids.max", pids_max_show),
    VALUE("pids.current", pids_current_show),
    END,
};

/* ---- the rest ---- */

static int thp_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "always madvise [never]\n");
    return 0;
}

static const struct pseudo_entry g_thp[] = {
    VALUE("enabled", thp_show),
    VALUE("defrag", thp_show),
    VALUE("shmem_enabled", thp_show),
    VALUE("use_zero_page", zero_show),
    END,
};
static const struct pseudo_entry g_mm[] = { FOLDER("transparent_hugepage", g_thp), END };
static const struct pseudo_entry g_empty[] = { END };
static const struct pseudo_entry g_kernel[] = { FOLDER("mm", g_mm), FOLDER("security", g_empty),
                                                END };
static const struct pseudo_entry g_fs[] = { FOLDER("cgroup", g_cgroup), END };
static const struct pseudo_entry g_devices[] = { FOLDER("system", g_system), END };
static const struct pseudo_entry g_class[] = { FOLDER("net", g_empty), END };
static const struct pseudo_entry g_root_children[] = {
    FOLDER("devices", g_devices),
    FOLDER("fs", g_fs),
    FOLDER("kernel", g_kernel),
    FOLDER("class", g_class),
    FOLDER("block", g_empty),
    FOLDER("bus", g_empty),
    END,
};

static const struct pseudo_entry g_root = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = g_root_children,
};

int sysfs_new(const struct start_info *start, struct super **ret)
{
    g_threads_max = start->descriptor->threads_max;
    return pseudo_fs_new("sysfs", SYSFS_MAGIC, &g_root, false, ret);
}
