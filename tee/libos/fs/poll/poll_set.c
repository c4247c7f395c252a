/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for one of many files. A first look registers nowhere; only a caller that must sleep adds itself to the
 * files' queues. All host descriptors of the set are asked with one OCALL. Trusted.
 */
#include "tee/libos/fs/poll/poll_set.h"

#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/signal.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/signal/signal.h"

#define SIG_BIT(n) (1ull << ((n)-1))
#define WAITERS_INLINE 10u
#define HOSTS_INLINE 8u
#define CHUNK_WAITERS 64u
/* A set with more host descriptors than one OCALL can watch is looked at in rounds. */
#define ROUND_NS 10000000u

struct waiter_chunk {
    struct waiter_chunk *next;
    unsigned count;
    struct waiter waiters[CHUNK_WAITERS];
};

struct poll_set {
    struct poll_table table;
    struct waiter waiters[WAITERS_INLINE];
    unsigned waiter_count;
    struct waiter_chunk *chunks;
    struct wait_host *hosts; /* hosts_inline or heap */
    uint32_t *host_items;    /* index of the item that owns hosts[i] */
    unsigned host_count, host_space;
    unsigned item; /* the one being asked */
    bool failed;   /* out of memory */
    struct wait_host hosts_inline[HOSTS_INLINE];
    uint32_t host_items_inline[HOSTS_INLINE];
};

static void set_add(struct poll_table *pt, struct waitq *q)
{
    struct poll_set *s = CONTAINER_OF(pt, struct poll_set, table);
    struct waiter *w;

    if (s->waiter_count < WAITERS_INLINE) {
        w = &s->waiters[s->waiter_count++];
    } else {
        if (!s->chunks || s->chunks->count == CHUNK_WAITERS) {
            struct waiter_chunk *c = mem_zalloc(sizeof *c);

            if (!c) {
                s->failed = true;
                return;
            }
            c->next = s->chunks;
            s->chunks = c;
        }
        w = &s->chunks->waiters[s->chunks->count++];
    }
    waiter_init(w);
    waitq_add(q, w);
}

static void grow_hosts(struct poll_set *s)
{
    unsigned space = s->host_space * 4;
    struct wait_host *hosts = mem_calloc(space, sizeof *hosts);
    uint32_t *items = mem_calloc(space, sizeof *items);

    if (!hosts || !items) {
        mem_free(hosts);
        mem_free(items);
        s->failed = true;
        return;
    }
    memcpy(hosts, s->hosts, s->host_count * sizeof *hosts);
    memcpy(items, s->host_items, s->host_count * sizeof *items);
    if (s->hosts != s->hosts_inline) {
        mem_free(s->hosts);
        mem_free(s->host_items);
    }
    s->hosts = hosts;
    s->host_items = items;
    s->host_space = space;
}

static void set_add_host(struct poll_table *pt, int host_fd, uint16_t events)
{
    struct poll_set *s = CONTAINER_OF(pt, struct poll_set, table);

    if (s->host_count == s->host_space)
        grow_hosts(s);
    if (s->host_count == s->host_space)
        return;
    s->hosts[s->host_count] = (struct wait_host){ .host_fd = host_fd, .events = events };
    s->host_items[s->host_count++] = s->item;
}

static void set_init(struct poll_set *s)
{
    s->table = (struct poll_table){ .add_host = set_add_host };
    s->waiter_count = s->host_count = 0;
    s->chunks = NULL;
    s->failed = false;
    s->hosts = s->hosts_inline;
    s->host_items = s->host_items_inline;
    s->host_space = HOSTS_INLINE;
}

static void remove_waiters(struct poll_set *s)
{
    for (unsigned i = 0; i < s->waiter_count; i++)
        waitq_remove(&s->waiters[i]);
    s->waiter_count = 0;
    while (s->chunks) {
        struct waiter_chunk *c = s->chunks;

        for (unsigned i = 0; i < c->count; i++)
            waitq_remove(&c->waiters[i]);
        s->chunks = c->next;
        mem_free(c);
    }
    s->host_count = 0;
}

static void set_done(struct poll_set *s)
{
    remove_waiters(s);
    if (s->hosts != s->hosts_inline) {
        mem_free(s->hosts);
        mem_free(s->host_items);
    }
}

static uint16_t item_mask(const struct poll_item *item)
{
    return item->events | POLLERR | POLLHUP;
}

/* Asks every file; returns how many are ready by what is known inside. */
static int look(struct poll_set *s, struct poll_item *items, unsigned count)
{
    int ready = 0;

    for (s->item = 0; s->item < count; s->item++) {
        struct poll_item *item = &items[s->item];
        uint32_t bits;

        if (!item->file)
            continue;
        if (item->file->ops->poll) {
            unsigned first = s->host_count;

            bits = item->file->ops->poll(item->file, &s->table);
            for (unsigned i = first; i < s->host_count; i++)
                s->hosts[i].events &= item->events;
        } else {
            bits = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
        }
        item->revents = (uint16_t)bits & item_mask(item);
        ready += item->revents != 0;
    }
    return ready;
}

/* Adds what the host said. */
static int merge_hosts(struct poll_set *s, struct poll_item *items)
{
    int ready = 0;

    for (unsigned i = 0; i < s->host_count; i++) {
        struct poll_item *item = &items[s->host_items[i]];
        uint16_t bits = s->hosts[i].revents;

        if (bits & POLLNVAL)
            bits |= POLLERR; /* the host refused to watch: the file's own calls will tell why */
        bits &= item_mask(item);
        ready += bits && !item->revents;
        item->revents |= bits;
        s->hosts[i].revents = 0;
    }
    return ready;
}

_Static_assert(sizeof(struct wait_host) == sizeof(struct ocall_pollfd) &&
                   offsetof(struct wait_host, revents) == offsetof(struct ocall_pollfd, revents),
               "a host descriptor of a set is what the OCALL takes");

/* One look at all host descriptors, without sleeping. */
static int look_hosts(struct poll_set *s, struct poll_item *items)
{
    for (unsigned i = 0; i < s->host_count; i += OCALL_POLL_COUNT_MAX) {
        unsigned n = MIN(s->host_count - i, OCALL_POLL_COUNT_MAX);
        int rc = ocall_poll((struct ocall_pollfd *)&s->hosts[i], n, 0);

        if (rc < 0)
            return rc == -EINVAL ? -ENOMEM : rc;
    }
    return merge_hosts(s, items);
}

static int sleep_once(struct poll_set *s, uint64_t deadline_ns)
{
    if (s->host_count <= OCALL_POLL_COUNT_MAX)
        return wait_sleep(s->hosts, s->host_count, deadline_ns, true);

    uint64_t round_ns = clock_monotonic_ns() + ROUND_NS;
    int rc = wait_sleep(s->hosts, OCALL_POLL_COUNT_MAX, MIN(round_ns, deadline_ns), true);

    return rc == -ETIMEDOUT && deadline_ns > round_ns ? 0 : rc;
}

static int wait_registered(struct poll_set *s, struct poll_item *items, unsigned count,
                           uint64_t deadline_ns)
{
    for (;;) {
        remove_waiters(s);
        s->table.add = set_add;

        int ready = look(s, items, count);
        if (s->failed)
            return -ENOMEM;
        if (s->host_count > OCALL_POLL_COUNT_MAX && !ready)
            ready = look_hosts(s, items);
        if (ready)
            return ready;

        int rc = sleep_once(s, deadline_ns);
        ready = merge_hosts(s, items);
        s->table.add = NULL;
        if (rc == -ETIMEDOUT || (rc < 0 && ready)) {
            /* The last look, as the time may have come together with the event. */
            unsigned host_count = s->host_count;

            if (!ready) {
                ready = look(s, items, count);
                s->host_count = host_count;
            }
            return ready;
        }
        if (rc < 0)
            return rc;
        if (ready)
            return ready;
    }
}

int poll_set_wait(struct poll_item *items, unsigned count, uint64_t deadline_ns)
{
    struct poll_set s;
    int rc;

    set_init(&s);
    rc = look(&s, items, count);
    if (s.failed)
        rc = -ENOMEM;
    if (rc >= 0 && s.host_count && (rc > 0 || deadline_ns == 0)) {
        int hosts = look_hosts(&s, items);

        rc = hosts < 0 ? hosts : rc + hosts;
    }
    if (rc == 0 && deadline_ns != 0)
        rc = wait_registered(&s, items, count, deadline_ns);
    set_done(&s);
    return rc;
}

static void set_mask(struct thread *t, uint64_t mask)
{
    __atomic_store_n(&t->sig_mask, mask & ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP)), __ATOMIC_SEQ_CST);
    /* What pends may be unblocked by now: signal_pending() looks only when told so. */
    __atomic_or_fetch(&t->attention, TASK_ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
}

int poll_sigmask_begin(uintptr_t mask, size_t size)
{
    struct thread *t = thread_current();
    uint64_t bits;

    if (!mask)
        return 0;
    if (size != sizeof bits)
        return -EINVAL;
    int rc = user_copy_in(&bits, mask, sizeof bits);
    if (rc < 0)
        return rc;
    t->sig_mask_saved = t->sig_mask;
    t->sig_mask_restore = true;
    set_mask(t, bits);
    return 0;
}

int64_t poll_sigmask_end(int64_t rc, int interrupted)
{
    struct thread *t = thread_current();

    if (rc == -ERESTARTSYS)
        return interrupted; /* signal_handle() restores the mask after the handler's frame is made */
    if (t->sig_mask_restore) {
        t->sig_mask_restore = false;
        set_mask(t, t->sig_mask_saved);
    }
    return rc;
}
