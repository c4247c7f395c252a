/* SPDX-License-Identifier: Apache-2.0 */
/* On-disk layout of EROFS (all little-endian) and what the parts of the reader share. Trusted. */
#pragma once

#include "tee/libos/fs/erofs/erofs.h"

#define EROFS_SUPER_OFF 1024u
#define EROFS_MAGIC 0xe0f5e1e2u
#define EROFS_BLOCK_BITS 12u
#define EROFS_NID_SHIFT 5u          /* inodes lie at multiples of 32 bytes */
#define EROFS_XATTR_COUNT_MAX 4096u /* entries of one inode */
#define EROFS_XATTR_SHARED_OFF 12u  /* size of the inline header */

#define EROFS_INCOMPAT_ZERO_PADDING 0x1u /* only says how compressed data would lie */

struct erofs_super_disk {
    uint32_t magic, checksum, feature_compat;
    uint8_t block_bits, extra_slots;
    uint16_t root_nid;
    uint64_t inode_count, build_time_s;
    uint32_t build_time_ns, block_count, meta_block, xattr_block;
    uint8_t uuid[16], volume_name[16];
    uint32_t feature_incompat;
    uint16_t compression, extra_devices, device_slot;
    uint8_t dir_block_bits, xattr_prefix_count;
    uint32_t xattr_prefix_start;
    uint64_t packed_nid;
    uint8_t reserved[24];
} PACKED;
_Static_assert(sizeof(struct erofs_super_disk) == 128, "EROFS super block");

struct erofs_inode_compact {
    uint16_t format, xattr_count, mode, nlink;
    uint32_t size, reserved, u, ino;
    uint16_t uid, gid;
    uint32_t reserved2;
} PACKED;
_Static_assert(sizeof(struct erofs_inode_compact) == 32, "compact inode");

struct erofs_inode_extended {
    uint16_t format, xattr_count, mode, reserved;
    uint64_t size;
    uint32_t u, ino, uid, gid;
    uint64_t mtime_s;
    uint32_t mtime_ns, nlink;
    uint8_t reserved2[16];
} PACKED;
_Static_assert(sizeof(struct erofs_inode_extended) == 64, "extended inode");

struct erofs_dirent_disk {
    uint64_t nid;
    uint16_t name_off;
    uint8_t type, reserved;
} PACKED;
_Static_assert(sizeof(struct erofs_dirent_disk) == 12, "directory entry");

struct erofs_xattr_disk {
    uint8_t name_size, name_index;
    uint16_t value_size;
} PACKED;
_Static_assert(sizeof(struct erofs_xattr_disk) == 4, "xattr entry");

struct erofs {
    struct image *image;
    uint64_t block_count, inode_count, root_nid, meta_off, xattr_off, image_size;
    int64_t build_time_s;
    uint32_t build_time_ns;
};

/* image_read within the file system; -EUCLEAN outside it. */
MUST_CHECK int erofs_meta_read(struct erofs *fs, uint64_t off, void *dst, size_t size);
