/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test mode: a thread of the enclave runs in single steps (RFLAGS.TF), and at chosen instructions a host signal
 * comes. Untrusted side. docs/emulator.md, CLOCHE_EMU_STEP.
 *
 * The program turns it on for its own thread with `ud2` while RAX holds EMU_STEP_ON, off with EMU_STEP_OFF. The enclave
 * never sees TF: it is set when an entry is loaded, taken out of what an AEX saves, and out of what PUSHF stored.
 * One thread at a time: the table of places has no lock.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RANGES_MAX 32
#define PLACES (1u << 16) /* of the table; a power of two */
#define EFLAGS_TF 0x100ll
#define EFLAGS_DF 0x400ll
#define PUSHF 0x9c
#define REPEAT 8
#define PATIENCE 4
#define STEP_SIGNAL SIGUSR1

struct place {
    uint64_t addr; /* 0: free */
    uint32_t stepped, hit;
};

/* Written before threads run, but for what the stepped thread counts. */
static struct {
    bool is_enabled, is_deep;
    unsigned long stride, count; /* steps from one signal to the next; since the last one */
    unsigned range_count;
    uint64_t start[RANGES_MAX], end[RANGES_MAX];
    int log_fd;
    bool is_full;
    struct place *places;
} g_step = { .log_fd = -1 };

/*
 * STRIDE[,deep][,START-END]...: a signal at an instruction of the ranges where none has come yet, but not before STRIDE
 * such instructions have passed since the last, unless it was passed PATIENCE times (what runs only because of a signal,
 * just after it, would never have its turn); and after REPEAT * STRIDE wherever it may be. So everything comes to its end,
 * and every instruction that the program leads to has its turn.
 */
int emu_step_init(void)
{
    const char *text = getenv("CLOCHE_EMU_STEP"), *log = getenv("CLOCHE_EMU_STEP_LOG");
    char *rest;

    if (!text || g_step.is_enabled)
        return 0;
    g_step.stride = strtoul(text, &rest, 10);
    if (g_step.stride == 0)
        return -EINVAL;
    while (*rest == ',' && g_step.range_count < RANGES_MAX) {
        if (strncmp(rest, ",deep", 5) == 0) {
            g_step.is_deep = true;
            rest += 5;
            continue;
        }
        g_step.start[g_step.range_count] = strtoull(rest + 1, &rest, 16);
        if (*rest != '-')
            return -EINVAL;
        g_step.end[g_step.range_count++] = strtoull(rest + 1, &rest, 16);
    }
    if (*rest)
        return -EINVAL;
    g_step.places = calloc(PLACES, sizeof *g_step.places);
    if (!g_step.places)
        return -ENOMEM;
    if (log)
        g_step.log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    g_step.is_enabled = true;
    return 0;
}

/* Should the entry that is prepared now, into this SSA frame, be stepped? */
bool emu_step_wants(const struct emu_thread *t, uint32_t cssa)
{
    return UNLIKELY(t->stepping) && (cssa == 0 || g_step.is_deep);
}

static bool is_in_ranges(uint64_t rip)
{
    for (unsigned i = 0; i < g_step.range_count; i++)
        if (rip >= g_step.start[i] && rip < g_step.end[i])
            return true;
    return g_step.range_count == 0;
}

static struct place *find_place(uint64_t addr)
{
    for (unsigned i = 0; i < PLACES; i++) {
        struct place *p = &g_step.places[((addr * 0x9e3779b97f4a7c15ull >> 48) + i) & (PLACES - 1)];

        if (p->addr == addr || p->addr == 0) {
            p->addr = addr;
            return p;
        }
    }
    g_step.is_full = true;
    return &g_step.places[0];
}

/* The C library may not be called: FS can be the enclave's. */
static long raw_syscall(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

/* All signals are blocked here: it comes as soon as the context is back, at its instruction. */
static void inject(void)
{
    raw_syscall(SYS_tgkill, raw_syscall(SYS_getpid, 0, 0, 0), raw_syscall(SYS_gettid, 0, 0, 0),
                STEP_SIGNAL);
}

/* PUSHF was the instruction before: what it stored. */
static void hide_flag(const struct emu_thread *t, const greg_t *g)
{
    uint8_t code;
    uint64_t flags;

    if ((uint64_t)g[REG_RIP] != t->step_last + 1 ||
        sgx_emu_copy(&code, (const void *)t->step_last, 1) < 0 || code != PUSHF ||
        sgx_emu_copy(&flags, (const void *)g[REG_RSP], sizeof flags) < 0)
        return;
    flags &= ~(uint64_t)EFLAGS_TF;
    (void)!sgx_emu_copy((void *)g[REG_RSP], &flags, sizeof flags);
}

/* A whole `rep movsb` at once where nothing comes in between: a step for each byte takes too long. */
static void skip_copy(struct emu_thread *t, greg_t *g)
{
    uint8_t code[2];

    if (sgx_emu_copy(code, (const void *)g[REG_RIP], sizeof code) < 0 || code[0] != 0xf3 ||
        code[1] != 0xa4 || (g[REG_EFL] & EFLAGS_DF) ||
        sgx_emu_copy((void *)g[REG_RDI], (const void *)g[REG_RSI], (size_t)g[REG_RCX]) < 0)
        return; /* a fault: the enclave's own, byte by byte */
    g[REG_RDI] += g[REG_RCX];
    g[REG_RSI] += g[REG_RCX];
    g[REG_RCX] = 0;
    g[REG_RIP] += sizeof code;
    t->step_last = (uint64_t)g[REG_RIP];
}

/* The signal's turn has come at p. */
static bool is_due(const struct place *p)
{
    if (p->hit == 0)
        return g_step.count >= g_step.stride || p->stepped > PATIENCE;
    return g_step.count >= REPEAT * g_step.stride;
}

bool emu_step_trap(struct emu_thread *t, ucontext_t *uc, bool is_enclave)
{
    greg_t *g = uc->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)g[REG_RIP];
    struct place *p;

    if (!g_step.is_enabled || !emu_thread_is_known(t) || !t->stepping)
        return false;
    if (!is_enclave) { /* EEXIT has happened */
        g[REG_EFL] &= ~EFLAGS_TF;
        return true;
    }
    g[REG_EFL] |= EFLAGS_TF; /* POPF may have cleared it */
    hide_flag(t, g);
    if (rip == t->step_last) /* the next round of a string instruction */
        return true;
    t->step_last = rip;
    /* What is outside of ELRANGE is the emulator's own stubs and loads. */
    if (emu_registry_find(rip) && !is_in_ranges(rip))
        return true;
    p = find_place(rip);
    p->stepped++;
    g_step.count++;
    if (is_due(p)) {
        g_step.count = 0;
        p->hit++;
        inject();
    } else {
        skip_copy(t, g);
    }
    return true;
}

static void report(void)
{
    char line[128];

    if (g_step.log_fd < 0)
        return;
    for (unsigned i = 0; i < PLACES; i++) {
        struct place *p = &g_step.places[i];
        int size;

        if (p->stepped == 0)
            continue;
        size = snprintf(line, sizeof line, "%lx %u %u\n", p->addr, p->stepped, p->hit);
        (void)!write(g_step.log_fd, line, (size_t)size);
        p->stepped = p->hit = 0;
    }
    if (g_step.is_full)
        (void)!write(g_step.log_fd, "full 0 0\n", 9);
}

bool emu_step_trigger(struct emu_thread *t, ucontext_t *uc)
{
    greg_t *g = uc->uc_mcontext.gregs;
    uint64_t word = (uint64_t)g[REG_RAX];
    uint8_t code[2];

    if (LIKELY(!g_step.is_enabled) ||
        (word != EMU_STEP_ON && word != EMU_STEP_OFF && word != EMU_STEP_REPORT) ||
        sgx_emu_copy(code, (const void *)g[REG_RIP], sizeof code) < 0 || code[0] != 0x0f ||
        code[1] != 0x0b)
        return false;
    g[REG_RIP] += 2;
    t->step_last = (uint64_t)g[REG_RIP];
    t->stepping = word == EMU_STEP_ON;
    if (t->stepping) {
        g[REG_EFL] |= EFLAGS_TF;
    } else {
        g[REG_EFL] &= ~EFLAGS_TF;
        if (word == EMU_STEP_REPORT)
            report();
    }
    return true;
}
