/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotes in bulk for tests of the exchange: quote_stream PKI. A line "MRENCLAVE-BYTE FLAGS REPORT-DATA" (hex; FLAGS: letters, s: with collateral, d: debug, -: none) on standard
 * input gives a line with the evidence as a CMW in JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/image.h"
#include "abi/sgx_arch.h"
#include "lib/descriptor.h"
#include "tests/unit/attest/quoter.h"

/* The descriptor of an image that does not exist, as the builder would write it. */
static int describe(const char *name)
{
    struct descriptor d = {
        .version = 1,
        .name = name,
        .verity_root = { 1, 2, 0xff },
        .verity_salt = { 0xab },
        .verity_salt_size = 1,
        .rootfs_size = 8192,
        .args_count = 1,
        .args = (const char *const[]){ "/bin/true" },
        .workdir = "/",
        .hostname = name,
        .memory_size = 1ull << 30,
        .threads_max = 64,

        .elrange_size = ELRANGE_SIZE_DEFAULT,
        .stop_signal = "SIGTERM",
    };
    char text[4096];
    int64_t size = descriptor_encode(&d, text, sizeof text);

    if (size < 0) {
        fprintf(stderr, "quote_stream: the descriptor: %lld\n", (long long)size);
        return 1;
    }
    fwrite(text, 1, (size_t)size, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned mrenclave;
    char flags[8], hex[129];

    if (argc == 3 && strcmp(argv[1], "--descriptor") == 0)
        return describe(argv[2]);
    if (argc != 2)
        return 2;
    while (scanf("%2x %7s %128s", &mrenclave, flags, hex) == 3) {
        CLEANUP(cmw_freep)
        struct cmw *cmw = NULL;
        uint8_t report_data[64];
        struct err err = { "" };
        char *text;
        size_t size;
        int rc;

        for (unsigned i = 0; i < 64; i++) {
            unsigned byte;

            if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
                return 2;
            report_data[i] = (uint8_t)byte;
        }
        quoter_attributes_add(strchr(flags, 'd') ? SGX_ATTR_DEBUG : 0);
        rc = quoter_get_from(argv[1], (uint8_t)mrenclave, strchr(flags, 's') != NULL, report_data,
                             &cmw, &err);
        if (rc == 0)
            rc = cmw_encode_json(cmw, &text, &size);
        if (rc < 0) {
            fprintf(stderr, "quote_stream: %s\n", err.text);
            return 1;
        }
        puts(text);
        fflush(stdout);
        free(text);
    }
    return 0;
}
