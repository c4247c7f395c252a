/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies of the kernel and of whoever calls ENCLU: pages taken away, given wrongly or changed while in use;
 * entries and resumes at the wrong moment, exceptions made up, twice, or kept back. The pages are lied about
 * in the emulator's EPCM, as a hostile kernel would by ENCLS. Untrusted side, test only.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/sgx/emu/emu.h"
#include "tests/adversary/lies.h"

#define PERM_RW (SGX_SECINFO_R | SGX_SECINFO_W)
#define REG (SGX_PT_REG << 8)

static struct loader *g_loader;

static bool is_lie(const char *name)
{
    return strcmp(g_lie->name, name) == 0;
}

static struct sgx_enclave *enclave(void)
{
    return g_loader->ocall.enclave;
}

/* ENCLS by hand: what the EPCM says of this page from now on. */
static void epcm_set(uint64_t addr, uint16_t entry)
{
    struct sgx_enclave *e = enclave();

    emu_lock(e);
    if (mprotect((void *)addr, PAGE_SIZE, PROT_NONE) < 0)
        exit(3);
    atomic_store(emu_epcm_entry(e, addr), entry);
    emu_unlock(e);
    atomic_fetch_add(&g_told, 1);
}

/* EREMOVE of a page in use: its contents are lost. */
static void eremove(uint64_t addr)
{
    epcm_set(addr, 0);
    if (madvise((void *)addr, PAGE_SIZE, MADV_DONTNEED) < 0)
        exit(3);
}

static void modify(uint64_t addr, enum sgx_page_type type)
{
    uint64_t done;

    if (g_loader->backend->modify_types(enclave(), addr, PAGE_SIZE, type, &done) != 0)
        exit(3);
    atomic_fetch_add(&g_told, 1);
}

static void restrict_to(uint64_t addr, uint64_t permissions)
{
    uint64_t done;

    if (g_loader->backend->restrict_permissions(enclave(), addr, PAGE_SIZE, permissions, &done) !=
        0)
        exit(3);
    atomic_fetch_add(&g_told, 1);
}

/* ---- pages in use, and pages to come: at the enclave's yield ---- */

static void strike_remove(void)
{
    eremove(SGX_TEST_ADDR + PAGE_SIZE);
}

static void strike_trim(void)
{
    modify(SGX_TEST_ADDR + PAGE_SIZE, SGX_PT_TRIM);
}

static void strike_tcs(void)
{
    modify(SGX_TEST_ADDR + PAGE_SIZE, SGX_PT_TCS);
}

static void strike_restrict_all(void)
{
    restrict_to(SGX_TEST_ADDR + PAGE_SIZE, 0);
}

static void strike_restrict_write(void)
{
    restrict_to(SGX_TEST_ADDR + PAGE_SIZE, SGX_SECINFO_R);
}

static void strike_pending(void)
{
    eremove(SGX_TEST_ADDR + PAGE_SIZE);
    if (emu_epcm_eaug(enclave(), SGX_TEST_ADDR + PAGE_SIZE) < 0)
        exit(3);
}

static void strike_stack(void)
{
    for (uint64_t off = 0; off < SLOT_STACK_SIZE; off += PAGE_SIZE)
        eremove(LIBOS_SLOTS_ADDR + SLOT_STACK_OFF + off);
}

static void strike_exc_stack(void)
{
    for (uint64_t off = 0; off < SLOT_EXC_STACK_SIZE; off += PAGE_SIZE)
        eremove(LIBOS_SLOTS_ADDR + SLOT_EXC_STACK_OFF + off);
    eremove(SGX_TEST_ADDR);
}

static void strike_tcb(void)
{
    eremove(LIBOS_SLOTS_ADDR + SLOT_TCB_OFF);
}

static void strike_ssa(void)
{
    eremove(LIBOS_SLOTS_ADDR + SLOT_SSA_OFF);
}

static void strike_tcs_page(void)
{
    modify(LIBOS_SLOTS_ADDR + SLOT_TCS_OFF, SGX_PT_TRIM);
}

static void strike_text(void)
{
    for (uint64_t addr = LIBOS_BASE; addr < LIBOS_BASE + 64 * PAGE_SIZE; addr += PAGE_SIZE)
        if (atomic_load(emu_epcm_entry(enclave(), addr)) & SGX_SECINFO_X)
            eremove(addr);
}

static void strike_config(void)
{
    eremove(LIBOS_CONFIG_ADDR);
}

static void strike_hole(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_HOLE);
}

static void strike_hole_second(void)
{
    epcm_set(SGX_TEST_ADDR + PAGE_SIZE, EPCM_HOLE);
}

static void strike_readonly(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_VALID | EPCM_PENDING | REG | SGX_SECINFO_R);
}

static void strike_executable(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_VALID | EPCM_PENDING | REG | PERM_RW | SGX_SECINFO_X);
}

static void strike_accepted(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_VALID | REG | PERM_RW);
}

static void strike_modified(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_VALID | EPCM_PENDING | EPCM_MODIFIED | REG | PERM_RW);
}

static void strike_restricted(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_VALID | EPCM_PENDING | EPCM_PR | REG | PERM_RW);
}

static void strike_fresh_tcs(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_VALID | EPCM_MODIFIED | SGX_PT_TCS << 8);
}

static void strike_fresh_trim(void)
{
    epcm_set(SGX_TEST_ADDR, EPCM_VALID | EPCM_MODIFIED | SGX_PT_TRIM << 8);
}

/* ---- EDMM done differently ---- */

static int64_t edmm(struct ocall_frame *f, uint64_t addr, uint64_t count, uint64_t permissions)
{
    const struct sgx_backend *b = g_loader->backend;
    uint64_t done;
    int rc = 0;

    if (f->number == OCALL_edmm_restrict)
        rc = b->restrict_permissions(enclave(), addr, count * PAGE_SIZE, permissions, &done);
    else if (f->number == OCALL_edmm_trim)
        rc = b->modify_types(enclave(), addr, count * PAGE_SIZE, SGX_PT_TRIM, &done);
    else
        rc = b->remove_pages(enclave(), addr, count * PAGE_SIZE, &done);
    if (rc != 0)
        fprintf(stderr, "liar: the backend answered %d\n", rc);
    atomic_fetch_add(&g_told, 1);
    return 0;
}

static bool edmm_lie(struct ocall_frame *f)
{
    bool restricts = f->number == OCALL_edmm_restrict, trims = f->number == OCALL_edmm_trim,
         removes = f->number == OCALL_edmm_remove;

    if (restricts && is_lie("sgx/restrict-too-much"))
        f->result = edmm(f, f->args[0], f->args[1], 0);
    else if (restricts && is_lie("sgx/restrict-too-little"))
        f->result = edmm(f, f->args[0], f->args[1], PERM_RW);
    else if (restricts && is_lie("sgx/restrict-others"))
        f->result = edmm(f, f->args[0] + 2 * PAGE_SIZE, f->args[1], f->args[2]);
    else if ((restricts && is_lie("sgx/restrict-partly")) || (trims && is_lie("sgx/trim-partly")) ||
             (removes && is_lie("sgx/remove-partly")))
        f->result = edmm(f, f->args[0], f->args[1] - 1, f->args[2]);
    else if (trims && is_lie("sgx/trim-others"))
        f->result = edmm(f, f->args[0] + 2 * PAGE_SIZE, f->args[1], 0);
    else if (trims && is_lie("sgx/remove-instead-of-trim")) {
        for (uint64_t i = 0; i < f->args[1]; i++)
            eremove(f->args[0] + i * PAGE_SIZE);
        f->result = 0;
    } else
        return false;
    return true;
}

/* ---- entries: around each that the loader makes ---- */

static sgx_enter_fn *g_next_enter;

/* An entry by hand. returns: the leaf with which it ended. */
static unsigned enter(uint64_t tcs, unsigned function, uint64_t event, uint64_t arg, void *frame)
{
    struct sgx_run run = { .tcs = tcs };

    if (g_next_enter(event, arg, (unsigned long)frame, function, 0, 0, &run) < 0)
        exit(3);
    atomic_fetch_add(&g_told, 1);
    return run.function;
}

/* Comes straight out by EEXIT, and asks for nothing. */
static void enter_in_vain(uint64_t tcs, uint64_t event, uint64_t arg, struct ocall_frame *frame)
{
    uint64_t number = frame->number;

    if (enter(tcs, SGX_EENTER, event, arg, frame) != SGX_EEXIT || frame->number != number) {
        fprintf(stderr, "event %llu was served\n", (unsigned long long)event);
        _exit(4);
    }
}

static void enter_strange(uint64_t tcs, struct ocall_frame *frame, bool at_cssa1)
{
    static const uint64_t strange[] = { 0, ENTER_START, ENTER_THREAD, 6, 77, UINT64_MAX };

    for (size_t i = 0; i < ARRAY_COUNT(strange); i++)
        enter_in_vain(tcs, strange[i], (uint64_t)&g_loader->start, frame);
    enter_in_vain(tcs, at_cssa1 ? ENTER_OCALL_RETURN : ENTER_EXCEPTION, 0, frame);
    if (!at_cssa1)
        enter_in_vain(tcs, ENTER_SIGNAL, 10, frame);
}

static void enter_signals(uint64_t tcs, struct ocall_frame *frame)
{
    static const uint64_t numbers[] = { 0, 9, 10, 32, 64, 1ull << 32, 1ull << 63, UINT64_MAX };

    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        enter_in_vain(tcs, ENTER_SIGNAL, numbers[i], frame);
}

static void expect_fault(unsigned function)
{
    if (function == SGX_EEXIT) {
        fputs("ENCLU worked where it must not\n", stderr);
        _exit(4);
    }
}

static void before_entry(uint64_t event, uint64_t tcs, struct ocall_frame *frame)
{
    static unsigned resumes;

    if (event == ENTER_EXCEPTION) {
        /* The loader gives the exception next; first something else comes in at CSSA 1. */
        if (is_lie("sgx/exception-kept-back"))
            while (resumes++ < 5)
                if (enter(tcs, SGX_ERESUME, 0, 0, NULL) == SGX_EEXIT)
                    _exit(4);
        if (is_lie("sgx/strange-events-at-exceptions"))
            enter_strange(tcs, frame, true);
        if (is_lie("sgx/signal-before-exception"))
            enter_in_vain(tcs, ENTER_SIGNAL, 10, frame);
        if (is_lie("sgx/busy-resume-at-exception"))
            expect_fault(enter(tcs + PAGE_SIZE, SGX_ERESUME, 0, 0, NULL));
    } else if (event == ENTER_OCALL_RETURN) {
        if (is_lie("sgx/strange-events-at-returns"))
            enter_strange(tcs, frame, false);
        if (is_lie("sgx/resume-at-return"))
            expect_fault(enter(tcs, SGX_ERESUME, 0, 0, NULL));
    } else if (event == ENTER_START && is_lie("sgx/resume-before-start")) {
        expect_fault(enter(tcs, SGX_ERESUME, 0, 0, NULL));
    }
}

static void after_entry(uint64_t event, uint64_t tcs, struct ocall_frame *frame)
{
    if (event != ENTER_EXCEPTION)
        return;
    for (unsigned i = 0; i < 3 && is_lie("sgx/exception-twice"); i++)
        enter_in_vain(tcs, ENTER_EXCEPTION, 0, frame);
    if (is_lie("sgx/signals-after-exception"))
        enter_signals(tcs, frame);
}

static int lying_enter(unsigned long rdi, unsigned long rsi, unsigned long rdx,
                       unsigned int function, unsigned long r8, unsigned long r9,
                       struct sgx_run *run)
{
    uint64_t event = function == SGX_EENTER ? rdi : 0;
    int rc;

    before_entry(event, run->tcs, (struct ocall_frame *)rdx);
    rc = g_next_enter(rdi, rsi, rdx, function, r8, r9, run);
    if (rc == 0 && run->function == SGX_EEXIT)
        after_entry(event, run->tcs, (struct ocall_frame *)rdx);
    return rc;
}

static void prepare(struct loader *l)
{
    g_loader = l;
}

static void prepare_entries(struct loader *l)
{
    static struct sgx_backend lying;

    g_loader = l;
    lying = *l->backend;
    g_next_enter = lying.enter;
    lying.enter = lying_enter;
    l->backend = &lying;
}

static void prepare_dirty(struct loader *l)
{
    g_loader = l;
    g_entry_dirty = true;
    atomic_fetch_add(&g_told, 1);
}

/* Somebody else enters the TCS that is in use, again and again, then ends the program with SIGTERM. */
static void *intruder(void *arg)
{
    struct sgx_run run = { .tcs = LIBOS_SLOTS_ADDR + SLOT_TCS_OFF };

    if (g_loader->backend->thread_init(enclave()) < 0)
        exit(3);
    usleep(50000); /* the program spins by now */
    for (unsigned i = 0; i < 2000; i++) {
        if (g_next_enter(ENTER_SIGNAL, 15, (unsigned long)g_loader->ocall.threads[1].frame,
                         i % 2 ? SGX_EENTER : SGX_ERESUME, 0, 0, &run) < 0)
            exit(3);
        expect_fault(run.function);
    }
    atomic_fetch_add(&g_told, 1);
    kill(getpid(), SIGTERM);
    return NULL;
}

static void prepare_intruder(struct loader *l)
{
    pthread_t thread;
    sigset_t all, old;

    prepare_entries(l);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, intruder, NULL) != 0)
        exit(3);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Interrupts at every moment: the host takes the thread out as often as it can. */
static void *interrupter(void *arg)
{
    pid_t main_thread = getpid();
    bool slow = getenv("CLOCHE_EMU_STRICT") != NULL;

    for (unsigned i = 0;; i++) {
        __atomic_store_n(&g_loader->ocall.threads[0].kicked, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_tgkill, main_thread, main_thread, ocall_kick_signal());
        atomic_fetch_add(&g_told, 1);
        /* In strict mode an entry takes so long that a fast storm would let nothing happen. */
        if (slow || i % 4 == 0)
            usleep(i % 97 + (slow ? 3000 : 0));
    }
    return NULL;
}

static bool serve_interrupts(struct ocall_thread *t)
{
    static atomic_flag started = ATOMIC_FLAG_INIT;
    pthread_t thread;

    if (!atomic_flag_test_and_set(&started) &&
        pthread_create(&thread, NULL, interrupter, NULL) != 0)
        exit(3);
    return ocall_serve(t);
}

/* A thread that has ended is entered again. */
static bool serve_after_end(struct ocall_thread *t)
{
    uint64_t tcs = LIBOS_SLOTS_ADDR + t->slot * LIBOS_SLOT_SIZE + SLOT_TCS_OFF;

    if (t->frame->number == OCALL_thread_exit) {
        enter_in_vain(tcs, ENTER_OCALL_RETURN, 0, t->frame);
        enter_in_vain(tcs, ENTER_START, (uint64_t)&g_loader->start, t->frame);
        enter_in_vain(tcs, 0, 0, t->frame);
    }
    return ocall_serve(t);
}

static const struct strike {
    const char *name, *scenario, *text;
    enum outcome outcome;
    void (*strike)(void);
} g_strikes[] = {
#define FAULT "fault in the library OS: vector 14"
#define FRESH "a fresh page is not what the host was asked for"
#define COPY "a fresh page for a copy is not what the host was asked for"
    { "sgx/page-removed", "pages", FAULT, OUTCOME_REFUSED, strike_remove },
    { "sgx/page-removed-and-given-again", "pages", FAULT, OUTCOME_REFUSED, strike_pending },
    { "sgx/page-trimmed", "pages", FAULT, OUTCOME_REFUSED, strike_trim },
    { "sgx/page-made-tcs", "pages", FAULT, OUTCOME_REFUSED, strike_tcs },
    { "sgx/page-without-permissions", "pages", FAULT, OUTCOME_REFUSED, strike_restrict_all },
    { "sgx/page-without-write", "pages", FAULT, OUTCOME_REFUSED, strike_restrict_write },
    { "sgx/stack-removed", "pages", "", OUTCOME_REFUSED, strike_stack },
    { "sgx/exception-stack-removed", "pages", "", OUTCOME_REFUSED, strike_exc_stack },
    { "sgx/tcb-removed", "pages", "", OUTCOME_REFUSED, strike_tcb },
    { "sgx/ssa-removed", "pages", "", OUTCOME_REFUSED, strike_ssa },
    { "sgx/tcs-trimmed", "pages", "", OUTCOME_REFUSED, strike_tcs_page },
    { "sgx/code-removed", "pages", "", OUTCOME_REFUSED, strike_text },
    { "sgx/config-removed", "pages", "", OUTCOME_REFUSED, strike_config },
    { "sgx/fresh-refused", "fresh", "", OUTCOME_HARMLESS, strike_hole },
    { "sgx/fresh-second-refused", "fresh", "", OUTCOME_HARMLESS, strike_hole_second },
    { "sgx/fresh-read-only", "fresh", FRESH, OUTCOME_REFUSED, strike_readonly },
    { "sgx/fresh-executable", "fresh", FRESH, OUTCOME_REFUSED, strike_executable },
    { "sgx/fresh-not-pending", "fresh", FRESH, OUTCOME_REFUSED, strike_accepted },
    { "sgx/fresh-modified", "fresh", FRESH, OUTCOME_REFUSED, strike_modified },
    { "sgx/fresh-restricted", "fresh", FRESH, OUTCOME_REFUSED, strike_restricted },
    { "sgx/fresh-tcs", "fresh", FRESH, OUTCOME_REFUSED, strike_fresh_tcs },
    { "sgx/fresh-trim", "fresh", FRESH, OUTCOME_REFUSED, strike_fresh_trim },
    { "sgx/copy-refused", "fresh-copy", "", OUTCOME_HARMLESS, strike_hole },
    { "sgx/copy-read-only", "fresh-copy", COPY, OUTCOME_REFUSED, strike_readonly },
    { "sgx/copy-not-pending", "fresh-copy", COPY, OUTCOME_REFUSED, strike_accepted },
};

static bool serve(struct ocall_thread *t)
{
    struct ocall_frame *f = t->frame;

    if (f->number == OCALL_yield && atomic_load(&g_told) == 0 && g_lie->kind >= 0)
        g_strikes[g_lie->kind].strike();
    if (edmm_lie(f))
        return true;
    if (f->number == OCALL_exit && atomic_load(&g_told) == 0)
        _exit(STATUS_NEVER);
    return ocall_serve(t);
}

#define EDMM_LIE(lie_name, lie_scenario, why)                                                      \
    {                                                                                              \
        .name = lie_name, .scenario = lie_scenario, .outcome = OUTCOME_REFUSED, .text = why,       \
        .prepare = prepare                                                                         \
    }
#define ENTRY_LIE(lie_name, lie_scenario, lie_status)                                              \
    {                                                                                              \
        .name = lie_name, .scenario = lie_scenario, .outcome = OUTCOME_STATUS,                     \
        .status = lie_status, .prepare = prepare_entries                                           \
    }
#define DIRTY_LIE(lie_name, lie_scenario, lie_argument, lie_status)                                \
    {                                                                                              \
        .name = lie_name, .scenario = lie_scenario, .argument = lie_argument,                      \
        .outcome = OUTCOME_STATUS, .status = lie_status, .prepare = prepare_dirty                  \
    }

static const struct lie g_lies[] = {
    EDMM_LIE("sgx/restrict-too-much", "restrict", "the host did not restrict"),
    EDMM_LIE("sgx/restrict-too-little", "restrict", "the host did not restrict"),
    EDMM_LIE("sgx/restrict-others", "restrict", "the host did not restrict"),
    EDMM_LIE("sgx/restrict-partly", "restrict", "the host did not restrict"),
    EDMM_LIE("sgx/trim-partly", "decommit", "the host did not take pages back"),
    EDMM_LIE("sgx/trim-others", "decommit", "the host did not take pages back"),
    EDMM_LIE("sgx/remove-instead-of-trim", "decommit", "the host did not take pages back"),
    EDMM_LIE("sgx/remove-partly", "decommit", FRESH),
    ENTRY_LIE("sgx/exception-kept-back", "fault", 5),
    ENTRY_LIE("sgx/exception-twice", "fault", 5),
    ENTRY_LIE("sgx/strange-events-at-exceptions", "trap", 6),
    ENTRY_LIE("sgx/signals-after-exception", "trap", 6),
    ENTRY_LIE("sgx/strange-events-at-returns", "runtime", 42),
    ENTRY_LIE("sgx/resume-at-return", "runtime", 42),
    ENTRY_LIE("sgx/resume-before-start", "trap", 6),
    ENTRY_LIE("sgx/busy-resume-at-exception", "fault", 5),
    { .name = "sgx/signal-before-exception",
      .scenario = "fault",
      .outcome = OUTCOME_REFUSED,
      .text = "fault in the library OS",
      .prepare = prepare_entries },
    { .name = "sgx/tcs-entered-twice",
      .scenario = "spin",
      .outcome = OUTCOME_STATUS,
      .status = 77,
      .prepare = prepare_intruder },
    { .name = "sgx/interrupt-storm",
      .scenario = "row:file_pread",
      .argument = "4000",
      .outcome = OUTCOME_HARMLESS,
      .prepare = prepare,
      .serve = serve_interrupts },
    { .name = "sgx/entries-after-the-end",
      .scenario = "runtime",
      .outcome = OUTCOME_STATUS,
      .status = 42,
      .prepare = prepare_entries,
      .serve = serve_after_end },
    DIRTY_LIE("sgx/dirty-entries", "runtime", "", 42),
    DIRTY_LIE("sgx/dirty-entries-at-exceptions", "fault", "", 5),
    DIRTY_LIE("sgx/dirty-entries-at-traps", "trap", "", 6),
    DIRTY_LIE("sgx/dirty-entries-at-answers", "row:recvfrom", "50", ROW_HARMLESS),
};

int lie_sgx_share(struct loader *l)
{
    struct sgx_enclave *e = l->ocall.enclave;

    return madvise((void *)e->mapped_base, e->base + e->size - e->mapped_base, MADV_DOFORK);
}

unsigned lie_sgx_list(struct lie *ret, unsigned max)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(g_strikes) && count < max; i++, count++) {
        const struct strike *s = &g_strikes[i];

        ret[count] = (struct lie){ .outcome = s->outcome,
                                   .text = s->text,
                                   .prepare = prepare,
                                   .serve = serve,
                                   .kind = (int)i };
        snprintf(ret[count].name, sizeof ret[count].name, "%s", s->name);
        snprintf(ret[count].scenario, sizeof ret[count].scenario, "%s", s->scenario);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(g_lies) && count < max; i++, count++) {
        ret[count] = g_lies[i];
        ret[count].kind = -1;
        if (!ret[count].serve)
            ret[count].serve = serve;
    }
    return count;
}
