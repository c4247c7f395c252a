/* SPDX-License-Identifier: Apache-2.0 */
/* Signals about files: see sigio.h. Numbers, codes and who may be told are Linux's. Trusted. */
#include "tee/libos/signal/sigio.h"

#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/lock.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/task.h"

struct sigio {
    uint32_t refs;
    struct sigio_owner owner;
    int32_t signo, fd;
    uint32_t events; /* POLL*, not sent yet */
    bool is_listed;
    uint32_t senders; /* threads that send for it just now */
    struct sigio *next;
};

/* What was noted. lock guards it and what each sigio says; it is a leaf. */
static struct {
    struct spin lock;
    struct sigio *first;
} g_noted;

int sigio_new(struct sigio **ret)
{
    struct sigio *s = mem_zalloc(sizeof *s);

    if (!s)
        return -ENOMEM;
    s->refs = 1;
    s->fd = -1;
    *ret = s;
    return 0;
}

static void unref(struct sigio *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
        mem_free(s);
}

void sigio_end(struct sigio *s)
{
    if (!s)
        return;
    sigio_set_fd(s, -1);
    unref(s);
}

void sigio_set_owner(struct sigio *s, const struct sigio_owner *owner)
{
    spin_lock(&g_noted.lock);
    s->owner = *owner;
    spin_unlock(&g_noted.lock);
}

struct sigio_owner sigio_get_owner(struct sigio *s)
{
    struct sigio_owner owner;

    spin_lock(&g_noted.lock);
    owner = s->owner;
    spin_unlock(&g_noted.lock);
    return owner;
}

void sigio_set_signal(struct sigio *s, int signo)
{
    __atomic_store_n(&s->signo, signo, __ATOMIC_RELAXED);
}

int sigio_get_signal(struct sigio *s)
{
    return __atomic_load_n(&s->signo, __ATOMIC_RELAXED);
}

void sigio_set_fd(struct sigio *s, int fd)
{
    spin_lock(&g_noted.lock);
    s->fd = fd;
    if (fd < 0)
        s->events = 0;
    spin_unlock(&g_noted.lock);
    while (fd < 0 && __atomic_load_n(&s->senders, __ATOMIC_ACQUIRE))
        ocall_yield();
}

void sigio_note(struct sigio *s, uint32_t events)
{
    struct thread *t = current();

    spin_lock(&g_noted.lock);
    if (s->fd >= 0 && s->owner.id) {
        s->events |= events;
        if (!s->is_listed) {
            s->is_listed = true;
            __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
            s->next = g_noted.first;
            g_noted.first = s;
        }
    }
    spin_unlock(&g_noted.lock);
    if (t)
        __atomic_or_fetch(&t->attention, TASK_ATTENTION_SIGIO, __ATOMIC_SEQ_CST);
}

/* ---- sending ---- */

/* Signals whose own codes would be mistaken for a file's. */
static bool has_own_codes(int signo)
{
    return signo == SIGILL || signo == SIGTRAP || signo == SIGFPE || signo == SIGSEGV ||
           signo == SIGBUS || signo == SIGCHLD || signo == SIGSYS;
}

static struct siginfo_linux info_of(int signo, int fd, int code)
{
    static const uint64_t bands[] = { [POLL_IN] = POLLIN | POLLRDNORM,
                                      [POLL_OUT] = POLLOUT | POLLWRNORM | POLLWRBAND,
                                      [POLL_ERR] = POLLERR,
                                      [POLL_PRI] = POLLPRI | POLLRDBAND,
                                      [POLL_HUP] = POLLHUP | POLLERR };
    struct siginfo_linux info = { .signo = signo, .code = has_own_codes(signo) ? SI_SIGIO : code };

    memcpy(info.fields, &bands[code], sizeof bands[code]);
    memcpy(info.fields + sizeof bands[code], &fd, sizeof fd);
    return info;
}

/* May who set the owner send to p? */
static bool is_permitted(const struct sigio_owner *o, const struct process *p)
{
    const struct cred *c = __atomic_load_n(&p->cred, __ATOMIC_ACQUIRE);

    return c && (o->euid == 0 || o->euid == c->suid || o->euid == c->ruid || o->uid == c->suid ||
                 o->uid == c->ruid);
}

static void send_to_group(const struct sigio_owner *o, int signo, const struct siginfo_linux *info)
{
    family_lock();
    for (struct process *p = process_list(); p; p = p->next_all)
        if (p->pgid == o->id && is_permitted(o, p))
            (void)!signal_send_process(p, signo, info);
    family_unlock();
}

static void send(const struct sigio_owner *o, int signo, const struct siginfo_linux *info)
{
    struct process *p;
    struct thread *t;

    if (o->kind == F_OWNER_PGRP) {
        send_to_group(o, signo, info);
    } else if (o->kind == F_OWNER_TID) {
        t = thread_find(o->id);
        if (t && is_permitted(o, t->process))
            (void)!signal_send_thread(t, signo, info);
        thread_unref(t);
    } else {
        p = process_find(o->id);
        if (p && is_permitted(o, p))
            (void)!signal_send_process(p, signo, info);
        process_unref(p);
    }
}

static void send_code(const struct sigio *s, int code)
{
    struct siginfo_linux info;

    if (s->signo == 0) {
        send(&s->owner, SIGIO, NULL);
        return;
    }
    info = info_of(s->signo, s->fd, code);
    send(&s->owner, s->signo, &info);
}

/* `s` is a copy. */
static void send_events(const struct sigio *s)
{
    if (s->events & (POLLIN | POLLRDNORM))
        send_code(s, POLL_IN);
    if (s->events & POLLPRI)
        send_code(s, POLL_PRI);
    if (s->events & (POLLOUT | POLLWRNORM))
        send_code(s, POLL_OUT);
    if (s->events & (POLLIN | POLLRDNORM | POLLPRI | POLLOUT | POLLWRNORM))
        return;
    send_code(s, s->events & POLLHUP ? POLL_HUP : s->events & POLLERR ? POLL_ERR : POLL_IN);
}

void sigio_flush(void)
{
    struct sigio *s, copy;

    __atomic_and_fetch(&current()->attention, ~TASK_ATTENTION_SIGIO, __ATOMIC_SEQ_CST);
    for (;;) {
        spin_lock(&g_noted.lock);
        s = g_noted.first;
        if (s) {
            g_noted.first = s->next;
            copy = *s;
            s->is_listed = false;
            s->events = 0;
            __atomic_add_fetch(&s->senders, 1, __ATOMIC_RELAXED);
        }
        spin_unlock(&g_noted.lock);
        if (!s)
            return;
        if (copy.fd >= 0)
            send_events(&copy);
        __atomic_sub_fetch(&s->senders, 1, __ATOMIC_RELEASE);
        unref(s);
    }
}
