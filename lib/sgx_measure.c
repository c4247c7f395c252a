/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MRENCLAVE. Shared. SDM vol. 3D, section 39: each leaf adds a 64-byte record whose first 8 bytes
 * are its name; EEXTEND adds the 256 measured bytes after it.
 */
#include "lib/sgx_measure.h"

#include <string.h>

static void add_record(struct sgx_measure *m, const char name[8], const void *fields, size_t size)
{
    uint8_t record[64] = { 0 };

    memcpy(record, name, 8);
    memcpy(record + 8, fields, size);
    sha256_update(&m->sha, record, sizeof record);
}

void sgx_measure_ecreate(struct sgx_measure *m, uint32_t ssa_frame_pages, uint64_t size)
{
    struct {
        uint32_t ssa_frame_pages;
        uint64_t size;
    } PACKED fields = { ssa_frame_pages, size };

    sha256_init(&m->sha);
    add_record(m, "ECREATE", &fields, sizeof fields);
}

void sgx_measure_eadd(struct sgx_measure *m, uint64_t off, uint64_t secinfo_flags)
{
    /* 48 bytes of SECINFO are measured: its flags and reserved zeros. */
    uint64_t fields[2] = { off, secinfo_flags };

    add_record(m, "EADD\0\0\0", fields, sizeof fields);
}

void sgx_measure_eextend(struct sgx_measure *m, uint64_t off, const uint8_t chunk[256])
{
    add_record(m, "EEXTEND", &off, sizeof off);
    sha256_update(&m->sha, chunk, 256);
}

/* Four chunks at a time: one call of the digest for 1280 bytes. */
void sgx_measure_page(struct sgx_measure *m, uint64_t off, const uint8_t page[4096])
{
    enum { RECORD = 64, CHUNK = 256, CHUNKS = 4 };
    uint8_t records[CHUNKS][RECORD + CHUNK];

    memset(records, 0, sizeof records);
    for (size_t i = 0; i < 4096; i += CHUNKS * CHUNK) {
        for (size_t k = 0; k < CHUNKS; k++) {
            uint64_t chunk_off = off + i + k * CHUNK;

            memcpy(records[k], "EEXTEND", 8);
            memcpy(records[k] + 8, &chunk_off, sizeof chunk_off);
            memcpy(records[k] + RECORD, page + i + k * CHUNK, CHUNK);
        }
        sha256_update(&m->sha, records, sizeof records);
    }
}

void sgx_measure_final(const struct sgx_measure *m, uint8_t ret_mrenclave[32])
{
    struct sha256 copy = m->sha;

    sha256_final(&copy, ret_mrenclave);
}
