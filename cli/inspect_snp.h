/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche inspect --snp`: the launch digest that a firmware leads to. Relying party. */
#pragma once

/* argv from "inspect" on, with --snp among the options. returns: exit status. */
int inspect_snp(int argc, char **argv);
