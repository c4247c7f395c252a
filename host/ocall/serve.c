/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatch table of OCALLs, and the rows about the enclave as a whole. Untrusted side. */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "host/ocall/ocall.h"

static ocall_serve_fn *const g_rows[OCALL_COUNT] = {
#define OCALL(name, result, errors, needs) [OCALL_##name] = ocall_serve_##name,
#include "abi/ocall.def"
#undef OCALL
};

int64_t ocall_answer(int64_t value)
{
    return value < 0 ? -errno : value;
}

bool ocall_serve(struct ocall_thread *t)
{
    struct ocall_frame *f = t->frame;
    uint64_t number = __atomic_load_n(&f->number, __ATOMIC_RELAXED);

    /* The enclave can write to the frame at any time: what is checked is what is used. */
    for (unsigned i = 0; i < OCALL_ARGS_MAX; i++)
        t->args[i] = __atomic_load_n(&f->args[i], __ATOMIC_RELAXED);
    f->out[0] = f->out[1] = f->out[2] = f->out[3] = 0;
    if (number == OCALL_INVALID || number >= OCALL_COUNT) {
        f->result = -ENOSYS;
        return true;
    }
    g_rows[number](t, f);
    return number != OCALL_thread_exit;
}

static bool g_raw; /* set before threads run */

void ocall_log_raw(bool raw)
{
    g_raw = raw;
}

static void write_line(const char *text, size_t size)
{
    struct iovec parts[] = {
        { (void *)"cloche: ", 8 },
        { (void *)text, size },
        { (void *)"\r\n", 2 },
    };

    if (!g_raw)
        parts[2] = (struct iovec){ (void *)"\n", 1 };
    if (writev(STDERR_FILENO, parts, 3) < 0)
        return; /* nobody listens */
}

void ocall_serve_log(struct ocall_thread *t, struct ocall_frame *f)
{
    write_line((const char *)f->buffer, t->args[0] > 4096 ? 4096 : t->args[0]);
    f->result = 0;
}

void ocall_serve_panic(struct ocall_thread *t, struct ocall_frame *f)
{
    write_line((const char *)f->buffer, t->args[0] > 4096 ? 4096 : t->args[0]);
    _exit(125);
}

void ocall_serve_exit(struct ocall_thread *t, struct ocall_frame *f)
{
    _exit((int)(t->args[0] & 0xff));
}

void ocall_serve_thread_exit(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = 0;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

void ocall_serve_clock(struct ocall_thread *t, struct ocall_frame *f)
{
    /* First: held up here, the enclave sees too short a suspension for a second, not for good too long a one. */
    f->out[2] = clock_ns(CLOCK_BOOTTIME);
    f->out[0] = clock_ns(CLOCK_MONOTONIC);
    f->out[3] = __rdtsc();
    f->out[1] = clock_ns(CLOCK_REALTIME);
    f->result = 0;
}

void ocall_serve_cpuid(struct ocall_thread *t, struct ocall_frame *f)
{
    uint32_t a, b, c, d;

    __cpuid_count((uint32_t)t->args[0], (uint32_t)t->args[1], a, b, c, d);
    f->out[0] = a | (uint64_t)b << 32;
    f->out[1] = c | (uint64_t)d << 32;
    f->result = 0;
}
