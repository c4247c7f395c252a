/* SPDX-License-Identifier: Apache-2.0 */
/* What `cloche emu` consists of; argv from the subcommand's own name on. Relying party side. */
#pragma once

/* An emulated Intel PKI. */
int cmd_emu_pki(int argc, char **argv);
/* The quoting service of the emulated platform. */
int cmd_emu_quoting(int argc, char **argv);
