/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of /sys share. Trusted. */
#pragma once

#include "tee/libos/fs/vfs/pseudo.h"

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
/* A file that always says the same. */
#define TEXT_SHOW(function, value)                                                                 \
    static int function(struct text *t, const struct pseudo_key *k UNUSED)                         \
    {                                                                                              \
        text_print(t, "%s\n", value);                                                              \
        return 0;                                                                                  \
    }

extern const struct pseudo_entry sys_system_children[]; /* /sys/devices/system; sys_cpu.c */

int sys_zero_show(struct text *t, const struct pseudo_key *k);
int sys_one_show(struct text *t, const struct pseudo_key *k);
/* All CPUs: "0-3". */
int sys_cpu_range_show(struct text *t, const struct pseudo_key *k);
