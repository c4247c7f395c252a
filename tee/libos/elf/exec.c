/* SPDX-License-Identifier: Apache-2.0 */
/* exec_load: from a path to a program that is ready to run. Trusted. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/stat.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/elf/elf_private.h"
#include "tee/libos/fs/vfs/vfs.h"

#define SCRIPT_DEPTH_MAX 5u /* as Linux */
#define MAY_EXEC 1u

/* A program file, or an interpreter: a regular file that the caller may execute. */
static int program_open(const char *path, struct file **ret)
{
    CLEANUP(file_unrefp)
    struct file *f = NULL;
    int rc = file_open(path, O_RDONLY, 0, &f);

    if (rc < 0)
        return rc;
    if (!f->inode || (f->inode->mode & S_IFMT) != S_IFREG)
        return -EACCES;
    rc = inode_permission(f->inode, MAY_EXEC);
    if (rc == 0)
        rc = file_deny_write(f);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(f);
    return 0;
}

/* The list that remains when a script's interpreter is started: interpreter, its argument, the
 * script's path, and the old arguments but the first. bytes is mem_alloc'd. */
static int script_args(const struct script_line *line, const char *path,
                       const struct exec_strings *old, struct exec_strings *ret)
{
    size_t skip = old->count ? strnlen(old->bytes, old->size) : 0, path_size = strlen(path) + 1;
    size_t rest, size;
    char *p;

    if (old->count)
        skip = MIN(skip + 1, old->size);
    rest = old->size - skip;
    size = line->interp_len + 1 + (line->arg ? line->arg_len + 1 : 0) + path_size + rest;
    p = mem_zalloc(size);
    if (!p)
        return -ENOMEM;
    *ret =
        (struct exec_strings){ .count = 2 + (line->arg ? 1 : 0) + (old->count ? old->count - 1 : 0),
                               .size = size,
                               .bytes = p };
    memcpy(p, line->interp, line->interp_len);
    p += line->interp_len + 1;
    if (line->arg) {
        memcpy(p, line->arg, line->arg_len);
        p += line->arg_len + 1;
    }
    memcpy(p, path, path_size);
    memcpy(p + path_size, old->bytes + skip, rest);
    return 0;
}

/* Program and arguments after all scripts are resolved. */
struct program {
    struct file *file;        /* one reference */
    struct exec_strings args; /* bytes owned when owns_args */
    bool owns_args;
};

static void program_done(struct program *p)
{
    if (p->file)
        file_unref(p->file);
    if (p->owns_args)
        mem_free(p->args.bytes);
}

/* Opens path; while it is a script, goes on with its interpreter. */
static int program_find(const char *path, const struct exec_strings *args, struct program *ret)
{
    CLEANUP(program_done)
    struct program p = { .args = *args };
    CLEANUP(mem_freep)
    char *name = mem_strdup(path);

    if (!name)
        return -ENOMEM;
    for (unsigned depth = 0;; depth++) {
        char head[SCRIPT_HEAD_SIZE], *interp;
        struct exec_strings next;
        struct script_line line;
        int64_t n;
        int rc;

        if (depth > SCRIPT_DEPTH_MAX)
            return -ELOOP;
        rc = program_open(name, &p.file);
        if (rc < 0)
            return rc;
        n = file_read_kernel(p.file, head, sizeof head, 0);
        if (n < 0)
            return (int)n;
        if (script_parse(head, (size_t)n, &line) < 0)
            break; /* an ELF file, or -ENOEXEC later */
        rc = script_args(&line, name, &p.args, &next);
        if (rc < 0)
            return rc;
        if (p.owns_args)
            mem_free(p.args.bytes);
        p.args = next;
        p.owns_args = true;
        file_unref(TAKE_PTR(p.file));
        interp = mem_strdup(next.bytes);
        if (!interp)
            return -ENOMEM;
        mem_free(name);
        name = interp;
    }
    *ret = p;
    p = (struct program){ 0 };
    return 0;
}

/* Maps the interpreter that image names. */
static int interp_load(struct mm *mm, struct file *program, const struct elf_image *image,
                       struct elf_mapped *ret)
{
    CLEANUP(mem_freep)
    char *path = mem_zalloc(image->interp_size + 1);
    CLEANUP(mem_freep)
    struct elf_image *interp = mem_alloc(sizeof *interp);
    CLEANUP(file_unrefp)
    struct file *f = NULL;
    int64_t n;
    int rc;

    if (!path || !interp)
        return -ENOMEM;
    n = file_read_kernel(program, path, image->interp_size, image->interp_off);
    if (n < 0)
        return (int)n;
    if (n != image->interp_size || path[image->interp_size - 1] != 0)
        return -ENOEXEC;
    rc = program_open(path, &f);
    if (rc == 0)
        rc = elf_file_parse(f, interp);
    if (rc == -ENOEXEC || (rc == 0 && interp->interp_off))
        return -ELIBBAD;
    return rc < 0 ? rc : elf_file_map(mm, f, interp, ret);
}

static int exe_path_get(struct file *f, const char *fallback, char **ret)
{
    CLEANUP(mem_freep)
    char *path = mem_zalloc(PATH_MAX + 1);
    int64_t n;

    if (!path)
        return -ENOMEM;
    n = f->dentry ? dentry_path(f->dentry, path, PATH_MAX) : -ENOENT;
    *ret = mem_strdup(n > 0 ? path : fallback);
    return *ret ? 0 : -ENOMEM;
}

int exec_load(struct mm *mm, const char *path, const struct exec_strings *args,
              const struct exec_strings *env, struct exec_result *ret)
{
    CLEANUP(program_done)
    struct program p = { 0 };
    CLEANUP(mem_freep)
    struct elf_image *image = mem_alloc(sizeof *image);
    CLEANUP(mem_freep)
    char *exe_path = NULL;
    struct elf_mapped program, interp = { 0 };
    struct exec_result result = { 0 };
    struct stack_plan plan;
    uintptr_t vdso = 0;
    int rc;

    if (!image)
        return -ENOMEM;
    rc = program_find(path, args, &p);
    if (rc == 0)
        rc = elf_file_parse(p.file, image);
    if (rc == 0)
        mm_program_set(mm, p.file);
    if (rc == 0)
        rc = elf_file_map(mm, p.file, image, &program);
    if (rc == 0 && image->interp_off)
        rc = interp_load(mm, p.file, image, &interp);
    if (rc < 0)
        return rc;
    mm_brk_init(mm, program.end);
    if (vdso_map(mm, &vdso) < 0)
        vdso = 0; /* programs do without */
    plan = (struct stack_plan){ .args = &p.args,
                                .env = env,
                                .exec_path = path,
                                .program = &program,
                                .interp_base = image->interp_off ? interp.bias : 0,
                                .vdso = vdso };
    rc = stack_build(mm, &plan, &result);
    if (rc == 0)
        rc = exe_path_get(p.file, path, &exe_path);
    if (rc < 0)
        return rc;
    result.entry = image->interp_off ? interp.entry : program.entry;
    result.exe_path = TAKE_PTR(exe_path);
    *ret = result;
    return 0;
}
