/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting events of an epoll. Trusted; the host's answers only choose which entries are reported. */
#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/ocall.h"
#include "tee/libos/fs/poll/epoll.h"
#include "tee/libos/signal/signal.h"

#define HOST_EVENTS 96u          /* that one exit brings */
#define EVENTS_UNASKED INT32_MIN /* no exit was made */
/* So many calls that found something inside go by without the host. */
#define INSIDE_TURNS 4u

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
        epoll_ready_add(item); /* level: looked at again next time; the host says its part again */
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

/* Reports what is ready, with what the host said just now. returns: count of events; 0 none. */
static int collect(struct epoll *ep, struct epoll_event *events, unsigned count,
                   const struct ocall_event *got, int got_count)
{
    unsigned n = 0;

    if (got_count <= 0 && !__atomic_load_n(&ep->ready_count, __ATOMIC_RELAXED))
        return 0;
    mutex_lock(&ep->lock);
    if (got_count > 0)
        epoll_host_merge(ep, got, got_count);
    if (ep->ready_count)
        n = scan(ep, events, count);
    bool more = ep->ready_count != 0;
    mutex_unlock(&ep->lock);
    if (more && n > 0 && !waitq_is_empty(&ep->wait))
        wait_wake(&ep->wait, 1, POLLIN); /* for another thread */
    return (int)n;
}

static bool has_hosts(const struct epoll *ep)
{
    return __atomic_load_n(&ep->host_count, __ATOMIC_RELAXED) != 0;
}

/* Asks the host without sleeping, and reports. */
static int look(struct epoll *ep, struct epoll_event *events, unsigned count)
{
    struct ocall_event got[HOST_EVENTS];
    int n = 0;

    if (has_hosts(ep))
        n = ocall_events_wait(ep->host_set, got, MIN(count, HOST_EVENTS), 0, OCALL_EVENT_GUEST);
    return collect(ep, events, count, got, n);
}

/* Sleeps on the host's set, and reports. returns: count; 0 nothing yet; -ETIMEDOUT, -ERESTARTSYS, -ENOMEM. */
static int sleep_on_hosts(struct epoll *ep, struct epoll_event *events, unsigned count,
                          uint64_t deadline_ns)
{
    struct ocall_event got[HOST_EVENTS];
    struct wait_events e = {
        .set = ep->host_set,
        .wake = epoll_host_claim(ep),
        .events = got,
        .space = MIN(count, HOST_EVENTS),
        .count = EVENTS_UNASKED,
    };
    int rc = wait_sleep_events(&e, deadline_ns);
    int n = collect(ep, events, count, got, e.count);

    if (e.count < 0 && e.wake == OCALL_EVENT_NEW_OWNER) {
        epoll_host_disclaim(ep, e.count == EVENTS_UNASKED);
        return n > 0 ? n : rc;
    }
    return n > 0 ? n : rc < 0 ? rc : e.count < 0 ? -ENOMEM : 0;
}

static int sleep_inside(struct epoll *ep, struct epoll_event *events, unsigned count,
                        uint64_t deadline_ns)
{
    int rc = wait_sleep(NULL, 0, deadline_ns, true);
    int n = collect(ep, events, count, NULL, 0);

    return n > 0 ? n : rc;
}

/* One look at what announced something; now and then at the host, too: it must not starve. */
static int look_inside(struct epoll *ep, struct epoll_event *events, unsigned count)
{
    if (has_hosts(ep) &&
        __atomic_add_fetch(&ep->inside_turns, 1, __ATOMIC_RELAXED) % INSIDE_TURNS == 0)
        return look(ep, events, count);
    return collect(ep, events, count, NULL, 0);
}

int epoll_wait_events(struct epoll *ep, struct epoll_event *events, unsigned count,
                      uint64_t deadline_ns)
{
    struct waiter w;
    int n = 0;

    if (__atomic_load_n(&ep->ready_count, __ATOMIC_RELAXED))
        n = look_inside(ep, events, count);
    if (n == 0 && deadline_ns == 0)
        return look(ep, events, count);
    if (n != 0)
        return n;
    waiter_init(&w);
    w.exclusive = true;
    waitq_add(&ep->wait, &w);
    n = collect(ep, events, count, NULL, 0);
    while (n == 0)
        n = has_hosts(ep) ? sleep_on_hosts(ep, events, count, deadline_ns)
                          : sleep_inside(ep, events, count, deadline_ns);
    waitq_remove(&w);
    if (__atomic_load_n(&ep->ready_count, __ATOMIC_RELAXED) && !waitq_is_empty(&ep->wait))
        wait_wake(&ep->wait, 1,
                  POLLIN); /* the wake that this thread took was for another's event */
    return n == -ETIMEDOUT ? 0 : n;
}

uint32_t epoll_poll(struct file *f, struct poll_table *pt)
{
    struct epoll *ep = f->private_data;
    uint32_t bits = 0;

    poll_add(pt, &ep->pollers);
    mutex_lock(&ep->lock);
    /* Whoever sleeps is told by the host's set, also of entries that come later. */
    if (pt && pt->add && epoll_host_set_make(ep) < 0)
        bits |= POLLERR;
    if (ep->host_set >= 0 && pt)
        poll_add_host(pt, ep->host_set, POLLIN | POLLRDNORM);
    if (has_hosts(ep) && !pt)
        bits |= poll_host_now(ep->host_set, POLLIN | POLLRDNORM);
    unsigned looks = ep->ready_count;
    while (looks-- > 0) {
        struct epoll_item *item = pop_ready(ep);

        if (!item)
            break;
        uint32_t host = item->host_revents;
        bool is_inside;
        if (epoll_item_poll(item, &is_inside)) {
            item->host_revents = host; /* only looked at: still to be reported */
            epoll_ready_add(item);
            bits |= POLLIN | POLLRDNORM;
            break;
        }
    }
    mutex_unlock(&ep->lock);
    return bits;
}
