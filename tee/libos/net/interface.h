/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces as programs see them: the loopback interface. Trusted. */
#pragma once

#include "lib/defs.h"

#define IFF_UP 0x1u
#define IFF_LOOPBACK 0x8u
#define IFF_RUNNING 0x40u
#define IFF_LOWER_UP 0x10000u

struct interface {
    uint32_t index;
    char name[16];
    uint32_t flags; /* IFF_* */
    uint32_t mtu;
    uint16_t type; /* ARPHRD_* */
    uint8_t addr4[4];
    uint8_t prefix4; /* 0: no IPv4 address */
    uint8_t addr6[16];
    uint8_t prefix6; /* 0: no IPv6 address */
};
#define INTERFACE_COUNT 1u
extern const struct interface g_interfaces[INTERFACE_COUNT];

/* SIOCGIF*. -ENOTTY: not one of them. */
int64_t interface_ioctl(uint32_t request, uintptr_t arg);
