/* SPDX-License-Identifier: Apache-2.0 */
/* /sys/devices/system: CPUs, their caches, and the one memory node. Trusted. */
#include "tee/libos/fs/sys/sys_internal.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/rseq.h"

#include <linux/errno.h>

static int cpu_none_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "\n");
    return 0;
}

TEXT_SHOW(smt_control_show, "notsupported")
TEXT_SHOW(distance_show, "10")

/* Numbers that rseq may give, besides those that run. */
static int possible_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, rseq_cpu_limit() > 1 ? "0-%u\n" : "%u\n", rseq_cpu_limit() - 1);
    return 0;
}

static int offline_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    if (rseq_cpu_limit() == cpu_count())
        text_print(t, "\n");
    else if (rseq_cpu_limit() == cpu_count() + 1)
        text_print(t, "%u\n", cpu_count());
    else
        text_print(t, "%u-%u\n", cpu_count(), rseq_cpu_limit() - 1);
    return 0;
}

static int kernel_max_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "4095\n");
    return 0;
}

static int cpu_number_show(struct text *t, const struct pseudo_key *k)
{
    text_print(t, "%ld\n", (long)k->number);
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

/* ---- caches, as CPUID shows them ---- */

#define CACHES_MAX 8

/* CPUID 4, or 8000001Dh on AMD's: both have this layout. Whatever the host says, the fields stay in their bounds. */
struct cache {
    uint32_t type, level, line_size, partitions, ways, sets, sharing;
};

static uint32_t cache_leaf(void)
{
    uint32_t r[4];

    ocall_cpuid(0, 0, r);
    return r[1] == 0x68747541 ? 0x8000001d : 4; /* "Auth"enticAMD */
}

static bool cache_get(int64_t index, struct cache *ret)
{
    uint32_t r[4];

    if (index < 0 || index >= CACHES_MAX)
        return false;
    ocall_cpuid(cache_leaf(), (uint32_t)index, r);
    *ret = (struct cache){
        .type = r[0] & 31,
        .level = r[0] >> 5 & 7,
        .sharing = MIN((r[0] >> 14 & 0xfff) + 1, cpu_count()),
        .line_size = (r[1] & 0xfff) + 1,
        .partitions = (r[1] >> 12 & 0x3ff) + 1,
        .ways = (r[1] >> 22 & 0x3ff) + 1,
        .sets = (r[2] & 0xffffff) + 1,
    };
    return ret->type >= 1 && ret->type <= 3;
}

#define CACHE_SHOW(function, ...)                                                                  \
    static int function(struct text *t, const struct pseudo_key *k)                                \
    {                                                                                              \
        struct cache c;                                                                            \
                                                                                                   \
        if (!cache_get(k->tid, &c))                                                                \
            return -ENOENT;                                                                        \
        text_print(t, __VA_ARGS__);                                                                \
        return 0;                                                                                  \
    }

static const char *const g_cache_types[] = { "", "Data", "Instruction", "Unified" };

CACHE_SHOW(cache_level_show, "%u\n", c.level)
CACHE_SHOW(cache_type_show, "%s\n", g_cache_types[c.type])
CACHE_SHOW(cache_line_show, "%u\n", c.line_size)
CACHE_SHOW(cache_partition_show, "%u\n", c.partitions)
CACHE_SHOW(cache_ways_show, "%u\n", c.ways)
CACHE_SHOW(cache_sets_show, "%u\n", c.sets)
CACHE_SHOW(cache_size_show, "%luK\n",
           (unsigned long)((uint64_t)c.line_size *c.partitions *c.ways *c.sets / 1024))

static void cache_cpus(const struct pseudo_key *k, const struct cache *c, uint32_t *ret_first,
                       uint32_t *ret_last)
{
    *ret_first = (uint32_t)k->number / c->sharing * c->sharing;
    *ret_last = MIN(*ret_first + c->sharing, cpu_count()) - 1;
}

static int cache_shared_map_show(struct text *t, const struct pseudo_key *k)
{
    uint32_t first, last;
    struct cache c;

    if (!cache_get(k->tid, &c))
        return -ENOENT;
    cache_cpus(k, &c, &first, &last);
    mask_print(t, first, last);
    return 0;
}

static int cache_shared_list_show(struct text *t, const struct pseudo_key *k)
{
    uint32_t first, last;
    struct cache c;

    if (!cache_get(k->tid, &c))
        return -ENOENT;
    cache_cpus(k, &c, &first, &last);
    text_print(t, first == last ? "%u\n" : "%u-%u\n", first, last);
    return 0;
}

static const struct pseudo_entry g_cache_children[] = {
    VALUE("level", cache_level_show),
    VALUE("type", cache_type_show),
    VALUE("size", cache_size_show),
    VALUE("coherency_line_size", cache_line_show),
    VALUE("physical_line_partition", cache_partition_show),
    VALUE("ways_of_associativity", cache_ways_show),
    VALUE("number_of_sets", cache_sets_show),
    VALUE("shared_cpu_map", cache_shared_map_show),
    VALUE("shared_cpu_list", cache_shared_list_show),
    END,
};

static const struct pseudo_entry g_cache = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = g_cache_children,
};

static int cache_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                        struct pseudo_child *ret)
{
    struct cache c;

    if (name_size != 6 || memcmp(name, "index", 5) != 0 || !cache_get(name[5] - '0', &c))
        return -ENOENT;
    ret->entry = &g_cache;
    ret->key = *k;
    ret->key.tid = name[5] - '0';
    return 0;
}

static int cache_list(const struct pseudo_key *k UNUSED, uint64_t from,
                      bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type),
                      void *arg)
{
    struct cache c;
    char name[16];

    for (; from < CACHES_MAX && cache_get((int64_t)from, &c); from++) {
        format(name, sizeof name, "index%u", (unsigned)from);
        if (!fn(arg, name, from, mode_dirent_type(S_IFDIR)))
            break;
    }
    return 0;
}

/* ---- CPUs ---- */

static const struct pseudo_entry g_topology[] = {
    VALUE("core_id", cpu_number_show),
    VALUE("physical_package_id", sys_zero_show),
    VALUE("die_id", sys_zero_show),
    VALUE("thread_siblings", own_mask_show),
    VALUE("thread_siblings_list", cpu_number_show),
    VALUE("core_cpus", own_mask_show),
    VALUE("core_cpus_list", cpu_number_show),
    VALUE("core_siblings", all_mask_show),
    VALUE("core_siblings_list", sys_cpu_range_show),
    VALUE("package_cpus", all_mask_show),
    VALUE("package_cpus_list", sys_cpu_range_show),
    END,
};

static const struct pseudo_entry g_cpu_children[] = {
    FOLDER("topology", g_topology),
    { .name = "cache", .mode = S_IFDIR | 0555, .lookup = cache_lookup, .list = cache_list },
    VALUE("online", sys_one_show),
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

static const struct pseudo_entry g_smt[] = { VALUE("active", sys_zero_show),
                                             VALUE("control", smt_control_show), END };

static const struct pseudo_entry g_cpus[] = {
    VALUE("online", sys_cpu_range_show),
    VALUE("possible", possible_show),
    VALUE("present", sys_cpu_range_show),
    VALUE("offline", offline_show),
    VALUE("isolated", cpu_none_show),
    VALUE("nohz_full", cpu_none_show),
    VALUE("kernel_max", kernel_max_show),
    FOLDER("smt", g_smt),
    END,
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

static int numastat_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    size_t used = enclave_pages_used();

    text_print(t,
               "numa_hit %zu\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node %zu\n"
               "other_node 0\n",
               used, used);
    return 0;
}

static const struct pseudo_entry g_node0[] = {
    VALUE("cpulist", sys_cpu_range_show), VALUE("cpumap", all_mask_show),
    VALUE("meminfo", node_meminfo_show),  VALUE("distance", distance_show),
    VALUE("numastat", numastat_show),     END,
};
static const struct pseudo_entry g_node[] = {
    VALUE("online", sys_zero_show),
    VALUE("possible", sys_zero_show),
    VALUE("has_cpu", sys_zero_show),
    VALUE("has_memory", sys_zero_show),
    VALUE("has_normal_memory", sys_zero_show),
    FOLDER("node0", g_node0),
    END,
};

const struct pseudo_entry sys_system_children[] = {
    { .name = "cpu",
      .mode = S_IFDIR | 0555,
      .children = g_cpus,
      .lookup = cpu_lookup,
      .list = cpu_list },
    FOLDER("node", g_node),
    END,
};
