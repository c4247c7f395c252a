/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what to an inode: mode bits and capabilities (path_resolution(7), capabilities(7)). Trusted. */
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/capability.h>
#include <linux/mount.h>

bool permission_granted(const struct inode *inode, const struct cred *cred, uint32_t mask)
{
    uint32_t mode = inode->mode, bits;

    if (cred->fsuid == inode->uid)
        bits = mode >> 6;
    else if (cred->fsgid == inode->gid || cred_has_group(cred, inode->gid))
        bits = mode >> 3;
    else
        bits = mode;
    if ((mask & 7 & ~bits) == 0)
        return true;
    if (cred_has_cap(cred, CAP_DAC_OVERRIDE) &&
        ((mask & 1) == 0 || S_ISDIR(mode) || (mode & 0111) != 0))
        return true;
    return cred_has_cap(cred, CAP_DAC_READ_SEARCH) &&
           (mask == 4 || (S_ISDIR(mode) && (mask & 2) == 0));
}

int inode_permission(struct inode *inode, uint32_t mask)
{
    if ((mask & 2) != 0 && (S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode))) {
        int rc = inode_check_writable(inode);

        if (rc < 0)
            return rc;
    }
    return permission_granted(inode, process_cred(), mask) ? 0 : -EACCES;
}

bool permission_is_owner(const struct inode *inode, const struct cred *cred)
{
    return cred->fsuid == inode->uid || cred_has_cap(cred, CAP_FOWNER);
}

int inode_check_writable(const struct inode *inode)
{
    return inode->super && (inode->super->flags & MS_RDONLY) != 0 ? -EROFS : 0;
}

void permission_drop_privileges(struct inode *inode)
{
    uint32_t mode = inode->mode, drop = 0;
    struct inode_attr attr;

    if (LIKELY((mode & (S_ISUID | S_ISGID)) == 0) || !S_ISREG(mode))
        return;
    drop = mode & S_ISUID;
    if ((mode & (S_ISGID | MODE_GROUP_EXEC)) == (S_ISGID | MODE_GROUP_EXEC))
        drop |= S_ISGID;
    if (drop == 0 || cred_has_cap(process_cred(), CAP_FSETID) || !inode->ops->set_attr)
        return;
    attr.mode = mode & ~drop;
    /* A file system that cannot change the mode has no such bits either. */
    (void)!inode->ops->set_attr(inode, &attr, ATTR_MODE);
}
