/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave as the one that lies: OCALLs with arguments that no honest enclave sends, and instructions that it may
 * not execute. The loader must refuse, or ignore, and live. Never shipped.
 */
#include <linux/errno.h>

#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"
#include "tests/adversary/test_enclave.h"

#define SCRIBBLES 30000u

static const uint64_t g_bad[] = {
    UINT64_MAX,       1ull << 63,         (1ull << 63) - 1,         1ull << 32,
    (1ull << 32) - 1, 1ull << 31,         OCALL_BUFFER_SIZE + 1ull, OCALL_POLL_COUNT_MAX + 1ull,
    LIBOS_BASE,       0xffff800000000000, LIBOS_SLOT_COUNT_MAX,
};

/* Rows that end something, that sleep for ever when told so, or that close what the test needs. */
static bool is_skipped(uint64_t number)
{
    return number == OCALL_exit || number == OCALL_panic || number == OCALL_thread_exit ||
           number == OCALL_park || number == OCALL_log;
}

static bool is_edmm(uint64_t number)
{
    return number >= OCALL_edmm_restrict && number <= OCALL_edmm_tcs;
}

/* Straight into the frame: without what the stubs and decoders of an honest enclave would do. */
static int64_t raw_ocall(uint64_t number, const uint64_t args[6])
{
    struct uptr frame = { tcb_self()->frame };
    uint64_t request[7] = { number, args[0], args[1], args[2], args[3], args[4], args[5] };
    int64_t result;

    CHECK(uptr_write(frame, request, sizeof request) == 0);
    ocall_leave();
    CHECK(uptr_read(&result, uptr_add(frame, offsetof(struct ocall_frame, result)),
                    sizeof result) == 0);
    return result;
}

static void check_numbers(void)
{
    uint64_t args[6] = { 0 };

    for (uint64_t number = OCALL_COUNT; number < OCALL_COUNT + 100; number++)
        CHECK(raw_ocall(number, args) == -ENOSYS);
    for (unsigned i = 0; i < ARRAY_COUNT(g_bad); i++)
        if (g_bad[i] >= OCALL_COUNT)
            CHECK(raw_ocall(g_bad[i], args) == -ENOSYS);
}

/* Every row with every bad value in every place, the other places small or bad too. */
static void check_arguments(void)
{
    for (uint64_t number = 1; number < OCALL_COUNT; number++) {
        if (is_skipped(number))
            continue;
        for (unsigned i = 0; i < ARRAY_COUNT(g_bad); i++) {
            for (unsigned place = 0; place < 6; place++) {
                uint64_t args[6] = { UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                     UINT64_MAX, UINT64_MAX, UINT64_MAX };

                /* It may take its own pages away, and harms itself alone. */
                if (is_edmm(number) && place == 0 && g_bad[i] == LIBOS_BASE)
                    continue;
                if (number == OCALL_poll)
                    args[1] = 1000;
                else if (is_edmm(number))
                    args[0] = UINT64_MAX - PAGE_SIZE + 1;
                else if (place != 0)
                    args[0] = g_bad[(i + place) % ARRAY_COUNT(g_bad)];
                if (number != OCALL_poll || place != 1)
                    args[place] = g_bad[i];
                (void)raw_ocall(number, args);
            }
        }
    }
}

/* The machine's own services, raw packets, and options that turn traffic. */
static void check_sockets(void)
{
    static const uint64_t families[] = { 1, 16, 17, 38, 40, 0, 3, 29, 44 };
    uint64_t args[6] = { 2, 1 };
    int64_t fd = raw_ocall(OCALL_socket, args);

    CHECK(fd >= 0);
    for (unsigned i = 0; i < ARRAY_COUNT(families); i++)
        for (uint64_t type = 1; type <= 6; type++) {
            uint64_t bad[6] = { families[i], type };

            CHECK(raw_ocall(OCALL_socket, bad) < 0);
        }
    args[1] = 3; /* raw */
    CHECK(raw_ocall(OCALL_socket, args) < 0);
    for (uint64_t name = 25; name <= 52; name++) {
        uint64_t option[6] = { (uint64_t)fd, 1, name, 8 };

        if (name == 25 || name == 26 || name == 27 || name == 36 || name >= 50)
            CHECK(raw_ocall(OCALL_setsockopt, option) < 0);
    }
    CHECK(ocall_close((int)fd) == 0);
}

/* Only three names in /etc. */
static void check_host_files(void)
{
    static const char *const names[] = { "shadow", "../etc/shadow", "hosts/../shadow", "",
                                         "/etc/passwd" };
    uint64_t args[6] = { 4096 };
    char bytes[64];

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        CHECK(ocall_host_file(names[i], bytes, sizeof bytes) == -ENOENT);
    memset(bytes, 'h', sizeof bytes);
    ocall_buffer_put(0, bytes, sizeof bytes); /* no NUL */
    CHECK(raw_ocall(OCALL_host_file, args) == -ENOENT);
}

/* Without host folders there is nothing that a path could name. */
static void check_mounts(void)
{
    static const char *const paths[] = { "etc/passwd", "../etc/passwd", "/", "..", "." };

    for (unsigned i = 0; i < ARRAY_COUNT(paths); i++)
        for (uint32_t mount = 0; mount < 40; mount++) {
            struct ocall_stat st;

            CHECK(ocall_mount_open(mount, paths[i], 0, 0) < 0);
            CHECK(ocall_mount_stat(mount, paths[i], &st) < 0);
            CHECK(ocall_mount_unlink(mount, paths[i], false) < 0);
        }
}

/* ---- a second thread writes over the arguments while the host looks at them ---- */

static uint32_t g_scribbling;
static uint64_t g_victim; /* the first thread's frame */
static uint32_t g_victim_slot, g_victim_done;

bool test_rogue_thread(void)
{
    if (g_victim == 0)
        return false;
    for (unsigned i = 0; i < SCRIBBLES; i++) {
        struct uptr args = { g_victim + offsetof(struct ocall_frame, args) };
        uint64_t word = i % 3 ? g_bad[i % ARRAY_COUNT(g_bad)] : i % 16;

        CHECK(uptr_write(uptr_add(args, i % 2 * 8), &word, sizeof word) == 0);
    }
    __atomic_store_n(&g_scribbling, 0, __ATOMIC_SEQ_CST);
    /* The last word may have been for ever, to a poll. */
    while (!__atomic_load_n(&g_victim_done, __ATOMIC_SEQ_CST)) {
        ocall_unpark(g_victim_slot);
        ocall_yield();
    }
    thread_slot_exit();
}

static void check_scribbled(void)
{
    static const uint16_t rows[] = { OCALL_poll,       OCALL_unpark,     OCALL_read,
                                     OCALL_mount_stat, OCALL_getsockopt, OCALL_file_getdents,
                                     OCALL_host_file };
    static uint32_t word;

    g_victim = tcb_self()->frame;
    g_victim_slot = tcb_self()->slot;
    g_scribbling = 1;
    CHECK(thread_slot_start(&word) >= 0);
    for (unsigned i = 0; __atomic_load_n(&g_scribbling, __ATOMIC_SEQ_CST); i++) {
        uint64_t args[6] = { 0, 1000, 0, 8 };

        (void)raw_ocall(rows[i % ARRAY_COUNT(rows)], args);
    }
    __atomic_store_n(&g_victim_done, 1, __ATOMIC_SEQ_CST);
}

/* Calls itself until the stack ends. */
static __attribute__((noinline)) uint64_t sink(uint64_t depth)
{
    volatile uint64_t frame[128];

    frame[0] = depth;
    frame[127] = depth < 1000 ? sink(depth + 1) : 0;
    return frame[0] + frame[127];
}

void test_rogue_run(const char *name)
{
    if (strcmp(name, "overflow") == 0)
        CHECK(sink(0) == 0);
    if (strcmp(name, "rogue") == 0) {
        check_numbers();
        check_arguments();
        check_sockets();
        check_host_files();
        check_mounts();
        enclave_exit(ROW_HARMLESS);
    }
    if (strcmp(name, "rogue-scribble") == 0) {
        check_scribbled();
        enclave_exit(ROW_HARMLESS);
    }
    /* These end the enclave, by the exception that they are. */
    if (strcmp(name, "rogue-syscall") == 0)
        __asm__ volatile("mov $59, %%eax\n"
                         "syscall\n"
                         :
                         :
                         : "rax", "rcx", "r11", "memory");
    if (strcmp(name, "rogue-jump") == 0)
        __asm__ volatile("jmp *%0" : : "r"(tcb_self()->frame));
    if (strcmp(name, "rogue-enclu") == 0) {
        CHECK(enclu_key(SGX_EENTER, NULL, NULL, NULL) == -1);
        enclave_exit(ROW_HARMLESS);
    }
}
