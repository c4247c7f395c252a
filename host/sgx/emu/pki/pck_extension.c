/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DER of the SGX extension of a PCK certificate. Untrusted side; pure. Source: Intel SGX PCK Certificate and CRL Profile, 1.3.5:
 * SEQUENCE OF SEQUENCE { OID 1.2.840.113741.1.13.1.n, value }.
 */
#include <assert.h>
#include <string.h>

#include "host/sgx/emu/pki/issue.h"

#define DER_BOOLEAN 0x01
#define DER_INTEGER 0x02
#define DER_OCTETS 0x04
#define DER_OID 0x06
#define DER_ENUMERATED 0x0a
#define DER_SEQUENCE 0x30

/* Written back to front, so that each length is known when its header is written. */
struct writer {
    uint8_t bytes[PCK_EXTENSION_SIZE_MAX];
    size_t start; /* first byte that is used */
};

static void put(struct writer *w, const void *data, size_t size)
{
    assert(w->start >= size);
    w->start -= size;
    memcpy(w->bytes + w->start, data, size);
}

static void put_byte(struct writer *w, uint8_t byte)
{
    put(w, &byte, 1);
}

/* Puts tag and length in front of what was written since the writer stood at end. */
static void close_element(struct writer *w, uint8_t tag, size_t end)
{
    size_t size = end - w->start;

    if (size >= 0x100) {
        put_byte(w, (uint8_t)size);
        put_byte(w, (uint8_t)(size >> 8));
        put_byte(w, 0x82);
    } else {
        put_byte(w, (uint8_t)size);
        if (size >= 0x80)
            put_byte(w, 0x81);
    }
    put_byte(w, tag);
}

static void put_octets(struct writer *w, const uint8_t *data, size_t size)
{
    size_t end = w->start;

    put(w, data, size);
    close_element(w, DER_OCTETS, end);
}

static void put_uint(struct writer *w, uint8_t tag, unsigned value)
{
    size_t end = w->start;

    do {
        put_byte(w, (uint8_t)value);
        value >>= 8;
    } while (value);
    if (w->bytes[w->start] & 0x80)
        put_byte(w, 0);
    close_element(w, tag, end);
}

static void put_bool(struct writer *w, bool value)
{
    size_t end = w->start;

    put_byte(w, value ? 0xff : 0);
    close_element(w, DER_BOOLEAN, end);
}

/* The value was written since end; puts the OID 1.2.840.113741.1.13.1[.arc].n in front and closes the pair. arc 0: none. */
static void close_member(struct writer *w, uint8_t arc, uint8_t n, size_t end)
{
    static const uint8_t prefix[] = { 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01 };
    size_t oid_end = w->start;

    put_byte(w, n);
    if (arc)
        put_byte(w, arc);
    put(w, prefix, sizeof prefix);
    close_element(w, DER_OID, oid_end);
    close_element(w, DER_SEQUENCE, end);
}

static void put_configuration(struct writer *w)
{
    size_t all_end = w->start, list_end = w->start;

    for (uint8_t n = 3; n >= 1; n--) { /* dynamic platform, cached keys, SMT enabled */
        size_t end = w->start;

        put_bool(w, n != 1);
        close_member(w, 7, n, end);
    }
    close_element(w, DER_SEQUENCE, list_end);
    close_member(w, 0, 7, all_end);
}

static void put_tcb(struct writer *w, const struct pck_extension *extension)
{
    size_t all_end = w->start, end = w->start;

    put_octets(w, extension->cpu_svn, sizeof extension->cpu_svn);
    close_member(w, 2, 18, end);
    end = w->start;
    put_uint(w, DER_INTEGER, extension->pce_svn);
    close_member(w, 2, 17, end);
    for (uint8_t n = EMU_PKI_SVN_COUNT; n >= 1; n--) {
        end = w->start;
        put_uint(w, DER_INTEGER, extension->svn[n - 1]);
        close_member(w, 2, n, end);
    }
    close_element(w, DER_SEQUENCE, all_end);
    close_member(w, 0, 2, all_end);
}

size_t pck_extension_encode(const struct pck_extension *extension,
                            uint8_t ret[PCK_EXTENSION_SIZE_MAX])
{
    struct writer w = { .start = PCK_EXTENSION_SIZE_MAX };
    size_t end = w.start, size;

    if (extension->is_platform) {
        put_configuration(&w);
        end = w.start;
        put_octets(&w, extension->platform_instance_id, sizeof extension->platform_instance_id);
        close_member(&w, 0, 6, end);
        end = w.start;
    }
    put_uint(&w, DER_ENUMERATED, extension->is_platform ? 1 : 0);
    close_member(&w, 0, 5, end);
    end = w.start;
    put_octets(&w, extension->fmspc, sizeof extension->fmspc);
    close_member(&w, 0, 4, end);
    end = w.start;
    put_octets(&w, extension->pce_id, sizeof extension->pce_id);
    close_member(&w, 0, 3, end);
    put_tcb(&w, extension);
    end = w.start;
    put_octets(&w, extension->ppid, sizeof extension->ppid);
    close_member(&w, 0, 1, end);
    close_element(&w, DER_SEQUENCE, PCK_EXTENSION_SIZE_MAX);
    size = PCK_EXTENSION_SIZE_MAX - w.start;
    memcpy(ret, w.bytes + w.start, size);
    return size;
}
