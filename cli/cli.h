/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subcommands of `cloche`. Each gets argv from its own name on and returns the exit status. Relying
 * party side.
 */
#pragma once

#define CLI_EXIT_OK 0
#define CLI_EXIT_FAILED 1
#define CLI_EXIT_USAGE 2
#define CLI_EXIT_REFUSED 3  /* by policy or verification */

/* Starts a sealed image; does not come back when it could: the program's own status is the process's. */
int cmd_run(int argc, char **argv);
/* What this machine can do, what is missing, how to fix it. */
int cmd_doctor(int argc, char **argv);
