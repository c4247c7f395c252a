/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche attest` alone, as a static program that runs in any image. Inside a TEE it is part of what the image's identity covers. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cmd_attest(argc, argv);
}
