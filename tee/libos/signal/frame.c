/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal frames exactly as Linux lays them out on x86-64: a debugger, an unwinder and a program that
 * edits its ucontext find what they expect. Trusted. On the way back every byte of the frame may have
 * been changed: flags are masked, addresses checked, the vector state sanitised by xstate_restore().
 */
#include "tee/libos/signal/frame.h"

#include <asm/errno.h>
#include <asm/sigcontext.h>
#include <linux/signal.h>
#include <asm/ucontext.h>

#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/task/task.h"

#define RED_ZONE_SIZE 128u
#define UC_FLAGS (UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS)
#define SELECTOR_CS 0x33u
#define SELECTOR_SS 0x2bu
#define XSAVE_LEGACY_SIZE 512u
#define XSAVE_HEADER_SIZE 64u
#define XSAVE_SW_OFF 464u   /* struct _fpx_sw_bytes in the legacy area */
#define XFEATURES_LEGACY 3u /* x87 and SSE */
#define ADDRESS_MAX 0x7fffffffffffull

/* What a program may set by sigreturn: CF PF AF ZF SF TF DF OF RF AC. */
#define RFLAGS_RESTORE 0x50dd5ull
#define RFLAGS_FIXED 0x202ull
#define RFLAGS_CLEAR_FOR_HANDLER 0x10500ull /* DF TF RF */

struct frame_ucontext {
    uint64_t flags, link;
    stack_t stack;
    struct sigcontext context;
    uint64_t mask;
};

struct rt_sigframe {
    uint64_t restorer;
    struct frame_ucontext uc;
    struct siginfo_linux info;
};
_Static_assert(sizeof(struct frame_ucontext) == 304, "struct ucontext with the kernel's sigset");
_Static_assert(offsetof(struct rt_sigframe, info) == 312 && sizeof(struct rt_sigframe) == 440,
               "struct rt_sigframe");
_Static_assert(sizeof(struct sigcontext) == 256, "struct sigcontext");

/* ---- alternate stacks ---- */

static bool is_on_alt_stack(const struct thread *t, uint64_t rsp)
{
    return !(t->alt_stack_flags & SS_AUTODISARM) && t->alt_stack_size && rsp > t->alt_stack_base &&
           rsp - t->alt_stack_base <= t->alt_stack_size;
}

/* Where the frame ends. *ret_floor: it must not reach below this (the alternate stack's base). */
static uint64_t choose_stack(struct thread *t, const struct regs *regs,
                             const struct sig_action *action, uint64_t *ret_floor)
{
    bool is_on = is_on_alt_stack(t, regs->rsp);
    bool enters = (action->flags & SA_ONSTACK) && t->alt_stack_size && !is_on;

    *ret_floor = is_on || enters ? t->alt_stack_base : 0;
    return enters ? t->alt_stack_base + t->alt_stack_size : regs->rsp - RED_ZONE_SIZE;
}

static stack_t save_alt_stack(struct thread *t)
{
    stack_t stack = { .ss_sp = (void *)t->alt_stack_base,
                      .ss_size = t->alt_stack_size,
                      .ss_flags = (int)t->alt_stack_flags };

    if (t->alt_stack_flags & SS_AUTODISARM) {
        t->alt_stack_base = 0;
        t->alt_stack_size = 0;
        t->alt_stack_flags = SS_DISABLE;
    }
    return stack;
}

/* ---- push ---- */

/* The vector state below `top`. returns: its address; 0 on failure. */
static uint64_t push_xstate(struct thread *t, uint64_t top)
{
    size_t size = xstate_size();
    uint32_t magic2 = FP_XSTATE_MAGIC2;
    uint64_t at = (top - size - sizeof magic2) & ~63ull;
    uint8_t *area = thread_xstate(t);
    struct _fpx_sw_bytes sw = { .magic1 = FP_XSTATE_MAGIC1,
                                .extended_size = (uint32_t)(size + sizeof magic2),
                                .xfeatures = sigframe_xfeatures(),
                                .xstate_size = (uint32_t)size };

    if (!area)
        return 0;
    xstate_save(area);
    memcpy(area + XSAVE_SW_OFF, &sw, sizeof sw);
    if (user_copy_out(at, area, size) < 0 || USER_PUT(at + size, &magic2) < 0)
        return 0;
    return at;
}

static void save_regs(struct sigcontext *sc, const struct regs *r, const struct thread *t)
{
    *sc = (struct sigcontext){
        .r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .rdi = r->rdi,
        .rsi = r->rsi,
        .rbp = r->rbp,
        .rbx = r->rbx,
        .rdx = r->rdx,
        .rax = r->rax,
        .rcx = r->rcx,
        .rsp = r->rsp,
        .rip = r->rip,
        .eflags = r->rflags,
        .cs = SELECTOR_CS,
        .ss = SELECTOR_SS,
        .err = t->fault_error_code,
        .trapno = t->fault_vector,
        .oldmask = t->sig_mask,
        .cr2 = t->fault_address,
    };
}

int sigframe_push(struct regs *regs, int signo, const struct siginfo_linux *info,
                  const struct sig_action *action, uint64_t saved_mask)
{
    struct thread *t = current();
    struct rt_sigframe frame;
    uint64_t floor, fp, at;
    uint64_t top = choose_stack(t, regs, action, &floor);

    if (!(action->flags & SA_RESTORER))
        return -EFAULT; /* x86-64 has no other way back */
    if (top < floor + sizeof frame + xstate_size() + 256)
        return -EFAULT;
    fp = push_xstate(t, top);
    if (!fp)
        return -EFAULT;
    /* The handler starts as if called: RSP is 8 below a multiple of 16. */
    at = ((fp - sizeof frame) & ~15ull) - 8;
    memset(&frame, 0, sizeof frame);
    frame.restorer = action->restorer;
    frame.uc.flags = UC_FLAGS;
    save_regs(&frame.uc.context, regs, t);
    frame.uc.context.fpstate = (void *)fp;
    frame.uc.mask = saved_mask;
    frame.info = *info;
    frame.uc.stack = save_alt_stack(t);
    if (USER_PUT(at, &frame) < 0) {
        t->alt_stack_base = (uintptr_t)frame.uc.stack.ss_sp;
        t->alt_stack_size = frame.uc.stack.ss_size;
        t->alt_stack_flags = (uint32_t)frame.uc.stack.ss_flags;
        return -EFAULT;
    }
    regs->rdi = (uint64_t)signo;
    regs->rsi = at + offsetof(struct rt_sigframe, info);
    regs->rdx = at + offsetof(struct rt_sigframe, uc);
    regs->rax = 0;
    regs->rsp = at;
    regs->rip = action->handler;
    regs->rflags = (regs->rflags & ~RFLAGS_CLEAR_FOR_HANDLER) | RFLAGS_FIXED;
    return 0;
}

/* ---- pop ---- */

/* Reads the vector state at fp into the thread's scratch area and makes it live. */
static int pop_xstate(struct thread *t, uint64_t fp)
{
    size_t size = xstate_size();
    uint8_t *area = thread_xstate(t);
    struct _fpx_sw_bytes sw;
    uint32_t magic2;

    if (!area)
        return -EFAULT;
    if (!fp) {
        /* No state in the frame: the initial one. An empty XSTATE_BV says just that. */
        memset(area, 0, size);
        area[0] = 0x7f;
        area[1] = 0x03;
        *(uint32_t *)(area + 24) = 0x1f80;
        xstate_restore_own(area);
        return 0;
    }
    if (USER_GET(&sw, fp + XSAVE_SW_OFF) < 0)
        return -EFAULT;
    if (sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size == size &&
        sw.extended_size == size + sizeof magic2 && USER_GET(&magic2, fp + size) == 0 &&
        magic2 == FP_XSTATE_MAGIC2) {
        if (user_copy_in(area, fp, size) < 0)
            return -EFAULT;
    } else {
        memset(area, 0, size);
        if (user_copy_in(area, fp, XSAVE_LEGACY_SIZE) < 0)
            return -EFAULT;
        *(uint64_t *)(area + XSAVE_LEGACY_SIZE) = XFEATURES_LEGACY;
    }
    memset(area + XSAVE_SW_OFF, 0, XSAVE_LEGACY_SIZE - XSAVE_SW_OFF);
    xstate_restore_own(area);
    return 0;
}

static void restore_regs(struct regs *r, const struct sigcontext *sc)
{
    r->r8 = sc->r8;
    r->r9 = sc->r9;
    r->r10 = sc->r10;
    r->r11 = sc->r11;
    r->r12 = sc->r12;
    r->r13 = sc->r13;
    r->r14 = sc->r14;
    r->r15 = sc->r15;
    r->rdi = sc->rdi;
    r->rsi = sc->rsi;
    r->rbp = sc->rbp;
    r->rbx = sc->rbx;
    r->rdx = sc->rdx;
    r->rax = sc->rax;
    r->rcx = sc->rcx;
    r->rsp = sc->rsp;
    r->rip = sc->rip;
    r->rflags = (sc->eflags & RFLAGS_RESTORE) | RFLAGS_FIXED;
    r->orig_rax = UINT64_MAX;
    r->trapped = 0;
}

static void restore_alt_stack(struct thread *t, const stack_t *stack)
{
    if ((stack->ss_flags & SS_DISABLE) || stack->ss_size < MINSIGSTKSZ) {
        t->alt_stack_base = 0;
        t->alt_stack_size = 0;
        t->alt_stack_flags = SS_DISABLE;
        return;
    }
    t->alt_stack_base = (uintptr_t)stack->ss_sp;
    t->alt_stack_size = stack->ss_size;
    t->alt_stack_flags = (uint32_t)stack->ss_flags & SS_AUTODISARM;
}

int sigframe_pop(struct regs *regs)
{
    struct thread *t = current();
    struct rt_sigframe frame;
    uint64_t at = regs->rsp - sizeof frame.restorer; /* the handler's RET popped it */

    if (USER_GET(&frame, at) < 0)
        return -EFAULT;
    if (frame.uc.context.rip > ADDRESS_MAX || frame.uc.context.rsp > ADDRESS_MAX)
        return -EFAULT;
    if (pop_xstate(t, (uint64_t)frame.uc.context.fpstate) < 0)
        return -EFAULT;
    restore_regs(regs, &frame.uc.context);
    t->sig_mask = frame.uc.mask & ~SIGNALS_UNBLOCKABLE;
    if (!is_on_alt_stack(t, regs->rsp))
        restore_alt_stack(t, &frame.uc.stack);
    __atomic_or_fetch(&t->attention, TASK_ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
    return 0;
}
