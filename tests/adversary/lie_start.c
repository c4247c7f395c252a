/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies in what the enclave is started with (abi/start.h), and entries that nobody asked for. Untrusted side,
 * test only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/adversary/lies.h"

static struct loader *g_loader;
static unsigned g_calls;

static bool is_lie(const char *name)
{
    return strcmp(g_lie->name, name) == 0;
}

/* ---- entries ---- */

/* One EENTER by hand. returns: the leaf with which it came back. */
static unsigned enter(struct loader *l, uint64_t event, uint64_t arg, void *frame)
{
    struct sgx_run run = { .tcs = LIBOS_SLOTS_ADDR + LIBOS_SLOT_SIZE + SLOT_TCS_OFF };

    if (l->backend->enter(event, arg, (unsigned long)frame, SGX_EENTER, 0, 0, &run) < 0)
        exit(3);
    return run.function;
}

/* Entries that nobody asked for, on a slot of their own: each comes straight back out. */
static void wrong_entries(struct loader *l)
{
    struct ocall_frame *frame = l->ocall.threads[1].frame;
    static const uint64_t events[] = {
        ENTER_THREAD, ENTER_OCALL_RETURN, ENTER_EXCEPTION, ENTER_SIGNAL, 0, 77, UINT64_MAX
    };

    if (l->backend->thread_init(l->ocall.enclave) < 0)
        exit(3);
    frame->number = OCALL_INVALID;
    for (unsigned round = 0; round < 3; round++)
        for (size_t i = 0; i < ARRAY_COUNT(events); i++)
            if (enter(l, events[i], 9, frame) != SGX_EEXIT || frame->number != OCALL_INVALID)
                exit(4);
    /* Frames that overlap ELRANGE, wrap, or are not aligned. */
    if (enter(l, ENTER_START, (uint64_t)&l->start, (void *)0x800000000) != SGX_EEXIT ||
        enter(l, ENTER_START, (uint64_t)&l->start, (void *)(l->descriptor.elrange_size - 4096)) !=
            SGX_EEXIT ||
        enter(l, ENTER_START, (uint64_t)&l->start, (void *)UINT64_MAX) != SGX_EEXIT ||
        enter(l, ENTER_START, (uint64_t)&l->start, (uint8_t *)frame + 8) != SGX_EEXIT ||
        frame->number != OCALL_INVALID)
        exit(5);
    l->backend->thread_done(l->ocall.enclave);
}

static void second_start(struct loader *l)
{
    struct ocall_frame *frame = l->ocall.threads[1].frame;

    /* Slot 0 started and waits in its first OCALL: see serve_second_start. */
    frame->number = OCALL_INVALID;
    if (enter(l, ENTER_START, (uint64_t)&l->start, frame) != SGX_EEXIT ||
        frame->number != OCALL_INVALID)
        exit(6);
}

static void *second_start_thread(void *arg)
{
    if (g_loader->backend->thread_init(g_loader->ocall.enclave) < 0)
        exit(3);
    second_start(g_loader);
    g_loader->backend->thread_done(g_loader->ocall.enclave);
    return NULL;
}

static bool serve_second_start(struct ocall_thread *t)
{
    if (g_calls++ == 0) {
        pthread_t thread;

        pthread_create(&thread, NULL, second_start_thread, NULL);
        pthread_join(thread, NULL);
    }
    return ocall_serve(t);
}

/* ---- what the start says ---- */

#define UNMAPPED 0x7e0000000000ull /* outside, and nothing there */

static void tell_start(struct loader *l)
{
    struct enclave_start *s = &l->start;
    static const struct {
        const char *name;
        size_t off, size;
        uint64_t value;
    } lies[] = {
#define LIE(lie_name, field, lie_value)                                                            \
    { lie_name, offsetof(struct enclave_start, field), sizeof(s->field), lie_value }
        LIE("start-version", version, START_VERSION + 1),
        LIE("start-version-0", version, 0),
        LIE("start-rootfs-inside", rootfs.addr, LIBOS_BASE),
        LIE("start-rootfs-at-0", rootfs.addr, 0),
        LIE("start-rootfs-misaligned", rootfs.addr, UNMAPPED + 8),
        LIE("start-rootfs-wraps", rootfs.size, UINT64_MAX - PAGE_SIZE),
        LIE("start-rootfs-not-canonical", rootfs.addr, 1ull << 63),
        LIE("start-rootfs-short", rootfs.size, PAGE_SIZE),
        LIE("start-rootfs-empty", rootfs.size, 0),
        LIE("start-verity-inside", verity.addr, LIBOS_HEAP_ADDR),
        LIE("start-verity-wraps", verity.size, UINT64_MAX),
        LIE("start-verity-misaligned", verity.addr, UNMAPPED + 1),
        LIE("start-descriptor-inside", descriptor.addr, LIBOS_BASE),
        LIE("start-descriptor-unmapped", descriptor.addr, UNMAPPED),
        LIE("start-descriptor-huge", descriptor.size, 1ull << 32),
        LIE("start-descriptor-empty", descriptor.size, 0),
        LIE("start-arguments-inside", arguments.addr, LIBOS_CONFIG_ADDR),
        LIE("start-arguments-unmapped", arguments.addr, UNMAPPED),
        LIE("start-arguments-kernel", arguments.addr, 0xffff800000000000),
        LIE("start-arguments-short", argument_count, 5),
        LIE("start-arguments-many", argument_count, UINT32_MAX),
        LIE("start-arguments-huge", arguments.size, UINT64_MAX),
        LIE("start-environment-inside", environment.addr, LIBOS_SLOTS_ADDR),
        LIE("start-environment-huge", environment.size, 1ull << 40),
        LIE("start-environment-many", environment_count, START_STRING_COUNT_MAX + 1),
        LIE("start-tsc", tsc_hz, 1),
        LIE("start-tsc-huge", tsc_hz, UINT64_MAX),
        LIE("start-cpus-0", cpu_count, 0),
        LIE("start-cpus-huge", cpu_count, UINT64_MAX),
        LIE("start-flags", flags, UINT32_MAX & ~START_VERBOSE),
        LIE("start-tty", stdio_tty, UINT32_MAX),
        LIE("start-reserved", diag, UINT64_MAX),
        LIE("start-slots", thread_slots, UINT32_MAX),
        LIE("start-slots-0", thread_slots, 0),
#undef LIE
    };

    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        if (is_lie(lies[i].name)) {
            memcpy((uint8_t *)s + lies[i].off, &lies[i].value, lies[i].size);
            atomic_fetch_add(&g_told, 1);
        }
    }
}

static void tell_start_across(struct loader *l)
{
    l->start.rootfs.addr = l->descriptor.elrange_size - PAGE_SIZE;
    atomic_fetch_add(&g_told, 1);
}

static void tell_descriptor_other(struct loader *l)
{
    l->start.descriptor.size--;
    atomic_fetch_add(&g_told, 1);
}

/* The start changes while the enclave copies it: whatever it gets is checked. */
static void *flip_start(void *arg)
{
    struct enclave_start *s = arg;
    const struct enclave_start good = *s;

    for (;;) {
        __atomic_store_n(&s->rootfs.addr, LIBOS_BASE, __ATOMIC_RELAXED);
        __atomic_store_n(&s->descriptor.size, UINT64_MAX, __ATOMIC_RELAXED);
        __atomic_store_n(&s->arguments.addr, LIBOS_HEAP_ADDR, __ATOMIC_RELAXED);
        sched_yield();
        __atomic_store_n(&s->rootfs.addr, good.rootfs.addr, __ATOMIC_RELAXED);
        __atomic_store_n(&s->descriptor.size, good.descriptor.size, __ATOMIC_RELAXED);
        __atomic_store_n(&s->arguments.addr, good.arguments.addr, __ATOMIC_RELAXED);
        sched_yield();
    }
    return NULL;
}

static void tell_flipping(struct loader *l)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, flip_start, &l->start) != 0)
        exit(3);
    atomic_fetch_add(&g_told, 1);
}

static void tell_entries(struct loader *l)
{
    wrong_entries(l);
    atomic_fetch_add(&g_told, 1);
}

static void tell_second(struct loader *l)
{
    g_loader = l;
    atomic_fetch_add(&g_told, 1);
}

#define HELLO "hello from inside"
#define INSIDE "points into the enclave"
#define MORE "more than allowed"
#define HARMLESS_START(start_name)                                                                 \
    {                                                                                              \
        .name = start_name, .outcome = OUTCOME_STATUS, .text = HELLO                               \
    }
#define REFUSED_START(start_name, why)                                                             \
    {                                                                                              \
        .name = start_name, .outcome = OUTCOME_REFUSED, .text = why                                \
    }

unsigned lie_start_list(struct lie *ret, unsigned max)
{
    static const struct lie lies[] = {
        REFUSED_START("start-version", "different versions"),
        REFUSED_START("start-version-0", "different versions"),
        REFUSED_START("start-rootfs-inside", INSIDE),
        REFUSED_START("start-rootfs-at-0", INSIDE),
        REFUSED_START("start-rootfs-misaligned", INSIDE),
        REFUSED_START("start-rootfs-wraps", INSIDE),
        REFUSED_START("start-rootfs-not-canonical", INSIDE),
        REFUSED_START("start-rootfs-short", "cut short"),
        REFUSED_START("start-rootfs-empty", "cut short"),
        REFUSED_START("start-verity-inside", INSIDE),
        REFUSED_START("start-verity-wraps", INSIDE),
        REFUSED_START("start-verity-misaligned", INSIDE),
        REFUSED_START("start-descriptor-inside", INSIDE),
        REFUSED_START("start-descriptor-unmapped", INSIDE),
        REFUSED_START("start-descriptor-huge", MORE),
        REFUSED_START("start-descriptor-empty", "not the one that was measured"),
        REFUSED_START("start-arguments-inside", INSIDE),
        REFUSED_START("start-arguments-unmapped", INSIDE),
        REFUSED_START("start-arguments-kernel", INSIDE),
        REFUSED_START("start-arguments-short", "malformed"),
        REFUSED_START("start-arguments-many", MORE),
        REFUSED_START("start-arguments-huge", MORE),
        REFUSED_START("start-environment-inside", INSIDE),
        REFUSED_START("start-environment-huge", MORE),
        REFUSED_START("start-environment-many", MORE),
        HARMLESS_START("start-tsc"),
        HARMLESS_START("start-tsc-huge"),
        HARMLESS_START("start-cpus-0"),
        HARMLESS_START("start-cpus-huge"),
        HARMLESS_START("start-flags"),
        HARMLESS_START("start-tty"),
        HARMLESS_START("start-reserved"),
        { .name = "start-slots", .scenario = "runtime", .outcome = OUTCOME_STATUS, .status = 42 },
        HARMLESS_START("start-slots-0"),
        { .name = "start-rootfs-across",
          .outcome = OUTCOME_REFUSED,
          .text = INSIDE,
          .prepare = tell_start_across },
        { .name = "start-descriptor-other",
          .outcome = OUTCOME_REFUSED,
          .text = "not the one that was measured",
          .prepare = tell_descriptor_other },
        { .name = "start-flipping",
          .scenario = "row:yield",
          .argument = "3",
          .outcome = OUTCOME_EITHER,
          .prepare = tell_flipping },
        { .name = "wrong-entries",
          .outcome = OUTCOME_STATUS,
          .text = HELLO,
          .prepare = tell_entries },
        { .name = "second-start",
          .outcome = OUTCOME_STATUS,
          .text = HELLO,
          .prepare = tell_second,
          .serve = serve_second_start },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(lies) && i < max; i++) {
        ret[i] = lies[i];
        if (!ret[i].prepare)
            ret[i].prepare = tell_start;
        if (!ret[i].scenario[0])
            snprintf(ret[i].scenario, sizeof ret[i].scenario, "log");
    }
    return ARRAY_COUNT(lies);
}
