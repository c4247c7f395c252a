/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/PID tells of a process's memory: maps, smaps, auxv, environ, cmdline (proc(5)). Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/mm/page.h"

#include <linux/auxvec.h>
#include <linux/errno.h>
#include <linux/mman.h>

#define STRINGS_SIZE_MAX (2u * 1024 * 1024)
#define NAME_COLUMN 73u
#define AUX_COUNT_MAX 64u
#define ENV_COUNT_MAX 65536u
#define KIB_PER_PAGE (PAGE_SIZE / 1024)

struct mm *proc_mm(struct process *p)
{
    struct mm *mm;

    mutex_lock(&p->lock);
    mm = p->mm;
    if (mm)
        mm_ref(mm);
    mutex_unlock(&p->lock);
    return mm;
}

/* Runs fn over the areas of the key's process. A process that has ended has none. */
static int each_area(const struct pseudo_key *k, int (*fn)(const struct mm_area_info *a, void *arg),
                     void *arg)
{
    struct process *p = proc_process(k);
    struct mm *mm;
    int rc = 0;

    if (!p)
        return -ESRCH;
    mm = proc_mm(p);
    process_unref(p);
    if (mm)
        rc = mm_area_each(mm, fn, arg);
    mm_unref(mm);
    return rc;
}

/* ---- maps ---- */

struct maps {
    struct text *text;
    char *path; /* PATH_SIZE_MAX bytes */
    bool is_detailed;
};

struct counts {
    size_t size, resident, shared, anonymous; /* pages */
};

/* Pages of a file that nobody else can write are private copies here, so clean and dirty are not told apart. */
static struct counts count_pages(const struct mm_area_info *a)
{
    struct counts c = { .size = (a->end - a->start) >> PAGE_SHIFT };
    uintptr_t start, end, at = a->start;
    uint8_t state;

    for (; page_run_next(at, a->end, &start, &end, &state); at = end) {
        size_t pages = (end - start) >> PAGE_SHIFT;

        c.resident += pages;
        c.shared += state & PAGE_SHARED ? pages : 0;
    }
    c.anonymous = a->file ? 0 : c.resident;
    return c;
}

static void show_counts(struct text *t, const struct counts *c)
{
    size_t private = c->resident - c->shared;

    text_print(t, "Rss:            %8zu kB\nPss:            %8zu kB\nPss_Dirty:      %8zu kB\n",
               c->resident * KIB_PER_PAGE, c->resident * KIB_PER_PAGE, private * KIB_PER_PAGE);
    text_print(t,
               "Shared_Clean:   %8zu kB\nShared_Dirty:   %8zu kB\nPrivate_Clean:  %8zu kB\n"
               "Private_Dirty:  %8zu kB\nReferenced:     %8zu kB\nAnonymous:      %8zu kB\n",
               (size_t)0, c->shared * KIB_PER_PAGE, (size_t)0, private * KIB_PER_PAGE,
               c->resident * KIB_PER_PAGE, c->anonymous * KIB_PER_PAGE);
    text_print(t, "LazyFree:              0 kB\nAnonHugePages:         0 kB\n"
                  "ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\n"
                  "Shared_Hugetlb:        0 kB\nPrivate_Hugetlb:       0 kB\n"
                  "Swap:                  0 kB\nSwapPss:               0 kB\n"
                  "Locked:                0 kB\n");
}

static void show_flags(struct text *t, const struct mm_area_info *a)
{
    text_print(t, "THPeligible:    0\nVmFlags:%s%s%s%s mr mw me\n",
               a->prot & PROT_READ ? " rd" : "", a->prot & PROT_WRITE ? " wr" : "",
               a->prot & PROT_EXEC ? " ex" : "", a->flags & MAP_SHARED ? " sh" : "");
}

static int show_area(const struct mm_area_info *a, void *arg)
{
    struct maps *m = arg;
    struct inode_attr attr = { 0 };
    const char *name = a->name ? a->name : "";
    size_t start = m->text->used;

    if (a->file) {
        if (a->file->inode)
            (void)!inode_get_attr(a->file->inode, &attr);
        if (a->file->dentry && dentry_path(a->file->dentry, m->path, PATH_SIZE_MAX) >= 0)
            name = m->path;
        else if (a->file->anon_name)
            name = a->file->anon_name;
    }
    text_print(m->text, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)a->start,
               (unsigned long)a->end, (a->prot & PROT_READ) != 0 ? 'r' : '-',
               (a->prot & PROT_WRITE) != 0 ? 'w' : '-', (a->prot & PROT_EXEC) != 0 ? 'x' : '-',
               (a->flags & MAP_SHARED) != 0 ? 's' : 'p', (unsigned long)(a->file ? a->off : 0),
               (unsigned)(attr.dev >> 8 & 0xfff), (unsigned)(attr.dev & 0xff),
               (unsigned long)attr.ino);
    while (name[0] && !m->text->failed && m->text->used - start < NAME_COLUMN)
        text_add(m->text, " ", 1);
    text_print(m->text, "%s\n", name);
    if (m->is_detailed) {
        struct counts c = count_pages(a);

        text_print(m->text,
                   "Size:           %8zu kB\nKernelPageSize:        4 kB\n"
                   "MMUPageSize:           4 kB\n",
                   c.size * KIB_PER_PAGE);
        show_counts(m->text, &c);
        show_flags(m->text, a);
    }
    return 0;
}

static int show_areas(struct text *t, const struct pseudo_key *k, bool is_detailed)
{
    struct maps m = { .text = t, .path = mem_alloc(PATH_SIZE_MAX), .is_detailed = is_detailed };
    int rc = m.path ? each_area(k, show_area, &m) : -ENOMEM;

    mem_free(m.path);
    return rc;
}

int proc_maps_show(struct text *t, const struct pseudo_key *k)
{
    return show_areas(t, k, false);
}

int proc_smaps_show(struct text *t, const struct pseudo_key *k)
{
    return show_areas(t, k, true);
}

struct rollup {
    uintptr_t start, end;
    struct counts sum;
};

static int add_area(const struct mm_area_info *a, void *arg)
{
    struct rollup *r = arg;
    struct counts c = count_pages(a);

    r->start = r->start ? r->start : a->start;
    r->end = a->end;
    r->sum.resident += c.resident;
    r->sum.shared += c.shared;
    r->sum.anonymous += c.anonymous;
    return 0;
}

int proc_smaps_rollup_show(struct text *t, const struct pseudo_key *k)
{
    struct rollup r = { 0 };
    int rc = each_area(k, add_area, &r);

    if (rc < 0)
        return rc;
    text_print(t, "%08lx-%08lx ---p 00000000 00:00 0 ", (unsigned long)r.start,
               (unsigned long)r.end);
    text_print(t, "                         [rollup]\n");
    show_counts(t, &r.sum);
    return 0;
}

/* ---- pieces of memory ---- */

struct cover {
    uintptr_t at, end; /* what is still to be found */
};

static int cover_area(const struct mm_area_info *a, void *arg)
{
    struct cover *c = arg;

    if (a->start <= c->at && a->end > c->at)
        c->at = MIN(a->end, c->end);
    return c->at == c->end;
}

/* Copies from the memory of p; -EIO where that is not p's, or not there. All processes have one address space, so a
 * range is another's when it is not in p's areas. */
static int read_memory(struct process *p, void *dst, uintptr_t addr, size_t size)
{
    struct cover cover = { addr, addr + size };
    struct mm *mm = proc_mm(p);
    int rc = -EIO;

    if (mm && addr + size >= addr && mm_area_each(mm, cover_area, &cover) == 1)
        rc = user_copy_in_mm(mm, dst, addr, size) < 0 ? -EIO : 0;
    mm_unref(mm);
    return rc;
}

static int strings_show(struct text *t, struct process *p, uintptr_t start, uintptr_t end)
{
    size_t size = end > start ? MIN(end - start, STRINGS_SIZE_MAX) : 0;
    char *bytes = size ? mem_alloc(size) : NULL;
    int rc = 0;

    if (bytes) {
        rc = read_memory(p, bytes, start, size);
        if (rc == 0)
            text_add(t, bytes, size);
        mem_free(bytes);
    }
    return rc;
}

int proc_environ_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    int rc = p ? 0 : -ESRCH;

    if (p && p->mm)
        rc = strings_show(t, p, p->env_start, p->env_end);
    process_unref(p);
    return rc;
}

int proc_cmdline_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    size_t before = t->used;

    if (!p)
        return -ESRCH;
    /* Programs may change it in their memory; what exec was given stands when that cannot be read. */
    if (p->mm && strings_show(t, p, p->arg_start, p->arg_end) < 0) {
        t->used = before;
        mutex_lock(&p->lock);
        if (p->cmdline)
            text_add(t, p->cmdline, p->cmdline_size);
        mutex_unlock(&p->lock);
    }
    process_unref(p);
    return 0;
}

/* The words on the stack at the start: argc, argv, NULL, envp, NULL, auxv. returns: where auxv is; 0: not found. */
static uintptr_t find_auxv(struct process *p, uintptr_t at)
{
    uint64_t word, count;

    if (read_memory(p, &count, at, sizeof count) < 0 || count > STRINGS_SIZE_MAX)
        return 0;
    at += (2 + count) * sizeof word;
    for (count = 0; count < ENV_COUNT_MAX; count++, at += sizeof word) {
        if (read_memory(p, &word, at, sizeof word) < 0)
            return 0;
        if (word == 0)
            return at + sizeof word;
    }
    return 0;
}

int proc_auxv_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    struct mm *mm = p ? proc_mm(p) : NULL;
    struct mm_stats stats = { 0 };
    uint64_t pair[2] = { AT_NULL + 1 };
    uintptr_t at;

    if (mm)
        mm_stats(mm, &stats);
    mm_unref(mm);
    at = mm && stats.stack_start ? find_auxv(p, stats.stack_start) : 0;
    for (unsigned i = 0; at && pair[0] != AT_NULL && i < AUX_COUNT_MAX; i++, at += sizeof pair) {
        if (read_memory(p, pair, at, sizeof pair) < 0)
            break;
        text_add(t, pair, sizeof pair);
    }
    process_unref(p);
    return p ? 0 : -ESRCH;
}
