/* SPDX-License-Identifier: Apache-2.0 */
/* What the rest of the library OS asks of tmpfs beyond inode_ops. Trusted. Any thread. */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"

struct erofs;

/* A file system whose root shows `lower` and keeps changes in enclave memory. lower must live as long. */
MUST_CHECK int tmpfs_with_lower(struct erofs *lower, struct super **ret);
/* True for regular files of tmpfs and of the root file system. */
bool tmpfs_is_file(const struct inode *inode);
/* F_GET_SEALS; -EINVAL no such file. */
MUST_CHECK int tmpfs_seals_get(struct inode *inode);
/* F_ADD_SEALS. returns: 0; -EPERM sealed; -EINVAL. */
MUST_CHECK int tmpfs_seals_add(struct inode *inode, uint32_t seals);
/* memfd_create(MFD_ALLOW_SEALING): the file starts without seals. */
void tmpfs_seals_allow(struct inode *inode);
/* MFD_NOEXEC_SEAL: nobody may execute it, for good; other seals are allowed. */
void tmpfs_seals_noexec(struct inode *inode);
