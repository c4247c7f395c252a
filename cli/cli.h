/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subcommands of `cloche`, and what they share. A subcommand is one file and one row in main.c; it gets
 * argv from its own name on and returns the exit status. Relying party side.
 */
#pragma once

#include "lib/err.h"

#define CLI_EXIT_OK 0
#define CLI_EXIT_FAILED 1
#define CLI_EXIT_USAGE 2
#define CLI_EXIT_REFUSED 3 /* by policy or verification */

/* Seals a container image. */
int cmd_build(int argc, char **argv);
/* Checks a sealed image and says what it is. */
int cmd_inspect(int argc, char **argv);
/* Starts a sealed image; does not come back when it could: the program's own status is the process's. */
int cmd_run(int argc, char **argv);
/* Judges a piece of evidence. */
int cmd_verify(int argc, char **argv);
/* Fetches, keeps and carries what the makers of TEEs publish. */
int cmd_collateral(int argc, char **argv);
/* Checks, compares and tries out appraisal policies. */
int cmd_policy(int argc, char **argv);
/* Attested TLS: server's front, proxy, client. */
int cmd_attest(int argc, char **argv);
/* What this machine can do, what is missing, how to fix it. */
int cmd_doctor(int argc, char **argv);
/* The world around an emulated platform. */
int cmd_emu(int argc, char **argv);

/* What --help of each prints; the manual page and the shell's completion are made from it. */
extern const char cmd_build_usage[], cmd_inspect_usage[], cmd_run_usage[], cmd_verify_usage[],
    cmd_collateral_usage[], cmd_policy_usage[], cmd_attest_usage[], cmd_doctor_usage[],
    cmd_emu_usage[];

/* Prints "cloche: text". returns: CLI_EXIT_REFUSED for -EBADMSG, else CLI_EXIT_FAILED. */
int cli_fail(const struct err *err, int rc);
/* Prints "cloche NAME: problem" and where to find help. returns: CLI_EXIT_USAGE. */
int cli_usage(const char *name, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * Path of a file that lies beside this program, as "cloche-enclave". returns: 0; -ENOENT and err says
 * where it was looked for.
 */
MUST_CHECK int cli_program_path(const char *name, char *ret, size_t ret_size, struct err *err);

/* "150.2 MiB" */
const char *cli_size_text(uint64_t size, char *ret, size_t ret_size);
