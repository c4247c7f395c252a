/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the enclave is started with: arguments, environment and mounts as far as the descriptor allows
 * them (the enclave checks again), frames for OCALLs, hints. Untrusted side.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "host/loader/loader.h"
#include "host/quote/quote.h"

extern char **environ;

#define HYPERVISOR_TSC_LEAF 0x40000010u

static const struct descriptor_env *find_env(const struct descriptor *d, const char *entry)
{
    size_t size = strcspn(entry, "=");

    for (uint32_t i = 0; i < d->env_count; i++)
        if (strlen(d->env[i].name) == size && memcmp(d->env[i].name, entry, size) == 0)
            return &d->env[i];
    return NULL;
}

/* Strings one after the other, in memory that lives as long as the process. */
static int join(const char *const *strings, unsigned count, struct start_span *ret, struct err *err)
{
    size_t size = 0, off = 0;
    char *bytes;

    for (unsigned i = 0; i < count; i++)
        size += strlen(strings[i]) + 1;
    if (count > START_STRING_COUNT_MAX || size > START_STRINGS_SIZE_MAX)
        return err_set(err, -E2BIG, "arguments or environment are too long");
    bytes = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return err_set_errno(err, -errno, "arguments");
    for (unsigned i = 0; i < count; i++) {
        memcpy(bytes + off, strings[i], strlen(strings[i]) + 1);
        off += strlen(strings[i]) + 1;
    }
    *ret = (struct start_span){ (uint64_t)bytes, size };
    return 0;
}

static int environment_set(struct loader *l, struct err *err)
{
    const char *strings[START_STRING_COUNT_MAX];
    const struct descriptor_env *e;
    unsigned count = 0;

    /* The loader's own environment reaches the program only where the descriptor asks for it. */
    for (char **entry = environ; *entry && count < START_STRING_COUNT_MAX; entry++) {
        e = find_env(&l->descriptor, *entry);
        if (e && !e->value && strchr(*entry, '='))
            strings[count++] = *entry;
    }
    for (unsigned i = 0; i < l->options.env_count; i++) {
        e = find_env(&l->descriptor, l->options.env[i]);
        if (!e || e->value)
            return err_set(err, -EPERM,
                           "the image does not let the host set %.*s (`cloche inspect` "
                           "lists what it may)",
                           (int)strcspn(l->options.env[i], "="), l->options.env[i]);
        if (count == START_STRING_COUNT_MAX)
            return err_set(err, -E2BIG, "too many variables");
        strings[count++] = l->options.env[i];
    }
    l->start.environment_count = count;
    return join(strings, count, &l->start.environment, err);
}

static int arguments_set(struct loader *l, struct err *err)
{
    if (l->options.argc > 0 && !l->descriptor.args_from_host)
        return err_set(err, -EPERM, "the image does not let the host set arguments");
    l->start.argument_count = (uint32_t)l->options.argc;
    return join((const char *const *)l->options.argv, (unsigned)l->options.argc,
                &l->start.arguments, err);
}

/* "HOSTDIR:/path" for a host mount that the descriptor names. */
static int mount_set(struct loader *l, const char *text, struct err *err)
{
    const char *colon = strrchr(text, ':');
    char folder[4096];
    unsigned host_index = 0; /* the enclave counts host mounts only */

    if (!colon || colon == text || (size_t)(colon - text) >= sizeof folder)
        return err_set(err, -EINVAL, "-v %s: expected HOSTDIR:/path", text);
    memcpy(folder, text, (size_t)(colon - text));
    folder[colon - text] = 0;
    for (uint32_t i = 0; i < l->descriptor.mounts_count; i++) {
        const struct descriptor_mount *m = &l->descriptor.mounts[i];

        if (m->kind != DESCRIPTOR_MOUNT_HOST)
            continue;
        if (strcmp(m->path, colon + 1) != 0) {
            host_index++;
            continue;
        }
        l->ocall.mount_fds[host_index] = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return l->ocall.mount_fds[host_index] < 0 ? err_set_errno(err, -errno, "-v %s", folder) : 0;
    }
    return err_set(err, -EPERM, "the image has no host mount at %s", colon + 1);
}

/* Every host mount of the descriptor has been given. */
static int mounts_check(const struct loader *l, struct err *err)
{
    unsigned host_index = 0;

    for (uint32_t i = 0; i < l->descriptor.mounts_count; i++)
        if (l->descriptor.mounts[i].kind == DESCRIPTOR_MOUNT_HOST &&
            l->ocall.mount_fds[host_index++] < 0)
            return err_set(err, -EINVAL,
                           "the image needs a host folder for %s: give one with -v "
                           "HOSTDIR:%s",
                           l->descriptor.mounts[i].path, l->descriptor.mounts[i].path);
    return 0;
}

static int mounts_set(struct loader *l, struct err *err)
{
    int rc = 0;

    l->ocall.mount_count = (int)l->descriptor.mounts_count;
    for (unsigned i = 0; i < START_MOUNT_COUNT_MAX; i++)
        l->ocall.mount_fds[i] = -1;
    for (unsigned i = 0; i < l->options.mount_count && rc == 0; i++)
        rc = mount_set(l, l->options.mounts[i], err);
    return rc < 0 ? rc : mounts_check(l, err);
}

/* TSC ticks a second: from the hypervisor or the CPU when they say, else measured since the start. */
static uint64_t tsc_hz(const struct loader *l)
{
    unsigned a, b, c, d;
    struct timespec now;
    uint64_t ns, ticks;

    __cpuid(0x40000000u, a, b, c, d);
    if (a >= HYPERVISOR_TSC_LEAF) {
        __cpuid(HYPERVISOR_TSC_LEAF, a, b, c, d);
        if (a != 0)
            return a * 1000ull;
    }
    if (__get_cpuid(0x15, &a, &b, &c, &d) && a && b && c)
        return (uint64_t)c * b / a;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec - l->start_ns;
    ticks = __rdtsc() - l->start_tsc;
    return ns > 1000000 ? (uint64_t)((unsigned __int128)ticks * 1000000000ull / ns) : 0;
}

/* CPUs that this process may use. */
static uint64_t cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint64_t)CPU_COUNT(&set);
    return (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
}

static int threads_set(struct loader *l, struct err *err)
{
    struct ocall_host *h = &l->ocall;
    size_t frame_size = ALIGN_UP(sizeof(struct ocall_frame), PAGE_SIZE);
    uint8_t *frames;

    h->thread_limit = l->descriptor.threads_max;
    if (h->thread_limit == 0 || h->thread_limit > LIBOS_SLOT_COUNT_MAX)
        h->thread_limit = LIBOS_SLOT_COUNT_MAX;
    h->threads = calloc(h->thread_limit, sizeof *h->threads);
    frames = mmap(NULL, h->thread_limit * frame_size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!h->threads || frames == MAP_FAILED)
        return err_set_errno(err, -ENOMEM, "memory for %u threads", h->thread_limit);
    for (uint32_t i = 0; i < h->thread_limit; i++) {
        h->threads[i].slot = i;
        h->threads[i].wake_fd = -1;
        h->threads[i].frame = (struct ocall_frame *)(frames + i * frame_size);
    }
    return 0;
}

static int quote_set(struct loader *l, struct err *err)
{
    struct quote_options options = { .socket_path = l->options.quote_socket,
                                     .collateral_path = l->options.collateral,
                                     .emulated = l->backend->emulated };
    int rc = quote_open(&options, &l->ocall.quote, err);

    return rc == -ENODEV ? 0 : rc;
}

int loader_start_prepare(struct loader *l, struct err *err)
{
    struct enclave_start *s = &l->start;
    int rc = threads_set(l, err);

    if (rc == 0)
        rc = environment_set(l, err);
    if (rc == 0)
        rc = arguments_set(l, err);
    if (rc == 0)
        rc = mounts_set(l, err);
    if (rc == 0)
        rc = quote_set(l, err);
    if (rc < 0)
        return rc;
    ocall_host_files_open(&l->ocall);
    s->version = START_VERSION;
    s->thread_slots = l->ocall.thread_limit;
    l->ocall.rootfs = l->files[BUNDLE_ROOTFS].data;
    l->ocall.rootfs_size = l->files[BUNDLE_ROOTFS].size;
    s->rootfs =
        (struct start_span){ (uint64_t)l->files[BUNDLE_ROOTFS].data, l->files[BUNDLE_ROOTFS].size };
    s->verity =
        (struct start_span){ (uint64_t)l->files[BUNDLE_VERITY].data, l->files[BUNDLE_VERITY].size };
    s->descriptor = (struct start_span){ (uint64_t)l->files[BUNDLE_DESCRIPTOR].data,
                                         l->files[BUNDLE_DESCRIPTOR].size };
    s->tsc_hz = tsc_hz(l);
    for (int fd = 0; fd < 3; fd++)
        s->stdio_tty |= (uint32_t)(isatty(fd) == 1) << fd;
    s->flags = (l->options.explain ? START_EXPLAIN : 0) | (l->options.verbose ? START_VERBOSE : 0) |
               (l->options.tty ? START_TTY : 0) |
               (l->options.tty && l->options.input ? START_TTY_INPUT : 0) |
               (l->backend->emulated ? START_EMULATED : 0) |
               (l->backend->has_edmm ? 0 : START_NO_EDMM);
    s->cpu_count = cpu_count();
    s->host_pid = (uint64_t)getpid();
    return 0;
}
