/* SPDX-License-Identifier: Apache-2.0 */
/* AVL tree of address ranges with the largest range per subtree. Trusted. */
#include "tee/libos/mm/tree.h"

static int height_of(const struct range_node *n)
{
    return n ? n->height : 0;
}

/* Recomputes what a node knows of its subtree. */
static void update(struct range_node *n)
{
    int left = height_of(n->left), right = height_of(n->right);
    size_t size = n->end - n->start;

    n->height = 1 + MAX(left, right);
    if (n->left && n->left->max_size > size)
        size = n->left->max_size;
    if (n->right && n->right->max_size > size)
        size = n->right->max_size;
    n->max_size = size;
}

static void replace_child(struct range_tree *t, struct range_node *parent, struct range_node *old,
                          struct range_node *with)
{
    if (!parent)
        t->root = with;
    else if (parent->left == old)
        parent->left = with;
    else
        parent->right = with;
    if (with)
        with->parent = parent;
}

static struct range_node *rotate_left(struct range_tree *t, struct range_node *n)
{
    struct range_node *up = n->right;

    replace_child(t, n->parent, n, up);
    n->right = up->left;
    if (n->right)
        n->right->parent = n;
    up->left = n;
    n->parent = up;
    update(n);
    update(up);
    return up;
}

static struct range_node *rotate_right(struct range_tree *t, struct range_node *n)
{
    struct range_node *up = n->left;

    replace_child(t, n->parent, n, up);
    n->left = up->right;
    if (n->left)
        n->left->parent = n;
    up->right = n;
    n->parent = up;
    update(n);
    update(up);
    return up;
}

/* Restores balance and sizes from n up to the root. */
static void rebalance(struct range_tree *t, struct range_node *n)
{
    while (n) {
        int balance = height_of(n->left) - height_of(n->right);

        if (balance > 1) {
            if (height_of(n->left->left) < height_of(n->left->right))
                rotate_left(t, n->left);
            n = rotate_right(t, n);
        } else if (balance < -1) {
            if (height_of(n->right->right) < height_of(n->right->left))
                rotate_right(t, n->right);
            n = rotate_left(t, n);
        } else {
            update(n);
        }
        n = n->parent;
    }
}

void range_tree_add(struct range_tree *t, struct range_node *node)
{
    struct range_node **link = &t->root, *parent = NULL;

    while (*link) {
        parent = *link;
        link = node->start < parent->start ? &parent->left : &parent->right;
    }
    node->parent = parent;
    node->left = node->right = NULL;
    *link = node;
    rebalance(t, node);
}

void range_tree_remove(struct range_tree *t, struct range_node *node)
{
    struct range_node *start_at;

    if (node->left && node->right) {
        struct range_node *next = node->right;

        while (next->left)
            next = next->left;
        start_at = next->parent == node ? next : next->parent;
        if (next->parent != node) {
            replace_child(t, next->parent, next, next->right);
            next->right = node->right;
            next->right->parent = next;
        }
        next->left = node->left;
        next->left->parent = next;
        replace_child(t, node->parent, node, next);
    } else {
        start_at = node->parent;
        replace_child(t, node->parent, node, node->left ? node->left : node->right);
    }
    rebalance(t, start_at);
}

void range_tree_resize(struct range_node *node, uintptr_t start, uintptr_t end)
{
    node->start = start;
    node->end = end;
    for (; node; node = node->parent) {
        size_t before = node->max_size;

        update(node);
        if (node->max_size == before)
            break; /* nothing above can change */
    }
}

struct range_node *range_tree_find(const struct range_tree *t, uintptr_t addr)
{
    struct range_node *n = t->root;

    while (n) {
        if (addr < n->start)
            n = n->left;
        else if (addr >= n->end)
            n = n->right;
        else
            return n;
    }
    return NULL;
}

struct range_node *range_tree_find_above(const struct range_tree *t, uintptr_t addr)
{
    struct range_node *n = t->root, *best = NULL;

    while (n) {
        if (n->end > addr) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

struct range_node *range_tree_find_highest_fit(const struct range_tree *t, size_t size)
{
    struct range_node *n = t->root;

    if (!n || n->max_size < size)
        return NULL;
    for (;;) {
        if (n->right && n->right->max_size >= size)
            n = n->right;
        else if (n->end - n->start >= size)
            return n;
        else
            n = n->left;
    }
}

struct range_node *range_tree_find_lowest_fit(const struct range_tree *t, size_t size)
{
    struct range_node *n = t->root;

    if (!n || n->max_size < size)
        return NULL;
    for (;;) {
        if (n->left && n->left->max_size >= size)
            n = n->left;
        else if (n->end - n->start >= size)
            return n;
        else
            n = n->right;
    }
}

struct range_node *range_tree_first(const struct range_tree *t)
{
    struct range_node *n = t->root;

    while (n && n->left)
        n = n->left;
    return n;
}

struct range_node *range_tree_next(const struct range_node *node)
{
    struct range_node *n;

    if (node->right) {
        for (n = node->right; n->left; n = n->left)
            ;
        return n;
    }
    while ((n = node->parent) && n->right == node)
        node = n;
    return n;
}

struct range_node *range_tree_prev(const struct range_node *node)
{
    struct range_node *n;

    if (node->left) {
        for (n = node->left; n->right; n = n->right)
            ;
        return n;
    }
    while ((n = node->parent) && n->left == node)
        node = n;
    return n;
}
