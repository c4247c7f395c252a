/* SPDX-License-Identifier: Apache-2.0 */
/* Words for the tables of pseudo.h: a value, a folder, the end of a table, a text that never changes. Trusted. */
#pragma once

#include "tee/libos/fs/vfs/pseudo.h"

#define VALUE(n, fn)                                                                               \
    {                                                                                              \
        .name = n, .mode = S_IFREG | 0444, .show = fn                                              \
    }
#define FOLDER(n, table)                                                                           \
    {                                                                                              \
        .name = n, .mode = S_IFDIR | 0555, .children = table                                       \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }
/* A file that always says the same. */
#define TEXT_SHOW(function, value)                                                                 \
    static int function(struct text *t, const struct pseudo_key *k UNUSED)                         \
    {                                                                                              \
        text_print(t, "%s\n", value);                                                              \
        return 0;                                                                                  \
    }
