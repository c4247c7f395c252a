/* SPDX-License-Identifier: Apache-2.0 */
/* /sys: what programs look at. Its parts: sys_cpu.c, sys_cgroup.c. Trusted. */
#include "tee/libos/fs/sys/sys_internal.h"

#include "tee/enclave/string.h"
#include "tee/libos/net/interface.h"
#include "tee/libos/task/cpus.h"

#include <linux/errno.h>
#include <linux/magic.h>

int sys_zero_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "0\n");
    return 0;
}

int sys_one_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "1\n");
    return 0;
}

int sys_cpu_range_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    uint32_t count = cpu_count();

    if (count == 1)
        text_print(t, "0\n");
    else
        text_print(t, "0-%u\n", count - 1);
    return 0;
}

/* ---- network interfaces ---- */

static const struct interface *interface_of(const struct pseudo_key *k)
{
    return &g_interfaces[k->number >= 0 && k->number < (int64_t)INTERFACE_COUNT ? k->number : 0];
}

static int net_index_show(struct text *t, const struct pseudo_key *k)
{
    text_print(t, "%u\n", interface_of(k)->index);
    return 0;
}

static int net_mtu_show(struct text *t, const struct pseudo_key *k)
{
    text_print(t, "%u\n", interface_of(k)->mtu);
    return 0;
}

static int net_flags_show(struct text *t, const struct pseudo_key *k)
{
    text_print(t, "0x%x\n", interface_of(k)->flags & (IFF_UP | IFF_LOOPBACK));
    return 0;
}

TEXT_SHOW(net_state_show, "unknown")
TEXT_SHOW(net_type_show, "772") /* ARPHRD_LOOPBACK */
TEXT_SHOW(net_address_show, "00:00:00:00:00:00")

static const struct pseudo_entry g_statistics[] = {
    VALUE("rx_bytes", sys_zero_show),
    VALUE("tx_bytes", sys_zero_show),
    VALUE("rx_packets", sys_zero_show),
    VALUE("tx_packets", sys_zero_show),
    VALUE("rx_errors", sys_zero_show),
    VALUE("tx_errors", sys_zero_show),
    VALUE("rx_dropped", sys_zero_show),
    VALUE("tx_dropped", sys_zero_show),
    END,
};
static const struct pseudo_entry g_interface_children[] = {
    VALUE("ifindex", net_index_show),
    VALUE("mtu", net_mtu_show),
    VALUE("flags", net_flags_show),
    VALUE("operstate", net_state_show),
    VALUE("type", net_type_show),
    VALUE("address", net_address_show),
    VALUE("carrier", sys_one_show),
    FOLDER("statistics", g_statistics),
    END,
};
static const struct pseudo_entry g_interface = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = g_interface_children,
};

static int net_lookup(const struct pseudo_key *k, const char *name, size_t name_size,
                      struct pseudo_child *ret)
{
    for (unsigned i = 0; i < INTERFACE_COUNT; i++) {
        if (strlen(g_interfaces[i].name) != name_size ||
            memcmp(g_interfaces[i].name, name, name_size) != 0)
            continue;
        ret->entry = &g_interface;
        ret->key = *k;
        ret->key.number = i;
        return 0;
    }
    return -ENOENT;
}

static int net_list(const struct pseudo_key *k UNUSED, uint64_t from,
                    bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type),
                    void *arg)
{
    for (; from < INTERFACE_COUNT; from++)
        if (!fn(arg, g_interfaces[from].name, from, mode_dirent_type(S_IFDIR)))
            break;
    return 0;
}

/* ---- the rest ---- */

static int thp_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "always madvise [never]\n");
    return 0;
}

TEXT_SHOW(huge_page_show, "2097152")

static const struct pseudo_entry g_thp[] = {
    VALUE("enabled", thp_show),
    VALUE("defrag", thp_show),
    VALUE("shmem_enabled", thp_show),
    VALUE("use_zero_page", sys_zero_show),
    VALUE("hpage_pmd_size", huge_page_show),
    END,
};
static const struct pseudo_entry g_empty[] = { END };
static const struct pseudo_entry g_mm[] = { FOLDER("transparent_hugepage", g_thp),
                                            FOLDER("hugepages", g_empty), END };
static const struct pseudo_entry g_kernel[] = { FOLDER("mm", g_mm), FOLDER("security", g_empty),
                                                FOLDER("config", g_empty), END };
static const struct pseudo_entry g_fs[] = { FOLDER("cgroup", g_empty), END };
static const struct pseudo_entry g_devices[] = { FOLDER("system", sys_system_children), END };
static const struct pseudo_entry g_class[] = {
    { .name = "net", .mode = S_IFDIR | 0555, .lookup = net_lookup, .list = net_list }, END
};
static const struct pseudo_entry g_root_children[] = {
    FOLDER("devices", g_devices), FOLDER("fs", g_fs),          FOLDER("kernel", g_kernel),
    FOLDER("class", g_class),     FOLDER("block", g_empty),    FOLDER("bus", g_empty),
    FOLDER("module", g_empty),    FOLDER("firmware", g_empty), END,
};

static const struct pseudo_entry g_root = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = g_root_children,
};

int sysfs_new(struct super **ret)
{
    return pseudo_fs_new("sysfs", SYSFS_MAGIC, &g_root, false, ret);
}
