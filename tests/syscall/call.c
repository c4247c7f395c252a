/* SPDX-License-Identifier: Apache-2.0 */
/* See call.h. */
#include "tests/syscall/call.h"

#include <linux/capability.h>

const char *call_long_name(void)
{
    static char name[300];

    memset(name, 'n', sizeof name - 1);
    return name;
}

static void set_effective(bool all)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    OK(CALL(capget, &header, data));
    for (int i = 0; i < 2; i++)
        data[i].effective = all ? data[i].permitted : 0;
    OK(CALL(capset, &header, data));
}

void call_drop_capabilities(void)
{
    set_effective(false);
}

void call_take_capabilities(void)
{
    set_effective(true);
}
