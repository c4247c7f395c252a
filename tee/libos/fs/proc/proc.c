/* SPDX-License-Identifier: Apache-2.0 */
/* /proc: its top folder and what it says about the whole enclave (proc(5)). Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/task/cpus.h"

#include <linux/errno.h>
#include <linux/magic.h>

/* ---- self ---- */

static int64_t put_number(char *dst, size_t size, const char *fmt, int a, int b)
{
    char text[48];
    int len = format(text, sizeof text, fmt, a, b);

    size = MIN(size, (size_t)len);
    memcpy(dst, text, size);
    return (int64_t)size;
}

static int64_t self_readlink(const struct pseudo_key *k UNUSED, char *dst, size_t size)
{
    return put_number(dst, size, "%d", process_current()->pid, 0);
}

static int64_t thread_self_readlink(const struct pseudo_key *k UNUSED, char *dst, size_t size)
{
    return put_number(dst, size, "%d/task/%d", process_current()->pid, thread_current()->tid);
}

static int64_t self_mounts_readlink(const struct pseudo_key *k UNUSED, char *dst, size_t size)
{
    return put_number(dst, size, "self/mounts", 0, 0);
}

static int64_t self_net_readlink(const struct pseudo_key *k UNUSED, char *dst, size_t size)
{
    return put_number(dst, size, "self/net", 0, 0);
}

/* ---- system ---- */

static int meminfo_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    size_t total = enclave_pages_limit() * 4, used = enclave_pages_used() * 4;
    size_t room = total > used ? total - used : 0;

    text_print(t, "MemTotal:       %8zu kB\nMemFree:        %8zu kB\nMemAvailable:   %8zu kB\n",
               total, room, room);
    text_print(t,
               "Buffers:        %8d kB\nCached:         %8d kB\nSwapCached:     %8d kB\n"
               "SwapTotal:      %8d kB\nSwapFree:       %8d kB\nShmem:          %8d kB\n",
               0, 0, 0, 0, 0, 0);
    text_print(t,
               "CommitLimit:    %8zu kB\nCommitted_AS:   %8zu kB\nHugePages_Total:       0\n"
               "HugePages_Free:        0\nHugepagesize:       2048 kB\n",
               total, used);
    return 0;
}

/* The CPU's brand string (CPUID leaves 80000002h to 80000004h); the host answers, so it is a hint. */
static void cpu_brand(char ret[49])
{
    uint32_t words[12];
    size_t size;

    for (unsigned i = 0; i < 3; i++)
        ocall_cpuid(0x80000002 + i, 0, words + i * 4);
    memcpy(ret, words, 48);
    ret[48] = 0;
    size = strlen(ret);
    for (size_t i = 0; i < size; i++)
        if (ret[i] < ' ' || ret[i] > '~')
            ret[i] = '?';
    while (size > 0 && ret[size - 1] == ' ')
        ret[--size] = 0;
}

struct cpu_facts {
    char vendor[13], brand[49];
    unsigned family, model, stepping;
    uint32_t leaf1[4], leaf7[4];
};

static void cpu_facts_get(struct cpu_facts *f)
{
    uint32_t r[4];

    ocall_cpuid(0, 0, r);
    memcpy(f->vendor, &r[1], 4);
    memcpy(f->vendor + 4, &r[3], 4);
    memcpy(f->vendor + 8, &r[2], 4);
    f->vendor[12] = 0;
    for (unsigned i = 0; i < 12; i++)
        if (f->vendor[i] < ' ' || f->vendor[i] > '~')
            f->vendor[i] = '?';
    ocall_cpuid(1, 0, f->leaf1);
    ocall_cpuid(7, 0, f->leaf7);
    f->stepping = f->leaf1[0] & 15;
    f->family = f->leaf1[0] >> 8 & 15;
    f->model = f->leaf1[0] >> 4 & 15;
    if (f->family == 15)
        f->family += f->leaf1[0] >> 20 & 255;
    if (f->family >= 6)
        f->model |= f->leaf1[0] >> 12 & 0xf0;
    cpu_brand(f->brand);
}

static const struct {
    const char *name;
    uint8_t leaf, word, bit; /* word: 0 EAX to 3 EDX */
} g_flags[] = {
    { "fpu", 1, 3, 0 },       { "tsc", 1, 3, 4 },         { "cx8", 1, 3, 8 },
    { "cmov", 1, 3, 15 },     { "clflush", 1, 3, 19 },    { "mmx", 1, 3, 23 },
    { "fxsr", 1, 3, 24 },     { "sse", 1, 3, 25 },        { "sse2", 1, 3, 26 },
    { "pni", 1, 2, 0 },       { "pclmulqdq", 1, 2, 1 },   { "ssse3", 1, 2, 9 },
    { "fma", 1, 2, 12 },      { "cx16", 1, 2, 13 },       { "sse4_1", 1, 2, 19 },
    { "sse4_2", 1, 2, 20 },   { "movbe", 1, 2, 22 },      { "popcnt", 1, 2, 23 },
    { "aes", 1, 2, 25 },      { "xsave", 1, 2, 26 },      { "avx", 1, 2, 28 },
    { "f16c", 1, 2, 29 },     { "rdrand", 1, 2, 30 },     { "fsgsbase", 7, 1, 0 },
    { "bmi1", 7, 1, 3 },      { "avx2", 7, 1, 5 },        { "bmi2", 7, 1, 8 },
    { "erms", 7, 1, 9 },      { "avx512f", 7, 1, 16 },    { "rdseed", 7, 1, 18 },
    { "adx", 7, 1, 19 },      { "clflushopt", 7, 1, 23 }, { "clwb", 7, 1, 24 },
    { "avx512cd", 7, 1, 28 }, { "sha_ni", 7, 1, 29 },     { "avx512bw", 7, 1, 30 },
    { "avx512vl", 7, 1, 31 },
};

static void show_flags(struct text *t, const struct cpu_facts *f)
{
    text_print(t, "flags\t\t:");
    for (size_t i = 0; i < ARRAY_COUNT(g_flags); i++) {
        const uint32_t *leaf = g_flags[i].leaf == 1 ? f->leaf1 : f->leaf7;

        if ((leaf[g_flags[i].word] >> g_flags[i].bit & 1) != 0)
            text_print(t, " %s", g_flags[i].name);
    }
    text_print(t, " syscall nx lm constant_tsc nonstop_tsc\n");
}

static int cpuinfo_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    struct cpu_facts f;
    uint32_t count = cpu_count();

    cpu_facts_get(&f);
    for (uint32_t i = 0; i < count; i++) {
        text_print(t,
                   "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n"
                   "model name\t: %s\nstepping\t: %u\n",
                   i, f.vendor, f.family, f.model, f.brand, f.stepping);
        text_print(
            t,
            "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\n"
            "fpu\t\t: yes\nfpu_exception\t: yes\nwp\t\t: yes\n",
            count, i, count, i);
        show_flags(t, &f);
        text_print(t, "clflush size\t: 64\ncache_alignment\t: 64\n"
                      "address sizes\t: 48 bits physical, 48 bits virtual\n\n");
    }
    return 0;
}

struct totals {
    uint64_t cpu_ns;
    unsigned processes, threads, running;
};

static void total_one(struct process *p, void *arg)
{
    struct totals *s = arg;

    s->processes++;
    s->threads += p->thread_count;
    if (!p->zombie)
        s->running++;
}

static int stat_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    struct totals s = { 0 };
    uint32_t count = cpu_count();
    uint64_t up = clock_monotonic_ns(), real = clock_realtime_ns();
    unsigned long user = (unsigned long)(process_cpu_ns(process_current()) / NS_PER_TICK);
    unsigned long total = (unsigned long)(up / NS_PER_TICK) * count;

    process_each(total_one, &s);
    text_print(t, "cpu  %lu 0 0 %lu 0 0 0 0 0 0\n", user, total > user ? total - user : 0);
    for (uint32_t i = 0; i < count; i++)
        text_print(t, "cpu%u %lu 0 0 %lu 0 0 0 0 0 0\n", i, user / count,
                   (total > user ? total - user : 0) / count);
    text_print(t, "intr 0\nctxt 0\nbtime %lu\nprocesses %u\nprocs_running %u\nprocs_blocked 0\n",
               (unsigned long)((real > up ? real - up : 0) / NS_PER_SECOND), s.processes,
               s.running);
    return 0;
}

static int uptime_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    uint64_t hundredths = clock_boottime_ns() / (NS_PER_SECOND / 100);

    text_print(t, "%lu.%02lu 0.00\n", (unsigned long)(hundredths / 100),
               (unsigned long)(hundredths % 100));
    return 0;
}

static int loadavg_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    struct totals s = { 0 };

    process_each(total_one, &s);
    text_print(t, "0.00 0.00 0.00 1/%u %d\n", s.threads, process_current()->pid);
    return 0;
}

static int version_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "Linux version 6.1.0-cloche (cloche library OS) #1 SMP\n");
    return 0;
}

static int filesystems_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\nnodev"
                  "\toverlay\n\terofs\n");
    return 0;
}

static int cmdline_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "\n");
    return 0;
}

static int swaps_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return 0;
}

static int devices_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n");
    return 0;
}

/* Version 2 alone: every controller is in hierarchy 0. */
static int cgroups_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    static const char *const names[] = { "cpuset", "cpu", "cpuacct", "memory", "pids" };

    text_print(t, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        text_print(t, "%s\t0\t1\t1\n", names[i]);
    return 0;
}

/* There are no disks, and nothing is paged in or out. */
static int diskstats_show(struct text *t UNUSED, const struct pseudo_key *k UNUSED)
{
    return 0;
}

static int partitions_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "major minor  #blocks  name\n\n");
    return 0;
}

static int vmstat_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    size_t total = enclave_pages_limit(), used = enclave_pages_used();

    text_print(t,
               "nr_free_pages %zu\nnr_anon_pages %zu\nnr_file_pages 0\nnr_dirty 0\n"
               "nr_writeback 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\n"
               "pgmajfault 0\noom_kill 0\n",
               total > used ? total - used : 0, used);
    return 0;
}

/* ---- processes ---- */

static int pid_lookup(const struct pseudo_key *k UNUSED, const char *name, size_t name_size,
                      struct pseudo_child *ret)
{
    int64_t pid = proc_number(name, name_size);
    struct process *p = pid > 0 ? process_find((int32_t)pid) : NULL;

    if (!p)
        return -ENOENT;
    process_unref(p);
    ret->entry = &proc_pid_entry;
    ret->key = (struct pseudo_key){ .pid = (int32_t)pid };
    return 0;
}

struct next_arg {
    uint64_t from;
    int32_t found;
};

static void next_one(struct process *p, void *arg)
{
    struct next_arg *a = arg;

    if ((uint64_t)p->pid >= a->from && (a->found == 0 || p->pid < a->found))
        a->found = p->pid;
}

static int pid_list(const struct pseudo_key *k UNUSED, uint64_t from,
                    bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type),
                    void *arg)
{
    char name[16];

    for (;;) {
        struct next_arg a = { .from = from };

        process_each(next_one, &a);
        if (a.found == 0)
            return 0;
        format(name, sizeof name, "%d", a.found);
        if (!fn(arg, name, (uint64_t)a.found, mode_dirent_type(S_IFDIR)))
            return 0;
        from = (uint64_t)a.found + 1;
    }
}

static const struct pseudo_entry g_root_children[] = {
    { .name = "self", .mode = S_IFLNK | 0777, .readlink = self_readlink },
    { .name = "thread-self", .mode = S_IFLNK | 0777, .readlink = thread_self_readlink },
    { .name = "mounts", .mode = S_IFLNK | 0777, .readlink = self_mounts_readlink },
    { .name = "net", .mode = S_IFLNK | 0777, .readlink = self_net_readlink },
    { .name = "meminfo", .mode = S_IFREG | 0444, .show = meminfo_show },
    { .name = "cpuinfo", .mode = S_IFREG | 0444, .show = cpuinfo_show },
    { .name = "stat", .mode = S_IFREG | 0444, .show = stat_show },
    { .name = "uptime", .mode = S_IFREG | 0444, .show = uptime_show },
    { .name = "loadavg", .mode = S_IFREG | 0444, .show = loadavg_show },
    { .name = "version", .mode = S_IFREG | 0444, .show = version_show },
    { .name = "filesystems", .mode = S_IFREG | 0444, .show = filesystems_show },
    { .name = "cmdline", .mode = S_IFREG | 0444, .show = cmdline_show },
    { .name = "cgroups", .mode = S_IFREG | 0444, .show = cgroups_show },
    { .name = "diskstats", .mode = S_IFREG | 0444, .show = diskstats_show },
    { .name = "partitions", .mode = S_IFREG | 0444, .show = partitions_show },
    { .name = "vmstat", .mode = S_IFREG | 0444, .show = vmstat_show },
    { .name = "swaps", .mode = S_IFREG | 0444, .show = swaps_show },
    { .name = "devices", .mode = S_IFREG | 0444, .show = devices_show },
    { .name = "sys", .mode = S_IFDIR | 0555, .children = proc_sys_children },
    { .name = NULL },
};

static const struct pseudo_entry g_root = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = g_root_children,
    .lookup = pid_lookup,
    .list = pid_list,
};

int procfs_new(struct super **ret)
{
    return pseudo_fs_new("proc", PROC_SUPER_MAGIC, &g_root, true, ret);
}
