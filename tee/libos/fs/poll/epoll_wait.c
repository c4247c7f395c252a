/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting events of an epoll. Trusted; the host's answers only choose which entries are reported. */
#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/epoll.h"
#include "tee/libos/signal/signal.h"

#define SLEEP_HOSTS_INLINE 16u
/* More host descriptors than one OCALL watches are looked at in rounds. */
#define ROUND_NS 10000000u

/* A snapshot of the epoll's host descriptors for one OCALL. */
struct host_view {
    struct wait_host *hosts; /* hosts_inline or heap */
    uint32_t *index;         /* hosts[i] is ep->hosts[index[i]] as of `version` */
    unsigned count;
    uint32_t version;
    struct wait_host hosts_inline[SLEEP_HOSTS_INLINE];
    uint32_t index_inline[SLEEP_HOSTS_INLINE];
};

/* Events that the host is to be asked for on behalf of h. *ret_wanted: whether at all (ERR and HUP are always told by
 * poll(2), but an edge that was reported must not be reported again). */
static uint16_t host_events(const struct epoll_host *h, bool *ret_wanted)
{
    const struct epoll_item *item = h->item;
    uint16_t events = (uint16_t)item->events & h->events;

    *ret_wanted = (item->events & ~EPOLL_FLAGS) != 0;
    if (item->file->ops == &g_epoll_ops)
        return h->events;
    if (!(item->events & EPOLLET))
        return events;
    events &= (uint16_t)item->host_armed;
    *ret_wanted &= events || (item->host_armed & (EPOLLERR | EPOLLHUP));
    return events;
}

static int view_take(struct host_view *v, struct epoll *ep)
{
    v->hosts = v->hosts_inline;
    v->index = v->index_inline;
    v->count = 0;
    v->version = ep->host_version;
    if (ep->host_count > SLEEP_HOSTS_INLINE) {
        v->hosts = mem_calloc(ep->host_count, sizeof *v->hosts);
        v->index = mem_calloc(ep->host_count, sizeof *v->index);
        if (!v->hosts || !v->index) {
            mem_free(v->hosts);
            mem_free(v->index);
            return -ENOMEM;
        }
    }
    for (unsigned i = 0; i < ep->host_count; i++) {
        const struct epoll_host *h = &ep->hosts[i];
        bool wanted;
        uint16_t events = host_events(h, &wanted);

        if (!wanted)
            continue;
        v->index[v->count] = i;
        v->hosts[v->count++] = (struct wait_host){ .host_fd = h->host_fd, .events = events };
    }
    return 0;
}

static void view_done(struct host_view *v)
{
    if (v->hosts != v->hosts_inline) {
        mem_free(v->hosts);
        mem_free(v->index);
    }
}

/* Turns answers into ready entries; under ep->lock. A set that changed meanwhile is asked again later. */
static void view_merge(struct host_view *v, struct epoll *ep)
{
    if (v->version != ep->host_version)
        return;
    for (unsigned i = 0; i < v->count; i++) {
        struct epoll_item *item = ep->hosts[v->index[i]].item;
        uint32_t bits = v->hosts[i].revents;

        if (bits & POLLNVAL)
            bits |= POLLERR; /* the host refused to watch: the file's own calls will tell why */
        bits &= v->hosts[i].events | POLLERR | POLLHUP;
        if (item->events & EPOLLET)
            bits &= item->host_armed;
        if (!bits)
            continue;
        item->host_revents |= bits;
        epoll_ready_add(item);
    }
}

_Static_assert(sizeof(struct wait_host) == sizeof(struct ocall_pollfd) &&
                   offsetof(struct wait_host, revents) == offsetof(struct ocall_pollfd, revents),
               "a host descriptor of a view is what the OCALL takes");

/* Asks the host about all entries at once, without sleeping; under ep->lock. */
static int look_hosts(struct epoll *ep)
{
    struct host_view v;
    int rc = view_take(&v, ep);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < v.count && rc >= 0; i += OCALL_POLL_COUNT_MAX)
        rc = ocall_poll((struct ocall_pollfd *)&v.hosts[i], MIN(v.count - i, OCALL_POLL_COUNT_MAX),
                        0);
    if (rc >= 0)
        view_merge(&v, ep);
    view_done(&v);
    return rc < 0 ? -ENOMEM : 0;
}

static struct epoll_item *pop_ready(struct epoll *ep)
{
    struct epoll_item *item;

    spin_lock(&ep->ready_lock);
    item = ep->ready_first;
    if (item) {
        ep->ready_first = item->ready_next;
        if (ep->ready_first)
            ep->ready_first->ready_prev = NULL;
        else
            ep->ready_last = NULL;
        item->is_ready = false;
        __atomic_store_n(&ep->ready_count, ep->ready_count - 1, __ATOMIC_RELAXED);
    }
    spin_unlock(&ep->ready_lock);
    return item;
}

/* Reports one entry that announced something. returns: true when *ret is written. */
static bool report(struct epoll_item *item, struct epoll_event *ret)
{
    bool is_inside;
    uint32_t bits = epoll_item_poll(item, &is_inside);

    if (!bits)
        return false;
    *ret = (struct epoll_event){ .events = bits, .data = item->data };
    if (item->events & EPOLLONESHOT)
        __atomic_store_n(&item->events, item->events & EPOLL_FLAGS, __ATOMIC_RELAXED);
    else if (!(item->events & EPOLLET) && is_inside)
        epoll_ready_add(item); /* level: looked at again next time; the host is asked anyway */
    return true;
}

/* Under ep->lock. */
static unsigned scan(struct epoll *ep, struct epoll_event *events, unsigned count)
{
    unsigned looks = __atomic_load_n(&ep->ready_count, __ATOMIC_RELAXED);
    unsigned n = 0;

    while (n < count && looks-- > 0) {
        struct epoll_item *item = pop_ready(ep);

        if (!item)
            break;
        if (report(item, &events[n]))
            n++;
    }
    return n;
}

/* One attempt. returns: count of events, 0 none now, -ENOMEM. */
static int collect(struct epoll *ep, struct epoll_event *events, unsigned count, bool ask_host)
{
    int n = 0;

    mutex_lock(&ep->lock);
    if (ask_host && ep->host_count)
        n = look_hosts(ep);
    if (n == 0 && ep->ready_count)
        n = (int)scan(ep, events, count);
    bool more = ep->ready_count != 0;
    mutex_unlock(&ep->lock);
    if (more && n > 0 && !waitq_is_empty(&ep->wait))
        wait_wake(&ep->wait, 1, POLLIN); /* for another thread */
    return n;
}

static int sleep_on_hosts(struct epoll *ep, uint64_t deadline_ns)
{
    struct host_view v;
    uint64_t until = deadline_ns;

    mutex_lock(&ep->lock);
    int rc = view_take(&v, ep);
    if (rc == 0)
        ep->host_sleepers++;
    bool ready = ep->ready_count != 0;
    mutex_unlock(&ep->lock);
    if (rc < 0)
        return rc;
    if (v.count > OCALL_POLL_COUNT_MAX)
        until = MIN(deadline_ns, clock_monotonic_ns() + ROUND_NS);
    if (!ready)
        rc = wait_sleep(v.hosts, MIN(v.count, OCALL_POLL_COUNT_MAX), until, true);
    mutex_lock(&ep->lock);
    ep->host_sleepers--;
    view_merge(&v, ep);
    if (v.count > OCALL_POLL_COUNT_MAX) {
        int look = look_hosts(ep);

        rc = look < 0 ? look : rc == -ETIMEDOUT && until != deadline_ns ? 0 : rc;
    }
    mutex_unlock(&ep->lock);
    view_done(&v);
    return rc;
}

int epoll_wait_events(struct epoll *ep, struct epoll_event *events, unsigned count,
                      uint64_t deadline_ns)
{
    /* With something ready inside, the host is asked too: it must not starve. */
    bool ask_host = deadline_ns == 0 || __atomic_load_n(&ep->ready_count, __ATOMIC_RELAXED) != 0;
    int n = collect(ep, events, count, ask_host);

    if (n != 0 || deadline_ns == 0)
        return n;

    struct waiter w;
    waiter_init(&w);
    w.exclusive = true;
    waitq_add(&ep->wait, &w);
    for (;;) {
        n = collect(ep, events, count, false);
        if (n != 0)
            break;
        int rc = __atomic_load_n(&ep->host_count, __ATOMIC_RELAXED)
                     ? sleep_on_hosts(ep, deadline_ns)
                     : wait_sleep(NULL, 0, deadline_ns, true);
        if (rc < 0) {
            n = collect(ep, events, count, false);
            if (n == 0 && rc != -ETIMEDOUT)
                n = rc;
            break;
        }
    }
    waitq_remove(&w);
    if (__atomic_load_n(&ep->ready_count, __ATOMIC_RELAXED) && !waitq_is_empty(&ep->wait))
        wait_wake(&ep->wait, 1,
                  POLLIN); /* the wake that this thread took was for another's event */
    return n;
}

uint32_t epoll_poll(struct file *f, struct poll_table *pt)
{
    struct epoll *ep = f->private_data;
    uint32_t bits = 0;

    poll_add(pt, &ep->pollers);
    mutex_lock(&ep->lock);
    for (unsigned i = 0; i < ep->host_count && pt; i++)
        if (ep->hosts[i].item->events & ~EPOLL_FLAGS)
            poll_add_host(pt, ep->hosts[i].host_fd, ep->hosts[i].events);
    if (!pt && ep->host_count && look_hosts(ep) < 0)
        bits |= POLLERR;
    unsigned looks = ep->ready_count;
    while (looks-- > 0) {
        struct epoll_item *item = pop_ready(ep);

        if (!item)
            break;
        uint32_t host = item->host_revents;
        uint32_t armed = item->host_armed;
        bool is_inside;
        if (epoll_item_poll(item, &is_inside)) {
            item->host_revents = host; /* only looked at: still to be reported */
            item->host_armed = armed;
            epoll_ready_add(item);
            bits |= POLLIN | POLLRDNORM;
            break;
        }
    }
    mutex_unlock(&ep->lock);
    return bits;
}
