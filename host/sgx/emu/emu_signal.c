/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals as the emulator's exceptions and interrupts. Untrusted side.
 *
 * A handler starts with the FS base of whatever was interrupted. Where that may be the enclave's (RIP
 * in an ELRANGE, in a stub, or in the load of an entry), the thread is found through the signal
 * stack and the host's FS base put in place, before any thread-local variable is touched. The
 * functions marked "any FS" do that; this file is compiled without stack protector.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>
#include <x86intrin.h>

#include "abi/image.h"

#define ANY_FS __attribute__((no_stack_protector))
#define NOINLINE __attribute__((noinline))

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

#define RFLAGS_ARITHMETIC 0x8d5ll
#define RFLAGS_ZF 0x40ll

#define STUB_LABELS(leaf)                                                                          \
    extern const char sgx_emu_stub_##leaf[], sgx_emu_stub_##leaf##_check[],                        \
        sgx_emu_stub_##leaf##_checked[], sgx_emu_stub_##leaf##_saved[],                            \
        sgx_emu_stub_##leaf##_done[], sgx_emu_stub_##leaf##_sure[], sgx_emu_stub_##leaf##_end[],   \
        sgx_emu_stub_##leaf##_early[], sgx_emu_stub_##leaf##_over[]
STUB_LABELS(eexit);
STUB_LABELS(eaccept);
STUB_LABELS(emodpe);
extern const char sgx_emu_stub_eexit_released[];

/* See emu_asm.S: what a context in each range means. */
struct stub_ranges {
    const char *start, *check, *checked, *saved, *done, *sure, *end, *early, *over;
    unsigned leaf;
};
#define STUB_RANGES(name, number)                                                                  \
    {                                                                                              \
        sgx_emu_stub_##name, sgx_emu_stub_##name##_check, sgx_emu_stub_##name##_checked,           \
            sgx_emu_stub_##name##_saved, sgx_emu_stub_##name##_done, sgx_emu_stub_##name##_sure,   \
            sgx_emu_stub_##name##_end, sgx_emu_stub_##name##_early, sgx_emu_stub_##name##_over,    \
            number                                                                                 \
    }
static const struct stub_ranges g_stubs[] = {
    STUB_RANGES(eexit, SGX_EEXIT),
    STUB_RANGES(eaccept, SGX_EACCEPT),
    STUB_RANGES(emodpe, SGX_EMODPE),
};

static const int g_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS };
static struct sigaction g_previous[65]; /* written before our handler is installed */

/* The kernel clears DF for a handler, but not AC, with which C's unaligned accesses would be faults. */
static inline void clear_ac(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n" /* past the red zone */
                     "pushfq\n"
                     "andl $~0x40000, (%%rsp)\n"
                     "popfq\n"
                     "lea 128(%%rsp), %%rsp\n"
                     :
                     :
                     : "cc", "memory");
}

static bool is_between(uint64_t rip, const char *start, const char *end)
{
    return rip >= (uintptr_t)start && rip < (uintptr_t)end;
}

static const struct stub_ranges *find_stub(uint64_t rip)
{
    for (size_t i = 0; i < ARRAY_COUNT(g_stubs); i++)
        if (is_between(rip, g_stubs[i].start, g_stubs[i].over))
            return &g_stubs[i];
    return NULL;
}

static void restore_saved(const struct emu_thread *t, greg_t *g)
{
    g[REG_RCX] = (greg_t)t->save_rcx;
    g[REG_RDX] = (greg_t)t->save_rdx;
    g[REG_RSI] = (greg_t)t->save_rsi;
    g[REG_RDI] = (greg_t)t->save_rdi;
}

/* EEXIT past its commit: does what is left of it. */
static void finish_eexit(struct emu_thread *t, greg_t *g)
{
    if ((uint64_t)g[REG_RIP] < (uintptr_t)sgx_emu_stub_eexit_released)
        emu_leave(t);
    g[REG_RAX] = SGX_EEXIT;
    g[REG_RCX] = (greg_t)t->aep;
    g[REG_RIP] = g[REG_RBX];
}

/*
 * A context in a stub becomes one at an instruction of the enclave: at the ENCLU that has not
 * happened, or after the one that has.
 * returns: true; false when EEXIT had happened, the context is then the host's.
 */
static bool settle_stub(struct emu_thread *t, const struct stub_ranges *s, greg_t *g)
{
    uint64_t rip = (uint64_t)g[REG_RIP];

    if (is_between(rip, s->sure, s->end) ||
        (s->leaf != SGX_EEXIT && rip == (uintptr_t)s->done && (g[REG_EFL] & RFLAGS_ZF))) {
        if (s->leaf == SGX_EEXIT) {
            finish_eexit(t, g);
            return false;
        }
        restore_saved(t, g);
        g[REG_RAX] = s->leaf == SGX_EACCEPT ? SGX_SUCCESS : SGX_EMODPE;
        if (s->leaf == SGX_EACCEPT)
            g[REG_EFL] &= ~RFLAGS_ARITHMETIC;
        g[REG_RIP] = (greg_t)(t->e->stub[s->leaf] + 14);
        return true;
    }
    if (is_between(rip, s->check, s->checked)) {
        uint64_t rcx;

        if (sgx_emu_copy(&rcx, (void *)(g[REG_RSP] - 8), sizeof rcx) == 0)
            g[REG_RCX] = (greg_t)rcx;
    } else if (is_between(rip, s->saved, s->early)) {
        restore_saved(t, g);
    }
    g[REG_RAX] = s->leaf;
    g[REG_RIP] = (greg_t)t->e->stub[s->leaf];
    return true;
}

/* Back in the enclave with another RIP, or out of it. */
enum next { NEXT_ENCLAVE, NEXT_HOST };

static enum next deliver(struct emu_thread *t, ucontext_t *uc, uint64_t fs, uint64_t gs,
                         const struct emu_fault *fault)
{
    greg_t *g = uc->uc_mcontext.gregs;

    emu_aex(t, uc, fs, gs, fault);
    /* As the kernel does at the vDSO's exception fixup. */
    t->entering = 0;
    if (t->aep == (uintptr_t)sgx_emu_aep)
        g[REG_RIP] = (greg_t)(uintptr_t)sgx_emu_fault;
    g[REG_RDI] = fault->vector;
    g[REG_RSI] = fault->code;
    g[REG_RDX] = (greg_t)(fault->vector == EMU_PF ? ALIGN_DOWN(fault->addr, PAGE_SIZE) : 0);
    return NEXT_HOST;
}

static enum next leaf(struct emu_thread *t, ucontext_t *uc, uint64_t fs, uint64_t gs)
{
    greg_t *g = uc->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)g[REG_RIP];
    unsigned number = (uint32_t)g[REG_RAX];
    bool patched = number < EMU_LEAVES && t->e->stub[number] == rip;
    struct emu_fault fault = { 0 };

    switch (emu_enclu(t, uc, &fault)) {
    case EMU_LEFT:
        return NEXT_HOST;
    case EMU_DONE:
        g[REG_RIP] = (greg_t)(rip + (patched ? 14 : 3));
        return NEXT_ENCLAVE;
    default:
        return deliver(t, uc, fs, gs, &fault);
    }
}

static bool is_enclu(uint64_t rip)
{
    uint8_t code[3];

    return sgx_emu_copy(code, (const void *)rip, sizeof code) == 0 && code[0] == 0x0f &&
           code[1] == 0x01 && code[2] == 0xd7;
}

/* The stub of a leaf that emu_stubs_patch() made an INT3. */
static bool is_stub_trap(const struct sgx_enclave *e, uint64_t rip)
{
    return e->has_stubs && rip != 0 && rip == e->stub[SGX_EACCEPTCOPY];
}

/* Once a process: the enclave sees a page fault that it cannot explain. */
static void report_refusal(void)
{
    static const char text[] = "sgx emulator: the kernel refuses to change page protections; "
                               "raise vm.max_map_count\n";
    static atomic_flag said = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&said))
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

/* #PF in the enclave: the host's protection lags behind, EAUG is due, or the EPCM refuses. */
static enum next page_fault(struct emu_thread *t, ucontext_t *uc, uint64_t fs, uint64_t gs)
{
    greg_t *g = uc->uc_mcontext.gregs;
    struct sgx_enclave *e = t->e;
    uint64_t addr = (uint64_t)g[REG_CR2];
    uint32_t code = (uint32_t)g[REG_ERR];
    struct emu_fault fault = { .vector = EMU_PF, .code = code & 0xffff, .addr = addr };

    if (!emu_in_elrange(e, addr))
        return deliver(t, uc, fs, gs, &fault);
    unsigned access = code & EMU_PF_FETCH   ? SGX_SECINFO_X
                      : code & EMU_PF_WRITE ? SGX_SECINFO_W
                                            : SGX_SECINFO_R;
    int rc = emu_epcm_sync(e, addr, access);

    if (rc == 0)
        return NEXT_ENCLAVE;
    if (rc != -EACCES)
        report_refusal();
    /* The driver adds the page; the CPU then refuses it as long as it is PENDING. */
    if (rc == -EACCES &&
        (atomic_load(emu_epcm_entry(e, addr)) != 0 || emu_epcm_eaug(e, addr) != -EPERM))
        fault.code |= EMU_PF_SGX | EMU_PF_PRESENT;
    t->touched = addr;
    t->touched_access = access;
    return deliver(t, uc, fs, gs, &fault);
}

static enum next exception(struct emu_thread *t, int sig, const siginfo_t *si, ucontext_t *uc,
                           uint64_t fs, uint64_t gs)
{
    greg_t *g = uc->uc_mcontext.gregs;
    struct emu_fault fault = { .vector = (uint32_t)g[REG_TRAPNO] };

    if (!emu_in_elrange(t->e, (uint64_t)g[REG_RIP])) {
        fault.vector = EMU_GP; /* SDM: code fetches outside of the enclave */
    } else if (sig == SIGSYS) {
        g[REG_RIP] -= 2; /* SYSCALL is #UD in an enclave: a fault */
        fault.vector = EMU_UD;
    } else if (fault.vector == EMU_PF) {
        return page_fault(t, uc, fs, gs);
    } else if (fault.vector == EMU_UD) {
        if (is_enclu((uint64_t)g[REG_RIP]))
            return leaf(t, uc, fs, gs);
        if (emu_step_trigger(t, uc))
            return NEXT_ENCLAVE;
    } else if (fault.vector == EMU_BP && is_stub_trap(t->e, (uint64_t)g[REG_RIP] - 1)) {
        g[REG_RIP] -= 1;
        return leaf(t, uc, fs, gs);
    } else if (fault.vector == EMU_BP && !(t->tcs->page.flags & SGX_TCS_DBGOPTIN)) {
        g[REG_RIP] -= 1; /* #BP of an opt-out entry is a fault */
    } else if (fault.vector == EMU_GP || fault.vector == 12 || fault.vector == EMU_AC) {
        fault.code = (uint32_t)g[REG_ERR] & 0xffff;
    }
    return deliver(t, uc, fs, gs, &fault);
}

static bool is_exception(int sig, const siginfo_t *si)
{
    return si->si_code > 0 && (sig != SIGSYS || si->si_code == SYS_USER_DISPATCH);
}

static void call_previous(int sig, siginfo_t *si, void *context)
{
    const struct sigaction *prev = &g_previous[sig];

    if (prev->sa_flags & SA_SIGINFO) {
        prev->sa_sigaction(sig, si, context);
    } else if (prev->sa_handler != SIG_DFL && prev->sa_handler != SIG_IGN) {
        prev->sa_handler(sig);
    } else if (prev->sa_handler == SIG_DFL || is_exception(sig, si)) {
        /* The default action, when the instruction runs again or the signal is raised again. */
        struct sigaction dfl = { .sa_handler = SIG_DFL };

        sigaction(sig, &dfl, NULL);
        if (!is_exception(sig, si))
            pthread_kill(pthread_self(), sig);
    }
}

/* Host's FS base. */
static NOINLINE enum next serve(struct emu_thread *t, int sig, siginfo_t *si, ucontext_t *uc,
                                uint64_t fs, uint64_t gs)
{
    greg_t *g = uc->uc_mcontext.gregs;
    const struct stub_ranges *stub = find_stub((uint64_t)g[REG_RIP]);
    int saved_errno = errno;
    enum next next;

    if (stub && !settle_stub(t, stub, g)) {
        next = NEXT_HOST;
    } else if (!is_exception(sig, si)) {
        emu_aex(t, uc, fs, gs, NULL);
        call_previous(sig, si, uc);
        next = NEXT_HOST;
    } else if (stub) {
        /* Not the fast way, then; or the return to the enclave faulted, and will again there. */
        next = (uint64_t)g[REG_RIP] == t->e->stub[stub->leaf] ? leaf(t, uc, fs, gs) : NEXT_ENCLAVE;
    } else {
        next = exception(t, sig, si, uc, fs, gs);
    }
    if (next == NEXT_HOST)
        _writegsbase_u64(t->host_gs);
    errno = saved_errno;
    return next;
}

/* Any FS. */
static ANY_FS void handler(int sig, siginfo_t *si, void *context)
{
    clear_ac();
    ucontext_t *uc = context;
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    struct emu_thread *t = emu_thread_on_stack();

    if (is_between(rip, sgx_emu_copy_insn, sgx_emu_copy_fault) &&
        (sig == SIGSEGV || sig == SIGBUS)) {
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)sgx_emu_copy_fault;
        return;
    }
    bool is_enclave = emu_registry_find(rip) || find_stub(rip);

    if (sig == SIGTRAP && si->si_code == TRAP_TRACE &&
        emu_step_trap(t, uc, is_enclave || is_between(rip, sgx_emu_load_start, sgx_emu_load_end)))
        return;

    /* An enclave may have jumped to nowhere. */
    if (!is_enclave && is_exception(sig, si) &&
        !is_between(rip, sgx_emu_text_start, sgx_emu_text_end))
        is_enclave = emu_thread_is_known(t);
    if (is_enclave && t->inside) {
        uint64_t fs = _readfsbase_u64(), gs = _readgsbase_u64();

        _writefsbase_u64(t->host_fs);
        if (serve(t, sig, si, uc, fs, gs) == NEXT_ENCLAVE)
            _writefsbase_u64(fs);
        return;
    }
    call_previous(sig, si, context);
}

/* Again with each enclave: somebody may have replaced the handlers since the last one. */
int emu_signal_install(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct sigaction sa = { .sa_sigaction = handler };
    int rc = 0;

    sigfillset(&sa.sa_mask);
    /* A fault inside the handler is one in sgx_emu_copy. */
    sigdelset(&sa.sa_mask, SIGSEGV);
    sigdelset(&sa.sa_mask, SIGBUS);
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < ARRAY_COUNT(g_signals) && rc == 0; i++) {
        struct sigaction old;

        if (sigaction(g_signals[i], NULL, &old) < 0)
            rc = -errno;
        else if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != handler) {
            g_previous[g_signals[i]] = old;
            rc = sigaction(g_signals[i], &sa, NULL) < 0 ? -errno : 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Host's FS base; the context may be in the enclave, in a stub or in a load. */
static NOINLINE bool interrupt(struct emu_thread *t, ucontext_t *uc, uint64_t fs, uint64_t gs)
{
    greg_t *g = uc->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)g[REG_RIP];
    const struct stub_ranges *stub = find_stub(rip);

    _writegsbase_u64(t->host_gs);
    if (is_between(rip, sgx_emu_load_start, sgx_emu_load_end)) {
        uint32_t entered = t->load_leaf;

        emu_enter_rollback(t);
        if (entered == SGX_ERESUME) {
            emu_aex_context(t, uc);
            return true;
        }
        g[REG_RAX] = SGX_EENTER;
        g[REG_RBX] = (greg_t)t->tcs_addr;
        g[REG_RCX] = (greg_t)t->aep;
        g[REG_RSP] = (greg_t)t->host_rsp; /* the load of dirty flags has a word on the stack */
        g[REG_RIP] = (greg_t)(uintptr_t)sgx_emu_aep;
        return false;
    }
    /* EEXIT clears `inside` before it leaves the stub. */
    if (stub && !settle_stub(t, stub, g))
        return false;
    emu_aex(t, uc, fs, gs, NULL);
    return true;
}

/* Any FS. */
ANY_FS bool emu_signal_at_aep(struct sgx_enclave *e, void *context)
{
    clear_ac();
    ucontext_t *uc = context;
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];

    if (emu_registry_find(rip) || find_stub(rip) ||
        is_between(rip, sgx_emu_load_start, sgx_emu_load_end)) {
        struct emu_thread *t = emu_thread_on_stack();
        uint64_t fs = _readfsbase_u64(), gs = _readgsbase_u64();

        _writefsbase_u64(t->host_fs);
        return interrupt(t, uc, fs, gs);
    }
    struct emu_thread *t = sgx_emu_self;

    if (is_between(rip, sgx_emu_aep, sgx_emu_aep_marked)) {
        if ((uint32_t)uc->uc_mcontext.gregs[REG_RAX] != SGX_ERESUME)
            return false;
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)sgx_emu_aep;
        return true;
    }
    if (!t || t->entering != SGX_ERESUME)
        return false;
    emu_enter_rollback(t);
    emu_aex_context(t, uc);
    return true;
}
