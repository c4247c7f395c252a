/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root file system in memory. Relying party. Layers: OCI image-layer specification (whiteouts). A whiteout
 * hides what lower layers put, never what its own layer did, so entries know their layer.
 */
#include "builder/tree.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WHITEOUT ".wh."
#define WHITEOUT_LEN 4u
#define OPAQUE ".wh..wh..opq"

static int entry_compare(const void *a, const void *b)
{
    const struct tree_entry *x = a, *y = b;
    int order = memcmp(x->name, y->name, MIN(x->name_len, y->name_len));

    if (order != 0)
        return order;
    return x->name_len < y->name_len ? -1 : x->name_len > y->name_len;
}

static struct tree_inode *inode_new(struct tree *t, const struct tree_inode *attrs,
                                    struct tree_inode *parent)
{
    struct tree_inode *inode;

    if (t->inode_count >= TREE_INODES_MAX)
        return NULL;
    if (S_ISDIR(attrs->mode) && t->folder_count == t->folder_room) {
        size_t room = t->folder_room ? 2 * t->folder_room : 64;
        struct tree_inode **folders = realloc(t->folders, room * sizeof *folders);

        if (!folders)
            return NULL;
        t->folders = folders;
        t->folder_room = room;
    }
    inode = arena_alloc(&t->arena, sizeof *inode);
    if (!inode)
        return NULL;
    *inode = *attrs;
    inode->children = NULL;
    inode->child_count = 0;
    inode->parent = parent ? parent : inode;
    inode->depth = parent ? parent->depth + 1 : 0;
    if (S_ISDIR(attrs->mode))
        t->folders[t->folder_count++] = inode;
    t->inode_count++;
    return inode;
}

int tree_init(struct tree *t)
{
    const struct tree_inode attrs = { .mode = S_IFDIR | 0755 };

    *t = (struct tree){ 0 };
    t->root = inode_new(t, &attrs, NULL);
    if (!t->root) {
        tree_done(t);
        return -ENOMEM;
    }
    return 0;
}

static void leave_entry(void *entry)
{
    /* The arena owns it. */
}

void tree_done(struct tree *t)
{
    for (size_t i = 0; i < t->folder_count; i++)
        tdestroy(t->folders[i]->children, leave_entry);
    free(t->folders);
    arena_done(&t->arena);
    *t = (struct tree){ 0 };
}

static struct tree_entry *entry_find(const struct tree_inode *folder, const char *name, size_t len)
{
    const struct tree_entry key = { .name = name, .name_len = len };
    void *node = tfind(&key, &folder->children, entry_compare);

    return node ? *(struct tree_entry **)node : NULL;
}

static void entry_remove(struct tree_inode *folder, struct tree_entry *entry)
{
    tdelete(entry, &folder->children, entry_compare);
    folder->child_count--;
}

/* The name is new in the folder. */
static int entry_add(struct tree *t, struct tree_inode *folder, const char *name, size_t len,
                     unsigned layer, struct tree_inode *inode)
{
    struct tree_entry *entry = arena_alloc(&t->arena, sizeof *entry);
    char *copy = arena_copy(&t->arena, name, len);

    if (!entry || !copy)
        return -ENOMEM;
    *entry = (struct tree_entry){ copy, len, layer, inode };
    if (!tsearch(entry, &folder->children, entry_compare))
        return -ENOMEM;
    folder->child_count++;
    return 0;
}

/* ---- Paths ---- */

/* The folder that a path leads to and the name in it; name_len 0: the folder itself. */
struct place {
    struct tree_inode *folder;
    const char *name;
    size_t name_len;
    char text[2 * TREE_PATH_MAX + 2]; /* name points into it */
};

/* Removes "." and empty names, and ".." with the name before it; ".." at the start stays out. */
static int path_clean(const char *path, char *dst)
{
    size_t len = 0;

    if (strlen(path) > TREE_PATH_MAX)
        return -ENAMETOOLONG;
    while (*path) {
        size_t name_len = strcspn(path, "/");

        if (name_len > TREE_NAME_MAX)
            return -ENAMETOOLONG;
        if (name_len == 2 && memcmp(path, "..", 2) == 0) {
            while (len > 0 && dst[--len] != '/')
                ;
        } else if (name_len > 0 && !(name_len == 1 && path[0] == '.')) {
            if (len > 0)
                dst[len++] = '/';
            memcpy(dst + len, path, name_len);
            len += name_len;
        }
        path += name_len + (path[name_len] == '/');
    }
    dst[len] = '\0';
    return 0;
}

/* Puts a link's target in front of what is left of the path. */
static int link_follow(struct place *p, const char *target, const char *rest)
{
    size_t target_len = strlen(target), rest_len = strlen(rest);

    if (target_len + 1 + rest_len >= sizeof p->text)
        return -ENAMETOOLONG;
    memmove(p->text + target_len + 1, rest, rest_len + 1);
    memcpy(p->text, target, target_len);
    p->text[target_len] = '/';
    return 0;
}

/* What a walk does with what it meets. */
enum walk {
    WALK_FIND,   /* fails where a parent is missing */
    WALK_MAKE,   /* makes parents */
    WALK_FOLLOW, /* like WALK_FIND, and follows a link at the end too */
};

static int folder_make(struct tree *t, struct place *p, size_t len, unsigned layer)
{
    const struct tree_inode attrs = { .mode = S_IFDIR | 0755 };
    struct tree_inode *inode;

    if (p->folder->depth >= TREE_DEPTH_MAX)
        return -ENAMETOOLONG;
    inode = inode_new(t, &attrs, p->folder);
    if (!inode)
        return -ENOMEM;
    int rc = entry_add(t, p->folder, p->name, len, layer, inode);

    if (rc == 0)
        p->folder = inode;
    return rc;
}

/* Goes through p->text from p->folder on. */
static int place_walk(struct tree *t, struct place *p, unsigned layer, enum walk walk)
{
    unsigned follows = 0;

    p->name = p->text;
    for (;;) {
        while (*p->name == '/')
            p->name++;
        p->name_len = strcspn(p->name, "/");
        const char *rest = p->name + p->name_len;
        bool last = rest[strspn(rest, "/")] == '\0';
        struct tree_entry *entry;

        if (p->name_len == 0)
            return 0;
        if (p->name_len > TREE_NAME_MAX)
            return -ENAMETOOLONG;
        if ((p->name_len == 1 && p->name[0] == '.') ||
            (p->name_len == 2 && memcmp(p->name, "..", 2) == 0)) {
            if (p->name_len == 2)
                p->folder = p->folder->parent;
            p->name = rest;
            continue;
        }
        if (last && walk != WALK_FOLLOW)
            return 0;
        entry = entry_find(p->folder, p->name, p->name_len);
        if (!entry) {
            if (last)
                return 0;
            int rc = walk == WALK_MAKE ? folder_make(t, p, p->name_len, layer) : -ENOENT;

            if (rc < 0)
                return rc;
            p->name = rest;
        } else if (S_ISLNK(entry->inode->mode)) {
            if (++follows > TREE_FOLLOW_MAX)
                return -ELOOP;
            if (entry->inode->target[0] == '/')
                p->folder = t->root;
            int rc = link_follow(p, entry->inode->target, rest);

            if (rc < 0)
                return rc;
            p->name = p->text;
        } else if (S_ISDIR(entry->inode->mode)) {
            if (walk == WALK_MAKE)
                entry->layer = MAX(entry->layer, layer);
            p->folder = entry->inode;
            p->name = rest;
        } else {
            return last ? 0 : -ENOTDIR;
        }
    }
}

static int place_find(struct tree *t, const char *path, unsigned layer, enum walk walk,
                      struct place *p, struct err *err)
{
    int rc = path_clean(path, p->text);

    p->folder = t->root;
    if (rc == 0)
        rc = place_walk(t, p, layer, walk);
    return rc < 0 ? err_set_errno(err, rc, "%.300s", path) : 0;
}

/* ---- Layers ---- */

static bool prune(struct tree_inode *folder, unsigned layer);

/* Takes away the entry as far as lower layers made it. */
static void entry_prune(struct tree_inode *folder, struct tree_entry *entry, unsigned layer)
{
    bool kept = S_ISDIR(entry->inode->mode) && prune(entry->inode, layer);

    if (!kept && entry->layer < layer)
        entry_remove(folder, entry);
}

/* returns: whether anything is left in the folder. Nesting is bounded by TREE_DEPTH_MAX. */
static bool prune(struct tree_inode *folder, unsigned layer)
{
    struct tree_entry **entries;
    uint32_t count;

    if (tree_list(folder, &entries, &count) < 0)
        return true;
    for (uint32_t i = 0; i < count; i++)
        entry_prune(folder, entries[i], layer);
    free(entries);
    return folder->child_count > 0;
}

static bool is_whiteout(const char *path)
{
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    return strncmp(path + len, WHITEOUT, WHITEOUT_LEN) == 0;
}

int tree_whiteout(struct tree *t, const char *path, unsigned layer, struct err *err)
{
    struct place p;

    if (!is_whiteout(path))
        return 0;
    int rc = place_find(t, path, layer, WALK_FIND, &p, err);

    if (rc == -ENOENT || rc == -ENOTDIR)
        return 1; /* there is nothing to hide */
    if (rc < 0)
        return rc;
    if (p.name_len < WHITEOUT_LEN || memcmp(p.name, WHITEOUT, WHITEOUT_LEN) != 0)
        return 0;
    const char *name = p.name + WHITEOUT_LEN;
    size_t name_len = p.name_len - WHITEOUT_LEN;

    if (p.name_len == sizeof OPAQUE - 1 && memcmp(p.name, OPAQUE, p.name_len) == 0) {
        prune(p.folder, layer);
        return 1;
    }
    /* ".wh..wh.aufs", ".wh..wh.plnk": bookkeeping of a file system that layers were made with. */
    if (name_len >= WHITEOUT_LEN && memcmp(name, WHITEOUT, WHITEOUT_LEN) == 0)
        return 1;
    if (name_len == 0 || (name_len <= 2 && memcmp(name, "..", name_len) == 0))
        return err_set(err, -EINVAL, "%.300s: whiteout of no name", path);
    struct tree_entry *entry = entry_find(p.folder, name, name_len);

    if (entry)
        entry_prune(p.folder, entry, layer);
    return 1;
}

/* Attributes of a folder that was there before; children stay. */
static void folder_update(struct tree_inode *inode, const struct tree_inode *attrs)
{
    struct tree_inode old = *inode;

    *inode = *attrs;
    inode->parent = old.parent;
    inode->depth = old.depth;
    inode->children = old.children;
    inode->child_count = old.child_count;
}

int tree_put(struct tree *t, const char *path, unsigned layer, const struct tree_inode *attrs,
             struct tree_inode **ret, struct err *err)
{
    struct place p;
    int rc = place_find(t, path, layer, WALK_MAKE, &p, err);

    if (rc < 0)
        return rc;
    if (p.name_len == 0) {
        if (!S_ISDIR(attrs->mode))
            return err_set(err, -EISDIR, "%.300s: only a folder can be there", path);
        folder_update(p.folder, attrs);
        *ret = p.folder;
        return 0;
    }
    struct tree_entry *entry = entry_find(p.folder, p.name, p.name_len);

    if (entry && S_ISDIR(entry->inode->mode) && S_ISDIR(attrs->mode)) {
        folder_update(entry->inode, attrs);
        entry->layer = layer;
        *ret = entry->inode;
        return 0;
    }
    if (S_ISDIR(attrs->mode) && p.folder->depth >= TREE_DEPTH_MAX)
        return err_set_errno(err, -ENAMETOOLONG, "%.300s", path);
    struct tree_inode *inode = inode_new(t, attrs, p.folder);

    if (!inode)
        return err_set(err, -E2BIG, "%.300s: too many files, or out of memory", path);
    if (entry) {
        entry->inode = inode;
        entry->layer = layer;
    } else {
        rc = entry_add(t, p.folder, p.name, p.name_len, layer, inode);
        if (rc < 0)
            return err_set_errno(err, rc, "%.300s", path);
    }
    *ret = inode;
    return 0;
}

int tree_link(struct tree *t, const char *path, unsigned layer, const char *target, struct err *err)
{
    struct place p;
    int rc = place_find(t, target, layer, WALK_FIND, &p, err);

    if (rc < 0)
        return err_wrap(err, rc, "%.300s: hard link", path);
    struct tree_entry *from = p.name_len ? entry_find(p.folder, p.name, p.name_len) : NULL;

    if (!from || S_ISDIR(from->inode->mode))
        return err_set(err, from || p.name_len == 0 ? -EISDIR : -ENOENT,
                       "%.300s: hard link to %.300s, which is %s", path, target,
                       from || p.name_len == 0 ? "a folder" : "not there");
    struct tree_inode *inode = from->inode;

    rc = place_find(t, path, layer, WALK_MAKE, &p, err);
    if (rc < 0)
        return rc;
    if (p.name_len == 0)
        return err_set(err, -EISDIR, "%.300s: only a folder can be there", path);
    struct tree_entry *entry = entry_find(p.folder, p.name, p.name_len);

    if (!entry)
        rc = entry_add(t, p.folder, p.name, p.name_len, layer, inode);
    else
        *entry = (struct tree_entry){ entry->name, entry->name_len, layer, inode };
    return rc < 0 ? err_set_errno(err, rc, "%.300s", path) : 0;
}

int tree_make_folder(struct tree *t, const char *path, struct err *err)
{
    struct place p;
    const struct tree_inode *found = tree_find(t, path);

    if (found)
        return S_ISDIR(found->mode) ? 0 : err_set_errno(err, -ENOTDIR, "%.300s", path);
    int rc = place_find(t, path, 0, WALK_MAKE, &p, err);

    if (rc < 0 || p.name_len == 0)
        return rc;
    if (entry_find(p.folder, p.name, p.name_len))
        return err_set(err, -ELOOP, "%.300s: a symbolic link leads nowhere", path);
    rc = folder_make(t, &p, p.name_len, 0);
    return rc < 0 ? err_set_errno(err, rc, "%.300s", path) : 0;
}

struct tree_inode *tree_find(struct tree *t, const char *path)
{
    struct place p;

    if (place_find(t, path, 0, WALK_FOLLOW, &p, NULL) < 0)
        return NULL;
    if (p.name_len == 0)
        return p.folder;
    struct tree_entry *entry = entry_find(p.folder, p.name, p.name_len);

    return entry ? entry->inode : NULL;
}

/* ---- Lists ---- */

struct list {
    struct tree_entry **entries;
    uint32_t count;
};

static void list_add(const void *node, VISIT visit, void *arg)
{
    struct list *list = arg;

    if (visit == postorder || visit == leaf)
        list->entries[list->count++] = *(struct tree_entry *const *)node;
}

int tree_list(const struct tree_inode *folder, struct tree_entry ***ret, uint32_t *ret_count)
{
    struct list list = { .entries = calloc(folder->child_count + 1, sizeof *list.entries) };

    if (!list.entries)
        return -ENOMEM;
    twalk_r(folder->children, list_add, &list);
    *ret = list.entries;
    *ret_count = list.count;
    return 0;
}

static int links_count(struct tree_inode *folder, bool reset)
{
    struct tree_entry **entries;
    uint32_t count;
    int rc = tree_list(folder, &entries, &count);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct tree_inode *inode = entries[i]->inode;

        if (S_ISDIR(inode->mode)) {
            inode->links = 2;
            folder->links++;
            rc = links_count(inode, reset);
        } else {
            inode->links = reset ? 0 : inode->links + 1;
        }
    }
    free(entries);
    return rc;
}

int tree_count_links(struct tree *t)
{
    t->root->links = 2;
    int rc = links_count(t->root, true);

    t->root->links = 2;
    return rc < 0 ? rc : links_count(t->root, false);
}

static int xattr_compare(const void *a, const void *b)
{
    const struct tree_xattr *x = a, *y = b;

    return strcmp(x->name, y->name);
}

int tree_set_xattrs(struct tree *t, struct tree_inode *inode, const struct tree_xattr *xattrs,
                    size_t count)
{
    struct tree_xattr *copy;

    if (count > TREE_XATTRS_MAX)
        return -E2BIG;
    copy = arena_alloc(&t->arena, count * sizeof *copy);
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (xattrs[i].value_size > TREE_XATTR_SIZE_MAX)
            return -E2BIG;
        copy[i].name = arena_copy(&t->arena, xattrs[i].name, strlen(xattrs[i].name));
        copy[i].value = (uint8_t *)arena_copy(&t->arena, xattrs[i].value, xattrs[i].value_size);
        copy[i].value_size = xattrs[i].value_size;
        if (!copy[i].name || !copy[i].value)
            return -ENOMEM;
    }
    qsort(copy, count, sizeof *copy, xattr_compare);
    inode->xattrs = copy;
    inode->xattr_count = (uint32_t)count;
    return 0;
}
