/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent reads by configfs-tsm (tee/agent/evidence.c): provider, outblob and auxblob in hexadecimal, one a line; for test_tsm.py. */
#include <stdio.h>
#include <string.h>

#include "tee/agent/evidence.h"

static void show(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    uint8_t data[EVIDENCE_REPORT_DATA_SIZE];
    struct evidence e;
    int rc;

    memset(data, argc > 1 ? argv[1][0] : 0, sizeof data);
    rc = evidence_get(EVIDENCE_TREE, data, 5000, &e);
    if (rc < 0) {
        printf("error %d\n", -rc);
        return 0;
    }
    printf("%s\n", e.provider);
    show(e.outblob, e.outblob_size);
    show(e.auxblob, e.auxblob_size);
    evidence_done(&e);
    return 0;
}
