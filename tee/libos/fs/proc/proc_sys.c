/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sys: the settings that programs read. Trusted. None can be changed but the host name. */
#include "tee/enclave/log.h"
#include "tee/enclave/random.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/fs/vfs/pseudo_table.h"

#include <linux/errno.h>
#include <linux/capability.h>

static int hostname_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "%s\n", task_hostname());
    return 0;
}

static int hostname_store(const struct pseudo_key *k UNUSED, const char *value, size_t size)
{
    if ((process_cred()->cap_effective & 1ull << CAP_SYS_ADMIN) == 0)
        return -EPERM;
    if (size > 64)
        return -EINVAL;
    task_set_hostname(value);
    return 0;
}

static void uuid_print(struct text *t, const uint8_t b[16])
{
    for (int i = 0; i < 16; i++)
        text_print(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    text_add(t, "\n", 1);
}

static int uuid_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    uint8_t bytes[16];

    random_bytes(bytes, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    uuid_print(t, bytes);
    return 0;
}

static int boot_id_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    static uint8_t id[16];
    static uint32_t made;
    static struct mutex lock; /* guards both */

    mutex_lock(&lock);
    if (!made) {
        random_bytes(id, sizeof id);
        id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
        id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
        made = 1;
    }
    mutex_unlock(&lock);
    uuid_print(t, id);
    return 0;
}

TEXT_SHOW(ostype_show, "Linux")
TEXT_SHOW(osrelease_show, "6.1.0-cloche")
TEXT_SHOW(version_show, "#1 SMP")
TEXT_SHOW(domainname_show, "(none)")
TEXT_SHOW(pid_max_show, "4194304")
TEXT_SHOW(threads_max_show, "4096")
TEXT_SHOW(cap_last_cap_show, "40")
TEXT_SHOW(ngroups_max_show, "65536")
TEXT_SHOW(empty_show, "")
TEXT_SHOW(zero_show, "0")
TEXT_SHOW(one_show, "1")
TEXT_SHOW(two_show, "2")
TEXT_SHOW(entropy_show, "256")
TEXT_SHOW(shmmax_show, "18446744073692774399")
TEXT_SHOW(shmmni_show, "4096")
TEXT_SHOW(sem_show, "32000\t1024000000\t500\t32000")
TEXT_SHOW(msg_show, "8192")
TEXT_SHOW(core_pattern_show, "core")
TEXT_SHOW(max_map_count_show, "30000")
TEXT_SHOW(mmap_min_addr_show, "65536")
TEXT_SHOW(overcommit_ratio_show, "50")
TEXT_SHOW(swappiness_show, "60")
TEXT_SHOW(file_max_show, "9223372036854775807")
TEXT_SHOW(nr_open_show, "65536")
TEXT_SHOW(pipe_max_show, "1048576")
TEXT_SHOW(inotify_events_show, "16384")
TEXT_SHOW(inotify_instances_show, "1024")
TEXT_SHOW(inotify_watches_show, "65536")
TEXT_SHOW(epoll_watches_show, "1048576")
TEXT_SHOW(somaxconn_show, "4096")
TEXT_SHOW(buffer_show, "212992")
TEXT_SHOW(port_range_show, "32768\t60999")
TEXT_SHOW(tcp_mem_show, "4096\t131072\t6291456")
TEXT_SHOW(fin_timeout_show, "60")
TEXT_SHOW(keepalive_show, "7200")
TEXT_SHOW(keepalive_interval_show, "75")
TEXT_SHOW(keepalive_probes_show, "9")
TEXT_SHOW(arch_show, "x86_64")
TEXT_SHOW(msgmnb_show, "16384")
TEXT_SHOW(msgmni_show, "32000")
TEXT_SHOW(perf_rate_show, "100000")
TEXT_SHOW(perf_mlock_show, "516")
TEXT_SHOW(rt_period_show, "1000000")
TEXT_SHOW(rt_runtime_show, "950000")
TEXT_SHOW(dirty_ratio_show, "20")
TEXT_SHOW(dirty_background_show, "10")
TEXT_SHOW(min_free_show, "67584")
TEXT_SHOW(aio_max_show, "65536")
TEXT_SHOW(file_count_show, "0\t0\t9223372036854775807")
TEXT_SHOW(inode_count_show, "0\t0")
TEXT_SHOW(pipe_user_pages_show, "16384")
TEXT_SHOW(option_memory_show, "131072")
TEXT_SHOW(backlog_show, "1000")
TEXT_SHOW(queue_show, "fq_codel")
TEXT_SHOW(congestion_show, "cubic")
TEXT_SHOW(congestions_show, "reno cubic")
TEXT_SHOW(ping_range_show, "1\t0")
TEXT_SHOW(datagrams_max_show, "512")

static const struct pseudo_entry g_random[] = {
    VALUE("uuid", uuid_show),
    VALUE("boot_id", boot_id_show),
    VALUE("entropy_avail", entropy_show),
    VALUE("poolsize", entropy_show),
    END,
};

static const struct pseudo_entry g_yama[] = {
    VALUE("ptrace_scope", one_show),
    END,
};

/* No filters can be installed: seccomp(2). */
static const struct pseudo_entry g_seccomp[] = {
    VALUE("actions_avail", empty_show),
    VALUE("actions_logged", empty_show),
    END,
};

static const struct pseudo_entry g_kernel[] = {
    VALUE("ostype", ostype_show),
    VALUE("osrelease", osrelease_show),
    VALUE("version", version_show),
    { .name = "hostname", .mode = S_IFREG | 0644, .show = hostname_show, .store = hostname_store },
    VALUE("domainname", domainname_show),
    VALUE("pid_max", pid_max_show),
    VALUE("threads-max", threads_max_show),
    VALUE("cap_last_cap", cap_last_cap_show),
    VALUE("ngroups_max", ngroups_max_show),
    VALUE("randomize_va_space", two_show),
    VALUE("core_pattern", core_pattern_show),
    VALUE("core_uses_pid", zero_show),
    VALUE("panic", zero_show),
    VALUE("perf_event_paranoid", two_show),
    VALUE("perf_event_max_sample_rate", perf_rate_show),
    VALUE("perf_event_mlock_kb", perf_mlock_show),
    FOLDER("yama", g_yama),
    FOLDER("seccomp", g_seccomp),
    VALUE("arch", arch_show),
    VALUE("tainted", zero_show),
    VALUE("kptr_restrict", one_show),
    VALUE("dmesg_restrict", one_show),
    VALUE("unprivileged_bpf_disabled", two_show),
    VALUE("sched_rt_period_us", rt_period_show),
    VALUE("sched_rt_runtime_us", rt_runtime_show),
    VALUE("shm_rmid_forced", zero_show),
    VALUE("msgmnb", msgmnb_show),
    VALUE("msgmni", msgmni_show),
    VALUE("sched_autogroup_enabled", zero_show),
    VALUE("numa_balancing", zero_show),
    VALUE("shmmax", shmmax_show),
    VALUE("shmall", shmmax_show),
    VALUE("shmmni", shmmni_show),
    VALUE("sem", sem_show),
    VALUE("msgmax", msg_show),
    FOLDER("random", g_random),
    END,
};

static const struct pseudo_entry g_vm[] = {
    VALUE("overcommit_memory", zero_show),
    VALUE("overcommit_ratio", overcommit_ratio_show),
    VALUE("max_map_count", max_map_count_show),
    VALUE("mmap_min_addr", mmap_min_addr_show),
    VALUE("swappiness", swappiness_show),
    VALUE("nr_hugepages", zero_show),
    VALUE("nr_overcommit_hugepages", zero_show),
    VALUE("overcommit_kbytes", zero_show),
    VALUE("dirty_ratio", dirty_ratio_show),
    VALUE("dirty_background_ratio", dirty_background_show),
    VALUE("min_free_kbytes", min_free_show),
    VALUE("legacy_va_layout", zero_show),
    VALUE("unprivileged_userfaultfd", zero_show),
    VALUE("zone_reclaim_mode", zero_show),
    END,
};

static const struct pseudo_entry g_inotify[] = {
    VALUE("max_queued_events", inotify_events_show),
    VALUE("max_user_instances", inotify_instances_show),
    VALUE("max_user_watches", inotify_watches_show),
    END,
};
static const struct pseudo_entry g_epoll[] = {
    VALUE("max_user_watches", epoll_watches_show),
    END,
};

static const struct pseudo_entry g_fs[] = {
    VALUE("file-max", file_max_show),
    VALUE("nr_open", nr_open_show),
    VALUE("pipe-max-size", pipe_max_show),
    VALUE("pipe-user-pages-soft", pipe_user_pages_show),
    VALUE("pipe-user-pages-hard", zero_show),
    VALUE("aio-max-nr", aio_max_show),
    VALUE("aio-nr", zero_show),
    VALUE("file-nr", file_count_show),
    VALUE("inode-nr", inode_count_show),
    VALUE("suid_dumpable", zero_show),
    VALUE("protected_hardlinks", zero_show),
    VALUE("protected_symlinks", zero_show),
    FOLDER("inotify", g_inotify),
    FOLDER("epoll", g_epoll),
    END,
};

static const struct pseudo_entry g_net_core[] = {
    VALUE("somaxconn", somaxconn_show),
    VALUE("rmem_max", buffer_show),
    VALUE("rmem_default", buffer_show),
    VALUE("wmem_max", buffer_show),
    VALUE("wmem_default", buffer_show),
    VALUE("optmem_max", option_memory_show),
    VALUE("netdev_max_backlog", backlog_show),
    VALUE("default_qdisc", queue_show),
    VALUE("busy_poll", zero_show),
    VALUE("busy_read", zero_show),
    END,
};
static const struct pseudo_entry g_conf[] = {
    VALUE("forwarding", zero_show),
    VALUE("rp_filter", zero_show),
    VALUE("accept_redirects", zero_show),
    END,
};
static const struct pseudo_entry g_conf6[] = {
    VALUE("disable_ipv6", zero_show),
    VALUE("forwarding", zero_show),
    END,
};
static const struct pseudo_entry g_net_conf[] = { FOLDER("all", g_conf), FOLDER("default", g_conf),
                                                  FOLDER("lo", g_conf), END };
static const struct pseudo_entry g_net_conf6[] = { FOLDER("all", g_conf6),
                                                   FOLDER("default", g_conf6),
                                                   FOLDER("lo", g_conf6), END };
static const struct pseudo_entry g_net_ipv4[] = {
    VALUE("ip_local_port_range", port_range_show),
    VALUE("ip_unprivileged_port_start", zero_show),
    VALUE("tcp_rmem", tcp_mem_show),
    VALUE("tcp_wmem", tcp_mem_show),
    VALUE("tcp_fin_timeout", fin_timeout_show),
    VALUE("tcp_keepalive_time", keepalive_show),
    VALUE("tcp_keepalive_intvl", keepalive_interval_show),
    VALUE("tcp_keepalive_probes", keepalive_probes_show),
    VALUE("tcp_max_syn_backlog", somaxconn_show),
    VALUE("tcp_congestion_control", congestion_show),
    VALUE("tcp_available_congestion_control", congestions_show),
    VALUE("tcp_fastopen", zero_show),
    VALUE("tcp_syncookies", one_show),
    VALUE("tcp_timestamps", one_show),
    VALUE("tcp_sack", one_show),
    VALUE("tcp_window_scaling", one_show),
    VALUE("tcp_tw_reuse", two_show),
    VALUE("tcp_slow_start_after_idle", one_show),
    VALUE("ip_forward", zero_show),
    VALUE("ping_group_range", ping_range_show),
    FOLDER("conf", g_net_conf),
    END,
};
static const struct pseudo_entry g_net_ipv6[] = {
    VALUE("bindv6only", zero_show),
    FOLDER("conf", g_net_conf6),
    END,
};
static const struct pseudo_entry g_net_unix[] = { VALUE("max_dgram_qlen", datagrams_max_show),
                                                  END };
static const struct pseudo_entry g_net[] = {
    FOLDER("core", g_net_core),
    FOLDER("ipv4", g_net_ipv4),
    FOLDER("ipv6", g_net_ipv6),
    FOLDER("unix", g_net_unix),
    END,
};

const struct pseudo_entry proc_sys_children[] = {
    FOLDER("kernel", g_kernel), FOLDER("vm", g_vm), FOLDER("fs", g_fs), FOLDER("net", g_net), END,
};
