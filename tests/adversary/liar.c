/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loader whose host lies. Each lie has a name, what it does to the OCALLs or the start, and what the
 * enclave must make of it: an exit status (50: the enclave's own checks passed) or a last line before it
 * ends itself.
 *
 * usage: liar BUNDLE LIE | liar --list
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/loader/loader.h"

#define HARMLESS 50
#define PANIC 125

static volatile int g_flip_stop;
static struct ocall_frame *g_flip_frame;
static const char *g_lie;
static unsigned g_calls;

static bool is_lie(const char *name)
{
    return strcmp(g_lie, name) == 0;
}

/* A second thread of the host that changes the answer while the enclave reads it. */
static void *flip(void *arg)
{
    struct ocall_frame *f = arg;

    for (uint64_t i = 0; !g_flip_stop; i++) {
        __atomic_store_n(&f->result, i % 3 == 0 ? 16 : i % 3 == 1 ? 32 : -EAGAIN, __ATOMIC_RELAXED);
        __atomic_store_n((uint64_t *)f->buffer, i, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void lie_results(struct ocall_frame *f)
{
    static const int64_t results[] = { -4095, -1, INT64_MIN, -512, -38 };

    f->result = results[g_calls++ % ARRAY_COUNT(results)];
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

static bool is_ocall(const struct ocall_frame *f, uint64_t number)
{
    return f->number == number;
}

/* returns: true when the lie took the real service's place. */
static bool lie_instead(struct ocall_thread *t, struct ocall_frame *f)
{
    bool about_files = f->number >= OCALL_read;

    if (is_lie("results") && about_files) {
        lie_results(f);
    } else if (is_lie("count") && is_ocall(f, OCALL_read)) {
        f->result = 17;
    } else if (is_lie("flipping") && is_ocall(f, OCALL_read)) {
        f->result = 16;
    } else if (is_lie("descriptor") && about_files) {
        static const int64_t answers[] = { INT64_MAX, 1ll << 32, 0x100000 };

        f->result = answers[g_calls++ % 3];
    } else if (is_lie("address") && about_files) {
        f->result = 0;
        f->out[0] = UINT64_MAX;
        f->out[1] = UINT64_MAX;
    } else if (is_lie("option-size") && about_files) {
        f->result = 0;
        f->out[0] = 9;
    } else if (is_lie("stat") && about_files) {
        lie_stat(f);
    } else if (is_lie("entries") && about_files) {
        lie_entries(f);
    } else if (is_lie("poll") && is_ocall(f, OCALL_poll)) {
        memset(f->buffer, 0xff, 64);
        f->result = 2;
    } else if (is_lie("edmm-restrict") && is_ocall(f, OCALL_edmm_restrict)) {
        f->result = 0;
    } else if (is_lie("edmm-trim") && is_ocall(f, OCALL_edmm_trim)) {
        f->result = 0;
    } else if (is_lie("thread") && is_ocall(f, OCALL_thread_start)) {
        f->result = 0;
    } else {
        return false;
    }
    return true;
}

static bool serve(struct ocall_thread *t)
{
    struct ocall_frame *f = t->frame;

    if (is_lie("flipping") && !g_flip_frame) {
        pthread_t thread;

        g_flip_frame = f;
        pthread_create(&thread, NULL, flip, f);
    }
    if (is_ocall(f, OCALL_exit) || is_ocall(f, OCALL_panic))
        g_flip_stop = 1;
    if (lie_instead(t, f))
        return true;
    if (!ocall_serve(t))
        return false;
    if (strncmp(g_lie, "time", 4) == 0 && is_ocall(f, OCALL_clock))
        lie_time(f);
    if (is_lie("thread-denied") && is_ocall(f, OCALL_thread_start)) {
        usleep(300000); /* it runs by now */
        f->result = -EAGAIN;
    }
    if (is_lie("signals"))
        __atomic_store_n(&t->host->signals, UINT64_MAX, __ATOMIC_SEQ_CST);
    return true;
}

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

static struct loader g_loader;

static void *second_start_thread(void *arg)
{
    if (g_loader.backend->thread_init(g_loader.ocall.enclave) < 0)
        exit(3);
    second_start(&g_loader);
    g_loader.backend->thread_done(g_loader.ocall.enclave);
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

/* ---- registers that the enclave leaves behind ---- */

/* What an exit handler (vDSO: run->user_handler) finds: XMM0 to 15, then the registers that no calling
 * convention gives it. */
static volatile struct {
    uint64_t xmm[16][2];
    uint64_t general[8];
} g_left __attribute__((used));
void liar_exit_handler(void);
__asm__(".text\n"
        "liar_exit_handler:\n"
        "    lea g_left(%rip), %rax\n"
        "    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    movups %xmm\\n, \\n * 16(%rax)\n"
        "    .endr\n"
        "    mov %rdi, 256(%rax)\n"
        "    mov %rsi, 264(%rax)\n"
        "    mov %rdx, 272(%rax)\n"
        "    mov %r8, 280(%rax)\n"
        "    mov %r9, 288(%rax)\n"
        "    mov %r12, 296(%rax)\n"
        "    mov %r13, 304(%rax)\n"
        "    mov %r15, 312(%rax)\n"
        "    xor %eax, %eax\n"
        "    ret\n");

static struct sgx_backend g_watching;
static sgx_enter_fn *g_real_enter;

/* Enters with the handler in place; the programs of the test enclave hold this pattern in registers. */
static int enter_and_look(unsigned long rdi, unsigned long rsi, unsigned long rdx,
                          unsigned int function, unsigned long r8, unsigned long r9,
                          struct sgx_run *run)
{
    static const uint64_t pattern = 0x1122334455667788;
    int rc;

    run->user_handler = (uint64_t)liar_exit_handler;
    rc = g_real_enter(rdi, rsi, rdx, function, r8, r9, run);
    if (run->function != SGX_EEXIT)
        return rc;
    for (unsigned i = 0; i < 16; i++) {
        if (g_left.xmm[i][0] == pattern || g_left.xmm[i][1] == pattern) {
            fprintf(stderr, "xmm%u left the enclave\n", i);
            _exit(8);
        }
    }
    for (unsigned i = 0; i < ARRAY_COUNT(g_left.general); i++) {
        if (g_left.general[i] == pattern) {
            fprintf(stderr, "a general register left the enclave\n");
            _exit(9);
        }
    }
    g_calls++;
    return rc;
}

static void watch_registers(struct loader *l)
{
    g_watching = *l->backend;
    g_real_enter = g_watching.enter;
    g_watching.enter = enter_and_look;
    l->backend = &g_watching;
}

/* What the start says. */
static void lie_start(struct loader *l)
{
    struct enclave_start *s = &l->start;

    if (is_lie("start-rootfs-inside"))
        s->rootfs.addr = LIBOS_BASE;
    else if (is_lie("start-rootfs-across"))
        s->rootfs.addr = l->descriptor.elrange_size - PAGE_SIZE;
    else if (is_lie("start-rootfs-wraps"))
        s->rootfs.size = UINT64_MAX - PAGE_SIZE;
    else if (is_lie("start-rootfs-short"))
        s->rootfs.size = PAGE_SIZE;
    else if (is_lie("start-verity-inside"))
        s->verity.addr = LIBOS_HEAP_ADDR;
    else if (is_lie("start-descriptor-inside"))
        s->descriptor.addr = LIBOS_BASE;
    else if (is_lie("start-descriptor-other"))
        s->descriptor.size--;
    else if (is_lie("start-descriptor-huge"))
        s->descriptor.size = 1ull << 32;
    else if (is_lie("start-arguments-inside"))
        s->arguments.addr = LIBOS_CONFIG_ADDR;
    else if (is_lie("start-arguments-short"))
        s->argument_count = 5;
    else if (is_lie("start-arguments-many"))
        s->argument_count = UINT32_MAX;
    else if (is_lie("start-environment-huge"))
        s->environment.size = 1ull << 40;
    else if (is_lie("start-version"))
        s->version = 2;
    else if (is_lie("start-tsc"))
        s->tsc_hz = 1;
    else if (is_lie("start-slots"))
        s->thread_slots = UINT32_MAX;
}

static const struct {
    const char *name, *scenario;
    int status;
    const char *text; /* what the operator must read */
} g_table[] = {
    { "results", "results", HARMLESS, "" },
    { "count", "count", PANIC, "more than was asked for" },
    { "flipping", "flipping", HARMLESS, "" },
    { "descriptor", "descriptor", HARMLESS, "" },
    { "address", "address", HARMLESS, "" },
    { "option-size", "option-size", PANIC, "more than was asked for" },
    { "stat", "stat", HARMLESS, "" },
    { "entries", "entries", HARMLESS, "" },
    { "poll", "poll", HARMLESS, "" },
    { "time-back", "time-back", HARMLESS, "" },
    { "time-stands", "time-stands", HARMLESS, "" },
    { "time-wild", "time-wild", HARMLESS, "" },
    { "edmm-restrict", "edmm-restrict", PANIC, "did not restrict" },
    { "edmm-trim", "edmm-trim", PANIC, "did not take pages back" },
    { "signals", "signals", HARMLESS, "" },
    { "thread", "thread", HARMLESS, "" },
    { "thread-denied", "thread-denied", PANIC, "denies a thread" },
    { "wrong-entries", "log", 0, "hello from inside" },
    { "second-start", "log", 0, "hello from inside" },
    { "start-rootfs-inside", "log", PANIC, "points into the enclave" },
    { "start-rootfs-across", "log", PANIC, "points into the enclave" },
    { "start-rootfs-wraps", "log", PANIC, "points into the enclave" },
    { "start-rootfs-short", "log", PANIC, "cut short" },
    { "start-verity-inside", "log", PANIC, "points into the enclave" },
    { "start-descriptor-inside", "log", PANIC, "points into the enclave" },
    { "start-descriptor-other", "log", PANIC, "not the one that was measured" },
    { "start-descriptor-huge", "log", PANIC, "more than allowed" },
    { "start-arguments-inside", "log", PANIC, "points into the enclave" },
    { "start-arguments-short", "log", PANIC, "malformed" },
    { "start-arguments-many", "log", PANIC, "more than allowed" },
    { "start-environment-huge", "log", PANIC, "more than allowed" },
    { "start-version", "log", PANIC, "different versions" },
    { "start-tsc", "log", 0, "hello from inside" },
    { "start-slots", "runtime", 42, "" },
    { "registers", "trap", 6, "" },
    { "registers", "fault", 5, "" },
};

static int run_lie(const char *bundle, const char *scenario)
{
    static char *argv[2];
    struct err err = { "" };
    struct loader *l = &g_loader;

    argv[0] = (char *)scenario;
    l->options = (struct loader_options){ .image = bundle, .argc = 1, .argv = argv };
    if (loader_image_open(l, &err) < 0 || loader_enclave_build(l, &err) < 0 ||
        loader_start_prepare(l, &err) < 0) {
        fprintf(stderr, "liar: %s\n", err.text);
        return 2;
    }
    l->ocall.serve = serve;
    if (is_lie("second-start"))
        l->ocall.serve = serve_second_start;
    if (is_lie("wrong-entries"))
        wrong_entries(l);
    lie_start(l);
    if (is_lie("registers"))
        watch_registers(l);
    loader_run(l);
    return 2;
}

/* Runs one lie in a process of its own. returns: true as expected. */
static bool check_lie(const char *bundle, size_t i)
{
    char text[4096] = "";
    size_t used = 0;
    ssize_t n;
    int pipe_fds[2], status;
    pid_t pid;

    if (pipe(pipe_fds) < 0)
        return false;
    pid = fork();
    if (pid == 0) {
        dup2(pipe_fds[1], STDERR_FILENO);
        alarm(20);
        g_lie = g_table[i].name;
        _exit(run_lie(bundle, g_table[i].scenario));
    }
    close(pipe_fds[1]);
    while ((n = read(pipe_fds[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    close(pipe_fds[0]);
    if (waitpid(pid, &status, 0) != pid)
        return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == g_table[i].status &&
        strstr(text, g_table[i].text)) {
        printf("ok     %s\n", g_table[i].name);
        return true;
    }
    printf("FAILED %s: status 0x%x, expected exit %d and \"%s\": %s\n", g_table[i].name, status,
           g_table[i].status, g_table[i].text, text);
    return false;
}

int main(int argc, char **argv)
{
    bool good = true, found = false;

    if (argc < 2) {
        fputs("usage: liar BUNDLE [LIE]\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_table); i++) {
        if (argc > 2 && strcmp(argv[2], g_table[i].name) != 0)
            continue;
        found = true;
        fflush(stdout);
        good = check_lie(argv[1], i) && good;
    }
    return good && found ? 0 : 1;
}
