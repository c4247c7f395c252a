/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host's arguments and environment reaches the program. Trusted; the host's strings are hostile. */
#pragma once

#include "tee/enclave/start.h"
#include "tee/libos/task/strings.h"

/* The arguments: the descriptor's, or its fixed ones followed by the host's where that is allowed.
 * returns: 0; -EPERM refused (said in a line); -EINVAL nothing to run (said); -ENOMEM, -E2BIG. */
MUST_CHECK int start_args(const struct start_info *start, struct exec_strings *ret);
/* The environment: fixed values, and the host's for the names that it may set; each other one is refused with a line.
 * PATH, HOME and (with a terminal) TERM get their usual values when nothing sets them. returns: 0; -ENOMEM, -E2BIG. */
MUST_CHECK int start_env(const struct start_info *start, struct exec_strings *ret);
