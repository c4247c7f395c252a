/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_fs.h. */
#include "tests/unit/libos/fake_fs.h"

#include "lib/verity.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/random.h"
#include "tee/enclave/uptr.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/fs/dev/dev.h"
#include "tee/libos/fs/pipe/pipe.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/tty/tty.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/group.h"

#include <asm/prctl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct tcb g_tcb;
static struct thread g_thread;
static struct process g_process;
static struct cred g_cred;
static unsigned g_log_count;
static char g_log_last[512];
static long g_pages, g_fail_after = -1;

void fake_fs_init(void)
{
    g_cred = (struct cred){ .refs = 1, .cap_effective = ~0ull, .cap_permitted = ~0ull };
    g_process.refs = 1;
    g_process.pid = 1;
    g_process.thread_count = 1;
    g_process.cred = &g_cred;
    g_process.umask = 022;
    for (int i = 0; i < RLIMIT_COUNT; i++)
        g_process.limits[i] = (struct rlimit64_pair){ UINT64_MAX, UINT64_MAX };
    g_process.limits[7] = (struct rlimit64_pair){ 1024, 4096 };
    g_thread.process = &g_process;
    g_thread.tid = 1;
    g_process.threads = &g_thread;
    g_tcb.self = &g_tcb;
    g_tcb.current = &g_thread;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &g_tcb);
}

struct process *fake_fs_process(void)
{
    return &g_process;
}

unsigned fake_fs_log_count(void)
{
    return g_log_count;
}

const char *fake_fs_log_last(void)
{
    return g_log_last;
}

long fake_fs_pages(void)
{
    return g_pages;
}

void fake_fs_fail_after(long count)
{
    g_fail_after = count;
}

/* ---- memory ---- */

static int fails(void)
{
    if (g_fail_after < 0)
        return 0;
    if (g_fail_after == 0)
        return 1;
    g_fail_after--;
    return 0;
}

void *mem_alloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

void *mem_zalloc(size_t size)
{
    return fails() ? NULL : calloc(1, size);
}

void *mem_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return fails() ? NULL : realloc(ptr, size);
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_freep(void *ptr_to_ptr)
{
    free(*(void **)ptr_to_ptr);
}

char *mem_strdup(const char *s)
{
    return fails() ? NULL : strdup(s);
}

void *page_alloc(size_t count)
{
    void *p = fails() ? NULL : aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);

    if (p)
        g_pages += (long)count;
    return p;
}

void page_free(void *pages, size_t count)
{
    if (pages)
        g_pages -= (long)count;
    free(pages);
}

size_t enclave_pages_used(void)
{
    return 1000;
}

size_t enclave_pages_limit(void)
{
    return 100000;
}

int enclave_protect(uint64_t addr, size_t count, int old_prot, int new_prot)
{
    (void)addr, (void)count, (void)old_prot, (void)new_prot;
    return 0;
}

/* ---- outside memory ---- */

bool uptr_is_outside(struct uptr src, uint64_t size)
{
    (void)src, (void)size;
    return true;
}

int uptr_read(void *dst, struct uptr src, size_t size)
{
    memcpy(dst, (const void *)(uintptr_t)src.addr, size);
    return 0;
}

/* ---- program memory ---- */

struct mm *mm_current(void)
{
    return NULL;
}

void mm_file_cut(struct mm *mm, const struct inode *inode, uint64_t size)
{
    (void)mm, (void)inode, (void)size;
}

int mm_shared_copy(uintptr_t addr, void *dst, const void *src, size_t size)
{
    if (dst)
        memcpy(dst, (const void *)addr, size);
    else if (src)
        memcpy((void *)addr, src, size);
    else
        memset((void *)addr, 0, size);
    return 0;
}

int user_copy_in(void *dst, uintptr_t src, size_t size)
{
    if (src == 0 && size > 0)
        return -EFAULT;
    memcpy(dst, (const void *)src, size);
    return 0;
}

int user_copy_out(uintptr_t dst, const void *src, size_t size)
{
    if (dst == 0 && size > 0)
        return -EFAULT;
    memcpy((void *)dst, src, size);
    return 0;
}

int user_zero(uintptr_t dst, size_t size)
{
    memset((void *)dst, 0, size);
    return 0;
}

int64_t user_str_in(char *dst, uintptr_t src, size_t size)
{
    size_t len;

    if (src == 0)
        return -EFAULT;
    len = strnlen((const char *)src, size);
    if (len == size)
        return -ENAMETOOLONG;
    memcpy(dst, (const void *)src, len + 1);
    return (int64_t)len;
}

void uio_init_user(struct uio *u, uintptr_t base, size_t size)
{
    *u = (struct uio){ .count = 1, .left = size };
    u->inline_segments[0] = (struct user_iovec){ base, size };
    u->segments = u->inline_segments;
}

void uio_init_kernel(struct uio *u, void *base, size_t size)
{
    uio_init_user(u, (uintptr_t)base, size);
    u->is_kernel = true;
}

int uio_init_iovec(struct uio *u, uintptr_t iov, size_t count)
{
    if (count > UIO_SEGMENTS_INLINE)
        return -EINVAL;
    *u = (struct uio){ .count = (unsigned)count };
    memcpy(u->inline_segments, (const void *)iov, count * sizeof u->inline_segments[0]);
    u->segments = u->inline_segments;
    for (size_t i = 0; i < count; i++)
        u->left += u->segments[i].size;
    return 0;
}

void uio_done(struct uio *u)
{
    (void)u;
}

static int64_t move(struct uio *u, const void *src, void *dst, size_t size)
{
    size_t done = 0;

    size = MIN(size, u->left);
    while (done < size) {
        struct user_iovec *v = &u->segments[u->index];
        size_t part = MIN(size - done, v->size - u->off);

        if (part == 0) {
            u->index++;
            u->off = 0;
            continue;
        }
        if (src)
            memcpy((char *)v->base + u->off, (const char *)src + done, part);
        else if (dst)
            memcpy((char *)dst + done, (const char *)v->base + u->off, part);
        else
            memset((char *)v->base + u->off, 0, part);
        u->off += part;
        done += part;
    }
    u->left -= done;
    return (int64_t)done;
}

int64_t uio_put(struct uio *u, const void *src, size_t size)
{
    return move(u, src, NULL, size);
}

int64_t uio_get(struct uio *u, void *dst, size_t size)
{
    return move(u, NULL, dst, size);
}

int64_t uio_put_zero(struct uio *u, size_t size)
{
    return move(u, NULL, NULL, size);
}

/* ---- locks, waiting: one thread; a second lock of the same mutex would hang, so it ends the test ---- */

void mutex_lock(struct mutex *m)
{
    if (m->state)
        abort();
    m->state = 1;
}

bool mutex_try(struct mutex *m)
{
    if (m->state)
        return false;
    m->state = 1;
    return true;
}

void mutex_unlock(struct mutex *m)
{
    m->state = 0;
}

void waiter_init(struct waiter *w)
{
    memset(w, 0, sizeof *w);
}

void waitq_add(struct waitq *q, struct waiter *w)
{
    (void)q, (void)w;
}

void waitq_remove(struct waiter *w)
{
    (void)w;
}

unsigned wait_wake(struct waitq *q, unsigned count, uint32_t key)
{
    (void)q, (void)count, (void)key;
    return 0;
}

int wait_sleep(struct wait_host *hosts, unsigned count, uint64_t deadline_ns, bool interruptible)
{
    (void)hosts, (void)count, (void)deadline_ns, (void)interruptible;
    return -ERESTARTSYS;
}

/* ---- the rest ---- */

void log_line(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(g_log_last, sizeof g_log_last, fmt, args);
    va_end(args);
    g_log_count++;
}

int format_v(char *dst, size_t size, const char *fmt, va_list args)
{
    return vsnprintf(dst, size, fmt, args);
}

int format(char *dst, size_t size, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(dst, size, fmt, args);
    va_end(args);
    return len;
}

static uint64_t now(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t clock_realtime_ns(void)
{
    return now(CLOCK_REALTIME);
}

uint64_t clock_monotonic_ns(void)
{
    return now(CLOCK_MONOTONIC);
}

void random_bytes(void *dst, size_t size)
{
    memset(dst, 0x5a, size);
}

const struct cred *process_cred(void)
{
    return g_process.cred;
}

bool cred_has_group(const struct cred *c, uint32_t gid)
{
    for (uint32_t i = 0; i < c->group_count; i++)
        if (c->groups[i] == gid)
            return true;
    return false;
}

struct thread *thread_current(void)
{
    return &g_thread;
}

struct process *process_find(int32_t pid)
{
    return pid == 1 ? &g_process : NULL;
}

void process_unref(struct process *p)
{
    (void)p;
}

bool signal_pending(void)
{
    return false;
}

int signal_send_thread(struct thread *t, int signo, const struct siginfo_linux *info)
{
    (void)t, (void)signo, (void)info;
    return 0;
}

void syscall_unsupported(const char *what, const char *advice)
{
    (void)what, (void)advice;
}

void file_async_gone(struct file *f)
{
    (void)f;
}

void epoll_file_gone(struct file *f)
{
    (void)f;
}

int fifo_open(struct inode *inode, struct file *f)
{
    (void)inode, (void)f;
    return -ENXIO;
}

int64_t pipe_get_size(struct file *f)
{
    (void)f;
    return -EBADF;
}

int64_t pipe_set_size(struct file *f, uint64_t size)
{
    (void)f, (void)size;
    return -EBADF;
}

int dev_cloche_open(struct file *f)
{
    return -ENXIO;
}

int stdio_file_new(int host_fd, bool tty, struct file **ret)
{
    (void)host_fd, (void)tty, (void)ret;
    return -ENXIO;
}

/* ---- hash trees ---- */

uint8_t *fake_fs_tree(const uint8_t *data, size_t size, const uint8_t *salt, size_t salt_size,
                      size_t *ret_size, uint8_t ret_root[32])
{
    struct verity_layout l;
    const uint8_t *below = data;
    uint64_t below_blocks = size / VERITY_BLOCK_SIZE;
    uint8_t *tree;

    if (verity_layout_init(below_blocks, &l) < 0)
        return NULL;
    tree = calloc(l.tree_blocks, VERITY_BLOCK_SIZE);
    if (!tree)
        return NULL;
    for (unsigned level = 0; level < l.levels; level++) {
        uint8_t *at = tree + l.level_block[level] * VERITY_BLOCK_SIZE;

        for (uint64_t i = 0; i < below_blocks; i++)
            verity_block_hash(salt, salt_size, below + i * VERITY_BLOCK_SIZE, at + i * 32);
        below = at;
        below_blocks = l.level_blocks[level];
    }
    verity_block_hash(salt, salt_size, below, ret_root);
    *ret_size = l.tree_blocks * VERITY_BLOCK_SIZE;
    return tree;
}

/* ---- terminals ---- */

int tty_open_current(struct file *f)
{
    (void)f;
    return -ENXIO;
}

int tty_open_console(struct file *f)
{
    (void)f;
    return -ENXIO;
}

int tty_open_ptmx(struct file *f)
{
    (void)f;
    return -ENXIO;
}

/* ---- owners of descriptors ---- */

struct thread *thread_find(int32_t tid)
{
    (void)tid;
    return NULL;
}

void thread_unref(struct thread *t)
{
    (void)t;
}

int group_signal(int32_t pgid, int signo, const struct siginfo_linux *info)
{
    (void)pgid, (void)signo, (void)info;
    return -ESRCH;
}

/* ---- whom files tell (O_ASYNC): nobody ---- */

int file_async_set(struct file *f, int fd, bool on)
{
    (void)f, (void)fd, (void)on;
    return -ENOMEM;
}

int file_owner_set(struct file *f, int32_t kind, int32_t id)
{
    (void)f, (void)kind, (void)id;
    return -ESRCH;
}

int32_t file_owner_get(struct file *f, int32_t *ret_kind)
{
    (void)f;
    *ret_kind = 0;
    return 0;
}

int file_plain_owner_set(struct file *f, int32_t owner)
{
    (void)f, (void)owner;
    return -ESRCH;
}

int32_t file_plain_owner_get(struct file *f)
{
    (void)f;
    return 0;
}

int file_signal_set(struct file *f, int signo)
{
    (void)f, (void)signo;
    return -ENOMEM;
}

int file_signal_get(struct file *f)
{
    (void)f;
    return 0;
}
