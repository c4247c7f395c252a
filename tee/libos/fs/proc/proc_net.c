/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net: the interfaces that programs see; their sockets are in proc_socket.c. Trusted. */
#include <linux/errno.h>

#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/net/interface.h"

#define SCOPE_HOST 0x10u /* IPV6_ADDR_LOOPBACK */
#define FLAG_PERMANENT 0x80u

static int dev_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(
        t,
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
        "drop fifo colls carrier compressed\n");
    for (unsigned i = 0; i < INTERFACE_COUNT; i++)
        text_print(t, "%6s: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", g_interfaces[i].name);
    return 0;
}

static int if_inet6_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    for (unsigned i = 0; i < INTERFACE_COUNT; i++) {
        const struct interface *f = &g_interfaces[i];

        if (f->prefix6 == 0)
            continue;
        for (unsigned j = 0; j < 16; j++)
            text_print(t, "%02x", f->addr6[j]);
        text_print(t, " %02x %02x %02x %02x %8s\n", f->index, f->prefix6, SCOPE_HOST,
                   FLAG_PERMANENT, f->name);
    }
    return 0;
}

/* Routes are the host's business; the loopback has none here, as on Linux. */
static int route_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(
        t, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n");
    return 0;
}

/* The way to the loopback address itself. */
static int ipv6_route_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    static const char none[] = "00000000000000000000000000000000";

    for (unsigned i = 0; i < INTERFACE_COUNT; i++) {
        const struct interface *f = &g_interfaces[i];

        if (f->prefix6 == 0)
            continue;
        for (unsigned j = 0; j < 16; j++)
            text_print(t, "%02x", f->addr6[j]);
        text_print(t, " %02x %s 00 %s 00000100 00000001 00000000 00000001 %8s\n", f->prefix6, none,
                   none, f->name);
    }
    return 0;
}

static int packet_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n");
    return 0;
}

static int arp_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "IP address       HW type     Flags       HW address            Mask     "
                  "Device\n");
    return 0;
}

const struct pseudo_entry proc_net_children[] = {
    { .name = "arp", .mode = S_IFREG | 0444, .show = arp_show },
    { .name = "dev", .mode = S_IFREG | 0444, .show = dev_show },
    { .name = "if_inet6", .mode = S_IFREG | 0444, .show = if_inet6_show },
    { .name = "ipv6_route", .mode = S_IFREG | 0444, .show = ipv6_route_show },
    { .name = "netlink", .mode = S_IFREG | 0444, .show = proc_netlink_show },
    { .name = "packet", .mode = S_IFREG | 0444, .show = packet_show },
    { .name = "raw", .mode = S_IFREG | 0444, .show = proc_raw_show },
    { .name = "route", .mode = S_IFREG | 0444, .show = route_show },
    { .name = "snmp", .mode = S_IFREG | 0444, .show = proc_snmp_show },
    { .name = "sockstat", .mode = S_IFREG | 0444, .show = proc_sockstat_show },
    { .name = "sockstat6", .mode = S_IFREG | 0444, .show = proc_sockstat6_show },
    { .name = "tcp", .mode = S_IFREG | 0444, .show = proc_tcp_show },
    { .name = "tcp6", .mode = S_IFREG | 0444, .show = proc_tcp6_show },
    { .name = "udp", .mode = S_IFREG | 0444, .show = proc_udp_show },
    { .name = "udp6", .mode = S_IFREG | 0444, .show = proc_udp6_show },
    { .name = "udplite", .mode = S_IFREG | 0444, .show = proc_udplite_show },
    { .name = "unix", .mode = S_IFREG | 0444, .show = proc_unix_show },
    { .name = NULL },
};
