/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of cloched: one file (cloched_<verb>.c) and one row in cloched.c each. Relying party. */
#pragma once

#include "server/config.h"

#define EXIT_USAGE 2

/* A command's words, --config FILE taken out and read. argv[0] is the verb. returns: exit status. */
typedef int cloched_verb_fn(const struct server_config *config, int argc, char **argv);
cloched_verb_fn cloched_backup, cloched_ca, cloched_check_config, cloched_init, cloched_rekey,
    cloched_restore, cloched_routes;
/* "cloched VERB: " text on stderr. returns: 1. */
int cloched_fail(const char *verb, const struct err *err);
