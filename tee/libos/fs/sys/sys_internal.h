/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of /sys share. Trusted. */
#pragma once

#include "tee/libos/fs/vfs/pseudo_table.h"

extern const struct pseudo_entry sys_system_children[]; /* /sys/devices/system; sys_cpu.c */

int sys_zero_show(struct text *t, const struct pseudo_key *k);
int sys_one_show(struct text *t, const struct pseudo_key *k);
/* All CPUs: "0-3". */
int sys_cpu_range_show(struct text *t, const struct pseudo_key *k);
