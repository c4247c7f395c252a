/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands that judge evidence read: collateral, policies, a time. Relying party side. */
#pragma once

#include "cli/file.h"
#include "verifier/verifier.h"

/* Whether the file name is one of those that a collateral folder may have (`cloche verify --help` lists them). */
bool collateral_folder_has_name(const char *name);
/* Files of a collateral folder; items points into them. */
#define COLLATERAL_FILE_COUNT 13u
struct collateral_files {
    struct file_bytes files[COLLATERAL_FILE_COUNT];
    struct verifier_collateral_items items;
};
/* returns: 0; -ENOENT the folder has none of them; another errno. Also after an error, files is done with. */
MUST_CHECK int collateral_files_read(const char *folder, struct collateral_files *files,
                                     struct err *err);
void collateral_files_done(struct collateral_files *files);
/* The same, parsed. returns: 0; -ENOENT the folder has none of them; another errno. */
MUST_CHECK int collateral_folder_read(const char *folder, struct verifier_collateral **ret,
                                      struct err *err);
/* returns: 0; -EINVAL no policy, err says where; another errno. */
MUST_CHECK int policy_file_read(const char *path, struct verifier_policy **ret, struct err *err);
/* --at: NULL is now, "none" is 0. returns: 0; -EINVAL. */
MUST_CHECK int time_option_read(const char *at, int64_t *ret_s, struct err *err);
