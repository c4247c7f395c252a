/* SPDX-License-Identifier: Apache-2.0 */
/* See wall.h. Trusted; hosted. */
#include "tee/agent/server/wall.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "abi/evidence.h"

#define NS_PER_MS 1000000ull
#define WALL_MS_MAX (1ll << 42)       /* the year 2109: nanoseconds fit, and what is added */
#define WALL_HELD_NS_MAX (1ull << 40) /* no exchange takes that long */

uint64_t wall_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int wall_bound_make(int64_t time_ms, uint32_t width_ms, uint64_t asked_ns, uint64_t got_ns,
                    struct wall_bound *ret)
{
    if (time_ms <= 0 || time_ms > WALL_MS_MAX || got_ns < asked_ns ||
        got_ns - asked_ns > WALL_HELD_NS_MAX)
        return -EINVAL;
    *ret = (struct wall_bound){
        .at_ns = got_ns,
        .earliest_ns = (uint64_t)time_ms * NS_PER_MS,
        .latest_ns = ((uint64_t)time_ms + width_ms) * NS_PER_MS + (got_ns - asked_ns),
    };
    return 0;
}

int wall_set(const char *device, const struct wall_bound *bound)
{
    struct evidence_time_bound request = { .monotonic_ns = bound->at_ns,
                                           .earliest_ns = bound->earliest_ns,
                                           .latest_ns = bound->latest_ns };
    int fd = open(device, O_RDWR | O_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    rc = ioctl(fd, CLOCHE_IOC_TIME, &request) < 0 ? -errno : 0;
    close(fd);
    return rc;
}
