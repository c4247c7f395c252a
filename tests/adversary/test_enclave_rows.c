/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of each row of abi/ocall.def, made again and again while the host lies (lie_rows.c). Whatever
 * the host says, the result is one that the row allows, and nothing is written but what was asked for.
 * A row with no call here does not compile. Trusted in shape only; never shipped.
 */
#include "tests/adversary/test_enclave.h"

#include <linux/errno.h>
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/sgx.h"
#include "tee/enclave/string.h"

#define GUARD 0x5ca1ab1e5ca1ab1eull
#define FILL 0x33
#define EDMM_ADDR 0x600000ull

/* Where answers go, with what lies behind it. */
static struct {
    uint8_t bytes[512];
    uint64_t guard;
} g_dst;

static void dst_prepare(void)
{
    memset(g_dst.bytes, FILL, sizeof g_dst.bytes);
    g_dst.guard = GUARD;
}

/* Nothing from `from` on was written. */
static void dst_check(size_t from)
{
    CHECK(from <= sizeof g_dst.bytes && g_dst.guard == GUARD);
    for (size_t i = from; i < sizeof g_dst.bytes; i++)
        CHECK(g_dst.bytes[i] == FILL);
}

static int64_t counted(int64_t rc, size_t asked)
{
    CHECK(rc <= (int64_t)asked);
    dst_check(rc > 0 ? (size_t)rc : 0);
    return rc;
}

/* ---- the enclave and its threads ---- */

static int64_t call_exit(unsigned round)
{
    enclave_exit(ROW_HARMLESS);
}

static int64_t call_panic(unsigned round)
{
    enclave_panic("as the test asks");
}

static int64_t call_log(unsigned round)
{
    log_line("round %u", round);
    return 0;
}

static uint32_t g_word;

static int64_t call_thread_start(unsigned round)
{
    int rc;

    if (round > 0)
        return 0; /* the host starts none: this one stays claimed */
    rc = thread_slot_start(&g_word);
    for (unsigned i = 0; rc >= 0 && i < 10; i++)
        (void)!ocall_park(clock_monotonic_ns() + 200000);
    CHECK(g_word == 0);
    return rc >= 0 ? 0 : rc;
}

static int64_t call_thread_exit(unsigned round)
{
    int rc = round == 0 ? thread_slot_start(&g_word) : 0;

    CHECK(rc >= 0);
    for (unsigned i = 0; round == 0 && i < 30; i++)
        (void)!ocall_park(clock_monotonic_ns() + 1000000);
    return 0;
}

static int64_t call_park(unsigned round)
{
    uint64_t deadline = round % 2 ? OCALL_FOREVER : clock_monotonic_ns() + 3600000000000ull;
    int rc = ocall_park(deadline);

    CHECK(rc != -ETIMEDOUT); /* an hour has not passed, whatever the host says */
    return rc;
}

static int64_t call_unpark(unsigned round)
{
    ocall_unpark(round);
    return 0;
}

static int64_t call_kick(unsigned round)
{
    ocall_kick(round);
    return 0;
}

static int64_t call_yield(unsigned round)
{
    ocall_yield();
    return 0;
}

static int64_t call_poll(unsigned round)
{
    struct ocall_pollfd fds[40];
    int rc;

    for (int i = 0; i < 40; i++)
        fds[i] = (struct ocall_pollfd){ i + 3, i % 2 ? 0x1 : 0x4, 0 };
    rc = ocall_poll(fds, 39, OCALL_FOREVER);
    CHECK(rc <= 39);
    for (int i = 0; i < 40; i++) {
        CHECK(fds[i].host_fd == i + 3 && fds[i].events == (i % 2 ? 0x1 : 0x4));
        /* What was not asked for, but for errors, is not there. */
        CHECK((fds[i].revents & ~(fds[i].events | 0x38)) == 0);
    }
    CHECK(fds[39].revents == 0);
    return rc;
}

/* ---- sets of descriptors: what they report may be anything, but not more than was asked for ---- */

static int64_t call_events_new(unsigned round)
{
    int rc = ocall_events_new();

    CHECK(rc <= (int)OCALL_DESCRIPTOR_MAX);
    return rc;
}

static int64_t call_events_change(unsigned round)
{
    return ocall_events_change(3, OCALL_EVENT_ADD, 4, 1, 2);
}

static int64_t call_events_wait(unsigned round)
{
    struct ocall_event events[9];
    int rc;

    memset(events, FILL, sizeof events);
    rc = ocall_events_wait(3, events, 8, OCALL_FOREVER, OCALL_EVENT_GUEST);
    CHECK(rc <= 8);
    for (size_t i = (size_t)MAX(rc, 0) * sizeof events[0]; i < sizeof events; i++)
        CHECK(((uint8_t *)events)[i] == FILL);
    return rc;
}

static int64_t call_dup(unsigned round)
{
    int rc = ocall_dup(3);

    CHECK(rc <= (int)OCALL_DESCRIPTOR_MAX);
    return rc;
}

static int64_t call_clock(unsigned round)
{
    struct ocall_time time;
    uint64_t before = clock_monotonic_ns();

    ocall_clock(&time);
    CHECK(clock_monotonic_ns() >= before);
    return 0;
}

static int64_t call_cpuid(unsigned round)
{
    static const uint32_t leaves[] = { 1, 7, 0xd, 0x12, 0, 4, 0x80000000, 0x80000008 };
    uint32_t leaf = round < ARRAY_COUNT(leaves) ? leaves[round] : round * 0x1000, r[4];

    ocall_cpuid(leaf, 0, r);
    if (leaf == 7)
        CHECK((r[1] & (1u << 2 | 1u << 11)) == 0 && (r[2] & (1u << 3 | 1u << 4 | 1u << 7)) == 0);
    if (leaf == 0xd)
        CHECK(r[1] == xstate_size() && r[2] == xstate_size() && r[3] == 0);
    if (leaf == 0x12)
        CHECK((r[0] | r[1] | r[2] | r[3]) == 0);
    return 0;
}

/* ---- EDMM: what the host only says that it did is found out by EACCEPT ---- */

static int64_t call_edmm_restrict(unsigned round)
{
    if (round == 0)
        CHECK(enclave_commit(EDMM_ADDR, 2, PROT_READ | PROT_WRITE) == 0);
    return enclave_protect(EDMM_ADDR, 2, PROT_READ | PROT_WRITE, PROT_READ);
}

static int64_t call_edmm_trim(unsigned round)
{
    CHECK(enclave_commit(EDMM_ADDR, 2, PROT_READ | PROT_WRITE) == 0);
    enclave_decommit(EDMM_ADDR, 2);
    return 0;
}

static int64_t call_edmm_remove(unsigned round)
{
    CHECK(enclave_commit(EDMM_ADDR, 2, PROT_READ | PROT_WRITE) == 0);
    memset((void *)EDMM_ADDR, 0x55, 2 * PAGE_SIZE);
    enclave_decommit(EDMM_ADDR, 2);
    /* Pages that were never removed are not taken for fresh ones. */
    CHECK(enclave_commit(EDMM_ADDR, 2, PROT_READ | PROT_WRITE) == 0);
    CHECK(*(volatile uint64_t *)EDMM_ADDR == 0);
    enclave_decommit(EDMM_ADDR, 2);
    return 0;
}

/* Takes all slots that were measured, then one that must be made. */
static int64_t call_edmm_tcs(unsigned round)
{
    int rc = 0;

    for (unsigned i = 0; i < 16 && rc >= 0; i++)
        rc = thread_slot_start(&g_word);
    CHECK(rc >= 0 || rc == -EAGAIN);
    return 0;
}

/* ---- host descriptors ---- */

static int64_t call_read(unsigned round)
{
    return counted(ocall_read(0, g_dst.bytes, 16 + round % 9), 16 + round % 9);
}

static int64_t call_write(unsigned round)
{
    int64_t rc = ocall_write(1, "0123456789", 10);

    CHECK(rc <= 10);
    return rc;
}

static int64_t call_close(unsigned round)
{
    return ocall_close(99);
}

static int64_t call_tty_size(unsigned round)
{
    uint16_t rows = 7, columns = 8;
    int rc = ocall_tty_size(0, &rows, &columns);

    CHECK(rc == 0 || (rows == 7 && columns == 8));
    return rc;
}

/* ---- sockets ---- */

static int64_t call_socket(unsigned round)
{
    int rc = ocall_socket(2, 1, 0);

    CHECK(rc <= (int)OCALL_DESCRIPTOR_MAX);
    return rc;
}

static int64_t call_bind(unsigned round)
{
    return ocall_bind(3, "0123456789abcdef", 16);
}

static int64_t call_listen(unsigned round)
{
    return ocall_listen(3, 5);
}

/* The peer's address: at most OCALL_ADDR_SIZE bytes, and none behind its size. */
static int64_t addressed(int64_t rc, size_t size)
{
    CHECK(size <= OCALL_ADDR_SIZE);
    dst_check(size);
    return rc;
}

static int64_t call_accept(unsigned round)
{
    size_t size = 0;
    int rc = ocall_accept(3, g_dst.bytes, &size);

    CHECK(rc <= (int)OCALL_DESCRIPTOR_MAX && (rc >= 0 || size == 0));
    return addressed(rc, size);
}

static int64_t call_connect(unsigned round)
{
    return ocall_connect(3, "0123456789abcdef", 16);
}

/* Staged or not in turn: the same row. */
static int64_t call_sendto(unsigned round)
{
    int64_t rc = round % 2 ? ocall_send_staged(3, 10, 0)
                           : ocall_sendto(3, "0123456789", 10, 0, "0123456789abcdef", 16);

    CHECK(rc <= 10);
    return rc;
}

static int64_t call_send_image(unsigned round)
{
    return counted(ocall_send_image(3, 4096, 24), 24);
}

static int64_t call_recv(unsigned round)
{
    return counted(ocall_receive_staged(3, 24, 0), 24);
}

static int64_t call_recvfrom(unsigned round)
{
    static uint8_t address[OCALL_ADDR_SIZE + 8];
    size_t size = 0;
    int flags = 0;
    int64_t rc;

    memset(address, FILL, sizeof address);
    rc = counted(ocall_recvfrom(3, g_dst.bytes, 24, 0, address, &size, &flags), 24);
    CHECK(size <= OCALL_ADDR_SIZE && (flags & ~0x20a9) == 0 && (rc >= 0 || size == 0));
    for (size_t i = size; i < sizeof address; i++)
        CHECK(address[i] == FILL);
    return rc;
}

static int64_t call_shutdown(unsigned round)
{
    return ocall_shutdown(3, 2);
}

static int64_t call_getsockopt(unsigned round)
{
    size_t size = 8;
    int rc = ocall_getsockopt(3, 1, 1, g_dst.bytes, &size);

    CHECK(size <= 8);
    dst_check(rc == 0 ? size : 0);
    return rc;
}

static int64_t call_setsockopt(unsigned round)
{
    return ocall_setsockopt(3, 1, 1, "01234567", 8);
}

static int64_t call_getsockname(unsigned round)
{
    size_t size = 0;
    int rc = ocall_getsockname(3, g_dst.bytes, &size);

    return addressed(rc, size);
}

static int64_t call_getpeername(unsigned round)
{
    size_t size = 0;
    int rc = ocall_getpeername(3, g_dst.bytes, &size);

    return addressed(rc, size);
}

static int64_t call_socket_queued(unsigned round)
{
    uint32_t size = 77;
    int rc = ocall_socket_queued(3, &size);

    CHECK(rc == 0 ? size <= INT32_MAX : size == 77);
    return rc;
}

/* ---- host folders ---- */

static int64_t call_mount_open(unsigned round)
{
    int rc = ocall_mount_open(0, "some/file", 0, 0);

    CHECK(rc <= (int)OCALL_DESCRIPTOR_MAX);
    return rc;
}

/* What is let through is what Linux could say; else nothing is written. */
static int64_t stat_checked(int64_t rc, const struct ocall_stat *st)
{
    uint32_t type = st->mode >> 12;

    if (rc < 0) {
        CHECK(st->ino == GUARD && st->size == GUARD);
        return rc;
    }
    CHECK(st->size <= INT64_MAX && st->blocks <= INT64_MAX && st->mode <= 0177777);
    CHECK(type == 010 || type == 004 || type == 012 || type == 002 || type == 006 || type == 001 ||
          type == 014);
    CHECK(st->atime_ns < 1000000000 && st->mtime_ns < 1000000000 && st->ctime_ns < 1000000000);
    return rc;
}

static int64_t call_mount_stat(unsigned round)
{
    struct ocall_stat st = { .ino = GUARD, .size = GUARD };

    return stat_checked(ocall_mount_stat(0, "some/file", &st), &st);
}

static int64_t call_mount_readlink(unsigned round)
{
    int64_t rc = ocall_mount_readlink(0, "some/link", (char *)g_dst.bytes, 64);

    CHECK(rc <= 64 && g_dst.guard == GUARD);
    CHECK(rc <= 0 || !memchr(g_dst.bytes, 0, (size_t)rc));
    return rc;
}

static int64_t call_mount_mkdir(unsigned round)
{
    return ocall_mount_mkdir(0, "some/folder", 0755);
}

static int64_t call_mount_unlink(unsigned round)
{
    return ocall_mount_unlink(0, "some/file", false);
}

static int64_t call_mount_rename(unsigned round)
{
    return ocall_mount_rename(0, "some/file", "other/file", 0);
}

static int64_t call_mount_symlink(unsigned round)
{
    return ocall_mount_symlink(0, "target", "some/link");
}

static int64_t call_mount_link(unsigned round)
{
    return ocall_mount_link(0, "some/file", "other/file");
}

static int64_t call_mount_chmod(unsigned round)
{
    return ocall_mount_chmod(0, "some/file", 0600);
}

static int64_t call_mount_utimens(unsigned round)
{
    return ocall_mount_utimens(0, "some/file", (const int64_t[2]){ 1, 2 },
                               (const uint32_t[2]){ 3, 4 });
}

static int64_t call_file_stat(unsigned round)
{
    struct ocall_stat st = { .ino = GUARD, .size = GUARD };

    return stat_checked(ocall_file_stat(3, &st), &st);
}

static int64_t call_file_pread(unsigned round)
{
    return counted(ocall_file_pread(3, g_dst.bytes, 100, round), 100);
}

static int64_t call_file_pwrite(unsigned round)
{
    int64_t rc = ocall_file_pwrite(3, "0123456789", 10, round);

    CHECK(rc <= 10);
    return rc;
}

static int64_t call_file_truncate(unsigned round)
{
    return ocall_file_truncate(3, 4096);
}

static int64_t call_file_sync(unsigned round)
{
    return ocall_file_sync(3, false);
}

static int64_t call_file_lock(unsigned round)
{
    return ocall_file_lock(3, 1 + round % 2);
}

/* Entries that are let through can be walked, and none is a path. */
static int64_t call_file_getdents(unsigned round)
{
    int64_t rc = ocall_file_getdents(3, g_dst.bytes, 256, true);
    uint16_t size;

    CHECK(rc <= 256 && g_dst.guard == GUARD);
    for (int64_t off = 0; off < rc; off += size) {
        const char *name = (const char *)g_dst.bytes + off + 19;

        CHECK(rc - off >= 21);
        memcpy(&size, g_dst.bytes + off + 16, sizeof size);
        CHECK(size >= 21 && size <= rc - off);
        CHECK(name[0] != 0 && memchr(name, 0, size - 19u) && !memchr(name, '/', strlen(name)));
    }
    return rc;
}

static int64_t call_host_file(unsigned round)
{
    return counted(ocall_host_file("hosts", g_dst.bytes, 80), 80);
}

/* ---- the quoting service ---- */

/* A TARGETINFO that is let through is one that EREPORT takes. */
static int64_t call_quote_target(unsigned round)
{
    static struct {
        struct evidence_target target;
        uint64_t guard;
    } t;
    struct sgx_report report;
    int rc;

    memset(&t, FILL, sizeof t);
    rc = ocall_quote_target(&t.target);
    CHECK(t.guard == 0x3333333333333333 && rc <= 0);
    if (rc < 0) {
        CHECK(t.target.targetinfo.mrenclave[0] == FILL && t.target.att_key_id.bytes[0] == FILL);
        return rc;
    }
    CHECK(t.target.att_key_id.size <= EVIDENCE_ATT_KEY_ID_SIZE_MAX);
    CHECK(sgx_report_create(&t.target.targetinfo, g_dst.bytes, &report) == 0 ||
          t.target.targetinfo.cet_attributes != 0);
    return rc;
}

/* A quote that is let through is over the report that was asked about. */
static int64_t call_quote(unsigned round)
{
    static uint8_t quote[EVIDENCE_QUOTE_SIZE_MAX + 8];
    static struct evidence_quote_request request;
    int64_t rc;

    memset(&request, (int)round, sizeof request);
    memset(quote, FILL, sizeof quote);
    rc = ocall_quote(&request, quote);
    CHECK(rc <= EVIDENCE_QUOTE_SIZE_MAX && quote[EVIDENCE_QUOTE_SIZE_MAX] == FILL);
    if (rc >= 0)
        CHECK(rc >= 432 && (memcmp(quote + 48, &request.report.body, 384) == 0 ||
                            memcmp(quote + 54, &request.report.body, 384) == 0));
    return rc;
}

static int64_t call_quote_collateral(unsigned round)
{
    uint64_t off = round % 5;
    uint32_t total = 7;
    int64_t rc = ocall_quote_collateral("0123456789abcdef", 16, off, g_dst.bytes, 200, &total);

    CHECK(rc < 0 ? total == 7 : total <= EVIDENCE_COLLATERAL_SIZE_MAX && rc + off <= total);
    return counted(rc, 200);
}

#define ERRORS(...)                                                                                \
    (const int16_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }
static const struct {
    const char *name;
    int64_t (*call)(unsigned round);
    const int16_t *errors;
} g_rows[] = {
#define OCALL(name, result, errors, needs) { #name, call_##name, errors },
#include "abi/ocall.def"
#undef OCALL
};

/* A secret in every vector register and on the stack below: none of it may leave with an OCALL. */
static __attribute__((noinline)) void secrets_spread(void)
{
    volatile uint64_t stack[192];

    for (unsigned i = 0; i < ARRAY_COUNT(stack); i++)
        stack[i] = ROW_SECRET;
    __asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
                     "movq %0, %%xmm\\n\n"
                     "punpcklqdq %%xmm\\n, %%xmm\\n\n"
                     ".endr\n"
                     "fld1\n"
                     "fstp %%st(3)\n"
                     :
                     : "r"(ROW_SECRET));
}

static bool is_allowed(const int16_t *errors, int64_t rc)
{
    if (rc >= 0 || rc == -EPERM)
        return true;
    for (; *errors != 0; errors++)
        if (rc == -*errors)
            return true;
    return false;
}

static unsigned number_parse(const char *text)
{
    unsigned n = 0;

    while (*text >= '0' && *text <= '9')
        n = n * 10 + (unsigned)(*text++ - '0');
    return n;
}

void test_rows_run(const char *name, const char *rounds)
{
    for (unsigned i = 0; i < ARRAY_COUNT(g_rows); i++) {
        if (strcmp(g_rows[i].name, name) != 0)
            continue;
        for (unsigned round = 0; round < number_parse(rounds); round++) {
            dst_prepare();
            secrets_spread();
            CHECK(is_allowed(g_rows[i].errors, g_rows[i].call(round)));
            CHECK(g_dst.guard == GUARD);
        }
        CHECK((test_host_signals() & ~START_SIGNALS) == 0);
        enclave_exit(ROW_HARMLESS);
    }
}
