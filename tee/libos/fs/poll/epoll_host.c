/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's part of an epoll: a set of host descriptors that the host watches. What it reports is looked up by index and
 * generation, so that nonsense and answers about entries that are gone have no effect. Trusted.
 */
#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/fs/poll/epoll.h"
#include "tee/libos/task/task.h"

#define HOSTS_FIRST 8u
#define GENERATION_MASK 0x7fffffffu
/* Given to the host as they are. */
#define HOST_MODES (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE)

int epoll_host_set_make(struct epoll *ep)
{
    int set;

    if (ep->host_set >= 0)
        return 0;
    set = ocall_events_new();
    if (set < 0)
        return set == -EMFILE || set == -ENFILE ? -EMFILE : -ENOMEM;
    __atomic_store_n(&ep->host_set, set, __ATOMIC_RELEASE);
    return 0;
}

static uint64_t entry_data(const struct epoll *ep, const struct epoll_host *h)
{
    return (uint64_t)h->generation << 32 | (uint32_t)(h - ep->hosts);
}

/* Its edges tell the end of a stream, too, and go on doing so. */
static bool tells_ends(const struct epoll_item *item)
{
    const uint32_t modes = HOST_MODES | EPOLLRDHUP;

    return (item->events & modes) == (EPOLLET | EPOLLRDHUP);
}

static uint32_t entry_events(const struct epoll_host *h)
{
    uint32_t asked = h->item->events;
    uint32_t more = tells_ends(h->item) ? POLLPRI : 0; /* for note_edge */

    return ((asked | more) & (h->events | POLLERR | POLLHUP)) | (asked & HOST_MODES);
}

static int change(const struct epoll *ep, const struct epoll_host *h, enum ocall_event_change how)
{
    return ocall_events_change(ep->host_set, how, h->own_fd >= 0 ? h->own_fd : h->host_fd,
                               entry_events(h), entry_data(ep, h));
}

/* ---- entries ---- */

static int grow(struct epoll *ep)
{
    uint32_t space = ep->host_space ? ep->host_space * 2 : HOSTS_FIRST;
    struct epoll_host *hosts = mem_realloc(ep->hosts, space * sizeof *hosts);

    if (!hosts)
        return -ENOMEM;
    for (uint32_t i = space; i-- > ep->host_space;) {
        hosts[i] = (struct epoll_host){ .own_fd = -1, .next = ep->host_free };
        ep->host_free = i + 1;
    }
    ep->hosts = hosts;
    ep->host_space = space;
    return 0;
}

static void entry_free(struct epoll *ep, struct epoll_host *h)
{
    *h = (struct epoll_host){
        .own_fd = -1,
        .generation = (h->generation + 1) & GENERATION_MASK,
        .next = ep->host_free,
    };
    ep->host_free = (uint32_t)(h - ep->hosts) + 1;
    __atomic_sub_fetch(&ep->host_count, 1, __ATOMIC_RELAXED);
}

static struct epoll_host *entry_find(const struct epoll_item *item, int host_fd)
{
    struct epoll *ep = item->ep;

    for (uint32_t i = item->host_first; i; i = ep->hosts[i - 1].next)
        if (ep->hosts[i - 1].host_fd == host_fd)
            return &ep->hosts[i - 1];
    return NULL;
}

/* The set has this descriptor already, for a duplicate of the program's: another one of the host's own is needed. */
static int add_duplicate(const struct epoll *ep, struct epoll_host *h)
{
    int rc;

    h->own_fd = ocall_dup(h->host_fd);
    if (h->own_fd < 0)
        return -ENOMEM;
    rc = change(ep, h, OCALL_EVENT_ADD);
    if (rc < 0)
        (void)!ocall_close(h->own_fd);
    return rc;
}

static int entry_new(struct epoll_item *item, int host_fd, uint16_t events)
{
    struct epoll *ep = item->ep;
    struct epoll_host *h;
    int rc;

    if (!ep->host_free) {
        rc = grow(ep);
        if (rc < 0)
            return rc;
    }
    h = &ep->hosts[ep->host_free - 1];
    ep->host_free = h->next;
    __atomic_add_fetch(&ep->host_count, 1, __ATOMIC_RELAXED);
    h->item = item;
    h->host_fd = host_fd;
    h->events = events;
    rc = change(ep, h, OCALL_EVENT_ADD);
    if (rc == -EEXIST)
        rc = add_duplicate(ep, h);
    if (rc < 0) {
        entry_free(ep, h);
        return rc;
    }
    h->next = item->host_first;
    item->host_first = (uint32_t)(h - ep->hosts) + 1;
    return 0;
}

int epoll_host_add(struct epoll_item *item, int host_fd, uint16_t events)
{
    struct epoll *ep = item->ep;
    struct epoll_host *h;
    int rc;

    if (!(item->events & ~EPOLL_FLAGS))
        return 0; /* disabled */
    rc = epoll_host_set_make(ep);
    if (rc < 0)
        return rc;
    h = entry_find(item, host_fd);
    if (!h) {
        bool is_first = ep->host_count == 0;

        rc = entry_new(item, host_fd, events);
        if (rc == 0 && is_first)
            wait_wake(&ep->wait, WAKE_ALL, POLLIN); /* they sleep without the host */
        return rc;
    }
    h->events = events;
    h->is_stale = false;
    return change(ep, h, OCALL_EVENT_CHANGE);
}

void epoll_host_begin(struct epoll_item *item)
{
    for (uint32_t i = item->host_first; i; i = item->ep->hosts[i - 1].next)
        item->ep->hosts[i - 1].is_stale = true;
    item->host_revents = 0;
}

void epoll_host_end(struct epoll_item *item, bool is_closing)
{
    struct epoll *ep = item->ep;
    uint32_t *at = &item->host_first;

    while (*at) {
        struct epoll_host *h = &ep->hosts[*at - 1];

        if (!h->is_stale) {
            at = &h->next;
            continue;
        }
        if (!is_closing || h->own_fd >= 0)
            (void)!change(ep, h, OCALL_EVENT_REMOVE);
        if (h->own_fd >= 0)
            (void)!ocall_close(h->own_fd);
        *at = h->next;
        entry_free(ep, h);
    }
}

/* ---- answers ---- */

/* Before the program hears of the event: file->edges. */
static void note_edge(const struct epoll_item *item, uint32_t events)
{
    uint32_t *edges = &item->file->edges, bit = FILE_EDGES_OPEN;

    if (!(item->events & EPOLLET))
        return; /* a level is told again */
    if (!tells_ends(item) || events & (POLLRDHUP | POLLHUP | POLLERR | POLLPRI))
        bit = FILE_EDGES_ENDED;
    if (!(__atomic_add_fetch(edges, 1u << FILE_EDGES_COUNT_SHIFT, __ATOMIC_SEQ_CST) & bit))
        __atomic_fetch_or(edges, bit, __ATOMIC_SEQ_CST);
}

void epoll_host_merge(struct epoll *ep, const struct ocall_event *got, int count)
{
    ep->host_turn++;
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)got[i].data;
        struct epoll_host *h = index < ep->host_space ? &ep->hosts[index] : NULL;

        if (!h || !h->item || h->generation != got[i].data >> 32)
            continue;
        struct epoll_item *item = h->item;
        note_edge(item, got[i].events);
        uint32_t bits = got[i].events & (h->events | POLLERR | POLLHUP) & item->events;
        if (!bits)
            continue;
        item->host_revents |= bits;
        item->host_turn = ep->host_turn;
        epoll_ready_add(item);
    }
}

enum ocall_event_wake epoll_host_claim(struct epoll *ep)
{
    uint32_t me = current()->slot + 1, owner = 0;

    if (__atomic_compare_exchange_n(&ep->host_owner, &owner, me, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        return OCALL_EVENT_NEW_OWNER;
    return owner == me ? OCALL_EVENT_OWNER : OCALL_EVENT_GUEST;
}

void epoll_host_disclaim(struct epoll *ep, bool again)
{
    __atomic_store_n(&ep->host_owner, again ? 0 : EPOLL_OWNER_NONE, __ATOMIC_RELAXED);
}
