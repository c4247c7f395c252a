/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initial stack: strings, argument and environment pointers, auxiliary vector. Trusted. Spec: System V ABI for
 * AMD64, section 3.4.1; getauxval(3).
 */
#include <linux/auxvec.h>
#include <linux/errno.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/random.h"
#include "tee/enclave/string.h"
#include "tee/libos/elf/elf_private.h"
#include "tee/libos/task/rseq.h"
#include "tee/libos/task/task.h"

#define STACK_SIZE_DEFAULT (8ul << 20)
#define STACK_SIZE_MIN (256ul << 10)
#define STACK_SIZE_MAX (64ul << 20)
#define STRING_SIZE_MAX (128ul << 10) /* MAX_ARG_STRLEN of Linux */
#define STRINGS_SIZE_MAX (6ul << 20)
#define CLOCK_TICKS 100
#define RANDOM_SIZE 16u
/* CPUID.1:EDX of the features that x86-64 itself requires; programs ask CPUID for more. */
#define HWCAP_X86_64 0x078bfbffu
#define HWCAP2_FSGSBASE 0x2u
#define SIGNAL_FRAME_SIZE 1024u /* besides the vector state */
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif

#define AUX_MAX 24u
struct aux_list {
    uint64_t pairs[AUX_MAX][2];
    unsigned count;
};

static void aux_add(struct aux_list *l, uint64_t type, uint64_t value)
{
    l->pairs[l->count][0] = type;
    l->pairs[l->count++][1] = value;
}

static void aux_fill(struct aux_list *l, const struct stack_plan *plan, uintptr_t exec_path,
                     uintptr_t random, uintptr_t platform)
{
    const struct cred *cred = process_cred();

    l->count = 0;
    if (plan->vdso)
        aux_add(l, AT_SYSINFO_EHDR, plan->vdso);
    aux_add(l, AT_MINSIGSTKSZ, xstate_size() + SIGNAL_FRAME_SIZE);
    aux_add(l, AT_HWCAP, HWCAP_X86_64);
    aux_add(l, AT_PAGESZ, PAGE_SIZE);
    aux_add(l, AT_CLKTCK, CLOCK_TICKS);
    aux_add(l, AT_PHDR, plan->program->phdrs);
    aux_add(l, AT_PHENT, ELF_PHDR_SIZE);
    aux_add(l, AT_PHNUM, plan->program->phdr_count);
    aux_add(l, AT_BASE, plan->interp_base);
    aux_add(l, AT_FLAGS, 0);
    aux_add(l, AT_ENTRY, plan->program->entry);
    aux_add(l, AT_UID, cred->ruid);
    aux_add(l, AT_EUID, cred->euid);
    aux_add(l, AT_GID, cred->rgid);
    aux_add(l, AT_EGID, cred->egid);
    aux_add(l, AT_SECURE, 0);
    aux_add(l, AT_RANDOM, random);
    aux_add(l, AT_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_SIZE);
    aux_add(l, AT_RSEQ_ALIGN, RSEQ_ALIGN);
    aux_add(l, AT_HWCAP2, HWCAP2_FSGSBASE);
    aux_add(l, AT_EXECFN, exec_path);
    aux_add(l, AT_PLATFORM, platform);
    aux_add(l, AT_NULL, 0);
}

/* True when the list is what it says: count strings, each NUL-ended and not too long. */
static bool strings_are_valid(const struct exec_strings *s)
{
    size_t off = 0;

    for (unsigned i = 0; i < s->count; i++) {
        size_t len = off < s->size ? strnlen(s->bytes + off, s->size - off) : 0;

        if (off >= s->size || len == s->size - off || len >= STRING_SIZE_MAX)
            return false;
        off += len + 1;
    }
    return off == s->size;
}

static size_t stack_size(void)
{
    uint64_t limit = process_current()->limits[RLIMIT_STACK].current;

    if (limit == RLIM64_INFINITY || limit > STACK_SIZE_MAX)
        return limit == RLIM64_INFINITY ? STACK_SIZE_DEFAULT : STACK_SIZE_MAX;
    return ALIGN_UP(MAX(limit, STACK_SIZE_MIN), PAGE_SIZE);
}

/* Pushes bytes below *top. */
static int push(struct mm *mm, uintptr_t *top, const void *src, size_t size)
{
    *top -= size;
    return size ? user_copy_out_mm(mm, *top, src, size) : 0;
}

/* Writes addresses of the strings, which lie at `at` in the program, and a NULL. */
static uint64_t *pointers_fill(uint64_t *dst, const struct exec_strings *s, uintptr_t at)
{
    size_t off = 0;

    for (unsigned i = 0; i < s->count; i++) {
        *dst++ = at + off;
        off += strlen(s->bytes + off) + 1;
    }
    *dst++ = 0;
    return dst;
}

/* The words from the stack pointer up: argc, argv, envp, auxv. */
static int words_push(struct mm *mm, const struct stack_plan *plan, const struct aux_list *aux,
                      uintptr_t *top, const struct exec_result *bounds)
{
    size_t aux_size = aux->count * sizeof aux->pairs[0];
    size_t count = 1 + plan->args->count + 1 + plan->env->count + 1;
    size_t size = count * sizeof(uint64_t) + aux_size;
    CLEANUP(mem_freep)
    uint64_t *words = mem_alloc(size);
    uint64_t *at;

    if (!words)
        return -ENOMEM;
    words[0] = plan->args->count;
    at = pointers_fill(words + 1, plan->args, bounds->arg_start);
    at = pointers_fill(at, plan->env, bounds->env_start);
    memcpy(at, aux->pairs, aux_size);
    *top = ALIGN_DOWN(*top - size, 16ul);
    return user_copy_out_mm(mm, *top, words, size);
}

/* Everything on the stack, from `top` down. */
static int stack_fill(struct mm *mm, const struct stack_plan *plan, uintptr_t top,
                      struct exec_result *ret)
{
    static const char platform[] = "x86_64";
    uintptr_t exec_path, random, platform_at;
    uint8_t bytes[RANDOM_SIZE];
    struct aux_list aux;
    int rc;

    top -= sizeof(uint64_t); /* a NULL ends the stack */
    rc = push(mm, &top, plan->exec_path, strlen(plan->exec_path) + 1);
    exec_path = top;
    ret->env_end = top;
    if (rc == 0)
        rc = push(mm, &top, plan->env->bytes, plan->env->size);
    ret->env_start = ret->arg_end = top;
    if (rc == 0)
        rc = push(mm, &top, plan->args->bytes, plan->args->size);
    ret->arg_start = top;
    if (rc == 0)
        rc = push(mm, &top, platform, sizeof platform);
    platform_at = top;
    random_bytes(bytes, sizeof bytes);
    top = ALIGN_DOWN(top, 16ul);
    if (rc == 0)
        rc = push(mm, &top, bytes, sizeof bytes);
    random = top;
    aux_fill(&aux, plan, exec_path, random, platform_at);
    if (rc == 0)
        rc = words_push(mm, plan, &aux, &top, ret);
    ret->stack_pointer = top;
    return rc == -EFAULT ? -ENOMEM : rc;
}

int stack_build(struct mm *mm, const struct stack_plan *plan, struct exec_result *ret)
{
    size_t size = stack_size();
    size_t words = (plan->args->count + (size_t)plan->env->count) * sizeof(uint64_t);
    int prot = PROT_READ | PROT_WRITE | (plan->program->stack_exec ? PROT_EXEC : 0), rc;
    uintptr_t at = 0;

    if (plan->args->size > STRINGS_SIZE_MAX || plan->env->size > STRINGS_SIZE_MAX ||
        plan->args->size + plan->env->size + words > MIN(size / 4, STRINGS_SIZE_MAX) ||
        !strings_are_valid(plan->args) || !strings_are_valid(plan->env))
        return -E2BIG;
    rc = mm_map_named(mm, &at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, "[stack]");
    if (rc == 0)
        rc = stack_fill(mm, plan, at + size, ret);
    if (rc == 0)
        mm_stack_set(mm, ret->stack_pointer);
    return rc;
}
