/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that tell about the system, the process and its limits. Trusted. */
#include <asm/errno.h>
#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/random.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/task.h"

#define RANDOM_CHUNK 256u
#define RANDOM_FLAGS 7u /* GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE */

static char g_hostname[__NEW_UTS_LEN + 1] = "cloche";
static uint32_t g_cpus = 1;

const char *task_hostname(void)
{
    return g_hostname;
}

void task_set_hostname(const char *name)
{
    size_t len = strnlen(name, sizeof g_hostname - 1);

    memset(g_hostname, 0, sizeof g_hostname);
    memcpy(g_hostname, name, len);
}

uint32_t cpu_count(void)
{
    return g_cpus;
}

void cpu_set_count(uint32_t count)
{
    g_cpus = MIN(MAX(count, 1u), CPU_COUNT_MAX);
    wait_set_cpu_count(g_cpus);
}

static void put_name(char *dst, const char *src)
{
    memcpy(dst, src, strlen(src) + 1);
}

SYSCALL_DEFINE(uname)
{
    struct new_utsname names;

    memset(&names, 0, sizeof names);
    put_name(names.sysname, "Linux");
    put_name(names.nodename, g_hostname);
    put_name(names.release, "6.1.0-cloche"); /* the interface that is served */
    put_name(names.version, "#1 SMP");
    put_name(names.machine, "x86_64");
    put_name(names.domainname, "(none)");
    return USER_PUT(a, &names) < 0 ? -EFAULT : 0;
}

static void count_process(struct process *p, void *arg)
{
    *(uint16_t *)arg = (uint16_t)(*(uint16_t *)arg + p->thread_count);
}

SYSCALL_DEFINE(sysinfo)
{
    struct sysinfo info;
    size_t used = enclave_pages_used(), limit = enclave_pages_limit();

    memset(&info, 0, sizeof info);
    info.uptime = (long)(clock_boottime_ns() / NS_PER_S);
    info.totalram = limit * PAGE_SIZE;
    info.freeram = (limit - MIN(used, limit)) * PAGE_SIZE;
    info.mem_unit = 1;
    process_each(count_process, &info.procs);
    return USER_PUT(a, &info) < 0 ? -EFAULT : 0;
}

/* ---- limits ---- */

static int set_limit(struct process *p, unsigned resource, const struct rlimit64_pair *new)
{
    struct rlimit64_pair *limit = &p->limits[resource];
    int rc = 0;

    if (new->current > new->maximum)
        return -EINVAL;
    if (resource == RLIMIT_NOFILE && new->maximum > FD_COUNT_MAX)
        return -EPERM;
    mutex_lock(&p->lock);
    if (new->maximum > limit->maximum && process_cred()->euid != 0)
        rc = -EPERM;
    else
        *limit = *new;
    mutex_unlock(&p->lock);
    return rc;
}

static int64_t exchange_limit(struct process *p, uint64_t resource, uintptr_t new_addr,
                              uintptr_t old_addr)
{
    struct rlimit64_pair new, old;
    int rc = 0;

    if (resource >= RLIMIT_COUNT)
        return -EINVAL;
    if (new_addr && USER_GET(&new, new_addr) < 0)
        return -EFAULT;
    mutex_lock(&p->lock);
    old = p->limits[resource];
    mutex_unlock(&p->lock);
    if (new_addr)
        rc = set_limit(p, (unsigned)resource, &new);
    if (rc == 0 && old_addr && USER_PUT(old_addr, &old) < 0)
        rc = -EFAULT;
    return rc;
}

SYSCALL_DEFINE(getrlimit)
{
    return exchange_limit(process_current(), (uint32_t)a, 0, b);
}

SYSCALL_DEFINE(setrlimit)
{
    return b ? exchange_limit(process_current(), (uint32_t)a, b, 0) : -EFAULT;
}

SYSCALL_DEFINE(prlimit64)
{
    struct process *p = process_current();
    int64_t rc;

    if (a == 0 || (int32_t)a == p->pid)
        return exchange_limit(p, (uint32_t)b, c, d);
    p = process_find((int32_t)a);
    if (!p)
        return -ESRCH;
    rc = process_cred()->euid == 0 ? exchange_limit(p, (uint32_t)b, c, d) : -EPERM;
    process_unref(p);
    return rc;
}

/* ---- the rest ---- */

SYSCALL_DEFINE(getrandom)
{
    uint8_t chunk[RANDOM_CHUNK];
    uint64_t done = 0, size = MIN(b, (uint64_t)INT32_MAX);

    if (c & ~(uint64_t)RANDOM_FLAGS || (c & 6) == 6)
        return -EINVAL;
    while (done < size) {
        size_t part = MIN(size - done, sizeof chunk);

        random_bytes(chunk, part);
        if (user_copy_out(a + done, chunk, part) < 0)
            return done ? (int64_t)done : -EFAULT;
        done += part;
    }
    memset(chunk, 0, sizeof chunk);
    __asm__ volatile("" : : "r"(chunk) : "memory"); /* the wipe stays */
    return (int64_t)done;
}

SYSCALL_DEFINE(sethostname)
{
    return -EPERM;
}

SYSCALL_DEFINE(setdomainname)
{
    return -EPERM;
}

SYSCALL_DEFINE(syslog)
{
    return -EPERM;
}

SYSCALL_DEFINE(reboot)
{
    return -EPERM;
}

SYSCALL_DEFINE(personality)
{
    struct process *p = process_current();
    uint32_t old = p->personality;

    if ((uint32_t)a == UINT32_MAX)
        return old;
    if (((uint32_t)a & 0xff) != 0)
        return -EINVAL; /* PER_LINUX is all there is; flags such as ADDR_NO_RANDOMIZE are kept */
    p->personality = (uint32_t)a;
    return old;
}
