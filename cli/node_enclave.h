/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that a node starts and hears out: the builder that seals its enclave, the loader that runs it. Relying party side; within cli/node*. */
#pragma once

#include "cli/node_instance.h"

/*
 * Runs an image to its end with `input` as standard input. *ret: what it wrote to standard output, NUL behind *ret_size, for free().
 * returns: 0; -EIO it ended with another status than 0: err has the last words of its runtime; -E2BIG more than max; -ETIMEDOUT it was killed; errno.
 */
MUST_CHECK int node_enclave_run(const struct node_options *options, const char *image,
                                const void *input, size_t input_size, unsigned timeout_ms,
                                size_t max, char **ret, size_t *ret_size, struct err *err);
