/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EENTER and ERESUME up to the moment when registers are loaded, and AEX. Untrusted side. SDM vol.
 * 3D: EENTER, ERESUME, and chapter 40 (AEX, synthetic state, EXITINFO).
 *
 * A signal may abandon a preparation at any point (emu_enter_rollback): so no lock is held while
 * t->entering is set, and the TCS's owner field itself says whether it was taken.
 */
#include "host/sgx/emu/emu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#define RFLAGS_LOADABLE 0x240cd5ull /* CF PF AF ZF SF DF OF AC ID */
#define RFLAGS_TF 0x100ull
#define RFLAGS_FIXED 0x202ull /* IF and bit 1 */
#define USER_CS 0x33
#define USER_SS 0x2b
#define XSAVE_LEGACY_SIZE 512u
#define XSAVE_HEADER_SIZE 64u
#define MXCSR_OFF 24u
#define MXCSR_INIT 0x1f80u
#define MXCSR_RESERVED 0xffff0000u

void emu_transition_wait(const struct emu_thread *t)
{
    if (LIKELY(t->spin == 0))
        return;
    uint64_t start = __rdtsc();

    while (__rdtsc() - start < t->spin)
        _mm_pause();
}

static uint64_t ssa_frame(const struct emu_thread *t, uint32_t cssa)
{
    const struct sgx_enclave *e = t->e;

    return e->base + t->tcs->page.ossa + (uint64_t)cssa * e->secs.ssa_frame_pages * PAGE_SIZE;
}

static uint64_t ssa_gpr_addr(const struct emu_thread *t, uint32_t cssa)
{
    return ssa_frame(t, cssa) + t->e->secs.ssa_frame_pages * PAGE_SIZE - sizeof(struct sgx_ssa_gpr);
}

static struct emu_prepared fail(struct emu_thread *t, unsigned vector, uint64_t addr)
{
    t->entering = 0;
    atomic_signal_fence(memory_order_seq_cst);
    emu_enter_rollback(t);
    t->fault_vector = vector;
    t->fault_code = vector == EMU_PF ? EMU_PF_SGX | EMU_PF_PRESENT | EMU_PF_USER : 0;
    t->fault_addr = ALIGN_DOWN(addr, PAGE_SIZE);
    return (struct emu_prepared){ .leaf = 0, .t = t };
}

/* Every page of the SSA frame must be a regular page that may be read and written. 0 or its address. */
static uint64_t bad_ssa_page(struct emu_thread *t, uint32_t cssa)
{
    struct sgx_enclave *e = t->e;
    uint64_t frame = ssa_frame(t, cssa);
    const unsigned access = SGX_SECINFO_R | SGX_SECINFO_W, host = access << EPCM_HOST_SHIFT;

    for (uint32_t i = 0; i < e->secs.ssa_frame_pages; i++) {
        uint64_t addr = frame + i * PAGE_SIZE;

        if (!emu_in_elrange(e, addr))
            return addr ? addr : 1;
        uint16_t entry = atomic_load_explicit(emu_epcm_entry(e, addr), memory_order_relaxed);

        if (LIKELY(emu_epcm_allows(entry, access) && (entry & host) == host))
            continue;
        uint32_t entering = t->entering;

        t->entering = 0; /* a lock is taken below */
        atomic_signal_fence(memory_order_seq_cst);
        int rc = entry == 0 ? emu_epcm_eaug(e, addr) : emu_epcm_sync(e, addr, access);

        atomic_signal_fence(memory_order_seq_cst);
        t->entering = entering;
        if (rc < 0 || entry == 0)
            return addr ? addr : 1;
    }
    return 0;
}

static bool xsave_header_is_legal(const uint8_t *area, uint64_t xfrm)
{
    uint64_t header[8];
    uint32_t mxcsr;

    memcpy(header, area + XSAVE_LEGACY_SIZE, sizeof header);
    memcpy(&mxcsr, area + MXCSR_OFF, sizeof mxcsr);
    return !(header[0] & ~xfrm) &&
           !(header[1] | header[2] | header[3] | header[4] | header[5] | header[6] | header[7]) &&
           !(mxcsr & MXCSR_RESERVED);
}

/* ERESUME: copies the SSA frame and checks what the CPU checks. false: #GP(0). */
static bool load_ssa(struct emu_thread *t, uint32_t cssa)
{
    struct sgx_ssa_gpr gpr;

    if (sgx_emu_copy(&gpr, (void *)ssa_gpr_addr(t, cssa), sizeof gpr) < 0 ||
        sgx_emu_copy(t->xsave, (void *)ssa_frame(t, cssa), t->e->xsave_size) < 0)
        return false;
    if (!emu_cpu_is_canonical(gpr.rip) || !emu_cpu_is_canonical(gpr.fs_base) ||
        !emu_cpu_is_canonical(gpr.gs_base) || !xsave_header_is_legal(t->xsave, t->xfrm))
        return false;
    memcpy(t->gpr, &gpr, sizeof t->gpr);
    t->iret[0] = gpr.rip;
    t->iret[1] = USER_CS;
    t->iret[2] = (gpr.rflags & RFLAGS_LOADABLE) | RFLAGS_FIXED | (t->trace ? RFLAGS_TF : 0);
    t->step_last = gpr.rip;
    t->iret[3] = gpr.rsp;
    t->iret[4] = USER_SS;
    t->load_fs = gpr.fs_base;
    t->load_gs = gpr.gs_base;
    return true;
}

static bool load_tcs(struct emu_thread *t, uint32_t cssa)
{
    const struct sgx_tcs *page = &t->tcs->page;
    uint64_t base = t->e->base;

    if (!IS_ALIGNED(page->ofs_base | page->ogs_base, PAGE_SIZE))
        return false;
    t->load_rip = base + page->oentry;
    t->load_fs = base + page->ofs_base;
    t->load_gs = base + page->ogs_base;
    t->load_rax = cssa;
    t->step_last = t->load_rip;
    return emu_cpu_is_canonical(t->load_rip) && emu_cpu_is_canonical(t->load_fs) &&
           emu_cpu_is_canonical(t->load_gs);
}

/* From here on the stubs find this thread by its GS base. */
static void publish_gs(struct emu_thread *t)
{
    if (!t->e->has_stubs)
        return;
    __atomic_store_n(
        &sgx_emu_gs_table_addr[(t->load_gs >> EMU_GS_TABLE_SHIFT) % EMU_GS_TABLE_COUNT], t,
        __ATOMIC_RELAXED);
    t->stub_gs = t->load_gs;
}

static bool tcs_is_enterable(struct sgx_enclave *e, uint64_t addr)
{
    uint16_t entry = atomic_load_explicit(emu_epcm_entry(e, addr), memory_order_acquire);

    return (entry & (EPCM_VALID | EPCM_TYPE | EPCM_PENDING | EPCM_MODIFIED | EPCM_HOLE)) ==
           (EPCM_VALID | SGX_PT_TCS << 8);
}

static void take_thread(struct emu_thread *t, struct sgx_enclave *e, struct emu_tcs *tcs)
{
    t->e = e;
    t->tcs = tcs;
    t->owner = &tcs->owner;
    t->el_base = e->base;
    t->el_size = e->size;
    t->epcm = e->epcm;
    t->xfrm = e->secs.attributes.xfrm;
    if (UNLIKELY(e->strict)) {
        uint32_t entering = t->entering;

        t->entering = 0;
        atomic_signal_fence(memory_order_seq_cst);
        emu_strict_enter(t);
        atomic_signal_fence(memory_order_seq_cst);
        t->entering = entering;
    }
}

/*
 * The enclave resumes at an access that faulted, and has seen to the page: raising the host's
 * protection now saves a second signal. When that fails, the access faults again.
 */
static void sync_touched(struct emu_thread *t)
{
    struct sgx_enclave *e = t->e;
    uint64_t addr = t->touched;
    uint32_t entering = t->entering;

    t->touched = 0;
    if (!emu_in_elrange(e, addr) ||
        !emu_epcm_allows(atomic_load(emu_epcm_entry(e, addr)), t->touched_access))
        return;
    t->entering = 0; /* a lock is taken below */
    atomic_signal_fence(memory_order_seq_cst);
    (void)!emu_epcm_sync(e, addr, t->touched_access);
    atomic_signal_fence(memory_order_seq_cst);
    t->entering = entering;
}

struct emu_prepared sgx_emu_prepare(uint32_t leaf, struct emu_thread *t)
{
    uint64_t addr = t->tcs_addr;
    struct sgx_enclave *e = emu_registry_find(addr);
    struct emu_thread *nobody = NULL;

    t->tcs = NULL;
    t->owner = NULL;
    t->resume_valid = false;
    t->load_leaf = leaf;
    if (!IS_ALIGNED(addr, PAGE_SIZE) || !emu_cpu_is_canonical(t->aep))
        return fail(t, EMU_GP, 0);
    if (!e || !tcs_is_enterable(e, addr))
        return fail(t, EMU_PF, addr);
    struct emu_tcs *tcs = emu_tcs_find(e, addr);

    if (!tcs)
        return fail(t, EMU_PF, addr);
    if (!atomic_load_explicit(&e->initialized, memory_order_relaxed) ||
        ((tcs->page.flags & SGX_TCS_DBGOPTIN) && !(e->secs.attributes.flags & SGX_ATTR_DEBUG)))
        return fail(t, EMU_GP, 0);
    if (UNLIKELY(t->sud_id != e->id) && emu_thread_dispatch(t, e) < 0)
        return fail(t, EMU_GP, 0);
    emu_transition_wait(t);
    take_thread(t, e, tcs);
    if (!atomic_compare_exchange_strong_explicit(&tcs->owner, &nobody, t, memory_order_acquire,
                                                 memory_order_relaxed)) {
        t->owner = NULL;
        return fail(t, EMU_GP, 0);
    }
    uint32_t cssa = tcs->page.cssa, frame = leaf == SGX_ERESUME ? cssa - 1 : cssa;

    if ((leaf == SGX_ERESUME && cssa == 0) || frame >= tcs->page.nssa ||
        !IS_ALIGNED(tcs->page.ossa, PAGE_SIZE))
        return fail(t, EMU_GP, 0);
    uint64_t bad = bad_ssa_page(t, frame);

    if (bad)
        return fail(t, EMU_PF, bad);
    t->trace = emu_step_wants(t, frame);
    if (leaf == SGX_ERESUME) {
        if (t->touched)
            sync_touched(t);
        if (!load_ssa(t, frame))
            return fail(t, EMU_GP, 0);
        t->resume_cssa = frame;
        atomic_signal_fence(memory_order_seq_cst);
        t->resume_valid = true;
        atomic_signal_fence(memory_order_seq_cst);
        tcs->page.cssa = frame;
    } else if (!load_tcs(t, cssa)) {
        return fail(t, EMU_GP, 0);
    }
    tcs->page.aep = t->aep;
    tcs->ursp = t->host_rsp;
    tcs->urbp = t->host_rbp;
    publish_gs(t);
    return (struct emu_prepared){ .leaf = leaf, .t = t };
}

void emu_leave(struct emu_thread *t)
{
    t->inside = 0;
    t->stub_gs = EMU_STUB_GS_NONE;
    if (UNLIKELY(t->strict_inside))
        emu_strict_leave(t);
    atomic_store_explicit(&t->tcs->owner, NULL, memory_order_release);
}

void emu_enter_rollback(struct emu_thread *t)
{
    t->entering = 0;
    if (!t->tcs) {
        t->inside = 0;
        return;
    }
    if (atomic_load(&t->tcs->owner) == t) {
        if (t->resume_valid)
            t->tcs->page.cssa = t->resume_cssa + 1;
        t->resume_valid = false;
        emu_leave(t);
    } else if (t->strict_inside) {
        emu_strict_leave(t);
    }
    t->tcs = NULL;
}

static bool is_reported(uint32_t vector, bool exinfo)
{
    switch (vector) {
    case EMU_DE:
    case EMU_DB:
    case EMU_BP:
    case EMU_BR:
    case EMU_UD:
    case EMU_MF:
    case EMU_AC:
    case EMU_XM:
        return true;
    case EMU_GP:
    case EMU_PF:
        return exinfo;
    default:
        return false;
    }
}

static uint32_t exit_info(const struct emu_fault *fault, bool exinfo)
{
    if (!fault || !is_reported(fault->vector, exinfo))
        return 0;
    uint32_t type =
        fault->vector == EMU_BP ? SGX_EXITINFO_TYPE_SOFTWARE : SGX_EXITINFO_TYPE_HARDWARE;

    return fault->vector | type << SGX_EXITINFO_TYPE_SHIFT | SGX_EXITINFO_VALID;
}

static NORETURN void die_ssa(void)
{
    static const char text[] = "sgx emulator: the SSA frame is gone at an AEX\n";

    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

/* The kernel saved the extended state in its signal frame, in the same (standard) form. */
static void save_xsave(struct emu_thread *t, const ucontext_t *uc, uint64_t frame)
{
    const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
    struct _fpx_sw_bytes sw;
    uint32_t size = XSAVE_LEGACY_SIZE;
    uint64_t bv = SGX_XFRM_LEGACY;

    memcpy(&sw, fp + 464, sizeof sw);
    memset(t->xsave, 0, t->e->xsave_size);
    if (sw.magic1 == FP_XSTATE_MAGIC1) {
        size = MIN(sw.xstate_size, t->e->xsave_size);
        memcpy(&bv, fp + XSAVE_LEGACY_SIZE, sizeof bv);
    }
    memcpy(t->xsave, fp, size);
    memset(t->xsave + 416, 0, XSAVE_LEGACY_SIZE - 416);
    memset(t->xsave + XSAVE_LEGACY_SIZE, 0, XSAVE_HEADER_SIZE);
    bv &= t->xfrm;
    memcpy(t->xsave + XSAVE_LEGACY_SIZE, &bv, sizeof bv);
    if (sgx_emu_copy((void *)frame, t->xsave, t->e->xsave_size) < 0)
        die_ssa();
}

static void save_gpr(struct emu_thread *t, const ucontext_t *uc, uint64_t fs, uint64_t gs,
                     const struct emu_fault *fault, uint64_t addr)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    bool exinfo = t->e->secs.misc_select & SGX_MISC_EXINFO;
    struct {
        struct sgx_exinfo exinfo;
        struct sgx_ssa_gpr gpr;
    } PACKED s = { .gpr = {
                       .rax = g[REG_RAX],
                       .rcx = g[REG_RCX],
                       .rdx = g[REG_RDX],
                       .rbx = g[REG_RBX],
                       .rsp = g[REG_RSP],
                       .rbp = g[REG_RBP],
                       .rsi = g[REG_RSI],
                       .rdi = g[REG_RDI],
                       .r8 = g[REG_R8],
                       .r9 = g[REG_R9],
                       .r10 = g[REG_R10],
                       .r11 = g[REG_R11],
                       .r12 = g[REG_R12],
                       .r13 = g[REG_R13],
                       .r14 = g[REG_R14],
                       .r15 = g[REG_R15],
                       .rflags = g[REG_EFL] & ~(t->stepping ? (greg_t)RFLAGS_TF : 0),
                       .rip = g[REG_RIP],
                       .ursp = t->tcs->ursp,
                       .urbp = t->tcs->urbp,
                       .exit_info = exit_info(fault, exinfo),
                       .fs_base = fs,
                       .gs_base = gs,
                   } };
    bool write_exinfo = exinfo && fault && (fault->vector == EMU_PF || fault->vector == EMU_GP);

    if (write_exinfo)
        s.exinfo = (struct sgx_exinfo){ .maddr = fault->vector == EMU_PF ? fault->addr : 0,
                                        .errcd = fault->code };
    size_t skip = write_exinfo ? 0 : sizeof s.exinfo;

    if (sgx_emu_copy((void *)(addr - sizeof s.exinfo + skip), (char *)&s + skip, sizeof s - skip) <
        0)
        die_ssa();
}

void emu_aex_context(struct emu_thread *t, ucontext_t *uc)
{
    static const int cleared[] = { REG_RDX, REG_RSI, REG_RDI, REG_R8,  REG_R9, REG_R10,
                                   REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    greg_t *g = uc->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
    struct _fpx_sw_bytes sw;
    const uint32_t mxcsr = MXCSR_INIT;

    for (size_t i = 0; i < ARRAY_COUNT(cleared); i++)
        g[cleared[i]] = 0;
    g[REG_RAX] = SGX_ERESUME;
    g[REG_RBX] = (greg_t)t->tcs_addr;
    g[REG_RCX] = (greg_t)t->aep;
    g[REG_RIP] = (greg_t)t->aep;
    g[REG_RSP] = (greg_t)t->host_rsp;
    g[REG_RBP] = (greg_t)t->host_rbp;
    g[REG_EFL] = RFLAGS_FIXED;
    memcpy(&sw, fp + 464, sizeof sw);
    if (sw.magic1 == FP_XSTATE_MAGIC1) /* no component in use: sigreturn's XRSTOR initialises all */
        memset(fp + XSAVE_LEGACY_SIZE, 0, sizeof(uint64_t));
    memcpy(fp + MXCSR_OFF, &mxcsr, sizeof mxcsr);
    t->entering = SGX_ERESUME;
}

void emu_aex(struct emu_thread *t, ucontext_t *uc, uint64_t fs, uint64_t gs,
             const struct emu_fault *fault)
{
    uint32_t cssa = t->tcs->page.cssa;

    save_xsave(t, uc, ssa_frame(t, cssa));
    save_gpr(t, uc, fs, gs, fault, ssa_gpr_addr(t, cssa));
    t->tcs->page.cssa = cssa + 1;
    emu_leave(t);
    emu_transition_wait(t);
    emu_aex_context(t, uc);
}
