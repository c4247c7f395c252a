/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies about what answers contain, each value chosen: stat, directory entries, time; and threads that run
 * although the host denied them. Untrusted side, test only.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/adversary/lies.h"

static unsigned g_calls;

static bool is_lie(const char *name)
{
    return strcmp(g_lie->name, name) == 0;
}

static void lie_stat(struct ocall_frame *f)
{
    struct ocall_stat good = { .mode = 0100644, .nlink = 1 };

    switch (g_calls++) {
    case 0:
        good.mode = 0x12345678;
        break;
    case 1:
        good.mode = 0;
        break;
    case 2:
        good.atime_ns = 1000000000;
        break;
    case 3:
        good.mtime_ns = UINT32_MAX;
        break;
    case 4:
        good.size = 1ull << 63;
        break;
    default:
        good.blocks = UINT64_MAX;
        break;
    }
    memcpy(f->buffer + OCALL_STAT_OFF, &good, sizeof good);
    f->result = 0;
}

struct entry {
    uint64_t ino, off;
    uint16_t reclen;
    uint8_t type;
    char name[13];
};

static void lie_entries(struct ocall_frame *f)
{
    struct entry e = { .ino = 1, .off = 1, .reclen = 32, .type = 8, .name = "name" };

    f->result = sizeof e;
    switch (g_calls++) {
    case 0:
        e.reclen = 0;
        break;
    case 1:
        e.reclen = 40;
        break;
    case 2:
        e.reclen = 16;
        break;
    case 3:
        e.name[0] = 0;
        break;
    case 4:
        memcpy(e.name, "../../../etc/", 13);
        break;
    case 5:
        memcpy(e.name, "a/b", 4);
        break;
    case 6:
        f->result = 20;
        break;
    default:
        e.reclen = 31;
        break;
    }
    memcpy(f->buffer, &e, sizeof e);
}

static void lie_time(struct ocall_frame *f)
{
    static uint64_t first;
    uint64_t n = g_calls++;

    if (first == 0)
        first = f->out[0];
    if (is_lie("time-back"))
        f->out[0] = first - n * 1000000000ull;
    else if (is_lie("time-stands"))
        f->out[0] = first;
    else
        f->out[0] = n % 2 ? UINT64_MAX - n : n % 3 ? first + (n << 40) : 0;
}

static bool serve(struct ocall_thread *t)
{
    struct ocall_frame *f = t->frame;
    uint64_t number = f->number;

    if (is_lie("stat") && number == OCALL_file_stat) {
        lie_stat(f);
    } else if (is_lie("entries") && number == OCALL_file_getdents) {
        lie_entries(f);
    } else {
        if (!ocall_serve(t))
            return false;
        if (strncmp(g_lie->name, "time", 4) != 0 || number != OCALL_clock) {
            if (!is_lie("thread-denied") || number != OCALL_thread_start)
                return true;
            usleep(300000); /* it runs by now */
            f->result = -EAGAIN;
        } else {
            lie_time(f);
        }
    }
    atomic_fetch_add(&g_told, 1);
    return true;
}

unsigned lie_answers_list(struct lie *ret, unsigned max)
{
    static const struct lie lies[] = {
        { .name = "stat", .scenario = "stat" },
        { .name = "entries", .scenario = "entries" },
        { .name = "time-back", .scenario = "time" },
        { .name = "time-stands", .scenario = "time" },
        { .name = "time-wild", .scenario = "time" },
        { .name = "thread-denied",
          .scenario = "thread-denied",
          .outcome = OUTCOME_REFUSED,
          .text = "denies a thread" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(lies) && i < max; i++) {
        ret[i] = lies[i];
        ret[i].serve = serve;
    }
    return ARRAY_COUNT(lies);
}
