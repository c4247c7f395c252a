/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness of single files and host descriptors. Trusted; what the host answers is masked to what was asked. */
#include "tee/libos/fs/poll/poll.h"

#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"

#define POLL_REGULAR (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)

void poll_add_host(struct poll_table *pt, int host_fd, uint16_t events)
{
    if (pt && pt->add_host && host_fd >= 0)
        pt->add_host(pt, host_fd, events);
}

uint32_t poll_host_now(int host_fd, uint16_t events)
{
    struct ocall_pollfd p = { .host_fd = host_fd, .events = events };

    if (host_fd < 0 || ocall_poll(&p, 1, 0) <= 0)
        return 0;
    return p.revents & (events | POLLERR | POLLHUP);
}

uint32_t file_poll(struct file *f)
{
    return f->ops->poll ? f->ops->poll(f, NULL) & ~(uint32_t)POLLNVAL : POLL_REGULAR;
}

int poll_host_wait(int host_fd, uint16_t events, uint64_t deadline_ns)
{
    struct wait_host h = { .host_fd = host_fd, .events = events };

    for (;;) {
        int rc = wait_sleep(&h, 1, deadline_ns, true);

        if (rc < 0 || h.revents)
            return rc;
    }
}

uint64_t poll_deadline_ns(uint64_t timeout_ns)
{
    uint64_t deadline;

    if (timeout_ns == 0)
        return 0;
    if (__builtin_add_overflow(clock_monotonic_ns(), timeout_ns, &deadline))
        return WAIT_FOREVER;
    return deadline;
}
