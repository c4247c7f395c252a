/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the enclave: first instructions in C, slots, the end of a thread and of the enclave.
 * A slot is what one TCS needs (abi/image.h). Slots beyond the measured ones are made with EDMM.
 * Trusted.
 */
#include <linux/errno.h>
#include <linux/mman.h>

#include "abi/start.h"
#include "lib/enclave_plan.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/lock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

enum slot_state { SLOT_ABSENT, SLOT_FREE, SLOT_CLAIMED, SLOT_RUNNING };

struct slot {
    uint32_t state; /* enum slot_state; under g_slots_lock */
    void *arg;
    uint64_t claims; /* tells one claim from the next */
};

uint32_t enclave_dead;
static uint32_t g_started;
static struct spin g_slots_lock;
static struct slot g_slots[LIBOS_SLOT_COUNT_MAX];
static uint32_t g_slot_count; /* no slot from here on exists */
static uint32_t g_slot_limit; /* that the host serves */

static uint64_t slot_addr(uint32_t slot)
{
    return LIBOS_SLOTS_ADDR + slot * LIBOS_SLOT_SIZE;
}

void thread_slots_init(uint32_t host_slots)
{
    uint32_t measured = enclave_config()->static_slots;

    g_slot_limit = MIN(host_slots, LIBOS_SLOT_COUNT_MAX);
    g_slot_count = MIN(measured, g_slot_limit);
    for (uint32_t i = 0; i < g_slot_count; i++)
        g_slots[i].state = SLOT_FREE;
    g_slots[tcb_self()->slot].state = SLOT_RUNNING;
}

/* Pages of a slot that lie in enclave memory as ordinary pages: stacks, TCB and SSA. */
static const struct {
    uint64_t off, size;
} g_slot_parts[] = {
    { SLOT_STACK_OFF, SLOT_STACK_SIZE },
    { SLOT_EXC_STACK_OFF, SLOT_EXC_STACK_SIZE },
    { SLOT_TCB_OFF, PAGE_SIZE },
    { SLOT_TCS_OFF, PAGE_SIZE },
    { SLOT_SSA_OFF, SLOT_SSA_COUNT *SLOT_SSA_FRAME_PAGES *PAGE_SIZE },
};

/* A TCS is written as an ordinary page, then turned into one (SDM vol. 3D, EMODT). */
static int make_tcs(uint64_t base)
{
    struct sgx_tcs *tcs = (struct sgx_tcs *)(base + SLOT_TCS_OFF);
    const struct enclave_header *header = (const struct enclave_header *)enclave_image_start;
    struct sgx_secinfo secinfo = { .flags = SGX_PT_TCS << SGX_SECINFO_TYPE_SHIFT |
                                            SGX_SECINFO_MODIFIED };
    int rc;

    enclave_plan_tcs(base, LIBOS_BASE + header->entry_off, tcs);
    rc = ocall_edmm(OCALL_edmm_tcs, base + SLOT_TCS_OFF, 1, 0);
    if (rc < 0)
        return rc;
    if (enclu_page(SGX_EACCEPT, &secinfo, base + SLOT_TCS_OFF) != 0)
        enclave_panic("the host did not make a TCS of the page");
    return 0;
}

static int slot_make(uint32_t slot)
{
    uint64_t base = slot_addr(slot);
    unsigned done = 0;
    int rc = 0;

    while (done < ARRAY_COUNT(g_slot_parts) && rc == 0) {
        rc = enclave_commit(base + g_slot_parts[done].off, g_slot_parts[done].size / PAGE_SIZE,
                            PROT_READ | PROT_WRITE);
        done += rc == 0;
    }
    if (rc == 0)
        rc = make_tcs(base);
    if (rc == 0)
        return 0;
    while (done-- > 0)
        enclave_decommit(base + g_slot_parts[done].off, g_slot_parts[done].size / PAGE_SIZE);
    return rc;
}

/* A free slot, or the number of one to make: then *ret_make. */
static int slot_take(bool *ret_make)
{
    int slot = -EAGAIN;

    *ret_make = false;
    spin_lock(&g_slots_lock);
    for (uint32_t i = 0; i < g_slot_count && slot < 0; i++)
        if (g_slots[i].state == SLOT_FREE)
            slot = (int)i;
    for (uint32_t i = 0; i < g_slot_limit && slot < 0 && enclave_config()->pool_pages == 0; i++) {
        if (g_slots[i].state == SLOT_ABSENT) {
            slot = (int)i;
            g_slot_count = MAX(g_slot_count, i + 1);
            *ret_make = true;
        }
    }
    if (slot >= 0) {
        g_slots[slot].state = SLOT_CLAIMED;
        g_slots[slot].claims++;
    }
    spin_unlock(&g_slots_lock);
    return slot;
}

static void slot_set(uint32_t slot, enum slot_state state, void *arg)
{
    spin_lock(&g_slots_lock);
    g_slots[slot].arg = arg;
    g_slots[slot].state = state;
    spin_unlock(&g_slots_lock);
}

/* The claim was in vain. returns: false when a thread has taken it all the same. */
static bool slot_unclaim(uint32_t slot, uint64_t claim)
{
    struct slot *s = &g_slots[slot];
    bool is_ours;

    spin_lock(&g_slots_lock);
    is_ours = s->state == SLOT_CLAIMED && s->claims == claim;
    if (is_ours) {
        s->state = SLOT_FREE;
        s->arg = NULL;
    }
    spin_unlock(&g_slots_lock);
    return is_ours;
}

int thread_slot_reserve(void)
{
    bool make;
    int slot = slot_take(&make);

    if (slot < 0)
        return slot;
    if (make && slot_make((uint32_t)slot) < 0) {
        slot_set((uint32_t)slot, SLOT_ABSENT, NULL); /* all its pages were given back */
        return -EAGAIN;
    }
    return slot;
}

void thread_slot_drop(uint32_t slot)
{
    slot_set(slot, SLOT_FREE, NULL);
}

int thread_slot_run(uint32_t slot, void *arg)
{
    uint64_t claim = g_slots[slot].claims; /* nobody else claims it until it has run */

    slot_set(slot, SLOT_CLAIMED, arg);
    if (ocall_thread_start(slot) < 0) {
        /* The caller keeps arg: a thread must not be running with it. */
        if (!slot_unclaim(slot, claim))
            enclave_panic("the host denies a thread that it started");
        return -EAGAIN;
    }
    return 0;
}

int thread_slot_start(void *arg)
{
    int slot = thread_slot_reserve(), rc;

    if (slot < 0)
        return slot;
    rc = thread_slot_run((uint32_t)slot, arg);
    return rc < 0 ? rc : slot;
}

bool thread_slot_claim(uint32_t slot, void **ret_arg)
{
    bool claimed;

    if (slot >= LIBOS_SLOT_COUNT_MAX)
        return false;
    spin_lock(&g_slots_lock);
    claimed = g_slots[slot].state == SLOT_CLAIMED && g_slots[slot].arg;
    if (claimed) {
        g_slots[slot].state = SLOT_RUNNING;
        *ret_arg = g_slots[slot].arg;
    }
    spin_unlock(&g_slots_lock);
    return claimed;
}

void thread_slot_exit(void)
{
    static const uint64_t request[1] = { OCALL_thread_exit };
    struct tcb *tcb = tcb_self();

    tcb->current = NULL;
    tcb->flags = 0;
    if (uptr_write((struct uptr){ tcb->frame }, request, sizeof request) < 0)
        enclave_panic("the OCALL frame is gone");
    /* Free from here; the host's next thread for it enters after this one's EEXIT. */
    slot_set(tcb->slot, SLOT_FREE, NULL);
    enclave_leave_for_good(TCB_PHASE_IDLE);
}

/* The first C of a thread: nothing in the TCB but what entry.S put there. */
__attribute__((optimize("no-stack-protector"))) NORETURN void
enclave_thread_enter(uint64_t event, uint64_t arg, uint64_t frame)
{
    struct tcb *tcb = tcb_self();
    struct uptr outside = { frame };
    void *thread_arg = NULL;

    tcb->canary = random_hardware() & ~0xfful;
    tcb->slot = (uint32_t)(((uint64_t)tcb - LIBOS_SLOTS_ADDR) / LIBOS_SLOT_SIZE);
    tcb->flags = 0;
    tcb->current = NULL;
    tcb->frame = 0;
    thread_set_fs_base(0);
    if ((frame & 63) != 0 || !uptr_is_outside(outside, sizeof(struct ocall_frame)) ||
        __atomic_load_n(&enclave_dead, __ATOMIC_SEQ_CST))
        enclave_leave_for_good(TCB_PHASE_IDLE);
    if (event == ENTER_START && __atomic_exchange_n(&g_started, 1, __ATOMIC_SEQ_CST) == 0) {
        tcb->frame = frame;
        enclave_start(arg);
    }
    if (event == ENTER_THREAD && __atomic_load_n(&g_started, __ATOMIC_SEQ_CST) &&
        thread_slot_claim(tcb->slot, &thread_arg)) {
        tcb->frame = frame;
        libos_thread_start(thread_arg);
    }
    enclave_leave_for_good(TCB_PHASE_IDLE);
}

void regs_resume(const struct regs *regs, bool reset_xstate)
{
    struct regs *top = current_regs();

    memmove(top, regs, sizeof *top);
    if (reset_xstate)
        xstate_restore(xstate_initial);
    regs_resume_asm(top);
}

void enclave_exit(int status)
{
    ocall_exit(status);
}

void enclave_panic(const char *text)
{
    size_t size = strnlen(text, LOG_LINE_MAX);
    struct tcb *tcb = tcb_self();
    struct uptr frame = { tcb->frame };
    uint64_t request[3] = { OCALL_panic, size, 0 };
    uint64_t words[(LOG_LINE_MAX + 7) / 8] = { 0 };

    __atomic_store_n(&enclave_dead, 1, __ATOMIC_SEQ_CST);
    memcpy(words, text, size);
    if (tcb->frame != 0 &&
        uptr_write(uptr_add(frame, offsetof(struct ocall_frame, buffer)), words, sizeof words) ==
            0 &&
        uptr_write(frame, request, sizeof request) == 0)
        ocall_leave();
    for (;;)
        enclave_leave_for_good(TCB_PHASE_DEAD);
}

/* The compiler's stack protector found a broken canary. */
NORETURN void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    enclave_panic("a stack of the library OS was overwritten");
}
