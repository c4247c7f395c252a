/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the host to each OCALL, as tee/enclave/ocall*.c decodes them. The input is the answer: which
 * OCALL, result, out words, signals, then the buffer. What the decoder lets through must be in range;
 * ending the enclave is a right answer too.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "abi/start.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tests/fuzz/fuzz.h"

#define SMALL 64u

static struct ocall_frame *g_frame;
static struct tcb *g_tcb;
static const uint8_t *g_data;
static size_t g_size;
static jmp_buf g_panic;

uint32_t enclave_dead;

static void take(void *dst, size_t size)
{
    size_t n = MIN(size, g_size);

    memset(dst, 0, size);
    memcpy(dst, g_data, n);
    g_data += n;
    g_size -= n;
}

/* What the runtime around the decoders gives them. */
void ocall_leave(void)
{
    take(&g_frame->result, sizeof g_frame->result);
    take(g_frame->out, sizeof g_frame->out);
    take(&g_frame->signals, sizeof g_frame->signals);
    take(g_frame->buffer, MIN(g_size, sizeof g_frame->buffer));
}

int uptr_read(void *dst, struct uptr src, size_t size)
{
    memcpy(dst, (const void *)src.addr, size);
    return 0;
}

int uptr_write(struct uptr dst, const void *src, size_t size)
{
    memcpy((void *)dst.addr, src, size);
    return 0;
}

void libos_host_signal(int signo)
{
    assert(signo >= 1 && signo <= 31 && (START_SIGNALS & (1u << (signo - 1))));
}

void enclave_panic(const char *text)
{
    longjmp(g_panic, 1);
}

uint64_t clock_monotonic_ns(void)
{
    return 1000;
}

static void setup(void)
{
    if (g_tcb)
        return;
    g_frame = aligned_alloc(4096, ALIGN_UP(sizeof *g_frame, 4096ul));
    g_tcb = aligned_alloc(4096, sizeof *g_tcb);
    if (!g_frame || !g_tcb)
        abort();
    memset(g_frame, 0, sizeof *g_frame);
    memset(g_tcb, 0, sizeof *g_tcb);
    g_tcb->self = g_tcb;
    g_tcb->frame = (uint64_t)g_frame;
    __asm__ volatile("wrgsbase %0" : : "r"(g_tcb));
}

static void check_files(unsigned which)
{
    char *bytes = malloc(SMALL); /* on the heap: the sanitizer sees one byte too many */
    struct ocall_stat st;
    uint16_t rows, columns;
    int64_t n = 0;

    if (!bytes)
        return;
    switch (which) {
    case 0:
        n = ocall_read(1, bytes, SMALL);
        break;
    case 1:
        n = ocall_write(1, bytes, SMALL);
        break;
    case 2:
        n = ocall_file_pread(1, bytes, SMALL, 5);
        break;
    case 3:
        n = ocall_file_pwrite(1, bytes, SMALL, 5);
        break;
    case 4:
        n = ocall_file_getdents(1, bytes, SMALL, true);
        break;
    case 5:
        n = ocall_mount_readlink(1, "path", bytes, SMALL);
        break;
    case 6:
        n = ocall_host_file("hosts", bytes, SMALL);
        break;
    case 7:
        if (ocall_file_stat(1, &st) == 0)
            assert(st.atime_ns < 1000000000 && st.mode <= 0177777 && st.size <= INT64_MAX);
        break;
    case 8:
        if (ocall_mount_stat(1, "path", &st) == 0)
            assert(st.ctime_ns < 1000000000);
        break;
    case 9:
        assert(ocall_mount_open(1, "path", 0, 0) <= (int)OCALL_DESCRIPTOR_MAX);
        break;
    case 10:
        assert(ocall_tty_size(1, &rows, &columns) <= 0);
        break;
    default:
        assert(ocall_close(1) <= 0);
    }
    assert(n <= (int64_t)SMALL && n >= -4095);
    free(bytes);
}

static void check_sockets(unsigned which)
{
    uint8_t *address = malloc(OCALL_ADDR_SIZE);
    char *bytes = malloc(SMALL);
    size_t size = SMALL;
    uint32_t queued = 0;
    int flags = 0;

    if (!address || !bytes)
        return;
    switch (which) {
    case 0:
        assert(ocall_socket(2, 1, 0) <= (int)OCALL_DESCRIPTOR_MAX);
        break;
    case 1:
        assert(ocall_accept(1, address, &size) <= (int)OCALL_DESCRIPTOR_MAX);
        break;
    case 2:
        assert(ocall_sendto(1, bytes, SMALL, 0, NULL, 0) <= (int64_t)SMALL);
        break;
    case 3:
        assert(ocall_recvfrom(1, bytes, SMALL, 0, address, &size, &flags) <= (int64_t)SMALL);
        break;
    case 4:
        if (ocall_getsockopt(1, 1, 1, bytes, &size) == 0)
            assert(size <= SMALL);
        break;
    case 5:
        assert(ocall_getpeername(1, address, &size) <= 0);
        break;
    case 6:
        if (ocall_socket_queued(1, &queued) == 0)
            assert(queued <= INT32_MAX);
        break;
    default:
        assert(ocall_connect(1, address, 16) <= 0);
    }
    assert(size <= OCALL_ADDR_SIZE);
    free(address);
    free(bytes);
}

static void check_quotes(unsigned which)
{
    struct evidence_target *target = malloc(sizeof *target);
    struct evidence_quote_request *request = calloc(1, sizeof *request);
    uint8_t *quote = malloc(EVIDENCE_QUOTE_SIZE_MAX);
    uint32_t total = 0;
    int64_t n = 0;

    if (!target || !request || !quote)
        return;
    switch (which) {
    case 0:
        if (ocall_quote_target(target) == 0)
            assert(target->att_key_id.size <= EVIDENCE_ATT_KEY_ID_SIZE_MAX);
        break;
    case 1:
        n = ocall_quote(request, quote);
        assert(n < 0 || (n >= 438 && n <= EVIDENCE_QUOTE_SIZE_MAX));
        break;
    default:
        n = ocall_quote_collateral("quote", 5, 3, quote, SMALL, &total);
        assert(n <= (int64_t)SMALL && (n <= 0 || total >= n + 3));
    }
    free(target);
    free(request);
    free(quote);
}

static void check_threads(void)
{
    struct ocall_pollfd *fds = calloc(3, sizeof *fds);
    int rc;

    if (!fds)
        return;
    for (int i = 0; i < 3; i++)
        fds[i].host_fd = i + 10;
    rc = ocall_poll(fds, 3, 5000);
    assert(rc <= 3);
    for (int i = 0; i < 3; i++)
        assert(fds[i].host_fd == i + 10);
    free(fds);
    struct ocall_event *events = calloc(5, sizeof *events);
    if (events) {
        rc = ocall_events_wait(3, events, 5, 5000, OCALL_EVENT_OWNER);
        assert(rc <= 5);
        free(events);
    }
    assert(ocall_events_change(3, OCALL_EVENT_ADD, 4, 1, 2) <= 0);
    rc = ocall_park(5000);
    assert(rc == 0 || rc == -110);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t which;

    setup();
    g_data = data;
    g_size = size;
    take(&which, 1);
    if (setjmp(g_panic))
        return 0; /* what was allocated is lost with the "enclave" */
    if (which < 12)
        check_files(which);
    else if (which < 20)
        check_sockets(which - 12u);
    else if (which < 23)
        check_quotes(which - 20u);
    else
        check_threads();
    return 0;
}

/* A panic leaves blocks behind on purpose. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
