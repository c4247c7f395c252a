/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balanced (AVL) tree of address ranges [start, end) that never overlap, found by address in
 * O(log n). Nodes are embedded in the caller's structs; each subtree knows its largest range, so a range of at
 * least some size is found without walking them all. Trusted. No locks of its own.
 */
#pragma once

#include "lib/defs.h"

struct range_node {
    struct range_node *parent, *left, *right;
    uintptr_t start, end;
    size_t max_size; /* largest end - start in the subtree */
    int32_t height;
};

struct range_tree {
    struct range_node *root;
};

/* The range must overlap none of the tree's. */
void range_tree_add(struct range_tree *t, struct range_node *node);
void range_tree_remove(struct range_tree *t, struct range_node *node);
/* Changes the bounds of a node in place; its order among its neighbours must stay the same. */
void range_tree_resize(struct range_node *node, uintptr_t start, uintptr_t end);
/* The range that contains addr, or NULL. */
struct range_node *range_tree_find(const struct range_tree *t, uintptr_t addr);
/* The lowest range that ends above addr (contains it or follows it), or NULL. */
struct range_node *range_tree_find_above(const struct range_tree *t, uintptr_t addr);
/* The highest, or the lowest, range of at least size bytes, or NULL. */
struct range_node *range_tree_find_highest_fit(const struct range_tree *t, size_t size);
struct range_node *range_tree_find_lowest_fit(const struct range_tree *t, size_t size);
struct range_node *range_tree_first(const struct range_tree *t);
struct range_node *range_tree_next(const struct range_node *node);
struct range_node *range_tree_prev(const struct range_node *node);
