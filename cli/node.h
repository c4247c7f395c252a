/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of `cloche node` that run on the node, and what `cloche up` needs of them. Relying party side. */
#pragma once

#include <jansson.h>

#include "cli/command.h"

int node_run(struct cli_call *call);
int node_start_image(struct cli_call *call);
extern const struct cli_option node_run_options[];
extern const unsigned node_run_option_count;

/* Joins with a one-time token; writes FOLDER/node.json (mode 0600). context: {"url", "ca"}; name NULL: the token's. returns: 0; -EEXIST it has joined already; errors as client_call. */
MUST_CHECK int node_join(const char *folder, const json_t *context, const char *token,
                         const char *name, struct err *err);
/* The default folder of this user's data: /var/lib/cloche of root, else ~/.local/share/cloche. returns: 0; -ENOENT. */
MUST_CHECK int node_data_folder(char *ret, size_t ret_size, struct err *err);
/* Makes a folder and those above it, 0700. */
MUST_CHECK int node_folder_make(const char *path, struct err *err);
