/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP says of a connection: state, TCP_INFO, congestion control. Trusted. */
#include <asm/errno.h>
#include <linux/tcp.h>

#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/net/inet.h"

#define CONGESTION_NAME_SIZE 16u /* TCP_CA_NAME_MAX */
#define STATE_ESTABLISHED 1u     /* as /proc/net/tcp counts them */
#define STATE_SYN_SENT 2u
#define STATE_FIN_WAIT2 5u
#define STATE_CLOSE 7u
#define STATE_CLOSE_WAIT 8u
#define STATE_LAST_ACK 9u
#define STATE_LISTEN 10u
#define STATE_MAX 12u
#define LOOPBACK_MSS 65483u
#define LOOPBACK_MTU 65535u

static const char g_congestion[CONGESTION_NAME_SIZE] = "cubic";

static uint8_t state_inside(const struct inet_sock *s)
{
    uint32_t in = __atomic_load_n(&s->stream->ways[s->side].closed, __ATOMIC_ACQUIRE);
    uint32_t out = __atomic_load_n(&s->stream->ways[1 - s->side].closed, __ATOMIC_ACQUIRE);

    if (in & STREAM_WAS_RESET)
        return STATE_CLOSE;
    if (in & STREAM_NO_WRITER)
        return out & STREAM_NO_WRITER ? STATE_LAST_ACK : STATE_CLOSE_WAIT;
    return out & STREAM_NO_WRITER ? STATE_FIN_WAIT2 : STATE_ESTABLISHED;
}

/* The host's word; a state that no connection can be in is one that is not. */
static uint8_t state_outside(const struct inet_sock *s)
{
    uint8_t state = 0;
    size_t size = sizeof state;

    if (ocall_getsockopt(s->host_fd, IPPROTO_TCP, TCP_INFO, &state, &size) < 0 || size != 1 ||
        state == 0 || state > STATE_MAX || state == STATE_LISTEN)
        return STATE_CLOSE;
    return state;
}

uint8_t inet_info_state(const struct inet_sock *s)
{
    switch (inet_state(s)) {
    case INET_LISTENING:
        return STATE_LISTEN;
    case INET_LOCAL:
        return state_inside(s);
    case INET_HOST:
        return state_outside(s);
    default:
        return STATE_CLOSE;
    }
}

/* What a connection over the loopback interface has. */
static void describe_inside(const struct inet_sock *s, struct tcp_info *info)
{
    info->tcpi_snd_wscale = info->tcpi_rcv_wscale = 7;
    info->tcpi_options = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE;
    info->tcpi_rto = 201000; /* us */
    info->tcpi_ato = 40000;
    info->tcpi_snd_mss = info->tcpi_rcv_mss = info->tcpi_advmss = LOOPBACK_MSS;
    info->tcpi_pmtu = LOOPBACK_MTU;
    info->tcpi_rtt = info->tcpi_min_rtt = 10;
    info->tcpi_rttvar = 5;
    info->tcpi_rcv_rtt = 10;
    info->tcpi_snd_cwnd = 10;
    info->tcpi_snd_ssthresh = INT32_MAX;
    info->tcpi_reordering = 3;
    info->tcpi_rcv_space = s->base.receive_size;
    info->tcpi_notsent_bytes = 0;
}

int inet_info_get(struct inet_sock *s, void *value, uint32_t *size)
{
    struct tcp_info info = { 0 };
    uint8_t answer[OCALL_OPTION_SIZE_MAX];
    size_t answer_size = sizeof answer;

    if (inet_state(s) == INET_LOCAL)
        describe_inside(s, &info);
    else if (inet_state(s) == INET_HOST &&
             ocall_getsockopt(s->host_fd, IPPROTO_TCP, TCP_INFO, answer, &answer_size) == 0)
        memcpy(&info, answer, MIN(answer_size, sizeof info));
    info.tcpi_state = inet_info_state(s);
    *size = MIN(*size, (uint32_t)sizeof info);
    memcpy(value, &info, *size);
    return 0;
}

int inet_info_congestion(void *value, uint32_t *size)
{
    *size = MIN(*size, CONGESTION_NAME_SIZE);
    memcpy(value, g_congestion, *size);
    return 0;
}

int inet_info_set_congestion(const void *value, uint32_t size)
{
    char name[CONGESTION_NAME_SIZE] = "";

    if (size < 1)
        return -EINVAL;
    memcpy(name, value, MIN(size, CONGESTION_NAME_SIZE - 1));
    return strncmp(name, g_congestion, sizeof name) == 0 ? 0 : -ENOENT;
}
