/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library OS starts: process 1, mounts, standard streams, the agent (tee/agent), which starts the workload.
 * Trusted. A start that fails says in one line what is wrong, and ends with a status of abi/agent.h.
 */
#include "tee/enclave/start.h"

#include <asm/errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

#include "abi/agent.h"
#include "abi/start.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/tsm/tsm.h"
#include "tee/libos/fs/tty/tty.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/report.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/start_policy.h"
#include "tee/libos/task/rseq.h"
#include "tee/libos/task/task.h"

#define STATUS_REFUSED 3
#define STDIO_COUNT 3
#define HOST_FILE_SIZE_MAX (64u << 10)
/* The digests in hexadecimal, number, two signals, spaces; the URLs. */
#define SERVER_WORDS_SIZE (256u + DESCRIPTOR_URLS_MAX * (DESCRIPTOR_URL_LEN_MAX + 1))

NORETURN static void fail(const char *what, int rc)
{
    log_line("cannot start: %s (error %d)", what, -rc);
    enclave_exit(AGENT_STATUS_SETUP);
}

/* ---- process 1 ---- */

/* Root, and it stays so: the agent makes the workload the image's user. */
static struct thread *make_init(void)
{
    struct cred cred = { .cap_effective = CAP_CONTAINER, .cap_permitted = CAP_CONTAINER };
    struct process *p;
    struct thread *t;
    int rc = process_new(NULL, &p);

    if (rc < 0)
        fail("no memory for the first process", rc);
    p->sig = sig_state_new();
    rc = p->sig ? thread_new(p, true, &t) : -ENOMEM;
    if (rc < 0)
        fail("no memory for the first thread", rc);
    t->slot = tcb_self()->slot;
    thread_set_name(t, "cloche");
    tcb_self()->current = t;
    rc = process_set_cred(p, &cred);
    if (rc == 0)
        rc = fd_table_new(&p->fds);
    if (rc < 0)
        fail("no memory for the first process", rc);
    process_publish(p);
    return t;
}

/* ---- mounts ---- */

static void mount_at(int new_rc, struct super *s, const char *source, const char *path)
{
    int rc = new_rc;

    if (rc == 0)
        rc = vfs_folder_make(path);
    if (rc == 0)
        rc = vfs_mount(s, source, path);
    if (rc < 0) {
        log_line("cannot start: mounting %s on %s failed (error %d)", source, path, -rc);
        enclave_exit(AGENT_STATUS_SETUP);
    }
}

static void mount_descriptor(const struct descriptor *d)
{
    uint32_t host_index = 0;

    for (uint32_t i = 0; i < d->mounts_count; i++) {
        const struct descriptor_mount *m = &d->mounts[i];
        struct super *s = NULL;
        int rc;

        if (m->kind == DESCRIPTOR_MOUNT_HOST) {
            rc = hostfs_new(host_index++, m->read_only, &s);
            mount_at(rc, s, "host", m->path);
        } else {
            rc = tmpfs_new(m->size, 01777, &s);
            if (rc == 0 && m->read_only)
                s->flags |= MS_RDONLY;
            mount_at(rc, s, "tmpfs", m->path);
        }
    }
}

static void mount_all(const struct start_info *start, struct process *p)
{
    struct super *s = NULL;
    int rc = rootfs_new(start, &s);

    if (rc == 0)
        rc = vfs_mount(s, "overlay", "/");
    if (rc == 0)
        rc = fs_context_initial(&p->fs);
    if (rc < 0)
        fail("the root file system cannot be opened", rc);
    rc = procfs_new(&s);
    mount_at(rc, s, "proc", "/proc");
    rc = sysfs_new(&s);
    mount_at(rc, s, "sysfs", "/sys");
    rc = cgroupfs_new(start, &s);
    mount_at(rc, s, "cgroup2", "/sys/fs/cgroup");
    rc = configfs_new(&s);
    mount_at(rc, s, "configfs", "/sys/kernel/config");
    rc = devfs_new(start, &s);
    mount_at(rc, s, "devtmpfs", "/dev");
    rc = devptsfs_new(&s);
    mount_at(rc, s, "devpts", "/dev/pts");
    rc = tmpfs_new(0, 01777, &s);
    mount_at(rc, s, "shm", "/dev/shm");
    mount_descriptor(start->descriptor);
    if (start->descriptor->server) {
        rc = tmpfs_new(AGENT_DELIVERY_SIZE_MAX, 0755, &s);
        mount_at(rc, s, "tmpfs", AGENT_RUN_FOLDER);
        rc = tmpfs_new(AGENT_DELIVERY_SIZE_MAX, 0755, &s);
        mount_at(rc, s, "tmpfs", AGENT_SECRETS_FOLDER);
    }
}

/* ---- files of the host ---- */

static void write_file(const char *path, char *bytes, size_t size)
{
    struct file *f;
    struct uio u;
    uint64_t pos = 0;
    int64_t rc = file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &f);

    if (rc == 0) {
        uio_init_kernel(&u, bytes, size);
        rc = f->ops->write ? f->ops->write(f, &u, &pos) : -EINVAL;
        uio_done(&u);
        file_unref(f);
    }
    if (rc < 0)
        log_line("%s of the host could not be written (error %d)", path, (int)-rc);
}

/* The host's host name: letters, digits, '-' and '.', or nothing. */
static void take_hostname(char *text, size_t size)
{
    size_t len = 0;

    while (len < size && text[len] != '\n')
        len++;
    if (len == 0 || len > 64)
        return;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.'))
            return;
    }
    text[len] = 0;
    task_set_hostname(text);
}

static void take_host_files(const struct descriptor *d)
{
    static const char *const names[] = { "resolv.conf", "hosts", "hostname" };
    CLEANUP(mem_freep)
    char *bytes = mem_alloc(HOST_FILE_SIZE_MAX + 1);
    char path[64];

    for (unsigned i = 0; bytes && i < ARRAY_COUNT(names); i++) {
        int size = ocall_host_file(names[i], bytes, HOST_FILE_SIZE_MAX);

        if (size < 0)
            continue;
        format(path, sizeof path, "/etc/%s", names[i]);
        write_file(path, bytes, (size_t)size);
        if (strcmp(names[i], "hostname") == 0 && !(d->hostname && d->hostname[0]))
            take_hostname(bytes, (size_t)size);
    }
}

/* Standard streams that are one open terminal. It is nobody's yet: the agent gives it to the workload's session. */
static void open_terminal(const struct start_info *start)
{
    struct file *f = NULL;
    int rc = console_start(start->descriptor->uid, (start->flags & START_TTY_INPUT) != 0);

    if (rc == 0)
        rc = file_open("/dev/pts/0", O_RDWR | O_NOCTTY, 0, &f);
    for (int i = 0; i < STDIO_COUNT && rc >= 0; i++) {
        file_ref(f);
        rc = fd_install(f, false, i);
    }
    if (rc < 0)
        fail("the terminal", rc);
    file_unref(f);
}

static void open_stdio(const struct start_info *start)
{
    if (start->flags & START_TTY) {
        open_terminal(start);
        return;
    }
    for (int i = 0; i < STDIO_COUNT; i++) {
        struct file *f;
        int rc = stdio_file_new(i, start->stdio_tty >> i & 1, &f);

        if (rc == 0)
            rc = fd_install(f, false, i);
        if (rc != i)
            fail("standard streams", rc);
    }
}

/* ---- the agent ---- */

static int add_number(struct string_list *l, const char *prefix, uint32_t value)
{
    char text[12];

    format(text, sizeof text, "%u", value);
    return string_list_add(l, prefix, text);
}

/* "5,6,7": joined to one string. */
static int add_groups(struct string_list *l, const struct descriptor *d)
{
    char text[GROUPS_MAX * 11 + 1] = "";
    uint32_t count = MIN(d->groups_count, GROUPS_MAX);
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++)
        size += (size_t)format(text + size, sizeof text - size, i ? ",%u" : "%u", d->groups[i]);
    return string_list_add(l, "", text);
}

/* enum agent_server_word. */
static int add_server(struct string_list *l, const struct start_info *start)
{
    const struct descriptor *d = start->descriptor;
    const struct descriptor_server *s = d->server;
    CLEANUP(mem_freep)
    char *text = mem_alloc(SERVER_WORDS_SIZE);
    size_t size = 0;

    if (!s)
        return string_list_add(l, "", "");
    if (!text)
        return -ENOMEM;
    for (unsigned i = 0; i < sizeof s->ca_key_sha256; i++)
        size += (size_t)format(text + size, SERVER_WORDS_SIZE - size, "%02x", s->ca_key_sha256[i]);
    size += (size_t)format(text + size, SERVER_WORDS_SIZE - size, " ");
    for (unsigned i = 0; i < SHA384_SIZE; i++)
        size += (size_t)format(text + size, SERVER_WORDS_SIZE - size, "%02x", start->app_digest[i]);
    size += (size_t)format(text + size, SERVER_WORDS_SIZE - size, " %u %s %s", s->start_limit_s,
                           d->stop_signal, s->reload_signal[0] ? s->reload_signal : "-");
    for (uint32_t i = 0; i < s->urls_count && size < SERVER_WORDS_SIZE; i++)
        size += (size_t)format(text + size, SERVER_WORDS_SIZE - size, " %s", s->urls[i]);
    return size < SERVER_WORDS_SIZE ? string_list_add(l, "", text) : -E2BIG;
}

/* The agent's arguments (abi/agent.h), the workload's behind them. */
static int agent_args(const struct start_info *start, const struct exec_strings *workload,
                      struct exec_strings *ret)
{
    const struct descriptor *d = start->descriptor;
    struct string_list list = { 0 };
    const char *s = workload->bytes;
    int rc = string_list_add(&list, "", AGENT_PATH);

    if (rc == 0)
        rc = add_number(&list, "", d->uid);
    if (rc == 0)
        rc = add_number(&list, "", d->gid);
    if (rc == 0)
        rc = add_groups(&list, d);
    if (rc == 0)
        rc = string_list_add(&list, "", d->workdir ? d->workdir : "");
    if (rc == 0)
        rc = add_server(&list, start);
    for (size_t i = 0; i < workload->count && rc == 0; i++, s += strlen(s) + 1)
        rc = string_list_add(&list, "", s);
    if (rc < 0)
        strings_done(&list.strings);
    else
        *ret = list.strings;
    return rc;
}

NORETURN static void run_agent(const struct start_info *start)
{
    struct exec_strings workload = { 0 }, args = { 0 }, env = { 0 };
    char *path = mem_strdup(AGENT_PATH);
    int rc = start_args(start, &workload);

    if (rc == -EPERM)
        enclave_exit(STATUS_REFUSED);
    if (rc == -EINVAL)
        enclave_exit(AGENT_STATUS_CANNOT_RUN);
    if (rc == 0)
        rc = path ? agent_args(start, &workload, &args) : -ENOMEM;
    strings_done(&workload);
    if (rc == 0)
        rc = start_env(start, &env);
    if (rc < 0)
        fail("arguments and environment", rc);
    rc = process_exec(path, &args, &env);
    fail(rc == -ENOENT ? "the image has no agent: seal it with this version"
                       : "the agent cannot be executed",
         rc);
}

NORETURN void libos_start(const struct start_info *start)
{
    const struct descriptor *d = start->descriptor;
    struct thread *t;

    syscall_report_init((start->flags & START_EXPLAIN) != 0);
    task_limits(d->threads_max ? d->threads_max : UINT32_MAX);
    cpu_set_count(start->cpu_count);
    rseq_init(cpu_count(), d->threads_max ? d->threads_max : UINT32_MAX);
    t = make_init();
    mount_all(start, t->process);
    if (d->hostname && d->hostname[0])
        task_set_hostname(d->hostname);
    if (d->host_files)
        take_host_files(d);
    open_stdio(start);
    run_agent(start);
}
