/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody watches files: for tests without fs/notify. */
#include "tee/libos/fs/notify/notify.h"

uint32_t g_notify_watches;

void notify_dentry_slow(struct dentry *d UNUSED, uint32_t mask UNUSED)
{
}
