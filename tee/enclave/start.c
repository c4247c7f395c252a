/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENTER_START: what the host hands over (abi/start.h) is copied in once and checked; the descriptor
 * must have the digest that was measured. Trusted.
 */
#include "tee/enclave/start.h"

#include "abi/start.h"
#include "lib/checked.h"
#include "lib/digest.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

/* Until the descriptor says how much memory there is. */
#define BOOT_PAGES_MAX 4096u
#define CPU_COUNT_MAX 1024u

static struct descriptor g_descriptor;
static struct start_info g_start_info;

/* A copy of host memory, NUL after it; size has been checked. */
static char *copy_in(struct start_span span, uint64_t size_max)
{
    struct uptr src = { span.addr };
    char *copy;

    if (span.size > size_max)
        enclave_panic("the loader hands over more than allowed");
    copy = mem_alloc(span.size + 1);
    if (!copy)
        enclave_panic("no memory to start with");
    if (uptr_read(copy, src, span.size) < 0)
        enclave_panic("the loader points into the enclave");
    copy[span.size] = 0;
    return copy;
}

static void load_descriptor(struct start_span span)
{
    const struct enclave_config *config = enclave_config();
    char *json = copy_in(span, IMAGE_DESCRIPTOR_SIZE_MAX);
    size_t arena_size = 4 * span.size + 4096;
    void *arena = mem_alloc(arena_size);
    uint8_t digest[SHA384_SIZE];
    const char *error = NULL;

    if (!arena)
        enclave_panic("no memory to start with");
    sha384_digest(json, span.size, digest);
    if (memcmp(digest, config->app_digest, sizeof digest) != 0)
        enclave_panic("the descriptor is not the one that was measured: the image was changed");
    if (descriptor_parse(json, span.size, arena, arena_size, &g_descriptor, &error) < 0)
        enclave_panic("the measured descriptor is malformed");
    if (g_descriptor.elrange_size != config->elrange_size)
        enclave_panic("the measured descriptor and the enclave differ in ELRANGE");
    mem_free(json);
}

/* count NUL-ended strings in the span, as a NULL-ended array. */
static const char *const *split_strings(struct start_span span, uint32_t count)
{
    char *bytes = copy_in(span, START_STRINGS_SIZE_MAX);
    size_t off = 0;
    const char **strings;

    if (count > START_STRING_COUNT_MAX)
        enclave_panic("the loader hands over more than allowed");
    strings = mem_calloc(count + 1, sizeof *strings);
    if (!strings)
        enclave_panic("no memory to start with");
    for (uint32_t i = 0; i < count; i++) {
        if (off >= span.size)
            enclave_panic("the loader's strings are malformed");
        strings[i] = bytes + off;
        off += strnlen(bytes + off, span.size - off) + 1;
    }
    return strings;
}

static struct uptr outside_span(struct start_span span)
{
    struct uptr addr = { span.addr };

    if ((span.addr & (PAGE_SIZE - 1)) != 0 || !uptr_is_outside(addr, span.size))
        enclave_panic("the loader points into the enclave");
    return addr;
}

void enclave_start(uint64_t start_addr)
{
    const struct enclave_config *config = enclave_config();
    struct enclave_start start;
    struct start_info *info = &g_start_info;

    if (uptr_read(&start, (struct uptr){ start_addr }, sizeof start) < 0)
        enclave_panic("the loader points into the enclave");
    if (start.version != START_VERSION)
        enclave_panic("loader and enclave are of different versions");
    log_set_verbose((start.flags & START_VERBOSE) != 0);
    commit_init(BOOT_PAGES_MAX);
    heap_init();
    digest_init();
    thread_slots_init(start.thread_slots);
    clock_init(start.tsc_hz, config->pool_pages == 0 && !(start.flags & START_NO_EDMM));
    xstate_init();
    load_descriptor(start.descriptor);
    commit_init(g_descriptor.memory_size / PAGE_SIZE);
    *info = (struct start_info){
        .app_digest = config->app_digest,
        .descriptor = &g_descriptor,
        .rootfs = outside_span(start.rootfs),
        .verity = outside_span(start.verity),
        .verity_size = start.verity.size,
        .host_argument_count = start.argument_count,
        .host_arguments = split_strings(start.arguments, start.argument_count),
        .host_environment_count = start.environment_count,
        .host_environment = split_strings(start.environment, start.environment_count),
        .stdio_tty = start.stdio_tty & 7,
        .flags = start.flags,
        .cpu_count = start.cpu_count == 0 ? 1 : (uint32_t)MIN(start.cpu_count, CPU_COUNT_MAX),
        .elrange_size = config->elrange_size,
        .has_edmm = config->pool_pages == 0,
    };
    if (start.rootfs.size < g_descriptor.rootfs_size)
        enclave_panic("the image's root file system is cut short");
    libos_start(info);
}
