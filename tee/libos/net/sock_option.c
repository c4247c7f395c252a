/* SPDX-License-Identifier: Apache-2.0 */
/* SOL_SOCKET options that mean the same for every family; what else there is the family answers. Trusted. */
#include <asm/errno.h>
#include <asm/socket.h>

#include "tee/enclave/string.h"
#include "tee/libos/net/socket.h"
#include "tee/libos/syscall/syscall.h"

#define NS_PER_SEC 1000000000ull
#define SEND_SIZE_MIN 4608u
#define RECEIVE_SIZE_MIN 2304u

struct flag_option {
    int name;
    uint32_t flag;
};
static const struct flag_option flag_options[] = {
    { SO_PASSCRED, SOCK_FLAG_PASSCRED },           { SO_REUSEADDR, SOCK_FLAG_REUSEADDR },
    { SO_REUSEPORT, SOCK_FLAG_REUSEPORT },         { SO_KEEPALIVE, SOCK_FLAG_KEEPALIVE },
    { SO_BROADCAST, SOCK_FLAG_BROADCAST },         { SO_DONTROUTE, SOCK_FLAG_DONTROUTE },
    { SO_OOBINLINE, SOCK_FLAG_OOBINLINE },         { SO_TIMESTAMP_OLD, SOCK_FLAG_TIMESTAMP },
    { SO_TIMESTAMPNS_OLD, SOCK_FLAG_TIMESTAMPNS }, { SO_NO_CHECK, SOCK_FLAG_NO_CHECK },
    { SO_RXQ_OVFL, SOCK_FLAG_RXQ_OVFL },           { SO_WIFI_STATUS, SOCK_FLAG_WIFI },
    { SO_SELECT_ERR_QUEUE, SOCK_FLAG_ERR_QUEUE },  { SO_LOCK_FILTER, SOCK_FLAG_LOCK_FILTER },
};

static uint32_t find_flag(int name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(flag_options); i++)
        if (flag_options[i].name == name)
            return flag_options[i].flag;
    return 0;
}

static int set_timeout(uint64_t *timeout_ns, const void *value, uint32_t size)
{
    int64_t t[2];

    if (size < sizeof t)
        return -EINVAL;
    memcpy(t, value, sizeof t);
    if (t[1] < 0 || t[1] >= 1000000)
        return -EDOM;
    if (t[0] < 0)
        *timeout_ns = 1; /* Linux: no waiting at all */
    else if ((uint64_t)t[0] >= UINT64_MAX / NS_PER_SEC / 4)
        *timeout_ns = 0;
    else
        *timeout_ns = (uint64_t)t[0] * NS_PER_SEC + (uint64_t)t[1] * 1000;
    return 0;
}

static int set_linger(struct socket *s, const void *value, uint32_t size)
{
    int32_t linger[2];

    if (size < sizeof linger)
        return -EINVAL;
    memcpy(linger, value, sizeof linger);
    s->linger_s = linger[1];
    s->flags = linger[0] ? s->flags | SOCK_FLAG_LINGER : s->flags & ~SOCK_FLAG_LINGER;
    return 0;
}

int sock_option_set(struct socket *s, int level, int name, const void *value, uint32_t size)
{
    int32_t number;

    if (level != SOL_SOCKET)
        return -ENOPROTOOPT;
    switch (name) {
    case SO_RCVTIMEO_OLD:
        return set_timeout(&s->receive_timeout_ns, value, size);
    case SO_SNDTIMEO_OLD:
        return set_timeout(&s->send_timeout_ns, value, size);
    case SO_LINGER:
        return set_linger(s, value, size);
    }
    if (size < sizeof number)
        return -EINVAL;
    memcpy(&number, value, sizeof number);
    uint32_t flag = find_flag(name);
    if (flag) {
        if (flag & SOCK_FLAGS_TIMESTAMP) /* one or the other */
            s->flags &= ~SOCK_FLAGS_TIMESTAMP;
        s->flags = number ? s->flags | flag : s->flags & ~flag;
        return 0;
    }
    switch (name) {
    /* Linux doubles what is asked for. */
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
        s->send_size = MAX(MIN((uint32_t)MAX(number, 0), SOCK_BUFFER_DEFAULT) * 2, SEND_SIZE_MIN);
        return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        s->receive_size =
            MAX(MIN((uint32_t)MAX(number, 0), SOCK_BUFFER_DEFAULT) * 2, RECEIVE_SIZE_MIN);
        return 0;
    case SO_RCVLOWAT:
        s->receive_low = number < 0 ? INT32_MAX : MAX(number, 1);
        return 0;
    case SO_PRIORITY:
        s->priority = number;
        return 0;
    case SO_MARK:
        s->mark = number;
        return 0;
    case SO_BUSY_POLL:
        s->busy_poll = number;
        return 0;
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_SNDLOWAT:
    case SO_PEERCRED:
        return -ENOPROTOOPT;
    }
    return -ENOPROTOOPT;
}

static int put(void *value, uint32_t *size, const void *src, uint32_t src_size)
{
    *size = MIN(*size, src_size);
    memcpy(value, src, *size);
    return 0;
}

static int put_timeout(void *value, uint32_t *size, uint64_t timeout_ns)
{
    int64_t t[2] = { (int64_t)(timeout_ns / NS_PER_SEC),
                     (int64_t)(timeout_ns % NS_PER_SEC / 1000) };

    return put(value, size, t, sizeof t);
}

int sock_option_get(struct socket *s, int level, int name, void *value, uint32_t *size)
{
    int32_t number;

    if (level != SOL_SOCKET)
        return -ENOPROTOOPT;
    uint32_t flag = find_flag(name);
    if (flag) {
        number = (s->flags & flag) != 0;
        return put(value, size, &number, sizeof number);
    }
    switch (name) {
    case SO_RCVTIMEO_OLD:
        return put_timeout(value, size, s->receive_timeout_ns);
    case SO_SNDTIMEO_OLD:
        return put_timeout(value, size, s->send_timeout_ns);
    case SO_LINGER:
        return put(value, size, (int32_t[2]){ (s->flags & SOCK_FLAG_LINGER) != 0, s->linger_s }, 8);
    case SO_TYPE:
        number = s->type;
        break;
    case SO_DOMAIN:
        number = s->family;
        break;
    case SO_PROTOCOL:
        number = s->protocol;
        break;
    case SO_ACCEPTCONN:
        number = s->is_listening;
        break;
    case SO_ERROR:
        number = -sock_take_error(s);
        break;
    case SO_SNDBUF:
        number = (int32_t)s->send_size;
        break;
    case SO_RCVBUF:
        number = (int32_t)s->receive_size;
        break;
    case SO_RCVLOWAT:
        number = s->receive_low;
        break;
    case SO_SNDLOWAT:
        number = 1;
        break;
    case SO_PRIORITY:
        number = s->priority;
        break;
    case SO_MARK:
        number = s->mark;
        break;
    case SO_BUSY_POLL:
        number = s->busy_poll;
        break;
    case SO_PEEK_OFF:
        if (s->family != AF_UNIX)
            return -EOPNOTSUPP;
        number = -1;
        break;
    case SO_COOKIE:
        return *size < sizeof s->ino ? -EINVAL : put(value, size, &s->ino, sizeof s->ino);
    default:
        return -ENOPROTOOPT;
    }
    return put(value, size, &number, sizeof number);
}
