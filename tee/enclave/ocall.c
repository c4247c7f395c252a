/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One crossing: number, arguments and buffer into this thread's untrusted frame, out, and back with an
 * answer that is read once and held against its row of abi/ocall.def. Trusted.
 */
#include "tee/enclave/ocall.h"

#include <linux/errno.h>

#include "abi/start.h"
#include "tee/enclave/log.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

enum answer_kind { NOTHING, COUNT, DESCRIPTOR, VALUE };

struct ocall_row {
    const char *name;
    enum answer_kind kind;
    const int16_t *errors; /* ends with 0 */
};

#define ERRORS(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }
#define OCALL(name, result, errors, needs) static const int16_t g_errors_##name[] = errors;
#include "abi/ocall.def"
#undef OCALL
#undef ERRORS

static const struct ocall_row g_rows[OCALL_COUNT] = {
#define OCALL(name, result, errors, needs) [OCALL_##name] = { #name, result, g_errors_##name },
#include "abi/ocall.def"
#undef OCALL
};

void ocall_buffer_put(uint32_t off, const void *src, size_t size)
{
    struct uptr dst = { tcb_self()->frame + offsetof(struct ocall_frame, buffer) + off };
    size_t whole = size & ~7ul;
    uint64_t last = 0;

    if (size == 0)
        return;
    /* The frame is ours to fill, so the end is padded to a whole word. */
    memcpy(&last, (const uint8_t *)src + whole, size - whole);
    if (size > OCALL_BUFFER_SIZE - off || uptr_write(dst, src, whole) < 0 ||
        (size != whole && uptr_write(uptr_add(dst, whole), &last, sizeof last) < 0))
        enclave_panic("the OCALL frame is gone");
}

void ocall_buffer_get(void *dst, uint32_t off, size_t size)
{
    struct uptr src = { tcb_self()->frame + offsetof(struct ocall_frame, buffer) + off };

    if (size > OCALL_BUFFER_SIZE - off || uptr_read(dst, src, size) < 0)
        enclave_panic("the OCALL frame is gone");
}

/* An error is the row's or -EPERM; a count beyond what was asked for is an attack. */
static int64_t answer_decode(const struct ocall_row *row, int64_t result, uint64_t asked)
{
    if (result < 0) {
        for (const int16_t *e = row->errors; *e != 0; e++)
            if (result == -*e)
                return result;
        return -EPERM;
    }
    switch (row->kind) {
    case NOTHING:
        return 0;
    case COUNT:
        if ((uint64_t)result > asked)
            enclave_panic("the host answered with more than was asked for");
        return result;
    case DESCRIPTOR:
        return result > OCALL_DESCRIPTOR_MAX ? -EPERM : result;
    case VALUE:
        return result;
    }
    return -EPERM;
}

static void signals_note(uint64_t signals)
{
    struct tcb *tcb = tcb_self();

    if (signals == 0)
        return;
    signals &= START_SIGNALS; /* anything else only says: look */
    for (int signo = 1; signo < 32; signo++)
        if (signals & (1ull << (signo - 1)))
            libos_host_signal(signo);
    tcb->flags |= TCB_FLAG_INTERRUPTED;
}

uint32_t ocall_news(void)
{
    return tcb_self()->news;
}

/* The host took what it was given, and says nothing else. */
static bool is_silent(uint32_t number, int64_t result)
{
    switch (number) {
    case OCALL_sendto:
    case OCALL_send_image:
    case OCALL_unpark:
    case OCALL_kick:
        return result >= 0;
    default:
        return false;
    }
}

void ocall_run(uint32_t number, const uint64_t args[6], uint64_t asked, struct ocall_answer *ret)
{
    struct {
        uint64_t number;
        uint64_t args[6];
    } request = { number, { args[0], args[1], args[2], args[3], args[4], args[5] } };
    struct {
        int64_t result;
        uint64_t out[4];
        uint64_t signals;
    } answer;
    struct uptr frame = { tcb_self()->frame };

    _Static_assert(offsetof(struct ocall_frame, args) == 8, "request");
    _Static_assert(offsetof(struct ocall_frame, signals) ==
                       offsetof(struct ocall_frame, result) + 40,
                   "answer");
    if (number == OCALL_INVALID || number >= OCALL_COUNT ||
        uptr_write(frame, &request, sizeof request) < 0)
        enclave_panic("the OCALL frame is gone");
    ocall_leave();
    if (uptr_read(&answer, uptr_add(frame, offsetof(struct ocall_frame, result)), sizeof answer) <
        0)
        enclave_panic("the OCALL frame is gone");
    ret->result = answer_decode(&g_rows[number], answer.result, asked);
    memcpy(ret->out, answer.out, sizeof ret->out);
    if (!is_silent(number, ret->result) || answer.signals)
        tcb_self()->news++;
    signals_note(answer.signals);
}

int64_t ocall_simple(uint32_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                     uint64_t asked)
{
    uint64_t args[6] = { a, b, c, d, 0, 0 };
    struct ocall_answer answer;

    ocall_run(number, args, asked, &answer);
    return answer.result;
}
