/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system while it is put together: layers are applied to this tree in memory, contents lie
 * in a spool. Relying party. Paths come from archives and may be hostile: they are bytes, and mean what
 * they mean inside the tree (a ".." at the root stays there, a link never leads out of it).
 */
#pragma once

#include "builder/arena.h"
#include "lib/err.h"

#define TREE_NAME_MAX 255u       /* bytes of one name, as EROFS and Linux have it */
#define TREE_PATH_MAX 16384u     /* bytes of a path in an archive */
#define TREE_DEPTH_MAX 1024u     /* folders in folders */
#define TREE_LINK_SIZE_MAX 4095u /* bytes of a symbolic link */
#define TREE_FOLLOW_MAX 40u      /* symbolic links on the way of one path */
#define TREE_INODES_MAX (16u << 20)
#define TREE_XATTRS_MAX 128u       /* of one file */
#define TREE_XATTR_SIZE_MAX 65535u /* bytes of one value */

struct tree_xattr {
    const char *name; /* "user.x", "security.capability" */
    const uint8_t *value;
    size_t value_size;
};

/* Children are kept by tree.c; callers read the rest, and write it through tree_set_*. */
struct tree_inode {
    uint32_t mode; /* S_IFMT and permission bits */
    uint32_t uid, gid;
    uint32_t device_major, device_minor;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint32_t xattr_count;
    const struct tree_xattr *xattrs; /* sorted by name */
    uint64_t size;                   /* regular file, symbolic link: bytes */
    uint64_t spool_off;              /* regular file: content in the spool */
    const char *target;              /* symbolic link; NUL-ended, no NUL inside */
    struct tree_inode *parent;       /* folder: the one it is in; the root's is itself */
    unsigned depth;                  /* folder: 0 for the root */
    void *children;                  /* folder: tsearch(3) tree of struct tree_entry */
    uint32_t child_count;
    uint32_t links;    /* names; set by tree_count_links */
    uint64_t image_id; /* for the writer of an image */
};

struct tree_entry {
    const char *name; /* NUL-ended */
    size_t name_len;
    unsigned layer; /* the last layer that had it */
    struct tree_inode *inode;
};

struct tree {
    struct arena arena;
    struct tree_inode *root;
    uint32_t inode_count;        /* made so far */
    struct tree_inode **folders; /* all ever made, to be given back */
    size_t folder_count, folder_room;
};

MUST_CHECK int tree_init(struct tree *t);
void tree_done(struct tree *t);

/*
 * Puts a file at path, as a container engine that unpacks layer number `layer` would: parents that are
 * missing are made (0755, root), symbolic links on the way are followed inside the tree, what was there
 * is replaced; a folder over a folder keeps its content. attrs gives all but parent and children.
 * ret: the inode, to which contents may be added. err names the path.
 * returns: 0; -EINVAL bad name; -ENOTDIR; -ELOOP; -ENAMETOOLONG; -ENOMEM; -E2BIG too many files.
 */
MUST_CHECK int tree_put(struct tree *t, const char *path, unsigned layer,
                        const struct tree_inode *attrs, struct tree_inode **ret, struct err *err);
/* One more name for what is at target, which is not a folder. -ENOENT: there is nothing. */
MUST_CHECK int tree_link(struct tree *t, const char *path, unsigned layer, const char *target,
                         struct err *err);
/*
 * When the last name of path is an OCI whiteout (".wh.NAME", ".wh..wh..opq"), hides what layers below
 * `layer` put there, and returns 1. 0: an ordinary name. Errors as tree_put.
 */
MUST_CHECK int tree_whiteout(struct tree *t, const char *path, unsigned layer, struct err *err);
/* Makes the folder and its parents, where missing. */
MUST_CHECK int tree_make_folder(struct tree *t, const char *path, struct err *err);

/* What is at path, symbolic links followed; NULL: nothing. */
struct tree_inode *tree_find(struct tree *t, const char *path);

/* A folder's entries in byte order of their names. The array is the caller's to free. */
MUST_CHECK int tree_list(const struct tree_inode *folder, struct tree_entry ***ret,
                         uint32_t *ret_count);
/* Sets `links` of every inode that can be reached. */
MUST_CHECK int tree_count_links(struct tree *t);

/* Sorts and takes over attributes; see TREE_XATTRS_MAX. Values are copied. -E2BIG: too many. */
MUST_CHECK int tree_set_xattrs(struct tree *t, struct tree_inode *inode,
                               const struct tree_xattr *xattrs, size_t count);
