/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces: the loopback interface is the enclave's own; those of the host are not shown. Trusted. */
#include "tee/libos/net/interface.h"

#include <asm/errno.h>
#include <linux/sockios.h>

#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"

#define AF_INET_FAMILY 2
#define ARPHRD_LOOPBACK 772

/* struct ifreq and struct ifconf of netdevice(7); the kernel's header draws in the C library's. */
struct if_request {
    char name[16];
    union {
        uint8_t addr[16]; /* struct sockaddr */
        int32_t number;
        int16_t flags;
        uint8_t space[24];
    };
};
_Static_assert(sizeof(struct if_request) == 40, "struct ifreq");

struct if_conf {
    int32_t size;
    int32_t pad;
    uint64_t buffer;
};

const struct interface g_interfaces[INTERFACE_COUNT] = {
    { .index = 1,
      .name = "lo",
      .flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP,
      .mtu = 65536,
      .type = ARPHRD_LOOPBACK,
      .addr4 = { 127, 0, 0, 1 },
      .prefix4 = 8,
      .addr6 = { [15] = 1 },
      .prefix6 = 128 },
};

static const struct interface *find(const struct if_request *r)
{
    for (unsigned i = 0; i < INTERFACE_COUNT; i++)
        if (strncmp(r->name, g_interfaces[i].name, sizeof r->name) == 0)
            return &g_interfaces[i];
    return NULL;
}

/* struct sockaddr_in into 16 bytes. */
static void put_address(void *dst, const uint8_t addr[4])
{
    uint16_t family = AF_INET_FAMILY;

    memset(dst, 0, 16);
    memcpy(dst, &family, sizeof family);
    memcpy((uint8_t *)dst + 4, addr, 4);
}

static int64_t list(uintptr_t arg)
{
    struct if_conf conf;
    int rc = USER_GET(&conf, arg);

    if (rc < 0)
        return rc;
    if (conf.size < 0)
        return -EINVAL;
    unsigned room = (unsigned)conf.size / sizeof(struct if_request);
    unsigned count = conf.buffer ? MIN(room, INTERFACE_COUNT) : INTERFACE_COUNT;
    for (unsigned i = 0; i < count && conf.buffer; i++) {
        struct if_request r = { 0 };

        memcpy(r.name, g_interfaces[i].name, sizeof r.name);
        put_address(r.addr, g_interfaces[i].addr4);
        rc = user_copy_out((uintptr_t)conf.buffer + i * sizeof r, &r, sizeof r);
        if (rc < 0)
            return rc;
    }
    conf.size = (int32_t)(count * sizeof(struct if_request));
    return USER_PUT(arg, &conf);
}

int64_t interface_ioctl(uint32_t request, uintptr_t arg)
{
    static const uint8_t no_address[4];
    const struct interface *iface = NULL;
    struct if_request r;
    int rc;

    if (request == SIOCGIFCONF)
        return list(arg);
    if (request < SIOCGIFNAME || request > SIOCGIFCOUNT)
        return -ENOTTY;
    rc = USER_GET(&r, arg);
    if (rc < 0)
        return rc;
    if (request == SIOCGIFNAME) {
        if (r.number != (int32_t)g_interfaces[0].index)
            return -ENODEV;
        memcpy(r.name, g_interfaces[0].name, sizeof r.name);
        return USER_PUT(arg, &r);
    }
    iface = find(&r);
    if (!iface)
        return -ENODEV;
    switch (request) {
    case SIOCGIFINDEX:
        r.number = (int32_t)iface->index;
        break;
    case SIOCGIFFLAGS:
        r.flags = (int16_t)iface->flags;
        break;
    case SIOCGIFADDR:
        put_address(r.addr, iface->addr4);
        break;
    case SIOCGIFNETMASK:
        put_address(r.addr, (const uint8_t[4]){ 255, 0, 0, 0 });
        break;
    case SIOCGIFBRDADDR:
    case SIOCGIFDSTADDR:
        put_address(r.addr, no_address);
        break;
    case SIOCGIFMTU:
        r.number = (int32_t)iface->mtu;
        break;
    case SIOCGIFMETRIC:
        r.number = 0;
        break;
    case SIOCGIFTXQLEN:
        r.number = 1000;
        break;
    case SIOCGIFHWADDR:
        memset(r.addr, 0, sizeof r.addr);
        memcpy(r.addr, &iface->type, sizeof iface->type);
        break;
    default:
        return request & 1 ? -EOPNOTSUPP : -EPERM;
    }
    return USER_PUT(arg, &r);
}
