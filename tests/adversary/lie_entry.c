/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of the lying host: with flags and vector registers that no decent host would leave, and a look
 * at everything that the enclave left behind when it came out. Untrusted side, test only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/adversary/lies.h"

#define XSAVE_SIZE 8192
#define LOOK_SIZE 24576u /* of a frame's buffer: paths, addresses, stat */

bool g_entry_dirty;
void *g_frame_hidden;
static const struct ocall_host *g_watched;
static uintptr_t g_frames_start, g_frames_end;

/*
 * What the exit handler (vDSO: run->user_handler) finds. XSAVE area first, then the registers that no
 * calling convention gives it. A thread at a time: g_left_lock.
 */
static struct {
    uint8_t xsave[XSAVE_SIZE];
    uint64_t general[8];
    uint64_t flags;
} g_left __attribute__((used, aligned(64)));
static atomic_flag g_left_lock = ATOMIC_FLAG_INIT;

void lie_exit_handler(void);
__asm__(".text\n"
        "lie_exit_handler:\n"
        "    pushfq\n"
        "    lea g_left(%rip), %r11\n"
        "    mov %rdi, 8192(%r11)\n"
        "    mov %rsi, 8200(%r11)\n"
        "    mov %rdx, 8208(%r11)\n"
        "    mov %r8, 8216(%r11)\n"
        "    mov %r9, 8224(%r11)\n"
        "    mov %r13, 8232(%r11)\n"
        "    mov %r14, 8240(%r11)\n"
        "    mov %r15, 8248(%r11)\n"
        "    pop %rax\n"
        "    mov %rax, 8256(%r11)\n"
        "    mov $-1, %eax\n"
        "    mov $-1, %edx\n"
        "    xsave64 (%r11)\n"
        "    xor %eax, %eax\n"
        "    ret\n");

/*
 * int lie_enter_dirty(as sgx_enter_fn): all exceptions unmasked in MXCSR, values in every vector and x87
 * register, direction and alignment-check flags set; cleaned again afterwards.
 */
sgx_enter_fn lie_enter_dirty;
static sgx_enter_fn *g_real_enter __attribute__((used));
static const uint32_t g_mxcsr_dirty __attribute__((used)) = 0x0040; /* DAZ; nothing masked */
static const uint32_t g_mxcsr_clean __attribute__((used)) = 0x1f80;
__asm__(".text\n"
        "lie_enter_dirty:\n"
        "    push %rbp\n"
        "    mov %rsp, %rbp\n"
        "    sub $16, %rsp\n"
        "    mov 16(%rbp), %rax\n" /* run: the first thing on the stack at the call */
        "    mov %rax, (%rsp)\n"
        "    mov $0x1122334455667788, %rax\n"
        "    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    movq %rax, %xmm\\n\n"
        "    .endr\n"
        "    fninit\n"
        "    .rept 8\n"
        "    fldpi\n"
        "    .endr\n"
        "    ldmxcsr g_mxcsr_dirty(%rip)\n"
        "    mov g_real_enter(%rip), %rax\n"
        "    pushfq\n"
        "    orq $0x40400, (%rsp)\n"
        "    popfq\n"
        "    call *%rax\n"
        "    pushq $0x202\n"
        "    popfq\n"
        "    fninit\n"
        "    ldmxcsr g_mxcsr_clean(%rip)\n"
        "    leave\n"
        "    ret\n");

static void leak(const char *what)
{
    fprintf(stderr, "%s left the enclave\n", what);
    _exit(STATUS_LEAK);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* What the host itself had in its vector registers shall not be taken for the enclave's. */
static void vectors_clear(void)
{
    __asm__ volatile("vzeroall\n"
                     "fninit\n"
                     "ldmxcsr g_mxcsr_clean(%%rip)\n"
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
}

/*
 * At CSSA 1 the enclave leaves the vector registers as the host had them: what stands in them after the
 * emulator's own work must not be the program's.
 */
static void look_for_secret(void)
{
    for (size_t off = 0; off < 832; off += 8)
        if (memcmp(g_left.xsave + off, &(uint64_t){ ROW_SECRET }, 8) == 0)
            leak("the program's vector register");
}

/* SDM vol. 1, 13.4: components not in XSTATE_BV are in their initial state. */
static void look_at_vectors(void)
{
    const uint8_t *area = g_left.xsave;
    uint64_t present;
    uint32_t mxcsr;
    uint16_t fcw;

    memcpy(&present, area + 512, sizeof present);
    memcpy(&fcw, area, sizeof fcw);
    memcpy(&mxcsr, area + 24, sizeof mxcsr);
    if (present & 1 && (fcw != 0x37f || !is_zero(area + 2, 22) || !is_zero(area + 32, 128)))
        leak("x87 state");
    if (mxcsr != 0x1f80)
        leak("MXCSR");
    if (present & 2 && !is_zero(area + 160, 256))
        leak("an XMM register");
    if (present & 4 && !is_zero(area + 576, 256))
        leak("the upper half of a YMM register");
}

static void look_at_frame(const struct ocall_frame *f)
{
    const uint64_t *words = (const uint64_t *)f->buffer;

    for (unsigned i = 0; i < OCALL_ARGS_MAX; i++)
        if (f->args[i] == ROW_SECRET)
            leak("a word of the stack, with the arguments,");
    for (unsigned i = 0; i < LOOK_SIZE / 8; i++)
        if (words[i] == ROW_SECRET)
            leak("a word of the stack, in the buffer,");
}

/* In the frame's number until the enclave asks for something. */
#define ASKED_NOTHING 0xfeedfacefeedfaceull

static struct ocall_frame *frame_of(uint64_t addr)
{
    return addr >= g_frames_start && addr < g_frames_end && IS_ALIGNED(addr, 64)
               ? (struct ocall_frame *)addr
               : NULL;
}

/* A signal inside made the loader's handler enter at CSSA 1. */
static bool is_at_cssa1(const struct ocall_frame *frame)
{
    for (uint32_t i = 0; i < g_watched->thread_limit; i++)
        if (g_watched->threads[i].frame == frame)
            return __atomic_load_n(&g_watched->threads[i].at_cssa1, __ATOMIC_SEQ_CST);
    return false;
}

/* The frame that the enclave was entered with, or last: an ERESUME names none. */
static _Thread_local struct ocall_frame *t_frame;

static void look(void)
{
    bool asked = t_frame && !g_frame_hidden && t_frame->number != ASKED_NOTHING;

    if (!is_zero((const uint8_t *)g_left.general, sizeof g_left.general))
        leak("a general register");
    if (g_left.flags & 0x40400)
        leak("a flag");
    if (!g_entry_dirty || (asked && !is_at_cssa1(t_frame)))
        look_for_secret();
    if (!asked || is_at_cssa1(t_frame))
        return;
    look_at_vectors();
    look_at_frame(t_frame);
}

static int enter_and_look(unsigned long rdi, unsigned long rsi, unsigned long rdx,
                          unsigned int function, unsigned long r8, unsigned long r9,
                          struct sgx_run *run)
{
    void *hidden = g_frame_hidden;
    uint64_t number = 0;
    bool watched;
    int rc;

    if (function == SGX_EENTER)
        t_frame = frame_of(rdx);
    if (t_frame && !hidden) {
        number = t_frame->number;
        t_frame->number = ASKED_NOTHING;
    }
    /* Another thread is inside with its own look: this one goes without. */
    watched = !atomic_flag_test_and_set(&g_left_lock);
    run->user_handler = watched ? (uint64_t)lie_exit_handler : 0;
    if (hidden)
        mprotect(hidden, PAGE_SIZE, PROT_NONE);
    vectors_clear();
    rc = g_entry_dirty ? lie_enter_dirty(rdi, rsi, rdx, function, r8, r9, run)
                       : g_real_enter(rdi, rsi, rdx, function, r8, r9, run);
    if (hidden)
        mprotect(hidden, PAGE_SIZE, PROT_READ | PROT_WRITE);
    if (watched) {
        if (rc == 0 && run->function == SGX_EEXIT)
            look();
        atomic_flag_clear(&g_left_lock);
    }
    if (t_frame && !hidden && t_frame->number == ASKED_NOTHING)
        t_frame->number = number;
    run->user_handler = 0;
    return rc;
}

void lie_entry_watch(struct loader *l)
{
    static struct sgx_backend watching;

    watching = *l->backend;
    g_real_enter = watching.enter;
    watching.enter = enter_and_look;
    l->backend = &watching;
    g_watched = &l->ocall;
    g_frames_start = (uintptr_t)l->ocall.threads[0].frame;
    g_frames_end = (uintptr_t)l->ocall.threads[l->ocall.thread_limit - 1].frame + 1;
}
