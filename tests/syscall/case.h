/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the system-call test program: cases register themselves, run one after another in one
 * process, each in an empty folder of its own, and report in TAP. The same program runs on plain
 * Linux and in the enclave; Linux defines the right answer.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

/* Adds a case; the list is kept sorted by name. */
void case_add(struct test_case *c);

/* Ends the case (when called on the thread that runs it), as failed or skipped. */
void case_fail(const char *file, int line, const char *what, long long got, long long want);
void case_skip(const char *reason);

#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void name##_add(void)                                      \
    {                                                                                              \
        static struct test_case c = { #name, name, NULL };                                         \
        case_add(&c);                                                                              \
    }                                                                                              \
    static void name(void)

/* The condition holds. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            case_fail(__FILE__, __LINE__, #condition, errno, 0);                                   \
    } while (0)

/* Two numbers are equal. */
#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (got_ != want_)                                                                         \
            case_fail(__FILE__, __LINE__, #got " == " #want, got_, want_);                         \
    } while (0)

/* The call does not return -1; gives its result. */
#define OK(call)                                                                                   \
    ({                                                                                             \
        errno = 0;                                                                                 \
        __typeof__(call) result_ = (call);                                                         \
        if ((long long)result_ == -1)                                                              \
            case_fail(__FILE__, __LINE__, #call, -errno, 0);                                       \
        result_;                                                                                   \
    })

/* The call returns -1 with this errno. */
#define FAILS(call, want_errno)                                                                    \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long result_ = (long long)(call);                                                     \
        if (result_ != -1)                                                                         \
            case_fail(__FILE__, __LINE__, #call " fails", result_, -1);                            \
        else if (errno != (want_errno))                                                            \
            case_fail(__FILE__, __LINE__, #call " with " #want_errno, errno, want_errno);          \
    } while (0)

/* A function of pthreads or the like that returns an error number: it is 0. */
#define ZERO(call) CHECK_EQ(call, 0)

/* Makes a file with this text in the current folder; returns an open O_RDWR descriptor at 0. */
int file_with(const char *path, const char *text);

/* Milliseconds of CLOCK_MONOTONIC. */
long long now_ms(void);
