/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of tee/libos/elf: real programs of this machine are loaded into enclave addresses and run
 * there, as ordinary code of a child process; headers that are broken in each way are refused. Hosted.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tee/libos/elf/elf_private.h"
#include "tee/libos/mm/page.h"
#include "tee/libos/rewrite/rewrite.h"
#include "tee/libos/task/task.h"
#include "tests/unit/libos/fake_enclave.h"
#include "tests/unit/libos/fake_file.h"

void rewrite_forget(struct mm *mm, uintptr_t addr, size_t size)
{
}

static struct exec_strings strings_of(const char *bytes, size_t size)
{
    struct exec_strings s = { .size = size, .bytes = (char *)bytes };

    for (size_t i = 0; i < size; i++)
        s.count += bytes[i] == 0;
    return s;
}
#define STRINGS(literal) strings_of(literal "\0", sizeof literal)
#define NO_STRINGS ((struct exec_strings){ 0 })

static int populate(const struct mm_area_info *a, void *arg)
{
    uintptr_t(*list)[2] = arg;

    while ((*list)[1])
        list++;
    (*list)[0] = a->start;
    (*list)[1] = a->end;
    return 0;
}

/* Makes every page present, so that the program runs without anybody who serves its faults. */
static void populate_all(struct mm *mm)
{
    static uintptr_t list[64][2];
    int code;

    memset(list, 0, sizeof list);
    mm_area_each(mm, populate, list);
    for (unsigned i = 0; list[i][1]; i++)
        for (uintptr_t page = list[i][0]; page < list[i][1]; page += PAGE_SIZE)
            if (!(page_state(page) & PAGE_PRESENT))
                (void)!mm_fault(mm, page, 0, &code);
}

static NORETURN void jump(uintptr_t entry, uintptr_t sp)
{
    __asm__ volatile("mov %1, %%rsp; xor %%edx, %%edx; jmp *%0" : : "r"(entry), "r"(sp) : "memory");
    __builtin_unreachable();
}

/* Runs the program; returns its status and the first bytes that it writes. */
static int run(const char *path, struct exec_strings args, struct exec_strings env, char *output,
               size_t size)
{
    struct exec_result result;
    int pipes[2], status, rc;
    ssize_t n, total = 0;
    struct mm *mm;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        dup2(pipes[1], 1);
        close(pipes[0]);
        fake_enclave_init(65536);
        rc = mm_new(&mm);
        fake_enclave_process()->mm = mm;
        if (rc == 0)
            rc = exec_load(mm, path, &args, &env, &result);
        if (rc < 0)
            _exit(200 + (rc == -ENOEXEC) + 2 * (rc == -ENOENT) + 3 * (rc == -ELOOP) +
                  4 * (rc == -EACCES));
        populate_all(mm);
        syscall(SYS_arch_prctl, 0x1001, 0); /* ARCH_SET_GS: nothing of the fake is left */
        jump(result.entry, result.stack_pointer);
    }
    close(pipes[1]);
    while (total < (ssize_t)size - 1 && (n = read(pipes[0], output + total, size - 1 - total)) > 0)
        total += n;
    output[total] = 0;
    close(pipes[0]);
    waitpid(child, &status, 0);
    return status;
}

static void test_run_dynamic(void **state)
{
    char out[8192];

    assert_int_equal(run("/bin/true", STRINGS("/bin/true"), NO_STRINGS, out, sizeof out), 0);
    assert_int_equal(
        WEXITSTATUS(run("/bin/false", STRINGS("/bin/false"), NO_STRINGS, out, sizeof out)), 1);
    assert_int_equal(
        run("/bin/echo", STRINGS("echo\0hello\0big world"), STRINGS("A=b"), out, sizeof out), 0);
    assert_string_equal(out, "hello big world\n");
    assert_int_equal(
        run("/usr/bin/env", STRINGS("env"), STRINGS("A=b\0LONG=value"), out, sizeof out), 0);
    assert_string_equal(out, "A=b\nLONG=value\n");
}

static void test_run_auxv(void **state)
{
    char out[8192];

    assert_int_equal(
        run("/bin/true", STRINGS("/bin/true"), STRINGS("LD_SHOW_AUXV=1"), out, sizeof out), 0);
    assert_non_null(strstr(out, "AT_SYSINFO_EHDR:"));
    assert_non_null(strstr(out, "AT_PLATFORM:          x86_64"));
    assert_non_null(strstr(out, "AT_EXECFN:            /bin/true"));
    assert_non_null(strstr(out, "AT_PAGESZ:            4096"));
    assert_non_null(strstr(out, "AT_HWCAP2:            0x2"));
    assert_non_null(strstr(out, "AT_SECURE:            0"));
}

/* The vDSO has the functions that the C library looks for, and date(1) uses them. */
static void test_run_vdso(void **state)
{
    char out[256], *end;
    long now;

    assert_int_equal(run("/bin/date", STRINGS("date\0+%s"), NO_STRINGS, out, sizeof out), 0);
    now = strtol(out, &end, 10);
    assert_true(now > 1700000000 && *end == '\n');
}

static void test_run_static(void **state)
{
    char out[256];

    if (access("/bin/busybox", X_OK) != 0)
        skip();
    assert_int_equal(
        run("/bin/busybox", STRINGS("busybox\0echo\0static"), NO_STRINGS, out, sizeof out), 0);
    assert_string_equal(out, "static\n");
}

static char *script(const char *text, unsigned mode)
{
    static char path[8][64];
    static unsigned next;
    char *p = path[next++ % 8];
    int fd;

    snprintf(p, 64, "/tmp/cloche-test-elf-XXXXXX");
    fd = mkstemp(p);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    fchmod(fd, mode);
    close(fd);
    return p;
}

static void test_scripts(void **state)
{
    char out[256], text[300], *a = script("#! /bin/echo one two \n", 0755), *chain[6] = { a };

    assert_int_equal(run(a, STRINGS("script\0arg"), NO_STRINGS, out, sizeof out), 0);
    snprintf(text, sizeof text, "one two %s arg\n", a);
    assert_string_equal(out, text);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "#!%s", a);
        a = chain[i + 1] = script(text, 0755);
        assert_int_equal(WEXITSTATUS(run(a, STRINGS("s"), NO_STRINGS, out, sizeof out)),
                         i < 4 ? 0 : 203);
    }
    for (unsigned i = 0; i < 6; i++)
        unlink(chain[i]);
    a = script("#!/no/such/interpreter\n", 0755);
    assert_int_equal(WEXITSTATUS(run(a, STRINGS("s"), NO_STRINGS, out, sizeof out)), 202);
    unlink(a);
    a = script("#!/bin/echo\n", 0644);
    assert_int_equal(WEXITSTATUS(run(a, STRINGS("s"), NO_STRINGS, out, sizeof out)), 204);
    unlink(a);
    a = script("not a program", 0755);
    assert_int_equal(WEXITSTATUS(run(a, STRINGS("s"), NO_STRINGS, out, sizeof out)), 201);
    unlink(a);
}

static void test_script_lines(void **state)
{
    struct script_line l;
    char line[300];

    assert_int_equal(script_parse("#!/a/b  c d \t\nrest", 19, &l), 0);
    assert_true(l.interp_len == 4 && l.arg_len == 3 && memcmp(l.arg, "c d", 3) == 0);
    assert_int_equal(script_parse("#!/a", 4, &l), 0);
    assert_null(l.arg);
    assert_int_equal(script_parse("#!", 2, &l), -ENOEXEC);
    assert_int_equal(script_parse("#! \n/a", 6, &l), -ENOEXEC);
    memset(line, 'x', sizeof line);
    memcpy(line, "#!", 2);
    assert_int_equal(script_parse(line, sizeof line, &l), -ENOEXEC);
    memset(line + 100, ' ', 4);
    assert_int_equal(script_parse(line, sizeof line, &l), 0);
    assert_int_equal(l.interp_len, 98);
}

/* ---- headers ---- */

static uint8_t g_bytes[1024];
#define EHDR ((Elf64_Ehdr *)g_bytes)
#define PHDR ((Elf64_Phdr *)(g_bytes + 64))

static void make_elf(void)
{
    memset(g_bytes, 0, sizeof g_bytes);
    *EHDR = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
                          .e_type = ET_DYN,
                          .e_machine = EM_X86_64,
                          .e_phoff = 64,
                          .e_phentsize = 56,
                          .e_phnum = 3,
                          .e_entry = 0x10 };
    PHDR[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
                            .p_flags = PF_R | PF_X,
                            .p_filesz = 0x400,
                            .p_memsz = 0x400,
                            .p_align = 4096 };
    PHDR[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
                            .p_flags = PF_R | PF_W,
                            .p_offset = 0x200,
                            .p_vaddr = 0x2200,
                            .p_filesz = 0x100,
                            .p_memsz = 0x5000,
                            .p_align = 4096 };
    PHDR[2] = (Elf64_Phdr){ .p_type = PT_INTERP, .p_offset = 0x300, .p_filesz = 16 };
}

static int parse(struct elf_image *image)
{
    struct elf_header h;
    int rc = elf_header_parse(g_bytes, sizeof g_bytes, sizeof g_bytes, &h);

    return rc < 0 ? rc : elf_phdrs_parse(&h, g_bytes + h.phdrs_off, sizeof g_bytes, image);
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        make_elf();                                                                                \
        change;                                                                                    \
        assert_int_equal(parse(&image), -ENOEXEC);                                                 \
    } while (0)

static void test_headers(void **state)
{
    struct elf_image image;

    make_elf();
    assert_int_equal(parse(&image), 0);
    assert_true(image.segment_count == 2 && image.low == 0 && image.high == 0x8000 &&
                image.interp_size == 16 && image.has_phdr_addr && image.phdr_addr == 64);
    REFUSED(EHDR->e_ident[0] = 0);
    REFUSED(EHDR->e_ident[EI_CLASS] = ELFCLASS32);
    REFUSED(EHDR->e_machine = EM_386);
    REFUSED(EHDR->e_type = ET_REL);
    REFUSED(EHDR->e_phentsize = 55);
    REFUSED(EHDR->e_phnum = 0);
    REFUSED(EHDR->e_phnum = 0xffff);
    REFUSED(EHDR->e_phoff = sizeof g_bytes - 100);
    REFUSED(EHDR->e_phoff = UINT64_MAX - 10);
    REFUSED(PHDR[0].p_filesz = 0x401);
    REFUSED(PHDR[0].p_offset = UINT64_MAX - 100);
    REFUSED(PHDR[0].p_memsz = 0x10);
    REFUSED(PHDR[1].p_vaddr = 0x100);
    REFUSED(PHDR[1].p_vaddr = UINT64_MAX - 0xdff);
    REFUSED(PHDR[1].p_memsz = UINT64_MAX);
    REFUSED(PHDR[1].p_offset = 0x201);
    REFUSED(PHDR[1].p_align = 3);
    REFUSED(PHDR[1].p_align = 1ull << 60);
    REFUSED(PHDR[2].p_offset = sizeof g_bytes - 8);
    REFUSED(PHDR[2].p_filesz = 100000);
    REFUSED((PHDR[0].p_type = PT_NULL, PHDR[1].p_type = PT_NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),     cmocka_unit_test(test_script_lines),
        cmocka_unit_test(test_run_dynamic), cmocka_unit_test(test_run_auxv),
        cmocka_unit_test(test_run_vdso),    cmocka_unit_test(test_run_static),
        cmocka_unit_test(test_scripts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
