/* SPDX-License-Identifier: Apache-2.0 */
/* Character devices by number: what a device node stands for, wherever it lies. Trusted. */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"

/* Fills f->ops for the device; f->flags and f->inode are set. returns: 0; -ENXIO no such device. */
MUST_CHECK int dev_open_number(uint64_t rdev, bool is_block, struct file *f);
/* /dev/cloche: reports and sealing keys of this enclave, by ioctl (abi/evidence.h). */
MUST_CHECK int dev_cloche_open(struct file *f);
