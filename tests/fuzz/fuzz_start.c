/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader hands over at start (tee/enclave/start.c): struct enclave_start, then the host's memory, in which its
 * addresses are made to point. Whatever is let through must be whole; ending the enclave is a right answer too.
 */
#include "abi/image.h"

static struct enclave_config g_config;
#undef LIBOS_CONFIG_ADDR
#define LIBOS_CONFIG_ADDR ((uintptr_t)&g_config)

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
/* The code under test reads its config page at a fixed address, which is given another here. */
#include "tee/enclave/start.c"

#define HOST_BASE (1ull << 41)
#define START_AT 0x7000000000000ull /* no address: stands for the struct itself */
#define BLOCKS_MAX 64u

static const uint8_t *g_memory;
static size_t g_memory_size;
static struct enclave_start g_start;
static jmp_buf g_end;
static void *g_blocks[BLOCKS_MAX];
static unsigned g_block_count;

void *mem_alloc(size_t size)
{
    void *block = g_block_count < BLOCKS_MAX ? malloc(size) : NULL;

    if (block)
        g_blocks[g_block_count++] = block;
    return block;
}

void *mem_calloc(size_t count, size_t size)
{
    void *block = mem_alloc(count * size);

    return block ? memset(block, 0, count * size) : NULL;
}

void mem_free(void *ptr)
{
    for (unsigned i = 0; i < g_block_count; i++)
        if (g_blocks[i] == ptr)
            g_blocks[i] = NULL;
    free(ptr);
}

int uptr_read(void *dst, struct uptr src, size_t size)
{
    if (src.addr == START_AT) {
        memcpy(dst, &g_start, MIN(size, sizeof g_start));
        return 0;
    }
    if (src.addr < HOST_BASE || src.addr - HOST_BASE > g_memory_size ||
        size > g_memory_size - (src.addr - HOST_BASE))
        return -EFAULT;
    memcpy(dst, g_memory + (src.addr - HOST_BASE), size);
    return 0;
}

bool uptr_is_outside(struct uptr src, uint64_t size)
{
    return src.addr >= g_config.elrange_size && size <= (1ull << 47) &&
           src.addr <= (1ull << 47) - size;
}

void enclave_panic(const char *text)
{
    longjmp(g_end, 1);
}

static void check_strings(uint32_t count, const char *const *strings, uint32_t max)
{
    size_t total = 0;

    assert(count <= max && strings[count] == NULL);
    for (uint32_t i = 0; i < count; i++)
        total += strlen(strings[i]) + 1;
    assert(total <= START_STRINGS_SIZE_MAX + 1);
}

void libos_start(const struct start_info *info)
{
    check_strings(info->host_argument_count, info->host_arguments, START_STRING_COUNT_MAX);
    check_strings(info->host_environment_count, info->host_environment, START_STRING_COUNT_MAX);
    assert(info->cpu_count >= 1 && info->cpu_count <= 1024 && info->stdio_tty <= 7);
    assert(uptr_is_outside(info->rootfs, info->descriptor->rootfs_size));
    assert(uptr_is_outside(info->verity, info->verity_size));
    longjmp(g_end, 1);
}

void log_set_verbose(bool verbose)
{
}

void heap_init(void)
{
}

void digest_init(void)
{
}

void commit_init(uint64_t limit_pages)
{
}

void thread_slots_init(uint32_t host_slots)
{
}

void clock_init(uint64_t tsc_hz_hint, bool has_tsc)
{
}

void xstate_init(void)
{
}

/* Into the host's memory, or just beside it. */
static void point(struct start_span *span)
{
    if (span->addr & 1)
        return; /* as the input has it */
    span->addr = HOST_BASE + (span->addr >> 1) % (g_memory_size + 2);
    span->size %= 2 * g_memory_size + 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof g_start)
        return 0;
    memcpy(&g_start, data, sizeof g_start);
    g_memory = data + sizeof g_start;
    g_memory_size = size - sizeof g_start;
    g_start.version = START_VERSION + (g_start.version == UINT32_MAX);
    point(&g_start.descriptor);
    point(&g_start.arguments);
    point(&g_start.environment);
    g_config.elrange_size = ELRANGE_SIZE_DEFAULT;
    /* The descriptor is the measured one: what comes behind that check is looked at, too. */
    if (g_start.descriptor.addr >= HOST_BASE &&
        g_start.descriptor.addr - HOST_BASE <= g_memory_size &&
        g_start.descriptor.size <= g_memory_size - (g_start.descriptor.addr - HOST_BASE))
        sha384_digest(g_memory + (g_start.descriptor.addr - HOST_BASE), g_start.descriptor.size,
                      g_config.app_digest);
    if (setjmp(g_end) == 0)
        enclave_start(START_AT);
    while (g_block_count > 0)
        free(g_blocks[--g_block_count]);
    return 0;
}
