/* SPDX-License-Identifier: Apache-2.0 */
/* What `cloche emu` consists of; argv from the subcommand's own name on. Relying party side. */
#pragma once

/* An emulated Intel PKI. */
int cmd_emu_pki(int argc, char **argv);
